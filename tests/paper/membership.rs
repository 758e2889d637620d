//! §6: configurations in the log, and which changes may begin.

use std::sync::Arc;

use quorate::consensus::{ProposeRefused, Raft, RaftConfig, Restored, RoleName};
use quorate::types::{ChangeRefused, EntryKind, EntryMeta, Incarnation, Membership, MembershipError, NodeId};

use crate::cluster::Cluster;
use crate::fixture::*;

#[test]
fn a_server_uses_the_latest_configuration_in_its_log_committed_or_not() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    let moved = members("elsewhere", &[1, 2, 3], &[], &[]);

    let position = cluster.raft(1).propose_membership(moved.clone()).unwrap();
    assert_eq!(**cluster.raft(1).membership(), moved, "in force before it left this node");
    assert!(cluster.raft(1).commit() < position.index);
    cluster.settle();

    for id in 1..=3 {
        assert_eq!(**cluster.raft(id).membership(), moved);
        assert!(cluster.raft(id).commit() >= position.index);
        assert!(matches!(cluster.raft(id).meta(position.index).unwrap().kind, EntryKind::Membership(_)));
    }
}

#[test]
fn a_truncated_configuration_gives_way_to_the_one_before() {
    let mut follower = replica(1, 3).start();
    let founding = follower.membership().clone();
    let mut leader = replica(2, 3).lead_with_everyone();
    let moved = members("elsewhere", &[1, 2, 3], &[], &[]);
    leader.propose_membership(moved.clone()).unwrap();
    follower.step(node(2), append(1, at(0, 1), &[1], 1));
    for sent in persist_all(&mut leader).into_iter().filter(|sent| sent.to == node(1)) {
        follower.step(node(2), sent.message);
    }
    assert_eq!(**follower.membership(), moved);

    follower.step(node(3), append(2, at(1, 2), &[2], 1));

    assert_eq!(*follower.membership(), founding);
}

#[test]
fn a_leader_changes_no_configuration_before_it_has_committed_in_its_term() {
    let mut leader = replica(1, 3).lead();
    let same = (**leader.membership()).clone();
    assert_eq!(leader.propose_membership(same.clone()), Err(ProposeRefused::NothingCommittedInTerm));

    leader.step(node(2), accepted(1, 2));

    assert!(leader.propose_membership(same).is_ok());
}

#[test]
fn one_configuration_at_a_time() {
    let mut leader = replica(1, 3).lead_with_everyone();
    let learnt = (**leader.membership()).clone().with_incarnations([(node(2), Incarnation(7))]);
    let first = leader.propose_membership(learnt.clone()).unwrap();
    persist_all(&mut leader);

    let refused = leader.propose_membership(learnt.clone());
    assert_eq!(refused, Err(ProposeRefused::MembershipUncommitted { at: first.index }));
    leader.step(node(2), accepted(1, first.index.0));

    assert!(leader.propose_membership(learnt).is_ok());
}

#[test]
fn who_votes_and_who_learns_changes_only_by_the_algebra() {
    let mut leader = replica(1, 3).lead_with_everyone();
    for other in [
        members("host", &[1, 2], &[], &[]),
        members("host", &[1, 2, 3, 4], &[], &[]),
        members("host", &[1, 2, 3], &[4], &[]),
        members("host", &[1, 2, 3], &[], &[4]),
    ] {
        assert_eq!(leader.propose_membership(other), Err(ProposeRefused::DifferentMembers));
    }
}

#[test]
fn only_a_leader_changes_the_configuration() {
    let mut follower = replica(1, 3).start();
    let same = (**follower.membership()).clone();

    assert_eq!(follower.propose_membership(same), Err(ProposeRefused::NotLeader { leader: None }));
}

#[test]
fn a_node_that_a_committed_configuration_leaves_out_does_not_campaign() {
    let mut left_out = replica(3, 3).start();
    left_out.step(node(1), append_members(1, at(0, 1), members("host", &[1, 2], &[], &[]), 2));

    pass(&mut left_out, 100);

    assert_eq!((left_out.role(), left_out.term()), (RoleName::Learner, term(1)));
}

