//! What went wrong with a call of a client, and what its caller may conclude.

use std::io;
use std::sync::Arc;

use super::routing::Failure;
use crate::ticket::{CallError, Outcome, StopCause};
use crate::types::{Membership, NodeId};

/// Why a command was not answered.
///
/// A client repeats a command within its session until the deadline, so that most of what befalls a cluster is no error here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node was connected at the deadline, and the command never left.
    #[error(
        "no node could be reached before the deadline; nothing was applied, retry when one can be: {tried}"
    )]
    Unreachable {
        /// Every address, and why there was no connection.
        tried: Arc<str>,
    },
    /// Not taken: nodes answered, and none of them led or knew who did before the deadline.
    #[error("no leader was known before the deadline; nothing was applied, retry when a majority is up")]
    NoLeader,
    /// Not taken: the deadline came before a node took the command.
    #[error("the deadline passed before a node took the command; nothing was applied, retry")]
    DeadlinePassed,
    /// Not taken: too much is in flight in this client ([`ClientConfig::in_flight_requests_max`]), or was in the cluster until
    /// the deadline.
    ///
    /// [`ClientConfig::in_flight_requests_max`]: super::ClientConfig::in_flight_requests_max
    #[error("too much is in flight; nothing was applied, retry later")]
    Busy,
    /// Not taken: the disks of the nodes that could have taken it were full until the deadline.
    #[error("the disk of the node is full; nothing was applied, make room")]
    DiskFull,
    /// Not taken: a command of this size could not be replicated.
    #[error(
        "the command has {bytes} bytes, more than the {limit} that the cluster takes; nothing was applied"
    )]
    TooLarge {
        /// The size of the encoded command.
        bytes: u64,
        /// The largest that is taken.
        limit: u64,
    },
    /// Not taken: the bytes are no command of the cluster's state machine. Client and cluster are of different versions.
    #[error(
        "the cluster's state machine does not understand the command; nothing was applied, upgrade the older side"
    )]
    Malformed,
    /// It was sent, and its fate was not known at the deadline, however often it was repeated.
    #[error(
        "the command may or may not be applied: its fate was not known before the deadline; look before you propose it again, \
         which would be another command"
    )]
    Unknown,
    /// The client's session is gone: the cluster keeps a limited number, and this one was not used for the longest time. The
    /// next command opens another.
    #[error("the session of this client has expired; the command {}, and the next one has another session", conclusion(*outcome))]
    SessionExpired {
        /// What may be concluded for this command: it is certain that it was not applied if it was sent just once.
        outcome: Outcome,
    },
    /// The command took effect, and its answer is lost: the connection broke before it arrived, and it was too large for the
    /// session to keep; or it was too large to be sent at all.
    #[error(
        "the command took effect, but its response is lost: it was too large to be kept or sent; do not send it again"
    )]
    AnswerForgotten,
    /// The command was applied, but the response does not decode here. Client and cluster are of different versions.
    #[error("the command was applied but its response does not decode: {reason}")]
    BadResponse {
        /// What the codec said.
        reason: String,
    },
    /// The client was dropped, or failed.
    #[error("the client stopped ({cause}); the command {}", conclusion(*outcome))]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
        /// What may be concluded for this command.
        outcome: Outcome,
    },
    /// A blocking call on a thread of a client or a node would wait for itself.
    #[error(
        "a blocking call on a thread of the runtime would wait for itself; nothing was applied, use submit"
    )]
    WouldDeadlock,
}

impl ClientError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain, everything else is [`Outcome::Unknown`].
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Stopped { outcome, .. } | Self::SessionExpired { outcome } => *outcome,
            Self::Unknown | Self::AnswerForgotten | Self::BadResponse { .. } => Outcome::Unknown,
            Self::Unreachable { .. }
            | Self::NoLeader
            | Self::DeadlinePassed
            | Self::Busy
            | Self::DiskFull
            | Self::TooLarge { .. }
            | Self::Malformed
            | Self::WouldDeadlock => Outcome::NotApplied,
        }
    }
}

fn conclusion(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "was not applied",
        Outcome::Unknown => "may or may not be applied",
    }
}

impl CallError for ClientError {
    fn expired(taken: bool) -> Self {
        if taken { Self::Unknown } else { Self::DeadlinePassed }
    }

    fn stopped(cause: StopCause, taken: bool) -> Self {
        Self::Stopped { cause, outcome: if taken { Outcome::Unknown } else { Outcome::NotApplied } }
    }

    fn would_deadlock() -> Self {
        Self::WouldDeadlock
    }

