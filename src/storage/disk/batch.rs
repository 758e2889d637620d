//! Batches: what one `pwrite` puts on the disk and one sync makes durable.
//!
//! A batch starts on a block of its own, so that a torn write of its neighbour cannot reach it, and ends with zeros up
//! to the next block.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | salt of the segment |
//! | 8 | 8 | synced up to: everything of this segment before that offset was durable when this batch was written |
//! | 16 | 4 | length of the batch, this header included, the zeros not |
//! | 20 | 4 | number of records |
//! | 24 | 4 | chain: the checksum of the batch before, which may be in the segment before |
//! | 28 | 4 | checksum of the records' checksums |
//! | 32 | 4 | checksum of this header (salted): the batch's own |
//! | 36 | | the records, one after the other |
//!
//! No batch is written before the one in front of it is synced. So *synced up to* is the batch's own offset, which finds
//! a misdirected write as well; and a valid header behind a hole proves that the hole was durable once.

#[cfg(test)]
use byteorder::{ByteOrder, LittleEndian};

use super::record::{self, HEAD_BYTES, Head, Restatement};
use super::salt::Salt;
use super::source::Source;
use crate::planted::{Bug, planted};
use crate::storage::StorageError;
use crate::types::{Entry, GroupId, HardState};
use crate::wire::{Reader, Writer};

/// Segments consist of blocks; the first holds the segment's header.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// How long a batch's header is. It lies in one sector, which is written whole or not at all.
pub(super) const HEADER_BYTES: usize = 36;

/// The length of `bytes` in whole blocks.
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// A batch being made, in a buffer that is used again for the next one.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    bytes: Vec<u8>,
    salt: Salt,
    records: u32,
    records_checksum: u32,
}

impl BatchBuilder {
    /// An empty batch for a segment with that salt.
    pub(super) fn new(salt: Salt) -> Self {
        Self { bytes: vec![0; HEADER_BYTES], salt, records: 0, records_checksum: 0 }
    }

    /// Forgets what it holds and begins again for a segment with that salt.
    pub(super) fn restart(&mut self, salt: Salt) {
        // A giant batch must not keep its memory for ever.
        self.bytes.shrink_to(KEPT_BYTES);
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        (self.salt, self.records, self.records_checksum) = (salt, 0, 0);
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How long it is now, without the zeros at its end.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Adds an entry.
    pub(super) fn entry(&mut self, group: GroupId, entry: &Entry) {
        let checksum = record::encode_entry(group, entry, self.salt, &mut self.bytes);
        self.count(checksum);
    }

    /// Adds a term and vote.
    pub(super) fn hard_state(&mut self, group: GroupId, state: HardState) {
        let checksum = record::encode_hard_state(group, state, self.salt, &mut self.bytes);
        self.count(checksum);
    }

    /// Adds all that is known of a group but its entries.
    pub(super) fn restatement(&mut self, group: GroupId, restated: &Restatement) {
        let checksum = record::encode_restatement(group, restated, self.salt, &mut self.bytes);
        self.count(checksum);
    }

    /// Adds the end of the segment.
    pub(super) fn seal(&mut self, next_number: u64, next_salt: u64) {
        let checksum = record::encode_seal(next_number, next_salt, self.salt, &mut self.bytes);
        self.count(checksum);
    }

    /// Adds a record that says nothing.
    pub(super) fn witness(&mut self) {
        let checksum = record::encode_witness(self.salt, &mut self.bytes);
        self.count(checksum);
    }

    /// Completes the batch for its place: its bytes in whole blocks, and its checksum, the next one's chain.
    pub(super) fn finish(&mut self, offset: u64, chain: u32) -> (&[u8], u32) {
        let length = u32::try_from(self.bytes.len()).expect("a batch fits its segment");
        let mut header = Vec::with_capacity(HEADER_BYTES);
        Writer::new(&mut header)
            .u64(self.salt.value)
            .u64(offset)
            .u32(length)
            .u32(self.records)
            .u32(chain)
            .u32(self.records_checksum);
        let checksum = self.salt.checksum(&header);
        Writer::new(&mut header).u32(checksum);
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        self.bytes.resize(padded(u64::from(length)) as usize, 0);
        (&self.bytes, checksum)
    }

    fn count(&mut self, checksum: u32) {
        self.records += 1;
        self.records_checksum = fold(self.records_checksum, checksum);
    }
}

/// How much memory a builder keeps between batches.
const KEPT_BYTES: usize = 4 << 20;

fn fold(checksums: u32, checksum: u32) -> u32 {
    crc32c::crc32c_append(checksums, &checksum.to_le_bytes())
}

/// A batch's header whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchHeader {
    /// Everything of the segment before that offset was durable when the batch was written.
    pub(super) synced_upto: u64,
    /// With this header, without the zeros.
    pub(super) length: u32,
    /// How many records there are.
    pub(super) records: u32,
    /// The checksum of the batch before.
    pub(super) chain: u32,
    records_checksum: u32,
    /// The batch's own.
    pub(super) checksum: u32,
}