/// A leader of three whose configuration names one learner, everything acknowledged by everyone but the learner.
fn leader_with_a_learner() -> Raft {
    let past = replica(1, 3).with_membership(members("host", &[1, 2, 3], &[], &[4]));
    past.with(|config| config.promote_lag_bytes_max = 25).lead_with_everyone()
}

#[test]
fn a_change_waits_for_a_commit_of_the_leaders_term_and_for_the_change_before_it() {
    let mut leader = replica(1, 3).lead();
    assert_eq!(leader.change_membership(&add_learner(4), None), Err(ChangeRefused::NotReady));
    leader.step(node(2), accepted(1, 2));
    let first = leader.change_membership(&add_learner(4), None).unwrap();
    persist_all(&mut leader);

    let refused = leader.change_membership(&add_learner(5), None);
    assert_eq!(refused, Err(ChangeRefused::InProgress { at: first.index }));
    leader.step(node(2), accepted(1, first.index.0));

    assert!(leader.change_membership(&add_learner(5), None).is_ok());
}

#[test]
fn a_follower_changes_nothing() {
    let mut follower = replica(1, 3).start();

    assert_eq!(follower.change_membership(&remove(2), None), Err(ChangeRefused::NotLeader));
}

/// A leader of four adds a node, crashes before that commits, and comes back when another has led. If the other could
/// change the configuration before it has committed in its term, the two majorities might be disjoint.
#[test]
fn a_successor_changes_nothing_before_its_own_commit_has_buried_what_it_does_not_know_of() {
    let careful = |past: Past| {
        past.with(|config| {
            config.pre_vote = true;
            config.check_quorum = true;
        })
    };
    let mut cluster = Cluster::of((1..=4).map(|id| replica(id, 4)).chain([joining(5)]).map(careful));
    cluster.elect(1);
    cluster.down(&[2, 3, 4]);
    cluster.change(&replace(4, 5));
    assert!(cluster.raft(5).membership().is_joint(), "nodes 1 and 5 hold the change");
    cluster.down(&[1, 5]);
    cluster.up(&[2, 3, 4]);

    for id in 3..=4 {
        pass(cluster.raft(id), 10); // they miss their leader
    }
    cluster.raft(2).campaign();
    cluster.settle_for(10);
    assert_eq!(cluster.raft(2).role(), RoleName::Leader);
    assert_eq!(cluster.raft(2).change_membership(&remove(1), None), Err(ChangeRefused::NotReady));
    cluster.tick_all(4);
    cluster.change(&remove(1));
    cluster.up(&[1, 5]);
    cluster.raft(1).campaign();
    cluster.tick_all(40);

    let leader = cluster.leader().unwrap();
    assert!((2..=4).contains(&leader), "who lacks that commit gets no votes");
    assert_eq!(**cluster.raft(leader).membership(), members("host", &[2, 3, 4], &[], &[]));
}

#[test]
fn a_change_begins_only_from_the_configuration_that_its_caller_expects() {
    let mut leader = replica(1, 3).lead_with_everyone();
    let current = leader.membership_index();
    assert_eq!(current, index(1));

    let refused = leader.change_membership(&add_learner(4), Some(index(7)));
    assert_eq!(refused, Err(ChangeRefused::Changed { current }));

    assert!(leader.change_membership(&add_learner(4), Some(current)).is_ok());
}

