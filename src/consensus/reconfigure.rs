//! The algebra of membership changes (§6): pure functions from configurations to configurations.
//!
//! A change is a *target*: the configuration that its caller wants. If the voters stay the same, one entry gets there.
//! Otherwise the way leads through a joint configuration, in which every decision needs a majority of the old voters and
//! one of the new: whatever entry a leader is chosen by, no two disjoint majorities ever decide (thesis §4.3). One
//! rule serves all changes of voters, also those of a single one: there is no second rule to get wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{ChangeRefused, Member, Membership, MembershipChange, MembershipError, NodeId};

/// The configuration that `change` asks for. `current` is not joint.
pub(super) fn target(current: &Membership, change: &MembershipChange) -> Result<Membership, ChangeRefused> {
    assert!(!current.is_joint(), "one change at a time");
    let mut draft = Draft::of(current);
    match change {
        MembershipChange::AddLearner { id, address } => {
            draft.refuse_member(*id)?;
            draft.put(*id, address, Role::Learner);
        }
        MembershipChange::Promote { id } => draft.change_role(*id, Role::Learner, Role::Voter)?,
        MembershipChange::Demote { id } => draft.change_role(*id, Role::Voter, Role::Learner)?,
        MembershipChange::Remove { id } => drop(draft.take_out(*id)?),
        MembershipChange::Replace { old, new, address } => draft.replace(*old, *new, address)?,
        MembershipChange::Readdress { id, address } => {
            let role = draft.role(*id)?;
            draft.put(*id, address, role);
        }
        MembershipChange::Set { voters, learners } => draft.set(voters, learners)?,
    }
    let target = draft.finish()?;
    if target == *current { Err(ChangeRefused::NoChange) } else { Ok(target) }
}

/// The entry that begins the way from `current` to `target`: the target itself if the same nodes vote in both, else the
/// joint configuration of the two. Outgoing voters that will learn are neither learners yet nor gone: until they
/// leave the old half they vote in it.
pub(super) fn enter(current: &Membership, target: &Membership) -> Result<Membership, MembershipError> {
    if current.voters() == target.voters() {
        return Ok(target.clone());
    }
    let outgoing = current.voters();
    let (learners_next, learners) =
        target.learners().iter().partition::<Vec<NodeId>, _>(|id| outgoing.contains(id));
    let mut members: BTreeMap<_, _> = target.members().map(|(id, member)| (id, member.clone())).collect();
    for &id in outgoing {
        let known = current.member(id).expect("a voter is a member");
        members.entry(id).or_insert_with(|| known.clone());
    }
    Membership::new(target.voters().to_vec(), outgoing.to_vec(), learners, members)?
        .with_learners_next(learners_next)
}

/// `current` with everybody as a learner besides whom `target` makes a voter and who is no member yet; `None` if all are.
pub(super) fn prepare(
    current: &Membership,
    target: &Membership,
) -> Result<Option<Membership>, MembershipError> {
    let mut draft = Draft::of(current);
    let strangers: Vec<NodeId> =
        target.voters().iter().copied().filter(|&id| !current.contains(id)).collect();
    for &id in &strangers {
        let member = target.member(id).expect("a voter is a member");
        draft.put(id, &member.address, Role::Learner);
    }
    if strangers.is_empty() { Ok(None) } else { draft.finish().map(Some) }
}

/// The configuration that a joint one leads to: the old half is gone, and with it whoever has no role in the new one.
pub(super) fn leave_joint(joint: &Membership) -> Membership {
    let voters = joint.voters().to_vec();
    let learners: BTreeSet<_> = joint.learners().iter().chain(joint.learners_next()).copied().collect();
    let stays = |id: &NodeId| voters.contains(id) || learners.contains(id);
    let members =
        joint.members().filter(|(id, _)| stays(id)).map(|(id, member)| (id, member.clone())).collect();
    Membership::new(voters, Vec::new(), learners.into_iter().collect(), members)
        .expect("half of a good joint configuration is a good configuration")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Voter,
    Learner,
}

/// A configuration in the making.
struct Draft {
    members: BTreeMap<NodeId, (Role, Member)>,
}

impl Draft {
    fn of(current: &Membership) -> Self {
        let role = |id| if current.is_voter(id) { Role::Voter } else { Role::Learner };
        let members = current.members().map(|(id, member)| (id, (role(id), member.clone()))).collect();
        Self { members }
    }

    fn finish(self) -> Result<Membership, MembershipError> {
        let ids =
            |role| self.members.iter().filter(move |(_, known)| known.0 == role).map(|(&id, _)| id).collect();
        let (voters, learners) = (ids(Role::Voter), ids(Role::Learner));
        let members = self.members.into_iter().map(|(id, (_, member))| (id, member)).collect();
        Membership::new(voters, Vec::new(), learners, members)
    }

    fn role(&self, id: NodeId) -> Result<Role, ChangeRefused> {
        self.members.get(&id).map(|known| known.0).ok_or(ChangeRefused::UnknownNode(id))
    }

    fn refuse_member(&self, id: NodeId) -> Result<(), ChangeRefused> {
        if self.members.contains_key(&id) { Err(ChangeRefused::AlreadyMember(id)) } else { Ok(()) }
    }

    /// A member that stays keeps its data directory; one that comes, or comes back, has to show it.
    fn put(&mut self, id: NodeId, address: &str, role: Role) {
        let incarnation = self.members.get(&id).and_then(|(_, member)| member.incarnation);
        self.members.insert(id, (role, Member { address: address.to_owned(), incarnation }));
    }

    fn take_out(&mut self, id: NodeId) -> Result<Role, ChangeRefused> {
        self.members.remove(&id).map(|known| known.0).ok_or(ChangeRefused::UnknownNode(id))
    }

    fn change_role(&mut self, id: NodeId, from: Role, to: Role) -> Result<(), ChangeRefused> {
        let (role, _) = self.members.get_mut(&id).ok_or(ChangeRefused::UnknownNode(id))?;
        if *role != from {
            return Err(match from {
                Role::Learner => ChangeRefused::NotALearner(id),
                Role::Voter => ChangeRefused::NotAVoter(id),
            });
        }
        *role = to;
        Ok(())
    }

    /// A learner may take a voter's place; any other member has a place of its own.
    fn replace(&mut self, old: NodeId, new: NodeId, address: &str) -> Result<(), ChangeRefused> {
        let vacant = self.role(old)?;
        let rises = vacant == Role::Voter && self.role(new) == Ok(Role::Learner);
        if !rises {
            self.refuse_member(new)?;
        }
        self.take_out(old)?;
        self.put(new, address, vacant);
        Ok(())
    }

    fn set(
        &mut self,
        voters: &BTreeMap<NodeId, String>,
        learners: &BTreeMap<NodeId, String>,
    ) -> Result<(), ChangeRefused> {
        if let Some(&both) = voters.keys().find(|id| learners.contains_key(id)) {
            return Err(MembershipError::VoterAndLearner(both).into());
        }
        self.members.retain(|id, _| voters.contains_key(id) || learners.contains_key(id));
        for (&id, address) in voters {
            self.put(id, address, Role::Voter);
        }
        for (&id, address) in learners {
            self.put(id, address, Role::Learner);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "reconfigure_tests.rs"]
mod tests;
