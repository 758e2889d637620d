//! Thesis §3.10: leadership is handed over; and when a leader does so by itself.

use quorate::consensus::{Outgoing, ProposeRefused, Raft, RoleName};
use quorate::types::{Body, ChangeRefused, Incarnation, TransferRefused};

use crate::cluster::Cluster;
use crate::fixture::*;

fn careful(id: u64, count: u64) -> Past {
    replica(id, count).with(|config| {
        config.pre_vote = true;
        config.check_quorum = true;
    })
}

fn group(count: u64) -> Cluster {
    let mut cluster = Cluster::of((1..=count).map(|id| careful(id, count)));
    cluster.elect(1);
    cluster
}

fn told(peer: u64, sent: &[Outgoing]) -> bool {
    bodies_to(peer, sent).contains(&Body::TimeoutNow)
}

/// A follower of node 1 in term 1, with the no-op of that term.
fn follower_of_1() -> Raft {
    let mut follower = careful(2, 3).start();
    follower.step(node(1), append(1, at(0, 1), &[1], 1));
    persist_all(&mut follower);
    follower
}

#[test]
fn a_follower_that_has_all_of_the_log_takes_over_although_the_leader_lives() {
    let mut cluster = group(3);

    assert_eq!(cluster.raft(1).transfer_leadership(Some(node(2))), Ok(node(2)));
    assert_eq!(cluster.raft(1).transferring_to(), Some(node(2)));
    cluster.settle();

    assert_eq!((cluster.leader(), cluster.raft(2).term()), (Some(2), term(2)));
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).leader()), (RoleName::Follower, Some(node(2))));
    assert_eq!(cluster.raft(1).transferring_to(), None);
}

#[test]
fn one_that_lags_is_caught_up_first() {
    let mut cluster = group(3);
    cluster.down(&[2]);
    let span = cluster.raft(1).propose([10, 10, 10]).unwrap();
    cluster.settle();
    cluster.raft(1).peer_lost(node(2));
    cluster.up(&[2]);

    cluster.raft(1).transfer_leadership(Some(node(2))).unwrap();
    cluster.settle();
    cluster.tick_all(4);

    assert_eq!(cluster.leader(), Some(2));
    assert!(cluster.raft(2).last().index > span.last.index, "nothing is missing, and it opened its term");
}

#[test]
fn it_is_not_told_before_it_has_the_last_entry() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).unwrap();
    leader.transfer_leadership(Some(node(2))).unwrap();
    assert!(!told(2, &persist_all(&mut leader)));

    leader.step(node(3), accepted(1, 3));
    assert!(!told(2, &persist_all(&mut leader)));
    leader.step(node(2), accepted(1, 3));

    assert!(told(2, &persist_all(&mut leader)));
}

#[test]
fn without_a_name_the_voter_that_answers_and_has_most_of_the_log_is_chosen() {
    let membership = members("host", &[1, 2, 3, 4], &[], &[5]);
    let mut leader = replica(1, 4).with_membership(membership).lead_with_everyone();
    leader.propose([10, 10]).unwrap();
    persist_all(&mut leader);
    leader.step(node(4), accepted(1, 4));
    leader.tick(10);
    leader.step(node(2), heartbeat_answer(1, 2, 0));
    leader.step(node(3), accepted(1, 3));
    leader.step(node(5), accepted(1, 4));

    assert_eq!(leader.transfer_leadership(None), Ok(node(3)), "node 4 is silent, and node 5 a learner");
}

#[test]
fn who_cannot_take_over_is_refused_by_name() {
    let membership = members("host", &[1, 2], &[], &[3]);
    let mut leader = replica(1, 2).with_membership(membership).lead_with_everyone();
    let cases = [
        (1, TransferRefused::LeadsAlready(node(1))),
        (3, TransferRefused::NotAVoter(node(3))),
        (9, TransferRefused::NotAVoter(node(9))),
    ];
    for (to, refusal) in cases {
        assert_eq!(leader.transfer_leadership(Some(node(to))), Err(refusal));
        assert_eq!(leader.transferring_to(), None);
    }

    let mut follower = follower_of_1();
    assert_eq!(follower.transfer_leadership(None), Err(TransferRefused::NotLeader));
    let mut alone = replica(1, 1).lead();
    assert_eq!(alone.transfer_leadership(None), Err(TransferRefused::Nobody));
    leader.tick(10);
    assert_eq!(leader.transfer_leadership(None), Err(TransferRefused::Nobody), "nobody answers");
}

