//! The algebra, in small cases by table and in random ones by property.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::quorum::quorum_agrees;
use super::*;
use crate::types::Incarnation;

/// No node of the cases has a higher id: all sets of nodes can be tried.
const ID_MAX: u64 = 6;

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn ids(list: &[u64]) -> Vec<NodeId> {
    list.iter().copied().map(id).collect()
}

fn address(id: u64) -> String {
    format!("host-{id}:7000")
}

/// Every member's data directory is known: its number is the id's.
fn config(voters: &[u64], outgoing: &[u64], learners: &[u64], learners_next: &[u64]) -> Membership {
    let member = |&n: &u64| (id(n), Member { address: address(n), incarnation: Some(Incarnation(n)) });
    let members = voters.iter().chain(outgoing).chain(learners).map(member).collect();
    Membership::new(ids(voters), ids(outgoing), ids(learners), members)
        .unwrap()
        .with_learners_next(ids(learners_next))
        .unwrap()
}

fn simple(voters: &[u64], learners: &[u64]) -> Membership {
    config(voters, &[], learners, &[])
}

fn add_learner(n: u64) -> MembershipChange {
    MembershipChange::AddLearner { id: id(n), address: address(n) }
}

fn replace(old: u64, new: u64) -> MembershipChange {
    MembershipChange::Replace { old: id(old), new: id(new), address: address(new) }
}

fn set(voters: &[u64], learners: &[u64]) -> MembershipChange {
    let list = |list: &[u64]| list.iter().map(|&n| (id(n), address(n))).collect();
    MembershipChange::Set { voters: list(voters), learners: list(learners) }
}

fn promote(n: u64) -> MembershipChange {
    MembershipChange::Promote { id: id(n) }
}

fn demote(n: u64) -> MembershipChange {
    MembershipChange::Demote { id: id(n) }
}

fn remove(n: u64) -> MembershipChange {
    MembershipChange::Remove { id: id(n) }
}

/// Voters, outgoing voters, learners and learners-next.
fn roles(membership: &Membership) -> [Vec<u64>; 4] {
    let numbers = |list: &[NodeId]| list.iter().map(|id| id.get()).collect();
    [membership.voters(), membership.outgoing(), membership.learners(), membership.learners_next()]
        .map(numbers)
}

