//! What went wrong with an operator's wish, and what may be concluded.

use super::{Outcome, StopCause};
use crate::types::{ChangeRefused, NodeId, TransferRefused};

/// Why a change of the membership was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It was not begun.
    #[error("the change was not begun: {0}")]
    Refused(#[from] ChangeRefused),
    /// Zero is nobody's id; nothing was changed.
    #[error("0 is no node id: nodes are numbered from 1")]
    ZeroId,
    /// Not begun: no leader was known before the deadline.
    #[error(
        "no leader was known before the deadline; the membership was not changed, retry when a majority is up"
    )]
    NoLeader,
    /// Not begun: too many wishes wait already.
    #[error("too many changes and transfers wait already; the membership was not changed, retry later")]
    Busy,
    /// Not done: another leader's entry took the place of the change.
    #[error("another leader's entry replaced the change; the membership was not changed, retry")]
    Superseded,
    /// It was begun or handed to the leader, and what became of it was not known in time.
    #[error("the change may be done, or be done yet, or not: look at the membership before you repeat it")]
    Unknown,
    /// The node stopped.
    #[error("the node stopped ({cause}); look at the membership on another node")]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
        /// What may be concluded for this change.
        outcome: Outcome,
    },
    /// A blocking call on a thread of the runtime would wait for itself.
    #[error(
        "a blocking call on a thread of the runtime would wait for itself; nothing was begun, call from another thread"
    )]
    WouldDeadlock,
}

impl ChangeError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Stopped { outcome, .. } => *outcome,
            Self::Unknown => Outcome::Unknown,
            Self::Refused(_)
            | Self::ZeroId
            | Self::NoLeader
            | Self::Busy
            | Self::Superseded
            | Self::WouldDeadlock => Outcome::NotApplied,
        }
    }
}

/// Why leadership was not seen to change hands. Whoever leads, goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It was not begun.
    #[error("leadership was not handed over: {0}")]
    Refused(#[from] TransferRefused),
    /// Zero is nobody's id.
    #[error("0 is no node id: nodes are numbered from 1")]
    ZeroId,
    /// No leader was known before the deadline.
    #[error("no leader was known before the deadline; nobody was asked, retry when a majority is up")]
    NoLeader,
    /// Not begun: too many wishes wait already.
    #[error("too many changes and transfers wait already; leadership stays, retry later")]
    Busy,
    /// The successor did not take over within an election timeout, and the leader goes on; or that was not known before
    /// the deadline.
    #[error(
        "node {to} did not take over in time; the leader goes on, see whether that node answers and retry"
    )]
    NotTaken {
        /// Who should have.
        to: NodeId,
    },
    /// Somebody else was elected.
    #[error("node {leader} was elected instead and leads now; ask it if that is not what you want")]
    AnotherLeader {
        /// Who leads now.
        leader: NodeId,
    },
    /// The leader was asked, and its answer did not come in time.
    #[error("the leader did not answer in time: look at who leads")]
    Unknown,
    /// The node stopped.
    #[error("the node stopped ({cause})")]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
    },
    /// A blocking call on a thread of the runtime would wait for itself.
    #[error(
        "a blocking call on a thread of the runtime would wait for itself; nothing was begun, call from another thread"
    )]
    WouldDeadlock,
}

/// Why a snapshot on demand was not taken. The log stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotNowError {
    /// Nothing is applied yet that a snapshot could hold.
    #[error(
        "nothing is applied yet, so there is nothing to take a snapshot of: retry after the first command"
    )]
    NothingApplied,
    /// The state machine, or the disk, failed.
    #[error("no snapshot was taken: {reason}; the log stays as it is")]
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// It takes longer than the deadline allowed; it goes on.
    #[error("the snapshot was not complete at the deadline; it goes on, see the status for its index")]
    DeadlinePassed,
    /// The node stopped.
    #[error("the node stopped ({cause})")]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
    },
    /// A blocking call on a thread of the runtime would wait for itself.
    #[error(
        "a blocking call on a thread of the runtime would wait for itself; nothing was begun, call from another thread"
    )]
    WouldDeadlock,
}
