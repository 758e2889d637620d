//! Who is let in.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::super::connection::{Connection, Side, Stage};
use super::end::Ending;
use super::{Delivery, Network};
use crate::wire::hello::Lane;

/// How many are let in per turn: a storm of connections must not keep the loop from its peers.
const ACCEPTS_PER_TURN: usize = 64;

impl Network {
    /// Lets in who waits at the listening socket.
    pub(super) fn accept_all(&mut self, delivery: &dyn Delivery) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.acceptor.next(self.now) {
                Ok(Some((socket, from))) => self.accept(socket, from, delivery),
                Ok(None) => return,
                Err(error) => {
                    self.metrics.turned_away.increment();
                    if let Some(left_out) = self.strangers_log.pass(self.now) {
                        log::error!("cannot accept connections for now: {error}{left_out}");
                    }
                    if let Some(at) = self.acceptor.resume_at() {
                        self.due_by(at);
                    }
                    return;
                }
            }
        }
    }

    fn accept(&mut self, socket: TcpStream, from: SocketAddr, delivery: &dyn Delivery) {
        if !self.make_room(delivery) {
            self.metrics.turned_away.increment();
            return;
        }
        match self.add(socket, Side::Accepted(from), Lane::Ordinary) {
            Ok(token) => self.hear_soon(token),
            Err(error) => log::warn!("cannot serve the connection from {from}: {error}"),
        }
        self.due_by(self.now + self.settings.handshake);
    }

    /// Most have said who they are by the time they are let in. Heard in the next turn, before others are let in, they are
    /// no strangers, and make room for the rest of a crowd.
    fn hear_soon(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.readable = true;
            self.to_read.push(token);
        }
    }

    /// Whether one more may come in. Who has waited longest without saying who it is makes room; peers never do.
    fn make_room(&mut self, delivery: &dyn Delivery) -> bool {
        let accepted = || self.connections.iter().filter(|(_, one)| matches!(one.side, Side::Accepted(_)));
        if accepted().count() < self.settings.connections_max {
            return true;
        }
        let stranger = accepted()
            .filter(|(_, one)| one.standing().is_none())
            .min_by_key(|(_, one)| one.opened_at)
            .map(|(&token, _)| token);
        if let Some(stranger) = stranger {
            self.metrics.turned_away.increment();
            self.end(stranger, &Ending::Crowded, delivery);
        }
        stranger.is_some()
    }

    /// Puts a socket under the loop's care, and says by which token it is known.
    pub(super) fn add(&mut self, mut socket: TcpStream, side: Side, lane: Lane) -> io::Result<Token> {
        let token = self.next_token;
        self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let frame_max = self.settings.frame_bytes_max;
        let queue_max = match lane {
            Lane::Ordinary => self.settings.queue_bytes_max,
            Lane::Bulk => self.settings.bulk_queue_bytes_max,
        };
        let connection = Connection::new(socket, side, lane, frame_max, queue_max, self.now);
        if connection.stage == Stage::AwaitingHello {
            connection.socket.set_nodelay(true)?;
        }
        self.next_token = Token(token.0 + 1);
        self.connections.insert(token, connection);
        Ok(token)
    }
}
