//! What a node says of itself.

use std::fmt;

use crate::consensus::{ProgressState, RoleName};
use crate::replica::{self, ReplicaStatus};
use crate::ticket::StopCause;
use crate::types::{Membership, NodeId};

/// A node as it was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a report, not a state machine")]
pub struct Status {
    /// Its id.
    pub id: u64,
    /// Its role in its group.
    pub role: Role,
    /// The latest term it has seen.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Entries up to here are committed.
    pub commit: u64,
    /// Entries up to here are applied to this node's state machine.
    pub applied: u64,
    /// The last entry of its log.
    pub last_index: u64,
    /// The first entry of its log.
    pub first_index: u64,
    /// The entry that its newest snapshot covers; 0 if it has none.
    pub snapshot_index: u64,
    /// Up to this entry the membership is what stands here:
    /// [`Node::change_membership`](super::Node::change_membership) can be told to do nothing if it was changed behind it.
    pub membership_index: u64,
    /// The voters.
    pub voters: Vec<u64>,
    /// The learners.
    pub learners: Vec<u64>,
    /// Whether decisions need two majorities now.
    pub joint: bool,
    /// Whether the group knows every member's data directory: from then on a node that comes back with an empty one is
    /// refused. It is so soon after all members have met for the first time.
    pub recognises_all: bool,
    /// Whether this node belonged to the cluster once and was removed.
    pub removed: bool,
    /// Whether the disk has no room for the log: then it takes no commands, and does not lead.
    pub disk_full: bool,
    /// On a leader that hands over: to whom.
    pub transferring_to: Option<u64>,
    /// On a leader: how far each of the others is. Else empty.
    pub peers: Vec<PeerStatus>,
    /// Why the node stopped, if it did.
    pub stopped: Option<StopCause>,
}

/// How far a peer is, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its id.
    pub id: u64,
    /// Where it is reached.
    pub address: String,
    /// Its log equals the leader's up to here, durably.
    pub matched: u64,
    /// How it is served.
    pub state: PeerState,
    /// How many bytes of the log it lacks, before they are framed for the disk or the wire.
    pub lag_bytes: u64,
    /// Whether a connection to it stands.
    pub connected: bool,
    /// How many bytes of a snapshot it was sent, while it is being sent one; else 0.
    pub snapshot_sent_bytes: u64,
    /// How long that snapshot is, in bytes; else 0.
    pub snapshot_bytes: u64,
}

/// What a node is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows, or waits for somebody to follow.
    Follower,
    /// It asks whether it would be elected.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It receives the log and does not vote.
    Learner,
}

/// How a leader serves a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It looks for the last entry they share.
    Probe,
    /// It streams entries.
    Replicate,
    /// It sends a snapshot: what the peer needs next has left the log.
    Snapshot,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::PreCandidate => "pre_candidate",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        })
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Replicate => "replicate",
            Self::Snapshot => "snapshot",
        })
    }
}

impl Status {
    pub(super) fn of(replica: &ReplicaStatus, stopped: Option<StopCause>) -> Self {
        let ids = |ids: &[NodeId]| ids.iter().map(|id| id.get()).collect();
        let membership = &replica.membership;
        // A node that stopped leads nobody and follows nobody, whatever it was.
        let runs = stopped.is_none();
        Self {
            id: replica.id.get(),
            role: if runs { Role::of(replica.role) } else { Role::Follower },
            term: replica.term.0,
            leader: replica.leader.filter(|_| runs).map(NodeId::get),
            commit: replica.commit.0,
            applied: replica.applied.0,
            last_index: replica.last_index.0,
            first_index: replica.first_index.0,
            snapshot_index: replica.snapshot.0,
            membership_index: replica.membership_index.0,
            voters: ids(membership.voters()),
            learners: ids(membership.learners()),
            joint: membership.is_joint(),
            recognises_all: membership.members().all(|(_, member)| member.incarnation.is_some()),
            removed: replica.removed,
            disk_full: replica.disk_full,
            transferring_to: replica.transferring_to.filter(|_| runs).map(NodeId::get),
            peers: replica
                .peers
                .iter()
                .filter(|_| runs)
                .filter_map(|peer| PeerStatus::of(peer, membership))
                .collect(),
            stopped,
        }
    }
}

impl PeerStatus {
    /// `None` unless the replica leads: nobody else knows how far its peers are.
    fn of(peer: &replica::PeerStatus, membership: &Membership) -> Option<Self> {
        Some(Self {
            id: peer.id.get(),
            address: membership.member(peer.id)?.address.clone(),
            matched: peer.matched?.0,
            state: match peer.state? {
                ProgressState::Probe => PeerState::Probe,
                ProgressState::Replicate => PeerState::Replicate,
                ProgressState::Snapshot => PeerState::Snapshot,
            },
            lag_bytes: peer.lag_bytes?,
            connected: peer.connected,
            snapshot_sent_bytes: peer.snapshot_sent_bytes,
            snapshot_bytes: peer.snapshot_bytes,
        })
    }
}

impl Role {
    pub(super) fn of(role: RoleName) -> Self {
        match role {
            RoleName::Leader => Self::Leader,
            RoleName::Follower => Self::Follower,
            RoleName::PreCandidate => Self::PreCandidate,
            RoleName::Candidate => Self::Candidate,
            RoleName::Learner => Self::Learner,
        }
    }
}
