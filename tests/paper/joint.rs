//! §6: from one configuration to another through a joint one, whoever leads and wherever it stops.

use quorate::consensus::{Raft, RoleName};
use quorate::types::{ChangeRefused, EntryKind, LogIndex, Membership};

use crate::cluster::Cluster;
use crate::fixture::*;

fn careful(past: Past) -> Past {
    past.with(|config| {
        config.pre_vote = true;
        config.check_quorum = true;
    })
}

/// Nodes `1..=voters` found a group, node 1 leads it, and `learners` more are added.
fn grown(voters: u64, learners: u64) -> Cluster {
    grown_of(voters, learners, careful)
}

fn grown_of(voters: u64, learners: u64, kind: impl Fn(Past) -> Past) -> Cluster {
    let founders = (1..=voters).map(|id| replica(id, voters));
    let joiners = (voters + 1..=voters + learners).map(joining);
    let mut cluster = Cluster::of(founders.chain(joiners).map(kind));
    cluster.elect(1);
    for id in voters + 1..=voters + learners {
        cluster.change(&add_learner(id));
    }
    cluster
}

fn simple(voters: &[u64], learners: &[u64]) -> Membership {
    members("host", voters, &[], learners)
}

/// A leader of `{1, 2, 3}` on its way to `{4, 5, 6}`: the joint configuration stands at index 3, on its own disk alone.
fn leader_between_two_halves() -> Raft {
    let past = replica(1, 3).with_membership(simple(&[1, 2, 3], &[4, 5, 6]));
    let mut leader = past.lead_with_everyone();
    leader.change_membership(&set(&[4, 5, 6], &[]), None).expect("a change that may begin");
    persist_all(&mut leader);
    leader
}

#[test]
fn a_voter_is_added_and_the_data_is_intact() {
    let mut cluster = grown(3, 1);
    cluster.raft(1).propose([10, 20]).unwrap();
    cluster.settle();

    cluster.change(&promote(4));

    let log = log_of(cluster.raft(1));
    for id in 1..=4 {
        assert_eq!(**cluster.raft(id).membership(), simple(&[1, 2, 3, 4], &[]));
        assert_eq!(log_of(cluster.raft(id)), log);
    }
    assert_eq!(cluster.raft(4).role(), RoleName::Follower);
    cluster.raft(1).transfer_leadership(Some(node(4))).unwrap();
    cluster.settle();
    assert_eq!(cluster.leader(), Some(4), "it votes, and so it can lead");
}

#[test]
fn a_voter_is_removed_and_the_others_go_on() {
    let mut cluster = grown(3, 0);

    cluster.change(&remove(3));
    cluster.down(&[3]);
    let span = cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    assert_eq!(cluster.raft(1).commit(), span.last.index, "node 3 is not missed");
    assert_eq!(**cluster.raft(2).membership(), simple(&[1, 2], &[]));
}

#[test]
fn a_voter_is_replaced_in_one_change() {
    let mut cluster = grown(3, 1);

    cluster.change(&replace(3, 4));
    cluster.tick_all(4);

    for id in [1, 2, 4] {
        assert_eq!(**cluster.raft(id).membership(), simple(&[1, 2, 4], &[]));
    }
    assert_eq!(cluster.raft(3).role(), RoleName::Learner, "it knows that it is out");
}

#[test]
fn a_new_node_may_take_a_voters_place_without_learning_first() {
    let founders = (1..=3).map(|id| careful(replica(id, 3)));
    let mut cluster = Cluster::of(founders.chain([careful(joining(4))]));
    cluster.elect(1);

    cluster.change(&replace(3, 4));

    assert_eq!(**cluster.raft(4).membership(), simple(&[1, 2, 4], &[]));
    assert_eq!(log_of(cluster.raft(4)), log_of(cluster.raft(1)));
}

