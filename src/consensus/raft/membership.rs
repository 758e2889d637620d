//! Configurations as entries of the log: in force from the moment they are appended, committed or not (§6).

use std::sync::Arc;

use super::Raft;
use crate::consensus::ProposeRefused;
use crate::consensus::role::Role;
use crate::types::{EntryKind, LogPosition, Membership};

impl Raft {
    /// Appends a configuration with the same members in the same roles: what may change are addresses and data
    /// directories. One at a time, and not before an entry of the own term is committed, since until then a leader may
    /// build on a configuration that is about to be overwritten.
    pub fn propose_membership(&mut self, membership: Membership) -> Result<LogPosition, ProposeRefused> {
        if !matches!(self.role, Role::Leader(_)) {
            return Err(ProposeRefused::NotLeader { leader: self.leader() });
        }
        if !self.has_committed_in_term() {
            return Err(ProposeRefused::NothingCommittedInTerm);
        }
        let at = self.log.membership_index();
        if at > self.commit {
            return Err(ProposeRefused::MembershipUncommitted { at });
        }
        if !have_same_roles(self.log.membership(), &membership) {
            return Err(ProposeRefused::DifferentMembers);
        }
        let bytes = membership.approximate_bytes();
        let kind = EntryKind::Membership(Arc::new(membership));
        let position = self.log.push(self.hard_state.term, bytes, &kind);
        self.assert_invariants();
        Ok(position)
    }
}

fn have_same_roles(old: &Membership, new: &Membership) -> bool {
    old.voters() == new.voters() && old.outgoing() == new.outgoing() && old.learners() == new.learners()
}
