//! Whom we call, and when we call again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use mio::Token;
use mio::net::TcpStream;

use super::super::connection::{Connection, Side, Stage};
use super::super::peer::{Dial, Peer};
use super::end::Ending;
use super::{Delivery, Network};
use crate::types::{Incarnation, NodeId};
use crate::wire::greeting::GREETING_BYTES_MAX;
use crate::wire::hello::{LANES, Lane, Reason};

impl Network {
    /// From now on these are the peers to dial. Who is not among them any more is dialled no longer, but may still come.
    pub(crate) fn set_peers(
        &mut self,
        known: BTreeMap<NodeId, (String, Option<Incarnation>)>,
        may_be_former: bool,
        delivery: &dyn Delivery,
    ) {
        let mut known = known;
        known.remove(&self.me.node);
        let all: BTreeSet<NodeId> = self.peers.keys().chain(known.keys()).copied().collect();
        for id in all {
            let (address, expected) = known.remove(&id).map_or((None, None), |(at, shown)| (Some(at), shown));
            self.peer_mut(id).may_be_former = may_be_former;
            self.set_peer(id, address, expected, delivery);
        }
        self.due_at = self.now;
    }

    fn set_peer(
        &mut self,
        id: NodeId,
        address: Option<String>,
        expected: Option<Incarnation>,
        delivery: &dyn Delivery,
    ) {
        let peer = self.peer_mut(id);
        peer.expected = expected;
        if peer.address != address {
            peer.address = address;
            self.redial(id, delivery);
        }
        for token in self.peer_mut(id).tokens() {
            let shown =
                self.connections.get(&token).and_then(Connection::standing).map(|one| one.incarnation);
            let demanded = shown.and_then(|shown| self.peer_mut(id).demanded_of(shown));
            if demanded.is_some() && demanded != shown {
                self.end(token, &Ending::RefusedByUs(Reason::ContradictingIncarnation), delivery);
            }
        }
        self.announce(id, delivery);
        self.forget(id);
    }

    /// `id` is reached elsewhere from now on, or not at all: what we dialled is of no use any more.
    fn redial(&mut self, id: NodeId, delivery: &dyn Delivery) {
        for lane in LANES {
            if let Some(token) = self.peer_mut(id).line(lane).dialled() {
                self.end(token, &Ending::Unwanted, delivery);
            }
            let until = self.now;
            let peer = self.peer_mut(id);
            let wanted = peer.address.is_some();
            let line = peer.line_mut(lane);
            line.dial = match (lane, line.dial) {
                _ if !wanted => Dial::Idle,
                // When the answer comes, the new address will be asked for.
                (_, Dial::Resolving) => Dial::Resolving,
                (Lane::Ordinary, _) => Dial::Waiting { until, refused: false },
                (Lane::Bulk, _) => Dial::Idle,
            };
        }
        self.drop_chunks(id);
    }

    /// What we know of `id`, from now on if not before.
    pub(super) fn peer_mut(&mut self, id: NodeId) -> &mut Peer {
        let seed = self.settings.seed ^ self.me.node.get().rotate_left(32) ^ id.get();
        self.peers.entry(id).or_insert_with(|| Peer::new(seed))
    }

    /// Drops what we know of `id`, if it is nothing any more.
    pub(super) fn forget(&mut self, id: NodeId) {
        if self.peers.get(&id).is_some_and(Peer::is_forgotten) {
            self.peers.remove(&id);
        }
    }

    /// Dials `id` now, or asks for its address first. The bulk lane is dialled only if something waits for it.
    pub(super) fn dial(&mut self, id: NodeId, lane: Lane, delivery: &dyn Delivery) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if lane == Lane::Bulk && peer.chunks.is_empty() {
            peer.line_mut(lane).dial = Dial::Idle;
            return;
        }
        let Some(address) = &peer.address else { return };
        match self.resolver.resolve((id, lane), address) {
            Some(found) => self.connect(id, lane, &found, delivery),
            None => peer.line_mut(lane).dial = Dial::Resolving,
        }
    }

    /// Goes on with the dials whose names are resolved.
    pub(super) fn dial_resolved(&mut self, delivery: &dyn Delivery) {
        for resolved in self.resolver.take() {
            let (id, lane) = resolved.key;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.line(lane).dial != Dial::Resolving {
                continue;
            }
            if peer.address.as_ref() == Some(&resolved.address) {
                self.connect(id, lane, &resolved.found, delivery);
            } else {
                self.dial(id, lane, delivery);
            }
        }
    }

    fn connect(&mut self, id: NodeId, lane: Lane, found: &[SocketAddr], delivery: &dyn Delivery) {
        let peer = self.peer_mut(id);
        let address = peer.address.clone().unwrap_or_default();
        let line = peer.line_mut(lane);
        let Some(&at) = found.get(line.dials % found.len().max(1)) else {
            log::warn!("the address {address} of node {id} cannot be resolved");
            return self.dial_later(id, lane, false);
        };
        line.dials = line.dials.wrapping_add(1);
        match TcpStream::connect(at).and_then(|socket| self.add(socket, Side::Dialled(id), lane)) {
            Ok(token) => {
                self.peer_mut(id).line_mut(lane).dial = Dial::Trying(token);
                self.due_by(self.now + self.settings.handshake);
                self.go_on_connecting(token, delivery);
            }
            Err(error) => {
                log::debug!("cannot dial node {id} at {address}: {error}");
                self.dial_later(id, lane, false);
            }
        }
    }

    /// Waits before the next dial: long after a refusal, which only a person can change.
    pub(super) fn dial_later(&mut self, id: NodeId, lane: Lane, refused: bool) {
        if lane == Lane::Bulk {
            self.drop_chunks(id);
        }
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wanted = peer.address.is_some();
        let line = peer.line_mut(lane);
        if !wanted {
            line.dial = Dial::Idle;
            return;
        }
        let wait = if refused { line.backoff.wait_after_refusal() } else { line.backoff.wait() };
        let until = now + wait;
        line.dial = Dial::Waiting { until, refused };
        self.due_by(until);
    }

    /// `id` showed that it lives: no reason to wait any longer before dialling it.
    pub(super) fn dial_soon(&mut self, id: NodeId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for lane in LANES {
            let dial = &mut peer.line_mut(lane).dial;
            if matches!(dial, Dial::Waiting { refused: false, .. }) {
                *dial = Dial::Waiting { until: now, refused: false };
            }
        }
        self.due_by(now);
    }

    /// Says hello as soon as TCP has connected.
    pub(super) fn go_on_connecting(&mut self, token: Token, delivery: &dyn Delivery) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Side::Dialled(id) = connection.side else { return };
        let connected = match connection.has_connected() {
            Ok(false) => return,
            Ok(true) => connection.socket.set_nodelay(true),
            Err(error) => Err(error),
        };
        if let Err(error) = connected {
            return self.end(token, &Ending::Broken(error), delivery);
        }
        connection.stage = Stage::Greeting;
        connection.writable = true;
        let hello = self.me.hello_to(id, connection.lane);
        connection.outbox.append(GREETING_BYTES_MAX, |out| hello.encode(out));
        self.to_write.push(token);
        self.to_read.push(token);
    }
}

/// The end of a stream, as an error.
pub(super) fn closed_by_peer() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side")
}