#[test]
fn disjoint_sets_of_voters_change_over_safely() {
    let mut cluster = grown(3, 3);
    cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    cluster.change(&set(&[4, 5, 6], &[]));
    cluster.tick_all(10);

    let leader = cluster.leader().unwrap();
    assert!((4..=6).contains(&leader));
    let span = cluster.raft(leader).propose([10]).unwrap();
    cluster.settle();
    for id in 4..=6 {
        assert_eq!(**cluster.raft(id).membership(), simple(&[4, 5, 6], &[]));
        assert_eq!(cluster.raft(id).commit(), span.last.index);
    }
}

#[test]
fn a_joint_configuration_commits_with_neither_half_alone() {
    for starved in [[4, 5, 6], [2, 3, 7]] {
        let mut leader = leader_between_two_halves();
        for voter in (2..=6).filter(|voter| !starved.contains(voter)) {
            leader.step(node(voter), accepted(1, 3));
        }
        assert_eq!(leader.commit(), index(2), "{starved:?} have not answered");

        leader.step(node(starved[0]), accepted(1, 3));
        leader.step(node(starved[1]), accepted(1, 3));

        assert_eq!(leader.commit(), index(3));
    }
}

#[test]
fn a_candidate_under_a_joint_configuration_needs_both_majorities() {
    let joint = members("host", &[1, 2, 3], &[4, 5, 6], &[7]);
    for starved in [[2, 3], [4, 5]] {
        let mut candidate = replica(1, 3).with_membership(joint.clone()).start();
        candidate.campaign();
        persist_all(&mut candidate);
        for voter in (2..=7).filter(|voter| !starved.contains(voter)) {
            candidate.step(node(voter), vote_answer(1, true));
        }
        let half_without = starved == [2, 3];
        assert_eq!(candidate.role(), RoleName::Candidate, "{starved:?} have not voted");

        candidate.step(node(starved[usize::from(!half_without)]), vote_answer(1, true));

        assert_eq!(candidate.role(), RoleName::Leader);
    }
}

#[test]
fn a_committed_joint_configuration_is_left_at_once_and_only_once() {
    let mut leader = leader_between_two_halves();
    for voter in [2, 4, 5] {
        leader.step(node(voter), accepted(1, 3));
    }
    assert_eq!(**leader.membership(), simple(&[4, 5, 6], &[]));
    assert_eq!(leader.last(), at(1, 4));

    for voter in [2, 3, 4, 5, 6] {
        leader.step(node(voter), accepted(1, 3));
    }

    assert_eq!(leader.last(), at(1, 4), "nothing was appended twice");
}

#[test]
fn it_is_not_left_before_it_is_committed() {
    let past = replica(1, 3).with_membership(simple(&[1, 2, 3], &[4, 5, 6]));
    let mut leader = past.lead_with_everyone();
    leader.propose([10]).unwrap();
    leader.change_membership(&set(&[4, 5, 6], &[]), None).unwrap();
    persist_all(&mut leader);

    for voter in [2, 4, 5] {
        leader.step(node(voter), accepted(1, 3));
    }

    assert_eq!(leader.commit(), index(3), "an entry before it is committed, and by both halves");
    assert!(leader.membership().is_joint());
    assert_eq!(leader.last(), at(1, 4));
}

/// Holds the joint configuration of `{1, 2, 3}` and `{1, 2, 4}` at index 2, not knowing that it is committed.
fn heir() -> Raft {
    let mut heir = replica(2, 3).start();
    heir.step(node(1), append_members(1, at(0, 1), members("host", &[1, 2, 4], &[1, 2, 3], &[]), 1));
    persist_all(&mut heir);
    heir
}

#[test]
fn a_new_leader_under_a_joint_configuration_commits_in_its_term_before_it_leaves_it() {
    let mut heir = heir();
    heir.campaign();
    persist_all(&mut heir);
    heir.step(node(3), vote_answer(2, true));
    heir.step(node(4), vote_answer(2, true));
    assert_eq!(heir.role(), RoleName::Leader);
    persist_all(&mut heir);

    for voter in [3, 4] {
        heir.step(node(voter), accepted(2, 2));
    }
    assert!(heir.membership().is_joint(), "an entry of an earlier term commits nothing by itself (§5.4.2)");
    for voter in [3, 4] {
        heir.step(node(voter), accepted(2, 3));
    }

    assert_eq!(heir.commit(), index(3));
    assert_eq!((heir.last(), heir.membership().voters()), (at(2, 4), &[node(1), node(2), node(4)][..]));
}