#[test]
fn one_that_was_removed_is_refused() {
    let mut cluster = group(3);
    cluster.change(&remove(3));

    let refused = cluster.raft(1).transfer_leadership(Some(node(3)));

    assert_eq!(refused, Err(TransferRefused::NotAVoter(node(3))));
}

#[test]
fn while_it_lasts_nothing_is_proposed_and_nothing_half_applied() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.transfer_leadership(Some(node(2))).unwrap();
    let before = (leader.last(), leader.membership().clone());

    assert_eq!(leader.propose([10]), Err(ProposeRefused::Transferring { to: node(2) }));
    assert_eq!(leader.change_membership(&remove(3), None), Err(ChangeRefused::Transferring));
    let same = (*before.1).clone();
    assert_eq!(leader.propose_membership(same), Err(ProposeRefused::Transferring { to: node(2) }));

    assert_eq!((leader.last(), leader.membership().clone()), before);
}

#[test]
fn a_second_transfer_to_the_same_node_changes_nothing_and_to_another_is_refused() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.transfer_leadership(Some(node(2))).unwrap();
    let before = leader.clone();

    assert_eq!(leader.transfer_leadership(Some(node(2))), Ok(node(2)));
    assert_eq!(leader.transfer_leadership(None), Ok(node(2)));
    assert_eq!(leader.transfer_leadership(Some(node(3))), Err(TransferRefused::InProgress { to: node(2) }));

    assert_eq!(leader, before);
}

#[test]
fn if_the_successor_is_dead_the_leader_goes_on_after_an_election_timeout() {
    let mut cluster = group(3);
    cluster.down(&[2]);
    cluster.raft(1).transfer_leadership(Some(node(2))).unwrap();

    cluster.tick_all(9);
    assert!(cluster.raft(1).propose([10]).is_err());
    cluster.tick_all(1);

    assert_eq!((cluster.leader(), cluster.raft(1).transferring_to()), (Some(1), None));
    let span = cluster.raft(1).propose([10]).unwrap();
    cluster.settle();
    assert_eq!(cluster.raft(1).commit(), span.last.index);
}

#[test]
fn it_is_told_again_with_each_heartbeat_since_a_message_may_be_lost() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.transfer_leadership(Some(node(2))).unwrap();
    assert!(told(2, &persist_all(&mut leader)));
    leader.tick(1);
    assert!(!told(2, &persist_all(&mut leader)));

    leader.tick(1);

    assert!(told(2, &persist_all(&mut leader)));
}

#[test]
fn no_transfer_outlives_its_term() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.transfer_leadership(Some(node(2))).unwrap();
    leader.step(node(3), heartbeat(5, 0, 1));
    assert_eq!((leader.role(), leader.transferring_to()), (RoleName::Follower, None));

    leader.campaign();
    persist_all(&mut leader);
    leader.step(node(3), vote_answer(6, true));

    assert_eq!((leader.role(), leader.transferring_to()), (RoleName::Leader, None));
    assert!(leader.propose([10]).is_ok());
}

#[test]
fn a_request_to_take_over_is_obeyed_without_asking_for_pre_votes_first() {
    let mut follower = follower_of_1();

    follower.step(node(1), timeout_now(1));

    assert_eq!((follower.role(), follower.term()), (RoleName::Candidate, term(2)));
    let sent = persist_all(&mut follower);
    assert_eq!(bodies_to(3, &sent), [Body::Vote { last: at(1, 2), transfer: true }]);
}

#[test]
fn voters_that_hear_the_leader_vote_for_whom_it_asked_to_take_over_and_for_nobody_else() {
    for (request, is_heard) in [(vote(2, at(1, 2)), false), (transfer_vote(2, at(1, 2)), true)] {
        let mut voter = follower_of_1();
        let mut leader = careful(1, 3).with(|config| config.pre_vote = false).lead_with_everyone();

        voter.step(node(3), request.clone());
        leader.step(node(3), request);

        let granted = bodies_to(3, &persist_all(&mut voter)) == [Body::VoteAnswer { granted: true }];
        assert_eq!((granted, voter.term() == term(2)), (is_heard, is_heard));
        assert_eq!((leader.role() == RoleName::Follower, leader.term() == term(2)), (is_heard, is_heard));
    }
}

