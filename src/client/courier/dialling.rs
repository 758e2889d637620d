//! How connections come to stand.

use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::super::connection::{Connection, Stage};
use super::{Courier, FIRST_CONNECTION};
use crate::client::routing::LinkId;
use crate::wire::client_hello::{CLIENT_VERSIONS, ClientHello, ClientWelcome};
use crate::wire::greeting::GREETING_BYTES_MAX;

impl Courier {
    /// Dials an address, or asks first where that is. Nothing is asked twice at once.
    pub(super) fn dial(&mut self, link: LinkId, address: String) {
        self.connections.insert(link, Connection::new(address.clone()));
        if let Some(waits) = self.lookups.get_mut(&address) {
            *waits = Some(link);
            return;
        }
        match self.resolver.resolve((), &address) {
            Some(found) => self.connect(link, &found),
            None => {
                self.lookups.insert(address, Some(link));
            }
        }
    }

    /// Goes on with the dials whose names are looked up.
    pub(super) fn dial_resolved(&mut self) {
        for resolved in self.resolver.take() {
            if let Some(Some(link)) = self.lookups.remove(&resolved.address) {
                self.connect(link, &resolved.found);
            }
        }
    }

    fn connect(&mut self, link: LinkId, found: &[SocketAddr]) {
        let Some(&at) = found.get(self.dials % found.len().max(1)) else {
            return self.lose(link, "the name cannot be resolved");
        };
        self.dials = self.dials.wrapping_add(1);
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let token = Token(link.0 + FIRST_CONNECTION);
        let connected = TcpStream::connect(at).and_then(|mut socket| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, token, interest)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => {
                connection.stage = Stage::Connecting(socket);
                self.go_on_connecting(link);
            }
            Err(error) => self.lose(link, &error.to_string()),
        }
    }

    /// Says hello as soon as TCP has connected.
    pub(super) fn go_on_connecting(&mut self, link: LinkId) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let greeted = match connection.has_connected() {
            Ok(false) => return,
            Ok(true) => connection.greet(),
            Err(error) => Err(error),
        };
        if let Err(error) = greeted {
            return self.lose(link, &error.to_string());
        }
        let hello = ClientHello {
            versions: CLIENT_VERSIONS,
            cluster: self.routing.cluster(),
            token: self.token.clone(),
        };
        connection.outbox.append(GREETING_BYTES_MAX, |out| hello.encode(out));
        connection.mark_to_be_written(link, &mut self.to_write);
        self.to_read.push(link);
    }

    /// Reads the answer to our hello, if all of it is there.
    pub(super) fn receive_welcome(&mut self, link: LinkId) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&link) else { return Ok(()) };
        let malformed = |error| format!("it does not answer as a node does: {error}");
        let greeting = connection.inflow.next_greeting(ClientWelcome::announced_len).map_err(malformed)?;
        let Some(bytes) = greeting else { return Ok(()) };
        let welcome = ClientWelcome::decode(bytes).map_err(malformed)?;
        connection.open();
        self.routing.welcomed(link, welcome);
        if let Some(cluster) = self.routing.cluster() {
            self.cluster.get_or_init(|| cluster);
        }
        Ok(())
    }
}
