//! The loop: its state, one turn, and sending. Its chapters are child modules: who is let in (`accept`), whom we call
//! (`dial`), how both sides prove who they are (`greet`), what becomes of clients (`guests`), what flows then (`traffic`) and what of it takes the bulk lane
//! (`bulk`), how a connection ends (`end`) and all of them do (`close`), and what time brings (`upkeep`).

mod accept;
mod bulk;
mod close;
mod dial;
mod end;
mod greet;
mod guests;
mod traffic;
mod upkeep;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use self::close::Closing;
use super::acceptor::Acceptor;
use super::clock;
use super::connection::{Connection, Stage};
use super::greeting::Local;
use super::guests::Guests;
use super::log_gate::LogGate;
use super::peer::Peer;
use super::resolve::Resolver;
use super::waker::LoopWaker;
use crate::metrics::NetMetrics;
use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};
use crate::wire::Buffers;
use crate::wire::hello::{LANES, Lane};
use crate::wire::peer::{self, CHUNK_FRAME_HEAD_BYTES};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Tokens of connections start here and are never used again, so a late event finds nobody else.
const FIRST_CONNECTION: usize = 2;

const EVENTS_PER_TURN: usize = 256;
/// So many chunks on their way to whoever stores them share memory that is used again and again.
const CHUNKS_ON_THEIR_WAY: usize = 16;
/// The longest sleep: bounds how late the loop sees that nobody can send it anything any more.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Where the loop hands over what arrives. Never blocks.
pub(crate) trait Delivery {
    /// A message from a node that has proved who it is, and what it took on the wire.
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize);
    /// Whether nothing may be read for now. Who makes room wakes the loop.
    fn is_full(&self) -> bool;
    /// Whether nothing may be read on the bulk lane for now. Who makes room wakes the loop.
    fn is_full_of_chunks(&self) -> bool;
    /// We had no cluster, and belong to this one from now on.
    fn cluster_adopted(&self, cluster: ClusterId);
    /// We can send to `peer`, which showed this data directory.
    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation);
    /// We cannot send to `peer` any more, and what was under way may be lost.
    fn peer_lost(&self, peer: NodeId);
    /// A forward of which not one byte was written.
    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage);
}

/// The limits within which the loop works.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The longest frame taken or sent, header included.
    pub(crate) frame_bytes_max: usize,
    /// How much may wait to be written to one peer.
    pub(crate) queue_bytes_max: usize,
    /// How many bytes of snapshots may wait to be written to one peer.
    pub(crate) bulk_queue_bytes_max: usize,
    /// After how long a time without a chunk to send the bulk lane is closed.
    pub(crate) bulk_idle: Duration,
    /// After how long a time without a sign of life a connection is given up.
    pub(crate) silence: Duration,
    /// How long a handshake may take, TCP included.
    pub(crate) handshake: Duration,
    /// How many accepted connections may stand.
    pub(crate) connections_max: usize,
    /// Chance, for jitter.
    pub(crate) seed: u64,
}

/// A socket that is listened on, and a loop that does not turn yet.
#[derive(Debug)]
pub(crate) struct Bound {
    poll: Poll,
    waker: Arc<LoopWaker>,
    listener: TcpListener,
}

impl Bound {
    /// Listens on `listener`, which is bound already.
    pub(crate) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(LoopWaker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, waker, listener })
    }

    /// Wakes the loop, also before it turns.
    pub(crate) fn waker(&self) -> Arc<LoopWaker> {
        Arc::clone(&self.waker)
    }

    /// Where the listening socket is bound.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// On which lanes nothing is read for now.
#[derive(Clone, Copy, Debug, Default)]
struct Paused {
    all: bool,
    bulk: bool,
}

impl Paused {
    fn on(self, lane: Lane) -> bool {
        self.all || (self.bulk && lane == Lane::Bulk)
    }
}

/// See the top of this file.
pub(crate) struct Network {
    me: Local,
    settings: Settings,
    metrics: Arc<NetMetrics>,
    poll: Poll,
    events: Events,
    waker: Arc<LoopWaker>,
    acceptor: Acceptor<TcpListener>,
    resolver: Resolver<(NodeId, Lane)>,
    connections: BTreeMap<Token, Connection>,
    next_token: Token,
    peers: BTreeMap<NodeId, Peer>,
    /// Connections whose outbox may hold something that the kernel may take.
    to_write: Vec<Token>,
    /// Connections on which the kernel may have something for us.
    to_read: Vec<Token>,
    /// The lanes on which nothing may be read since we last looked: there, silence is our own fault.
    paused: Paused,
    closing: Closing,
    /// When the turn began.
    now: Instant,
    /// When upkeep has something to do next.
    due_at: Instant,
    strangers_log: LogGate,
    guests: Box<dyn Guests>,
    /// For the chunks of snapshots that arrive, so placed that a disk takes them from where they are.
    buffers: Buffers,
}