#[test]
fn a_request_that_is_late_doubled_or_not_the_leaders_is_ignored() {
    let mut follower = follower_of_1();
    let before = follower.clone();
    follower.step(node(3), timeout_now(1));
    follower.step(node(1), timeout_now(0));
    assert_eq!(follower, before, "of another node, of an older term");

    follower.step(node(1), timeout_now(1));
    let obeyed = follower.clone();
    follower.step(node(1), timeout_now(1));
    assert_eq!(follower, obeyed, "it stands for election already");

    let mut later = follower_of_1();
    later.step(node(3), heartbeat(4, 0, 1));
    later.step(node(1), timeout_now(1));
    assert_eq!((later.role(), later.leader()), (RoleName::Follower, Some(node(3))));
    later.step(node(1), timeout_now(6));
    assert_eq!((later.role(), later.term()), (RoleName::Follower, term(6)), "nobody leads that term yet");
}

#[test]
fn who_takes_over_goes_by_the_latest_configuration_in_its_log_applied_or_not() {
    let mut follower = follower_of_1();
    let joint = members("host", &[2, 4, 5], &[1, 2, 3], &[]);
    follower.step(node(1), append_members(1, at(1, 2), joint, 2));
    persist_all(&mut follower);
    assert!(follower.commit() < follower.membership_index());

    follower.step(node(1), timeout_now(1));
    persist_all(&mut follower);
    follower.step(node(1), vote_answer(2, true));
    follower.step(node(3), vote_answer(2, true));
    assert_eq!(follower.role(), RoleName::Candidate, "all of the old half are not enough");
    follower.step(node(4), vote_answer(2, true));

    assert_eq!(follower.role(), RoleName::Leader);
}

#[test]
fn one_that_does_not_know_that_it_votes_ignores_the_request_and_the_leader_goes_on() {
    let membership = members("host", &[1, 3], &[], &[2]);
    let mut learner = replica(2, 3).with_membership(membership).start();
    learner.step(node(1), append(1, at(0, 1), &[1], 1));
    persist_all(&mut learner);

    learner.step(node(1), timeout_now(1));

    assert_eq!((learner.role(), learner.term()), (RoleName::Learner, term(1)));
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.transfer_leadership(Some(node(2))).unwrap();
    leader.tick(10);
    assert!(leader.propose([10]).is_ok());
}

#[test]
fn one_whose_promises_are_lost_ignores_it_too() {
    let named = members("host", &[1, 2, 3], &[], &[]).with_incarnations([(node(2), Incarnation(6))]);
    let past = replica(2, 3).with_membership(named);
    let mut wiped = past.with(|config| config.incarnation = Some(Incarnation(7))).start();
    wiped.step(node(1), append(1, at(0, 1), &[1], 1));
    persist_all(&mut wiped);

    wiped.step(node(1), timeout_now(1));

    assert_eq!((wiped.role(), wiped.term()), (RoleName::Follower, term(1)));
}

#[test]
fn one_that_comes_late_after_the_transfer_was_given_up_still_makes_a_leader_and_loses_no_read_silently() {
    let mut cluster = group(3);
    cluster.cut_one_way(1, 2);
    cluster.raft(1).transfer_leadership(Some(node(2))).unwrap();
    cluster.tick_all(10);
    assert_eq!((cluster.leader(), cluster.raft(1).transferring_to()), (Some(1), None));
    cluster.mend();
    cluster.tick_all(2);
    cluster.raft(1).read_index(read_id(1), NOW).unwrap();

    cluster.raft(2).step(node(1), timeout_now(1));
    cluster.settle();

    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(cluster.reads.len() + cluster.reads_lost, 1, "confirmed by a round, or given up");
}

#[test]
fn under_a_load_of_writes_leadership_moves_and_nothing_is_lost() {
    let mut cluster = group(3);
    let mut accepted = Vec::new();
    for round in 0..30 {
        if round == 10 {
            cluster.raft(1).transfer_leadership(Some(node(3))).unwrap();
        }
        for id in 1..=3 {
            if let Ok(span) = cluster.raft(id).propose([10, 10]) {
                accepted.push(span.last);
            }
        }
        cluster.settle_for(usize::MAX);
        cluster.tick_all(1);
        assert!(round < 12 || cluster.leader() == Some(3), "within a round trip");
    }

    assert!(accepted.len() >= 28);
    for id in 1..=3 {
        assert!(accepted.iter().all(|at| cluster.raft(id).term_at(at.index) == Some(at.term)));
    }
}

