//! Figure 2: term, vote and log are "updated on stable storage before responding to RPCs".

use quorate::consensus::{Persisted, Raft, RoleName, WriteSeq};
use quorate::types::{AppendAnswer, Body, HeartbeatAnswer, Round};

use crate::fixture::*;

fn through(seq: u64) -> Persisted {
    Persisted { through: WriteSeq(seq) }
}

#[test]
fn a_vote_leaves_with_the_write_that_remembers_it() {
    for durable_term in [0, 1] {
        let mut voter = replica(1, 3).in_term(durable_term).start();
        voter.step(node(2), vote(1, at(0, 1)));

        let ready = voter.ready(NOW);

        assert_eq!(ready.send, []);
        assert_eq!(ready.hard_state.unwrap().voted_for, Some(node(2)));
        assert_eq!(only(&ready.send_when_durable), (2, vote_answer(1, true)));
    }
}

#[test]
fn a_vote_request_waits_until_term_and_own_vote_are_durable() {
    let mut candidate = replica(1, 3).start();
    candidate.campaign();

    let ready = candidate.ready(NOW);

    assert_eq!(ready.send, []);
    assert_eq!(ready.send_when_durable.len(), 2);
    assert_eq!(ready.hard_state, Some(candidate.hard_state()));
}

#[test]
fn a_lone_voter_leads_only_after_its_own_vote_is_durable() {
    let mut lone = replica(1, 1).with(|config| config.pre_vote = true).start();
    lone.tick(20);
    let ready = lone.ready(NOW);
    assert_eq!(lone.role(), RoleName::Candidate);

    persist(&mut lone, &ready);

    assert_eq!(lone.role(), RoleName::Leader);
    assert_eq!(lone.commit(), index(1), "its no-op is not durable yet");
    persist_all(&mut lone);
    assert_eq!(lone.commit(), index(2));
}

#[test]
fn the_own_vote_counts_only_when_it_is_durable() {
    let mut candidate = replica(1, 5).start();
    candidate.campaign();
    let ready = candidate.ready(NOW);
    candidate.step(node(2), vote_answer(1, true));
    candidate.step(node(3), vote_answer(1, true));
    assert_eq!(candidate.role(), RoleName::Candidate, "two votes of five");

    persist(&mut candidate, &ready);

    assert_eq!(candidate.role(), RoleName::Leader);
}

#[test]
fn the_vote_of_an_earlier_campaign_that_becomes_durable_late_does_not_count_for_this_one() {
    let mut lone = replica(1, 1).start();
    for _ in 0..2 {
        lone.campaign();
        lone.ready(NOW);
    }

    lone.persisted(through(1));
    assert_eq!((lone.role(), lone.term()), (RoleName::Candidate, term(2)));
    lone.persisted(through(2));

    assert_eq!(lone.role(), RoleName::Leader);
}

#[test]
fn an_acceptance_leaves_when_the_entries_are_durable() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1], 1));

    let ready = follower.ready(NOW);

    assert_eq!(ready.send, []);
    assert_eq!(ready.append.unwrap().last, at(1, 3));
    assert_eq!(only(&ready.send_when_durable), (2, accepted(1, 3)));
}

#[test]
fn an_acceptance_of_known_entries_still_waits_behind_their_write() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), append(1, at(0, 1), &[1], 1));
    let first = follower.ready(NOW);
    follower.step(node(2), append(1, at(0, 1), &[1], 1));

    let second = follower.ready(NOW);

    assert_eq!((second.append, second.hard_state), (None, None));
    assert!(second.write > first.write, "an empty write is a barrier behind the first");
    assert_eq!(only(&second.send_when_durable), (2, accepted(1, 2)));
}

#[test]
fn the_acceptances_of_one_turn_are_one_message() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1], 1));
    follower.step(node(2), append(1, at(1, 3), &[1], 1));
    follower.step(node(2), append(1, at(0, 1), &[1], 1));

    let ready = follower.ready(NOW);

    assert_eq!(only(&ready.send_when_durable), (2, accepted(1, 4)));
}

