//! Configurations as entries of the log: in force from the moment they are appended, committed or not (§6).

use std::sync::Arc;

use super::Raft;
use crate::consensus::ProposeRefused;
use crate::consensus::role::Role;
use crate::types::{ChangeRefused, EntryKind, LogIndex, LogPosition, Membership, MembershipChange};

impl Raft {
    /// Begins a change: the entry that is appended now, or the one that leaves the joint configuration which that enters,
    /// completes it. With `expected`, only if the configuration in force is that of this entry.
    pub fn change_membership(
        &mut self,
        change: &MembershipChange,
        expected: Option<LogIndex>,
    ) -> Result<LogPosition, ChangeRefused> {
        let _ = (change, expected);
        unimplemented!("contract")
    }

    /// The entry of the configuration in force: of the latest one in the log, committed or not (§6).
    pub fn membership_index(&self) -> LogIndex {
        self.log.membership_index()
    }

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
