//! Nodes that only talk: a transport on a thread of its own, and an inbox that a test looks into.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::metrics::NetMetrics;
use crate::transport::{
    Inbox, Listen, LocalNode, MemoryNetwork, Peers, SendJob, TcpConfig, TcpTransport, Transport, Wake,
};
use crate::types::{
    Body, Boot, ClusterId, Forward, Forwarded, GroupId, Heartbeat, Incarnation, LogIndex, Message, NodeId,
    Origin, PeerMessage, Round, SnapshotChunk, SnapshotId, Term,
};

/// Generous: no test waits that long unless it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const CLUSTER: ClusterId = ClusterId(77);
pub(super) const GROUP: GroupId = GroupId::MAIN;

pub(super) fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// The data directory of node `id`, unless a test says otherwise.
pub(super) fn directory(id: u64) -> Incarnation {
    Incarnation(id * 1000)
}

pub(super) fn local(node: u64) -> LocalNode {
    LocalNode { id: id(node), cluster: Some(CLUSTER), incarnation: directory(node) }
}

/// A message that can be told from others by its number.
pub(super) fn numbered(number: u64) -> PeerMessage {
    let body = Body::Heartbeat(Heartbeat { commit: LogIndex(0), round: Round(number) });
    PeerMessage::Raft { message: Message { term: Term(1), body }, entries: Vec::new() }
}

/// A forward of `from`, told from others by its number.
pub(super) fn forward(from: u64, number: u64, bytes: usize) -> PeerMessage {
    let origin = Origin { node: id(from), incarnation: directory(from), boot: Boot(1), request: number };
    let command = Bytes::from(vec![7; bytes]);
    PeerMessage::Forward(Forward { term: Term(1), commands: vec![Forwarded { origin, command }] })
}

/// A chunk, told from others by its number.
pub(super) fn chunk(number: u64, bytes: usize) -> PeerMessage {
    let bytes = Bytes::from(vec![number as u8; bytes]);
    PeerMessage::Chunk(SnapshotChunk { id: SnapshotId(1), offset: number, bytes })
}

/// Node `node` as long as it waits to be added to a cluster.
pub(super) fn joiner(node: u64) -> LocalNode {
    LocalNode { cluster: None, ..local(node) }
}

/// What a node's inbox was told, messages by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Connected(u64, Incarnation),
    Lost(u64),
    Message { from: u64, number: u64 },
    Forward { from: u64, number: u64 },
    Undelivered { to: u64, number: u64 },
    Chunk { from: u64, number: u64 },
    Adopted(ClusterId),
}

pub(super) fn connected(to: u64) -> Seen {
    Seen::Connected(to, directory(to))
}

#[derive(Default)]
pub(super) struct Gate {
    full: AtomicBool,
    full_of_chunks: AtomicBool,
    violated: AtomicBool,
}

struct TestInbox {
    seen: Sender<Seen>,
    gate: Arc<Gate>,
}

impl TestInbox {
    fn saw(&self, seen: Seen) {
        // A test that has seen enough has dropped the other end.
        let _ = self.seen.send(seen);
    }
}

fn number(message: &PeerMessage) -> u64 {
    match message {
        PeerMessage::Raft { message: Message { body: Body::Heartbeat(heartbeat), .. }, .. } => {
            heartbeat.round.0
        }
        PeerMessage::Forward(forward) => forward.commands[0].origin.request,
        PeerMessage::Chunk(chunk) => chunk.offset,
        other => panic!("no test sends {other:?}"),
    }
}

