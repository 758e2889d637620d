//! Snapshots as consensus sees them: when the log may be shortened, what a follower that lags too far is offered, and what
//! happens to a log when a snapshot takes its place (§7). The content is the host's.
//!
//! Every position that a snapshot covers is committed. So a follower that holds the very entry keeps its log and knows more
//! of what is committed; one that does not drops its whole log, since nothing in it was both committed and missing there.

use std::sync::Arc;

use super::Raft;
use super::replication::peer_of;
use crate::consensus::Fate;
use crate::consensus::progress::Progress;
use crate::consensus::role::Role;
use crate::planted::{Bug, planted};
use crate::types::{LogIndex, LogPosition, Membership, NodeId, SnapshotMeta};

/// No log gets there in good faith; beyond it indexes would run out of numbers.
const INDEX_MAX: LogIndex = LogIndex(u64::MAX / 2);

/// What an offered or received snapshot is to this replica's log.
enum Verdict {
    /// The log has all of it already.
    Held,
    /// The log lacks some of it, or contradicts it by what is not committed.
    Needed,
    /// It cannot be of this group's history.
    Impossible(&'static str),
}

impl Raft {
    /// The host made a snapshot of its own state machine durable: from now on it may be offered to followers, and the log
    /// be compacted up to it.
    pub fn snapshot_saved(&mut self, snapshot: SnapshotMeta) {
        let position = snapshot.position;
        let newest = self.snapshot.as_ref().map_or(self.log.starts_after().index, |held| held.position.index);
        if position.index < newest {
            return;
        }
        assert!(position.index <= self.handed_to_apply, "a snapshot holds more than was applied");
        assert!(self.log.contains(position), "a snapshot holds another entry than the log");
        if let Role::Leader(leader) = &mut self.role {
            leader.peers.values_mut().for_each(|peer| peer.snapshot_saved(position));
        }
        self.snapshot = Some(snapshot);
        self.assert_invariants();
    }

    /// The newest durable snapshot from which the log goes on.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// Up to where the log may be dropped so that `trailing` entries before the newest snapshot stay for slow followers,
    /// and everything that a follower needs next who receives a snapshot now. `None` if there is nothing to drop.
    pub fn compactable(&self, trailing: u64) -> Option<LogIndex> {
        let covered = self.snapshot.as_ref()?.position.index;
        let covered = if planted(Bug::CompactsBeyondSnapshot) { self.handed_to_apply } else { covered };
        let wished = LogIndex(covered.0.saturating_sub(trailing));
        let through = wished.min(self.droppable()).min(self.spared_by_peers());
        (through > self.log.starts_after().index).then_some(through)
    }

    /// Up to where nothing is lost that is not in the newest snapshot, or that this replica itself needs.
    fn droppable(&self) -> LogIndex {
        let covered = self.snapshot.as_ref().map_or(LogIndex::ZERO, |snapshot| snapshot.position.index);
        let covered = if planted(Bug::CompactsBeyondSnapshot) { self.handed_to_apply } else { covered };
        covered.min(self.handed_to_apply).min(self.commit).min(self.writes.stable())
    }

    fn spared_by_peers(&self) -> LogIndex {
        let Role::Leader(leader) = &self.role else {
            return INDEX_MAX;
        };
        let spares = |peer: &Progress| peer.spares(self.config.election_ticks);
        leader.peers.values().filter_map(spares).min().unwrap_or(INDEX_MAX)
    }

    /// Drops the log up to and including `through`, which [`Raft::compactable`] allowed. The host releases its own log up
    /// to the position that comes back, at which that configuration was in force.
    pub fn compact(&mut self, through: LogIndex) -> (LogPosition, Arc<Membership>) {
        if through > self.log.starts_after().index {
            assert!(through <= self.droppable(), "compacted what no durable snapshot covers");
            self.log.compact(through);
        }
        self.assert_invariants();
        let start = self.log.starts_after();
        let membership = self.log.membership_at(start.index).expect("the start of a log has a configuration");
        (start, Arc::clone(membership))
    }

    /// The configuration in force at `index`: that of the last membership at or before it. `None` before the log's start.
    pub fn membership_at(&self, index: LogIndex) -> Option<Arc<Membership>> {
        self.log.membership_at(index).cloned()
    }

