//! What happens on the way and in a crowd: bytes change, lengths lie, everybody dials at once, and some never go.

use std::collections::BTreeSet;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::harness::{Loopback, Seen, TestNode, connected, forward, lone_node, numbered, pair};
use super::raw::{Raw, encoded, hello, sealed};
use crate::types::PeerMessage;
use crate::wire::Writer;
use crate::wire::frame::PROTOCOL_VERSION;
use crate::wire::hello::Answer;

/// Peer 2 connects, says `bytes` and then no more; what the node was told of it until the connection was gone.
fn say(node: &TestNode, address: SocketAddr, bytes: &[u8]) -> Vec<Seen> {
    let mut raw = Raw::peer(address, 2);
    raw.write(bytes);
    // Refused already, perhaps: then there is nothing left to close.
    let _ = raw.0.shutdown(Shutdown::Write);
    raw.wait_for_end();
    node.wait_for(Seen::Lost(2))
}

#[test]
fn a_frame_with_any_one_byte_changed_is_never_delivered() {
    let (node, address, _) = lone_node(|_| ());
    let good = sealed(&numbered(1));

    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert_eq!(say(&node, address, &changed), [connected(2)], "byte {at}");
    }
    assert_eq!(say(&node, address, &good), [connected(2), Seen::Message { from: 2, number: 1 }]);
}

#[test]
fn frames_that_are_mangled_at_random_harm_nobody() {
    let (node, address, _) = lone_node(|_| ());
    let mut calm = Raw::peer(address, 3);
    assert_eq!(node.next(), connected(3));
    let good = [sealed(&numbered(1)), sealed(&forward(2, 2, 300)), sealed(&numbered(3))].concat();
    let mut seed = 1_u64;
    let mut below = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % limit
    };

    for round in 0..100 {
        let mut mangled = good.clone();
        match round % 4 {
            0 => mangled.truncate(below(good.len())),
            1 => drop(mangled.drain(..=below(good.len()))),
            2 => mangled.insert(below(good.len()), below(256) as u8),
            _ => (0..=below(8)).for_each(|_| mangled[below(good.len())] = below(256) as u8),
        }
        let heard = say(&node, address, &mangled);
        let is_known = |seen: &Seen| {
            let sent = [Seen::Message { from: 2, number: 1 }, Seen::Forward { from: 2, number: 2 }];
            *seen == connected(2) || sent.contains(seen) || *seen == Seen::Message { from: 2, number: 3 }
        };
        assert!(heard.iter().all(is_known), "nobody said that, in round {round}: {heard:?}");
    }

    calm.send(&numbered(9));
    assert_eq!(node.next(), Seen::Message { from: 3, number: 9 });
}

#[test]
fn a_length_that_lies_is_refused_and_none_is_waited_for_beyond_the_limit() {
    const FRAME_BYTES_MAX: u32 = 64 << 10;
    let (node, address, metrics) = lone_node(|config| config.frame_bytes_max = FRAME_BYTES_MAX as usize);
    let announcing = |length: u32| {
        let mut out = Vec::new();
        Writer::new(&mut out).u32(length).u8(PROTOCOL_VERSION).bytes(&[0; 13]);
        out
    };

    // The length is that of the body: the header of 18 bytes counts towards the limit too.
    for length in [0, 1, FRAME_BYTES_MAX - 17, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 1 << 31, u32::MAX] {
        let mut raw = Raw::peer(address, 2);
        // More than the shortest announces, far less than the others do: these must be refused by what is announced.
        raw.write(&[announcing(length), vec![0; 1]].concat());
        raw.wait_for_end();
        assert_eq!(node.wait_for(Seen::Lost(2)), [connected(2)], "{length}");
    }

    assert_eq!(metrics.frames_malformed.get(), 7);
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_no_peer_out() {
    const CROWD: usize = 1_000;
    const STAND_MAX: usize = 64;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
    let (node, address, metrics) = lone_node(|config| {
        config.connections_max = STAND_MAX;
        config.handshake = Duration::from_secs(600);
    });
    let crowd: Vec<Raw> = (0..CROWD).map(|_| Raw::dial(address)).collect();

    let mut peer = Raw::peer(address, 2);

    assert_eq!(node.next(), connected(2));
    assert_eq!(metrics.turned_away.get() as usize, CROWD + 1 - STAND_MAX, "no more stand than may");
    peer.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
    drop(crowd);
}

#[test]
fn two_nodes_that_dial_each_other_at_once_hear_each_other_every_time() {
    for _ in 0..20 {
        let (one, two) = pair(&Loopback::new());

        one.send(2, numbered(1));
        two.send(1, numbered(2));

        two.wait_for(Seen::Message { from: 1, number: 1 });
        one.wait_for(Seen::Message { from: 2, number: 2 });
        let lost = [one.stop(), two.stop()].concat();
        assert!(!lost.iter().any(|seen| matches!(seen, Seen::Message { .. })), "twice: {lost:?}");
    }
}

#[test]
fn a_hundred_peers_that_all_dial_again_at_once_are_all_heard() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut standing: Vec<Raw> = Vec::new();

    for round in 1..=3 {
        let mut again: Vec<Raw> = (2..102).map(|_| Raw::dial(address)).collect();
        for (nth, raw) in again.iter_mut().enumerate() {
            raw.write(&encoded(&hello(nth as u64 + 2)));
        }
        for raw in &mut again {
            assert!(matches!(raw.read_answer(), Answer::Accepted { .. }));
            raw.send(&numbered(round));
        }
        let mut heard = BTreeSet::new();
        while heard.len() < 100 {
            if let Seen::Message { from, number } = node.next() {
                assert!(number == round && heard.insert(from), "from {from} twice");
            }
        }
        standing.iter_mut().for_each(Raw::wait_for_end);
        standing = again;
    }

    assert_eq!(metrics.connects.get(), 300);
    let mut last = Raw::peer(address, 2);
    standing[0].wait_for_end();
    node.send(2, numbered(7));
    assert!(matches!(last.read_message(), PeerMessage::Raft { .. }));
}