impl Inbox for TestInbox {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        assert!(group == GROUP && bytes > 0);
        let is_chunk = matches!(message, PeerMessage::Chunk(_));
        let is_refused = self.is_full() || (is_chunk && self.is_full_of_chunks());
        self.gate.violated.fetch_or(is_refused, Ordering::SeqCst);
        let (from, number) = (from.get(), number(&message));
        self.saw(match message {
            PeerMessage::Forward(_) => Seen::Forward { from, number },
            PeerMessage::Chunk(_) => Seen::Chunk { from, number },
            _ => Seen::Message { from, number },
        });
    }

    fn is_full(&self) -> bool {
        self.gate.full.load(Ordering::SeqCst)
    }

    fn is_full_of_chunks(&self) -> bool {
        self.gate.full_of_chunks.load(Ordering::SeqCst)
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        self.saw(Seen::Connected(peer.get(), incarnation));
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        self.saw(Seen::Adopted(cluster));
    }

    fn peer_lost(&self, peer: NodeId) {
        self.saw(Seen::Lost(peer.get()));
    }

    fn undelivered(&self, _: GroupId, to: NodeId, message: PeerMessage) {
        self.saw(Seen::Undelivered { to: to.get(), number: number(&message) });
    }
}

/// A running transport and what its inbox saw.
pub(super) struct TestNode {
    jobs: Sender<SendJob>,
    wake: Arc<dyn Wake>,
    seen: Receiver<Seen>,
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl TestNode {
    /// Starts `transport`; `peers` are known from the first moment.
    pub(super) fn start(transport: Box<dyn Transport>, local: LocalNode, peers: Peers) -> Self {
        let (jobs, jobs_taken) = unbounded();
        jobs.send(SendJob::Peers(peers)).expect("the other end is here");
        let (saw, seen) = unbounded();
        let gate = Arc::new(Gate::default());
        let inbox = Arc::new(TestInbox { seen: saw, gate: Arc::clone(&gate) });
        let wake = transport.waker();
        let run = move || transport.run(local, jobs_taken, inbox).expect("the loop does not fail");
        let thread = std::thread::Builder::new().name(format!("transport-{}", local.id)).spawn(run).unwrap();
        Self { jobs, wake, seen, gate, thread: Some(thread) }
    }

    fn job(&self, job: SendJob) {
        self.jobs.send(job).expect("the transport runs");
        self.wake.wake();
    }

    pub(super) fn send(&self, to: u64, message: PeerMessage) {
        self.job(SendJob::Message { group: GROUP, to: id(to), message });
    }

    pub(super) fn set_peers(&self, peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>) {
        self.job(SendJob::Peers(known(peers)));
    }

    pub(super) fn set_peers_perhaps_former(
        &self,
        peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>,
    ) {
        self.job(SendJob::Peers(Peers { may_be_former: true, ..known(peers) }));
    }

    /// What the inbox is told next.
    pub(super) fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the inbox is told something in time")
    }

    /// What the inbox is told next that is not `uninteresting`.
    pub(super) fn next_but(&self, uninteresting: Seen) -> Seen {
        std::iter::repeat_with(|| self.next()).find(|&seen| seen != uninteresting).expect("repeats for ever")
    }

    /// Waits for `expected`, and returns all that came before it.
    pub(super) fn wait_for(&self, expected: Seen) -> Vec<Seen> {
        let mut before = Vec::new();
        loop {
            let Ok(seen) = self.seen.recv_timeout(PATIENCE) else {
                panic!("waited for {expected:?}, saw only {before:?}");
            };
            if seen == expected {
                return before;
            }
            before.push(seen);
        }
    }

    /// From now on the inbox takes nothing, or does again.
    pub(super) fn set_full(&self, full: bool) {
        self.gate.full.store(full, Ordering::SeqCst);
        self.wake.wake();
    }

    /// From now on the inbox takes no chunks, or does again.
    pub(super) fn set_full_of_chunks(&self, full: bool) {
        self.gate.full_of_chunks.store(full, Ordering::SeqCst);
        self.wake.wake();
    }

    /// Whether something was delivered while the inbox was full.
    pub(super) fn was_overfilled(&self) -> bool {
        self.gate.violated.load(Ordering::SeqCst)
    }

