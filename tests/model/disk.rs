//! A disk, as a crash finds it, and the writes on their way to it.

use std::sync::Arc;

use quorate::consensus::{Outgoing, Restored, WriteSeq};
use quorate::types::{
    EntryKind, EntryMeta, HardState, LogIndex, LogPosition, Membership, SnapshotMeta, Term,
};

use super::mutants::Mutant;

/// What is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) starts_after: LogPosition,
    pub(crate) membership: Option<Arc<Membership>>,
    pub(crate) entries: Vec<EntryMeta>,
    pub(crate) snapshots: Vec<SnapshotMeta>,
}

/// One write: all of it durable at once when it is synced; a crash before that leaves any beginning of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) seq: Option<WriteSeq>,
    pub(crate) hard_state: Option<HardState>,
    pub(crate) restart: Option<SnapshotMeta>,
    pub(crate) entries: Vec<EntryMeta>,
    /// The log is dropped up to here; this configuration was in force there.
    pub(crate) release: Option<(LogPosition, Arc<Membership>)>,
    pub(crate) send_when_durable: Vec<Outgoing>,
}

/// A part of a write that is there or not.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    HardState(HardState),
    Restart(&'a SnapshotMeta),
    Entry(&'a EntryMeta),
    Release(LogPosition, &'a Arc<Membership>),
}

impl Write {
    /// In the order in which they reach the disk.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let hard_state = self.hard_state.map(Piece::HardState);
        let restart = self.restart.as_ref().map(Piece::Restart);
        let entries = self.entries.iter().map(Piece::Entry);
        let release = self.release.as_ref().map(|(at, membership)| Piece::Release(*at, membership));
        hard_state.into_iter().chain(restart).chain(entries).chain(release)
    }
}

impl Disk {
    /// That of a founding member.
    pub(crate) fn founded(founding: EntryMeta) -> Self {
        Self { entries: vec![founding], ..Self::default() }
    }

    /// The openings of these terms were written, and `term` was reached, in which nobody votes any more.
    pub(crate) fn with_past(mut self, openings: &[u64], term: Term) -> Self {
        for &opened in openings {
            let position = LogPosition::new(Term(opened), self.last().index.next());
            self.entries.push(EntryMeta { position, bytes: 0, kind: EntryKind::Noop });
        }
        self.hard_state.term = term;
        self
    }

    /// An entry drops what was written at its index and behind it.
    pub(crate) fn put(&mut self, piece: Piece<'_>, mutant: Mutant) {
        match piece {
            Piece::HardState(hard_state) => self.hard_state = hard_state,
            Piece::Restart(snapshot) => {
                self.entries.clear();
                self.start_after(snapshot.position, &snapshot.membership);
            }
            Piece::Entry(entry) => {
                let kept = entry.position.index.prev().distance_from(self.starts_after.index) as usize;
                if mutant == Mutant::KeepsOverwrittenEntries && kept < self.entries.len() {
                    self.entries[kept] = entry.clone();
                    return;
                }
                self.entries.truncate(kept);
                self.entries.push(entry.clone());
            }
            Piece::Release(position, membership) => {
                let count = position.index.distance_from(self.starts_after.index) as usize;
                self.entries.drain(..count.min(self.entries.len()));
                self.start_after(position, membership);
            }
        }
    }

    /// The log begins anew; snapshots from which it does not go on are of no use.
    fn start_after(&mut self, position: LogPosition, membership: &Arc<Membership>) {
        (self.starts_after, self.membership) = (position, Some(Arc::clone(membership)));
        self.snapshots.retain(|snapshot| snapshot.position.index >= position.index);
    }

    pub(crate) fn add_snapshot(&mut self, snapshot: SnapshotMeta) {
        if !self.snapshots.contains(&snapshot) {
            self.snapshots.push(snapshot);
            self.snapshots.sort_by_key(|snapshot| snapshot.position);
        }
    }

    pub(crate) fn entry(&self, index: LogIndex) -> Option<&EntryMeta> {
        let place = index.0.checked_sub(self.starts_after.index.next().0)?;
        self.entries.get(place as usize)
    }

    pub(crate) fn last(&self) -> LogPosition {
        self.entries.last().map_or(self.starts_after, |entry| entry.position)
    }

    /// Whether the entry is there, in the log or covered by a snapshot.
    pub(crate) fn holds(&self, entry: &EntryMeta) -> bool {
        entry.position.index <= self.starts_after.index || self.entry(entry.position.index) == Some(entry)
    }

    /// What a host finds when it starts. Its state machine holds what the newest usable snapshot holds.
    pub(crate) fn restored(&self) -> Restored {
        let is_in_log = |position: LogPosition| {
            let held = self.entry(position.index).map(|entry| entry.position);
            position == self.starts_after || held == Some(position)
        };
        let snapshot = self.snapshots.iter().rfind(|snapshot| is_in_log(snapshot.position)).cloned();
        Restored {
            hard_state: self.hard_state,
            starts_after: self.starts_after,
            membership: self.membership.clone(),
            entries: self.entries.clone(),
            applied: snapshot.as_ref().map_or(LogPosition::ZERO, |snapshot| snapshot.position),
            snapshot,
        }
    }
}
