//! Peers that are behind, gone, slow, or not who they were.

use std::sync::Arc;

use super::{Cluster, body, five_nodes, id, instant, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::Event;
use crate::ticket::Outcome;
use crate::types::{
    Append, Body, Entry, EntryKind, EntryMeta, Incarnation, LogIndex, LogPosition, LogSlice, Message, Moment,
    Payload, PeerMessage, Term,
};

/// Node 1 leads, node 3 lacks twenty commands, and memory holds few of them.
fn three_nodes_of_which_3_is_far_behind() -> Cluster {
    let mut cluster = three_nodes_with(|config| {
        config.tail_bytes_max = 400;
        config.raft.append_entries_max = 7;
    });
    cluster.elect(1);
    cluster.isolate(3);
    (0..20).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.heal();
    cluster
}

fn is_membership(entry: &Entry) -> bool {
    matches!(entry.payload, Payload::Membership(_))
}

fn commands(count: u64) -> String {
    (0..count).map(|nth| nth.to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_peer_far_behind_is_served_from_the_log() {
    let mut cluster = three_nodes_of_which_3_is_far_behind();

    (0..4).for_each(|_| cluster.heartbeat(1));

    assert_eq!(cluster.journal(3), commands(20));
}

#[test]
fn appends_behind_a_slow_fetch_keep_their_order() {
    let mut cluster = three_nodes_of_which_3_is_far_behind();
    cluster.node(1).held.fetcher = true;
    (0..4).for_each(|_| cluster.heartbeat(1));
    cluster.fetch_one(1);
    let waiting = cluster.node(1).replica.cold.len(id(3));
    assert!(waiting > 1, "{waiting} wait, also those whose entries are in memory");
    assert_eq!(cluster.node(1).fetches.len(), 1, "one fetch at a time");
    assert!(cluster.propose(1, "20").is_done(), "the others do not wait");

    cluster.node(1).held.fetcher = false;
    (0..4).for_each(|_| cluster.heartbeat(1));

    assert_eq!(cluster.journal(3), commands(21));
}

#[test]
fn what_waits_for_a_peer_is_bounded() {
    let mut cluster = three_nodes_of_which_3_is_far_behind();
    cluster.node(1).held.fetcher = true;

    (0..500).for_each(|_| cluster.heartbeat(1));
    assert!(cluster.node(1).replica.cold.is_waiting(id(3)));

    let limit = 65;
    assert!(cluster.node(1).replica.cold.len(id(3)) <= limit);
    assert_eq!(cluster.node(1).fetches.len(), 1);
}

#[test]
fn what_waits_for_a_lost_peer_is_dropped() {
    let mut cluster = three_nodes_of_which_3_is_far_behind();
    cluster.node(1).held.fetcher = true;
    (0..4).for_each(|_| cluster.heartbeat(1));
    assert!(cluster.node(1).replica.cold.is_waiting(id(3)));

    cluster.handle(1, Event::PeerLost { peer: id(3) });
    assert!(!cluster.node(1).replica.cold.is_waiting(id(3)));

    cluster.node(1).held.fetcher = false;
    (0..4).for_each(|_| cluster.heartbeat(1));
    assert_eq!(cluster.journal(3), commands(20));
}

#[test]
fn a_deposed_leader_sends_nothing_that_it_fetched() {
    let mut cluster = three_nodes_of_which_3_is_far_behind();
    cluster.node(1).held.fetcher = true;
    (0..4).for_each(|_| cluster.heartbeat(1));
    assert!(cluster.node(1).replica.cold.is_waiting(id(3)));

    cluster.elect(2);
    cluster.node(1).held.fetcher = false;
    cluster.settle();

    assert!(!cluster.node(1).replica.cold.is_waiting(id(3)));
    (0..4).for_each(|_| cluster.heartbeat(2));
    assert_eq!(cluster.journal(3), commands(20));
}

#[test]
fn the_group_learns_the_data_directories_of_its_members() {
    let mut cluster = three_nodes();
    cluster.elect(1);

    cluster.connect_all();
    cluster.heartbeat(1);

    for number in [1, 2, 3] {
        let membership = cluster.status(number).membership;
        let learnt: Vec<_> = membership.members().map(|(_, member)| member.incarnation).collect();
        assert_eq!(learnt, [1, 2, 3].map(|number| Some(Incarnation(number))), "at node {number}");
    }
}

#[test]
fn a_node_that_lost_its_data_directory_is_not_heard() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.connect_all();
    cluster.heartbeat(1);
    let term = cluster.status(2).term;

    cluster.handle(2, Event::PeerConnected { peer: id(3), incarnation: Incarnation(33) });
    let body = Body::Vote { last: LogPosition::new(Term(99), LogIndex(99)), transfer: false };
    let message = PeerMessage::Raft { message: Message { term: Term(99), body }, entries: Vec::new() };
    cluster.handle(2, Event::Message { from: id(3), message });
    cluster.settle();

    assert_eq!(cluster.status(2).term, term);
}

#[test]
fn the_host_is_told_of_the_peers_first_and_whenever_they_change() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    let now = Moment(0);
    assert!(cluster.node(1).replica.turn(now).peers.is_none());

    cluster.handle(1, Event::PeerConnected { peer: id(2), incarnation: Incarnation(2) });
    let told = cluster.node(1).replica.turn(now).peers.expect("a membership with incarnations");

    assert!(Arc::ptr_eq(&told.membership, &cluster.status(1).membership));
    assert_eq!(told.membership.member(id(2)).unwrap().incarnation, Some(Incarnation(2)));
}

#[test]
fn only_while_it_leads_a_node_demands_that_peers_show_the_directories_it_knows() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    let now = Moment(0);
    cluster.handle(1, Event::PeerConnected { peer: id(2), incarnation: Incarnation(2) });
    assert!(cluster.node(1).replica.turn(now).peers.expect("a new membership").is_newest);

    let message = Message { term: Term(99), body: Body::VoteAnswer { granted: false } };
    let message = PeerMessage::Raft { message, entries: Vec::new() };
    cluster.handle(1, Event::Message { from: id(3), message });

    let told = cluster.node(1).replica.turn(now).peers.expect("the same members, otherwise");
    assert!(Arc::ptr_eq(&told.membership, &cluster.status(1).membership) && !told.is_newest);
    assert!(cluster.node(1).replica.turn(now).peers.is_none(), "nothing changed since");
}

