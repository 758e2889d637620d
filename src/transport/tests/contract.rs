//! The contract at the top of [`crate::transport`], held against both transports.

use super::harness::{
    CLUSTER, Fabric, Loopback, Seen, chunk, connected, forward, id, joiner, local, numbered,
};
use crate::transport::{Fate, LocalNode, MemoryNetwork};
use crate::types::{Admin, AdminTask, ClusterId, Incarnation, MembershipChange, PeerMessage};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::MemoryNetwork::new()); })*
        }
        mod tcp {
            $(#[test] fn $name() { super::$name(&super::Loopback::new()); })*
        }
    };
}

on_both!(
    messages_arrive_in_the_order_in_which_they_were_sent,
    both_may_dial_at_once_and_both_are_heard,
    a_message_for_nobody_is_dropped_and_a_forward_comes_back,
    a_forward_to_a_peer_that_is_not_there_comes_back,
    a_lost_peer_is_said_to_be_lost_once_and_found_again_after_its_restart,
    a_data_directory_that_contradicts_the_known_one_is_not_heard,
    a_contradiction_that_is_learnt_later_ends_the_connection,
    another_cluster_is_not_heard,
    what_was_queued_before_the_close_still_arrives,
    a_peer_that_is_no_member_is_heard_and_answered,
    nothing_is_delivered_into_a_full_inbox,
    chunks_arrive_in_their_order_and_connect_nobody,
    an_inbox_full_of_chunks_takes_everything_else,
    a_chunk_goes_only_where_the_sender_would_dial,
    what_no_receiver_would_take_is_not_sent,
    a_node_without_a_cluster_takes_that_of_the_first_who_dials_it,
    a_node_without_a_cluster_dials_nobody_until_it_has_one,
    nodes_without_a_cluster_find_it_through_each_other,
    two_nodes_without_a_cluster_do_not_talk,
);

fn messages_arrive_in_the_order_in_which_they_were_sent(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    for number in 0..5000 {
        one.send(2, numbered(number));
    }

    for number in 0..5000 {
        assert_eq!(two.next(), Seen::Message { from: 1, number });
    }
}

fn both_may_dial_at_once_and_both_are_heard(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    one.send(2, numbered(1));
    two.send(1, forward(2, 2, 100));

    assert_eq!(two.next(), Seen::Message { from: 1, number: 1 });
    assert_eq!(one.next(), Seen::Forward { from: 2, number: 2 });
}

fn a_message_for_nobody_is_dropped_and_a_forward_comes_back(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    one.send(9, numbered(1));
    one.send(9, forward(1, 2, 10));
    one.send(2, numbered(3));

    assert_eq!(one.next(), Seen::Undelivered { to: 9, number: 2 });
    assert_eq!(two.next(), Seen::Message { from: 1, number: 3 });
}

fn a_forward_to_a_peer_that_is_not_there_comes_back(fabric: &dyn Fabric) {
    let one = fabric.start(local(1), &[2]);

    one.send(2, forward(1, 1, 10));

    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
}

fn a_lost_peer_is_said_to_be_lost_once_and_found_again_after_its_restart(fabric: &dyn Fabric) {
    let (one, mut two) = fabric.pair();

    for round in 0..3 {
        two.stop();
        two = fabric.start(local(2), &[1]);

        assert_eq!(one.next(), Seen::Lost(2), "round {round}");
        assert_eq!(one.next(), connected(2), "round {round}");
        two.wait_for(connected(1));
        two.send(1, numbered(round));
        assert_eq!(one.next(), Seen::Message { from: 2, number: round });
    }
}

fn a_data_directory_that_contradicts_the_known_one_is_not_heard(fabric: &dyn Fabric) {
    let one = fabric.start_knowing(local(1), &[(2, Some(Incarnation(666))), (3, None)]);
    let three = fabric.start(local(3), &[1, 2]);
    assert_eq!(one.next(), connected(3));
    assert_eq!(three.next(), connected(1));

    // Node 2 comes when all know what to expect of it; that it reached node 3 shows that it had time to reach node 1.
    let two = fabric.start(local(2), &[1, 3]);
    assert_eq!(two.next(), connected(3));
    assert_eq!(three.next(), connected(2));

    two.send(1, forward(2, 1, 10));
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });
    three.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 3, number: 2 });
}