#[test]
fn what_changes_nothing_or_makes_no_sense_is_refused_and_appends_nothing() {
    let mut leader = leader_with_a_learner();
    let last = leader.last();
    let cases = [
        (set(&[1, 2, 3], &[4]), ChangeRefused::NoChange),
        (remove(9), ChangeRefused::UnknownNode(node(9))),
        (add_learner(2), ChangeRefused::AlreadyMember(node(2))),
        (promote(2), ChangeRefused::NotALearner(node(2))),
        (demote(4), ChangeRefused::NotAVoter(node(4))),
        (set(&[], &[1, 2]), ChangeRefused::Invalid(MembershipError::NoVoters)),
        (set(&[1, 2], &[2]), ChangeRefused::Invalid(MembershipError::VoterAndLearner(node(2)))),
    ];
    for (change, refusal) in cases {
        assert_eq!(leader.change_membership(&change, None), Err(refusal), "{change:?}");
    }
    assert_eq!(leader.last(), last);
    assert_eq!(NodeId::new(0), None, "no node is called zero");
}

#[test]
fn a_group_shrinks_to_one_voter_and_not_to_none() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);

    cluster.change(&remove(3));
    cluster.change(&remove(2));
    cluster.down(&[2, 3]);
    let span = cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    assert_eq!(cluster.raft(1).commit(), span.last.index);
    for change in [remove(1), demote(1)] {
        let refused = cluster.raft(1).change_membership(&change, None);
        assert_eq!(refused, Err(ChangeRefused::Invalid(MembershipError::NoVoters)));
    }
}

#[test]
fn a_learner_is_promoted_only_when_it_has_caught_up() {
    let mut leader = leader_with_a_learner();
    leader.propose([10, 10, 10]).unwrap();
    persist_all(&mut leader);

    for change in [promote(4), replace(3, 4), set(&[1, 2, 4], &[])] {
        let refused = leader.change_membership(&change, None);
        assert_eq!(refused, Err(ChangeRefused::Lags { id: node(4), lag_bytes: 30, limit: 25 }), "{change:?}");
    }
    leader.step(node(4), accepted(1, 3));

    assert!(leader.change_membership(&promote(4), None).is_ok());
}

#[test]
fn nor_before_it_holds_the_configuration_in_force_however_little_it_lacks() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.change_membership(&add_learner(4), None).unwrap();
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 3));
    leader.step(node(4), accepted(1, 2));

    let refused = leader.change_membership(&promote(4), None);
    assert!(matches!(refused, Err(ChangeRefused::Lags { limit: 0, .. })), "{refused:?}");
    leader.step(node(4), accepted(1, 3));

    assert!(leader.change_membership(&promote(4), None).is_ok());
}

#[test]
fn a_learner_that_catches_up_and_is_promoted_counts_from_then_on() {
    let mut cluster = Cluster::of([replica(1, 1), joining(2)]);
    cluster.elect(1);
    cluster.raft(1).propose([10; 20]).unwrap();
    cluster.change(&add_learner(2));
    assert_eq!(cluster.raft(2).last(), cluster.raft(1).last());

    cluster.change(&promote(2));
    cluster.down(&[2]);
    let span = cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    assert_eq!(cluster.raft(2).role(), RoleName::Follower);
    assert!(cluster.raft(1).commit() < span.last.index, "without it nothing commits any more");
}

#[test]
fn a_change_that_those_who_answer_now_could_not_carry_is_refused() {
    let mut leader = leader_with_a_learner();
    leader.tick(10);
    leader.step(node(3), heartbeat_answer(1, 2, 0));

    for change in [remove(3), set(&[1, 2], &[]), set(&[1, 9], &[])] {
        let refused = leader.change_membership(&change, None);
        assert_eq!(refused, Err(ChangeRefused::WouldLoseQuorum { connected: 1, needed: 2 }), "{change:?}");
    }

    assert!(leader.change_membership(&remove(2), None).is_ok(), "the dead one may go");
}

#[test]
fn the_joint_configuration_on_the_way_counts_as_well() {
    let past = replica(1, 5).with_membership(members("host", &[1, 2, 3, 4, 5], &[], &[]));
    let mut leader = past.lead_with_everyone();
    leader.tick(10);
    leader.step(node(2), heartbeat_answer(1, 2, 0));

    let refused = leader.change_membership(&set(&[1, 2], &[]), None);

    assert_eq!(refused, Err(ChangeRefused::WouldLoseQuorum { connected: 2, needed: 3 }), "of the old half");
}

