//! One arithmetic for commit, votes, reads and check-quorum.
//!
//! A quorum holds the highest value that a majority of the voters have reached. For indexes that is what is committed,
//! for rounds what is confirmed, for booleans whether most agree. While the configuration is joint, both halves must
//! have got there: the lower of two majorities (§6). Learners are in neither list, so they never count.

use crate::planted::{Bug, planted};
use crate::types::{LogIndex, Membership, NodeId};

/// The highest index that a quorum has reached.
pub(super) fn quorum_index(membership: &Membership, index_of: impl FnMut(NodeId) -> LogIndex) -> LogIndex {
    quorum_value(membership, index_of)
}

/// Whether a quorum agrees.
pub(super) fn quorum_agrees(membership: &Membership, agrees: impl FnMut(NodeId) -> bool) -> bool {
    quorum_value(membership, agrees)
}

/// The highest value that a quorum has reached.
pub(super) fn quorum_value<T: Copy + Ord + Default>(
    membership: &Membership,
    mut value_of: impl FnMut(NodeId) -> T,
) -> T {
    if planted(Bug::CountsLearners) {
        return majority_reached(&[membership.voters(), membership.learners()].concat(), &mut value_of);
    }
    let incoming = majority_reached(membership.voters(), &mut value_of);
    if !membership.is_joint() || planted(Bug::CountsOneHalf) {
        return incoming;
    }
    incoming.min(majority_reached(membership.outgoing(), &mut value_of))
}

/// How many voters agree and how many would have to, in a half where they are too few; `None` if a quorum agrees.
pub(super) fn lacking(membership: &Membership, mut agrees: impl FnMut(NodeId) -> bool) -> Option<(u64, u64)> {
    [membership.voters(), membership.outgoing()].into_iter().filter(|half| !half.is_empty()).find_map(
        |half| {
            let agree = half.iter().filter(|&&voter| agrees(voter)).count() as u64;
            let needed = half.len() as u64 / 2 + 1;
            (agree < needed).then_some((agree, needed))
        },
    )
}

/// Sorted from the highest, the value in the middle: `n / 2 + 1` voters are at least there. Nobody agrees to nothing.
fn majority_reached<T: Copy + Ord + Default>(voters: &[NodeId], value_of: &mut impl FnMut(NodeId) -> T) -> T {
    let mut values = [T::default(); Membership::MEMBERS_MAX];
    let values = &mut values[..voters.len()];
    for (value, &voter) in values.iter_mut().zip(voters) {
        *value = value_of(voter);
    }
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(voters.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::Member;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn membership(voters: &[u64], outgoing: &[u64], learners: &[u64]) -> Membership {
        let ids = |list: &[u64]| list.iter().copied().map(id).collect::<Vec<_>>();
        let member = |&n: &u64| (id(n), Member { address: format!("host-{n}:7000"), incarnation: None });
        let members: BTreeMap<_, _> = voters.iter().chain(outgoing).chain(learners).map(member).collect();
        Membership::new(ids(voters), ids(outgoing), ids(learners), members).unwrap()
    }

    /// The definition, word for word: the highest value that more than half of the voters have reached.
    fn oracle(voters: &[u64], index_of: &[u64]) -> u64 {
        (0..=9)
            .rev()
            .find(|&value| {
                let there = voters.iter().filter(|&&voter| index_of[voter as usize] >= value).count();
                2 * there > voters.len()
            })
            .expect("everyone reached zero")
    }

    /// Calls `check` with every way to give `count` nodes an index of 0..=2, node `n`'s at `[n]`.
    fn for_all_indexes(count: usize, mut check: impl FnMut(&[u64])) {
        let mut indexes = vec![0; count + 1];
        for mut case in 0..3_usize.pow(count as u32) {
            for index in &mut indexes[1..] {
                *index = (case % 3) as u64;
                case /= 3;
            }
            check(&indexes);
        }
    }

    #[test]
    fn one_to_nine_voters_agree_with_the_definition_for_all_indexes() {
        for count in 1..=9 {
            let voters: Vec<u64> = (1..=count).collect();
            let membership = membership(&voters, &[], &[]);
            for_all_indexes(count as usize, |indexes| {
                let reached = quorum_index(&membership, |node| LogIndex(indexes[node.get() as usize]));
                assert_eq!(reached.0, oracle(&voters, indexes), "{indexes:?}");
            });
        }
    }

    #[test]
    fn a_joint_quorum_is_the_lower_of_both_majorities() {
        for (voters, outgoing) in [
            (vec![1, 2, 3], vec![1, 2, 4]),
            (vec![1, 2, 3], vec![4, 5, 6]),
            (vec![1], vec![2, 3, 4, 5]),
            (vec![1, 2, 3, 4], vec![3]),
        ] {
            let joint = membership(&voters, &outgoing, &[]);
            for_all_indexes(6, |indexes| {
                let reached = quorum_index(&joint, |node| LogIndex(indexes[node.get() as usize]));
                assert_eq!(reached.0, oracle(&voters, indexes).min(oracle(&outgoing, indexes)));
            });
        }
    }

    #[test]
    fn an_even_number_of_voters_needs_one_more_than_half() {
        for (count, needed) in [(2, 2), (4, 3), (6, 4)] {
            let membership = membership(&(1..=count).collect::<Vec<_>>(), &[], &[]);
            assert!(quorum_agrees(&membership, |node| node.get() <= needed));
            assert!(!quorum_agrees(&membership, |node| node.get() < needed));
        }
    }

    #[test]
    fn learners_never_count() {
        let membership = membership(&[1, 2, 3], &[], &[4, 5]);

        assert!(!quorum_agrees(&membership, |node| [1, 4, 5].contains(&node.get())));
        assert!(quorum_agrees(&membership, |node| [1, 2].contains(&node.get())));
    }
}
