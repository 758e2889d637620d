//! §5.3: log replication.

use quorate::consensus::{ProgressState, ProposeRefused};
use quorate::types::{Body, EntryKind};

use crate::cluster::Cluster;
use crate::fixture::*;

#[test]
fn proposals_become_consecutive_entries_of_the_leaders_term_and_leave_together() {
    let mut leader = replica(1, 3).lead_with_everyone();

    let span = leader.propose([10, 20, 30]).unwrap();

    assert_eq!((span.first, span.last), (index(3), at(1, 5)));
    let appends = appends_to(2, &leader.ready(NOW).send);
    assert_eq!(appends.len(), 1, "one message for all that came in a turn");
    let sizes: Vec<_> = appends[0].slice.entries().iter().map(|entry| entry.bytes).collect();
    assert_eq!(sizes, [10, 20, 30]);
    assert_eq!(leader.bytes_between(index(2), index(5)), 60);
}

#[test]
fn only_a_leader_takes_proposals_and_others_say_who_leads() {
    let mut follower = replica(1, 3).start();
    assert_eq!(follower.propose([1]), Err(ProposeRefused::NotLeader { leader: None }));
    follower.step(node(2), heartbeat(1, 0, 0));
    assert_eq!(follower.propose([1]), Err(ProposeRefused::NotLeader { leader: Some(node(2)) }));
    follower.campaign();
    assert_eq!(follower.propose([1]), Err(ProposeRefused::NotLeader { leader: None }));
    assert_eq!(replica(1, 3).lead().propose([]), Err(ProposeRefused::Empty));
}

#[test]
fn an_append_carries_the_position_before_its_entries() {
    let mut leader = replica(1, 3).with_log(&[1, 1]).lead_with_everyone();
    leader.propose([10]).unwrap();

    let append = &appends_to(2, &leader.ready(NOW).send)[0];

    assert_eq!(append.slice.prev(), at(2, 4));
    assert_eq!(append.commit, index(4));
}

#[test]
fn a_follower_refuses_entries_that_do_not_follow_its_log() {
    let mut follower = replica(1, 3).with_log(&[1]).in_term(2).start();

    let appended = follower.step(node(2), append(2, at(1, 3), &[2], 0));

    assert_eq!(appended, None);
    assert_eq!(only(&persist_all(&mut follower)), (2, rejected(2, 3, at(1, 2))));
}

#[test]
fn a_follower_appends_entries_that_follow_its_log_and_says_which() {
    let mut follower = replica(1, 3).with_log(&[1]).in_term(2).start();

    let span = follower.step(node(2), append(2, at(1, 2), &[2, 2], 0)).unwrap();

    assert_eq!((span.first, span.last), (index(3), at(2, 4)));
    assert_eq!(log_of(&follower), [1, 2, 2]);
}

#[test]
fn entries_that_are_there_already_are_neither_deleted_nor_appended_again() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1, 1]).start();
    persist_all(&mut follower);

    let appended = follower.step(node(2), append(1, at(0, 1), &[1, 1], 0));

    assert_eq!(appended, None);
    assert_eq!(log_of(&follower), [1, 1, 1, 1], "an old, shorter append cuts nothing");
    let ready = follower.ready(NOW);
    assert_eq!(ready.append, None);
    assert_eq!(only(&ready.send_when_durable), (2, accepted(1, 3)));
}

#[test]
fn of_an_overlapping_append_only_what_is_new_is_appended() {
    let mut follower = replica(1, 3).with_log(&[1, 1]).start();

    let span = follower.step(node(2), append(1, at(0, 1), &[1, 1, 1, 1], 0)).unwrap();

    assert_eq!((span.first, span.last), (index(4), at(1, 5)));
}

#[test]
fn a_conflicting_entry_is_deleted_with_all_that_follow_it_and_nothing_before() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 2, 2, 2]).start();

    let span = follower.step(node(2), append(3, at(0, 1), &[1, 1, 3], 0)).unwrap();

    assert_eq!((span.first, span.last), (index(4), at(3, 4)));
    assert_eq!(log_of(&follower), [1, 1, 3]);
}

#[test]
fn a_follower_commits_what_the_leader_has_but_never_beyond_what_was_verified() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1, 1]).in_term(2).start();

    follower.step(node(2), append(2, at(1, 3), &[], 5));

    assert_eq!(follower.commit(), index(3), "entries 4 and 5 may be another leader's");
}

#[test]
fn a_heartbeat_commits_only_what_an_append_has_verified() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1]).in_term(2).start();

    follower.step(node(2), heartbeat(2, 4, 1));
    assert_eq!(follower.commit(), index(1));
    follower.step(node(2), append(2, at(1, 3), &[], 0));
    follower.step(node(2), heartbeat(2, 4, 2));

    assert_eq!(follower.commit(), index(3));
}

