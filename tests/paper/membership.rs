//! §6: configurations in the log, as far as addresses and data directories go.

use quorate::consensus::{ProposeRefused, RoleName};
use quorate::types::{EntryKind, Incarnation};

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
fn who_votes_and_who_learns_does_not_change_yet() {
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
fn a_node_that_a_newer_configuration_leaves_out_does_not_campaign() {
    let mut left_out = replica(3, 3).start();
    let without = EntryKind::Membership(std::sync::Arc::new(members("host", &[1, 2], &[], &[])));
    let entry = quorate::types::EntryMeta { position: at(1, 2), bytes: 64, kind: without };
    let slice = quorate::types::LogSlice::new(at(0, 1), vec![entry]).unwrap();
    let body = quorate::types::Body::Append(quorate::types::Append { slice, commit: index(2) });
    left_out.step(node(1), quorate::types::Message { term: term(1), body });

    left_out.tick(1_000);

    assert_eq!((left_out.role(), left_out.term()), (RoleName::Learner, term(1)));
}
