//! A peer has proved who it is, and still may be broken, slow, half gone or of a mind of its own.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use super::harness::{GROUP, Seen, connected, directory, forward, lone_node, numbered};
use super::raw::{Raw, encoded, hello, sealed};
use crate::types::{PeerMessage, Term};
use crate::wire::frame::{self, PROTOCOL_VERSION};
use crate::wire::{Writer, peer};

#[test]
fn a_frame_that_cannot_be_is_never_delivered_and_ends_the_connection() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut flipped = sealed(&numbered(1));
    *flipped.last_mut().unwrap() ^= 0x10;
    let mut other_version = sealed(&numbered(1));
    other_version[4] = PROTOCOL_VERSION + 1;
    let mut unknown_kind = Vec::new();
    frame::seal(PROTOCOL_VERSION, 99, GROUP, &mut unknown_kind, |_| ());
    let mut cut_body = Vec::new();
    frame::seal(PROTOCOL_VERSION, 3, GROUP, &mut cut_body, |out| out.push(1));
    let foreign_origin = sealed(&forward(3, 1, 10));
    let oversized = |length: u32| {
        let mut out = Vec::new();
        Writer::new(&mut out).u32(length).u8(PROTOCOL_VERSION).bytes(&[0; 13]);
        out
    };
    let malformed = [
        flipped,
        other_version,
        unknown_kind,
        cut_body,
        foreign_origin,
        oversized(u32::MAX),
        oversized(17 << 20),
    ];

    for (nth, bytes) in malformed.iter().enumerate() {
        let mut broken = Raw::peer(address, 2);
        broken.write(&[&sealed(&numbered(7)), bytes.as_slice(), &sealed(&numbered(8))].concat());
        broken.wait_for_end();

        assert_eq!(node.next(), connected(2), "{nth}");
        assert_eq!(node.next(), Seen::Message { from: 2, number: 7 }, "what came before it is good, {nth}");
        assert_eq!(node.next(), Seen::Lost(2), "{nth}");
    }
    assert_eq!(metrics.frames_malformed.get(), malformed.len() as u64);
}

#[test]
fn bytes_that_come_one_by_one_make_the_same_messages() {
    let (node, address, _) = lone_node(|_| ());
    let mut slow = Raw::dial(address);

    for byte in encoded(&hello(2)) {
        slow.write(&[byte]);
    }
    slow.read_answer();
    for byte in [sealed(&numbered(1)), sealed(&forward(2, 2, 30))].concat() {
        slow.write(&[byte]);
    }

    assert_eq!(node.next(), connected(2));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    assert_eq!(node.next(), Seen::Forward { from: 2, number: 2 });
}

#[test]
fn the_largest_message_passes_and_a_larger_one_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (node, address, metrics) = lone_node(|_| ());
    let mut sender = Raw::peer(address, 3);
    node.wait_for(connected(3));
    sender.send(&forward(3, 1, 12 << 20));
    assert_eq!(node.next(), Seen::Forward { from: 3, number: 1 });

    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);
    let mut receiver = Raw::answer(&listener, 2);
    node.wait_for(connected(2));
    node.send(2, forward(1, 2, 17 << 20));
    node.send(2, forward(1, 3, 12 << 20));

    assert_eq!(node.next(), Seen::Undelivered { to: 2, number: 2 });
    let PeerMessage::Forward(arrived) = receiver.read_message() else { panic!("a forward") };
    assert_eq!((arrived.term, arrived.commands[0].command.len()), (Term(1), 12 << 20));
    assert_eq!(metrics.messages_dropped.get(), 1);
}

#[test]
fn a_peer_that_never_reads_costs_its_queue_and_delays_nobody() {
    let (deaf_listener, listener) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (node, _, metrics) = lone_node(|config| {
        config.queue_bytes_max = 1 << 20;
        config.silence = Duration::from_secs(600);
    });
    let at = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    node.set_peers([(2, at(&deaf_listener), None), (3, at(&listener), None)]);
    let deaf = Raw::answer(&deaf_listener, 2);
    let mut good = Raw::answer(&listener, 3);
    node.wait_for(Seen::Connected(2, directory(2)));

    // One by one, so that the queue fills only because the kernel's buffers are full: then forwards come back.
    let mut sent = 0;
    while metrics.messages_dropped.get() < 10 {
        node.send(2, forward(1, sent, 1 << 16));
        sent += 1;
        assert!(sent < 10_000, "the queue has no bound");
        while metrics.messages_sent.get() + metrics.messages_dropped.get() < sent {
            std::thread::yield_now();
        }
    }
    let is_returned = |seen: &Seen| matches!(seen, Seen::Undelivered { to: 2, .. });
    let mut told = std::iter::repeat_with(|| node.next()).filter(|seen| *seen != connected(3));
    assert!((0..10).all(|_| told.next().is_some_and(|seen| is_returned(&seen))));

    node.send(3, numbered(5));
    assert!(matches!(good.read_message(), PeerMessage::Raft { .. }));
    drop(deaf);
    let returned = node.wait_for(Seen::Lost(2));
    assert!(returned.iter().any(is_returned), "what still waited comes back");
}