    /// The leader says that its log does not reach back to where this one ends.
    pub(super) fn take_snapshot_offer(&mut self, leader: NodeId, snapshot: SnapshotMeta) {
        match self.judge(&snapshot) {
            Verdict::Needed => self.outbox.receive = Some((leader, snapshot)),
            Verdict::Held => {
                self.commit_through(snapshot.position.index);
                self.outbox.accept(leader, self.hard_state.term, self.verified());
            }
            Verdict::Impossible(reason) => {
                log::error!("node {leader} offers a snapshot at {}: {reason}: refused", snapshot.position);
            }
        }
    }

    /// A snapshot that was asked for by [`Ready::receive`](crate::consensus::Ready::receive) is durable here. Judged again, since time has
    /// passed: if it is still needed, the next [`Ready`](crate::consensus::Ready) restarts the log behind it. Whether it is.
    pub fn snapshot_received(&mut self, snapshot: &SnapshotMeta) -> bool {
        let is_needed = match self.judge(snapshot) {
            Verdict::Needed if matches!(self.role, Role::Leader(_)) => {
                log::error!(
                    "a snapshot at {} contradicts the log of a leader: not installed",
                    snapshot.position
                );
                false
            }
            Verdict::Needed => true,
            Verdict::Held => false,
            Verdict::Impossible(reason) => {
                log::error!("received a snapshot at {}: {reason}: not installed", snapshot.position);
                false
            }
        };
        if is_needed {
            self.restart_behind(snapshot);
        } else if matches!(self.role, Role::Follower(_)) && self.log.contains(snapshot.position) {
            self.commit_through(snapshot.position.index);
        }
        if let (Role::Follower(_), Some(leader)) = (&self.role, self.leader()) {
            self.outbox.accept(leader, self.hard_state.term, self.verified());
        }
        self.assert_invariants();
        is_needed
    }

    fn judge(&self, snapshot: &SnapshotMeta) -> Verdict {
        let position = snapshot.position;
        if position.term > self.term() {
            return Verdict::Impossible("its last term is beyond the sender's own");
        }
        if position.index > INDEX_MAX {
            return Verdict::Impossible("nobody reaches that index in good faith");
        }
        if snapshot.membership.voters().is_empty() {
            return Verdict::Impossible("it names no voters");
        }
        let held = self.log.term_at(position.index);
        if held == Some(position.term) {
            return Verdict::Held;
        }
        if position.index > self.verified() {
            return Verdict::Needed;
        }
        match held {
            Some(_) => Verdict::Impossible("it contradicts what is committed or the sender's own log"),
            None => Verdict::Held,
        }
    }

    /// A snapshot says that everything up to `index`, which the log holds, is committed.
    fn commit_through(&mut self, index: LogIndex) {
        if index > self.commit {
            self.verified_through(index);
            self.commit = index;
        }
    }

    /// §7: "the follower discards its entire log; it is all superseded by the snapshot", its configuration included. On disk
    /// the old log stands until the restart is durable: until then nothing is applied.
    fn restart_behind(&mut self, snapshot: &SnapshotMeta) {
        let position = snapshot.position;
        if !matches!(self.role, Role::Follower(_)) {
            self.become_follower(None);
        }
        self.writes.restarted(snapshot.clone(), self.verified());
        let keeps = planted(Bug::KeepsConfigBehindSnapshot);
        let membership = if keeps { self.log.membership() } else { &snapshot.membership };
        self.log.restart(position, Arc::clone(membership));
        self.snapshot = Some(snapshot.clone());
        self.commit_through(position.index);
    }

    /// A follower that is being sent a snapshot makes no progress: the log is not kept for it any longer. It is offered
    /// the newest snapshot with the next heartbeat.
    pub fn snapshot_stalled(&mut self, peer: NodeId) {
        if let Some(progress) = peer_of(&mut self.role, peer) {
            progress.stalled();
        }
        self.assert_invariants();
    }

    /// What has become of the entry that was proposed at `position`.
    pub fn fate(&self, position: LogPosition) -> Fate {
        if position.index < self.log.starts_after().index {
            return Fate::Compacted;
        }
        let held = self.log.term_at(position.index);
        if position.index <= self.commit {
            return if held == Some(position.term) { Fate::Committed } else { Fate::Superseded };
        }
        // Behind a committed entry of a later term no entry of this one can ever stand.
        let committed_in = self.log.term_at(self.commit).expect("what is committed is in the log");
        if committed_in > position.term { Fate::Superseded } else { Fate::Pending }
    }
}
