//! The log on disk, as its one writer sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::appender::{Appender, BATCH_OVERHEAD_BYTES, segment_bytes_for};
use super::batch::BLOCK_BYTES;
use super::config::DiskConfig;
use super::directory::{Directory, segment_path};
use super::files::{Files, Lock};
use super::header::{End, SegmentHeader};
use super::identity::{self, Stage};
use super::index::{Index, Shared};
use super::pool::{DiskUpkeep, Pool, Spare};
use super::reader::DiskReader;
use super::record::{HARD_STATE_BYTES, RESTATEMENT_BYTES, Restatement, entry_bytes};
use super::salt::Salt;
use super::segment::Segment;
use crate::metrics::StorageMetrics;
use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use crate::types::{Entry, EntryRun, GroupId, HardState, LogIndex, LogPosition, Membership};

/// A durable log of many groups in a directory of its own.
pub struct DiskLog {
    pub(super) config: DiskConfig,
    pub(super) files: Arc<dyn Files>,
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    pub(super) metrics: Arc<StorageMetrics>,
    pub(super) identity: Option<Identity>,
    /// Where batches are added; `None` until the log is founded.
    pub(super) appender: Option<Appender>,
    /// All that the next segment restates.
    pub(super) groups: BTreeMap<GroupId, Restatement>,
    pub(super) recovered: BTreeMap<GroupId, Recovered>,
    /// What the batch that is being made will change, once it is durable.
    pub(super) unpublished: Vec<Change>,
    pub(super) has_upkeep: AtomicBool,
    pub(super) lock: Lock,
}

/// What a record changes.
pub(super) enum Change {
    HardState(GroupId, HardState),
    Entries { group: GroupId, first: LogIndex, last: LogPosition },
}

