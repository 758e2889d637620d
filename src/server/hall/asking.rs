//! How a request is judged, and asked of the node. Nothing here waits: the answer comes to the desk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mio::Token;

use super::super::connection::Connection;
use super::super::desk::{Desk, Reply};
use super::super::replies::{asked as answer_to_query, not_proposed, proposed};
use super::ending::Ending;
use super::{Asked, Hall};
use crate::ticket::panic_message;
use crate::types::{ClientAnswer, ClientCall, ClientRefused, ServerMessage};
use crate::wire::client;
use crate::wire::frame::{self, CLIENT_VERSION};

/// Where the answer to one request goes.
struct Replier {
    desk: Arc<Desk>,
    asked: Asked,
}

impl Replier {
    fn reply(self, outcome: Result<ClientAnswer, ClientRefused>) {
        let Asked { by, id, bytes } = self.asked;
        self.desk.put(|tray| tray.replies.push(Reply { to: by, id, bytes, outcome }));
    }
}

impl Hall {
    /// One whole frame.
    pub(super) fn take_request(
        &mut self,
        token: Token,
        connection: &mut Connection,
        frame: Bytes,
    ) -> Result<(), Ending> {
        let bytes = frame.len();
        let request = client::decode_request(frame::open(CLIENT_VERSION, frame)?)?;
        self.metrics.requests.increment();
        connection.active_at = self.now;
        connection.arriving_since = None;
        if let Some(refused) = self.refusal(connection, bytes) {
            let reply = ServerMessage::Reply { id: request.id, outcome: Err(refused) };
            return self.say(token, connection, reply);
        }
        connection.requests += 1;
        connection.request_bytes += bytes;
        self.totals.under_way += bytes;
        let within = request.within.min(self.limits.within_max);
        self.ask(Asked { by: token, id: request.id, bytes }, request.call, within);
        Ok(())
    }

    /// Why it is not even asked for, if it is not.
    fn refusal(&self, connection: &Connection, bytes: usize) -> Option<ClientRefused> {
        if self.close_by.is_some() {
            return Some(ClientRefused::Stopped);
        }
        let limits = &self.limits;
        let exceeds = |under_way: usize, max| under_way > 0 && under_way + bytes > max;
        let is_too_much = connection.requests >= limits.connection_requests_max
            || exceeds(connection.request_bytes, limits.connection_bytes_max)
            || exceeds(self.totals.under_way, limits.in_flight_bytes_max);
        is_too_much.then_some(ClientRefused::Busy)
    }

    /// The state machine's own code decodes what it is given, and may panic: then only this request comes to nothing.
    fn ask(&mut self, asked: Asked, call: ClientCall, within: Duration) {
        let is_query = matches!(call, ClientCall::Query { .. });
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.submit(asked, call, within))) else { return };
        let message = panic_message(&*panic);
        log::error!("a client's request made its decoding panic: {message}");
        let refused = if is_query { ClientRefused::Panicked { message } } else { ClientRefused::Malformed };
        self.replier(asked).reply(Err(refused));
    }

    fn submit(&mut self, asked: Asked, call: ClientCall, within: Duration) {
        let replier = self.replier(asked);
        match call {
            ClientCall::Propose { session, command } => {
                let ticket = self.service.propose(session, command, within);
                ticket.on_done(move |outcome| replier.reply(proposed(outcome)));
            }
            ClientCall::OpenSession => {
                let ticket = self.service.open_session(within);
                ticket.on_done(move |outcome| {
                    replier.reply(outcome.map(ClientAnswer::SessionOpened).map_err(not_proposed));
                });
            }
            ClientCall::CloseSession(session) => {
                let ticket = self.service.close_session(session, within);
                ticket.on_done(move |outcome| {
                    replier.reply(outcome.map(|()| ClientAnswer::SessionClosed).map_err(not_proposed));
                });
            }
            ClientCall::Query { query, local } => {
                let ticket = self.service.query(query, local, within);
                ticket.on_done(move |outcome| replier.reply(answer_to_query(outcome)));
            }
            ClientCall::Status => self.show(asked),
        }
    }

    fn replier(&self, asked: Asked) -> Replier {
        Replier { desk: Arc::clone(&self.desk), asked }
    }
}