impl BatchHeader {
    /// Reads [`HEADER_BYTES`]; `None` if no batch of this segment starts here.
    pub(super) fn parse(bytes: &[u8], salt: Salt) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u64().ok()? != salt.value {
            return None;
        }
        let header = Self {
            synced_upto: reader.u64().ok()?,
            length: reader.u32().ok()?,
            records: reader.u32().ok()?,
            chain: reader.u32().ok()?,
            records_checksum: reader.u32().ok()?,
            checksum: reader.u32().ok()?,
        };
        (salt.checksum(&bytes[..HEADER_BYTES - 4]) == header.checksum).then_some(header)
    }

    /// Where the batch after the one at `offset` starts.
    pub(super) fn next_offset(&self, offset: u64) -> u64 {
        offset + padded(u64::from(self.length))
    }

    /// The records of the batch at `offset`, one head after the other.
    pub(super) fn records(&self, offset: u64) -> Records {
        Records { at: offset + HEADER_BYTES as u64, end: offset + u64::from(self.length), left: self.records }
    }

    /// Whether every record of the batch at `offset` is what was written. The batch lies within the file.
    pub(super) fn verify<S: Source>(&self, source: &mut S, offset: u64, salt: Salt) -> Result<(), Fault> {
        let mut records = self.records(offset);
        let mut checksums = 0;
        while let Some(place) = records.next(source)? {
            let is_whole = place.head.verifies(source.bytes(place.offset, place.bytes())?, salt);
            if !is_whole && !planted(Bug::BelievesTornBatches) {
                return Err(Fault::broken(place.offset, "a record's checksum is wrong"));
            }
            checksums = fold(checksums, place.head.checksum);
        }
        if checksums == self.records_checksum || planted(Bug::BelievesTornBatches) {
            Ok(())
        } else {
            Err(Fault::broken(offset, "the records are not those of their batch"))
        }
    }
}

/// Up to where a segment was durable as its last batch says. Damage in front of that is refused by name; behind it, it may be a
/// torn write.
#[cfg(test)]
pub(crate) fn surely_durable(segment: &[u8]) -> u64 {
    let number = |at: usize| LittleEndian::read_u64(&segment[at..]);
    let salt = Salt::new(number(48), number(40));
    let blocks = segment.chunks_exact(BLOCK_BYTES as usize);
    let batches = blocks.filter_map(|block| BatchHeader::parse(&block[..HEADER_BYTES], salt));
    batches.map(|batch| batch.synced_upto).max().unwrap_or(0)
}

/// Why a batch with a valid header cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what was written.
    Broken {
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The operating system refused.
    Unreadable(StorageError),
}

impl Fault {
    fn broken(offset: u64, reason: &'static str) -> Self {
        Self::Broken { offset, reason }
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Unreadable(error)
    }
}

/// A record and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) head: Head,
}

impl Place {
    /// The length of the record, head and body.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.head.body_bytes as usize
    }
}

/// Goes through the records of a batch by their lengths, each judged before it is believed.
#[derive(Clone, Debug)]
pub(super) struct Records {
    at: u64,
    end: u64,
    left: u32,
}

impl Records {
    /// The next record; `None` after the last.
    pub(super) fn next<S: Source>(&mut self, source: &mut S) -> Result<Option<Place>, Fault> {
        let left = self.end.saturating_sub(self.at);
        if self.left == 0 {
            return match left {
                0 => Ok(None),
                _ => Err(Fault::broken(self.at, "the batch is longer than its records")),
            };
        }
        if left < HEAD_BYTES as u64 {
            return Err(Fault::broken(self.at, "the batch ends within a record"));
        }
        let head = Head::parse(source.bytes(self.at, HEAD_BYTES)?)
            .map_err(|_| Fault::broken(self.at, "a record's head is cut off"))?;
        let place = Place { offset: self.at, head };
        if left < place.bytes() as u64 {
            return Err(Fault::broken(self.at, "a record is longer than its batch"));
        }
        self.at += place.bytes() as u64;
        self.left -= 1;
        Ok(Some(place))
    }
}
