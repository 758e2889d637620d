//! Thesis §9.6: preventing disruptions when a server rejoins the cluster.

use quorate::consensus::{Raft, RoleName};
use quorate::types::Body;

use crate::cluster::Cluster;
use crate::fixture::*;

fn careful(id: u64, count: u64) -> Past {
    replica(id, count).with(|config| config.pre_vote = true)
}

fn has_leader(cluster: &mut Cluster) -> bool {
    cluster.tick_all(100);
    cluster.leader().is_some()
}

#[test]
fn a_node_that_is_cut_off_never_raises_its_term() {
    let mut isolated = careful(1, 3).in_term(4).start();

    for _ in 0..100 {
        isolated.tick(20);
        persist_all(&mut isolated);
    }

    assert_eq!((isolated.role(), isolated.term()), (RoleName::PreCandidate, term(4)));
}

#[test]
fn and_when_it_returns_the_leader_stays() {
    let mut cluster = Cluster::of((1..=3).map(|id| careful(id, 3)));
    cluster.elect(1);
    cluster.down(&[3]);
    cluster.tick_all(100);
    cluster.up(&[3]);

    cluster.tick_all(100);

    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(1), term(1)));
}

#[test]
fn a_candidate_raises_its_term_only_after_a_majority_would_vote_for_it() {
    let mut asker = careful(1, 5).in_term(4).start();
    asker.campaign();
    let sent = persist_all(&mut asker);
    assert_eq!(bodies_to(2, &sent), [Body::PreVote { last: at(0, 1) }]);

    for voter in [2, 2, 9] {
        asker.step(node(voter), pre_vote_answer(5, true));
        assert_eq!((asker.role(), asker.term()), (RoleName::PreCandidate, term(4)));
    }
    asker.step(node(3), pre_vote_answer(5, true));

    assert_eq!((asker.role(), asker.term()), (RoleName::Candidate, term(5)));
    let ready = asker.ready(NOW);
    assert_eq!(ready.send, []);
    assert_eq!(
        ready.hard_state,
        Some(asker.hard_state()),
        "its own vote is on disk before any request leaves"
    );
}

#[test]
fn a_grant_changes_nothing_at_the_voter_and_any_number_may_have_it() {
    let mut voter = careful(1, 3).in_term(4).start();
    let before = voter.clone();

    for asker in [2, 3] {
        voter.step(node(asker), pre_vote(5, at(0, 1)));
        assert_eq!(only(&persist_all(&mut voter)), (asker, pre_vote_answer(5, true)));
    }

    assert_eq!(voter, before);
}

#[test]
fn a_log_that_is_behind_gets_no_pre_vote() {
    let mut voter = careful(1, 3).with_log(&[1, 2]).start();

    voter.step(node(2), pre_vote(3, at(1, 9)));

    assert_eq!(only(&persist_all(&mut voter)), (2, pre_vote_answer(2, false)));
}

#[test]
fn grants_of_another_term_are_not_counted() {
    let mut asker = careful(1, 3).in_term(4).start();
    asker.campaign();

    asker.step(node(2), pre_vote_answer(4, true));
    asker.step(node(3), pre_vote_answer(9, true));

    assert_eq!((asker.role(), asker.term()), (RoleName::PreCandidate, term(4)));
}

#[test]
fn a_follower_ignores_pre_votes_and_votes_while_it_hears_a_leader() {
    let mut follower = careful(1, 3).in_term(4).start();
    pass(&mut follower, 9);
    follower.step(node(2), heartbeat(4, 0, 1));
    persist_all(&mut follower);
    let ask = |follower: &mut Raft| {
        follower.step(node(3), pre_vote(5, at(4, 9)));
        follower.step(node(3), vote(5, at(4, 9)));
        persist_all(follower).len()
    };

    pass(&mut follower, 9);
    assert_eq!((ask(&mut follower), follower.term()), (0, term(4)), "its leader lives");
    pass(&mut follower, 1);

    assert_eq!(
        (ask(&mut follower), follower.term()),
        (2, term(5)),
        "the leader was silent for an election timeout"
    );
}

#[test]
fn a_pre_candidate_at_an_old_term_learns_the_new_one_from_a_refusal() {
    let mut stuck = careful(1, 3).in_term(1).with_log(&[1]).start();
    stuck.campaign();

    stuck.step(node(2), pre_vote_answer(7, false));

    assert_eq!((stuck.role(), stuck.term()), (RoleName::Follower, term(7)));
}

#[test]
fn a_late_follower_at_a_low_term_and_a_good_one_at_a_high_term_elect_a_leader() {
    let mut cluster = Cluster::of([
        careful(1, 3).with_log(&[5, 5]),
        careful(2, 3).with_log(&[5]),
        careful(3, 3).in_term(1),
    ]);
    cluster.down(&[2]);

    assert!(has_leader(&mut cluster));
    assert_eq!(cluster.leader(), Some(1));
}

#[test]
fn a_long_log_at_a_low_term_and_a_short_one_at_a_high_term_elect_a_leader() {
    let mut cluster = Cluster::of([
        careful(1, 4).with_log(&[1, 1, 1, 1]),
        careful(2, 4).with_log(&[1, 1, 1, 1]),
        careful(3, 4).with_log(&[1]).in_term(9),
        careful(4, 4).with_log(&[1]).in_term(9),
    ]);

    assert!(has_leader(&mut cluster));
    assert!(matches!(cluster.leader(), Some(1 | 2)), "only they hold everything");
}

#[test]
fn the_same_in_a_joint_configuration() {
    let joint = || members("host", &[1, 2, 3], &[1, 4, 5], &[]);
    let past = |id: u64| {
        let past = careful(id, 5).with_membership(joint());
        if [1, 2, 4].contains(&id) { past.with_log(&[1, 1, 1, 1]) } else { past.with_log(&[1]).in_term(9) }
    };
    let mut cluster = Cluster::of((1..=5).map(past));

    assert!(has_leader(&mut cluster));
    assert!(matches!(cluster.leader(), Some(1 | 2 | 4)), "only they hold everything");
}

#[test]
fn with_a_thin_quorum_a_node_that_restarts_at_an_old_term_does_not_stop_elections() {
    let mut cluster = Cluster::of([
        careful(1, 4).with_log(&[3]),
        careful(2, 4).with_log(&[3]),
        careful(3, 4).in_term(1),
        careful(4, 4).with_log(&[3]),
    ]);
    cluster.down(&[4]);

    assert!(has_leader(&mut cluster));
}

#[test]
fn a_cluster_half_with_and_half_without_pre_vote_elects_a_leader() {
    let mut cluster =
        Cluster::of([careful(1, 4), careful(2, 4), replica(3, 4).in_term(6), replica(4, 4).in_term(2)]);

    assert!(has_leader(&mut cluster));
}

#[test]
fn a_bare_majority_of_seven_elects_although_one_node_is_stuck_asking() {
    let mut cluster = Cluster::of((1..=7).map(|id| careful(id, 7)));
    cluster.elect(7);
    cluster.down(&[5, 6, 7]);
    cluster.raft(1).campaign();
    cluster.raft(1).step(node(7), append(1, at(1, 2), &[], 2));

    assert!(has_leader(&mut cluster));
    assert!(cluster.leader().unwrap() <= 4);
}

#[test]
fn of_two_pre_candidates_one_wins() {
    let mut cluster = Cluster::of((1..=3).map(|id| careful(id, 3)));
    cluster.down(&[3]);
    cluster.raft(1).campaign();
    cluster.raft(2).campaign();

    assert!(has_leader(&mut cluster));
}
