//! The transport between machines: TCP, by the event loop of [`crate::net`], which see for how it works.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Inbox, LocalNode, Peers, SendJob, Transport, TransportError, Wake};
use crate::metrics::NetMetrics;
use crate::net::{Bound, Delivery, Guests, Local, LoopWaker, Network, NoGuests, Settings};
use crate::types::{ClusterId, GroupId, Incarnation, Membership, NodeId, PeerMessage};
use crate::wire::greeting::{Secret, TOKEN_BYTES_MAX};

/// How many jobs are taken before the sockets have their turn again.
const JOBS_PER_TURN: usize = 4096;
/// How long a closing transport waits for its sockets to take what is queued, and for its peers to read it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Below this, not even a membership would fit a frame.
const FRAME_BYTES_MIN: usize = 64 << 10;
const FRAME_BYTES_LIMIT: usize = 1 << 30;

/// Where to listen.
#[derive(Debug)]
pub enum Listen {
    /// At this address, `host:port`.
    Address(String),
    /// With a socket that is bound already: a test that lets the kernel choose the port has no race so.
    Socket(TcpListener),
}

/// How a [`TcpTransport`] works. [`TcpConfig::new`] fills in what suits most.
pub struct TcpConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Where the other nodes reach this one, `host:port`.
    pub advertised: String,
    /// What every node of the cluster must know to be heard, if anything; at most 1 KiB.
    pub token: Option<Vec<u8>>,
    /// The longest message, framing included.
    pub frame_bytes_max: usize,
    /// How much may wait for one peer; what does not fit is dropped.
    pub queue_bytes_max: usize,
    /// How many bytes of snapshots may wait for one peer; what does not fit is dropped, and asked for again.
    pub bulk_queue_bytes_max: usize,
    /// After how long a time without a chunk to send the lane for them is closed.
    pub bulk_idle: Duration,
    /// After how long a time without a sign of life a connection is given up.
    pub silence: Duration,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How many connections of others may stand.
    pub connections_max: usize,
    /// Chance, for the jitter between dials: different on each node.
    pub seed: u64,
    /// Where traffic is counted.
    pub metrics: Arc<NetMetrics>,
}

impl TcpConfig {
    /// Messages of 16 MiB and their framing, 64 MiB queued per peer and 16 MiB of snapshots, 5 s until the lane for these is
    /// closed, 5 s of silence, 5 s for a handshake, 256 connections.
    pub fn new(listen: Listen, advertised: impl Into<String>) -> Self {
        Self {
            listen,
            advertised: advertised.into(),
            token: None,
            frame_bytes_max: (16 << 20) + (64 << 10),
            queue_bytes_max: 64 << 20,
            bulk_queue_bytes_max: 16 << 20,
            bulk_idle: Duration::from_secs(5),
            silence: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            connections_max: 256,
            seed: 0,
            metrics: Arc::default(),
        }
    }

    fn check(&self) -> Result<(), TransportError> {
        let token_bytes = self.token.as_ref().map_or(0, Vec::len);
        let broken = [
            (
                self.advertised.len() > Membership::ADDRESS_BYTES_MAX,
                "the advertised address is longer than 256 bytes",
            ),
            (token_bytes > TOKEN_BYTES_MAX, "the token is longer than 1 KiB"),
            (
                !(FRAME_BYTES_MIN..=FRAME_BYTES_LIMIT).contains(&self.frame_bytes_max),
                "the frame limit is not between 64 KiB and 1 GiB",
            ),
            (
                self.silence.is_zero() || self.handshake.is_zero(),
                "a connection needs some time to show that it lives",
            ),
            (self.connections_max == 0, "no connection may stand"),
        ];
        match broken.into_iter().find(|&(is_broken, _)| is_broken) {
            Some((_, why)) => Err(TransportError::Misconfigured(why)),
            None => Ok(()),
        }
    }
}

/// A [`Transport`] over TCP: listens from the moment it is made, talks while it runs.
pub struct TcpTransport {
    bound: Bound,
    address: SocketAddr,
    settings: Settings,
    advertised: String,
    token: Secret,
    metrics: Arc<NetMetrics>,
    guests: Box<dyn Guests>,
}

impl TcpTransport {
    /// Listens. Who dials from now on is answered once the transport runs.
    pub fn bind(config: TcpConfig) -> Result<Self, TransportError> {
        config.check()?;
        let listener = match config.listen {
            Listen::Socket(listener) => listener,
            Listen::Address(address) => {
                TcpListener::bind(&address).map_err(|source| TransportError::Listen { address, source })?
            }
        };
        let bound = Bound::new(listener)?;
        Ok(Self {
            address: bound.local_addr()?,
            bound,
            settings: Settings {
                frame_bytes_max: config.frame_bytes_max,
                queue_bytes_max: config.queue_bytes_max,
                bulk_queue_bytes_max: config.bulk_queue_bytes_max,
                bulk_idle: config.bulk_idle,
                silence: config.silence,
                handshake: config.handshake,
                connections_max: config.connections_max,
                seed: config.seed,
            },
            advertised: config.advertised,
            token: Secret::new(config.token.unwrap_or_default()),
            metrics: config.metrics,
            guests: Box::new(NoGuests),
        })
    }

    /// From now on clients are handed over to `guests`; else they are refused.
    pub(crate) fn serve(&mut self, guests: Box<dyn Guests>) {
        self.guests = guests;
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Transport for TcpTransport {
    fn waker(&self) -> Arc<dyn Wake> {
        self.bound.waker()
    }

    fn run(
        self: Box<Self>,
        local: LocalNode,
        jobs: Receiver<SendJob>,
        inbox: Arc<dyn Inbox>,
    ) -> Result<(), TransportError> {
        let me = Local {
            node: local.id,
            cluster: local.cluster,
            incarnation: local.incarnation,
            advertised: self.advertised,
            token: self.token,
        };
        let mut network = Network::new(self.bound, me, self.settings, self.metrics, self.guests);
        let door = Door(inbox);
        while take_jobs(&mut network, &jobs, &door) == Jobs::MayFollow {
            network.turn(|| !jobs.is_empty(), &door)?;
        }
        Ok(network.close(CLOSE_WITHIN, &door)?)
    }
}

#[derive(PartialEq, Eq)]
enum Jobs {
    MayFollow,
    AreOver,
}

fn take_jobs(network: &mut Network, jobs: &Receiver<SendJob>, door: &Door) -> Jobs {
    for _ in 0..JOBS_PER_TURN {
        match jobs.try_recv() {
            Ok(SendJob::Message { group, to, message }) => network.send(group, to, message, door),
            Ok(SendJob::Peers(Peers { known, may_be_former })) => {
                network.set_peers(known, may_be_former, door);
            }
            Ok(SendJob::Close) | Err(TryRecvError::Disconnected) => return Jobs::AreOver,
            Err(TryRecvError::Empty) => break,
        }
    }
    Jobs::MayFollow
}

/// The node's inbox, as the loop sees it.
struct Door(Arc<dyn Inbox>);

impl Delivery for Door {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        self.0.deliver(group, from, message, bytes);
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    fn is_full_of_chunks(&self) -> bool {
        self.0.is_full_of_chunks()
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        self.0.cluster_adopted(cluster);
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        self.0.peer_connected(peer, incarnation);
    }

    fn peer_lost(&self, peer: NodeId) {
        self.0.peer_lost(peer);
    }

    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage) {
        self.0.undelivered(group, to, message);
    }
}

impl Wake for LoopWaker {
    fn wake(&self) {
        Self::wake(self);
    }
}
