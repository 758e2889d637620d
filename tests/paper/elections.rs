//! §5.2, §5.4.1: leader election and the vote rule.

use quorate::consensus::RoleName;
use quorate::types::{Body, EntryKind};

use crate::cluster::Cluster;
use crate::fixture::*;

fn granted_by(
    voter: &mut quorate::consensus::Raft,
    candidate: u64,
    term: u64,
    last: quorate::types::LogPosition,
) -> bool {
    voter.step(node(candidate), vote(term, last));
    let (to, answer) = only(&persist_all(voter));
    assert_eq!(to, candidate);
    answer.body == Body::VoteAnswer { granted: true }
}

#[test]
fn servers_start_as_followers() {
    for count in [1, 3, 5] {
        let raft = replica(1, count).in_term(3).voted_for(1).start();
        assert_eq!((raft.role(), raft.leader()), (RoleName::Follower, None));
    }
}

#[test]
fn a_follower_that_hears_nobody_begins_an_election() {
    let mut follower = replica(1, 3).in_term(4).start();

    follower.tick(9);
    assert_eq!(follower.role(), RoleName::Follower, "the shortest timeout is 10 ticks");
    follower.tick(10);

    assert_eq!((follower.role(), follower.term()), (RoleName::Candidate, term(5)));
    assert_eq!(follower.hard_state().voted_for, Some(node(1)), "it votes for itself");
    let sent = persist_all(&mut follower);
    assert_eq!(bodies_to(2, &sent), [Body::Vote { last: at(0, 1), transfer: false }]);
    assert_eq!(bodies_to(3, &sent), [Body::Vote { last: at(0, 1), transfer: false }]);
}

#[test]
fn a_follower_stays_one_as_long_as_its_leader_speaks() {
    let mut follower = replica(1, 3).in_term(4).start();

    for round in 1..100 {
        pass(&mut follower, 9);
        follower.step(node(2), heartbeat(4, 0, round));
    }

    assert_eq!((follower.role(), follower.term()), (RoleName::Follower, term(4)));
}

#[test]
fn a_rejected_append_is_a_sign_of_life_too() {
    let mut follower = replica(1, 3).in_term(4).start();

    for _ in 0..100 {
        pass(&mut follower, 9);
        follower.step(node(2), append(4, at(3, 50), &[], 0));
    }

    assert_eq!(follower.role(), RoleName::Follower);
}

#[test]
fn a_refused_request_does_not_put_off_the_voters_own_election() {
    let mut voter = replica(1, 3).in_term(4).with_log(&[4]).start();

    voter.tick(9);
    voter.step(node(2), vote(5, at(3, 9)));
    voter.tick(10);

    assert_eq!(voter.role(), RoleName::Candidate);
}

/// Each of what a follower may hear, shortly before its election is due: does it wait on?
#[test]
fn nothing_but_the_word_of_its_leader_and_a_vote_that_it_gives_puts_off_an_election() {
    for (message, puts_off) in [
        (heartbeat(4, 0, 1), true),
        (append(4, at(0, 1), &[4], 0), true),
        (append(4, at(3, 50), &[], 0), true),
        (vote(5, at(4, 9)), true),
        (vote(5, at(0, 1)), false),
        (vote(4, at(4, 9)), false),
        (pre_vote(5, at(4, 9)), false),
        (heartbeat(3, 0, 1), false),
        (append(3, at(0, 1), &[3], 0), false),
        (vote_answer(4, true), false),
        (accepted(4, 1), false),
        (heartbeat_answer(4, 1, 1), false),
    ] {
        let mut follower = replica(1, 3).in_term(4).voted_for(3).with_log(&[4]).start();
        pass(&mut follower, 9);

        follower.step(node(2), message.clone());
        persist_all(&mut follower);
        let timeout_of_this_seed = (1..=11).find(|_| {
            pass(&mut follower, 1);
            follower.role() == RoleName::Candidate
        });

        let was_put_off = timeout_of_this_seed.is_none_or(|ticks| ticks >= 10);
        assert_eq!(was_put_off, puts_off, "{message:?}: {timeout_of_this_seed:?}");
    }
}

