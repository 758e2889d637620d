//! §6 and thesis §4.2.2 to §4.2.4: those who leave the group, those who left it, and those who are not in it yet.

use quorate::consensus::{Raft, RoleName};
use quorate::types::{Body, EntryKind, Incarnation, LogIndex, Membership};

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

fn simple(voters: &[u64]) -> Membership {
    members("host", voters, &[], &[])
}

/// A leader of three that has removed `id`: the joint configuration is at index 3, on its own disk alone.
fn leader_that_removes(id: u64) -> Raft {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.change_membership(&remove(id), None).expect("a change that may begin");
    persist_all(&mut leader);
    leader
}

#[test]
fn a_leader_that_removes_itself_does_not_count_its_own_match_for_the_new_configuration() {
    let mut leader = leader_that_removes(1);

    leader.step(node(2), accepted(1, 3));
    assert_eq!(leader.commit(), index(2), "of the new half only node 2 holds it");
    leader.step(node(3), accepted(1, 3));

    assert_eq!(leader.commit(), index(3));
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 4));
    assert_eq!(
        (leader.role(), leader.commit()),
        (RoleName::Leader, index(3)),
        "it leads until the end commits"
    );
}

#[test]
fn it_leads_until_that_is_committed_and_then_hands_over_to_the_best_voter_at_once() {
    let mut leader = leader_that_removes(1);
    leader.step(node(2), accepted(1, 3));
    leader.step(node(3), accepted(1, 3));
    leader.propose([10]).unwrap();
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 4));
    leader.step(node(3), accepted(1, 5));

    assert_eq!((leader.role(), leader.commit(), leader.leader()), (RoleName::Learner, index(4), None));
    let sent = persist_all(&mut leader);
    assert!(bodies_to(3, &sent).contains(&Body::TimeoutNow));
    assert!(!bodies_to(2, &sent).contains(&Body::TimeoutNow), "node 3 holds more of the log");
    assert!(
        heartbeats_to(2, &sent).iter().any(|heartbeat| heartbeat.commit == index(4)),
        "all learn the commit"
    );
}

#[test]
fn it_steps_down_even_if_nobody_can_take_over_and_never_campaigns_again() {
    let mut leader = leader_that_removes(1);
    for matched in [3, 4] {
        leader.step(node(2), accepted(1, matched));
        if matched == 4 {
            leader.tick(1);
        }
        leader.step(node(3), accepted(1, matched));
        persist_all(&mut leader);
    }
    assert_eq!(leader.role(), RoleName::Learner);

    pass(&mut leader, 100);
    leader.campaign();
    leader.step(node(2), timeout_now(1));

    assert_eq!((leader.role(), leader.term()), (RoleName::Learner, term(1)));
    assert_eq!(persist_all(&mut leader), []);
}

#[test]
fn the_group_goes_on_without_the_leader_that_removed_itself() {
    let mut cluster = group(3);

    cluster.change(&remove(1));
    let leader = cluster.leader().expect("one of the others leads already");
    assert_ne!(leader, 1);
    let term = cluster.raft(leader).term();
    cluster.tick_all(300);

    assert_eq!((cluster.leader(), cluster.raft(leader).term()), (Some(leader), term));
    assert_eq!(cluster.raft(1).role(), RoleName::Learner);
    assert_eq!(**cluster.raft(leader).membership(), simple(&[2, 3]));
}

/// It knows the end of its own removal and the joint configuration of the change after that, and of neither that it is
/// committed. But nobody appends a change before the one before it is committed: those who are left can elect one of
/// themselves, and need it no more.
#[test]
fn a_node_that_was_left_out_before_another_change_began_leaves_that_one_to_others() {
    let mut left_out = replica(3, 3).start();
    let joint = members("host", &[1], &[1, 2], &[]);
    left_out.step(node(1), append_members(1, at(0, 1), simple(&[1, 2]), 1));
    left_out.step(node(1), append_members(1, at(1, 2), joint, 1));
    persist_all(&mut left_out);

    left_out.campaign();

    assert_eq!((left_out.role(), left_out.term()), (RoleName::Learner, term(1)));
    assert_eq!((left_out.last(), left_out.commit()), (at(1, 3), index(1)));
    assert_eq!(persist_all(&mut left_out), []);
}

#[test]
fn a_node_that_is_left_out_stands_for_election_until_that_is_committed() {
    let joint = members("host", &[2, 3], &[1, 2], &[]);
    let mut past_leader = replica(1, 2).start();
    past_leader.step(node(9), append_members(1, at(0, 1), joint.clone(), 2));
    past_leader.step(node(9), append_members(1, at(1, 2), simple(&[2, 3]), 2));
    persist_all(&mut past_leader);
    assert_eq!(past_leader.role(), RoleName::Follower);

    pass(&mut past_leader, 20);
    persist_all(&mut past_leader);
    past_leader.step(node(2), vote_answer(2, true));
    assert_eq!(past_leader.role(), RoleName::Candidate, "its own vote does not count any more");
    past_leader.step(node(3), vote_answer(2, true));
    assert_eq!(past_leader.role(), RoleName::Leader);
    persist_all(&mut past_leader);
    for voter in [2, 3] {
        past_leader.step(node(voter), accepted(2, 4));
    }

    assert_eq!((past_leader.role(), past_leader.commit()), (RoleName::Learner, index(4)));
    pass(&mut past_leader, 100);
    assert_eq!(past_leader.term(), term(2), "from then on it is silent");
}

