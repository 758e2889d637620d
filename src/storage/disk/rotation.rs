//! From one segment to the next, and the space for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::appender::{BATCH_OVERHEAD_BYTES, room_in_fresh_segment, segment_bytes_for};
use super::batch::{BLOCK_BYTES, padded};
use super::directory::segment_path;
use super::header::{End, SegmentHeader};
use super::log::DiskLog;
use super::pool::Spare;
use super::salt::Salt;
use super::segment::Segment;
use crate::planted::{Bug, planted};
use crate::storage::StorageError;

impl DiskLog {
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

    pub(super) fn open_segment(&mut self) -> Result<(), StorageError> {
        let appender = self.appender.as_mut().expect("a segment is opened by its appender");
        for (&group, known) in &self.groups {
            appender.batch.restatement(group, known);
        }
        appender.append()?;
        self.count_segments();
        Ok(())
    }

    /// How long the batch is that opens the next segment.
    pub(super) fn opening_bytes(&mut self) -> u64 {
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
    pub(super) fn spare(&mut self, bytes: u64) -> Result<Spare, StorageError> {
        if bytes > self.config.segment_bytes {
            let reason = format!("a segment of {} bytes does not hold {bytes}", self.config.segment_bytes);
            return Err(StorageError::Limits { reason });
        }
        if let Some(spare) = self.reserved.pop() {
            return Ok(spare);
        }
        if let Some(spare) = self.pool.take(bytes) {
            return Ok(spare);
        }
        self.metrics.unprepared_segments.increment();
        self.pool.make(self.pool.small_segment_bytes(bytes))
    }

    /// Sets segments aside for a write of those `records` that takes more than one: it must not find the disk full when
    /// half of it is written. `opening_growth` is what it adds to the batch that opens a segment.
    pub(super) fn reserve(
        &mut self,
        records: impl Iterator<Item = u64>,
        opening_growth: u64,
    ) -> Result<(), StorageError> {
        let opening_bytes = self.opening_bytes() + opening_growth;
        let fresh_room = room_in_fresh_segment(self.config.segment_bytes, opening_bytes);
        let mut room = self.appender().room();
        let mut batch = BATCH_OVERHEAD_BYTES;
        for bytes in records {
            batch += bytes;
            if padded(batch) > room {
                let spare = self.full_spare().inspect_err(|_| self.release_reserved())?;
                self.reserved.push(spare);
                (room, batch) = (fresh_room, BATCH_OVERHEAD_BYTES + bytes);
            }
        }
        Ok(())
    }

    /// Spares of one length alone: so each of them takes at least what was reckoned.
    fn full_spare(&mut self) -> Result<Spare, StorageError> {
        if let Some(spare) = self.pool.take_full() {
            return Ok(spare);
        }
        self.metrics.unprepared_segments.increment();
        self.pool.make(self.config.segment_bytes)
    }

    pub(super) fn release_reserved(&mut self) {
        self.reserved.drain(..).for_each(|spare| self.pool.add(spare));
    }

    /// Makes a spare the segment `number`, durably. Its header is the cut of whatever lies behind `follows`.
    pub(super) fn name_segment(
        &self,
        spare: Spare,
        number: u64,
        follows: End,
    ) -> Result<Arc<Segment>, StorageError> {
        let Spare { path: spare_path, file, length } = spare;
        let dir = &self.config.dir;
        let identity = self.identity.expect("a log without identity has no segments");
        let salt = Salt::new(self.files.random().map_err(StorageError::io("draw a salt for", dir))?, number);
        let header = SegmentHeader { identity, number, salt, length, follows };
        file.write_all_at(&header.encode(), 0).map_err(StorageError::io("write", &spare_path))?;
        file.sync_data().map_err(StorageError::io("sync", &spare_path))?;
        let path: PathBuf = segment_path(dir, number);
        self.files.rename(&spare_path, &path).map_err(StorageError::io("rename", &spare_path))?;
        if !planted(Bug::NamesSegmentUnsynced) {
            self.files.sync_dir(dir).map_err(StorageError::io("sync", dir))?;
        }
        let map = file.map(length).map_err(StorageError::io("map", &path))?;
        Ok(Arc::new(Segment { number, salt, length, path, file, hot_from: BLOCK_BYTES, map }))
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