#[test]
fn a_candidate_wins_with_the_votes_of_a_majority() {
    for (count, votes_needed) in [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3)] {
        let mut candidate = replica(1, count).start();
        candidate.campaign();
        persist_all(&mut candidate);

        for voter in 2..2 + votes_needed {
            assert_eq!(candidate.role(), RoleName::Candidate, "{count} nodes");
            candidate.step(node(voter), vote_answer(1, true));
        }

        assert_eq!(candidate.role(), RoleName::Leader, "{count} nodes");
    }
}

#[test]
fn a_voter_counts_once_however_often_it_answers() {
    let mut candidate = replica(1, 5).start();
    candidate.campaign();
    persist_all(&mut candidate);

    for _ in 0..5 {
        candidate.step(node(2), vote_answer(1, true));
    }

    assert_eq!(candidate.role(), RoleName::Candidate);
}

#[test]
fn votes_of_strangers_and_of_other_terms_count_nothing() {
    let mut candidate = replica(1, 3).in_term(4).start();
    candidate.campaign();
    persist_all(&mut candidate);

    candidate.step(node(9), vote_answer(5, true));
    candidate.step(node(2), vote_answer(4, true));
    candidate.step(node(2), vote_answer(5, false));

    assert_eq!(candidate.role(), RoleName::Candidate);
}

#[test]
fn a_winner_opens_its_term_with_an_entry_and_tells_everyone_at_once() {
    let mut winner = replica(1, 3).with_log(&[1, 2]).start();
    winner.campaign();
    persist_all(&mut winner);

    winner.step(node(2), vote_answer(3, true));

    assert_eq!(winner.meta(index(4)).unwrap().kind, EntryKind::Noop);
    let ready = winner.ready(NOW);
    for peer in [2, 3] {
        let append = &appends_to(peer, &ready.send)[0];
        assert_eq!((append.slice.prev(), append.slice.last()), (at(2, 3), at(3, 4)));
    }
}

#[test]
fn each_server_votes_for_one_candidate_per_term_first_come_first_served() {
    let mut voter = replica(1, 3).in_term(4).start();

    assert!(granted_by(&mut voter, 2, 5, at(0, 1)));
    assert!(!granted_by(&mut voter, 3, 5, at(0, 1)));
    assert!(granted_by(&mut voter, 2, 5, at(0, 1)), "a repeated request gets the same answer");
    assert!(granted_by(&mut voter, 3, 6, at(0, 1)), "another term, another vote");
}

#[test]
fn the_candidate_with_the_later_last_term_is_more_up_to_date() {
    let log: Vec<u64> = vec![1; 8];
    let mut voter = replica(1, 3).with_log(&log).start();
    assert!(granted_by(&mut voter, 2, 3, at(2, 3)), "newer and shorter");

    let mut voter = replica(1, 3).with_log(&[1, 2]).start();
    assert!(!granted_by(&mut voter, 2, 3, at(1, 9)), "older and longer");
    assert!(!granted_by(&mut voter, 2, 3, at(1, 3)), "older and as long");
}

/// Node 1 has a long tail that nobody took; the entry of term 2 that nodes 2 and 3 committed without it is shorter.
#[test]
fn a_long_log_of_an_old_term_is_not_elected_over_what_was_committed() {
    let mut cluster = Cluster::of([
        replica(1, 3).with_log(&[1, 1, 1, 1, 1, 1, 1, 1]).in_term(2),
        replica(2, 3).with_log(&[1, 2]).in_term(2),
        replica(3, 3).with_log(&[1, 2]).in_term(2),
    ]);
    cluster.down(&[1]);
    cluster.elect(2);
    let committed = cluster.raft(2).commit();
    cluster.down(&[2]);
    cluster.up(&[1]);

    for _ in 0..10 {
        pass(cluster.raft(3), 10); // it misses its leader
        cluster.raft(1).campaign();
        cluster.settle();
        assert_ne!(cluster.raft(1).role(), RoleName::Leader, "it has the higher index alone");
    }
    cluster.up(&[2]);
    cluster.tick_all(60);

    let kept: Vec<_> = (1..=3).map(|id| cluster.raft(id).term_at(index(3))).collect();
    assert_eq!(kept, [Some(term(2)); 3]);
    assert!(cluster.raft(1).commit() >= committed);
}

