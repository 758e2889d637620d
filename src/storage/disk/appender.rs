//! The end of the log, where batches are added.

use std::sync::Arc;

use super::batch::{BLOCK_BYTES, BatchBuilder, HEADER_BYTES, padded};
use super::header::End;
use super::index::Location;
use super::segment::Segment;
use crate::metrics::StorageMetrics;
use crate::planted::{Bug, planted};
use crate::storage::StorageError;

/// What is always left at the end of a segment, for its seal.
pub(super) const SEAL_BYTES: u64 = BLOCK_BYTES;

/// The room that a segment needs for one batch of `bytes` after an opening batch of `opening_bytes`.
pub(super) fn segment_bytes_for(opening_bytes: u64, bytes: u64) -> u64 {
    BLOCK_BYTES + padded(opening_bytes) + padded(bytes) + SEAL_BYTES
}

/// The room for batches in a fresh segment of `length` after an opening batch of `opening_bytes`.
pub(super) fn room_in_fresh_segment(length: u64, opening_bytes: u64) -> u64 {
    length.saturating_sub(segment_bytes_for(opening_bytes, 0))
}

/// Adds batches to the newest segment.
pub(super) struct Appender {
    pub(super) segment: Arc<Segment>,
    /// Everything before it is durable.
    pub(super) end: End,
    /// The next batch.
    pub(super) batch: BatchBuilder,
    /// The upkeep knows that a spare will be needed.
    pub(super) has_asked_for_spare: bool,
    /// Nothing was written since the last witness.
    pub(super) is_settled: bool,
    metrics: Arc<StorageMetrics>,
}

impl Appender {
    /// Goes on at `end` of `segment`.
    pub(super) fn new(segment: Arc<Segment>, end: End, metrics: Arc<StorageMetrics>) -> Self {
        let batch = BatchBuilder::new(segment.salt);
        Self { segment, end, batch, has_asked_for_spare: false, is_settled: false, metrics }
    }

    /// Goes on in a fresh segment, which follows this one's end.
    pub(super) fn move_to(&mut self, segment: Arc<Segment>) {
        self.batch.restart(segment.salt);
        self.segment = segment;
        self.has_asked_for_spare = false;
        self.end = End { offset: BLOCK_BYTES, ..self.end };
    }

    /// Whether a record of `bytes` fits into the batch that is being made.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        padded(self.batch.bytes() + bytes) <= self.room()
    }

    /// How long the batch that is being made can become.
    pub(super) fn room(&self) -> u64 {
        self.segment.length.saturating_sub(self.end.offset + SEAL_BYTES)
    }

    /// Writes the batch and syncs it: durable on return. An error is final.
    pub(super) fn append(&mut self) -> Result<Location, StorageError> {
        let Segment { path, file, number, length, .. } = &*self.segment;
        let location = Location::new(*number, self.end.offset);
        let (bytes, chain) = self.batch.finish(self.end.offset, self.end.chain);
        assert!(self.end.offset + bytes.len() as u64 <= *length, "a batch spans segments");
        let written = self.metrics.stage_write.time(|| file.write_all_at(bytes, self.end.offset));
        written.map_err(StorageError::io("write", path))?;
        let again = |error| if planted(Bug::RetriesFailedSyncs) { file.sync_data() } else { Err(error) };
        let sync = || if planted(Bug::WritesUnsynced) { Ok(()) } else { file.sync_data().or_else(again) };
        self.metrics.stage_sync.time(sync).map_err(StorageError::io("sync", path))?;
        self.metrics.batches.increment();
        self.metrics.bytes.add(bytes.len() as u64);
        self.end = End { offset: self.end.offset + bytes.len() as u64, chain };
        self.batch.restart(self.segment.salt);
        self.is_settled = false;
        Ok(location)
    }

    /// Ends the segment with the record that names the next one. The place in front of it stays the end: the next
    /// segment follows what was written before the seal.
    pub(super) fn seal(&mut self, next: &Segment) -> Result<(), StorageError> {
        assert!(self.batch.is_empty(), "a segment is sealed within a batch");
        let end = self.end;
        self.batch.seal(next.number, next.salt.value);
        self.append()?;
        self.end = end;
        Ok(())
    }

    /// Writes a batch whose only use is that its header says what was durable before it.
    pub(super) fn witness(&mut self) -> Result<(), StorageError> {
        self.batch.witness();
        self.append()?;
        self.is_settled = true;
        Ok(())
    }

    /// Whether so much of the segment is used that the next one should be prepared.
    pub(super) fn needs_successor_soon(&self) -> bool {
        self.end.offset > self.segment.length / 4
    }
}

/// What a batch takes beside its records.
pub(super) const BATCH_OVERHEAD_BYTES: u64 = HEADER_BYTES as u64;