#[test]
fn a_new_leader_goes_by_the_latest_configuration_in_its_log_although_it_is_not_committed() {
    let mut heir = heir();

    heir.campaign();
    let sent = persist_all(&mut heir);
    assert!([1, 3, 4].iter().all(|&voter| bodies_to(voter, &sent).len() == 1));
    heir.step(node(1), vote_answer(2, true));
    assert_eq!(heir.role(), RoleName::Leader, "node 1 stands in both halves, and so does the heir");

    assert!(heir.progress(node(4)).is_some(), "it sends to those of the new half");
    assert_eq!(
        heir.change_membership(&remove(3), None),
        Err(ChangeRefused::NotReady),
        "it finishes the change that it found before it begins another"
    );
}

#[test]
fn somebody_is_elected_although_nobody_alive_knows_that_the_joint_configuration_is_committed() {
    let committed_at_the_leader_alone = |messages| {
        let mut cluster = grown(3, 1);
        let joint = cluster.raft(1).change_membership(&promote(4), None).unwrap().index;
        assert!(cluster.settle_for(messages), "there is no such moment");
        let knows = |id| cluster.raft(id).commit() >= joint;
        ((1..=4).map(knows).collect::<Vec<_>>() == [true, false, false, false]).then_some(cluster)
    };
    let mut cluster = (1..).find_map(committed_at_the_leader_alone).unwrap();

    cluster.down(&[1]);
    cluster.tick_all(80);

    let leader = cluster.leader().filter(|&leader| leader != 1).expect("somebody was elected");
    assert_eq!(**cluster.raft(leader).membership(), simple(&[1, 2, 3, 4], &[]));
}

/// Each joint configuration of the log is followed by exactly one that leaves it.
fn assert_left_exactly_once(raft: &Raft) {
    let memberships = memberships_of(raft);
    for pair in memberships.windows(2) {
        let left =
            !pair[0].1.is_joint() || (!pair[1].1.is_joint() && pair[0].1.voters() == pair[1].1.voters());
        assert!(left, "entry {} does not leave entry {}", pair[1].0, pair[0].0);
    }
    let joints = memberships.iter().filter(|(_, membership)| membership.is_joint()).count();
    let simple = memberships.len() - joints;
    assert!(joints <= 1 && simple == 2 + joints, "founding, the learner, and as many ends as beginnings");
    assert!(!raft.membership().is_joint());
}

#[test]
fn wherever_the_leader_crashes_in_a_change_the_next_one_finishes_it_or_nobody_heard_of_it() {
    let (mut finished, mut unheard) = (0, 0);
    for messages in 0.. {
        let mut cluster = grown(3, 1);
        cluster.raft(1).change_membership(&promote(4), None).unwrap();
        let was_cut_short = cluster.settle_for(messages);
        cluster.down(&[1]);
        cluster.tick_all(100);
        cluster.up(&[1]);
        cluster.tick_all(100);

        let leader = cluster.leader().expect("a leader emerges");
        let membership = cluster.raft(leader).membership().clone();
        assert_left_exactly_once(cluster.raft(leader));
        for id in 1..=4 {
            assert_eq!(*cluster.raft(id).membership(), membership, "{messages} messages");
            assert_eq!(cluster.raft(id).last(), cluster.raft(leader).last());
        }
        *(if membership.voters().len() == 4 { &mut finished } else { &mut unheard }) += 1;
        if !was_cut_short {
            break;
        }
    }
    assert!(
        finished > 3 && unheard > 0,
        "{finished} finished, {unheard} unheard: the crash came at all moments"
    );
}