    fn panicked(message: String) -> Self {
        Self::BadResponse { reason: message }
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(tried) => Self::Unreachable { tried },
            Failure::NoLeader => Self::NoLeader,
            Failure::DeadlinePassed => Self::DeadlinePassed,
            Failure::Busy => Self::Busy,
            Failure::DiskFull => Self::DiskFull,
            Failure::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            Failure::Malformed => Self::Malformed,
            Failure::SessionExpired(outcome) => Self::SessionExpired { outcome },
            Failure::AnswerForgotten => Self::AnswerForgotten,
            // The last two are no failures of commands.
            Failure::Unknown | Failure::NotMember(_) | Failure::Panicked(_) => Self::Unknown,
        }
    }
}

/// Why a query, or the question how a node is, was not answered. It changes nothing: it is always safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientReadError {
    /// No node was connected at the deadline.
    #[error("no node could be reached before the deadline; retry when one can be: {tried}")]
    Unreachable {
        /// Every address, and why there was no connection.
        tried: Arc<str>,
    },
    /// No leader was known before the deadline, so nobody could say what is current.
    #[error("no leader was known before the deadline; retry when a majority is up")]
    NoLeader,
    /// The deadline came before the answer.
    #[error("the deadline passed before a node answered; retry")]
    DeadlinePassed,
    /// Too much is in flight in this client, or was in the cluster until the deadline.
    #[error("too much is in flight; retry later")]
    Busy,
    /// The query is too long to be sent, or its answer is.
    #[error("the query or its answer has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The bytes are no query of the cluster's state machine. Client and cluster are of different versions.
    #[error("the cluster's state machine does not understand the query; upgrade the older side")]
    Malformed,
    /// The node that was asked for by its id is no member of the cluster.
    #[error("node {node} is no member of the cluster")]
    NotMember {
        /// Which one.
        node: u64,
    },
    /// The query panicked on the node that was asked.
    #[error("the query panicked on the node: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The answer does not decode here. Client and cluster are of different versions.
    #[error("the answer does not decode: {reason}")]
    BadResponse {
        /// What the codec said.
        reason: String,
    },
    /// The client was dropped, or failed.
    #[error("the client stopped ({cause})")]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
    },
    /// A blocking call on a thread of a client or a node would wait for itself.
    #[error("a blocking call on a thread of the runtime would wait for itself; use submit_query")]
    WouldDeadlock,
}

impl CallError for ClientReadError {
    fn expired(_taken: bool) -> Self {
        Self::DeadlinePassed
    }

    fn stopped(cause: StopCause, _taken: bool) -> Self {
        Self::Stopped { cause }
    }

    fn would_deadlock() -> Self {
        Self::WouldDeadlock
    }

    fn panicked(message: String) -> Self {
        Self::BadResponse { reason: message }
    }
}

impl From<Failure> for ClientReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(tried) => Self::Unreachable { tried },
            Failure::NoLeader => Self::NoLeader,
            Failure::Busy => Self::Busy,
            Failure::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            Failure::Malformed => Self::Malformed,
            Failure::NotMember(node) => Self::NotMember { node: node.get() },
            Failure::Panicked(message) => Self::Panicked { message },
            // Those that commands alone have; a read that fails so has failed all the same.
            Failure::DeadlinePassed
            | Failure::DiskFull
            | Failure::SessionExpired(_)
            | Failure::AnswerForgotten
            | Failure::Unknown => Self::DeadlinePassed,
        }
    }
}

/// Why a client is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is nobody to connect to.
    #[error("no address was given: name at least one node of the cluster")]
    NoAddress,
    /// More addresses than a cluster may have members.
    #[error("{0} addresses are more than the {max} that a cluster may have", max = Membership::MEMBERS_MAX)]
    TooManyAddresses(usize),
    /// An address that nobody could dial.
    #[error(
        "the address {0:?} cannot be dialled: expected host:port with a port of 1 to 65535, at most 256 bytes"
    )]
    BadAddress(String),
    /// The token is empty or too long.
    #[error("a token has 1 to 256 bytes")]
    BadToken,
    /// No call would pass.
    #[error("nothing may be in flight: allow at least one request and one byte")]
    NothingInFlight,
    /// No node answered in time, or all refuse this client.
    #[error("no node of the cluster answers: {tried}")]
    Unreachable {
        /// Every address, and why.
        tried: Arc<str>,
    },
    /// The operating system refused something.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A blocking call on a thread of a client or a node would wait for itself.
    #[error("a client cannot be connected on a thread of the runtime, which must not block")]
    WouldDeadlock,
    /// The client's thread failed while it connected: a bug.
    #[error("the client stopped while it connected: {0}")]
    Stopped(StopCause),
}

/// Zero is nobody's id.
pub(super) fn named(node: u64) -> Result<NodeId, ClientReadError> {
    NodeId::new(node).ok_or(ClientReadError::NotMember { node })
}