impl Network {
    /// A loop over a socket that is listened on.
    pub(crate) fn new(
        bound: Bound,
        me: Local,
        settings: Settings,
        metrics: Arc<NetMetrics>,
        guests: Box<dyn Guests>,
    ) -> Self {
        let now = clock::now();
        Self {
            me,
            settings,
            metrics,
            poll: bound.poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            resolver: Resolver::new(Arc::clone(&bound.waker)),
            waker: bound.waker,
            acceptor: Acceptor::new(bound.listener),
            connections: BTreeMap::new(),
            next_token: Token(FIRST_CONNECTION),
            peers: BTreeMap::new(),
            to_write: Vec::new(),
            to_read: Vec::new(),
            paused: Paused::default(),
            closing: Closing::No,
            now,
            due_at: now,
            strangers_log: LogGate::default(),
            guests,
            buffers: Buffers::new(CHUNKS_ON_THEIR_WAY, CHUNK_FRAME_HEAD_BYTES),
        }
    }

    /// Queues `message` for the next turn, or drops it if `to` is not connected or its queue is full.
    pub(crate) fn send(&mut self, group: GroupId, to: NodeId, message: PeerMessage, delivery: &dyn Delivery) {
        if !peer::is_within_limits(&message) {
            log::error!("a message to node {to} is beyond the limits of the protocol: dropped");
            return self.drop_message(group, to, message, delivery);
        }
        if let PeerMessage::Chunk(chunk) = message {
            return self.send_chunk(group, to, chunk);
        }
        let route = self.peers.get(&to).and_then(Peer::route);
        let Some((token, connection)) =
            route.and_then(|token| Some((token, self.connections.get_mut(&token)?)))
        else {
            return self.drop_message(group, to, message, delivery);
        };
        let length = peer::frame_len(&message);
        if length > self.settings.frame_bytes_max {
            let max = self.settings.frame_bytes_max;
            log::error!(
                "a message of {length} bytes to node {to} is above the frame limit of {max}: dropped"
            );
            return self.drop_message(group, to, message, delivery);
        }
        // If something waits already, a write is due, or the socket is blocked and its event will bring one.
        let is_first = connection.outbox.is_empty();
        match connection.outbox.push(group, message) {
            Ok(()) => {
                self.metrics.messages_sent.increment();
                if is_first {
                    self.to_write.push(token);
                }
            }
            Err(message) => self.drop_message(group, to, message, delivery),
        }
    }

    fn drop_message(&self, group: GroupId, to: NodeId, message: PeerMessage, delivery: &dyn Delivery) {
        match &message {
            PeerMessage::Chunk(_) => self.metrics.chunks_dropped.increment(),
            _ => self.metrics.messages_dropped.increment(),
        }
        if matches!(message, PeerMessage::Forward(_)) {
            delivery.undelivered(group, to, message);
        }
    }

    /// One turn: write, sleep unless `has_work` says that somebody waits, read, look after what is due.
    pub(crate) fn turn(&mut self, has_work: impl Fn() -> bool, delivery: &dyn Delivery) -> io::Result<()> {
        self.write_all(delivery);
        self.poll(has_work, delivery)?;
        self.now = clock::now();
        self.take_events(delivery);
        self.read_all(delivery);
        self.accept_all(delivery);
        self.dial_resolved(delivery);
        if self.due_at <= self.now {
            self.look_after_connections(delivery);
        }
        Ok(())
    }

    fn poll(&mut self, has_work: impl Fn() -> bool, delivery: &dyn Delivery) -> io::Result<()> {
        self.waker.fall_asleep();
        let timeout = if self.is_busy(delivery) || has_work() {
            Duration::ZERO
        } else {
            self.due_at.saturating_duration_since(clock::now()).min(SLEEP_MAX)
        };
        let polled = self.poll.poll(&mut self.events, Some(timeout));
        self.waker.rise();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Whether this turn has something to do that no event will announce.
    fn is_busy(&self, delivery: &dyn Delivery) -> bool {
        let takes = |lane| !delivery.is_full() && (lane == Lane::Ordinary || !delivery.is_full_of_chunks());
        let waiting = self.to_read.iter().filter_map(|token| self.connections.get(token));
        let may_read = waiting.map(|connection| connection.lane).any(takes);
        let may_resume = LANES.into_iter().any(|lane| self.paused.on(lane) && takes(lane));
        !self.to_write.is_empty()
            || (self.closing == Closing::Draining && self.is_drained())
            || !self.resolver.is_idle()
            || self.acceptor.is_ready(self.now)
            || may_read
            || may_resume
    }

    /// Remembers what the kernel said, so that it is done at its place in the turn.
    fn take_events(&mut self, delivery: &dyn Delivery) {
        let mut connecting = Vec::new();
        for event in &self.events {
            let token = event.token();
            if token == LISTENER {
                self.acceptor.knocked();
            }
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                connection.ending |= event.is_read_closed() || event.is_error();
                connection.readable = true;
                self.to_read.push(token);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                connection.writable = true;
                self.to_write.push(token);
                if connection.stage == Stage::Connecting {
                    connecting.push(token);
                }
            }
        }
        for token in connecting {
            self.go_on_connecting(token, delivery);
        }
    }

    /// Upkeep is needed no later than at `at`.
    fn due_by(&mut self, at: Instant) {
        self.due_at = self.due_at.min(at);
    }
}
