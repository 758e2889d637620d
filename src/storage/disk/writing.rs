//! Writing: what groups write becomes records, records become batches, as few as the segments allow.

use std::sync::Arc;

use super::appender::BATCH_OVERHEAD_BYTES;
use super::log::{Change, DiskLog};
use super::record::{HARD_STATE_BYTES, RESTATEMENT_BYTES, RESTATEMENT_BYTES_MAX, Restatement, entry_bytes};
use crate::planted::{Bug, planted};
use crate::storage::{GroupWrite, StorageError};
use crate::types::{Entry, EntryRun, GroupId, HardState, LogIndex, LogPosition, Membership};

impl DiskLog {
    /// Adds what `writes` say to batches: nearly always one. A full disk is found before anything is written.
    pub(super) fn write_all(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let records: u64 = writes.iter().flat_map(records).sum();
        if records == 0 {
            return Ok(());
        }
        let bytes = BATCH_OVERHEAD_BYTES + records;
        if !self.appender().has_room_for(bytes) {
            if bytes <= self.config.segment_bytes / 2 {
                // Better a new segment than a batch torn in two.
                self.rotate(bytes)?;
            } else {
                let opening_growth = writes.iter().map(opening_growth).sum();
                self.reserve(writes.iter().flat_map(self::records), opening_growth)?;
            }
        }
        for write in writes {
            self.add(write)?;
        }
        self.flush()?;
        self.release_reserved();
        Ok(())
    }

    fn add(&mut self, write: &GroupWrite) -> Result<(), StorageError> {
        if let Some(state) = write.hard_state {
            self.hard_state(write.group, state)?;
        }
        if let Some((position, membership)) = &write.restart {
            self.restart(write.group, *position, membership)?;
        }
        for entry in write.entries.iter().flat_map(EntryRun::entries) {
            self.make_room(entry_bytes(&entry.payload) as u64)?;
            self.entry(write.group, entry);
        }
        Ok(())
    }

    fn hard_state(&mut self, group: GroupId, state: HardState) -> Result<(), StorageError> {
        self.make_room(HARD_STATE_BYTES as u64)?;
        self.appender().batch.hard_state(group, state);
        self.unpublished.push(Change::HardState(group, state));
        Ok(())
    }

    /// The log of `group` is empty now, and goes on after `position`. One record says so: it is there or it is not.
    fn restart(
        &mut self,
        group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        let known = self.upcoming(group);
        if known.is_none() {
            // A group is made known by another record: a restatement of a stranger would be damage.
            self.hard_state(group, HardState::default())?;
        }
        let known = known.unwrap_or_default();
        assert!(position.index >= known.starts_after.index, "a log restarts before what it has released");
        let restated = Restatement {
            hard_state: known.hard_state,
            starts_after: position,
            membership: Some(Arc::clone(membership)),
            last: if planted(Bug::RestartKeepsTail) && known.last.index > position.index {
                known.last
            } else {
                position
            },
        };
        self.make_room(RESTATEMENT_BYTES_MAX)?;
        self.appender().batch.restatement(group, &restated);
        self.unpublished.push(Change::Restart(group, restated));
        self.restarted.insert(group, position.index);
        Ok(())
    }

    /// What will be known of `group` once the batch that is being made is durable; its last entry apart.
    fn upcoming(&self, group: GroupId) -> Option<Restatement> {
        let mut known = self.groups.get(&group).cloned();
        for change in &self.unpublished {
            match change {
                Change::HardState(of, state) if *of == group => {
                    known.get_or_insert_default().hard_state = *state;
                }
                Change::Restart(of, restated) if *of == group => known = Some(restated.clone()),
                Change::Entries { group: of, .. } if *of == group => {
                    known.get_or_insert_default();
                }
                _ => {}
            }
        }
        known
    }

    /// Where the log of `group` starts, the batch that is being made included.
    fn released(&self, group: GroupId) -> LogIndex {
        let known = || self.groups.get(&group).map(|known| known.starts_after.index);
        self.restarted.get(&group).copied().or_else(known).unwrap_or(LogIndex::ZERO)
    }

