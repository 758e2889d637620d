//! What a replica asks of the workers and the transport, and what they report back. Each job has exactly one completion.

use std::sync::Arc;

pub(crate) use crate::consensus::Persisted;
use crate::consensus::WriteSeq;
use crate::ticket::{ReadTask, Reply, StopCause};
use crate::types::{Entry, EntryRun, HardState, LogIndex, LogPosition, Membership, NodeId, PeerMessage};

/// What one turn asks for, in the order in which it is done.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// 1. Leave at once.
    pub(crate) send: Vec<(NodeId, PeerMessage)>,
    /// 2. For the log writer.
    pub(crate) write: Option<WriteJob>,
    /// 3. For the log reader: entries that are not in memory any more.
    pub(crate) fetch: Vec<FetchJob>,
    /// 4. For the applier, in this order.
    pub(crate) apply: Vec<ApplyJob>,
    /// The membership changed: these are the peers, and the data directories they must show.
    pub(crate) peers: Option<Arc<Membership>>,
}

impl Jobs {
    /// Whether there is nothing to do.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let Self { send, write, fetch, apply, peers } = self;
        send.is_empty() && write.is_none() && fetch.is_empty() && apply.is_empty() && peers.is_none()
    }
}

/// One write, and the messages that travel with it. Completion: [`Persisted`].
#[derive(Debug)]
pub(crate) struct WriteJob {
    /// Its number.
    pub(crate) seq: WriteSeq,
    /// Term and vote, if they changed.
    pub(crate) hard_state: Option<HardState>,
    /// The entries, consecutive; may be empty.
    pub(crate) entries: Vec<EntryRun>,
    /// Leave when this write, and every one before it, is durable.
    pub(crate) send_when_durable: Vec<(NodeId, PeerMessage)>,
}

/// Something for the state machine, in order. Completion of `Entries`: [`Applied`]; a read has none.
#[derive(Debug)]
pub(crate) enum ApplyJob {
    /// Committed entries, consecutive, following those of the job before.
    Entries {
        /// The entries.
        entries: Vec<EntryRun>,
        /// The callers who wait for some of them, in the order of their indexes.
        replies: Vec<PendingReply>,
    },
    /// A read whose index has been handed over before it.
    Read(ReadTask),
}

impl ApplyJob {
    /// The node stops before this was done.
    pub(crate) fn stop(self, cause: &StopCause) {
        match self {
            Self::Entries { replies, .. } => {
                for pending in replies {
                    pending.reply.stop(cause);
                }
            }
            Self::Read(task) => task.stop(cause),
        }
    }
}

/// A caller who waits for the entry at an index, which is known to be its own.
#[derive(Debug)]
pub(crate) struct PendingReply {
    /// The entry's index.
    pub(crate) index: LogIndex,
    /// Where the state machine's response goes.
    pub(crate) reply: Reply,
}

/// Everything up to `through` is applied, and its callers are answered. One may complete several jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The last applied entry.
    pub(crate) through: LogPosition,
}

/// Entries that are not in memory any more. Completion: [`Fetched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchJob {
    /// Tells the completions apart.
    pub(crate) id: u64,
    /// The first entry wanted.
    pub(crate) first: LogIndex,
    /// The last entry wanted; fewer may come.
    pub(crate) last: LogIndex,
    /// At most this many bytes, but at least one entry.
    pub(crate) bytes_max: u64,
}

/// What the log reader found for a [`FetchJob`].
#[derive(Debug)]
pub(crate) struct Fetched {
    /// As in the job.
    pub(crate) id: u64,
    /// Consecutive entries from the job's first on; none if the log does not hold that one any more, because another
    /// leader's entries replaced it.
    pub(crate) entries: Vec<Entry>,
}
