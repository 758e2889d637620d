//! What a replica is at the moment, and what only that role needs.

use std::collections::{BTreeMap, VecDeque};

use super::progress::Progress;
use super::read_queue::ReadQueue;
use super::votes::Votes;
use crate::types::{LogIndex, NodeId, ReadId, Round};

/// The roles of §5.1, and the one before a candidate (thesis §9.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Follower(Follower),
    PreCandidate(Votes),
    Candidate(Votes),
    Leader(Leader),
}

/// What a replica follows, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    /// The leader of the current term, once it has spoken.
    pub(super) leader: Option<NodeId>,
    /// Up to here the log is known to equal the leader's; it starts with what is committed, which every leader holds.
    pub(super) verified: LogIndex,
    /// The last round of the leader that was answered.
    pub(super) answered: Round,
    /// Reads asked of the leader and not answered yet, oldest first.
    pub(super) reads: VecDeque<ForwardedRead>,
}

/// A read that waits for the leader's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ForwardedRead {
    pub(super) id: ReadId,
    /// How long it has waited.
    pub(super) ticks: u32,
}

impl Follower {
    pub(super) fn of(leader: Option<NodeId>, commit: LogIndex) -> Self {
        Self { leader, verified: commit, answered: Round::default(), reads: VecDeque::new() }
    }
}

/// What only a leader keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    /// All members but itself.
    pub(super) peers: BTreeMap<NodeId, Progress>,
    /// Reads that wait for a quorum to confirm that it still leads.
    pub(super) reads: ReadQueue,
    /// Ticks since the last heartbeat.
    pub(super) since_heartbeat: u32,
    /// A heartbeat is due in this turn.
    pub(super) heartbeat_due: bool,
    /// No read is answered by the lease any more: somebody may be told to stand for election at any time.
    pub(super) lease_revoked: bool,
}

impl Leader {
    /// A new leader whose log ended at `last` when it won.
    pub(super) fn new(peers: impl Iterator<Item = NodeId>, last: LogIndex) -> Self {
        Self {
            peers: peers.map(|peer| (peer, Progress::new(last))).collect(),
            reads: ReadQueue::default(),
            since_heartbeat: 0,
            heartbeat_due: false,
            lease_revoked: false,
        }
    }
}

/// The name of a replica's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Takes entries from a leader.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Decides what the log holds.
    Leader,
    /// Takes entries and does not vote, nor ever campaigns.
    Learner,
}
