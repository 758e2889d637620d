//! The lane for chunks of snapshots on TCP: it delays nobody, it is nobody's connection, it comes and goes by itself.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::harness::{GROUP, Seen, TestNode, chunk, connected, forward, lone_node, numbered};
use super::raw::{Raw, encoded, hello, sealed};
use crate::metrics::{Counter, NetMetrics};
use crate::transport::TcpConfig;
use crate::types::{Incarnation, PeerMessage};
use crate::wire::frame::{self, PROTOCOL_VERSION};
use crate::wire::hello::{Answer, Hello, Lane, Reason};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// A node that has dialled peer 2, where the peer listens, the connection between them, and what the node counts.
fn node_connected_to_2(
    configure: impl FnOnce(&mut TcpConfig),
) -> (TestNode, TcpListener, Raw, Arc<NetMetrics>) {
    let (listener, at) = listener();
    let (node, _, metrics) = lone_node(configure);
    node.set_peers([(2, at, None)]);
    let ordinary = Raw::answer(&listener, 2);
    assert_eq!(node.next(), connected(2));
    (node, listener, ordinary, metrics)
}

/// Waits until `counter` has reached `count`.
fn reached(counter: &Counter, count: u64) {
    while counter.get() < count {
        std::thread::yield_now();
    }
}

/// Sends chunks to node `to` until the node drops them, since neither its queue nor the kernel takes any more.
fn saturate(node: &TestNode, metrics: &NetMetrics, to: u64) {
    let (taken, dropped) = (metrics.chunks_sent.get(), metrics.chunks_dropped.get());
    let mut sent = 0;
    while metrics.chunks_dropped.get() < dropped + 10 {
        node.send(to, chunk(sent, 1 << 16));
        sent += 1;
        assert!(sent < 10_000, "the queue has no bound");
        reached_either(metrics, taken + dropped + sent);
    }
}

fn reached_either(metrics: &NetMetrics, count: u64) {
    while metrics.chunks_sent.get() + metrics.chunks_dropped.get() < count {
        std::thread::yield_now();
    }
}

/// Sends chunks on `bulk` without end, until it is closed.
fn flood(mut bulk: Raw) -> JoinHandle<()> {
    let block = sealed(&chunk(7, 1 << 16)).repeat(16);
    std::thread::spawn(move || while bulk.0.write_all(&block).is_ok() {})
}

fn offset(message: &PeerMessage) -> u64 {
    let PeerMessage::Chunk(chunk) = message else { panic!("a chunk, not {message:?}") };
    chunk.offset
}

#[test]
fn heartbeats_pass_while_the_lanes_to_two_followers_are_full() {
    let ((first, first_at), (second, second_at)) = (listener(), listener());
    let (node, _, metrics) = lone_node(|config| config.silence = Duration::from_secs(600));
    node.set_peers([(2, first_at, None), (3, second_at, None)]);
    let mut calm = [Raw::answer(&first, 2), Raw::answer(&second, 3)];
    let mut connects = [node.next(), node.next()];
    connects.sort_by_key(|seen| *seen != connected(2));
    assert_eq!(connects, [connected(2), connected(3)]);

    // The first chunk has each lane dialled; nobody ever reads there.
    node.send(2, chunk(0, 10));
    let _deaf = Raw::answer_bulk(&first, 2);
    reached(&metrics.chunks_sent, 1);
    node.send(3, chunk(0, 10));
    let _deaf_too = Raw::answer_bulk(&second, 3);
    reached(&metrics.chunks_sent, 2);
    saturate(&node, &metrics, 2);
    saturate(&node, &metrics, 3);

    for raw in &mut calm {
        raw.send(&numbered(1));
    }
    for number in 0..100 {
        node.send(2, numbered(number));
        node.send(3, numbered(number));
    }

    for raw in &mut calm {
        for _ in 0..100 {
            assert!(matches!(raw.read_message(), PeerMessage::Raft { .. }));
        }
    }
    let mut heard = [node.next(), node.next()];
    heard.sort_by_key(|seen| *seen != Seen::Message { from: 2, number: 1 });
    assert_eq!(heard, [2, 3].map(|from| Seen::Message { from, number: 1 }));
}

