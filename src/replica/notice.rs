//! What observers are told: facts of a turn that somebody outside may care about.

use std::sync::Arc;

use crate::consensus::RoleName;
use crate::types::{LogIndex, LogPosition, Membership, NodeId, Term};

/// Something that became so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// This replica has another role, or has it in another term.
    RoleChanged {
        /// What it is now.
        role: RoleName,
        /// Since which term.
        term: Term,
    },
    /// Another node leads, or none is known to.
    LeaderChanged {
        /// Who.
        leader: Option<NodeId>,
        /// In which term.
        term: Term,
    },
    /// A configuration is committed.
    MembershipChanged {
        /// Its entry.
        position: LogIndex,
        /// Who belongs to the group from then on.
        membership: Arc<Membership>,
    },
    /// A snapshot of this replica's own state machine is durable.
    SnapshotSaved {
        /// The last entry in it.
        position: LogPosition,
        /// How long its file is.
        bytes: u64,
    },
    /// A snapshot could not be taken; it is tried again.
    SnapshotFailed {
        /// What went wrong.
        reason: String,
    },
    /// A snapshot of another node took the place of this replica's log and state.
    SnapshotInstalled {
        /// The last entry in it.
        position: LogPosition,
    },
    /// The log was dropped up to here.
    Compacted {
        /// The last entry that went.
        through: LogIndex,
    },
    /// A connection with this node stands.
    PeerConnected {
        /// Who.
        peer: NodeId,
    },
    /// It is gone.
    PeerLost {
        /// Who.
        peer: NodeId,
    },
    /// The log has no room any more, or has room again.
    DiskFull {
        /// Which of the two.
        full: bool,
    },
    /// This node does not belong to the group any more.
    Removed,
}
