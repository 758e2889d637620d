//! What a replica asks of the workers and the transport, and what they report back. Each job has exactly one completion.

use std::sync::Arc;

use super::Notice;
pub(crate) use crate::consensus::Persisted;
use crate::consensus::WriteSeq;
use crate::ticket::{ReadTask, Reply, StopCause};
use crate::types::{
    Entry, EntryRun, HardState, LogIndex, LogPosition, Membership, NodeId, PeerMessage, SnapshotMeta,
    SnapshotWriter,
};

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
    /// 5. For the log writer, behind the write: the log up to here is in a durable snapshot.
    pub(crate) release: Option<Release>,
    /// 6. For the snapshot writer, in this order.
    pub(crate) save: Vec<SaveJob>,
    /// 7. For the snapshot mover: what to fetch from now on, instead of whatever it was fetching.
    pub(crate) receive: Option<ReceiveJob>,
    /// The peers are others now, or others are asked what they must show.
    pub(crate) peers: Option<PeersJob>,
    /// For observers, in the order in which it became so.
    pub(crate) notices: Vec<Notice>,
}

impl Jobs {
    /// Whether there is nothing to do.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let Self { send, write, fetch, apply, release, save, receive, peers, notices } = self;
        send.is_empty()
            && write.is_none()
            && fetch.is_empty()
            && apply.is_empty()
            && release.is_none()
            && save.is_empty()
            && receive.is_none()
            && peers.is_none()
            && notices.is_empty()
    }
}

/// Whom to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeersJob {
    /// Its members are the peers.
    pub(crate) membership: Arc<Membership>,
    /// Whether all must show the data directories that it names. Only a leader knows the newest membership: a node that
    /// joined, and that others know by its former self, may have been added again since, and lead.
    pub(crate) is_newest: bool,
}

/// One write, and the messages that travel with it. Completion: [`Persisted`].
#[derive(Debug)]
pub(crate) struct WriteJob {
    /// Its number.
    pub(crate) seq: WriteSeq,
    /// Term and vote, if they changed.
    pub(crate) hard_state: Option<HardState>,
    /// A snapshot takes the log's place: it begins anew after this position, at which this configuration was in force.
    pub(crate) restart: Option<(LogPosition, Arc<Membership>)>,
    /// The entries, consecutive; may be empty.
    pub(crate) entries: Vec<EntryRun>,
    /// Leave when this write, and every one before it, is durable.
    pub(crate) send_when_durable: Vec<(NodeId, PeerMessage)>,
}

/// Something for the state machine, in order. Completion of `Entries` and `Restore`: [`Applied`]; of `Picture`:
/// [`Pictured`]; a read has none.
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
    /// The state is replaced by that of a snapshot, which is durable here.
    Restore(SnapshotMeta),
    /// A picture of the state as it is now.
    Picture,
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
            Self::Restore(_) | Self::Picture => {}
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
    /// The last applied entry, or that of the snapshot that was restored.
    pub(crate) through: LogPosition,
    /// Up to here the state machine would hold its state after a crash: `through` itself, or less, for one on disk; for
    /// one in memory, nothing.
    pub(crate) durable: LogPosition,
}

/// The state machine's picture of itself, to be written out; or why there is none.
pub(crate) struct Pictured {
    /// The last entry in it.
    pub(crate) position: LogPosition,
    /// Writes it.
    pub(crate) writer: Result<SnapshotWriter, String>,
}

/// The log up to and including `through` may go: a durable snapshot covers it. No completion.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// The last entry that may go.
    pub(crate) through: LogPosition,
    /// The configuration in force there.
    pub(crate) membership: Arc<Membership>,
}

/// Something for the snapshot writer.
pub(crate) enum SaveJob {
    /// Write this picture out. Completion: [`Saved`].
    Picture {
        /// The last entry in it.
        position: LogPosition,
        /// The configuration in force there.
        membership: Arc<Membership>,
        /// Writes it.
        writer: SnapshotWriter,
    },
    /// Remove the snapshots that nobody needs, now that the log starts after this entry. No completion.
    Prune {
        /// See above.
        log_starts_after: LogIndex,
    },
}

/// A snapshot is durable; or why it could not be written.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// What became of it.
    pub(crate) outcome: Result<SnapshotMeta, String>,
}

/// Fetch a snapshot from another node. Completion: [`Received`], unless another job takes its place.
#[derive(Clone, Debug)]
pub(crate) struct ReceiveJob {
    /// Who holds it.
    pub(crate) from: NodeId,
    /// Which one.
    pub(crate) snapshot: SnapshotMeta,
}

/// A snapshot of another node is durable here; or why it was given up.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Which one.
    pub(crate) snapshot: SnapshotMeta,
    /// Why not.
    pub(crate) outcome: Result<(), String>,
}

/// Another node was sent a piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Who got it.
    pub(crate) to: NodeId,
    /// Where the piece ended, in bytes of the file.
    pub(crate) offset: u64,
}

impl std::fmt::Debug for Pictured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pictured").field("position", &self.position).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SaveJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Picture { position, .. } => f.debug_tuple("Picture").field(position).finish(),
            Self::Prune { log_starts_after } => f.debug_tuple("Prune").field(log_starts_after).finish(),
        }
    }
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