    pub(super) fn entry(&mut self, group: GroupId, entry: &Entry) {
        let position = entry.position;
        let bytes = entry.payload.bytes();
        assert!(bytes <= self.config.entry_bytes_max, "an entry is larger than the log takes");
        self.appender().batch.entry(group, entry);
        match self.unpublished.last_mut() {
            Some(Change::Entries { group: of, last, .. })
                if *of == group && last.index.next() == position.index =>
            {
                *last = position;
            }
            _ => {
                assert!(position.index > self.released(group), "an entry is written after its release");
                self.unpublished.push(Change::Entries { group, first: position.index, last: position });
            }
        }
    }

    /// Sees to it that a record of `bytes` fits into the batch that is being made.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), StorageError> {
        if self.appender().has_room_for(bytes) {
            return Ok(());
        }
        self.flush()?;
        if self.appender().has_room_for(bytes) {
            return Ok(());
        }
        self.rotate(BATCH_OVERHEAD_BYTES + bytes)
    }

    /// Makes the batch durable, and then known.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        if self.appender().batch.is_empty() {
            return Ok(());
        }
        let location = self.appender().append()?;
        let has_restarted = !std::mem::take(&mut self.restarted).is_empty();
        let mut index = self.shared.index.write();
        for change in self.unpublished.drain(..) {
            match change {
                Change::HardState(group, state) => {
                    self.groups.entry(group).or_default().hard_state = state;
                    index.groups.entry(group).or_default();
                }
                Change::Restart(group, restated) => {
                    let (start, last) = (restated.starts_after.index, restated.last.index);
                    index.groups.entry(group).or_default().restart(start, last);
                    self.groups.insert(group, restated);
                    self.metrics.restarts.increment();
                }
                Change::Entries { group, first, last } => {
                    let known = self.groups.entry(group).or_default();
                    assert!(first.prev() <= known.last.index, "a write leaves a gap in the log");
                    self.metrics.entries.add(last.index.distance_from(first.prev()));
                    known.last = last;
                    index.groups.entry(group).or_default().wrote(first, last.index, location);
                }
            }
        }
        drop(index);
        if has_restarted {
            self.retire_unneeded();
        }
        self.prepare_successor();
        Ok(())
    }

    fn prepare_successor(&mut self) {
        let appender = self.appender();
        if appender.needs_successor_soon() && !appender.has_asked_for_spare {
            appender.has_asked_for_spare = true;
            self.pool.want();
        }
    }

    /// Releases the entries of `group` through a position that it has not released yet.
    pub(super) fn release_through(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        let Some(known) = self.groups.get(&group) else {
            return Ok(());
        };
        if through.index <= known.starts_after.index {
            return Ok(());
        }
        let mut restated = known.clone();
        restated.starts_after = through;
        if !planted(Bug::ReleaseKeepsOldConfig) {
            restated.membership = Some(Arc::clone(membership));
        }
        if restated.last.index <= through.index {
            restated.last = through;
        }
        self.make_room(RESTATEMENT_BYTES_MAX)?;
        self.appender().batch.restatement(group, &restated);
        self.appender().append()?;
        let (start, last) = (restated.starts_after.index, restated.last.index);
        self.groups.insert(group, restated);
        self.shared.index.write().groups.entry(group).or_default().restart(start, last);
        self.retire_unneeded();
        Ok(())
    }
}

/// How many bytes each record of `write` takes, at most.
fn records(write: &GroupWrite) -> impl Iterator<Item = u64> {
    let state = write.hard_state.map(|_| HARD_STATE_BYTES as u64);
    // A group that is not known yet is made known by a hard state.
    let restart = write.restart.iter().flat_map(|_| [HARD_STATE_BYTES as u64, RESTATEMENT_BYTES_MAX]);
    let entries = write.entries.iter().flat_map(EntryRun::entries);
    state.into_iter().chain(restart).chain(entries.map(|entry| entry_bytes(&entry.payload) as u64))
}

/// How much longer `write` makes the batch that opens a segment, at most.
fn opening_growth(write: &GroupWrite) -> u64 {
    RESTATEMENT_BYTES as u64 + write.restart.as_ref().map_or(0, |_| RESTATEMENT_BYTES_MAX)
}