    /// Closes the transport, and returns what the inbox was told that nobody has looked at.
    pub(super) fn stop(mut self) -> Vec<Seen> {
        self.close();
        self.seen.try_iter().collect()
    }

    fn close(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.job(SendJob::Close);
            thread.join().expect("the transport does not panic");
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

fn known(peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>) -> Peers {
    let known = peers.into_iter().map(|(peer, at, shown)| (id(peer), (at, shown))).collect();
    Peers { known, may_be_former: false }
}

/// A network on which the contract is tested.
pub(super) trait Fabric {
    /// Where node `id` is, whether it runs or not.
    fn address(&self, id: u64) -> String;

    /// The transport of node `id`.
    fn transport(&self, id: u64) -> Box<dyn Transport>;

    /// Starts a node which knows `peers`, and nothing of their data directories.
    fn start(&self, local: LocalNode, peers: &[u64]) -> TestNode {
        self.start_knowing(local, &peers.iter().map(|&peer| (peer, None)).collect::<Vec<_>>())
    }

    /// Starts a node which knows these peers, and of some of them the data directory.
    fn start_knowing(&self, local: LocalNode, peers: &[(u64, Option<Incarnation>)]) -> TestNode {
        let peers = known(peers.iter().map(|&(peer, shown)| (peer, self.address(peer), shown)));
        TestNode::start(self.transport(local.id.get()), local, peers)
    }

    /// Nodes 1 and 2, connected both ways.
    fn pair(&self) -> (TestNode, TestNode) {
        let (one, two) = (self.start(local(1), &[2]), self.start(local(2), &[1]));
        one.wait_for(connected(2));
        two.wait_for(connected(1));
        (one, two)
    }
}

/// In memory.
impl Fabric for MemoryNetwork {
    fn address(&self, id: u64) -> String {
        format!("memory:{id}")
    }

    fn transport(&self, node: u64) -> Box<dyn Transport> {
        Box::new(MemoryNetwork::transport(self, id(node)))
    }
}

/// On loopback. Nodes 1 to 3 have a port each that the kernel chose; it stays theirs across restarts.
pub(super) struct Loopback {
    addresses: Vec<SocketAddr>,
    reserved: parking_lot::Mutex<Vec<Option<TcpListener>>>,
}

impl Loopback {
    pub(super) fn new() -> Self {
        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        Self { addresses, reserved: parking_lot::Mutex::new(listeners.into_iter().map(Some).collect()) }
    }

    /// The usual configuration of node `id`.
    pub(super) fn config(&self, id: u64) -> TcpConfig {
        let listen = match self.reserved.lock()[id as usize - 1].take() {
            Some(listener) => Listen::Socket(listener),
            None => Listen::Address(self.address(id)),
        };
        TcpConfig { seed: id, ..TcpConfig::new(listen, self.address(id)) }
    }
}

impl Fabric for Loopback {
    fn address(&self, id: u64) -> String {
        self.addresses[id as usize - 1].to_string()
    }

    fn transport(&self, id: u64) -> Box<dyn Transport> {
        Box::new(TcpTransport::bind(self.config(id)).unwrap())
    }
}

/// Node 1 alone on a port of its own, with a configuration of the test's making.
pub(super) fn lone_node(configure: impl FnOnce(&mut TcpConfig)) -> (TestNode, SocketAddr, Arc<NetMetrics>) {
    lone(local(1), configure)
}

/// As [`lone_node`], with whatever it is to its peers.
pub(super) fn lone(
    local: LocalNode,
    configure: impl FnOnce(&mut TcpConfig),
) -> (TestNode, SocketAddr, Arc<NetMetrics>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = TcpConfig::new(Listen::Socket(listener), address.to_string());
    configure(&mut config);
    let metrics = Arc::clone(&config.metrics);
    let node = TestNode::start(Box::new(TcpTransport::bind(config).unwrap()), local, Peers::default());
    (node, address, metrics)
}
