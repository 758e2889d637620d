//! Snapshots: pictures that become files, files of others that become log and state, and the log that goes when they are
//! durable.

use super::Replica;
use crate::consensus::RoleName;
use crate::planted::{Bug, planted};
use crate::replica::{
    Applied, ApplyJob, Jobs, Notice, Pictured, Received, Release, SaveJob, Saved, SnapshotNow,
};
use crate::types::{EntryRun, LogIndex, NodeId, SnapshotMeta};

impl Replica {
    /// An operator wants a snapshot of at least what anybody was answered to: the state machine answers callers before
    /// its report of that reaches us, but never to what it was not handed.
    pub(super) fn snapshot_now(&mut self, demand: SnapshotNow) {
        let newest = self.raft.snapshot();
        self.snapshots.demand(demand, self.applying.handed_over(), newest);
    }

    /// Behind the entries that were handed over, a picture if one is due.
    pub(super) fn take_picture(&mut self, jobs: &mut Jobs) {
        let handed_over = self.applying.handed_over();
        if !self.applying.is_halted() && self.snapshots.is_due(handed_over, self.ticks) {
            self.snapshots.begin(handed_over);
            jobs.apply.push(ApplyJob::Picture);
        }
    }

    /// `entries`, consecutive, are handed to the state machine.
    pub(super) fn count_for_snapshots(&mut self, entries: &[EntryRun]) {
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let before = first.first().index.prev();
            self.snapshots.handed_over(self.raft.bytes_between(before, last.last().index));
        }
    }

    /// The state machine took a picture of itself, or could not.
    pub(super) fn pictured(&mut self, pictured: Pictured) {
        let Pictured { position, writer } = pictured;
        let named =
            if planted(Bug::SnapshotNamesLatestConfig) { self.raft.last().index } else { position.index };
        match (writer, self.raft.membership_at(named)) {
            (Ok(writer), Some(membership)) => {
                self.begun.save.push(SaveJob::Picture { position, membership, writer });
            }
            (Ok(_), None) => self.snapshot_failed("a newer snapshot of another node took its place"),
            (Err(reason), _) => self.snapshot_failed(&reason),
        }
    }

    /// The snapshot is durable, or could not be written.
    pub(super) fn saved(&mut self, saved: Saved) {
        let snapshot = match saved.outcome {
            Ok(snapshot) => snapshot,
            Err(reason) => return self.snapshot_failed(&reason),
        };
        self.config.metrics.snapshots.increment();
        self.snapshots.saved(&snapshot);
        let SnapshotMeta { position, bytes, .. } = snapshot;
        self.begun.notices.push(Notice::SnapshotSaved { position, bytes });
        let is_newer = self.raft.snapshot().is_none_or(|newest| newest.position.index < position.index);
        if is_newer {
            self.raft.snapshot_saved(snapshot);
            self.compact();
            self.prune();
        }
    }

    /// With each new snapshot an older one may go, also while the log stays for a follower's sake: or they would pile up
    /// until it is done. Not while the state machine may be about to read one.
    fn prune(&mut self) {
        if self.restoring.is_none() {
            let log_starts_after = self.raft.first_index().prev();
            self.begun.save.push(SaveJob::Prune { log_starts_after });
        }
    }

    fn snapshot_failed(&mut self, reason: &str) {
        log::warn!("no snapshot was taken, it is tried again: {reason}");
        self.config.metrics.snapshot_failures.increment();
        self.snapshots.failed(reason, self.ticks);
        self.begun.notices.push(Notice::SnapshotFailed { reason: reason.to_owned() });
    }

    /// Drops what nobody needs: what the newest snapshot covers, but for what slow followers may ask for, and what the
    /// state machine would need after a crash.
    fn compact(&mut self) {
        let Some(allowed) = self.raft.compactable(self.config.trailing_entries) else { return };
        let through = if self.config.machine_on_disk { allowed.min(self.durable) } else { allowed };
        if through < self.raft.first_index() {
            return;
        }
        let (through, membership) = self.raft.compact(through);
        self.begun.release = Some(Release { through, membership });
        self.begun.notices.push(Notice::Compacted { through: through.index });
    }

    /// The log that this node needs next is gone at its leader: it fetches the leader's snapshot.
    pub(super) fn fetch_snapshot(&mut self, from: NodeId, snapshot: SnapshotMeta, jobs: &mut Jobs) {
        if let Some(job) = self.fetching.want(from, snapshot) {
            let (position, bytes) = (job.snapshot.position, job.snapshot.bytes);
            log::info!("fetching the snapshot of entry {position}, {bytes} bytes, from node {from}");
            jobs.receive = Some(job);
        }
    }

    /// A snapshot of another node is durable here. If it is needed still, it takes the place of the whole log at once,
    /// and that of the state when that is durable.
    pub(super) fn snapshot_received(&mut self, received: Received) {
        let Received { snapshot, outcome } = received;
        self.fetching.ended(snapshot.id);
        if let Err(reason) = outcome {
            self.config.metrics.snapshot_failures.increment();
            log::warn!("the snapshot of entry {} was not received: {reason}", snapshot.position);
            return;
        }
        if !self.raft.snapshot_received(&snapshot) {
            return;
        }
        let position = snapshot.position;
        assert_eq!(
            self.raft.last(),
            position,
            "a snapshot took the place of the log, which goes on elsewhere"
        );
        self.tail.restart(position.index);
        self.applying.halt();
        self.incarnations.replaced_from(LogIndex::ZERO);
        self.config.metrics.superseded.add(self.pending.covered_by(position));
        self.forwards.covered_by(position);
    }

    /// The log begins behind `snapshot`, durably: so does the state from now on.
    pub(super) fn restore(&mut self, snapshot: SnapshotMeta, jobs: &mut Jobs) {
        let index = snapshot.position.index;
        self.applying.restore(index);
        self.snapshots.installed(&snapshot);
        self.config.metrics.snapshots_installed.increment();
        jobs.notices.push(Notice::SnapshotInstalled { position: snapshot.position });
        jobs.apply.push(ApplyJob::Restore(snapshot));
        self.restoring = Some(index);
    }

    /// The state machine got further. Older snapshots go when it holds the newest: until then it may be about to read one.
    pub(super) fn applied_by_machine(&mut self, applied: Applied) {
        self.applying.applied_through(applied.through);
        if applied.durable.index > self.durable {
            self.durable = applied.durable.index;
            // It may have been this that kept the log from going when the last snapshot was saved.
            self.compact();
        }
        if let Some(restored) = self.restoring.take_if(|restoring| *restoring <= applied.through.index) {
            self.begun.save.push(SaveJob::Prune { log_starts_after: restored });
        }
    }

    /// Time passed: the log is not kept for peers that make no progress with a snapshot.
    pub(super) fn review_served(&mut self) {
        let review = self.serving.review(&self.raft, self.ticks, self.config.stall_ticks);
        for &peer in &review.stalled {
            log::warn!("node {peer} makes no progress with the snapshot that it is sent");
            self.raft.snapshot_stalled(peer);
        }
        let may_drop_more = review.somebody_is_done || !review.stalled.is_empty();
        if may_drop_more && self.raft.role() == RoleName::Leader {
            self.compact();
            self.prune();
        }
    }
}
