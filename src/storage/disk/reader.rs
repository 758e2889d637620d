//! Reads entries back while the log is being written.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, Fault, HEADER_BYTES, Place};
use super::index::{Found, Shared};
use super::record::{ENTRY_FIXED_BYTES, HEAD_BYTES, Record};
use super::source::Source;
use crate::storage::{LogReader, StorageError};
use crate::types::{Entry, GroupId, LogIndex, LogPosition};
use crate::wire::decode_payload;

/// A reader of the log, for a thread of its own.
pub(super) struct DiskReader {
    shared: Arc<Shared>,
}

impl DiskReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl LogReader for DiskReader {
    fn read(
        &mut self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        assert!(first <= last, "an empty span of entries is asked for");
        let mut wanted = Wanted { group, next: first, last, bytes_left: bytes_max, entries: Vec::new() };
        while !wanted.is_complete() {
            if self.shared.is_poisoned() {
                return Err(StorageError::Poisoned);
            }
            let found = self.shared.index.read().find(group, wanted.next);
            match found {
                Some(found) => wanted.take_from(&found)?,
                None if wanted.entries.is_empty() => {
                    return Err(StorageError::NoSuchEntry { index: first });
                }
                None => break,
            }
        }
        Ok(wanted.entries)
    }
}

/// What a caller asked for, and what of it was read.
struct Wanted {
    group: GroupId,
    next: LogIndex,
    last: LogIndex,
    bytes_left: u64,
    entries: Vec<Entry>,
}

impl Wanted {
    fn is_complete(&self) -> bool {
        self.next > self.last || (self.bytes_left == 0 && !self.entries.is_empty())
    }

    /// Takes what a batch holds of it.
    fn take_from(&mut self, found: &Found) -> Result<(), StorageError> {
        let mut source = found.segment.source(found.offset);
        let index = self.next.prev();
        let corrupt = |offset, reason: &str| StorageError::Corrupt {
            segment: found.segment.path.clone(),
            offset,
            index,
            reason: reason.to_owned(),
        };
        let Some(header) = BatchHeader::parse(source.bytes(found.offset, HEADER_BYTES)?, found.segment.salt)
        else {
            return Err(corrupt(found.offset, "a batch that was durable is gone"));
        };
        if header.next_offset(found.offset) > found.segment.length {
            return Err(corrupt(found.offset, "a batch that was durable has changed"));
        }
        source.expect(header.length);
        let mut places = self.places(&header, found, &mut source).map_err(|fault| match fault {
            Fault::Unreadable(error) => error,
            Fault::Broken { offset, reason } => corrupt(offset, reason),
        })?;
        if places.first().map(|(position, _)| position.index) != Some(self.next) {
            return Err(corrupt(found.offset, "the batch does not hold the entry that was written to it"));
        }
        self.limit(&mut places);
        let records = copy(&places, &mut source)?;
        for ((position, place), record) in places.into_iter().zip(records) {
            if !place.head.verifies(&record, found.segment.salt) {
                return Err(corrupt(place.offset, "a record's checksum is wrong"));
            }
            let payload = decode_payload(record.slice(ENTRY_FIXED_BYTES..))
                .map_err(|error| corrupt(place.offset, &error.to_string()))?;
            self.entries.push(Entry { position, payload });
            self.next = position.index.next();
        }
        Ok(())
    }

    /// The places of the wanted entries in the batch.
    fn places<S: Source>(
        &self,
        header: &BatchHeader,
        found: &Found,
        source: &mut S,
    ) -> Result<Vec<(LogPosition, Place)>, Fault> {
        let mut places: Vec<(LogPosition, Place)> = Vec::new();
        let mut records = header.records(found.offset);
        while let Some(place) = records.next(source)? {
            if !(place.head.is_entry() && place.head.group == self.group) {
                continue;
            }
            let fixed = source.bytes(place.offset, ENTRY_FIXED_BYTES.min(place.bytes()))?;
            let Ok(Record::Entry { position, .. }) = place.head.decode(&fixed[HEAD_BYTES..]) else {
                return Err(Fault::Broken { offset: place.offset, reason: "an entry's record is too short" });
            };
            // Within a batch as in the whole log: an entry drops those at and after its index.
            while places.last().is_some_and(|(kept, _)| kept.index >= position.index) {
                places.pop();
            }
            if position.index >= self.next {
                places.push((position, place));
            }
        }
        let upto = found.last.min(self.last);
        places.retain(|(position, _)| position.index <= upto);
        Ok(places)
    }

    /// Leaves out those that do not fit any more; at least one entry is taken altogether.
    fn limit(&mut self, places: &mut Vec<(LogPosition, Place)>) {
        let mut fitting = 0;
        for (_, place) in &*places {
            let bytes = (place.bytes() - ENTRY_FIXED_BYTES) as u64;
            let is_first = self.entries.is_empty() && fitting == 0;
            if bytes > self.bytes_left && !is_first {
                self.bytes_left = 0;
                break;
            }
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            fitting += 1;
        }
        places.truncate(fitting);
    }
}

/// The records at `places`, in one allocation. A copy, because the segment may be recycled when they are still in use.
fn copy<S: Source>(places: &[(LogPosition, Place)], source: &mut S) -> Result<Vec<Bytes>, StorageError> {
    let total = places.iter().map(|(_, place)| place.bytes()).sum();
    let mut copied = BytesMut::with_capacity(total);
    let mut records = Vec::with_capacity(places.len());
    for (_, place) in places {
        copied.extend_from_slice(source.bytes(place.offset, place.bytes())?);
        records.push(copied.split().freeze());
    }
    Ok(records)
}
