//! The client's thread: it owns every socket, carries requests and answers, and wakes whoever waited. What goes where is
//! [routing](super::routing)'s affair. Its chapters are child modules: how connections come to stand (`dialling`), what flows
//! on them (`traffic`).

mod dialling;
mod traffic;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::end::End;
use super::inbox::{Inbox, Submitted, Taken};
use super::routing::{LinkId, Routing};
use crate::net::{LoopWaker, Resolver, clock};
use crate::ticket::StopCause;
use crate::types::{ClientCall, ClientRequest, ClusterId, SessionId};
use crate::wire::greeting::Secret;

pub(super) const WAKER: Token = Token(0);
/// Tokens of connections start here and are never used again, so a late event finds nobody else.
const FIRST_CONNECTION: usize = 1;
const EVENTS_PER_TURN: usize = 64;

/// What the thread begins with.
pub(super) struct Beginning {
    pub(super) poll: Poll,
    pub(super) waker: Arc<LoopWaker>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) routing: Routing<End>,
    pub(super) token: Secret,
    /// For those who want to know which cluster it is.
    pub(super) cluster: Arc<OnceLock<ClusterId>>,
}

/// See the top of this file.
pub(super) struct Courier {
    poll: Poll,
    events: Events,
    inbox: Arc<Inbox>,
    routing: Routing<End>,
    token: Secret,
    cluster: Arc<OnceLock<ClusterId>>,
    resolver: Resolver<()>,
    /// The addresses that are being looked up, and which connection waits for that, if one still does.
    lookups: BTreeMap<String, Option<LinkId>>,
    /// How often we dialled: takes turns among the addresses of one name.
    dials: usize,
    connections: BTreeMap<LinkId, Connection>,
    /// Connections whose outbox may hold something that the kernel may take.
    to_write: Vec<LinkId>,
    /// Connections on which the kernel may have something for us.
    to_read: Vec<LinkId>,
    /// When the turn began.
    now: Instant,
}

impl Courier {
    pub(super) fn new(beginning: Beginning) -> Self {
        let Beginning { poll, waker, inbox, routing, token, cluster } = beginning;
        Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            inbox,
            routing,
            token,
            cluster,
            resolver: Resolver::new(waker),
            lookups: BTreeMap::new(),
            dials: 0,
            connections: BTreeMap::new(),
            to_write: Vec::new(),
            to_read: Vec::new(),
            now: clock::now(),
        }
    }

    /// Turns until nobody holds the client any more.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut calls = Vec::new();
        loop {
            let taken = self.inbox.take(&mut calls);
            for Submitted { ask, end, deadline } in calls.drain(..) {
                self.routing.submit(ask, end, deadline);
            }
            if taken == Taken::Closing {
                return Ok(());
            }
            self.route();
            self.write_all();
            self.poll()?;
            self.now = clock::now();
            self.take_events();
            self.read_all();
            self.dial_resolved();
        }
    }

    /// All calls end: nothing is sent any more but a word that the session is of no use, if that can be said at once.
    pub(super) fn stop(&mut self, cause: &StopCause) {
        if let Some((link, session)) = self.routing.session_to_close() {
            self.say_farewell(link, session);
        }
        for end in self.routing.stop() {
            end.stop(cause);
        }
    }

    fn say_farewell(&mut self, link: LinkId, session: SessionId) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        // No answer is read: any number will do that is not under way.
        let call = ClientCall::CloseSession(session);
        connection.push(&ClientRequest { id: u64::MAX, within: Duration::from_secs(1), call });
        // If it cannot be said, the session expires some day.
        let _ = connection.write();
    }

    /// Does what routing asks for, until it asks for nothing more.
    fn route(&mut self) {
        loop {
            self.routing.turn(self.now);
            let ready = self.routing.ready();
            let (mut finished, mut send) =
                (std::mem::take(&mut ready.finished), std::mem::take(&mut ready.send));
            let (close, dial) = (std::mem::take(&mut ready.close), std::mem::take(&mut ready.dial));
            for (end, verdict) in finished.drain(..) {
                end.finish(verdict);
            }
            for link in &close {
                self.lose(*link, "it was closed");
            }
            for (link, request) in send.drain(..) {
                self.queue(link, &request);
            }
            for (link, address) in dial {
                self.dial(link, address);
            }
            // Their allocations serve the next turn.
            let ready = self.routing.ready();
            if ready.finished.is_empty() && ready.send.is_empty() {
                (ready.finished, ready.send) = (finished, send);
            }
            if close.is_empty() && self.routing.ready().is_empty() {
                return;
            }
        }
    }

    fn poll(&mut self) -> io::Result<()> {
        self.inbox.waker().fall_asleep();
        let is_busy = !self.to_read.is_empty()
            || !self.to_write.is_empty()
            || self.inbox.is_touched()
            || !self.resolver.is_idle();
        let timeout = if is_busy {
            Some(Duration::ZERO)
        } else {
            self.routing.due_at().map(|due_at| due_at.saturating_duration_since(clock::now()))
        };
        let polled = self.poll.poll(&mut self.events, timeout);
        self.inbox.waker().rise();
        match polled {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Remembers what the kernel said, so that it is done at its place in the turn.
    fn take_events(&mut self) {
        let mut connecting = Vec::new();
        for event in &self.events {
            let Some(number) = event.token().0.checked_sub(FIRST_CONNECTION) else { continue };
            let link = LinkId(number);
            let Some(connection) = self.connections.get_mut(&link) else { continue };
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                connection.ending |= event.is_read_closed() || event.is_error();
                connection.readable = true;
                self.to_read.push(link);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                connection.writable = true;
                connection.mark_to_be_written(link, &mut self.to_write);
                connecting.push(link);
            }
        }
        for link in connecting {
            self.go_on_connecting(link);
        }
    }

    /// A connection is over.
    fn lose(&mut self, link: LinkId, why: &str) {
        let Some(mut connection) = self.connections.remove(&link) else { return };
        if let Some(socket) = connection.socket() {
            // Closing the socket would do; this fails only for one that the kernel has let go of already.
            let _ = self.poll.registry().deregister(socket);
        }
        if let Some(waits) = self.lookups.get_mut(&connection.address)
            && *waits == Some(link)
        {
            *waits = None;
        }
        self.routing.lost(link, why, connection.requests_written(), self.now);
    }
}
