//! The transports as somebody outside the crate meets them: by their public names alone.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use quorate::metrics::NetMetrics;
use quorate::transport::{
    Inbox, Listen, LocalNode, MemoryNetwork, Peers, SendJob, TcpConfig, TcpTransport, Transport, Wake,
};
use quorate::types::{
    Body, ClusterId, GroupId, Incarnation, LogPosition, Message, NodeId, PeerMessage, Term,
};

const PATIENCE: Duration = Duration::from_secs(30);

enum Told {
    Connected(NodeId),
    Message(NodeId, PeerMessage),
}

struct Channel(Sender<Told>);

impl Inbox for Channel {
    fn deliver(&self, _: GroupId, from: NodeId, message: PeerMessage, _: usize) {
        self.0.send(Told::Message(from, message)).expect("the test listens");
    }
    fn is_full(&self) -> bool {
        false
    }
    fn peer_connected(&self, peer: NodeId, _: Incarnation) {
        self.0.send(Told::Connected(peer)).expect("the test listens");
    }
    fn cluster_adopted(&self, _: ClusterId) {}
    fn peer_lost(&self, _: NodeId) {}
    fn undelivered(&self, _: GroupId, _: NodeId, _: PeerMessage) {}
}

fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// Runs nodes 1 and 2, lets each ask the other for its vote, and closes both.
fn exchange(transports: [(Box<dyn Transport>, String); 2]) {
    let addresses = transports.each_ref().map(|(_, address)| address.clone());
    let mut nodes = Vec::new();
    for (transport, me) in transports.into_iter().map(|(transport, _)| transport).zip(1..) {
        let other = 3 - me;
        let (jobs, taken) = unbounded();
        let (told, tells) = unbounded();
        let known = [(id(other), (addresses[other as usize - 1].clone(), None))].into();
        jobs.send(SendJob::Peers(Peers { known, may_be_former: false })).expect("the other end is here");
        let local = LocalNode { id: id(me), cluster: Some(ClusterId(5)), incarnation: Incarnation(me) };
        let wake: Arc<dyn Wake> = transport.waker();
        let thread = thread::spawn(move || transport.run(local, taken, Arc::new(Channel(told))));
        nodes.push((me, jobs, wake, tells, thread));
    }
    // Each says when it can send; until both can, nobody does, so that nothing else is told first.
    for (me, _, _, tells, _) in &nodes {
        assert!(matches!(tells.recv_timeout(PATIENCE), Ok(Told::Connected(peer)) if peer == id(3 - me)));
    }
    for (me, jobs, wake, _, _) in &nodes {
        let message =
            Message { term: Term(*me), body: Body::Vote { last: LogPosition::ZERO, transfer: false } };
        let message = PeerMessage::Raft { message, entries: Vec::new() };
        jobs.send(SendJob::Message { group: GroupId::MAIN, to: id(3 - me), message }).expect("it runs");
        wake.wake();
    }
    for (me, _, _, tells, _) in &nodes {
        let asked = tells.iter().find_map(|told| match told {
            Told::Message(from, PeerMessage::Raft { message, .. }) => Some((from, message.term)),
            _ => None,
        });
        assert_eq!(asked, Some((id(3 - me), Term(3 - me))));
    }
    for (_, jobs, wake, _tells, thread) in nodes {
        jobs.send(SendJob::Close).expect("it runs");
        wake.wake();
        thread.join().expect("no panic").expect("no failure of the loop");
    }
}

#[test]
fn two_nodes_talk_over_tcp() {
    let metrics = Arc::new(NetMetrics::default());
    exchange([(); 2].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let mut config = TcpConfig::new(Listen::Socket(listener), address.clone());
        config.metrics = Arc::clone(&metrics);
        let transport = TcpTransport::bind(config).expect("the socket is bound already");
        (Box::new(transport) as Box<dyn Transport>, address)
    }));

    assert_eq!(metrics.messages_received.get(), 2);
}

#[test]
fn two_nodes_talk_in_memory() {
    let network = MemoryNetwork::new();
    exchange([1, 2].map(|node| {
        let transport: Box<dyn Transport> = Box::new(network.transport(id(node)));
        (transport, String::new())
    }));
}
