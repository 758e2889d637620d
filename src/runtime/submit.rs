//! How requests go in: typed, as bytes, and in sessions. Each is judged, admitted at the gate, sealed in its envelope and
//! handed to the engine; none blocks.
//!
//! Those in bytes are for whoever serves clients: a command comes as it came from a socket, and is judged like any other.

use std::time::Duration;

use bytes::Bytes;

use super::Node;
use super::channels::Request;
use super::clock::deadline_after;
use crate::machine::{
    Codec, NoResponse, Refusal, StateMachine, opened_session, seal_close, seal_in_session, seal_open,
    seal_plain, session_response,
};
use crate::replica::{Proposal, Read};
use crate::ticket::{ProposeError, ReadError, ReadTask, Reply, Ticket};
use crate::types::{SessionId, SessionTag};

impl<S: StateMachine> Node<S> {
    /// A command outside of any session.
    pub(super) fn submit_plain(
        &self,
        command: &S::Command,
        within: Duration,
    ) -> Ticket<S::Response, ProposeError> {
        let entry = seal_plain(|out| command.encode(out));
        self.submit_command(entry, PLAIN_BYTES, within, decode_response::<S::Response>)
    }

    /// A command outside of any session, as bytes.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub(crate) fn submit_bytes(&self, command: Bytes, within: Duration) -> Ticket<Bytes, ProposeError> {
        let entry = seal_plain(|out| out.extend_from_slice(&command));
        self.submit_command(entry, PLAIN_BYTES, within, |response| Ok(Bytes::copy_from_slice(response)))
    }

    /// A command of a session. Sent again with the same tag it is the same command, and takes effect once. A tag that counts
    /// its own command as answered is malformed.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub(crate) fn submit_tagged(
        &self,
        tag: SessionTag,
        command: Bytes,
        within: Duration,
    ) -> Ticket<Bytes, ProposeError> {
        self.submit_in_session(tag, &command, within, |response| {
            decode_in_session(response).map(Bytes::copy_from_slice)
        })
    }

    /// The same, for a caller who knows the response's type.
    pub(super) fn submit_tagged_typed(
        &self,
        tag: SessionTag,
        command: &[u8],
        within: Duration,
    ) -> Ticket<S::Response, ProposeError> {
        self.submit_in_session(tag, command, within, |response| {
            decode_in_session(response).and_then(decode_response::<S::Response>)
        })
    }

    fn submit_in_session<T: Send + 'static>(
        &self,
        tag: SessionTag,
        command: &[u8],
        within: Duration,
        decode: fn(&[u8]) -> Result<T, ProposeError>,
    ) -> Ticket<T, ProposeError> {
        if tag.answered_below > tag.sequence {
            return Ticket::refused(ProposeError::Malformed, deadline_after(within).1);
        }
        let entry = seal_in_session(tag, |out| out.extend_from_slice(command));
        let envelope_bytes = entry.len() - command.len();
        self.submit_command(entry, envelope_bytes, within, decode)
    }

    /// Opens a session. If its fate stays unknown, the session that may stand expires some day like any other.
    pub(crate) fn submit_open_session(&self, within: Duration) -> Ticket<SessionId, ProposeError> {
        let entry = seal_open(self.running().session_bounds);
        self.submit_entry(entry, within, |response| {
            let reason = || "no session's name".to_owned();
            opened_session(response).ok_or_else(|| ProposeError::BadResponse { reason: reason() })
        })
    }

    /// Closes a session, if it stands.
    pub(crate) fn submit_close_session(
        &self,
        session: SessionId,
        within: Duration,
    ) -> Ticket<(), ProposeError> {
        self.submit_entry(seal_close(session), within, |_| Ok(()))
    }

    /// Asks the state machine, linearizably or, if `local`, of this node's copy as it is. What does not decode is refused as
    /// malformed, and not run.
    #[expect(clippy::needless_pass_by_value, reason = "a query is handed over")]
    pub(crate) fn submit_query_bytes(
        &self,
        query: Bytes,
        local: bool,
        within: Duration,
    ) -> Ticket<Bytes, ReadError> {
        let (deadline, instant) = deadline_after(within);
        let Ok(query) = S::Query::decode(&query) else {
            return Ticket::refused(ReadError::Malformed, instant);
        };
        let permit = match self.running().admit_read() {
            Ok(permit) => permit,
            Err(error) => return Ticket::refused(error, instant),
        };
        let (task, ticket) = ReadTask::pair(permit, instant, |machine: &S| {
            let mut response = Vec::new();
            machine.query(query).encode(&mut response);
            Bytes::from(response)
        });
        self.running().request(if local {
            Request::ReadLocal(task)
        } else {
            Request::Read(Read { task, deadline })
        });
        ticket
    }

    /// Judges the command in `entry`, which stands behind its envelope. Once committed, one that does not decode would stop
    /// every replica, at each start again; judged here, it costs only its caller's time.
    fn submit_command<T: Send + 'static>(
        &self,
        entry: Bytes,
        envelope_bytes: usize,
        within: Duration,
        decode: fn(&[u8]) -> Result<T, ProposeError>,
    ) -> Ticket<T, ProposeError> {
        let command = &entry[envelope_bytes..];
        let judged = match self.running().judge_length(command.len()) {
            Ok(()) if S::Command::decode(command).is_err() => Err(ProposeError::Malformed),
            judged => judged,
        };
        match judged {
            Ok(()) => self.submit_entry(entry, within, decode),
            Err(error) => Ticket::refused(error, deadline_after(within).1),
        }
    }

    fn submit_entry<T: Send + 'static>(
        &self,
        entry: Bytes,
        within: Duration,
        decode: fn(&[u8]) -> Result<T, ProposeError>,
    ) -> Ticket<T, ProposeError> {
        let (deadline, instant) = deadline_after(within);
        let permit = match self.running().admit_command(entry.len()) {
            Ok(permit) => permit,
            Err(error) => return Ticket::refused(error, instant),
        };
        let (reply, ticket) = Reply::pair(permit, instant, decode);
        self.running().request(Request::Propose(Proposal { command: entry, reply, deadline }));
        ticket
    }
}

/// The envelope of a command outside of any session.
const PLAIN_BYTES: usize = 1;

fn decode_response<R: Codec>(bytes: &[u8]) -> Result<R, ProposeError> {
    R::decode(bytes).map_err(|error| ProposeError::BadResponse { reason: error.reason })
}

fn decode_in_session(bytes: &[u8]) -> Result<&[u8], ProposeError> {
    session_response(bytes).map_err(|none| match none {
        NoResponse::Refused(Refusal::Expired) => ProposeError::SessionExpired,
        NoResponse::Refused(Refusal::Forgotten) => ProposeError::AnswerForgotten,
        NoResponse::Refused(Refusal::Full) => ProposeError::SessionFull,
        NoResponse::Malformed => ProposeError::BadResponse { reason: "no response of a session".to_owned() },
    })
}
