//! Thesis §6.2 and §4.2.3: a leader without a quorum steps down, and one with it is not disturbed.

use quorate::consensus::RoleName;
use quorate::types::Body;

use crate::cluster::Cluster;
use crate::fixture::*;

fn watchful(id: u64, count: u64) -> Past {
    replica(id, count).with(|config| {
        config.check_quorum = true;
        config.pre_vote = true;
    })
}

/// Elected without pre-votes, as the fixture does it; then watchful.
fn watchful_leader(count: u64) -> quorate::consensus::Raft {
    replica(1, count).with(|config| config.check_quorum = true).lead_with_everyone()
}

#[test]
fn a_leader_that_hears_no_quorum_for_an_election_timeout_steps_down_and_gives_up_its_reads() {
    let mut leader = watchful_leader(3);
    leader.read_index(read_id(1), NOW).unwrap();
    persist_all(&mut leader);

    leader.tick(9);
    assert_eq!(leader.role(), RoleName::Leader);
    leader.tick(1);

    assert_eq!((leader.role(), leader.leader(), leader.term()), (RoleName::Follower, None, term(1)));
    assert_eq!(leader.ready(NOW).reads_lost, [read_id(1)]);
    assert!(leader.propose([1]).is_err());
}

#[test]
fn a_leader_that_hears_exactly_a_quorum_stays() {
    let mut leader = watchful_leader(5);

    for _ in 0..10 {
        leader.tick(9);
        for peer in [2, 3] {
            leader.step(node(peer), heartbeat_answer(1, 2, 0));
        }
    }

    assert_eq!(leader.role(), RoleName::Leader);
    assert!(!leader.progress(node(4)).unwrap().recently_active);
    assert!(leader.progress(node(2)).unwrap().recently_active);
}

#[test]
fn a_joint_quorum_must_be_heard_in_both_halves() {
    let learning = members("host", &[1, 2, 3], &[], &[4, 5, 6]);
    let past = replica(1, 3).with_membership(learning).with(|config| config.check_quorum = true);
    let mut leader = past.lead_with_everyone();
    leader.change_membership(&set(&[4, 5, 6], &[]), None).unwrap();

    leader.tick(5);
    for peer in [2, 3, 4] {
        leader.step(node(peer), heartbeat_answer(1, 2, 0));
    }
    leader.tick(5);

    assert_eq!(leader.role(), RoleName::Follower, "of the incoming half only one was heard");
}

#[test]
fn learners_and_strangers_are_no_quorum() {
    let membership = members("host", &[1, 2, 3], &[], &[4, 5]);
    let past = replica(1, 3).with_membership(membership).with(|config| config.check_quorum = true);
    let mut leader = past.lead_with_everyone();

    leader.tick(5);
    for peer in [4, 5, 9] {
        leader.step(node(peer), heartbeat_answer(1, 2, 0));
    }
    leader.tick(5);

    assert_eq!(leader.role(), RoleName::Follower);
}

#[test]
fn a_leader_that_hears_its_quorum_ignores_candidates() {
    let mut leader = watchful_leader(3);
    let before = leader.clone();

    leader.step(node(3), vote(9, at(8, 9)));
    leader.step(node(3), pre_vote(9, at(8, 9)));

    assert_eq!(leader, before);
}

#[test]
fn a_follower_stuck_at_a_higher_term_is_recovered_through_its_answer_to_an_append() {
    let mut cluster = Cluster::of((1..=3).map(|id| watchful(id, 3)));
    cluster.elect(1);
    cluster.replace(watchful(3, 3).with_log(&[1]).in_term(9));

    cluster.tick_all(60);

    let leader = cluster.leader().unwrap();
    assert!(cluster.raft(leader).term() > term(9));
    assert!([1, 2, 3].iter().all(|&id| cluster.raft(id).leader() == Some(node(leader))));
}

#[test]
fn the_same_for_a_heartbeat() {
    let mut stuck = watchful(3, 3).in_term(9).start();

    stuck.step(node(1), heartbeat(1, 0, 1));

    let (_, answer) = only(&persist_all(&mut stuck));
    assert_eq!(answer.term, term(9));
    assert!(matches!(answer.body, Body::HeartbeatAnswer(_)));
}

#[test]
fn a_node_that_reaches_only_a_follower_does_not_depose_the_leader_again_and_again() {
    let mut cluster = Cluster::of((1..=3).map(|id| watchful(id, 3)));
    cluster.elect(1);
    cluster.cut_one_way(1, 3);
    cluster.cut_one_way(3, 1);

    cluster.tick_all(1_000);

    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(1), term(1)));
}

#[test]
fn a_leader_that_is_heard_but_hears_nobody_makes_room() {
    let mut cluster = Cluster::of((1..=3).map(|id| watchful(id, 3)));
    cluster.elect(1);
    cluster.cut_one_way(2, 1);
    cluster.cut_one_way(3, 1);

    cluster.tick_all(100);

    assert!(matches!(cluster.leader(), Some(2 | 3)));
}

#[test]
fn a_leader_that_stepped_down_can_be_elected_again() {
    let mut cluster = Cluster::of((1..=3).map(|id| watchful(id, 3)));
    cluster.elect(1);
    cluster.down(&[2, 3]);
    cluster.tick_all(30);
    assert_ne!(cluster.raft(1).role(), RoleName::Leader);
    cluster.up(&[2, 3]);
    cluster.tick_all(25);

    cluster.elect(1);
}

#[test]
fn after_a_restart_of_all_stickiness_does_not_delay_the_first_election() {
    let mut cluster = Cluster::of((1..=3).map(|id| watchful(id, 3).with_log(&[1, 1]).voted_for(1)));

    cluster.tick_all(20);

    assert!(cluster.leader().is_some(), "one longest timeout is enough");
}