type Case<'a> = (MembershipChange, [&'a [u64]; 4], [&'a [u64]; 2]);

#[test]
fn each_change_enters_and_leaves_as_the_table_says() {
    let current = simple(&[1, 2, 3], &[4]);
    let cases: &[Case] = &[
        (add_learner(5), [&[1, 2, 3], &[], &[4, 5], &[]], [&[1, 2, 3], &[4, 5]]),
        (remove(4), [&[1, 2, 3], &[], &[], &[]], [&[1, 2, 3], &[]]),
        (replace(4, 5), [&[1, 2, 3], &[], &[5], &[]], [&[1, 2, 3], &[5]]),
        (promote(4), [&[1, 2, 3, 4], &[1, 2, 3], &[], &[]], [&[1, 2, 3, 4], &[]]),
        (demote(3), [&[1, 2], &[1, 2, 3], &[4], &[3]], [&[1, 2], &[3, 4]]),
        (remove(1), [&[2, 3], &[1, 2, 3], &[4], &[]], [&[2, 3], &[4]]),
        (replace(3, 5), [&[1, 2, 5], &[1, 2, 3], &[4], &[]], [&[1, 2, 5], &[4]]),
        (replace(3, 4), [&[1, 2, 4], &[1, 2, 3], &[], &[]], [&[1, 2, 4], &[]]),
        (set(&[4, 5, 6], &[]), [&[4, 5, 6], &[1, 2, 3], &[], &[]], [&[4, 5, 6], &[]]),
        (set(&[4], &[1, 5]), [&[4], &[1, 2, 3], &[5], &[1]], [&[4], &[1, 5]]),
        (set(&[1, 2, 3], &[]), [&[1, 2, 3], &[], &[], &[]], [&[1, 2, 3], &[]]),
        (set(&[2], &[4]), [&[2], &[1, 2, 3], &[4], &[]], [&[2], &[4]]),
    ];
    for (change, entered, left) in cases {
        let target = target(&current, change).unwrap();
        let entry = enter(&current, &target).unwrap();

        assert_eq!(roles(&entry), entered.map(<[u64]>::to_vec), "{change:?}");
        let end = if entry.is_joint() { leave_joint(&entry) } else { entry };
        assert_eq!(end, target, "{change:?}");
        assert_eq!([end.voters(), end.learners()], [ids(left[0]), ids(left[1])], "{change:?}");
    }
}

#[test]
fn nonsense_is_refused_by_its_name() {
    let current = simple(&[1, 2, 3], &[4]);
    let readdress = |n, address: &str| MembershipChange::Readdress { id: id(n), address: address.to_owned() };
    let shared = |n| ChangeRefused::Invalid(MembershipError::SharedAddress(address(n)));
    let at = |address: &str| MembershipChange::AddLearner { id: id(5), address: address.to_owned() };
    let cases = [
        (add_learner(1), ChangeRefused::AlreadyMember(id(1))),
        (add_learner(4), ChangeRefused::AlreadyMember(id(4))),
        (at(&address(2)), shared(2)),
        (promote(9), ChangeRefused::UnknownNode(id(9))),
        (promote(1), ChangeRefused::NotALearner(id(1))),
        (demote(9), ChangeRefused::UnknownNode(id(9))),
        (demote(4), ChangeRefused::NotAVoter(id(4))),
        (remove(9), ChangeRefused::UnknownNode(id(9))),
        (replace(9, 5), ChangeRefused::UnknownNode(id(9))),
        (replace(1, 2), ChangeRefused::AlreadyMember(id(2))),
        (replace(1, 1), ChangeRefused::AlreadyMember(id(1))),
        (replace(4, 1), ChangeRefused::AlreadyMember(id(1))),
        (readdress(9, "host-9:1"), ChangeRefused::UnknownNode(id(9))),
        (readdress(1, &address(1)), ChangeRefused::NoChange),
        (readdress(1, &address(2)), shared(2)),
        (set(&[1, 2, 3], &[4]), ChangeRefused::NoChange),
        (set(&[], &[1]), ChangeRefused::Invalid(MembershipError::NoVoters)),
        (set(&[1, 2], &[2]), ChangeRefused::Invalid(MembershipError::VoterAndLearner(id(2)))),
    ];
    for (change, refusal) in cases {
        assert_eq!(target(&current, &change), Err(refusal), "{change:?}");
    }
    let bad_address = MembershipError::BadAddress { id: id(5), address: "nowhere".into() };
    assert_eq!(target(&current, &at("nowhere")), Err(bad_address.into()));
}

#[test]
fn the_last_voter_neither_leaves_nor_learns() {
    let current = simple(&[1], &[2]);

    for change in [remove(1), demote(1)] {
        assert_eq!(target(&current, &change), Err(ChangeRefused::Invalid(MembershipError::NoVoters)));
    }
}

#[test]
fn whoever_stays_keeps_its_data_directory_and_whoever_comes_back_has_to_show_it() {
    let current = simple(&[1, 2, 3], &[]);
    let moved = MembershipChange::Readdress { id: id(2), address: "elsewhere:1".to_owned() };
    let moved = target(&current, &moved).unwrap();
    assert_eq!(moved.member(id(2)).unwrap().incarnation, Some(Incarnation(2)));

    let without = target(&current, &remove(3)).unwrap();
    let again = target(&without, &add_learner(3)).unwrap();

    assert_eq!(again.member(id(1)).unwrap().incarnation, Some(Incarnation(1)));
    assert_eq!(again.member(id(3)).unwrap().incarnation, None);
}

#[test]
fn two_voters_at_one_address_are_refused_even_if_one_of_them_leaves() {
    let current = simple(&[1, 2, 3], &[]);
    let same_place = MembershipChange::Replace { old: id(3), new: id(4), address: address(3) };
    let target = target(&current, &same_place).unwrap();

    let refused = enter(&current, &target);

    assert_eq!(
        refused,
        Err(MembershipError::SharedAddress(address(3))),
        "the joint configuration holds both"
    );
}

/// Every set of nodes that decides in one of the configurations shares a node with every set that decides in the other.
fn always_meet(a: &Membership, b: &Membership) -> bool {
    (0..1_u64 << ID_MAX).all(|set| {
        let is_in = |id: NodeId| set >> (id.get() - 1) & 1 == 1;
        !(quorum_agrees(a, is_in) && quorum_agrees(b, |id| !is_in(id)))
    })
}

/// All ways to give `ID_MAX` nodes a role, at least one of them the voter's.
fn all_configs(ids: u64) -> Vec<Membership> {
    let mut all = Vec::new();
    for case in 0..3_u64.pow(ids as u32) {
        let role = |n: u64| case / 3_u64.pow(n as u32 - 1) % 3;
        let with_role = |wanted| (1..=ids).filter(|&n| role(n) == wanted).collect::<Vec<_>>();
        if !with_role(1).is_empty() {
            all.push(simple(&with_role(1), &with_role(2)));
        }
    }
    all
}

#[test]
fn between_any_two_configurations_of_four_nodes_no_disjoint_majorities_ever_decide() {
    let all = all_configs(4);
    for current in &all {
        for target in &all {
            let entry = enter(current, target).unwrap();

            assert!(always_meet(current, &entry), "{current:?} to {entry:?}");
            let end = if entry.is_joint() { leave_joint(&entry) } else { entry.clone() };
            assert!(always_meet(&entry, &end), "{entry:?} to {end:?}");
            assert_eq!(&end, target);
        }
    }
}

fn any_change() -> impl Strategy<Value = MembershipChange> {
    let any_id = || 1..=ID_MAX;
    let any_ids = || vec(any_id(), 0..4);
    prop_oneof![
        any_id().prop_map(add_learner),
        any_id().prop_map(promote),
        any_id().prop_map(demote),
        any_id().prop_map(remove),
        (any_id(), any_id()).prop_map(|(old, new)| replace(old, new)),
        (any_ids(), any_ids()).prop_map(|(voters, learners)| set(&voters, &learners)),
        (any_id(), 1..4_u16).prop_map(|(n, port)| MembershipChange::Readdress {
            id: id(n),
            address: format!("host-{n}:{port}"),
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_one_after_the_other_majorities_meet_and_nothing_is_lost(
        changes in vec(any_change(), 1..20),
    ) {
        let mut current = simple(&[1, 2, 3], &[]);
        for change in changes {
            let Ok(target) = target(&current, &change) else { continue };
            prop_assert!(super::target(&target, &change).is_err(), "asked again, it would change again: {:?}", change);
            let Ok(entry) = enter(&current, &target) else { continue };

            prop_assert!(always_meet(&current, &entry));
            prop_assert!(!entry.is_joint() || always_meet(&entry, &leave_joint(&entry)));
            prop_assert_eq!(entry.is_joint(), current.voters() != target.voters());
            for (id, member) in target.members() {
                let known = current.member(id).and_then(|member| member.incarnation);
                prop_assert_eq!(member.incarnation, known);
                prop_assert!(entry.contains(id), "a member of the target is not reached on the way there");
            }
            current = target;
        }
    }
}
