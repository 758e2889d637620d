//! The disk of one replica: writes become durable in their order, and a crash loses those at the end.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::consensus::{Outgoing, Ready, Restored, WriteSeq};
use crate::types::{EntryMeta, HardState, LogIndex, LogPosition, Membership, SnapshotMeta};

#[derive(Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    starts_after: LogPosition,
    membership: Option<Arc<Membership>>,
    entries: Vec<EntryMeta>,
    snapshots: Vec<SnapshotMeta>,
    writes: VecDeque<Write>,
}

/// A write that is under way; without a number nobody waits for it: a release.
#[derive(Default)]
struct Write {
    seq: Option<WriteSeq>,
    hard_state: Option<HardState>,
    restart: Option<SnapshotMeta>,
    entries: Vec<EntryMeta>,
    release: Option<(LogPosition, Arc<Membership>)>,
    send_when_durable: Vec<Outgoing>,
}

impl Disk {
    pub(super) fn founded(founding: EntryMeta) -> Self {
        Self { entries: vec![founding], ..Self::default() }
    }

    /// `entries` are those of the span that `ready` appends.
    pub(super) fn write(&mut self, ready: &Ready, entries: Vec<EntryMeta>) {
        let Some(seq) = ready.write else {
            let is_nothing = ready.hard_state.is_none() && ready.restart.is_none() && ready.append.is_none();
            assert!(is_nothing && ready.send_when_durable.is_empty(), "something is written without a write");
            return;
        };
        self.writes.push_back(Write {
            seq: Some(seq),
            hard_state: ready.hard_state,
            restart: ready.restart.clone(),
            entries,
            release: None,
            send_when_durable: ready.send_when_durable.clone(),
        });
    }

    pub(super) fn release(&mut self, through: (LogPosition, Arc<Membership>)) {
        self.writes.push_back(Write { release: Some(through), ..Write::default() });
    }

    pub(super) fn add_snapshot(&mut self, snapshot: SnapshotMeta) {
        self.snapshots.push(snapshot);
    }

    pub(super) fn under_way(&self) -> usize {
        self.writes.len()
    }

    /// Makes the first `count` writes durable: the last of their numbers, and what may leave now.
    pub(super) fn sync(&mut self, count: usize) -> (Option<WriteSeq>, Vec<Outgoing>) {
        let (mut through, mut released) = (None, Vec::new());
        for write in self.writes.drain(..count).collect::<Vec<_>>() {
            self.put(&write);
            through = write.seq.or(through);
            released.extend(write.send_when_durable);
        }
        (through, released)
    }

    /// Of the writes under way the first `survivors` got there.
    pub(super) fn crash(&mut self, survivors: usize) {
        self.sync(survivors);
        self.writes.clear();
    }

    fn put(&mut self, write: &Write) {
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        if let Some(snapshot) = &write.restart {
            let is_there = self.snapshots.iter().any(|held| held == snapshot);
            assert!(is_there, "the log begins behind a snapshot that is not there");
            self.entries.clear();
            (self.starts_after, self.membership) =
                (snapshot.position, Some(Arc::clone(&snapshot.membership)));
        }
        if let Some(first) = write.entries.first().map(|entry| entry.position.index) {
            assert!(first > self.starts_after.index, "a write reaches before the log's start");
            let kept = first.prev().distance_from(self.starts_after.index) as usize;
            assert!(kept <= self.entries.len(), "a write leaves a gap");
            self.entries.truncate(kept);
            self.entries.extend_from_slice(&write.entries);
        }
        if let Some((position, membership)) = &write.release {
            assert_eq!(self.entry(position.index).map(|entry| entry.position), Some(*position));
            self.entries.drain(..position.index.distance_from(self.starts_after.index) as usize);
            (self.starts_after, self.membership) = (*position, Some(Arc::clone(membership)));
        }
    }

    pub(super) fn entry(&self, index: LogIndex) -> Option<&EntryMeta> {
        let place = index.0.checked_sub(self.starts_after.index.next().0)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    fn is_in_log(&self, position: LogPosition) -> bool {
        position == self.starts_after
            || self.entry(position.index).is_some_and(|entry| entry.position == position)
    }

    /// What a host finds when it starts. Its state machine holds what `machine` says, or the newest snapshot.
    pub(super) fn restored(&self, machine: LogPosition) -> Restored {
        let usable = self.snapshots.iter().filter(|snapshot| self.is_in_log(snapshot.position));
        let snapshot = usable.max_by_key(|snapshot| snapshot.position.index);
        let from_snapshot = snapshot.map_or(LogPosition::ZERO, |snapshot| snapshot.position);
        let is_newer = machine.index > from_snapshot.index && self.is_in_log(machine);
        Restored {
            hard_state: self.hard_state,
            starts_after: self.starts_after,
            membership: self.membership.clone(),
            entries: self.entries.clone(),
            snapshot: snapshot.cloned(),
            applied: if is_newer { machine } else { from_snapshot },
        }
    }
}
