//! The votes a candidate has: each voter's once.
//!
//! Only grants are kept. A candidate that was refused waits for its timer like anyone else, so a refusal that is
//! late, repeated or made up can do nothing.

use super::quorum::quorum_agrees;
use crate::types::{Membership, NodeId};

/// Who said yes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Votes {
    granted: Vec<NodeId>,
}

impl Votes {
    /// Counts `voter` once, however often it says so.
    pub(super) fn grant(&mut self, voter: NodeId) {
        if !self.granted.contains(&voter) {
            self.granted.push(voter);
        }
    }

    /// Whether a quorum of `membership` said yes.
    pub(super) fn won(&self, membership: &Membership) -> bool {
        quorum_agrees(membership, |voter| self.granted.contains(&voter))
    }
}