#[test]
fn a_message_waits_for_no_more_than_two_turns_of_a_flood_of_chunks() {
    const CHUNKS_PER_TURN: usize = (512 << 10) / (1 << 16);
    let (node, address, metrics) = lone_node(|_| ());
    let bulk = Raw::bulk(address, 2);
    reached(&metrics.bulk_connects, 1);
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    // Both wait when the inbox takes messages again; the turn that goes on then may have looked for messages before.
    node.set_full(true);
    let flooding = flood(bulk);
    peer.send(&numbered(1));
    node.set_full(false);

    let before = node.wait_for(Seen::Message { from: 2, number: 1 });
    assert!(before.len() <= 2 * (CHUNKS_PER_TURN + 1), "{} chunks", before.len());
    for _ in 0..1000 {
        assert_eq!(node.next(), Seen::Chunk { from: 2, number: 7 }, "and the flood goes on");
    }
    node.stop();
    flooding.join().unwrap();
}

#[test]
fn a_lane_on_which_nothing_is_read_for_now_is_not_silent() {
    let (node, address, metrics) = lone_node(|config| config.silence = Duration::from_millis(100));
    let mut bulk = Raw::bulk(address, 2);
    reached(&metrics.bulk_connects, 1);
    node.set_full_of_chunks(true);
    bulk.send(&chunk(1, 1 << 16));

    // Three others come and say nothing, until they are given up: so much time has passed.
    for _ in 0..3 {
        Raw::peer(address, 3).wait_for_end();
        assert_eq!((node.next(), node.next()), (connected(3), Seen::Lost(3)));
    }
    node.set_full_of_chunks(false);

    assert_eq!(node.next(), Seen::Chunk { from: 2, number: 1 });
    assert!(!node.was_overfilled());
}

#[test]
fn a_bulk_connection_connects_nobody() {
    let (node, address, metrics) = lone_node(|_| ());

    let mut bulk = Raw::bulk(address, 2);
    bulk.send(&chunk(1, 100));
    assert_eq!(node.next(), Seen::Chunk { from: 2, number: 1 });
    node.send(2, forward(1, 2, 10));
    assert_eq!(node.next(), Seen::Undelivered { to: 2, number: 2 });
    drop(bulk);

    reached(&metrics.bulk_disconnects, 1);
    assert_eq!((metrics.connects.get(), metrics.disconnects.get(), metrics.bulk_connects.get()), (0, 0, 1));
    assert_eq!(node.stop(), []);
}

#[test]
fn nothing_but_chunks_and_signs_of_life_passes_the_bulk_lane_and_no_chunk_another() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut ping = Vec::new();
    crate::wire::peer::encode_ping(&mut ping);
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));

    let mut oversized = Vec::new();
    frame::seal(PROTOCOL_VERSION, 16, GROUP, &mut oversized, |out| {
        out.extend_from_slice(&vec![0; 16 + (1 << 20) + 1]);
    });
    for wrong in [sealed(&numbered(3)), sealed(&forward(2, 3, 10)), oversized] {
        let mut bulk = Raw::bulk(address, 2);
        bulk.write(&[ping.clone(), sealed(&chunk(1, 1 << 20)), wrong].concat());
        bulk.wait_for_end();
        assert_eq!(node.next(), Seen::Chunk { from: 2, number: 1 });
    }
    peer.send(&numbered(4));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 4 }, "the other connection stands");

    peer.send(&chunk(5, 10));
    peer.wait_for_end();
    assert_eq!(node.next(), Seen::Lost(2));
    assert_eq!(metrics.frames_malformed.get(), 4);
}

#[test]
fn what_is_sent_while_the_lane_is_dialled_arrives_in_its_order() {
    let (node, listener, _ordinary, metrics) = node_connected_to_2(|_| ());

    for number in 0..20 {
        node.send(2, chunk(number, 1 << (number % 17)));
    }
    let mut bulk = Raw::answer_bulk(&listener, 2);

    for number in 0..20 {
        assert_eq!(offset(&bulk.read_message()), number);
    }
    assert_eq!(
        (metrics.bulk_connects.get(), metrics.chunks_sent.get(), metrics.chunks_dropped.get()),
        (1, 20, 0)
    );
}

#[test]
fn a_lane_that_is_idle_is_closed_and_dialled_again_when_it_is_needed() {
    let (node, listener, _ordinary, _) =
        node_connected_to_2(|config| config.bulk_idle = Duration::from_millis(10));

    for number in 0..3 {
        node.send(2, chunk(number, 100));
        let mut bulk = Raw::answer_bulk(&listener, 2);
        assert_eq!(offset(&bulk.read_message()), number);
        bulk.wait_for_end();
    }

    assert_eq!(node.stop(), [Seen::Lost(2)], "nobody is lost before the end");
}

