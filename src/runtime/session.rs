//! Sessions of local callers: a command that is sent again takes effect once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Node;
use super::clock::later;
use super::retry::{Fate, until_settled};
use crate::machine::{Codec, SessionBounds, StateMachine};
use crate::ticket::{Number, Numbers, ProposeError, Ticket, on_runtime_thread};
use crate::types::{SessionId, SessionTag};

/// A session with the cluster, opened by [`Node::session`]: a command that is sent again in it takes effect once, and gets
/// its first answer again, across changes of the leader, restarts and snapshots.
///
/// [`propose`](Self::propose) sends again by itself until its deadline. [`request`](Self::request) gives a command its number
/// and lets you send it when, and as often as, you like. Many threads may use one session at once; clones are cheap, and are
/// the same session. It keeps its node running as a clone of that does.
///
/// The cluster knows which commands of a session it has executed, and their answers, until these have arrived: at most 1,024.
/// Answers above 64 KiB, and those that are too much when all sessions together have 16 MiB, are not kept: then a command
/// that is sent again gets [`ProposeError::AnswerForgotten`]. Sessions are bounded in number
/// ([`Config::sessions_max`](super::Config::sessions_max)); the one that has not been used for longest expires when there
/// are too many, and says so ([`ProposeError::SessionExpired`]). Dropping the last clone closes it, if
/// that reaches the leader; what is still under way in it then may be told that it has expired.
pub struct Session<S: StateMachine> {
    open: Arc<Open<S>>,
}

struct Open<S: StateMachine> {
    node: Node<S>,
    id: SessionId,
    numbers: Arc<Numbers>,
}

/// A command of a session with its number: made by [`Session::request`]. However often it is sent, it takes effect once.
///
/// Keep it for as long as its fate matters. When it is dropped, and all its tickets are answered, its number is given up: what
/// is still on its way then either takes effect once or never does.
pub struct Request<S: StateMachine> {
    session: Session<S>,
    number: Arc<Number>,
    command: Bytes,
    fate: Fate,
}

impl<S: StateMachine> Node<S> {
    /// Opens a session, in which a command that is sent again takes effect once. Blocks as [`Node::propose`] does.
    ///
    /// If it fails with an unknown outcome a session may stand that nobody uses. It expires before any that is used.
    pub fn session(&self) -> Result<Session<S>, ProposeError> {
        self.session_within(self.running().call_timeout)
    }

    /// As [`Node::session`], with a deadline of its own.
    pub fn session_within(&self, within: Duration) -> Result<Session<S>, ProposeError> {
        if on_runtime_thread() {
            return Err(ProposeError::WouldDeadlock);
        }
        let open = |within| self.submit_open_session(within).wait();
        let id = until_settled(self.running(), later(within), &Fate::new(), open)?;
        let numbers = Numbers::new(SessionBounds::of(1).unanswered_max);
        Ok(Session { open: Arc::new(Open { node: self.clone(), id, numbers }) })
    }
}

impl<S: StateMachine> Session<S> {
    /// As [`Node::propose`], but once: while its fate is unknown, or it was certainly not applied for a reason that may pass (no
    /// leader, another leader, too much in flight), it is sent again, until the deadline.
    ///
    /// [`ProposeError::Unknown`] comes only at the deadline. To go on after it, make a [`Request`] and send that.
    pub fn propose(&self, command: S::Command) -> Result<S::Response, ProposeError> {
        self.propose_within(command, self.open.node.running().call_timeout)
    }

    /// As [`Session::propose`], with a deadline of its own.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub fn propose_within(&self, command: S::Command, within: Duration) -> Result<S::Response, ProposeError> {
        if on_runtime_thread() {
            return Err(ProposeError::WouldDeadlock);
        }
        let deadline = later(within);
        let number = self.open.numbers.take_until(deadline).ok_or(ProposeError::SessionFull)?;
        self.request_of(number, &command).send_until(deadline)
    }

    /// As [`Session::propose`], but returns at once and sends once. Never blocks; a refusal arrives in the ticket.
    pub fn submit(&self, command: S::Command) -> Ticket<S::Response, ProposeError> {
        self.submit_within(command, self.open.node.running().call_timeout)
    }

    /// As [`Session::submit`], with a deadline of its own.
    pub fn submit_within(&self, command: S::Command, within: Duration) -> Ticket<S::Response, ProposeError> {
        match self.request(command) {
            Ok(request) => request.submit_within(within),
            Err(error) => Ticket::refused(error, later(within)),
        }
    }

    /// Gives a command its number in this session. Sends nothing yet.
    ///
    /// Fails with [`ProposeError::SessionFull`] if the oldest request whose fate is open is 1,024 requests old.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub fn request(&self, command: S::Command) -> Result<Request<S>, ProposeError> {
        let number = self.open.numbers.take().ok_or(ProposeError::SessionFull)?;
        Ok(self.request_of(number, &command))
    }

    /// What names it in the cluster.
    pub fn id(&self) -> SessionId {
        self.open.id
    }

    fn request_of(&self, number: Number, command: &S::Command) -> Request<S> {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        Request { session: self.clone(), number: Arc::new(number), command: bytes.into(), fate: Fate::new() }
    }
}

impl<S: StateMachine> Request<S> {
    /// Sends the command, again and again until its fate is known or the deadline of a blocking call passes: see
    /// [`Session::propose`]. May be called again after any error; an error whose outcome is `NotApplied` means that it was
    /// never applied, however often it was sent.
    pub fn send(&self) -> Result<S::Response, ProposeError> {
        self.send_within(self.session.open.node.running().call_timeout)
    }

    /// As [`Request::send`], with a deadline of its own.
    pub fn send_within(&self, within: Duration) -> Result<S::Response, ProposeError> {
        self.send_until(later(within))
    }

    fn send_until(&self, deadline: Instant) -> Result<S::Response, ProposeError> {
        if on_runtime_thread() {
            return Err(self.fate.judge(ProposeError::WouldDeadlock));
        }
        let running = self.session.open.node.running();
        until_settled(running, deadline, &self.fate, |within| self.submit_once(within).wait())
    }

    /// Sends the command once, and returns at once. An error in the ticket says what became of this sending alone.
    pub fn submit(&self) -> Ticket<S::Response, ProposeError> {
        self.submit_within(self.session.open.node.running().call_timeout)
    }

    /// As [`Request::submit`], with a deadline of its own.
    pub fn submit_within(&self, within: Duration) -> Ticket<S::Response, ProposeError> {
        self.fate.leave_open();
        self.submit_once(within)
    }

    fn submit_once(&self, within: Duration) -> Ticket<S::Response, ProposeError> {
        let (sequence, answered_below) = self.number.with_lowest();
        let open = &self.session.open;
        let tag = SessionTag { session: open.id, sequence, answered_below };
        let ticket = open.node.submit_tagged_typed(tag, &self.command, within);
        let number = Arc::clone(&self.number);
        ticket.then(move || drop(number));
        ticket
    }
}

impl<S: StateMachine> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open) }
    }
}

impl<S: StateMachine> Drop for Open<S> {
    /// Says so to the cluster, and does not wait for it to hear.
    fn drop(&mut self) {
        drop(self.node.submit_close_session(self.id, self.node.running().call_timeout));
    }
}

impl<S: StateMachine> std::fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.open.id).finish_non_exhaustive()
    }
}

impl<S: StateMachine> std::fmt::Debug for Request<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, _) = self.number.with_lowest();
        f.debug_struct("Request")
            .field("session", &self.session.open.id)
            .field("number", &number)
            .finish_non_exhaustive()
    }
}
