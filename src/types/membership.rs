//! Who belongs to a group, who of them votes, and where they are reached.

use std::collections::BTreeMap;

use super::{Incarnation, NodeId};

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Where the others reach it: `host:port`.
    pub address: String,
    /// Its data directory, once a leader has learnt it. A node that shows another one is refused.
    pub incarnation: Option<Incarnation>,
}

/// A configuration of a group (§6). While `outgoing` is not empty it is joint: every decision needs a majority of both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    voters: Vec<NodeId>,
    outgoing: Vec<NodeId>,
    learners: Vec<NodeId>,
    /// Of `outgoing`: those who will learn, and not leave, when the joint configuration is left.
    learners_next: Vec<NodeId>,
    members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// How many members a group may have.
    pub const MEMBERS_MAX: usize = 64;
    /// How long an address may be, in bytes.
    pub const ADDRESS_BYTES_MAX: usize = 256;

    /// The first configuration of a group: all of them vote. Refuses empty lists, doubles, and addresses that cannot be dialled.
    pub fn founding(members: impl IntoIterator<Item = (NodeId, String)>) -> Result<Self, MembershipError> {
        let mut known = BTreeMap::new();
        for (id, address) in members {
            if known.insert(id, Member { address, incarnation: None }).is_some() {
                return Err(MembershipError::Duplicate(id));
            }
        }
        Self::new(known.keys().copied().collect(), Vec::new(), Vec::new(), known)
    }

    /// The only way in for configurations from the disk or the wire: judges every rule that does not need history.
    pub fn new(
        voters: Vec<NodeId>,
        outgoing: Vec<NodeId>,
        learners: Vec<NodeId>,
        members: BTreeMap<NodeId, Member>,
    ) -> Result<Self, MembershipError> {
        if voters.is_empty() {
            return Err(MembershipError::NoVoters);
        }
        if members.len() > Self::MEMBERS_MAX {
            return Err(MembershipError::TooMany(members.len()));
        }
        for list in [&voters, &outgoing, &learners] {
            if let Some(pair) = list.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(MembershipError::Duplicate(pair[1]));
            }
            if let Some(&stranger) = list.iter().find(|id| !members.contains_key(id)) {
                return Err(MembershipError::NoAddress(stranger));
            }
        }
        let votes = |id: &NodeId| voters.contains(id) || outgoing.contains(id);
        if let Some(&both) = learners.iter().find(|id| votes(id)) {
            return Err(MembershipError::VoterAndLearner(both));
        }
        for (&id, member) in &members {
            if !votes(&id) && !learners.contains(&id) {
                return Err(MembershipError::NoRole(id));
            }
            if !Self::is_address(&member.address) {
                return Err(MembershipError::BadAddress { id, address: member.address.clone() });
            }
        }
        let mut addresses: Vec<_> = members.values().map(|member| &member.address).collect();
        addresses.sort_unstable();
        if let Some(pair) = addresses.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(MembershipError::SharedAddress(pair[0].clone()));
        }
        Ok(Self { voters, outgoing, learners, learners_next: Vec::new(), members })
    }

    /// The configuration of a node that waits to be added to a group: it knows nobody, not even itself.
    pub fn nobody() -> Self {
        let (voters, outgoing, learners, learners_next) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { voters, outgoing, learners, learners_next, members: BTreeMap::new() }
    }

    /// The same joint configuration, of whose outgoing voters these become learners when it is left. Refuses those who
    /// vote on, and those who do not vote now.
    pub fn with_learners_next(mut self, learners_next: Vec<NodeId>) -> Result<Self, MembershipError> {
        if let Some(pair) = learners_next.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(MembershipError::Duplicate(pair[1]));
        }
        if let Some(&both) = learners_next.iter().find(|id| self.voters.contains(id)) {
            return Err(MembershipError::VoterAndLearner(both));
        }
        if let Some(&stranger) = learners_next.iter().find(|id| !self.outgoing.contains(id)) {
            return Err(MembershipError::NoRole(stranger));
        }
        self.learners_next = learners_next;
        Ok(self)
    }

    /// The same configuration, with the data directories that a leader has learnt since.
    #[must_use]
    pub fn with_incarnations(mut self, learnt: impl IntoIterator<Item = (NodeId, Incarnation)>) -> Self {
        for (id, incarnation) in learnt {
            if let Some(member) = self.members.get_mut(&id) {
                member.incarnation.get_or_insert(incarnation);
            }
        }
        self
    }

    /// Whether the same nodes have the same roles at the same addresses in both.
    pub fn differs_only_in_directories(&self, other: &Self) -> bool {
        fn addresses(membership: &Membership) -> impl Iterator<Item = (NodeId, &str)> {
            membership.members().map(|(id, member)| (id, member.address.as_str()))
        }
        self.voters == other.voters
            && self.outgoing == other.outgoing
            && self.learners == other.learners
            && self.learners_next == other.learners_next
            && addresses(self).eq(addresses(other))
    }

    /// The voters, sorted; never empty.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// The voters of the configuration that a joint one leaves, sorted; empty when not joint.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Those who receive the log and do not vote, sorted.
    pub fn learners(&self) -> &[NodeId] {
        &self.learners
    }

    /// The outgoing voters who will learn once the joint configuration is left, sorted.
    pub fn learners_next(&self) -> &[NodeId] {
        &self.learners_next
    }

    /// Whether decisions need two majorities now.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` votes, in either half.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.binary_search(&id).is_ok() || self.outgoing.binary_search(&id).is_ok()
    }

    /// Whether `id` belongs to the group in any role.
    pub fn contains(&self, id: NodeId) -> bool {
        self.members.contains_key(&id)
    }

    /// What is known of `id`.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// All members in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(&id, member)| (id, member))
    }

    /// All members but `me`, in the order of their ids.
    pub fn peers_of(&self, me: NodeId) -> impl Iterator<Item = NodeId> {
        self.members.keys().copied().filter(move |&id| id != me)
    }

    /// Roughly what the configuration takes on disk and wire, in bytes.
    pub fn approximate_bytes(&self) -> u32 {
        self.members.values().map(|member| 64 + member.address.len() as u32).sum()
    }

    /// `host:port` with a port of 1 to 65535; an IPv6 host stands in brackets.
    pub(crate) fn is_address(address: &str) -> bool {
        let Some((host, port)) = address.rsplit_once(':') else { return false };
        let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
        let host_is_good = !host.is_empty() && (bracketed || !host.contains([':', '[', ']', ' ']));
        let port_is_good = port.parse::<u16>().is_ok_and(|port| port != 0);
        host_is_good && port_is_good && address.len() <= Self::ADDRESS_BYTES_MAX
    }
}