#[test]
fn a_new_voter_that_was_never_heard_does_not_count_as_one_that_answers() {
    let mut leader = replica(1, 1).lead_with_everyone();

    let refused = leader.change_membership(&set(&[1, 2], &[]), None);

    assert_eq!(refused, Err(ChangeRefused::WouldLoseQuorum { connected: 1, needed: 2 }));
}

#[test]
fn nor_does_one_that_was_just_added_and_has_not_answered_yet() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.change_membership(&replace(3, 4), None).unwrap();
    for matched in [3, 4] {
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, matched));
    }
    assert_eq!(leader.membership().voters(), [node(1), node(2), node(4)]);

    let refused = leader.change_membership(&remove(2), None);
    assert_eq!(refused, Err(ChangeRefused::WouldLoseQuorum { connected: 1, needed: 2 }));
    leader.step(node(4), accepted(1, 4));

    assert!(leader.change_membership(&remove(2), None).is_ok());
}

/// The leader of three voters, 1 to 3, and the learners given, who knows the directories of the voters.
fn leader_that_tells_directories_apart(learners: &[u64]) -> Raft {
    let voters = [1, 2, 3].map(|id| (node(id), Incarnation(id)));
    let known = members("host", &[1, 2, 3], &[], learners).with_incarnations(voters);
    let past = replica(1, 3).with_membership(known);
    past.with(|config| config.incarnation = Some(Incarnation(1))).lead_with_everyone()
}

/// The leader learns the directories of these nodes, and everybody follows.
fn note_directories(leader: &mut Raft, ids: &[u64]) {
    let learnt = ids.iter().map(|&id| (node(id), Incarnation(id)));
    leader.propose_membership((**leader.membership()).clone().with_incarnations(learnt)).expect("it leads");
    commit_everywhere(leader);
}

/// All that the leader has, everybody has.
fn commit_everywhere(leader: &mut Raft) {
    persist_all(leader);
    let (last, peers) = (leader.last(), leader.membership().peers_of(node(1)).collect::<Vec<_>>());
    for peer in peers {
        leader.step(peer, accepted(last.term.0, last.index.0));
    }
    persist_all(leader);
}

#[test]
fn where_directories_are_told_apart_nobody_becomes_a_voter_whose_own_is_not_known() {
    let mut leader = leader_that_tells_directories_apart(&[4]);
    commit_everywhere(&mut leader);
    let (last, since) = (leader.last(), index(1));

    for change in [promote(4), replace(3, 4), set(&[1, 2, 4], &[3])] {
        let refused = leader.change_membership(&change, None);
        assert_eq!(refused, Err(ChangeRefused::UnknownDirectory { id: node(4), since }), "{change:?}");
        assert_eq!(leader.prepare_change(&change, None), Ok(None), "it is a learner already");
    }
    assert_eq!(leader.last(), last);
    note_directories(&mut leader, &[4]);

    assert!(leader.change_membership(&replace(3, 4), None).is_ok());
    assert!(leader.membership().member(node(4)).unwrap().incarnation.is_some());
}

