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
    /// Those who are no members any more, until they have learnt it. They count nowhere.
    pub(super) departing: BTreeMap<NodeId, Departing>,
    /// Reads that wait for a quorum to confirm that it still leads.
    pub(super) reads: ReadQueue,
    /// Ticks since the last heartbeat.
    pub(super) since_heartbeat: u32,
    /// A heartbeat is due in this turn.
    pub(super) heartbeat_due: bool,
    /// Leadership is being handed over.
    pub(super) transfer: Option<Transfer>,
    /// Somebody was told to stand for election in this term, and may do so at any time: no lease holds until it ends.
    pub(super) lease_revoked: bool,
}

/// A peer that was removed, or one that never belonged here and asked for votes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Departing {
    pub(super) progress: Progress,
    /// The entry that leaves it out: it has learnt its lot once it knows that this one is committed.
    pub(super) left_by: LogIndex,
    /// The last round that may have left before it could be told so; `None` while it cannot be told yet.
    pub(super) told_after: Option<Round>,
    /// How long it has been departing.
    pub(super) ticks: u32,
}

/// Leadership on its way to somebody else (thesis §3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transfer {
    pub(super) to: NodeId,
    /// How long it has been under way.
    pub(super) ticks: u32,
    /// It was told to stand for election, since the last heartbeat.
    pub(super) told: bool,
}

impl Leader {
    /// A new leader whose log ended at `last` when it won.
    pub(super) fn new(peers: impl Iterator<Item = NodeId>, last: LogIndex) -> Self {
        Self {
            peers: peers.map(|peer| (peer, Progress::new(last))).collect(),
            departing: BTreeMap::new(),
            reads: ReadQueue::default(),
            since_heartbeat: 0,
            heartbeat_due: false,
            transfer: None,
            lease_revoked: false,
        }
    }

    /// The same as `audience`, to look at.
    pub(super) fn everyone(&self) -> impl Iterator<Item = &Progress> {
        self.peers.values().chain(self.departing.values().map(|peer| &peer.progress))
    }

    /// All that it sends to: the members, and those who are to learn that they are none.
    pub(super) fn audience(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        let members = self.peers.iter_mut().map(|(&id, peer)| (id, peer));
        members.chain(self.departing.iter_mut().map(|(&id, peer)| (id, &mut peer.progress)))
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
