//! A replica as it looks from outside, at one moment.

use std::sync::Arc;

use crate::consensus::{ProgressState, RoleName};
use crate::types::{LogIndex, Membership, NodeId, Term};

/// Where one replica stands.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaStatus {
    /// Its node.
    pub(crate) id: NodeId,
    /// What it is.
    pub(crate) role: RoleName,
    /// The latest term it has seen.
    pub(crate) term: Term,
    /// Who leads in that term, if known.
    pub(crate) leader: Option<NodeId>,
    /// The last entry known to be committed.
    pub(crate) commit: LogIndex,
    /// The last entry that the state machine reported.
    pub(crate) applied: LogIndex,
    /// The first entry of the log.
    pub(crate) first_index: LogIndex,
    /// The last entry of the log.
    pub(crate) last_index: LogIndex,
    /// The last entry in its newest durable snapshot; zero if it has none.
    pub(crate) snapshot: LogIndex,
    /// Whether it belonged to the group once and, by a committed configuration, does not any more.
    pub(crate) removed: bool,
    /// Whether the log has no room.
    pub(crate) disk_full: bool,
    /// To whom this leader is handing over.
    pub(crate) transferring_to: Option<NodeId>,
    /// Who belongs to the group.
    pub(crate) membership: Arc<Membership>,
    /// Up to this entry it does.
    pub(crate) membership_index: LogIndex,
    /// The other members, in the order of their ids.
    pub(crate) peers: Vec<PeerStatus>,
}

/// Another member, as this replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerStatus {
    /// Who it is.
    pub(crate) id: NodeId,
    /// Whether a connection with it stands.
    pub(crate) connected: bool,
    /// Up to where its log is known to equal the leader's; only a leader knows.
    pub(crate) matched: Option<LogIndex>,
    /// How the leader sends to it; only a leader knows.
    pub(crate) state: Option<ProgressState>,
    /// How many bytes of the log it is not known to hold; only a leader knows.
    pub(crate) lag_bytes: Option<u64>,
    /// How many bytes of a snapshot it was sent, while it is being sent one; else zero.
    pub(crate) snapshot_sent_bytes: u64,
    /// How long that snapshot is; else zero.
    pub(crate) snapshot_bytes: u64,
}