#[test]
fn a_dead_peer_delays_neither_the_leader_nor_its_status() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.isolate(3);

    for nth in 0..2_000 {
        assert!(cluster.propose(1, &nth.to_string()).is_done());
    }

    let status = cluster.status(1);
    assert_eq!(status.commit, status.last_index);
    let dead = status.peers.iter().find(|peer| peer.id == id(3)).expect("a member");
    assert!(dead.lag_bytes > Some(0) && !dead.connected);
}

#[test]
fn an_append_that_does_not_carry_what_it_announces_is_dropped() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    let last = cluster.status(2).last_index;
    let term = cluster.status(2).term;
    let prev = LogPosition::new(term, last);
    let announced =
        EntryMeta { position: LogPosition::new(term, last.next()), bytes: 5, kind: EntryKind::Normal };
    let slice = LogSlice::new(prev, vec![announced]).unwrap();
    let body = Body::Append(Append { slice, commit: last });
    let message = PeerMessage::Raft { message: Message { term, body }, entries: Vec::new() };

    cluster.handle(2, Event::Message { from: id(1), message });
    cluster.settle();

    assert_eq!(cluster.status(2).last_index, last);
}

#[test]
fn a_node_that_learns_that_it_lost_its_own_directory_neither_votes_nor_stands_for_election() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.isolate(3);
    cluster.connect_all();
    cluster.heartbeat(1);
    let agreed = cluster.status(2).membership;
    assert_eq!(agreed.member(id(2)).unwrap().incarnation, Some(Incarnation(2)));
    let acknowledged = cluster.propose(1, "a");
    assert!(acknowledged.is_done());

    // The new directory of node 2 gets the log as far as the membership, and no further.
    cluster.isolate(1);
    cluster.wipe(2);
    let known = cluster.node(1).log.entries();
    let (membership, _) = known.iter().enumerate().rfind(|(_, entry)| is_membership(entry)).unwrap();
    let term = cluster.status(1).term;
    cluster.send_log(2, &known[..=membership], term);
    let unheard = cluster.propose(2, "b").wait_until(instant()).expect_err("nobody answers it");
    assert_eq!(unheard.wait().unwrap_err().outcome(), Outcome::NotApplied, "nothing left this node");
    cluster.heal();
    cluster.isolate(1);
    for _ in 0..20 {
        cluster.handle(3, Event::Tick { ticks: 10 });
        cluster.tick(2, 20);
        assert_ne!(cluster.status(2).role, RoleName::Leader, "it leads without the acknowledged command");
    }
}

