//! What a replica is told.

use bytes::Bytes;

use super::{Applied, Fetched, Persisted};
use crate::ticket::{ReadTask, Reply};
use crate::types::{Incarnation, Moment, NodeId, PeerMessage};

/// One thing that happened. Events of one turn are given in this order: completions, peers, ticks, requests.
#[derive(Debug)]
pub(crate) enum Event {
    /// The log writer made writes durable.
    Persisted(Persisted),
    /// The applier applied entries.
    Applied(Applied),
    /// The log reader fetched entries.
    Fetched(Fetched),
    /// A message arrived.
    Received { from: NodeId, message: PeerMessage },
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
