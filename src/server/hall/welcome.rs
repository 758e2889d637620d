//! Who is let in: the handshake of a client.

use mio::{Interest, Token};

use super::super::connection::{Connection, Stage};
use super::Hall;
use super::ending::Ending;
use crate::net::Guest;
use crate::wire::client_hello::{ClientHello, ClientReason, ClientWelcome};
use crate::wire::greeting::GREETING_BYTES_MAX;

impl Hall {
    /// Takes over a connection that the node's event loop has let in.
    pub(super) fn let_in(&mut self, guest: Guest) {
        let Guest { mut socket, from, said } = guest;
        // Who came while we began to close hears the end.
        if self.close_by.is_some() {
            return self.desk.connection_ended();
        }
        let token = self.connections.next_token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, token, interest) {
            log::warn!("cannot serve the client from {from}: {error}");
            self.connections.give_up(token);
            self.desk.connection_ended();
            return;
        }
        let mut connection = Connection::new(socket, from, said, self.limits.frame_bytes_max, self.now);
        connection.is_one_too_many = !self.make_room();
        self.connections.put(token, Box::new(connection));
        self.metrics.connects.increment();
        self.metrics.connections.set(self.desk.connections() as u64);
        self.to_read.push(token);
        self.due_by(self.now + self.limits.handshake_time);
    }

    /// Whether one more has room. Who has waited longest without saying what it wants makes room; clients never do.
    fn make_room(&mut self) -> bool {
        if self.desk.connections() <= self.limits.connections_max {
            return true;
        }
        let strangers = self.connections.iter().filter(|(_, one)| one.stage == Stage::AwaitingHello);
        let stranger = strangers.min_by_key(|(_, one)| one.opened_at).map(|(token, _)| token);
        let Some((token, connection)) =
            stranger.and_then(|token| Some((token, self.connections.take(token)?)))
        else {
            return false;
        };
        self.end(token, connection, &Ending::Crowded);
        true
    }

    /// Reads the hello of who came, if all of it is there, and answers.
    pub(super) fn receive_hello(&mut self, token: Token, connection: &mut Connection) -> Result<(), Ending> {
        let Some(bytes) = connection.inflow.next_greeting(ClientHello::announced_len)? else { return Ok(()) };
        let welcome = match ClientHello::decode(bytes) {
            Ok(hello) => self.judge(&hello, connection.is_one_too_many),
            Err(_) => ClientWelcome::Refused(ClientReason::Malformed),
        };
        self.queue(token, connection, |outbox| {
            outbox.append(GREETING_BYTES_MAX, |out| welcome.encode(out));
        });
        match welcome {
            ClientWelcome::Accepted { .. } => {
                connection.stage = Stage::Standing;
                connection.active_at = self.now;
                self.due_by(self.now + self.limits.idle_time);
                self.tell(token, connection)
            }
            ClientWelcome::Refused(reason) => {
                self.metrics.handshakes_refused.increment();
                if let Some(left_out) = self.log.pass(self.now) {
                    log::warn!("refused the client from {}: {reason}{left_out}", connection.from);
                }
                self.part(connection);
                Ok(())
            }
        }
    }

    /// The token is judged first: who does not know it learns nothing else.
    fn judge(&self, hello: &ClientHello, is_one_too_many: bool) -> ClientWelcome {
        let judged = if hello.token != self.token {
            Err(ClientReason::WrongToken)
        } else if self.close_by.is_some() {
            Err(ClientReason::Stopping)
        } else if is_one_too_many {
            Err(ClientReason::TooMany)
        } else {
            let version = hello.common_version().ok_or(ClientReason::NoCommonVersion);
            version.and_then(|version| {
                let cluster = self.service.cluster().ok_or(ClientReason::NoCluster)?;
                let is_other = hello.cluster.is_some_and(|wanted| wanted != cluster);
                if is_other { Err(ClientReason::OtherCluster) } else { Ok((version, cluster)) }
            })
        };
        match judged {
            Ok((version, cluster)) => {
                let frame_bytes_max = u32::try_from(self.limits.frame_bytes_max).unwrap_or(u32::MAX);
                ClientWelcome::Accepted { version, cluster, node: self.node, frame_bytes_max }
            }
            Err(reason) => ClientWelcome::Refused(reason),
        }
    }
}
