//! How fast a snapshot travels between two nodes over loopback, without any disk: `cargo bench --bench lane [MiB]`.
//!
//! The receiver takes chunks of 256 KiB as one that pulls does: 4 MiB are under way at any time. Meanwhile a heartbeat goes
//! to and fro, one at a time; its latency is printed too, and what each thread spent.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod cpu;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use quorate::transport::{
    Inbox, Listen, LocalNode, Peers, SendJob, TcpConfig, TcpTransport, Transport, Wake,
};
use quorate::types::{
    Body, ClusterId, GroupId, Heartbeat, Incarnation, LogIndex, Message, NodeId, PeerMessage, Round,
    SnapshotChunk, SnapshotId, Term,
};

use self::cpu::Spent;

const CHUNK_BYTES: usize = 256 << 10;
const WINDOW: usize = (4 << 20) / CHUNK_BYTES;

enum Told {
    Connected,
    Chunk,
    Heartbeat,
}

struct Channel(Sender<Told>);

impl Inbox for Channel {
    fn deliver(&self, _: GroupId, _: NodeId, message: PeerMessage, _: usize) {
        let told = if matches!(message, PeerMessage::Chunk(_)) { Told::Chunk } else { Told::Heartbeat };
        let _ = self.0.send(told);
    }
    fn is_full(&self) -> bool {
        false
    }
    fn cluster_adopted(&self, _: ClusterId) {}
    fn peer_connected(&self, _: NodeId, _: Incarnation) {
        let _ = self.0.send(Told::Connected);
    }
    fn peer_lost(&self, _: NodeId) {}
    fn undelivered(&self, _: GroupId, _: NodeId, _: PeerMessage) {}
}

struct Node {
    jobs: Sender<SendJob>,
    wake: Arc<dyn Wake>,
    told: Receiver<Told>,
}

impl Node {
    fn send(&self, to: NodeId, message: PeerMessage) {
        self.jobs.send(SendJob::Message { group: GroupId::MAIN, to, message }).expect("it runs");
        self.wake.wake();
    }

    fn heartbeat(&self, to: NodeId) {
        let body = Body::Heartbeat(Heartbeat { commit: LogIndex(0), round: Round(0) });
        self.send(to, PeerMessage::Raft { message: Message { term: Term(1), body }, entries: Vec::new() });
    }
}

fn main() {
    let mebibytes = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1024);
    let ids = [1, 2].map(|id| NodeId::new(id).expect("not zero"));
    let [leader, follower] = start(ids);
    let chunks: usize = mebibytes * (1 << 20) / CHUNK_BYTES;
    let bytes = Bytes::from(vec![7; CHUNK_BYTES]);
    let send_chunk = |nth: usize| {
        let chunk = SnapshotChunk { id: SnapshotId(1), offset: nth as u64, bytes: bytes.clone() };
        leader.send(ids[1], PeerMessage::Chunk(chunk));
    };

    let (started, before) = (Instant::now(), Spent::so_far());
    let (mut sent, mut received, mut rounds) = (0, 0, Vec::new());
    let mut asked = Instant::now();
    follower.heartbeat(ids[0]);
    while received < chunks {
        while sent < chunks.min(received + WINDOW) {
            send_chunk(sent);
            sent += 1;
        }
        crossbeam_channel::select! {
            recv(follower.told) -> told => match told.expect("it runs") {
                Told::Chunk => received += 1,
                Told::Heartbeat => {
                    rounds.push(asked.elapsed());
                    asked = Instant::now();
                    follower.heartbeat(ids[0]);
                }
                Told::Connected => {}
            },
            recv(leader.told) -> told => if matches!(told, Ok(Told::Heartbeat)) {
                leader.heartbeat(ids[1]);
            },
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    let rate = (mebibytes << 20) as f64 / 1e6 / seconds;
    println!("{mebibytes} MiB in {seconds:.2} s: {rate:.0} MB/s; CPU: {}", Spent::so_far() - &before);
    let (count, longest) = (rounds.len(), rounds.last().copied().unwrap_or_default());
    println!("heartbeats to and fro meanwhile: {count} rounds, median {median:?}, longest {longest:?}");
}

fn start(ids: [NodeId; 2]) -> [Node; 2] {
    let listeners = ids.map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has a port"));
    let addresses = listeners.each_ref().map(|one| one.local_addr().expect("it is bound").to_string());
    let mut nodes = Vec::new();
    for (nth, listener) in listeners.into_iter().enumerate() {
        let config = TcpConfig::new(Listen::Socket(listener), addresses[nth].clone());
        let transport = Box::new(TcpTransport::bind(config).expect("the socket is bound already"));
        let (jobs, taken) = unbounded();
        let (tell, told) = unbounded();
        let other = 1 - nth;
        let known = [(ids[other], (addresses[other].clone(), None))].into();
        jobs.send(SendJob::Peers(Peers { known, ..Peers::default() })).expect("the other end is here");
        let (id, cluster) = (ids[nth], Some(ClusterId(5)));
        let local = LocalNode { id, cluster, incarnation: Incarnation(id.get()) };
        let wake = transport.waker();
        let named = thread::Builder::new().name(["sender-net", "receiver-net"][nth].to_owned());
        named.spawn(move || transport.run(local, taken, Arc::new(Channel(tell)))).expect("a thread");
        nodes.push(Node { jobs, wake, told });
    }
    for node in &nodes {
        assert!(matches!(node.told.recv(), Ok(Told::Connected)));
    }
    nodes.try_into().unwrap_or_else(|_| panic!("two nodes"))
}
