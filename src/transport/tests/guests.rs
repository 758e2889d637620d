//! Clients at a node's address: handed over with what they said, or refused in words; and they keep no peer out.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::harness::{CLUSTER, PATIENCE, Seen, TestNode, connected, local, lone_node, numbered};
use super::raw::Raw;
use crate::metrics::NetMetrics;
use crate::net::Guest;
use crate::transport::{Guests, Listen, Peers, TcpConfig, TcpTransport};
use crate::wire::client_hello::{ClientHello, ClientReason, ClientWelcome};
use crate::wire::greeting::Secret;

fn client() -> Vec<u8> {
    client_with(b"")
}

fn client_with(token: &[u8]) -> Vec<u8> {
    let hello = ClientHello { versions: (1, 1), cluster: Some(CLUSTER), token: Secret::new(token.to_vec()) };
    let mut out = Vec::new();
    hello.encode(&mut out);
    out
}

/// Takes whoever comes.
struct Host(Sender<Guest>);

impl Guests for Host {
    fn refusal(&self) -> Option<ClientReason> {
        None
    }

    fn arrive(&self, guest: Guest) {
        self.0.send(guest).expect("the scene looks on");
    }
}

/// Node 1 with somebody who serves clients, and three connections at most for all others.
fn hosting() -> (TestNode, SocketAddr, Receiver<Guest>, Arc<NetMetrics>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config =
        TcpConfig { connections_max: 3, ..TcpConfig::new(Listen::Socket(listener), address.to_string()) };
    let metrics = Arc::clone(&config.metrics);
    let mut transport = TcpTransport::bind(config).unwrap();
    let (arrivals, guests) = unbounded();
    transport.serve(Box::new(Host(arrivals)));
    let node = TestNode::start(Box::new(transport), local(1), Peers::default(), PATIENCE);
    (node, address, guests, metrics)
}

#[test]
fn a_client_is_refused_in_words_where_nobody_serves_it_also_byte_by_byte() {
    let (_node, address, metrics) = lone_node(|config| config.token = Some(b"sesame".to_vec()));
    let refusal = |hello: &[u8], step: usize| {
        let mut client = Raw::dial(address);
        hello.chunks(step).for_each(|piece| client.write(piece));
        let welcome = client.read_welcome();
        client.wait_for_end();
        welcome
    };

    let refused = ClientWelcome::Refused;
    assert_eq!(refusal(&client_with(b"sesame"), 1000), refused(ClientReason::NoServer));
    assert_eq!(refusal(&client_with(b"sesame"), 1), refused(ClientReason::NoServer));
    assert_eq!(refusal(&client(), 1000), refused(ClientReason::WrongToken));
    assert_eq!((metrics.guests.get(), metrics.guests_refused.get()), (0, 3));
}

#[test]
fn who_begins_like_a_client_and_goes_on_with_nonsense_is_closed() {
    let (_node, address, metrics) = lone_node(|_| ());
    let mut flipped = client();
    *flipped.last_mut().expect("a hello") ^= 1;

    let mut stranger = Raw::dial(address);
    stranger.write(&flipped);
    stranger.wait_for_end();
    let mut stranger = Raw::dial(address);
    stranger.write(b"\xF3nonsense");
    stranger.wait_for_end();

    assert_eq!(metrics.frames_malformed.get(), 2);
}

#[test]
fn a_client_is_handed_over_with_what_it_said() {
    let (_node, address, guests, metrics) = hosting();
    let mut client_end = Raw::dial(address);

    client_end.write(&client());
    let guest = guests.recv_timeout(PATIENCE).unwrap();

    assert_eq!(guest.from, client_end.0.local_addr().unwrap());
    assert!(!guest.said.is_empty() && client().starts_with(&guest.said));
    assert_eq!(guest.socket.peer_addr().unwrap(), guest.from);
    assert_eq!(metrics.guests.get(), 1);
}

#[test]
fn a_crowd_of_clients_keeps_no_peer_out_and_no_message_waiting() {
    let (node, address, guests, metrics) = hosting();
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    let come = || {
        let mut client_end = Raw::dial(address);
        client_end.write(b"\xF3");
        (client_end, guests.recv_timeout(PATIENCE).unwrap())
    };
    let _crowd: Vec<(Raw, Guest)> = (0..100).map(|_| come()).collect();

    peer.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    let _another = Raw::peer(address, 3);
    assert_eq!(node.next(), connected(3));
    assert_eq!(metrics.guests.get(), 100);
}
