//! What a node has on its disk: the log with term and vote, snapshots, and what its state machine stored itself. A crash
//! loses what was not synced.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate::consensus::{Outgoing, Restored, WriteSeq};
use quorate::types::{EntryMeta, HardState, LogIndex, LogPosition, Membership, SnapshotId, SnapshotMeta};

use super::state::State;

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    starts_after: LogPosition,
    membership: Option<Arc<Membership>>,
    entries: Vec<EntryMeta>,
    snapshots: Vec<Snapshot>,
    /// A state machine that keeps its state on disk stored this last.
    pub(crate) machine: State,
    pub(crate) writes: VecDeque<Write>,
}

#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: State,
}

#[derive(Default)]
pub(crate) struct Write {
    /// `None` if nobody waits for it: a release.
    pub(crate) seq: Option<WriteSeq>,
    pub(crate) hard_state: Option<HardState>,
    pub(crate) restart: Option<SnapshotMeta>,
    pub(crate) entries: Vec<EntryMeta>,
    pub(crate) release: Option<(LogPosition, Arc<Membership>)>,
    pub(crate) send_when_durable: Vec<Outgoing>,
}

impl Disk {
    pub(crate) fn founded(founding: EntryMeta) -> Self {
        Self { entries: vec![founding], ..Self::default() }
    }

    pub(crate) fn put(&mut self, write: &Write) {
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        if let Some(snapshot) = &write.restart {
            assert!(
                self.snapshot(snapshot.id).is_some(),
                "the log begins behind a snapshot that is not there"
            );
            self.entries.clear();
            self.start_after(snapshot.position, &snapshot.membership);
        }
        if let Some(first) = write.entries.first() {
            let kept = first.position.index.prev().distance_from(self.starts_after.index) as usize;
            assert!(first.position.index > self.starts_after.index, "a write reaches before the log's start");
            self.entries.truncate(kept);
            assert_eq!(self.entries.len(), kept, "a write leaves a gap");
            self.entries.extend_from_slice(&write.entries);
        }
        if let Some((position, membership)) = &write.release {
            assert_eq!(self.entry(position.index).map(|entry| entry.position), Some(*position));
            self.entries.drain(..position.index.distance_from(self.starts_after.index) as usize);
            self.start_after(*position, membership);
        }
    }

    /// Snapshots from which the log does not go on are of no use.
    fn start_after(&mut self, position: LogPosition, membership: &Arc<Membership>) {
        (self.starts_after, self.membership) = (position, Some(Arc::clone(membership)));
        self.snapshots.retain(|snapshot| snapshot.meta.position.index >= position.index);
    }

    pub(crate) fn add_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.push(snapshot);
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.meta.id == id)
    }

    pub(crate) fn entry(&self, index: LogIndex) -> Option<&EntryMeta> {
        let place = index.0.checked_sub(self.starts_after.index.next().0)?;
        self.entries.get(place as usize)
    }

    pub(crate) fn entries(&self) -> &[EntryMeta] {
        &self.entries
    }

    pub(crate) fn starts_after(&self) -> LogPosition {
        self.starts_after
    }

    pub(crate) fn holds(&self, entry: &EntryMeta) -> bool {
        entry.position.index <= self.starts_after.index || self.entry(entry.position.index) == Some(entry)
    }

    /// What a host finds when it starts: the log, the newest snapshot in it, and what the state machine holds, from its own
    /// disk or from that snapshot, whichever is newer.
    pub(crate) fn restored(&self) -> (Restored, State) {
        let is_in_log = |position: LogPosition| {
            let held = self.entry(position.index).map(|entry| entry.position);
            position == self.starts_after || held == Some(position)
        };
        let usable = self.snapshots.iter().filter(|snapshot| is_in_log(snapshot.meta.position));
        let newest = usable.max_by_key(|snapshot| snapshot.meta.position.index);
        let from_snapshot = newest.map_or(State::default(), |snapshot| snapshot.state);
        let own = if is_in_log(self.machine.through) { self.machine } else { State::default() };
        let state = if own.through.index > from_snapshot.through.index { own } else { from_snapshot };
        let restored = Restored {
            hard_state: self.hard_state,
            starts_after: self.starts_after,
            membership: self.membership.clone(),
            entries: self.entries.clone(),
            snapshot: newest.map(|snapshot| snapshot.meta.clone()),
            applied: state.through,
        };
        (restored, state)
    }
}