/// Nodes 1 and 2 hold an acknowledged command; node 2 is wiped, and node 1 is away.
#[test]
fn a_wiped_node_and_one_that_was_behind_are_no_quorum_to_forget_what_was_acknowledged() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.connect_all();
    cluster.heartbeat(1);
    cluster.isolate(3);
    assert!(cluster.propose(1, "a").is_done());

    cluster.wipe(2);
    cluster.heal();
    cluster.isolate(1);
    for _ in 0..20 {
        cluster.tick(3, 20);
        cluster.tick(2, 20);
        let leads = |number| cluster.status(number).role == RoleName::Leader;
        assert!(![2, 3].into_iter().any(leads), "it leads without the acknowledged command");
    }

    cluster.heal();
    cluster.elect(1);
    (0..4).for_each(|_| cluster.heartbeat(1));
    assert_eq!(cluster.journal(3), "a");
}

#[test]
fn what_a_lost_directory_acknowledged_does_not_count_for_the_one_that_took_its_place() {
    let mut cluster = five_nodes();
    cluster.connect_all();
    cluster.lose(|from, to, message| {
        let is_vote = matches!(body(message), Some(Body::Vote { .. } | Body::VoteAnswer { .. }));
        !is_vote && [from, to].iter().any(|node| [3, 4, 5].contains(node))
    });
    cluster.elect(1);
    let unacknowledged = cluster.propose(1, "a");
    assert!(!unacknowledged.is_done(), "two of five hold it");

    cluster.wipe(2);
    cluster.lose(|from, to, _| [from, to].iter().any(|node| [2, 4, 5].contains(node)));
    (0..4).for_each(|_| cluster.heartbeat(1));

    assert!(!unacknowledged.is_done(), "acknowledged, and only nodes 1 and 3 hold it");

    cluster.heal();
    (0..4).for_each(|_| cluster.heartbeat(1));
    assert!(unacknowledged.is_done());
    assert_eq!(cluster.journal(2), "a", "the new directory catches up");
}

#[test]
fn a_leader_that_was_overwritten_records_data_directories_when_it_leads_again() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.isolate(1);
    (0..20).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.handle(1, Event::PeerConnected { peer: id(2), incarnation: Incarnation(2) });
    cluster.settle();
    cluster.elect(2);
    cluster.heal();
    (0..4).for_each(|_| cluster.heartbeat(2));

    cluster.elect(1);
    cluster.connect_all();
    (0..4).for_each(|_| cluster.heartbeat(1));

    let membership = cluster.status(3).membership;
    let learnt: Vec<_> = membership.members().map(|(_, member)| member.incarnation).collect();
    assert_eq!(learnt, [1, 2, 3].map(|number| Some(Incarnation(number))));
}
