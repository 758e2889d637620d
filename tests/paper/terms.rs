//! §5.1: terms are a logical clock.

use quorate::consensus::{Outgoing, RoleName};
use quorate::types::{Body, Term};

use crate::fixture::*;

#[test]
fn a_server_that_sees_a_larger_term_adopts_it() {
    let mut follower = replica(1, 3).in_term(2).voted_for(3).start();

    follower.step(node(2), heartbeat(5, 0, 0));

    assert_eq!(follower.term(), term(5));
    assert_eq!(follower.hard_state().voted_for, None, "the vote is free in the new term");
}

#[test]
fn a_candidate_that_sees_a_larger_term_becomes_a_follower() {
    let mut candidate = replica(1, 3).start();
    candidate.campaign();

    candidate.step(node(2), vote_answer(5, false));

    assert_eq!((candidate.role(), candidate.term()), (RoleName::Follower, term(5)));
}

#[test]
fn a_leader_that_sees_a_larger_term_becomes_a_follower() {
    for message in [vote(5, at(4, 9)), heartbeat(5, 0, 0), accepted(5, 1), heartbeat_answer(5, 0, 0)] {
        let mut leader = replica(1, 3).lead();

        leader.step(node(2), message);

        assert_eq!((leader.role(), leader.term()), (RoleName::Follower, term(5)));
    }
}

#[test]
fn a_request_with_a_stale_term_is_rejected_with_the_current_one() {
    for request in
        [append(2, at(0, 1), &[2], 9), heartbeat(2, 9, 7), vote(2, at(2, 9)), pre_vote(2, at(2, 9))]
    {
        let mut follower = replica(1, 3).in_term(3).start();

        follower.step(node(2), request);

        let (to, answer) = only(&persist_all(&mut follower));
        assert_eq!((to, answer.term), (2, term(3)));
        assert_eq!(follower.last(), at(0, 1), "nothing was appended");
        let granted =
            matches!(answer.body, Body::VoteAnswer { granted: true } | Body::PreVoteAnswer { granted: true });
        assert!(!granted);
    }
}

#[test]
fn a_deposed_leader_learns_it_from_the_answer_to_its_append() {
    let mut old_leader = replica(1, 3).lead();
    let mut follower = replica(2, 3).in_term(7).start();

    follower.step(node(1), append(1, at(0, 1), &[], 1));
    let (_, answer) = only(&persist_all(&mut follower));
    old_leader.step(node(2), answer);

    assert_eq!((old_leader.role(), old_leader.term()), (RoleName::Follower, term(7)));
}

#[test]
fn answers_of_an_older_term_say_nothing() {
    let mut leader = replica(1, 3).in_term(4).lead();
    let before = leader.clone();

    leader.step(node(2), accepted(4, 1));
    leader.step(node(2), rejected(4, 1, at(0, 0)));
    leader.step(node(2), vote_answer(4, true));
    leader.step(node(2), heartbeat_answer(4, 1, 1));

    assert_eq!(leader, before);
}

#[test]
fn a_term_is_on_disk_before_any_message_names_it() {
    let mut follower = replica(1, 3).in_term(2).start();
    follower.step(node(2), heartbeat(5, 0, 1));

    let ready = follower.ready(NOW);

    assert_eq!(ready.hard_state.map(|state| state.term), Some(term(5)));
    assert_eq!(ready.send, []);
    assert!(matches!(only(&ready.send_when_durable).1.body, Body::HeartbeatAnswer(_)));
}

#[test]
fn the_last_term_ends_elections_without_wrapping() {
    let mut last = replica(1, 3).in_term(u64::MAX - 1).start();

    last.tick(1_000);
    last.campaign();

    assert_eq!((last.role(), last.term()), (RoleName::Follower, term(u64::MAX - 1)));
    assert!(!last.has_ready());
}

#[test]
fn a_term_that_nobody_can_reach_is_ignored() {
    let mut follower = replica(1, 3).in_term(2).start();
    let before = follower.clone();

    follower.step(node(2), heartbeat(u64::MAX, 0, 0));
    follower.step(node(2), pre_vote(u64::MAX, at(1, 1)));
    follower.step(node(2), vote(u64::MAX, at(1, 1)));

    assert_eq!(follower, before);
}

#[test]
fn a_term_of_an_election_alone_is_told_before_it_is_durable_by_pre_votes() {
    let mut asker = replica(1, 3).in_term(2).with(|config| config.pre_vote = true).start();
    asker.campaign();

    let ready = asker.ready(NOW);

    assert_eq!(ready.write, None, "a pre-vote changes nothing that must be remembered");
    let terms: Vec<Term> = ready.send.iter().map(|Outgoing { message, .. }| message.term).collect();
    assert_eq!(terms, [term(3), term(3)]);
}

#[test]
fn a_leader_that_hands_the_last_term_over_makes_nobody_a_candidate() {
    let last = u64::MAX - 1;
    let mut follower = replica(1, 3).in_term(last).start();
    follower.step(node(2), heartbeat(last, 0, 1));

    follower.step(node(2), timeout_now(last));

    assert_eq!((follower.role(), follower.term()), (RoleName::Follower, term(last)));
}