#[test]
fn a_commit_index_never_goes_back() {
    let mut follower = replica(1, 3).with_log(&[1, 1]).start();
    follower.step(node(2), append(1, at(1, 3), &[], 3));

    follower.step(node(2), append(1, at(1, 3), &[], 1));
    follower.step(node(2), heartbeat(1, 0, 1));

    assert_eq!(follower.commit(), index(3));
}

#[test]
fn a_leader_tells_a_follower_only_of_commits_that_it_holds() {
    let mut leader = replica(1, 3).with_log(&[1, 1, 1]).lead();
    leader.step(node(2), accepted(2, 5));
    persist_all(&mut leader);
    assert_eq!(leader.commit(), index(5));

    leader.tick(2);

    let sent = leader.ready(NOW).send;
    assert_eq!(heartbeats_to(2, &sent)[0].commit, index(5));
    assert_eq!(heartbeats_to(3, &sent)[0].commit, index(0), "nothing of node 3 is known");
}

#[test]
fn followers_learn_of_a_commit_at_once_even_if_nothing_more_is_proposed() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).unwrap();
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 3));

    let sent = leader.ready(NOW).send;

    assert_eq!(heartbeats_to(2, &sent)[0].commit, index(3));
    assert_eq!(heartbeats_to(3, &sent), [], "it does not hold the entry yet");
}

#[test]
fn a_commit_that_got_lost_on_its_way_is_learnt_with_the_next_heartbeat() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).unwrap();
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 3));
    leader.step(node(3), accepted(1, 3));
    assert_eq!(heartbeats_to(3, &persist_all(&mut leader))[0].commit, index(3), "this one is lost");

    leader.tick(2);

    assert_eq!(heartbeats_to(3, &persist_all(&mut leader))[0].commit, index(3));
}

#[test]
fn a_repeated_round_brings_the_commit_and_asks_for_no_answer() {
    let mut follower = replica(1, 3).with_log(&[1]).start();
    follower.step(node(2), append(1, at(1, 2), &[], 0));
    follower.step(node(2), heartbeat(1, 0, 4));
    persist_all(&mut follower);

    follower.step(node(2), heartbeat(1, 2, 4));

    assert_eq!(follower.commit(), index(2));
    assert_eq!(persist_all(&mut follower), []);
}

#[test]
fn a_new_leader_does_not_wait_for_an_answer_to_lead_but_probes_until_one_comes() {
    let mut leader = replica(1, 3).with_log(&[1]).lead();
    assert_eq!(leader.progress(node(2)).unwrap().state, ProgressState::Probe);

    leader.propose([10]).unwrap();
    assert_eq!(appends_to(2, &persist_all(&mut leader)), [], "one append is out");
    leader.step(node(2), accepted(2, 3));

    let progress = leader.progress(node(2)).unwrap();
    assert_eq!((progress.matched, progress.state), (index(3), ProgressState::Replicate));
    assert_eq!(appends_to(2, &leader.ready(NOW).send).len(), 1);
}

#[test]
fn every_entry_reaches_every_node_in_the_same_order_and_is_applied_once() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);

    for _ in 0..50 {
        cluster.raft(1).propose([10]).unwrap();
        cluster.settle();
    }

    for id in 1..=3 {
        let raft = cluster.raft(id);
        assert_eq!((raft.last(), raft.commit(), raft.stable()), (at(1, 52), index(52), index(52)));
        assert!(!raft.has_ready(), "all of it was handed over");
    }
}

#[test]
fn a_follower_without_a_leaders_no_op_gets_it_as_such() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));

    cluster.elect(2);

    assert_eq!(cluster.raft(3).meta(index(2)).unwrap().kind, EntryKind::Noop);
}

#[test]
fn a_slow_minority_delays_no_commit() {
    let mut leader = replica(1, 5).lead_with_everyone();
    leader.propose([10]).unwrap();
    persist_all(&mut leader);

    leader.step(node(2), accepted(1, 3));
    leader.step(node(3), accepted(1, 3));

    assert_eq!(leader.commit(), index(3), "nodes 4 and 5 never answered");
}

#[test]
fn a_leader_never_deletes_or_overwrites_its_own_entries() {
    let mut leader = replica(1, 3).with_log(&[1, 1]).lead();
    leader.propose([10]).unwrap();
    let before = log_of(&leader);

    leader.step(node(2), append(2, at(0, 1), &[2], 2));
    leader.step(node(2), rejected(2, 3, at(0, 1)));

    assert_eq!(log_of(&leader), before);
    assert!(bodies_to(2, &leader.ready(NOW).send).iter().all(|body| !matches!(body, Body::AppendAnswer(_))));
}