/// Two voters come while the network breaks after any number of messages, in two ways; all nodes stand for election.
fn no_two_leaders_while_two_voters_come(pre_vote: bool, hand_over: bool) {
    for messages in 0.. {
        let mut was_cut_short = false;
        for (one, other) in [([1, 2].as_slice(), [3, 4, 5].as_slice()), (&[1, 4, 5], &[2, 3])] {
            let mut cluster = grown_of(3, 2, |past| careful(past).with(|config| config.pre_vote = pre_vote));
            cluster
                .raft(1)
                .change_membership(&set(&[1, 2, 3, 4, 5], &[]), None)
                .expect("a change that may begin");
            was_cut_short = cluster.settle_for(messages);
            if hand_over {
                drop(cluster.raft(1).transfer_leadership(Some(node(4))));
                cluster.settle_for(messages);
            }
            cluster.split(one, other);
            for id in (1..=5).rev() {
                cluster.raft(id).campaign();
            }
            cluster.tick_all(60); // the cluster itself asserts one leader per term
            cluster.mend();
            cluster.tick_all(100);
            let leader = cluster.leader().expect("a leader emerges");
            assert!(!cluster.raft(leader).membership().is_joint());
        }
        if !was_cut_short {
            break;
        }
    }
}

#[test]
fn while_two_voters_come_no_term_has_two_leaders_whoever_knows_of_them() {
    no_two_leaders_while_two_voters_come(false, false);
}

#[test]
fn nor_by_pre_votes() {
    no_two_leaders_while_two_voters_come(true, false);
}

#[test]
fn nor_by_a_transfer_in_the_middle_of_it() {
    no_two_leaders_while_two_voters_come(true, true);
}

#[test]
fn a_voter_is_demoted_in_one_change_and_votes_until_it_is_complete() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.change_membership(&demote(3), None).unwrap();
    let joint = leader.membership().clone();
    assert_eq!((joint.learners(), joint.learners_next()), (&[][..], &[node(3)][..]));
    persist_all(&mut leader);

    leader.step(node(2), accepted(1, 3));

    assert_eq!(**leader.membership(), simple(&[1, 2], &[3]));
    let mut cluster = grown(3, 0);
    cluster.change(&demote(3));
    let span = cluster.raft(1).propose([10]).unwrap();
    cluster.settle();
    assert_eq!((cluster.raft(3).role(), cluster.raft(3).last()), (RoleName::Learner, span.last));
}

#[test]
fn a_leader_that_demotes_itself_hands_over_and_learns_on() {
    let mut cluster = grown(3, 0);

    cluster.change(&demote(1));

    let leader = cluster.leader().expect("the group is not without a leader for a moment");
    assert_ne!(leader, 1);
    let span = cluster.raft(leader).propose([10]).unwrap();
    cluster.settle();
    cluster.tick_all(100);
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).last()), (RoleName::Learner, span.last));
    assert_eq!(cluster.leader(), Some(leader));
}

#[test]
fn what_waited_for_a_voter_that_leaves_is_counted_again_when_it_has_left() {
    let mut leader = replica(1, 4).lead_with_everyone();
    leader.change_membership(&remove(3), None).unwrap();
    leader.propose([10]).unwrap();
    leader.read_index(read_id(1), NOW).unwrap();
    let sent = persist_all(&mut leader);
    let round = heartbeats_to(2, &sent).last().unwrap().round.0;
    leader.step(node(2), heartbeat_answer(1, 4, round));
    assert_eq!(leader.commit(), index(2), "two of four hold the proposal and answered the read");

    leader.step(node(4), accepted(1, 3));

    assert_eq!(leader.membership().voters(), [node(1), node(2), node(4)]);
    assert_eq!(leader.commit(), index(4), "two of three are enough");
    assert_eq!(leader.ready(NOW).reads.len(), 1);
}

#[test]
fn the_end_of_a_change_is_an_entry_that_the_host_finds_by_its_position() {
    let mut leader = leader_between_two_halves();
    for voter in [2, 4, 5] {
        leader.step(node(voter), accepted(1, 3));
    }

    let append = leader.ready(NOW).append.expect("the end of the change is written");

    assert_eq!(append.first, index(4));
    assert!(matches!(leader.meta(LogIndex(4)).unwrap().kind, EntryKind::Membership(end) if !end.is_joint()));
}
