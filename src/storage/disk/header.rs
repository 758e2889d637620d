//! The first block of a segment: whose it is, which one, and where the one before it ends.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `quor-seg` |
//! | 8 | 4 | format |
//! | 12 | 4 | checksum of the segment's other fields (crc32c) |
//! | 16 | 8 | node |
//! | 24 | 8 | cluster |
//! | 32 | 8 | incarnation |
//! | 40 | 8 | number of the segment |
//! | 48 | 8 | salt |
//! | 56 | 8 | length of the file |
//! | 64 | 8 | where the segment before ends; 0 in segment 1 |
//! | 72 | 4 | the checksum of its last batch; 0 in segment 1 |
//! | 76 | | zeros up to 4096 |
//!
//! A segment gets its name only after its header is synced. So a header that does not verify is damage, never a crash;
//! and the header, durable, **is** the cut of whatever lies behind the end it names in the segment before.

use std::path::Path;

use byteorder::{ByteOrder, LittleEndian};

use super::DiskConfig;
use super::FORMAT;
use super::batch::BLOCK_BYTES;
use super::salt::Salt;
use crate::storage::{Identity, StorageError};
use crate::types::{ClusterId, Incarnation, LogIndex, NodeId};
use crate::wire::{Reader, WireError, Writer};

const MAGIC: &[u8; 8] = b"quor-seg";
const FIELDS_BYTES: usize = 76;

/// What the first block of a segment says.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentHeader {
    /// Whose log it belongs to.
    pub(super) identity: Identity,
    /// Which one it is.
    pub(super) number: u64,
    /// What its checksums are mixed with.
    pub(super) salt: Salt,
    /// How long the file was made.
    pub(super) length: u64,
    /// Where the segment before ends, and the checksum of its last batch.
    pub(super) follows: End,
}

/// A point between two batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Its offset.
    pub(super) offset: u64,
    /// The checksum of the batch before it.
    pub(super) chain: u32,
}

impl SegmentHeader {
    /// The block as it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
        Writer::new(&mut block)
            .bytes(MAGIC)
            .u32(FORMAT)
            .u32(0)
            .u64(self.identity.node.get())
            .u64(self.identity.cluster.0)
            .u64(self.identity.incarnation.0)
            .u64(self.number)
            .u64(self.salt.value)
            .u64(self.length)
            .u64(self.follows.offset)
            .u32(self.follows.chain);
        let checksum = checksum(&block);
        LittleEndian::write_u32(&mut block[12..16], checksum);
        block.resize(BLOCK_BYTES as usize, 0);
        block
    }

    /// Reads the block of the segment at `path`, and judges what can be judged without its neighbours.
    pub(super) fn decode(
        block: &[u8],
        path: &Path,
        expected: &Identity,
        number: u64,
        length: u64,
    ) -> Result<Self, StorageError> {
        let corrupt = |reason: String| StorageError::Corrupt {
            segment: path.to_owned(),
            offset: 0,
            index: LogIndex::ZERO,
            reason,
        };
        let mut reader = Reader::new(block);
        if reader.bytes(MAGIC.len()).map_err(|error| corrupt(error.to_string()))? != MAGIC {
            return Err(corrupt("it does not begin as a segment does".to_owned()));
        }
        let format = reader.u32().map_err(|error| corrupt(error.to_string()))?;
        if format > FORMAT {
            return Err(StorageError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
        }
        let is_whole = block.len() as u64 == BLOCK_BYTES;
        if !is_whole || reader.u32().ok() != Some(checksum(&block[..FIELDS_BYTES])) || format != FORMAT {
            return Err(corrupt("the checksum of its header is wrong".to_owned()));
        }
        let header = Self::fields(reader).map_err(|error| corrupt(error.to_string()))?;
        if (Identity { joined: expected.joined, ..header.identity }) != *expected {
            let Identity { node, cluster, incarnation, .. } = header.identity;
            return Err(corrupt(format!(
                "it belongs to node {node} of cluster {cluster}, incarnation {incarnation}"
            )));
        }
        if header.number != number {
            return Err(corrupt(format!("it holds segment {} under this name", header.number)));
        }
        if length < DiskConfig::SEGMENT_BYTES_MIN || !length.is_multiple_of(BLOCK_BYTES) {
            return Err(corrupt(format!("no segment is {length} bytes long")));
        }
        if header.length != length {
            return Err(corrupt(format!("it is {length} bytes long but was made with {}", header.length)));
        }
        Ok(header)
    }

    fn fields(mut reader: Reader<&[u8]>) -> Result<Self, WireError> {
        let identity = Identity {
            node: NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what: "node" })?,
            cluster: ClusterId(reader.u64()?),
            incarnation: Incarnation(reader.u64()?),
            joined: false,
        };
        let number = reader.u64()?;
        let salt = Salt::new(reader.u64()?, number);
        let length = reader.u64()?;
        let follows = End { offset: reader.u64()?, chain: reader.u32()? };
        Ok(Self { identity, number, salt, length, follows })
    }
}

/// Of all fields but the checksum itself.
fn checksum(fields: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&fields[..12]), &fields[16..FIELDS_BYTES])
}
