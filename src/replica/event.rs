//! What a replica is told.

use bytes::Bytes;

use super::{Applied, Fetched, Persisted, Pictured, Received, Saved, Served};
use crate::ticket::{ChangeError, ReadTask, Reply, SnapshotNowError, TransferError};
use crate::types::{
    ChangeReceipt, Incarnation, LogIndex, MembershipChange, Moment, NodeId, PeerMessage, SnapshotMeta,
};

/// One thing that happened. Events of one turn are given in this order: completions, peers, ticks, requests.
#[derive(Debug)]
pub(crate) enum Event {
    /// The log writer made writes durable.
    Persisted(Persisted),
    /// The applier applied entries.
    Applied(Applied),
    /// The log reader fetched entries.
    Fetched(Fetched),
    /// The state machine took a picture of itself.
    Pictured(Pictured),
    /// The snapshot writer wrote one out, or could not.
    Saved(Saved),
    /// The snapshot mover received one, or gave it up.
    Received(Received),
    /// The snapshot mover sent a piece of one.
    Served(Served),
    /// The log cannot be extended for want of room, or can be again.
    DiskFull(bool),
    /// A message arrived.
    Message { from: NodeId, message: PeerMessage },
    /// A connection stands; the peer showed this data directory.
    PeerConnected { peer: NodeId, incarnation: Incarnation },
    /// A connection is gone; what was under way may be lost.
    PeerLost { peer: NodeId },
    /// A forward of which not one byte was written.
    Undelivered { to: NodeId, message: PeerMessage },
    /// Time passed: this many ticks since the last one (more than one after a pause).
    Tick { ticks: u32 },
    /// A caller proposes.
    Propose(Proposal),
    /// A caller reads.
    Read(Read),
    /// An operator wants another membership.
    Change(Change),
    /// An operator, or a node that is about to stop, wants another leader.
    Transfer(Transfer),
    /// An operator wants a snapshot now.
    SnapshotNow(SnapshotNow),
}

/// A caller's command.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// The encoded command.
    pub(crate) command: Bytes,
    /// Where the answer goes.
    pub(crate) reply: Reply,
    /// When its caller stops waiting.
    pub(crate) deadline: Moment,
}

/// A caller's linearizable read.
#[derive(Debug)]
pub(crate) struct Read {
    /// What to run on the state machine.
    pub(crate) task: ReadTask,
    /// When its caller stops waiting.
    pub(crate) deadline: Moment,
}

/// Takes the answer to an operator's wish; called once.
pub(crate) type Answer<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// An operator's change of the membership.
#[expect(clippy::struct_field_names, reason = "the wish and what it is about are both a change")]
pub(crate) struct Change {
    /// Which.
    pub(crate) change: MembershipChange,
    /// Only if nobody has changed the configuration behind this entry.
    pub(crate) expected: Option<LogIndex>,
    /// Called when it is committed, refused, or given up.
    pub(crate) answer: Answer<ChangeReceipt, ChangeError>,
    /// When the operator stops waiting.
    pub(crate) deadline: Moment,
}

/// Leadership goes to somebody else.
pub(crate) struct Transfer {
    /// To whom; `None`: to whoever is best prepared.
    pub(crate) to: Option<NodeId>,
    /// Called with the next leader, or why there is none.
    pub(crate) answer: Answer<NodeId, TransferError>,
    /// When the operator stops waiting.
    pub(crate) deadline: Moment,
}

/// A snapshot on demand.
pub(crate) struct SnapshotNow {
    /// Called with the snapshot once it is durable.
    pub(crate) answer: Answer<SnapshotMeta, SnapshotNowError>,
    /// When the operator stops waiting.
    pub(crate) deadline: Moment,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("change", &self.change).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer").field("to", &self.to).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SnapshotNow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotNow").finish_non_exhaustive()
    }
}