fn a_contradiction_that_is_learnt_later_ends_the_connection(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    one.set_peers([(2, fabric.address(2), Some(Incarnation(666)))]);

    assert_eq!(one.next(), Seen::Lost(2));
    assert_eq!(two.next(), Seen::Lost(1));
}

fn another_cluster_is_not_heard(fabric: &dyn Fabric) {
    let stranger = LocalNode { cluster: Some(ClusterId(CLUSTER.0 + 1)), ..local(2) };
    let one = fabric.start(local(1), &[2, 3]);
    let two = fabric.start(stranger, &[1, 3]);
    let three = fabric.start(local(3), &[1, 2]);
    assert_eq!(one.wait_for(connected(3)), []);
    assert_eq!(three.wait_for(connected(1)), []);

    two.send(1, forward(2, 1, 10));

    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });
}

fn what_was_queued_before_the_close_still_arrives(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();
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

fn a_peer_that_is_no_member_is_heard_and_answered(fabric: &dyn Fabric) {
    let newcomer = fabric.start(local(2), &[]);
    let leader = fabric.start(local(1), &[2]);
    leader.wait_for(connected(2));
    assert_eq!(newcomer.next(), connected(1));

    leader.send(2, numbered(1));
    assert_eq!(newcomer.next(), Seen::Message { from: 1, number: 1 });
    newcomer.send(1, numbered(2));
    assert_eq!(leader.next(), Seen::Message { from: 2, number: 2 });
}

fn nothing_is_delivered_into_a_full_inbox(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    two.set_full(true);
    one.send(2, numbered(1));
    two.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 2, number: 2 }, "it can send all the same");
    two.set_full(false);

    // In memory there is no socket to wait in: the first is lost there, and may be.
    one.send(2, numbered(3));
    two.wait_for(Seen::Message { from: 1, number: 3 });
    assert!(!two.was_overfilled());
}

fn chunks_arrive_in_their_order_and_connect_nobody(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();

    for number in 0..50 {
        one.send(2, chunk(number, 100_000));
    }

    for number in 0..50 {
        assert_eq!(two.next(), Seen::Chunk { from: 1, number });
    }
    two.send(1, chunk(7, 10));
    assert_eq!(one.next(), Seen::Chunk { from: 2, number: 7 });
}

