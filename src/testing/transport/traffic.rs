//! What passes between nodes whose connections stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::messages::{forward_of, of_every_kind, text};
use super::{Clause, Fabric, Seen, chunk, connected, forward, id, local, numbered, pair, start};
use crate::types::{Admin, AdminTask, GroupId, MembershipChange, PeerMessage};

/// How much the command of a forward carries that a slow peer is sent.
const FORWARD_BYTES: usize = 1 << 18;
/// What a transport may have taken from a queue to write it at once.
const AT_ONCE_BYTES: usize = 4 << 20;
/// What sockets may hold besides, before a queue fills.
const SOCKET_BYTES: usize = 16 << 20;

pub(super) const CLAUSES: &[Clause] = &[
    (
        "Messages to one peer leave in the order in which they were handed over, and none is delivered twice.",
        messages_arrive_in_the_order_in_which_they_were_sent,
    ),
    ("It never alters a message, nor its group.", every_kind_of_message_arrives_as_it_was_sent),
    (
        "It never delivers a message to another node than its destination, nor under another sender.",
        nobody_hears_what_is_meant_for_another,
    ),
    (
        "Two nodes that know each other hear each other, whoever connects.",
        both_may_dial_at_once_and_both_are_heard,
    ),
    (
        "A peer that is not known here is heard, and answered on the connection that it made.",
        a_peer_that_is_no_member_is_heard_and_answered,
    ),
    (
        "At `SendJob::Close` what is queued is written out, then `run` returns.",
        what_was_queued_before_the_close_still_arrives,
    ),
    ("`run` returns when all senders of jobs are gone.", it_ends_when_nobody_can_ask_it_for_anything),
    ("While `Inbox::is_full` says so nothing is delivered.", nothing_is_delivered_into_a_full_inbox),
    (
        "While `Inbox::is_full_of_chunks` says so no chunk is delivered, and all else passes.",
        an_inbox_full_of_chunks_takes_everything_else,
    ),
    (
        "Chunks keep their order among themselves, and their lane is no connection to be told of.",
        chunks_arrive_in_their_order_and_connect_nobody,
    ),
    (
        "A chunk to a peer whose address is not known is dropped.",
        a_chunk_goes_only_where_the_sender_would_dial,
    ),
    (
        "A message beyond the limits of the protocol is dropped by the sender.",
        what_no_receiver_would_take_is_not_sent,
    ),
    (
        "A slow peer costs its own queue, bounded in bytes, and delays nobody else.",
        a_slow_peer_costs_its_queue_and_delays_nobody,
    ),
];

fn messages_arrive_in_the_order_in_which_they_were_sent(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    for number in 0..5000 {
        one.send(2, numbered(number));
    }

    for number in 0..5000 {
        assert_eq!(two.next(), Seen::Message { from: 1, number });
    }
}

fn every_kind_of_message_arrives_as_it_was_sent(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    for (message, group) in of_every_kind().into_iter().zip(5..) {
        let text = text(GroupId(group), &message);
        one.send_in(GroupId(group), 2, message);
        assert_eq!(two.next(), Seen::Another { from: 1, text });
    }
}

fn nobody_hears_what_is_meant_for_another(fabric: &dyn Fabric) {
    let nodes = [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])];
    let nodes = nodes.map(|(node, others)| (node, others, start(fabric, local(node), &others)));
    for (_, others, node) in &nodes {
        let mut expected = others.map(connected);
        let mut seen = [node.next(), node.next()];
        expected.sort_by_key(|seen| format!("{seen:?}"));
        seen.sort_by_key(|seen| format!("{seen:?}"));
        assert_eq!(seen, expected);
    }

    for number in 0..200 {
        for (me, others, node) in &nodes {
            for to in others {
                node.send(*to, numbered(number * 100 + me * 10 + to));
            }
        }
    }

    for (me, others, node) in &nodes {
        let mut next = BTreeMap::from(others.map(|other| (other, 0)));
        for _ in 0..400 {
            let seen = node.next();
            let Seen::Message { from, .. } = seen else { panic!("node {me} sees {seen:?}") };
            let number = next.get_mut(&from).unwrap_or_else(|| panic!("node {me} hears {from}"));
            assert_eq!(seen, Seen::Message { from, number: *number * 100 + from * 10 + me }, "at node {me}");
            *number += 1;
        }
    }
}

fn both_may_dial_at_once_and_both_are_heard(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    one.send(2, numbered(1));
    two.send(1, forward(2, 2, 100));

    assert_eq!(two.next(), Seen::Message { from: 1, number: 1 });
    assert_eq!(one.next(), Seen::Forward { from: 2, number: 2 });
}

fn a_peer_that_is_no_member_is_heard_and_answered(fabric: &dyn Fabric) {
    let newcomer = start(fabric, local(2), &[]);
    let leader = start(fabric, local(1), &[2]);
    leader.wait_for(connected(2));
    assert_eq!(newcomer.next(), connected(1));

    leader.send(2, numbered(1));
    assert_eq!(newcomer.next(), Seen::Message { from: 1, number: 1 });
    newcomer.send(1, numbered(2));
    assert_eq!(leader.next(), Seen::Message { from: 2, number: 2 });
}