#[test]
fn a_removed_node_is_told_that_it_is_out() {
    let mut cluster = group(3);

    cluster.change(&remove(3));
    cluster.tick_all(4);

    assert_eq!(**cluster.raft(3).membership(), simple(&[1, 2]));
    assert_eq!((cluster.raft(3).role(), cluster.raft(3).commit()), (RoleName::Learner, index(4)));
    let heard_before = cluster.raft(3).clone();
    cluster.tick_all(4);
    let sent_to_it = {
        cluster.raft(1).tick(2);
        bodies_to(3, &persist_all(cluster.raft(1)))
    };
    assert_eq!(sent_to_it, [], "once told, it is left alone");
    assert_eq!(cluster.raft(3).commit(), heard_before.commit());
    cluster.tick_all(200);
    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(1), term(1)));
}

#[test]
fn a_removed_learner_is_told_too() {
    let mut cluster = Cluster::of([careful(1, 1), joining(2)]);
    cluster.elect(1);
    cluster.change(&add_learner(2));

    cluster.change(&remove(2));
    cluster.tick_all(4);

    assert_eq!(**cluster.raft(2).membership(), simple(&[1]));
}

#[test]
fn one_that_does_not_answer_is_given_up_after_ten_election_timeouts() {
    let mut leader = leader_that_removes(3);
    leader.step(node(2), accepted(1, 3));
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 4));
    assert_eq!(leader.membership().voters(), [node(1), node(2)]);

    leader.tick(99);
    assert!(!bodies_to(3, &persist_all(&mut leader)).is_empty());
    leader.tick(2);

    assert_eq!(bodies_to(3, &persist_all(&mut leader)), []);
}

#[test]
fn a_removed_node_that_missed_it_cannot_disturb_and_learns_it_when_it_asks_for_votes() {
    let mut cluster = group(3);
    cluster.down(&[3]);
    cluster.change(&remove(3));
    cluster.tick_all(150);
    cluster.up(&[3]);
    assert_eq!(**cluster.raft(3).membership(), simple(&[1, 2, 3]), "it knows nothing");

    cluster.tick_all(60);

    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(1), term(1)));
    assert_eq!(**cluster.raft(3).membership(), simple(&[1, 2]));
    assert_eq!((cluster.raft(3).role(), cluster.raft(3).term()), (RoleName::Learner, term(1)));
}

#[test]
fn one_that_asks_for_votes_without_asking_first_does_not_disturb_either() {
    let mut cluster = Cluster::of((1..=3).map(|id| careful(id, 3).with(|config| config.pre_vote = false)));
    cluster.elect(1);
    cluster.down(&[3]);
    cluster.change(&remove(3));
    cluster.tick_all(150);
    cluster.up(&[3]);

    cluster.tick_all(300);

    assert!(cluster.raft(3).term() > term(5), "it campaigns again and again");
    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(1), term(1)));
    assert_eq!(cluster.raft(2).term(), term(1));
}

#[test]
fn whatever_a_stranger_answers_does_not_depose_the_leader() {
    let mut leader = replica(1, 3).with(|config| config.check_quorum = true).lead_with_everyone();

    for answer in [
        heartbeat_answer(9, 0, 0),
        vote_answer(9, false),
        rejected(9, 2, at(0, 0)),
        accepted(9, 1),
        read_index_answer(9, read_id(1), None),
    ] {
        leader.step(node(9), answer);
    }

    assert_eq!((leader.role(), leader.term()), (RoleName::Leader, term(1)));
}

#[test]
fn one_that_was_removed_is_no_quorum() {
    let mut leader = replica(1, 3).with(|config| config.check_quorum = true).lead_with_everyone();
    leader.change_membership(&remove(3), None).unwrap();
    persist_all(&mut leader);
    for matched in [3, 4] {
        leader.step(node(2), accepted(1, matched));
        persist_all(&mut leader);
    }
    assert_eq!(leader.membership().voters(), [node(1), node(2)]);

    leader.tick(5);
    leader.step(node(3), heartbeat_answer(1, 2, 0));
    leader.tick(5);

    assert_eq!(leader.role(), RoleName::Follower);
}

