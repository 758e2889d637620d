//! What a node has made durable, as its log was told: the log itself, seen from outside.
//!
//! A [`Witness`] stands between the log writer and the real log and keeps an [`Image`] of what the log has promised. After
//! a crash what is recovered must be that image, with at most a prefix of the write that was under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::disk::DiskLog;
use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use crate::types::{Entry, EntryMeta, EntryRun, GroupId, HardState, LogIndex, LogPosition, Membership, Term};

/// What survives, whatever happens to the process and to the power.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) founded: bool,
    pub(super) hard_state: HardState,
    /// The log may start here, or anywhere up to `released`.
    pub(super) starts_after: LogPosition,
    pub(super) released: LogPosition,
    pub(super) entries: BTreeMap<LogIndex, EntryMeta>,
    /// What was being written, and may be there in part.
    under_way: Vec<GroupWrite>,
    /// Entries that the log was given, and what each follows; for whoever judges them.
    pub(super) written: Vec<(LogPosition, Entry)>,
    /// Entries that were here for good and are not any more, though no snapshot took their place, and the term until then; for
    /// whoever judges them.
    pub(super) dropped: Vec<(LogPosition, Term)>,
}

pub(super) type SharedImage = Arc<Mutex<Image>>;

impl Image {
    /// The last entry.
    pub(super) fn last(&self) -> LogPosition {
        self.entries.last_key_value().map_or(self.starts_after, |(_, entry)| entry.position)
    }

    /// Whether the entry at `position` is here for good, or in a snapshot that took its place.
    pub(super) fn holds(&self, position: LogPosition) -> bool {
        position.index <= self.starts_after.index
            || self.entries.get(&position.index).is_some_and(|entry| entry.position == position)
    }

    fn restart(&mut self, at: LogPosition) {
        self.truncate(at.index.next());
        self.entries.clear();
        (self.starts_after, self.released) = (at, at);
    }

    fn append(&mut self, entry: EntryMeta) {
        if self.last().index >= entry.position.index {
            self.truncate(entry.position.index);
        }
        self.entries.insert(entry.position.index, entry);
    }

    fn truncate(&mut self, first: LogIndex) {
        let gone = self.entries.split_off(&first);
        let term = self.hard_state.term;
        self.dropped.extend(gone.into_values().map(|entry| (entry.position, term)));
    }

    /// What `writes` give the log, whether it becomes durable or not.
    fn note(&mut self, writes: &[GroupWrite]) {
        let mut before = self.last();
        for write in writes {
            before = write.restart.as_ref().map_or(before, |(at, _)| *at);
            for entry in write.entries.iter().flat_map(EntryRun::entries) {
                let index = entry.position.index;
                if before.index.next() != index {
                    before = self.position_before(index, writes);
                }
                self.written.push((before, entry.clone()));
                before = entry.position;
            }
        }
        self.under_way = writes.to_vec();
    }

    /// The entry in front of `index`, where a write takes the place of what was there before.
    fn position_before(&self, index: LogIndex, writes: &[GroupWrite]) -> LogPosition {
        let given = writes.iter().flat_map(|write| &write.entries).flat_map(EntryRun::entries);
        let newest = given.filter(|entry| entry.position.index.next() == index).last();
        let held = || self.entries.range(..index).next_back().map(|(_, entry)| entry.position);
        newest.map(|entry| entry.position).or_else(held).unwrap_or(self.starts_after)
    }

    fn write(&mut self, write: &GroupWrite) {
        // What is written at once may have been decided in several terms: the first is the one that excuses most.
        let term = self.hard_state.term;
        let known = self.dropped.len();
        self.steps_of(write, &mut |_| ());
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped[known..].iter_mut().for_each(|(_, until)| *until = term);
        dropped.retain(|(position, _)| !self.holds(*position));
        self.dropped = dropped;
    }

    /// Does `write` step by step; `after` sees what each step leaves.
    fn steps_of(&mut self, write: &GroupWrite, after: &mut impl FnMut(&Self)) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
            after(self);
        }
        if let Some((at, _)) = &write.restart {
            self.restart(*at);
            after(self);
        }
        for entry in write.entries.iter().flat_map(EntryRun::entries) {
            self.append(entry.meta());
            after(self);
        }
    }

    /// Takes what was recovered for the truth if it can be: `Err` says why it cannot.
    pub(super) fn reconcile(&mut self, recovered: &Recovered) -> Result<(), String> {
        let mut candidate = self.clone();
        (candidate.under_way, self.dropped) = (Vec::new(), Vec::new());
        let mut agrees = candidate.agrees_with(recovered);
        for write in &self.under_way {
            candidate.steps_of(write, &mut |after| {
                agrees = agrees.clone().or_else(|_| after.agrees_with(recovered));
            });
        }
        agrees?;
        self.under_way.clear();
        self.hard_state = recovered.hard_state;
        self.starts_after = recovered.starts_after;
        self.released = self.released.max(recovered.starts_after);
        self.entries = recovered.entries.iter().map(|entry| (entry.position.index, entry.clone())).collect();
        Ok(())
    }

    fn agrees_with(&self, recovered: &Recovered) -> Result<(), String> {
        if recovered.hard_state != self.hard_state {
            return Err(format!("{:?} was written, {:?} came back", self.hard_state, recovered.hard_state));
        }
        let starts = recovered.starts_after;
        if starts.index < self.starts_after.index || starts.index > self.released.index {
            return Err(format!("it starts after {starts}, not {}..={}", self.starts_after, self.released));
        }
        let known = self.entries.range(starts.index.next()..).map(|(_, entry)| entry);
        if known.eq(&recovered.entries) {
            return Ok(());
        }
        let last = recovered.entries.last().map_or(starts, |entry| entry.position);
        Err(format!("the log ends at {last} or differs before; it was written up to {}", self.last()))
    }
}

/// The real log, and its image.
pub(super) struct Witness {
    pub(super) log: DiskLog,
    pub(super) image: SharedImage,
}

impl Storage for Witness {
    fn identity(&self) -> Option<Identity> {
        self.log.identity()
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        self.log.found(identity, groups)?;
        let mut image = self.image.lock();
        *image = Image { founded: true, ..Image::default() };
        for entry in groups.iter().filter_map(|(_, entry)| entry.as_ref()) {
            image.append(entry.meta());
        }
        Ok(())
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        self.log.recovered()
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        self.image.lock().note(writes);
        let written = self.log.write(writes);
        let mut image = self.image.lock();
        match &written {
            Ok(()) => {
                image.under_way.clear();
                for write in writes {
                    image.write(write);
                }
            }
            Err(error) if error.is_recoverable() => image.under_way.clear(),
            Err(_) => {}
        }
        written
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.log.settle()
    }

    fn entry_bytes_max(&self) -> u32 {
        self.log.entry_bytes_max()
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        {
            let mut image = self.image.lock();
            image.released = image.released.max(through);
        }
        self.log.release(group, through, membership)
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.log.reader()
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        self.log.snapshots()
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        self.log.upkeep()
    }
}