fn an_inbox_full_of_chunks_takes_everything_else(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();
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

fn a_chunk_goes_only_where_the_sender_would_dial(fabric: &dyn Fabric) {
    let newcomer = fabric.start(local(2), &[]);
    let leader = fabric.start(local(1), &[2]);
    leader.wait_for(connected(2));
    assert_eq!(newcomer.next(), connected(1));

    newcomer.send(1, chunk(1, 10));
    newcomer.set_peers([(1, fabric.address(1), None)]);
    newcomer.send(1, chunk(2, 10));

    let before = leader.wait_for(Seen::Chunk { from: 2, number: 2 });
    assert!(!before.contains(&Seen::Chunk { from: 2, number: 1 }), "{before:?}");
}

fn what_no_receiver_would_take_is_not_sent(fabric: &dyn Fabric) {
    let (one, two) = fabric.pair();
    let change = MembershipChange::AddLearner { id: id(9), address: "a".repeat(257) };
    let task = AdminTask::Change { change, expected: None };

    one.send(2, PeerMessage::Admin(Admin { request: 1, task }));
    one.send(2, numbered(2));

    assert_eq!(two.next(), Seen::Message { from: 1, number: 2 });
}

fn a_node_without_a_cluster_takes_that_of_the_first_who_dials_it(fabric: &dyn Fabric) {
    let newcomer = fabric.start(joiner(2), &[]);
    let leader = fabric.start(local(1), &[2]);
    assert_eq!(newcomer.next(), Seen::Adopted(CLUSTER));
    assert_eq!(newcomer.next(), connected(1));

    let stranger = LocalNode { cluster: Some(ClusterId(CLUSTER.0 + 1)), ..local(3) };
    let stranger = fabric.start(stranger, &[2]);
    stranger.send(2, forward(3, 1, 10));

    assert_eq!(stranger.next(), Seen::Undelivered { to: 2, number: 1 });
    leader.wait_for(connected(2));
    leader.send(2, numbered(2));
    assert_eq!(newcomer.next(), Seen::Message { from: 1, number: 2 }, "the stranger came to nothing");
}

fn a_node_without_a_cluster_dials_nobody_until_it_has_one(fabric: &dyn Fabric) {
    let newcomer = fabric.start(joiner(2), &[1]);
    let one = fabric.start(local(1), &[]);
    newcomer.send(1, forward(2, 1, 10));
    assert_eq!(newcomer.next(), Seen::Undelivered { to: 1, number: 1 });

    let _three = fabric.start(local(3), &[2]);

    assert_eq!(newcomer.next(), Seen::Adopted(CLUSTER), "before anything else");
    newcomer.wait_for(connected(1));
    assert_eq!(one.next(), connected(2));
}

fn nodes_without_a_cluster_find_it_through_each_other(fabric: &dyn Fabric) {
    let one = fabric.start(joiner(1), &[2]);
    let two = fabric.start(joiner(2), &[1]);
    let _three = fabric.start(local(3), &[1]);

    assert_eq!((one.next(), two.next()), (Seen::Adopted(CLUSTER), Seen::Adopted(CLUSTER)));
    one.wait_for(connected(2));
    two.wait_for(connected(1));
    two.send(1, numbered(5));
    one.wait_for(Seen::Message { from: 2, number: 5 });
}

fn two_nodes_without_a_cluster_do_not_talk(fabric: &dyn Fabric) {
    let one = fabric.start(joiner(1), &[2]);
    let two = fabric.start(joiner(2), &[1]);

    one.send(2, forward(1, 1, 10));
    two.send(1, forward(2, 2, 10));

    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 2 });
    assert_eq!((one.stop(), two.stop()), (vec![], vec![]));
}

#[test]
fn a_link_that_is_cut_in_memory_is_cut_one_way_and_heals() {
    let network = MemoryNetwork::new();
    let (one, two) = network.pair();

    network.cut(id(1), id(2));
    assert_eq!(one.next(), Seen::Lost(2));
    one.send(2, forward(1, 1, 10));
    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
    two.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 2, number: 2 });

    network.heal(id(1), id(2));
    assert_eq!(one.next(), connected(2));
    one.send(2, numbered(3));
    assert_eq!(two.next(), Seen::Message { from: 1, number: 3 });
}

#[test]
fn an_isolated_node_in_memory_hears_nobody_until_all_is_healed() {
    let network = MemoryNetwork::new();
    let (one, two) = network.pair();

    network.isolate(id(2));
    assert_eq!((one.next(), two.next()), (Seen::Lost(2), Seen::Lost(1)));
    two.send(1, forward(2, 1, 10));
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });

    network.heal_all();
    assert_eq!((one.next(), two.next()), (connected(2), connected(1)));
}

#[test]
fn a_filter_in_memory_loses_and_doubles_what_it_likes() {
    let network = MemoryNetwork::new();
    let (one, two) = network.pair();
    let mut fates = [Fate::Drop, Fate::Duplicate, Fate::Deliver].into_iter();
    network.filter(move |_, _, _, _| fates.next().unwrap_or(Fate::Deliver));

    for number in 1..=3 {
        one.send(2, numbered(number));
    }

    let seen = [two.next(), two.next(), two.next()];
    assert_eq!(seen, [2, 2, 3].map(|number| Seen::Message { from: 1, number }));
}