#[test]
fn a_heartbeats_answer_names_only_what_is_durable() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1], 1));
    let ready = follower.ready(NOW);

    follower.step(node(2), heartbeat(1, 1, 1));
    let before = only(&follower.ready(NOW).send).1.body;
    persist(&mut follower, &ready);
    follower.step(node(2), heartbeat(1, 1, 2));
    let after = only(&follower.ready(NOW).send).1.body;

    assert_eq!(before, Body::HeartbeatAnswer(HeartbeatAnswer { matched: index(1), round: Round(1) }));
    assert_eq!(after, Body::HeartbeatAnswer(HeartbeatAnswer { matched: index(3), round: Round(2) }));
}

/// Entry 5 of term 1 is written, overwritten by term 2, and written once more by term 3's leader: its first write
/// proves nothing about its last.
#[test]
fn a_late_completion_of_an_overwritten_entry_proves_nothing() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1]).start();
    follower.step(node(2), append(1, at(1, 4), &[1], 1));
    follower.ready(NOW);
    follower.step(node(3), append(2, at(1, 4), &[2], 1));
    follower.ready(NOW);
    follower.step(node(2), append(3, at(1, 4), &[1], 5));
    follower.ready(NOW);
    assert_eq!((follower.last(), follower.commit()), (at(1, 5), index(5)));

    for (seq, stable) in [(1, 4), (2, 4), (3, 5)] {
        follower.persisted(through(seq));
        assert_eq!(follower.stable(), index(stable), "after write {seq}");
    }
}

#[test]
fn only_what_is_durable_here_is_applied_and_each_index_once() {
    let past = replica(1, 3).in_term(1);
    let mut follower = Raft::new(past.config.clone(), past.restored()).unwrap();
    assert_eq!(follower.ready(NOW).apply.unwrap().last, at(0, 1), "the founding entry");
    follower.step(node(2), append(1, at(0, 1), &[1, 1], 3));

    let ready = follower.ready(NOW);
    assert_eq!((follower.commit(), ready.apply), (index(3), None));
    persist(&mut follower, &ready);
    let span = follower.ready(NOW).apply.unwrap();

    assert_eq!((span.first, span.last), (index(2), at(1, 3)));
    assert!(!follower.has_ready());
}

#[test]
fn a_leader_counts_its_own_copy_when_it_is_durable() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).unwrap();
    let ready = leader.ready(NOW);
    assert_eq!(appends_to(2, &ready.send).len(), 1, "the followers' disks work while ours does");

    leader.step(node(2), accepted(1, 3));
    assert_eq!(leader.commit(), index(2));
    persist(&mut leader, &ready);

    assert_eq!(leader.commit(), index(3));
}

#[test]
fn a_majority_of_the_others_commits_before_the_leaders_own_disk() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).unwrap();
    let ready = leader.ready(NOW);

    leader.step(node(2), accepted(1, 3));
    leader.step(node(3), accepted(1, 3));

    assert_eq!(leader.commit(), index(3));
    assert_eq!(leader.ready(NOW).apply, None, "but nothing is applied that a crash could take");
    persist(&mut leader, &ready);
    assert_eq!(leader.ready(NOW).apply.unwrap().last, at(1, 3));
}

#[test]
fn the_write_of_a_turn_holds_each_change_once() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1, 1], 1));
    follower.step(node(3), append(2, at(1, 2), &[2], 1));

    let ready = follower.ready(NOW);

    assert_eq!((ready.append.unwrap().first, ready.append.unwrap().last), (index(2), at(2, 3)));
    assert_eq!(ready.hard_state.unwrap().term, term(2));
    assert!(!follower.has_ready());
    let to_new_leader = bodies_to(3, &ready.send_when_durable);
    assert_eq!(to_new_leader, [Body::AppendAnswer(AppendAnswer::Accepted { matched: index(3) })]);
}
