//! Why a replica refuses: one enum per operation.

use crate::types::{LogIndex, LogPosition, MalformedSlice, NodeId, Term};

/// Why a proposal was not appended. In every case nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeRefused {
    /// Only a leader appends.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// There was nothing to append.
    #[error("a proposal of no entries")]
    Empty,
    /// A configuration waits until the leader has committed an entry of its own term: until then it cannot know which
    /// one is in force.
    #[error("no entry of this term is committed yet")]
    NothingCommittedInTerm,
    /// One configuration at a time.
    #[error("the membership at {at} is not committed yet")]
    MembershipUncommitted {
        /// The index of the entry to wait for.
        at: LogIndex,
    },
    /// Leadership is being handed over: what is proposed now could not be finished.
    #[error("leadership is being handed to node {to}")]
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// Only addresses and data directories may change.
    #[error("this would change who votes or learns, which is not supported")]
    DifferentMembers,
}

/// Why a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadRefused {
    /// Nobody is known who could answer. Ask again later.
    #[error("no leader is known")]
    NoLeader,
}

/// Why a replica does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The settings contradict each other.
    #[error("bad settings: {reason}")]
    BadConfig {
        /// Which ones, and why.
        reason: &'static str,
    },
    /// The entries are no Raft log.
    #[error("the restored log is malformed: {0}")]
    Malformed(#[from] MalformedSlice),
    /// Neither entry 1 nor the snapshot names the members.
    #[error("the restored log names no members: its first entry must hold the founding membership")]
    NoMembership,
    /// The state machine holds what is not in the log: the log, or its end, was lost.
    #[error(
        "the state machine holds entry {applied}, the log reaches from {starts_after} to {last}: one of them is not the other's"
    )]
    AppliedOutsideLog {
        /// What the state machine holds.
        applied: LogPosition,
        /// Where the log begins.
        starts_after: LogPosition,
        /// Where it ends.
        last: LogPosition,
    },
    /// A membership from a snapshot although the log was never compacted.
    #[error("the restored log is not compacted, yet a membership from before it is given")]
    TwoMemberships,
    /// The log holds an entry of a term that the replica never reached.
    #[error("the restored log ends at {last}, beyond the restored term {term}: term and vote were lost")]
    TermBehindLog {
        /// The restored term.
        term: Term,
        /// The last entry.
        last: LogPosition,
    },
    /// The numbers of terms are used up.
    #[error("the restored term {0} is beyond the last usable one")]
    TermsExhausted(Term),
}