#[test]
fn what_comes_while_the_inbox_is_full_waits_in_the_socket() {
    let (node, address, _) = lone_node(|_| ());
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    node.set_full(true);
    peer.send(&numbered(1));
    peer.send(&numbered(2));
    node.set_full(false);

    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    assert_eq!(node.next(), Seen::Message { from: 2, number: 2 });
    assert!(!node.was_overfilled());
}

#[test]
fn a_peer_that_falls_silent_is_given_up_on_both_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (node, address, metrics) = lone_node(|config| config.silence = Duration::from_millis(100));
    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);
    let mut dialled = Raw::answer(&listener, 2);
    let mut accepted = Raw::peer(address, 2);

    // It reads what we say, pings too, but says nothing itself.
    dialled.wait_for_end();
    accepted.wait_for_end();

    node.wait_for(Seen::Lost(2));
    assert!(metrics.silent.get() >= 2);
}

#[test]
fn a_peer_that_only_pings_is_not_silent() {
    let (node, address, metrics) = lone_node(|config| config.silence = Duration::from_secs(2));
    let mut ping = Vec::new();
    peer::encode_ping(&mut ping);
    let mut quiet = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    // Each of its pings waits for one of ours: they come three times per span of silence.
    for _ in 0..4 {
        let mut ours = [0; frame::HEADER_BYTES];
        std::io::Read::read_exact(&mut quiet.0, &mut ours).unwrap();
        assert_eq!(ours.as_slice(), ping);
        quiet.write(&ping);
    }

    quiet.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    assert_eq!(metrics.silent.get(), 0);
}

#[test]
fn a_connection_that_is_closed_by_half_is_closed() {
    let (node, address, _) = lone_node(|_| ());
    let mut half = Raw::peer(address, 2);
    half.send(&numbered(1));
    half.0.shutdown(Shutdown::Write).unwrap();

    half.wait_for_end();

    assert_eq!(node.next(), connected(2));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    assert_eq!(node.next(), Seen::Lost(2));
}

#[test]
fn a_peer_that_dials_again_replaces_its_older_connection() {
    let (node, address, _) = lone_node(|_| ());
    let mut older = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    let mut newer = Raw::peer(address, 2);

    older.wait_for_end();
    assert_eq!((node.next(), node.next()), (Seen::Lost(2), connected(2)));
    newer.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
}

#[test]
fn a_peer_that_moves_is_dialled_at_its_new_address() {
    let (old, new) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (node, _, _) = lone_node(|_| ());
    let at = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    node.set_peers([(2, at(&old), None)]);
    let mut before = Raw::answer(&old, 2);
    assert_eq!(node.next(), connected(2));

    node.set_peers([(2, at(&new), None)]);
    let mut after = Raw::answer(&new, 2);

    before.wait_for_end();
    assert_eq!((node.next(), node.next()), (Seen::Lost(2), connected(2)));
    node.send(2, numbered(1));
    after.read_message();
}

#[test]
fn a_peer_that_is_gone_from_the_list_is_dialled_no_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (node, _, _) = lone_node(|_| ());
    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);
    let mut raw = Raw::answer(&listener, 2);
    assert_eq!(node.next(), connected(2));

    node.set_peers([]);

    raw.wait_for_end();
    assert_eq!(node.next(), Seen::Lost(2));
    node.send(2, forward(1, 1, 10));
    assert_eq!(node.next(), Seen::Undelivered { to: 2, number: 1 });
}

#[test]
fn a_flood_from_one_peer_leaves_room_for_another() {
    let (node, address, _) = lone_node(|_| ());
    let mut flood = Raw::peer(address, 2);
    let mut calm = Raw::peer(address, 3);
    let flooding = std::thread::spawn(move || {
        let block = sealed(&numbered(1)).repeat(10_000);
        let mut blocks = 0;
        while std::io::Write::write_all(&mut flood.0, &block).is_ok() {
            blocks += 1;
        }
        blocks
    });

    node.wait_for(Seen::Message { from: 2, number: 1 });
    calm.send(&numbered(2));
    node.wait_for(Seen::Message { from: 3, number: 2 });

    node.stop();
    assert!(flooding.join().unwrap() > 0);
}