#[test]
fn a_leader_that_cannot_write_hands_over_to_the_best_voter() {
    let mut cluster = group(3);

    cluster.raft(1).set_impaired(true);
    assert!(matches!(cluster.raft(1).propose([10]), Err(ProposeRefused::Transferring { .. })));
    cluster.settle();

    assert!(matches!(cluster.leader(), Some(2 | 3)));
    cluster.raft(1).campaign();
    assert_eq!(cluster.raft(1).role(), RoleName::Follower, "it does not stand for election");
    cluster.raft(1).set_impaired(false);
    cluster.down(&[2, 3]);
    cluster.tick_all(20);
    assert_eq!(cluster.raft(1).role(), RoleName::PreCandidate, "now it does again");
}

#[test]
fn and_steps_down_if_nobody_answers_or_nobody_takes_over() {
    let mut alone = replica(1, 1).lead();
    alone.set_impaired(true);
    assert_eq!(alone.role(), RoleName::Follower);

    let mut leader = replica(1, 3).lead_with_everyone();
    leader.set_impaired(true);
    leader.tick(9);
    assert_eq!(leader.role(), RoleName::Leader, "one of them may take over yet");
    leader.tick(1);

    assert_eq!(leader.role(), RoleName::Follower);
}

#[test]
fn a_candidate_that_cannot_write_stops_and_a_follower_does_not_take_over() {
    let mut candidate = replica(1, 3).start();
    candidate.campaign();
    candidate.set_impaired(true);
    assert_eq!(candidate.role(), RoleName::Follower);

    let mut follower = follower_of_1();
    follower.set_impaired(true);
    follower.step(node(1), timeout_now(1));

    assert_eq!((follower.role(), follower.term()), (RoleName::Follower, term(1)));
}

/// A leader whose disk takes the next write and never finishes it.
fn leader_with_a_hanging_disk() -> Raft {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose([10]).expect("it leads");
    leader.ready(NOW);
    leader.tick(1);
    leader
}

#[test]
fn a_leader_whose_writes_hang_for_an_election_timeout_hands_over() {
    let mut leader = leader_with_a_hanging_disk();
    leader.step(node(2), accepted(1, 3));
    leader.step(node(3), accepted(1, 3));
    leader.tick(9);
    leader.step(node(2), heartbeat_answer(1, 3, 0));
    assert_eq!(leader.transferring_to(), None);

    leader.tick(1);

    assert_eq!(leader.transferring_to(), Some(node(2)), "node 3 is silent");
    assert!(told(2, &leader.ready(NOW).send));
}

#[test]
fn and_steps_down_if_nobody_can_take_over_and_stands_for_no_election_while_they_hang() {
    let mut leader = leader_with_a_hanging_disk();

    leader.tick(10);
    assert_eq!(leader.role(), RoleName::Follower);
    pass(&mut leader, 50);

    assert_eq!((leader.role(), leader.term()), (RoleName::Follower, term(1)));
}

#[test]
fn a_disk_that_is_slow_but_moves_on_is_not_taken_for_hanging() {
    let mut leader = replica(1, 3).lead_with_everyone();

    for _ in 0..10 {
        leader.propose([10]).unwrap();
        let ready = leader.ready(NOW);
        leader.tick(1);
        leader.tick(8);
        persist(&mut leader, &ready);
    }
    leader.tick(100);

    assert_eq!((leader.role(), leader.transferring_to()), (RoleName::Leader, None));
}

#[test]
fn a_reluctant_node_stands_for_election_later_and_votes_like_the_others() {
    let mut reluctant = replica(1, 3).with(|config| config.reluctance = 2).start();
    pass(&mut reluctant, 29);
    assert_eq!(reluctant.role(), RoleName::Follower);

    let mut voter = reluctant.clone();
    voter.step(node(2), vote(1, at(0, 1)));
    assert_eq!(only(&persist_all(&mut voter)), (2, vote_answer(1, true)));
    pass(&mut reluctant, 11);

    assert_eq!(reluctant.role(), RoleName::Candidate);
}