#[test]
fn voters_whom_nobody_has_met_come_as_learners_in_one_entry_first() {
    let mut leader = leader_that_tells_directories_apart(&[9]);
    let change = set(&[1, 4, 5], &[6]);

    let refused = leader.change_membership(&change, None).unwrap_err();
    assert!(matches!(refused, ChangeRefused::UnknownDirectory { .. }), "{refused}");
    let position = leader.prepare_change(&change, None).unwrap().expect("two are to be added");

    assert_eq!(leader.membership_index(), position.index);
    assert_eq!(**leader.membership(), {
        let voters = [1, 2, 3].map(|id| (node(id), Incarnation(id)));
        members("host", &[1, 2, 3], &[], &[4, 5, 9]).with_incarnations(voters)
    });
    let too_early = leader.prepare_change(&change, None);
    assert_eq!(too_early, Err(ChangeRefused::InProgress { at: position.index }), "one change at a time");

    commit_everywhere(&mut leader);
    note_directories(&mut leader, &[4]);
    assert!(leader.change_membership(&change, None).is_err(), "one of them is not known");
    note_directories(&mut leader, &[5]);
    leader.change_membership(&change, Some(position.index)).unwrap();
    let joint = leader.membership();
    assert_eq!((joint.voters(), joint.outgoing()), (&[1, 4, 5].map(node)[..], &[1, 2, 3].map(node)[..]));
    assert!(joint.voters().iter().all(|&id| joint.member(id).unwrap().incarnation.is_some()));
}

#[test]
fn the_first_step_of_a_change_obeys_the_rules_of_any_change() {
    let mut leader = leader_that_tells_directories_apart(&[]);
    let current = leader.membership_index();

    let refused = leader.prepare_change(&replace(3, 4), Some(index(7)));
    assert_eq!(refused, Err(ChangeRefused::Changed { current }));
    assert_eq!(leader.prepare_change(&replace(9, 4), None), Err(ChangeRefused::UnknownNode(node(9))));
    let mut follower = replica(2, 3).start();
    assert_eq!(follower.prepare_change(&replace(3, 4), None), Err(ChangeRefused::NotLeader));
}

#[test]
fn hosts_that_do_not_tell_directories_apart_make_voters_at_once() {
    let mut leader = replica(1, 3).lead_with_everyone();

    assert!(leader.change_membership(&replace(3, 4), None).is_ok());
}

/// A replica that starts with these configurations in its log, the first as the founding one, and knows of nothing else
/// that it is committed.
fn found_with(id: u64, configurations: &[Membership], tune: impl FnOnce(&mut RaftConfig)) -> Raft {
    let past = replica(id, 1).with(tune).in_term(1);
    let entry = |(place, membership): (usize, &Membership)| EntryMeta {
        position: at(place.min(1) as u64, place as u64 + 1),
        bytes: 64,
        kind: EntryKind::Membership(Arc::new(membership.clone())),
    };
    let entries = configurations.iter().enumerate().map(entry).collect();
    Raft::new(past.config.clone(), Restored { entries, ..past.restored() }).expect("a good past")
}

/// Found by the simulator: a leader left the joint configuration that removed it and crashed. Nobody else had a log as good as
/// its own, and it took the founding configuration, in which it had no vote, for the one before.
#[test]
fn who_is_left_out_by_an_entry_that_may_not_be_committed_is_electable_after_a_restart() {
    let nobody_else = [
        members("host", &[1], &[], &[]),
        members("host", &[2, 3], &[], &[]),
        members("host", &[3], &[2, 3], &[]),
        members("host", &[3], &[], &[]),
    ];
    let mut leaving = found_with(2, &nobody_else, |_| ());
    assert_eq!(leaving.commit(), index(1), "it does not know more");

    leaving.campaign();
    persist_all(&mut leaving);
    assert_eq!(leaving.role(), RoleName::Candidate, "its own vote does not count");
    leaving.step(node(3), vote_answer(2, true));

    assert_eq!(leaving.role(), RoleName::Leader);
}

#[test]
fn who_was_left_out_before_the_latest_configuration_is_electable_no_more() {
    let long_gone = [
        members("host", &[1, 2], &[], &[]),
        members("host", &[1], &[1, 2], &[]),
        members("host", &[1], &[], &[]),
        members("host", &[1], &[], &[3]),
    ];
    let mut gone = found_with(2, &long_gone, |_| ());

    gone.campaign();

    assert_eq!(gone.role(), RoleName::Learner);
}

