//! What went wrong with an operation on the store, and what its caller may conclude.

use std::io;
use std::path::PathBuf;

use super::{Conflict, Gap, Invalid, OpenError, Refused, StoreError};
use crate::machine::DecodeError;
use crate::runtime::StartError;
use crate::ticket::{Outcome, ProposeError, ReadError};

/// Why an event store did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreStartError {
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its node did not start.
    #[error(transparent)]
    Node(#[from] StartError),
    /// The store must stand outside of the node's data directory, and no place beside it has a name.
    #[error("{}: the store needs a directory of its own, outside of the data directory", data.display())]
    Directory {
        /// The data directory.
        data: PathBuf,
    },
    /// The operating system gave no thread.
    #[error("the operating system refused a thread: {0}")]
    Thread(io::Error),
}

/// Why nothing was appended, or not for sure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An aggregate is at another sequence than was expected. Nothing was appended.
    #[error(transparent)]
    Conflict(Conflict),
    /// What was to be appended is too large, or makes no sense. Nothing was proposed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store does not take it as it is now. Nothing was appended.
    #[error("nothing was appended: {0}")]
    Refused(Refused),
    /// The node did not answer the proposal.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The sequences could not be compared. There was nothing to append.
    #[error("the sequence was not compared: {0}")]
    Check(QueryError),
    /// The store of this node failed over it, and the node stops.
    #[error("the append may or may not be done, but not on this node, whose store failed: {reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl AppendError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain. When it is unknown, the same append again is harmless if it
    /// brings events: if it was applied, the second one conflicts with them.
    ///
    /// One without events leaves the sequence where it is. Said again, it meets no conflict, and takes the place of what others
    /// have said of the status and the labels since. Who shares an aggregate's status with others and may have to say it
    /// again brings an event with it, or proposes the command in a session
    /// ([`Node::session`](crate::Node::session) of [`EventStore::node`](super::EventStore::node)).
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Propose(error) => error.outcome(),
            Self::Failed { .. } => Outcome::Unknown,
            Self::Conflict(_) | Self::Invalid(_) | Self::Refused(_) | Self::Check(_) => Outcome::NotApplied,
        }
    }
}

/// Why a snapshot was not saved, or not for sure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// It is too large, or makes no sense. Nothing was proposed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The node did not answer the proposal.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The store of this node failed over it, and the node stops.
    #[error("the snapshot may or may not be saved, but not on this node, whose store failed: {reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl SaveError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain. When it is unknown, the same snapshot again is harmless.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Propose(error) => error.outcome(),
            Self::Failed { .. } => Outcome::Unknown,
            Self::Invalid(_) => Outcome::NotApplied,
        }
    }
}

/// Why an aggregate was not archived, or not for sure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// This store does not archive: [`Options::archiving`](super::Options::archiving).
    #[error("archiving is disabled (`Options::archiving`, on every node); nothing was archived")]
    ArchivingDisabled,
    /// No aggregate has such an id.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The node did not answer the proposal.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The store of this node failed over it, and the node stops.
    #[error("the aggregate may or may not be archived, but not on this node, whose store failed: {reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl ArchiveError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Propose(error) => error.outcome(),
            Self::Failed { .. } => Outcome::Unknown,
            Self::ArchivingDisabled | Self::Invalid(_) => Outcome::NotApplied,
        }
    }
}

/// Why no archive record was consumed, or not for sure. `E` is the handler's own error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError<E> {
    /// This store does not archive: [`Options::archiving`](super::Options::archiving).
    #[error("archiving is disabled (`Options::archiving`, on every node): there is nothing to consume")]
    ArchivingDisabled,
    /// There was nothing to consume in time; the handler was not called.
    #[error("no aggregate was archived in time")]
    NothingInTime,
    /// The handler failed; the record stays, and comes again.
    #[error("the handler failed, and the record stays: {0}")]
    Handler(E),
    /// The records could not be read; the handler was not called.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The handler has done its work, but the node did not answer the proposal by which the record goes: it may come again.
    #[error("the record was handled but may come again: {0}")]
    Propose(ProposeError),
    /// Likewise: the store of this node failed over it, and the node stops.
    #[error("the record was handled but may come again, for the store of this node failed: {reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl<E> ConsumeError<E> {
    /// Whether the record may be gone: [`Outcome::NotApplied`] says that it certainly stays.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Propose(error) => error.outcome(),
            Self::Failed { .. } => Outcome::Unknown,
            Self::ArchivingDisabled | Self::NothingInTime | Self::Handler(_) | Self::Query(_) => {
                Outcome::NotApplied
            }
        }
    }
}

/// Why a question was not answered. It changed nothing: it is always safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The question makes no sense, or is too large.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The node could not say what is current, or has stopped.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store of this node could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a subscriber hears instead of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// Events were removed before the subscriber came to them. The next call goes on behind them.
    #[error("events of {} up to {} are gone: none is left below sequence {}", .0.aggregate, .0.position, .0.first_available)]
    Gap(Gap),
    /// The subscription was closed, or the node stopped.
    #[error("the subscription is closed, or its node has stopped")]
    Closed,
    /// The store of this node could not be read.
    #[error(transparent)]
    Store(StoreError),
    /// On a thread of the runtime waiting would wait for itself.
    #[error("waiting for events on a thread of the runtime would wait for itself")]
    WouldDeadlock,
}

/// Why a command was not executed, or not for sure. `E` is the command's own error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<E> {
    /// The command itself refused, and was right to: the aggregate was what it was shown. Nothing was appended.
    #[error("{0}")]
    Command(E),
    /// Others were faster each time. Nothing was appended.
    #[error("others were faster {tries} times: {last}")]
    RetriesExceeded {
        /// How often the command was tried.
        tries: u32,
        /// Who was, the last time.
        last: Conflict,
    },
    /// What the command raised could not be appended.
    #[error(transparent)]
    Append(AppendError),
    /// The aggregate could not be loaded. Nothing was appended.
    #[error("the aggregate was not loaded: {0}")]
    Load(#[from] QueryError),
    /// An event does not fold: the projection does not know its form. Nothing was appended.
    #[error("event {sequence} ({event_type}) does not fold: {error}")]
    Fold {
        /// The event's sequence.
        sequence: u64,
        /// Its type.
        event_type: String,
        /// What the projection says.
        error: DecodeError,
    },
    /// The snapshot is none of this projection, and the events from the first on are not all there to do without it.
    /// Nothing was appended.
    #[error("the snapshot at {sequence} does not decode, and the events do not begin at the start: {error}")]
    Snapshot {
        /// The snapshot's sequence.
        sequence: u64,
        /// What the codec says.
        error: DecodeError,
    },
}

impl<E> ExecuteError<E> {
    /// What may be concluded: [`Outcome::NotApplied`] is certain. When it is unknown, the command may be executed again only if
    /// it can tell that it was.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Append(error) => error.outcome(),
            Self::Command(_)
            | Self::RetriesExceeded { .. }
            | Self::Load(_)
            | Self::Fold { .. }
            | Self::Snapshot { .. } => Outcome::NotApplied,
        }
    }
}