fn what_was_queued_before_the_close_still_arrives(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);
    for number in 0..200 {
        one.send(2, forward(1, number, 10_000));
    }

    let left = one.stop();

    assert!(!left.iter().any(|seen| matches!(seen, Seen::Undelivered { .. })), "{left:?}");
    for number in 0..200 {
        assert_eq!(two.next(), Seen::Forward { from: 1, number });
    }
    assert_eq!(two.next(), Seen::Lost(1));
}

fn it_ends_when_nobody_can_ask_it_for_anything(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    one.forget();

    assert_eq!(two.next(), Seen::Lost(1));
}

fn nothing_is_delivered_into_a_full_inbox(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    two.set_full(true);
    one.send(2, numbered(1));
    // What nobody can take comes back, and tells that what was asked for before is under way.
    one.send(9, forward(1, 0, 10));
    assert_eq!(one.next(), Seen::Undelivered { to: 9, number: 0 });
    two.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 2, number: 2 }, "it can send all the same");
    two.set_full(false);

    // In memory there is no socket to wait in: the first is lost there, and may be.
    one.send(2, numbered(3));
    two.wait_for(Seen::Message { from: 1, number: 3 });
    assert!(!two.was_overfilled());
}

fn an_inbox_full_of_chunks_takes_everything_else(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);
    one.send(2, chunk(1, 10));
    assert_eq!(two.next(), Seen::Chunk { from: 1, number: 1 });

    two.set_full_of_chunks(true);
    for number in 2..100 {
        one.send(2, chunk(number, 1 << 16));
        one.send(2, numbered(number));
    }
    for number in 2..100 {
        assert_eq!(two.next(), Seen::Message { from: 1, number });
    }
    two.set_full_of_chunks(false);

    // In memory there is no socket to wait in: the others are lost there, and may be.
    one.send(2, chunk(100, 10));
    two.wait_for(Seen::Chunk { from: 1, number: 100 });
    assert!(!two.was_overfilled());
}

fn chunks_arrive_in_their_order_and_connect_nobody(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);

    for number in 0..50 {
        one.send(2, chunk(number, 100_000));
    }

    for number in 0..50 {
        assert_eq!(two.next(), Seen::Chunk { from: 1, number });
    }
    two.send(1, chunk(7, 10));
    assert_eq!(one.next(), Seen::Chunk { from: 2, number: 7 });
}

fn a_chunk_goes_only_where_the_sender_would_dial(fabric: &dyn Fabric) {
    let newcomer = start(fabric, local(2), &[]);
    let leader = start(fabric, local(1), &[2]);
    leader.wait_for(connected(2));
    assert_eq!(newcomer.next(), connected(1));

    newcomer.send(1, chunk(1, 10));
    newcomer.set_peers([(1, fabric.address(id(1)), None)]);
    newcomer.send(1, chunk(2, 10));

    let before = leader.wait_for(Seen::Chunk { from: 2, number: 2 });
    assert!(!before.contains(&Seen::Chunk { from: 2, number: 1 }), "{before:?}");
}

fn what_no_receiver_would_take_is_not_sent(fabric: &dyn Fabric) {
    let (one, two) = pair(fabric);
    let change = MembershipChange::AddLearner { id: id(9), address: "a".repeat(257) };
    let task = AdminTask::Change { change, expected: None };

    one.send(2, PeerMessage::Admin(Admin { request: 1, task }));
    one.send(2, numbered(2));

    assert_eq!(two.next(), Seen::Message { from: 1, number: 2 });
}

fn a_slow_peer_costs_its_queue_and_delays_nobody(fabric: &dyn Fabric) {
    let one = start(fabric, local(1), &[2, 3]);
    let (two, three) = (start(fabric, local(2), &[1]), start(fabric, local(3), &[1]));
    two.wait_for(connected(1));
    three.wait_for(connected(1));
    one.wait_for(connected(2));

    two.set_full(true);
    let command = Arc::new(vec![7; FORWARD_BYTES]);
    let (allowed, mut sent) = (fabric.queue_bytes_max() + AT_ONCE_BYTES, 0);
    while sent < 2 * allowed + SOCKET_BYTES {
        let shared = Bytes::from_owner(Shared(Arc::clone(&command)));
        one.send(2, forward_of(1, sent as u64, shared));
        sent += FORWARD_BYTES;
    }
    one.send(3, numbered(1));

    assert_eq!(three.next(), Seen::Message { from: 1, number: 1 }, "the other peer need not wait");
    let held = (Arc::strong_count(&command) - 1) * FORWARD_BYTES;
    assert!(held <= allowed, "it holds {held} bytes for one peer that does not read");
    two.set_full(false);
}

/// Bytes of which it can be told how many still hold them.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