/// Found by the simulator, with nodes that had joined: the entry that left such a node out barred it from votes as if it had
/// just come, though nobody else could be elected.
#[test]
fn who_joined_and_is_left_out_by_an_entry_that_may_not_be_committed_has_its_promises_still() {
    let joined = |named: u64| {
        let known = |voters: &[u64], outgoing: &[u64]| {
            let learnt = [1, 2].map(|id| (node(id), Incarnation(id * named)));
            members("host", voters, outgoing, &[]).with_incarnations(learnt)
        };
        let configurations = [known(&[1], &[]), known(&[1, 2], &[]), known(&[1], &[1, 2]), known(&[1], &[])];
        let mut replica = found_with(2, &configurations, |config| {
            (config.joined, config.incarnation) = (true, Some(Incarnation(2)));
        });
        replica.campaign();
        replica.role()
    };

    assert_eq!(joined(1), RoleName::Candidate);
    assert_eq!(joined(7), RoleName::Follower, "in another data directory than the group knows it has none");
}

#[test]
fn a_follower_that_drops_two_configurations_falls_back_to_the_one_before_them() {
    let mut follower = replica(3, 3).start();
    let founding = follower.membership().clone();
    let joint = members("host", &[1, 2, 4], &[1, 2, 3], &[]);
    follower.step(node(1), append_members(1, at(0, 1), joint, 1));
    follower.step(node(1), append_members(1, at(1, 2), members("host", &[1, 2, 4], &[], &[]), 1));
    assert_eq!(follower.membership().voters(), [node(1), node(2), node(4)]);

    follower.step(node(2), append(2, at(0, 1), &[2], 1));

    assert_eq!(*follower.membership(), founding);
    assert_eq!(follower.membership_index(), index(1));
}

#[test]
fn even_if_that_one_stands_only_in_the_snapshot() {
    let compacted = members("host", &[1, 2, 3], &[], &[4]);
    let past = replica(3, 3).in_term(1);
    let restored = Restored {
        starts_after: at(1, 50),
        membership: Some(Arc::new(compacted.clone())),
        entries: Vec::new(),
        applied: at(1, 50),
        ..past.restored()
    };
    let mut follower = Raft::new(past.config, restored).unwrap();
    follower.step(node(1), append_members(1, at(1, 50), members("host", &[1, 2, 3, 4], &[1, 2, 3], &[]), 50));
    assert!(follower.membership().is_joint());

    follower.step(node(2), append(2, at(1, 50), &[2], 50));

    assert_eq!((&**follower.membership(), follower.membership_index()), (&compacted, index(50)));
}

#[test]
fn a_learner_that_does_not_know_of_its_promotion_votes_when_asked() {
    let mut learner = replica(4, 3).with_membership(members("host", &[1, 2, 3], &[], &[4])).start();

    learner.step(node(2), vote(1, at(0, 1)));

    assert_eq!(only(&persist_all(&mut learner)), (2, vote_answer(1, true)));
}

#[test]
fn the_votes_of_learners_count_nothing() {
    let mut candidate = replica(1, 3).with_membership(members("host", &[1, 2, 3], &[], &[4, 5])).start();
    candidate.campaign();
    let sent = persist_all(&mut candidate);
    assert!(bodies_to(4, &sent).is_empty(), "they are not even asked");

    candidate.step(node(4), vote_answer(1, true));
    candidate.step(node(5), vote_answer(1, true));

    assert_eq!(candidate.role(), RoleName::Candidate);
}

#[test]
fn a_condition_on_the_membership_holds_also_after_the_log_was_shortened() {
    let mut leader = replica(1, 3).lead_with_everyone();
    let seen = leader.membership_index();
    leader.propose([10]).unwrap();
    persist_all(&mut leader);
    for peer in [2, 3] {
        leader.step(node(peer), accepted(1, 3));
    }
    persist_all(&mut leader);
    snapshot_and_compact(&mut leader, 0);

    let begun = leader.change_membership(&add_learner(4), Some(seen));

    assert!(begun.is_ok(), "nobody changed it since: {begun:?}");
}