/// Why a list of members is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody could ever be elected.
    #[error("the membership has no voters: name at least one node")]
    NoVoters,
    /// One id stands twice.
    #[error("node {0} is listed twice: every node needs an id of its own")]
    Duplicate(NodeId),
    /// One address stands twice.
    #[error("the address {0} is listed twice: every node needs an address of its own")]
    SharedAddress(String),
    /// A member is a voter and a learner at once.
    #[error("node {0} is both voter and learner: list it once")]
    VoterAndLearner(NodeId),
    /// A member without a role.
    #[error("node {0} has an address but no role")]
    NoRole(NodeId),
    /// A role without an address.
    #[error("node {0} has a role but no address")]
    NoAddress(NodeId),
    /// An address that nobody could dial.
    #[error(
        "node {id} has the address {address:?}: expected host:port with a port of 1 to 65535, at most 256 bytes"
    )]
    BadAddress {
        /// Whose address it is.
        id: NodeId,
        /// What stands in the list.
        address: String,
    },
    /// More members than a group may have.
    #[error("{0} members are more than the 64 a group may have")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    fn found(list: &[(u64, &str)]) -> Result<Membership, MembershipError> {
        Membership::founding(list.iter().map(|&(node, address)| (id(node), address.to_owned())))
    }

    #[test]
    fn founding_members_are_sorted_and_all_vote() {
        let membership = found(&[(3, "c:3"), (1, "a:1"), (2, "[::1]:2")]).unwrap();

        assert_eq!(membership.voters(), [id(1), id(2), id(3)]);
        assert!(!membership.is_joint());
    }

    #[test]
    fn lists_that_nobody_could_mean_are_refused_by_name() {
        assert_eq!(found(&[]), Err(MembershipError::NoVoters));
        assert_eq!(found(&[(1, "a:1"), (1, "b:1")]), Err(MembershipError::Duplicate(id(1))));
        assert_eq!(found(&[(1, "a:1"), (2, "a:1")]), Err(MembershipError::SharedAddress("a:1".into())));
        for address in ["", "a", "a:0", "a:70000", ":1", "::1:1", "[]:1", "a b:1"] {
            assert!(matches!(found(&[(1, address)]), Err(MembershipError::BadAddress { .. })), "{address:?}");
        }
    }

    #[test]
    fn a_learnt_incarnation_is_never_overwritten() {
        let first = found(&[(1, "a:1")]).unwrap().with_incarnations([(id(1), Incarnation(7))]);
        let second = first.clone().with_incarnations([(id(1), Incarnation(8))]);

        assert_eq!(second, first);
    }
}
