//! Snapshots as consensus sees them: when the log may be shortened, what a follower that lags too far is offered, and what
//! happens to a log when a snapshot takes its place (§7). The content is the host's.

use std::sync::Arc;

use super::Raft;
use crate::consensus::Fate;
use crate::types::{LogIndex, LogPosition, Membership, NodeId, SnapshotMeta};

impl Raft {
    /// The host made a snapshot of its own state machine durable: from now on it may be offered to followers, and the log
    /// be compacted up to it.
    pub fn snapshot_saved(&mut self, snapshot: SnapshotMeta) {
        let _ = snapshot;
        unimplemented!("contract")
    }

    /// The newest durable snapshot.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        unimplemented!("contract")
    }

    /// Up to where the log may be dropped so that `trailing` entries before the newest snapshot stay for slow followers,
    /// and everything that a follower needs next who receives a snapshot now. `None` if there is nothing to drop.
    pub fn compactable(&self, trailing: u64) -> Option<LogIndex> {
        let _ = trailing;
        unimplemented!("contract")
    }

    /// Drops the log up to and including `through`, which [`Raft::compactable`] allowed. The host releases its own log up
    /// to the position that comes back, at which that configuration was in force.
    pub fn compact(&mut self, through: LogIndex) -> (LogPosition, Arc<Membership>) {
        let _ = through;
        unimplemented!("contract")
    }

    /// The configuration in force at `index`: that of the last membership at or before it. `None` before the log's start.
    pub fn membership_at(&self, index: LogIndex) -> Option<Arc<Membership>> {
        self.log.membership_at(index).cloned()
    }

    /// A snapshot that was asked for by [`Ready::receive`](crate::consensus::Ready::receive) is durable here. Judged again, since time has
    /// passed: if it is still needed, the next [`Ready`](crate::consensus::Ready) restarts the log behind it. Whether it is.
    pub fn snapshot_received(&mut self, snapshot: &SnapshotMeta) -> bool {
        let _ = snapshot;
        unimplemented!("contract")
    }

    /// A follower that is being sent a snapshot makes no progress: the log is not kept for it any longer. It is offered
    /// the newest snapshot again when it answers.
    pub fn snapshot_stalled(&mut self, peer: NodeId) {
        let _ = peer;
        unimplemented!("contract")
    }

    /// What has become of the entry that was proposed at `position`.
    pub fn fate(&self, position: LogPosition) -> Fate {
        let _ = position;
        unimplemented!("contract")
    }
}