impl DiskLog {
    /// What the log counts.
    pub(crate) fn metrics(&self) -> Arc<StorageMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Does what may fail for good: an error that is not a full disk is the last thing that happens to this log.
    pub(super) fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.shared.is_poisoned() {
            return Err(StorageError::Poisoned);
        }
        let result = act(self);
        if result.as_ref().is_err_and(|error| !error.is_recoverable()) {
            self.shared.poison();
        }
        result
    }

    #[cfg(test)]
    pub(super) fn appender_end(&self) -> u64 {
        self.appender.as_ref().map_or(0, |appender| appender.end.offset)
    }

    fn appender(&mut self) -> &mut Appender {
        self.appender.as_mut().expect("the log is founded before it is written")
    }

    /// Adds what `writes` say to batches, as few as the segments allow: nearly always one.
    fn write_all(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let bytes = BATCH_OVERHEAD_BYTES + writes.iter().map(write_bytes).sum::<u64>();
        if bytes == BATCH_OVERHEAD_BYTES {
            return Ok(());
        }
        // Better a new segment than a batch torn in two, unless it would take most of one.
        if !self.appender().has_room_for(bytes) && bytes <= self.config.segment_bytes / 2 {
            self.rotate(bytes)?;
        }
        for write in writes {
            if let Some(state) = write.hard_state {
                self.make_room(HARD_STATE_BYTES as u64)?;
                self.appender().batch.hard_state(write.group, state);
                self.unpublished.push(Change::HardState(write.group, state));
            }
            for entry in write.entries.iter().flat_map(EntryRun::entries) {
                self.make_room(entry_bytes(&entry.payload) as u64)?;
                self.entry(write.group, entry);
            }
        }
        self.flush()
    }

    fn entry(&mut self, group: GroupId, entry: &Entry) {
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
                let released =
                    self.groups.get(&group).map_or(LogIndex::ZERO, |known| known.starts_after.index);
                assert!(position.index > released, "an entry is written after its release");
                self.unpublished.push(Change::Entries { group, first: position.index, last: position });
            }
        }
    }

    /// Sees to it that a record of `bytes` fits into the batch that is being made.
    fn make_room(&mut self, bytes: u64) -> Result<(), StorageError> {
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
    fn flush(&mut self) -> Result<(), StorageError> {
        if self.appender().batch.is_empty() {
            return Ok(());
        }
        let location = self.appender().append()?;
        let mut index = self.shared.index.write();
        for change in self.unpublished.drain(..) {
            match change {
                Change::HardState(group, state) => {
                    self.groups.entry(group).or_default().hard_state = state;
                    index.groups.entry(group).or_default();
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

    /// Goes on in another segment, with room for a batch of `bytes` at least. A full disk is found before anything is
    /// changed.
    pub(super) fn rotate(&mut self, bytes: u64) -> Result<(), StorageError> {
        let needed = segment_bytes_for(self.opening_bytes(), bytes);
        let spare = self.spare(needed)?;
        let (number, follows) = (self.appender().segment.number + 1, self.appender().end);
        let next = self.name_segment(spare, number, follows)?;
        self.seal(&next)?;
        self.enter(next)?;
        self.metrics.rotations.increment();
        Ok(())
    }

    pub(super) fn seal(&mut self, next: &Segment) -> Result<(), StorageError> {
        self.appender().seal(next)
    }

    /// Lets readers find the segment.
    pub(super) fn publish(&self, segment: Arc<Segment>) {
        self.shared.index.write().segments.insert(segment.number, segment);
    }

    /// Opens a segment that is named by its predecessor: its first batch restates all groups.
    pub(super) fn enter(&mut self, next: Arc<Segment>) -> Result<(), StorageError> {
        self.appender().move_to(Arc::clone(&next));
        self.publish(next);
        self.open_segment()
    }

    fn open_segment(&mut self) -> Result<(), StorageError> {
        let appender = self.appender.as_mut().expect("a segment is opened by its appender");
        for (&group, known) in &self.groups {
            appender.batch.restatement(group, known);
        }
        appender.append()?;
        self.count_segments();
        Ok(())
    }

    fn opening_bytes(&mut self) -> u64 {
        let appender = self.appender.as_mut().expect("a founded log has an appender");
        assert!(appender.batch.is_empty(), "a segment ends within a batch");
        for (&group, known) in &self.groups {
            appender.batch.restatement(group, known);
        }
        let bytes = appender.batch.bytes();
        appender.batch.restart(appender.segment.salt);
        bytes
    }

    /// A spare of at least `bytes`: a ready one, or one that is made now.
    fn spare(&mut self, bytes: u64) -> Result<Spare, StorageError> {
        if bytes > self.config.segment_bytes {
            let reason = format!("a segment of {} bytes does not hold {bytes}", self.config.segment_bytes);
            return Err(StorageError::Limits { reason });
        }
        if let Some(spare) = self.pool.take(bytes) {
            return Ok(spare);
        }
        self.metrics.unprepared_segments.increment();
        let mut unfinished = self.pool.start(self.pool.small_segment_bytes(bytes))?;
        while !unfinished.step()? {}
        Ok(unfinished.into_spare())
    }

    /// Makes a spare the segment `number`, durably. Its header is the cut of whatever lies behind `follows`.
    fn name_segment(&self, spare: Spare, number: u64, follows: End) -> Result<Arc<Segment>, StorageError> {
        let Spare { path: spare_path, file, length } = spare;
        let dir = &self.config.dir;
        let identity = self.identity.expect("a log without identity has no segments");
        let salt = Salt::new(self.files.random().map_err(StorageError::io("draw a salt for", dir))?, number);
        let header = SegmentHeader { identity, number, salt, length, follows };
        file.write_all_at(&header.encode(), 0).map_err(StorageError::io("write", &spare_path))?;
        file.sync_data().map_err(StorageError::io("sync", &spare_path))?;
        let path: PathBuf = segment_path(dir, number);
        self.files.rename(&spare_path, &path).map_err(StorageError::io("rename", &spare_path))?;
        self.files.sync_dir(dir).map_err(StorageError::io("sync", dir))?;
        let map = file.map(length).map_err(StorageError::io("map", &path))?;
        Ok(Arc::new(Segment { number, salt, length, path, file, hot_from: BLOCK_BYTES, map }))
    }

    /// Everything of the founding but the mark that it is complete.
    fn found_segment(&mut self, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        let leftovers = Directory::list(&*self.files, &self.config.dir)?.segments;
        for number in leftovers {
            let path = segment_path(&self.config.dir, number);
            self.files.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
        self.groups = groups.iter().map(|&(group, _)| (group, Restatement::default())).collect();
        let opening_bytes = (groups.len() * RESTATEMENT_BYTES) as u64;
        let spare = self.spare(segment_bytes_for(opening_bytes, BLOCK_BYTES))?;
        let first = self.name_segment(spare, 1, End::default())?;
        let end = End { offset: BLOCK_BYTES, chain: 0 };
        self.publish(Arc::clone(&first));
        self.appender = Some(Appender::new(first, end, Arc::clone(&self.metrics)));
        self.open_segment()?;
        for (group, entry) in groups {
            let Some(entry) = entry else { continue };
            self.make_room(entry_bytes(&entry.payload) as u64)?;
            self.entry(*group, entry);
        }
        self.flush()?;
        self.appender().witness()
    }

    fn count_segments(&self) {
        self.metrics.segments.set(self.shared.index.read().segments.len() as u64);
    }

    /// Gives the segments that no group needs to the upkeep.
    pub(super) fn retire_unneeded(&mut self) {
        let unneeded = self.shared.index.write().take_unneeded();
        self.pool.retire(unneeded);
        self.count_segments();
    }
}

fn write_bytes(write: &GroupWrite) -> u64 {
    let state = write.hard_state.map_or(0, |_| HARD_STATE_BYTES);
    let entries = write.entries.iter().flat_map(EntryRun::entries);
    (state + entries.map(|entry| entry_bytes(&entry.payload)).sum::<usize>()) as u64
}

impl Storage for DiskLog {
    fn identity(&self) -> Option<Identity> {
        self.identity.filter(|_| self.appender.is_some())
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        assert!(self.appender.is_none(), "the log is founded already");
        assert!(identity.node == self.config.node, "the log is founded for the node that opened it");
        self.guarded(|log| {
            log.identity = Some(identity);
            let founded = log.found_all(&identity, groups);
            if founded.is_err() {
                (log.identity, log.appender) = (None, None);
                log.groups.clear();
                log.unpublished.clear();
                *log.shared.index.write() = Index::default();
            }
            founded
        })
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        std::mem::take(&mut self.recovered)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        self.guarded(|log| log.write_all(writes))
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        unimplemented!("contract")
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.guarded(|log| {
            // A blank log, of a node that waits to join, has no end to mark.
            if log.appender.as_ref().is_none_or(|appender| appender.is_settled) {
                return Ok(());
            }
            log.make_room(BLOCK_BYTES)?;
            log.appender().witness()
        })
    }

    fn entry_bytes_max(&self) -> u32 {
        self.config.entry_bytes_max
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        self.guarded(|log| log.release_through(group, through, membership))
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(DiskReader::new(Arc::clone(&self.shared)))
    }

    /// There is one, for whoever asks first: two would recycle segments out of their order.
    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        if self.has_upkeep.swap(true, Ordering::Relaxed) {
            return None;
        }
        let (pool, shared) = (Arc::clone(&self.pool), Arc::clone(&self.shared));
        Some(Box::new(DiskUpkeep::new(pool, shared, Arc::clone(&self.lock))))
    }
}

impl DiskLog {
    fn found_all(
        &mut self,
        identity: &Identity,
        groups: &[(GroupId, Option<Entry>)],
    ) -> Result<(), StorageError> {
        let (files, dir) = (Arc::clone(&self.files), self.config.dir.clone());
        identity::write(&*files, &dir, identity, Stage::Founding)?;
        self.found_segment(groups)?;
        identity::write(&*files, &dir, identity, Stage::Founded)?;
        self.recovered = groups
            .iter()
            .filter_map(|(group, entry)| Some((*group, founding_state(entry.as_ref()?))))
            .collect();
        Ok(())
    }

    fn release_through(
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
        restated.membership = Some(Arc::clone(membership));
        if restated.last.index <= through.index {
            restated.last = through;
        }
        self.make_room(RELEASE_BYTES_MAX)?;
        self.appender().batch.restatement(group, &restated);
        self.appender().append()?;
        let (start, last) = (restated.starts_after.index, restated.last.index);
        self.groups.insert(group, restated);
        self.shared.index.write().groups.entry(group).or_default().restart(start, last);
        self.retire_unneeded();
        Ok(())
    }
}

/// No restatement of one group is longer: 64 members with the longest addresses.
const RELEASE_BYTES_MAX: u64 = 20 << 10;

fn founding_state(entry: &Entry) -> Recovered {
    Recovered {
        hard_state: HardState::default(),
        starts_after: LogPosition::ZERO,
        membership: None,
        entries: vec![entry.meta()],
    }
}
