//! What went wrong with a call, and what its caller may conclude.

use std::sync::Arc;

use crate::types::{LogPosition, NodeId};

/// What a failed call may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took no effect and never will: safe to repeat.
    NotApplied,
    /// It may have taken effect, or may yet. Repeat it within its session ([`Session`](crate::Session)), or only if doing it
    /// twice is harmless.
    Unknown,
}

/// Why a command was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Not appended: this node does not lead, and does not forward, or the node that it took for the leader is gone or
    /// leads no more. Soon after a leader's end this is what callers of the others see: retry.
    #[error("not the leader; nothing was applied, {}", whom_to_ask(leader.as_ref()))]
    NotLeader {
        /// Who leads, and at which address, if known.
        leader: Option<(NodeId, String)>,
    },
    /// Not appended: no leader was known before the deadline. So too on a node that was removed, or is not added yet.
    #[error(
        "no leader was known before the deadline; nothing was applied, retry when a majority is up and this node is a \
         member"
    )]
    NoLeader,
    /// Not appended: the deadline came before the request's turn; or, with a [`Ticket`](crate::Ticket), before a leader
    /// was known.
    #[error("the deadline passed before a leader took the request; nothing was applied, retry")]
    DeadlinePassed,
    /// Not appended: too much is in flight already.
    #[error("too much is in flight; nothing was applied, retry later")]
    Busy,
    /// Not taken: this node's disk is full, and what it cannot store it could not apply.
    #[error("the disk of this node is full; nothing was applied, ask another node or make room")]
    DiskFull,
    /// Not appended: a command of this size could not be replicated.
    #[error("the command has {bytes} bytes, more than the {limit} allowed; nothing was applied")]
    TooLarge {
        /// The size of the encoded command.
        bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },
    /// Not appended: the bytes are no command of this state machine.
    #[error("the command does not decode; nothing was applied")]
    Malformed,
    /// Appended once, but another leader's entry took its place: it never takes effect.
    #[error("another leader's entry replaced the command; nothing was applied, retry")]
    Superseded,
    /// Its fate was not known when the deadline came, or when its log was replaced by a snapshot.
    #[error("the command may or may not be applied: its fate was not known in time")]
    Unknown,
    /// The command's session is gone: closed, or the least recently used one when there were too many. The command was
    /// not applied now and never will be in that session; whether it was before is not known.
    #[error(
        "the session has expired: the command is not applied any more, but may have been before; open another session"
    )]
    SessionExpired,
    /// The command took effect once, and its answer is not kept: it was too large, all answers together were too large, or it
    /// was acknowledged. (So is a command answered whose number its session gave up before it arrived: that one never takes
    /// effect.) To send it again outside of its number would do it twice.
    #[error(
        "the session keeps no answer to this command: it has taken effect unless it was given up; do not send it again"
    )]
    AnswerForgotten,
    /// Not applied: the session has as many unanswered commands as it may have.
    #[error("too many commands of the session are unanswered; nothing was applied, retry when some are")]
    SessionFull,
    /// The command was applied, but the response does not decode.
    #[error("the command was applied but its response does not decode: {reason}")]
    BadResponse {
        /// What the codec said.
        reason: String,
    },
    /// The node stopped.
    #[error("the node stopped ({cause}); the command {}", conclusion(*outcome))]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
        /// What may be concluded for this command.
        outcome: Outcome,
    },
    /// A blocking call on a thread of the runtime would wait for itself.
    #[error(
        "a blocking call on a thread of the runtime would wait for itself; nothing was applied, use submit"
    )]
    WouldDeadlock,
}

impl ProposeError {
    /// What may be concluded: [`Outcome::NotApplied`] is certain, everything else is [`Outcome::Unknown`].
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Stopped { outcome, .. } => *outcome,
            Self::Unknown | Self::SessionExpired | Self::AnswerForgotten | Self::BadResponse { .. } => {
                Outcome::Unknown
            }
            Self::NotLeader { .. }
            | Self::NoLeader
            | Self::DeadlinePassed
            | Self::Busy
            | Self::DiskFull
            | Self::TooLarge { .. }
            | Self::Malformed
            | Self::Superseded
            | Self::SessionFull
            | Self::WouldDeadlock => Outcome::NotApplied,
        }
    }
}

fn whom_to_ask(leader: Option<&(NodeId, String)>) -> String {
    let ask = |(id, address): &(NodeId, String)| format!("ask node {id} at {address}, which leads");
    leader.map_or_else(|| "no leader is known now: retry".to_owned(), ask)
}

fn conclusion(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "was not applied",
        Outcome::Unknown => "may or may not be applied",
    }
}

/// Why a read was not answered. A read changes nothing: it is always safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader was known before the deadline, so nobody could say what is current. So too on a node that was removed, or
    /// is not added yet.
    #[error("no leader was known before the deadline; retry when a majority is up and this node is a member")]
    NoLeader,
    /// The deadline came before a majority confirmed the leader or before the state machine caught up; or, with a
    /// [`Ticket`](crate::Ticket), before a leader was known.
    #[error("the deadline passed before a leader confirmed the read and this node had caught up; retry")]
    DeadlinePassed,
    /// Too many reads wait already.
    #[error("too many reads are waiting; retry later")]
    Busy,
    /// The bytes are no query of this state machine.
    #[error("the query does not decode; nothing was read")]
    Malformed,
    /// The closure or the query panicked. A blocking caller sees the panic itself; this is for callbacks.
    #[error("the read panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The node stopped.
    #[error("the node stopped ({cause})")]
    Stopped {
        /// Why it stopped.
        cause: StopCause,
    },
    /// A blocking call on a thread of the runtime would wait for itself.
    #[error("a blocking call on a thread of the runtime would wait for itself; use submit_read")]
    WouldDeadlock,
}

/// Why a node stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopCause {
    /// It was shut down, or its last handle was dropped.
    #[error("shut down")]
    Shutdown,
    /// A thread of the node panicked: a bug in quorate, or in the state machine.
    #[error("thread {thread} panicked: {message}")]
    Panicked {
        /// The thread's name.
        thread: String,
        /// The panic's message.
        message: Arc<str>,
    },
    /// The log failed. What was acknowledged is safe on a majority; this node must be restarted.
    #[error("the log failed: {0}")]
    Storage(Arc<str>),
    /// The transport failed.
    #[error("the network failed: {0}")]
    Transport(Arc<str>),
    /// A committed command does not decode here; skipping it would make this replica differ from the others.
    #[error("the committed entry {position} does not decode: {reason}; a newer version may know it")]
    Undecodable {
        /// The entry.
        position: LogPosition,
        /// What the codec said.
        reason: Arc<str>,
    },
    /// The snapshot that takes the place of the state cannot be read back.
    #[error(
        "the state machine cannot be restored from the snapshot of entry {position}: {reason}; start the node again, and \
         if it does not come up, remove it from the cluster and add it again with an empty directory"
    )]
    Snapshot {
        /// The last entry that the snapshot covers.
        position: LogPosition,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The state machine could not restore a snapshot, or could not store its state.
    #[error(
        "the state machine failed at entry {position}, when it should {task}: {reason}; nothing acknowledged is lost, \
         start the node again when the cause is removed"
    )]
    Machine {
        /// What it had to do.
        task: &'static str,
        /// Where the state machine stood, or should have stood.
        position: LogPosition,
        /// What it said.
        reason: Arc<str>,
    },
}