#[test]
fn with_equal_last_terms_the_longer_log_is_more_up_to_date() {
    for (length, is_granted) in [(2, false), (3, true), (4, true)] {
        let mut voter = replica(1, 3).with_log(&[2, 2]).start();
        assert_eq!(granted_by(&mut voter, 2, 3, at(2, length)), is_granted, "length {length}");
    }
}

#[test]
fn a_vote_request_of_a_higher_term_is_refused_by_a_better_log_yet_its_term_is_adopted() {
    let mut voter = replica(1, 3).with_log(&[2, 2]).start();

    assert!(!granted_by(&mut voter, 2, 9, at(1, 5)));

    assert_eq!((voter.term(), voter.hard_state().voted_for), (term(9), None));
}

#[test]
fn a_candidate_follows_another_server_that_won_its_term_and_keeps_its_vote() {
    let mut candidate = replica(1, 3).start();
    candidate.campaign();

    candidate.step(node(2), heartbeat(1, 0, 0));

    assert_eq!((candidate.role(), candidate.leader()), (RoleName::Follower, Some(node(2))));
    assert_eq!(candidate.hard_state().voted_for, Some(node(1)));
}

#[test]
fn a_split_vote_ends_with_randomized_timeouts() {
    for seed in 0..50 {
        let pasts = (1..=4).map(|id| replica(id, 4).with(|config| config.seed = 100 * seed + id));
        let mut cluster = Cluster::of(pasts);
        cluster.down(&[1, 2, 3, 4]);
        for id in 1..=4 {
            cluster.raft(id).campaign();
        }
        cluster.settle();
        cluster.up(&[1, 2, 3, 4]);

        cluster.tick_all(100);

        assert!(cluster.leader().is_some(), "seed {seed}: no leader within a hundred ticks");
    }
}

#[test]
fn a_pause_of_any_length_brings_one_election_alone() {
    let mut follower = replica(1, 3).start();

    follower.tick(1_000_000);

    assert_eq!(follower.term(), term(1));
}

#[test]
fn a_follower_that_was_paused_and_hears_its_leader_first_begins_no_election() {
    let mut follower = replica(1, 3).in_term(4).start();
    follower.step(node(2), heartbeat(4, 0, 1));
    pass(&mut follower, 5);

    follower.step(node(2), heartbeat(4, 0, 2));
    follower.tick(1_000);

    assert_eq!((follower.role(), follower.leader()), (RoleName::Follower, Some(node(2))));
}

#[test]
fn a_node_outside_its_own_configuration_never_campaigns() {
    let stranger = members("host", &[2, 3], &[], &[]);
    let learner = members("host", &[2, 3], &[], &[1]);
    for (membership, role) in [(stranger, RoleName::Learner), (learner, RoleName::Learner)] {
        let mut raft = replica(1, 3).with_membership(membership).start();

        raft.tick(1_000);
        raft.campaign();

        assert_eq!((raft.role(), raft.term()), (role, term(0)));
        assert!(!raft.has_ready());
    }
}

#[test]
fn a_learner_that_is_asked_still_votes_since_a_newer_configuration_may_count_it() {
    let mut learner = replica(1, 3).with_membership(members("host", &[2, 3], &[], &[1])).start();

    assert!(granted_by(&mut learner, 2, 1, at(0, 1)));
    assert!(granted_by(&mut learner, 9, 2, at(0, 1)), "also for a candidate that is not known yet");
}

#[test]
fn a_joint_candidate_needs_both_majorities() {
    let joint = members("host", &[1, 2, 3], &[4, 5, 6], &[7]);
    let mut candidate = replica(1, 3).with_membership(joint).start();
    candidate.campaign();
    persist_all(&mut candidate);

    for voter in [2, 3, 4, 7] {
        candidate.step(node(voter), vote_answer(1, true));
    }
    assert_eq!(candidate.role(), RoleName::Candidate, "the outgoing half has one vote of three");
    candidate.step(node(5), vote_answer(1, true));

    assert_eq!(candidate.role(), RoleName::Leader);
}
