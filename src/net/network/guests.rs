//! Connections that turn out to be clients': handed over, or refused in words.

use mio::Token;

use super::super::connection::{Side, Stage};
use super::super::guests::Guest;
use super::Network;
use super::end::Ending;
use crate::wire::client_hello::{ClientHello, ClientReason, ClientWelcome};
use crate::wire::greeting::GREETING_BYTES_MAX;

impl Network {
    /// Whether who came speaks as clients do.
    pub(super) fn is_guest(&self, token: Token) -> bool {
        let first = self.connections.get(&token).and_then(|connection| connection.inflow.first());
        first.is_some_and(ClientHello::begins_with)
    }

    /// A client came. Whoever serves clients is given its socket; else it is refused, once it has said all its hello.
    pub(super) fn receive_guest(&mut self, token: Token) -> Result<(), Ending> {
        match self.guests.refusal() {
            None => {
                self.hand_over(token);
                Ok(())
            }
            Some(reason) => self.turn_away(token, reason),
        }
    }

    fn hand_over(&mut self, token: Token) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        let Side::Accepted(from) = connection.side else { unreachable!("we dial no clients") };
        match self.poll.registry().deregister(&mut connection.socket) {
            Ok(()) => {
                self.metrics.guests.increment();
                let said = connection.inflow.into_waiting();
                self.guests.arrive(Guest { socket: connection.socket, from, said });
            }
            Err(error) => log::warn!("cannot hand over the client from {from}: {error}"),
        }
    }

    fn turn_away(&mut self, token: Token, reason: ClientReason) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let Some(bytes) = connection.inflow.next_greeting(ClientHello::announced_len)? else { return Ok(()) };
        let hello = ClientHello::decode(bytes)?;
        // Who does not know the token learns nothing else.
        let reason = if hello.token == self.me.token { reason } else { ClientReason::WrongToken };
        connection.outbox.append(GREETING_BYTES_MAX, |out| ClientWelcome::Refused(reason).encode(out));
        connection.stage = Stage::Refusing;
        self.to_write.push(token);
        self.metrics.guests_refused.increment();
        let from = connection.side;
        if let Some(left_out) = self.strangers_log.pass(self.now) {
            log::warn!("refused a client, {from}: {reason}{left_out}");
        }
        Ok(())
    }
}