#[test]
fn a_lane_that_broke_is_dialled_again_for_the_next_chunk() {
    let (node, listener, _ordinary, metrics) = node_connected_to_2(|_| ());

    for number in 0..3 {
        node.send(2, chunk(number, 100));
        let mut bulk = Raw::answer_bulk(&listener, 2);
        assert_eq!(offset(&bulk.read_message()), number);
        drop(bulk);
        reached(&metrics.bulk_disconnects, number + 1);
    }

    assert_eq!(metrics.disconnects.get(), 0);
}

#[test]
fn a_lane_that_cannot_be_had_loses_what_waits_for_it() {
    let (node, listener, _ordinary, metrics) = node_connected_to_2(|_| ());

    node.send(2, chunk(1, 100));
    node.send(2, chunk(2, 100));
    Raw::refuse(&listener, Reason::ContradictingIncarnation);

    reached(&metrics.chunks_dropped, 2);
    assert_eq!((metrics.chunks_sent.get(), metrics.refused.get()), (0, 1));
}

#[test]
fn the_lane_moves_with_its_peer() {
    let ((old, old_at), (new, new_at)) = (listener(), listener());
    let (node, _, metrics) = lone_node(|_| ());
    node.set_peers([(2, old_at, None)]);
    let mut before = Raw::answer(&old, 2);
    node.send(2, chunk(1, 100));
    let mut bulk_before = Raw::answer_bulk(&old, 2);
    reached(&metrics.chunks_sent, 1);

    node.set_peers([(2, new_at, None)]);
    before.wait_for_end();
    bulk_before.wait_for_end();
    let _after = Raw::answer(&new, 2);
    node.send(2, chunk(2, 100));
    let mut bulk_after = Raw::answer_bulk(&new, 2);

    assert_eq!(offset(&bulk_after.read_message()), 2);
}

#[test]
fn a_peer_that_is_gone_from_the_list_gets_no_chunk() {
    let (listener, at) = listener();
    let (node, address, metrics) = lone_node(|_| ());
    node.set_peers([(2, at, None)]);
    let _ordinary = Raw::answer(&listener, 2);
    node.send(2, chunk(1, 100));
    let mut bulk = Raw::answer_bulk(&listener, 2);
    assert_eq!(offset(&bulk.read_message()), 1);

    node.set_peers([]);
    bulk.wait_for_end();
    let _still_there = Raw::peer(address, 2);
    node.send(2, chunk(2, 100));

    reached(&metrics.chunks_dropped, 1);
}

#[test]
fn a_contradiction_ends_the_lane_too() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut bulk = Raw::bulk(address, 2);
    reached(&metrics.bulk_connects, 1);

    node.set_peers([(2, "127.0.0.1:9".into(), Some(Incarnation(666)))]);

    bulk.wait_for_end();
    let mut again = Raw::dial(address);
    again.write(&encoded(&Hello { lane: Lane::Bulk, ..hello(2) }));
    assert_eq!(again.read_answer(), Answer::Refused(Reason::ContradictingIncarnation));
}

#[test]
fn a_lane_that_is_dialled_again_replaces_the_older_one_alone() {
    let (node, address, _) = lone_node(|_| ());
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));
    let mut older = Raw::bulk(address, 2);

    let mut newer = Raw::bulk(address, 2);

    older.wait_for_end();
    newer.send(&chunk(1, 10));
    assert_eq!(node.next(), Seen::Chunk { from: 2, number: 1 });
    peer.send(&numbered(2));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 2 });
}

#[test]
fn a_chunk_beyond_the_limit_is_not_sent() {
    let (listener, at) = listener();
    let (node, _, metrics) = lone_node(|_| ());
    node.set_peers([(2, at, None)]);
    let _ordinary = Raw::answer(&listener, 2);

    node.send(2, chunk(1, (1 << 20) + 1));
    node.send(2, chunk(2, 1 << 20));

    assert_eq!(offset(&Raw::answer_bulk(&listener, 2).read_message()), 2);
    assert_eq!(metrics.chunks_dropped.get(), 1);
}