#[test]
fn a_vote_is_given_to_a_candidate_that_is_unknown_here_but_its_own_counts_nothing() {
    let mut voter = replica(1, 3).start();
    voter.step(node(9), vote(1, at(0, 1)));
    assert_eq!(
        only(&persist_all(&mut voter)),
        (9, vote_answer(1, true)),
        "a newer configuration may name it"
    );

    let mut candidate = replica(1, 3).start();
    candidate.campaign();
    persist_all(&mut candidate);
    candidate.step(node(9), vote_answer(1, true));
    candidate.step(node(8), vote_answer(1, true));

    assert_eq!(candidate.role(), RoleName::Candidate);
}

#[test]
fn a_node_that_waits_to_be_added_never_elects_itself() {
    let mut waiting = joining(4).start();

    waiting.tick(1_000);
    waiting.campaign();

    assert_eq!((waiting.role(), waiting.term(), waiting.leader()), (RoleName::Learner, term(0), None));
    assert_eq!(waiting.commit(), LogIndex::ZERO);
    assert!(!waiting.has_ready());
}

#[test]
fn it_gives_no_vote_before_a_membership_names_it() {
    let mut waiting = joining(4).start();

    waiting.step(node(1), vote(1, at(0, 1)));
    waiting.step(node(2), pre_vote(2, at(0, 1)));

    assert_eq!(bodies_to(1, &persist_all(&mut waiting)), [Body::VoteAnswer { granted: false }]);
    assert_eq!(waiting.hard_state().voted_for, None);
    let mut asked = joining(4).start();
    asked.step(node(2), pre_vote(2, at(0, 1)));
    assert_eq!(bodies_to(2, &persist_all(&mut asked)), [Body::PreVoteAnswer { granted: false }]);
}

/// The directory of node 2 is `own`; its membership names `named`.
fn node_2(own: u64, named: Option<u64>, joined: bool) -> Raft {
    let named = named.map(|named| (node(2), Incarnation(named)));
    let past = replica(2, 3).with_membership(simple(&[1, 2, 3]).with_incarnations(named));
    past.with(|config| {
        config.incarnation = Some(Incarnation(own));
        config.joined = joined;
    })
    .start()
}

fn votes(mut raft: Raft) -> bool {
    raft.step(node(1), vote(1, at(0, 1)));
    bodies_to(1, &persist_all(&mut raft)) == [Body::VoteAnswer { granted: true }]
}

fn grants_pre_votes(mut raft: Raft) -> bool {
    raft.step(node(1), pre_vote(1, at(0, 1)));
    bodies_to(1, &persist_all(&mut raft)) == [Body::PreVoteAnswer { granted: true }]
}

fn campaigns(mut raft: Raft) -> bool {
    pass(&mut raft, 20);
    raft.role() == RoleName::Candidate
}

#[test]
fn an_id_that_came_back_with_a_wiped_disk_makes_no_promise_until_it_is_named_anew() {
    for (named, may) in [(None, false), (Some(6), false), (Some(7), true)] {
        assert_eq!(votes(node_2(7, named, true)), may, "{named:?}");
        assert_eq!(grants_pre_votes(node_2(7, named, true)), may, "{named:?}");
        assert_eq!(campaigns(node_2(7, named, true)), may, "{named:?}");
    }
}

#[test]
fn an_old_disk_whose_place_a_new_one_has_taken_makes_no_promise_either() {
    for (named, may) in [(None, true), (Some(6), false), (Some(7), true)] {
        assert_eq!(votes(node_2(7, named, false)), may, "{named:?}");
        assert_eq!(grants_pre_votes(node_2(7, named, false)), may, "{named:?}");
        assert_eq!(campaigns(node_2(7, named, false)), may, "{named:?}");
    }
}

#[test]
fn a_wiped_node_takes_entries_while_it_is_barred() {
    let mut wiped = joining(2).with(|config| config.incarnation = Some(Incarnation(7))).start();
    let former = simple(&[1, 2, 3]).with_incarnations([(node(2), Incarnation(6))]);

    wiped.step(node(1), append_members(1, at(0, 0), former, 0));

    assert_eq!(bodies_to(1, &persist_all(&mut wiped)).len(), 1, "it acknowledges what it has written");
    assert!(!campaigns(wiped));
}

#[test]
fn a_removed_id_comes_back_with_nothing_known_of_its_disk() {
    let mut cluster = group(3);
    let known = (**cluster.raft(1).membership()).clone().with_incarnations([(node(3), Incarnation(6))]);
    cluster.raft(1).propose_membership(known).unwrap();
    cluster.settle();
    cluster.change(&remove(3));

    cluster.change(&add_learner(3));

    let back = cluster.raft(1).membership().member(node(3)).unwrap().clone();
    assert_eq!(back.incarnation, None, "the old disk is not expected, and a new one is welcome");
    assert_eq!(cluster.raft(3).role(), RoleName::Learner);
    assert!(memberships_of(cluster.raft(3)).len() > 3);
    assert!(matches!(cluster.raft(3).meta(index(1)).unwrap().kind, EntryKind::Membership(_)));
}
