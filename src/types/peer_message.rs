//! What one node sends another: Raft's messages with their payloads, and forwarded commands.

use bytes::Bytes;

use super::{
    ChangeReceipt, ChangeRefused, EntryRun, LogIndex, LogPosition, MembershipChange, Message, NodeId, Origin,
    SnapshotChunk, SnapshotPull, Term, TransferRefused,
};

/// One message between the replicas of a group, as transports carry it.
#[derive(Clone, Debug)]
pub enum PeerMessage {
    /// A Raft message.
    Raft {
        /// What consensus reads.
        message: Message,
        /// The payloads of an append, in runs that together hold exactly the entries of its slice; else empty.
        entries: Vec<EntryRun>,
    },
    /// Commands that a follower hands to its leader.
    Forward(Forward),
    /// The leader's answer to a [`Forward`].
    ForwardAnswer(ForwardAnswer),
    /// A follower wants a piece of a snapshot.
    Pull(SnapshotPull),
    /// A piece of a snapshot. Travels on a lane of its own, so that nothing else ever waits behind it.
    Chunk(SnapshotChunk),
    /// An operator's wish that another node hands to the leader.
    Admin(Admin),
    /// What became of it.
    AdminAnswer(AdminAnswer),
}

/// An operator's wish, on its way to the leader. Never forwarded twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Chosen by the asker, echoed.
    pub request: u64,
    /// What is wished.
    pub task: AdminTask,
}

/// What operators wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminTask {
    /// Another membership.
    Change {
        /// Which.
        change: MembershipChange,
        /// The entry up to which the operator has seen the configuration: if it was changed behind it, nothing is done.
        expected: Option<LogIndex>,
    },
    /// Another leader.
    Transfer {
        /// Who; `None`: whoever is best prepared.
        to: Option<NodeId>,
    },
}

/// What became of an [`Admin`] wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAnswer {
    /// The change is committed, or was refused.
    Change {
        /// As in the wish.
        request: u64,
        /// What became of it.
        outcome: Result<ChangeReceipt, ChangeRefused>,
    },
    /// Leadership is on its way to that node, or stays.
    Transfer {
        /// As in the wish.
        request: u64,
        /// What became of it.
        outcome: Result<NodeId, TransferRefused>,
    },
    /// It may or may not be done: the leader lost its leadership meanwhile.
    Unknown {
        /// As in the wish.
        request: u64,
    },
}

/// Commands for the leader of `term`, and for no other: in any other term they are refused, so that the origin knows
/// that a later term's first entry ends all hope for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The term whose leader they are meant for.
    pub term: Term,
    /// The commands, in the order in which their callers gave them.
    pub commands: Vec<Forwarded>,
}

/// One forwarded command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Whose caller waits for it.
    pub origin: Origin,
    /// The encoded command.
    pub command: Bytes,
}

/// What became of the commands of one [`Forward`]: all of them alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAnswer {
    /// The `Origin::request` of each, in the order of the forward.
    pub requests: Vec<u64>,
    /// Where they were appended (the first one's position; the rest follow), or why not.
    pub outcome: Result<LogPosition, Refusal>,
}

/// Why a leader did not append. In every case nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not lead in the term that the forward names.
    NotLeader,
    /// Too much is in flight.
    Busy,
    /// A command does not decode there.
    Malformed,
}

impl ForwardAnswer {
    /// Where the `nth` request was appended, if it was.
    pub fn index_of(&self, nth: u64) -> Option<LogIndex> {
        self.outcome.ok().map(|first| first.index.plus(nth))
    }
}
