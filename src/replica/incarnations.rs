//! Which data directory each member has shown, and what the group must remember of it.
//!
//! A node that lost its disk lost its promises. The leader therefore has the group commit each member's incarnation as soon
//! as it is known; from then on a member that shows another one is not heard. Only if that directory is one that joined, it is heard as a
//! leader: then it was added again, by a membership that has not come here yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::types::{Incarnation, LogIndex, Membership, NodeId};

/// What the members showed.
#[derive(Debug)]
pub(super) struct Incarnations {
    me: NodeId,
    shown: BTreeMap<NodeId, Incarnation>,
    connected: BTreeSet<NodeId>,
    /// Those who contradict the membership: rarely anybody.
    contradicting: Vec<NodeId>,
    /// The last membership that this replica proposed; no other one before it is committed.
    proposed: LogIndex,
}

impl Incarnations {
    /// This node knows its own.
    pub(super) fn new(me: NodeId, incarnation: Incarnation) -> Self {
        Self {
            me,
            shown: BTreeMap::from([(me, incarnation)]),
            connected: BTreeSet::new(),
            contradicting: Vec::new(),
            proposed: LogIndex::ZERO,
        }
    }

    /// A connection with `peer` stands, and it showed `incarnation`. Whether it showed another one before.
    pub(super) fn connected(
        &mut self,
        peer: NodeId,
        incarnation: Incarnation,
        membership: &Membership,
    ) -> bool {
        self.connected.insert(peer);
        let before = self.shown.insert(peer, incarnation);
        self.judge(membership);
        before.is_some_and(|before| before != incarnation)
    }

    /// The connection with `peer` is gone. Of strangers nothing is kept.
    pub(super) fn lost(&mut self, peer: NodeId, membership: &Membership) {
        self.connected.remove(&peer);
        if !membership.contains(peer) {
            self.shown.remove(&peer);
        }
    }

    /// Whether a connection with `peer` stands.
    pub(super) fn is_connected(&self, peer: NodeId) -> bool {
        self.connected.contains(&peer)
    }

    fn is_here(&self, id: NodeId) -> bool {
        id == self.me || self.is_connected(id)
    }

    /// `membership` is in force: who contradicts it?
    pub(super) fn judge(&mut self, membership: &Membership) {
        let contradicts = |(id, shown): (&NodeId, &Incarnation)| {
            let agreed = membership.member(*id).and_then(|member| member.incarnation);
            agreed.is_some_and(|agreed| agreed != *shown).then_some(*id)
        };
        self.contradicting = self.shown.iter().filter_map(contradicts).collect();
    }

    /// Whether `peer` came back with another data directory than the group knows: nothing it says counts.
    pub(super) fn contradicts(&self, peer: NodeId) -> bool {
        self.contradicting.contains(&peer)
    }

    /// Whether `peer`, which contradicts, may all the same be a rightful leader. A directory that joined leads only where
    /// a membership names it, so that one is newer than ours. Founders need no such thing: where a majority of the
    /// founding list lost its disks, be it few in the group of now, they elect each other and know of nothing else.
    pub(super) fn may_lead(&self, peer: NodeId) -> bool {
        self.shown.get(&peer).is_some_and(|shown| shown.has_joined())
    }

    /// The membership with what it lacks, if anything, and if the one proposed before is committed.
    pub(super) fn to_propose(&self, membership: &Arc<Membership>, commit: LogIndex) -> Option<Membership> {
        // Only of who is here: a node that was removed may come back with another directory than it had before.
        let lacks = |id: &NodeId| {
            let member = membership.member(*id);
            self.is_here(*id) && member.is_some_and(|member| member.incarnation.is_none())
        };
        let learnt = || self.shown.iter().filter(|(id, _)| lacks(id));
        let due = self.proposed <= commit && learnt().next().is_some();
        due.then(|| {
            let learnt = learnt().map(|(&id, &incarnation)| (id, incarnation));
            Membership::clone(membership).with_incarnations(learnt)
        })
    }

    /// A membership was proposed at `index`.
    pub(super) fn proposed_at(&mut self, index: LogIndex) {
        self.proposed = index;
    }

    /// Another leader's entries took the place of those from `first` on.
    pub(super) fn replaced_from(&mut self, first: LogIndex) {
        if self.proposed >= first {
            self.proposed = LogIndex::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn three_members() -> Arc<Membership> {
        let members = [1, 2, 3].map(|number| (id(number), format!("localhost:{number}")));
        Arc::new(Membership::founding(members).unwrap())
    }

    #[test]
    fn what_was_shown_and_is_not_agreed_is_proposed_once() {
        let mut incarnations = Incarnations::new(id(1), Incarnation(11));
        let membership = three_members();
        incarnations.connected(id(2), Incarnation(22), &membership);
        incarnations.connected(id(9), Incarnation(99), &membership);

        let proposed = incarnations.to_propose(&membership, LogIndex(1)).expect("two are known");
        assert_eq!(proposed.member(id(2)).unwrap().incarnation, Some(Incarnation(22)));
        assert_eq!(proposed.member(id(3)).unwrap().incarnation, None);

        incarnations.proposed_at(LogIndex(2));
        assert_eq!(incarnations.to_propose(&membership, LogIndex(1)), None, "one at a time");
        assert_eq!(incarnations.to_propose(&Arc::new(proposed), LogIndex(2)), None, "nothing is new");
    }

    #[test]
    fn a_member_with_another_directory_than_agreed_contradicts() {
        let mut incarnations = Incarnations::new(id(1), Incarnation(11));
        let agreed = three_members().as_ref().clone().with_incarnations([(id(2), Incarnation(22))]);

        incarnations.connected(id(2), Incarnation(23), &agreed);
        assert!(incarnations.contradicts(id(2)));

        incarnations.connected(id(2), Incarnation(22), &agreed);
        assert!(!incarnations.contradicts(id(2)));
    }

    #[test]
    fn what_a_node_showed_before_it_left_is_not_proposed_when_it_is_added_again() {
        let mut incarnations = Incarnations::new(id(1), Incarnation(11));
        let membership =
            Arc::new(three_members().as_ref().clone().with_incarnations([(id(1), Incarnation(11))]));
        incarnations.connected(id(2), Incarnation(22), &membership);
        incarnations.lost(id(2), &membership);

        assert_eq!(incarnations.to_propose(&membership, LogIndex(1)), None, "it may have another one by now");

        incarnations.connected(id(2), Incarnation(23), &membership);
        let proposed = incarnations.to_propose(&membership, LogIndex(1)).expect("it is here");
        assert_eq!(proposed.member(id(2)).unwrap().incarnation, Some(Incarnation(23)));
    }
}
