//! The clients' thread: its state and one turn. Its chapters are child modules: who is let in (`welcome`), what comes from
//! them (`reading`), how it is judged and asked of the node (`asking`), what goes back (`answering`, `writing`), how the node
//! is looked at (`looking`), what time brings (`upkeep`), and how connections (`ending`) and the whole come to their end
//! (`closing`).

mod answering;
mod asking;
mod closing;
mod ending;
mod looking;
mod reading;
mod upkeep;
mod welcome;
mod writing;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use self::looking::{Onlookers, Picture};
use super::desk::{Desk, Tray};
use super::limits::Limits;
use super::registry::Registry;
use super::service::Service;
use crate::metrics::ServerMetrics;
use crate::net::{Guest, Inflow, LogGate, clock};
use crate::ticket::StopCause;
use crate::types::NodeId;
use crate::wire::greeting::Secret;

/// The token of the waker. No connection has it: the first time a place is taken it counts as taken once.
pub(super) const WAKER: Token = Token(0);
const EVENTS_PER_TURN: usize = 1024;

/// A request, as it is remembered until it is answered.
#[derive(Clone, Copy, Debug)]
struct Asked {
    by: Token,
    id: u64,
    bytes: usize,
}

/// Bytes, over all connections.
#[derive(Default)]
struct Totals {
    /// Of requests that are not answered.
    under_way: usize,
    /// Room that was granted for requests that have not arrived whole.
    granted: usize,
    /// Of such requests, without that.
    kept: usize,
    /// Of answers that were not written.
    unread: usize,
}

/// What the thread begins with.
pub(super) struct Beginning {
    pub(super) poll: Poll,
    pub(super) desk: Arc<Desk>,
    pub(super) service: Box<dyn Service>,
    pub(super) node: NodeId,
    pub(super) token: Secret,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<ServerMetrics>,
}

/// See the top of this file.
pub(super) struct Hall {
    poll: Poll,
    events: Events,
    desk: Arc<Desk>,
    service: Box<dyn Service>,
    node: NodeId,
    token: Secret,
    limits: Limits,
    metrics: Arc<ServerMetrics>,
    connections: Registry,
    totals: Totals,
    /// Known once the node was looked at for the first time. Until then nobody is let in.
    picture: Option<Picture>,
    lobby: Vec<Guest>,
    onlookers: Onlookers,
    /// Lent to whoever is read.
    buffer: Box<[u8]>,
    /// Empty, for whoever has something to write.
    spare_blocks: Vec<Vec<u8>>,
    /// Connections on which the kernel may have something for us.
    to_read: Vec<Token>,
    /// Connections whose outbox may hold something that the kernel may take.
    to_write: Vec<Token>,
    /// Connections that wait for room to be read.
    starved: VecDeque<Token>,
    /// All must have ended by then.
    close_by: Option<Instant>,
    /// When the turn began.
    now: Instant,
    /// When upkeep has something to do next.
    due_at: Option<Instant>,
    log: LogGate,
}

impl Hall {
    pub(super) fn new(beginning: Beginning) -> Self {
        let Beginning { poll, desk, service, node, token, limits, metrics } = beginning;
        Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            desk,
            service,
            node,
            token,
            limits,
            metrics,
            connections: Registry::default(),
            totals: Totals::default(),
            picture: None,
            lobby: Vec::new(),
            onlookers: Onlookers::default(),
            buffer: Inflow::buffer_to_lend(),
            spare_blocks: Vec::new(),
            to_read: Vec::new(),
            to_write: Vec::new(),
            starved: VecDeque::new(),
            close_by: None,
            now: clock::now(),
            due_at: None,
            log: LogGate::default(),
        }
    }

    /// Turns until it is told to close, and all have parted.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut tray = Tray::default();
        self.look();
        while !self.is_over() {
            self.poll()?;
            self.now = clock::now();
            self.desk.take(&mut tray);
            self.take_tray(&mut tray);
            self.take_events();
            self.read_all();
            self.write_all();
            self.cut_off_hoarders();
            if self.due_at.is_some_and(|at| at <= self.now) {
                self.look_after_connections();
            }
        }
        self.end_all();
        Ok(())
    }

    /// Something failed: the node must not go on without whoever serves its clients.
    pub(super) fn fail(&self, cause: StopCause) {
        self.service.stop_for(cause);
    }

    fn poll(&mut self) -> io::Result<()> {
        self.desk.waker().fall_asleep();
        let is_busy = !self.to_read.is_empty() || !self.to_write.is_empty() || self.desk.is_touched();
        let timeout = match self.due_at {
            _ if is_busy => Some(Duration::ZERO),
            Some(due_at) => Some(due_at.saturating_duration_since(clock::now())),
            None => None,
        };
        let polled = self.poll.poll(&mut self.events, timeout);
        self.desk.waker().rise();
        match polled {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    fn take_tray(&mut self, tray: &mut Tray) {
        if tray.node_ended {
            self.close_soon();
        }
        if let Some(deadline) = tray.close_by {
            self.close(deadline);
        }
        if tray.has_changed {
            self.look_again();
        }
        if let Some(seen) = tray.seen.take() {
            self.saw(seen);
        }
        self.lobby.append(&mut tray.guests);
        if self.picture.is_some() {
            for guest in take(&mut self.lobby) {
                self.let_in(guest);
            }
        }
        for reply in tray.replies.drain(..) {
            self.answer(reply);
        }
        tray.clear();
    }

    /// Remembers what the kernel said, so that it is done at its place in the turn.
    fn take_events(&mut self) {
        for event in &self.events {
            let token = event.token();
            let Some(connection) = self.connections.get_mut(token) else { continue };
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                connection.ending |= event.is_read_closed() || event.is_error();
                connection.readable = true;
                self.to_read.push(token);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                connection.writable = true;
                if !connection.outbox.is_empty() {
                    connection.mark_to_be_written(token, &mut self.to_write);
                }
            }
        }
    }

    /// Upkeep is needed no later than at `at`.
    fn due_by(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |due_at| due_at.min(at)));
    }
}
