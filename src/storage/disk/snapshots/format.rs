//! What a snapshot's file looks like, byte by byte. The very same bytes travel to other nodes.
//!
//! ```text
//!  0
//!  ├─ head ─┼─ block 1 ─┼─ block 2 ─ · · · ─┼─ block n ─┼─ end ─┤
//! ```
//!
//! The head takes whole units of 4096 bytes, so that all that follows is written in aligned pieces:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `quor-snp` |
//! | 8 | 4 | format |
//! | 12 | 4 | checksum (crc32c) of the head's other bytes, its zeros included |
//! | 16 | 4 | length of the head, its zeros included |
//! | 20 | 4 | what the content is made of: 0: what the state machine wrote, and nothing else; other numbers are for later |
//! | 24 | 8 | cluster |
//! | 32 | 8 | group |
//! | 40 | 8 | id of the snapshot |
//! | 48 | 16 | the last entry that it covers: term 8, index 8 |
//! | 64 | | membership (its form stands in `wire::entry`), then zeros |
//!
//! A block takes 256 KiB, and only the last may be shorter; none is empty:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | checksum (crc32c, salted with the snapshot's id and the block's number, which counts from 1) of all that follows |
//! | 4 | 4 | length of the content |
//! | 8 | | the content |
//!
//! | offset | bytes | the end |
//! |---|---|---|
//! | 0 | 4 | checksum (crc32c, salted with the snapshot's id) of all that follows |
//! | 4 | 4 | `FF FF FF FF`, which is no length |
//! | 8 | 8 | number of blocks |
//! | 16 | 8 | length of the whole content |
//! | 24 | 4 | checksum of the checksums: the head's, then every block's |
//! | 28 | 4 | zeros |
//!
//! The salts make every block good at its own place of its own snapshot alone: none can be spliced, repeated or
//! exchanged. And the length of the file says where each block must stand, so nothing in it is believed unseen.
//!
//! 256 KiB: blocks of 64 KiB, 256 KiB and 1 MiB are written, read and received at the same speed (512 MiB each, within
//! the noise of a busy machine). Smaller ones lose less when a transfer is resumed, larger ones cost memory on the way.

use std::path::Path;
use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};

use crate::planted::{Bug, planted};
use crate::storage::StorageError;
use crate::storage::disk::FORMAT;
use crate::storage::disk::salt::Salt;
use crate::types::{ClusterId, GroupId, LogIndex, LogPosition, Membership, SnapshotId, SnapshotMeta, Term};
use crate::wire::{self, Reader, WireError, Writer};

const MAGIC: &[u8; 8] = b"quor-snp";

/// The head is as many of these as it needs.
pub(super) const HEAD_UNIT_BYTES: usize = 4096;

/// No head is longer: 64 members with the longest addresses.
const HEAD_BYTES_MAX: usize = 5 * HEAD_UNIT_BYTES;

const HEAD_FIXED_BYTES: usize = 64;

/// How long every block but the last is.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// What stands in front of a block's content.
pub(super) const BLOCK_HEAD_BYTES: usize = 8;

/// How long the end is.
pub(super) const END_BYTES: usize = 32;

const NO_LENGTH: u32 = u32::MAX;
const MACHINE_ALONE: u32 = 0;

const _: () = assert!(
    HEAD_FIXED_BYTES + 2 + Membership::MEMBERS_MAX * (19 + Membership::ADDRESS_BYTES_MAX) <= HEAD_BYTES_MAX,
    "the head holds every membership"
);

/// What is wrong with a snapshot's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A newer version wrote it.
    NewerFormat(u32),
    /// It is not what was written, or not what was expected.
    Bad {
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
}

impl Flaw {
    pub(super) fn bad(offset: u64, reason: impl Into<String>) -> Self {
        Self::Bad { offset, reason: reason.into() }
    }

    /// The same as an error that names the file.
    pub(super) fn of(self, path: &Path) -> StorageError {
        let path = path.to_owned();
        match self {
            Self::NewerFormat(found) => StorageError::NewerFormat { path, found, known: FORMAT },
            Self::Bad { offset, reason } => StorageError::BadSnapshot { path, offset, reason },
        }
    }
}

/// Which snapshot it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) cluster: ClusterId,
    pub(super) group: GroupId,
    pub(super) id: SnapshotId,
    pub(super) position: LogPosition,
    pub(super) membership: Arc<Membership>,
}

impl Head {
    /// The head as it is written, and its checksum.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = Vec::with_capacity(HEAD_UNIT_BYTES);
        Writer::new(&mut out)
            .bytes(MAGIC)
            .u32(FORMAT)
            .u32(0)
            .u32(0)
            .u32(MACHINE_ALONE)
            .u64(self.cluster.0)
            .u64(self.group.0)
            .u64(self.id.0)
            .u64(self.position.term.0)
            .u64(self.position.index.0);
        wire::encode_membership(&self.membership, &mut out);
        out.resize(out.len().next_multiple_of(HEAD_UNIT_BYTES), 0);
        let length = out.len() as u32;
        LittleEndian::write_u32(&mut out[16..20], length);
        let checksum = head_checksum(&out);
        LittleEndian::write_u32(&mut out[12..16], checksum);
        (out, checksum)
    }

    /// How long the head is whose first unit begins with `bytes`.
    pub(super) fn length(bytes: &[u8]) -> Result<usize, Flaw> {
        let invalid = |error: WireError| Flaw::bad(0, error.to_string());
        let mut reader = Reader::new(bytes);
        if reader.bytes(MAGIC.len()).map_err(invalid)? != MAGIC {
            return Err(Flaw::bad(0, "it does not begin as a snapshot does"));
        }
        let format = reader.u32().map_err(invalid)?;
        if format > FORMAT {
            return Err(Flaw::NewerFormat(format));
        }
        reader.u32().map_err(invalid)?;
        let length = reader.u32().map_err(invalid)? as usize;
        if format != FORMAT
            || length == 0
            || length > HEAD_BYTES_MAX
            || !length.is_multiple_of(HEAD_UNIT_BYTES)
        {
            return Err(Flaw::bad(0, "its head has a length that was never written"));
        }
        Ok(length)
    }

    /// Reads a head, of the length that it says; and its checksum.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u32), Flaw> {
        let checksum = head_checksum(bytes);
        if LittleEndian::read_u32(&bytes[12..16]) != checksum {
            return Err(Flaw::bad(0, "the checksum of its head is wrong"));
        }
        let head =
            Self::fields(Reader::new(&bytes[20..])).map_err(|error| Flaw::bad(20, error.to_string()))?;
        Ok((head, checksum))
    }

    fn fields(mut reader: Reader<&[u8]>) -> Result<Self, WireError> {
        if reader.u32()? != MACHINE_ALONE {
            return Err(WireError::Invalid { what: "kind of content" });
        }
        let (cluster, group) = (ClusterId(reader.u64()?), GroupId(reader.u64()?));
        let id = SnapshotId(reader.u64()?);
        let position = LogPosition::new(Term(reader.u64()?), LogIndex(reader.u64()?));
        let membership = Arc::new(wire::decode_membership(&mut reader)?);
        Ok(Self { cluster, group, id, position, membership })
    }

    /// The same for those who do not look into the file.
    pub(super) fn meta(&self, bytes: u64) -> SnapshotMeta {
        let Self { id, position, .. } = *self;
        SnapshotMeta { id, position, membership: Arc::clone(&self.membership), bytes }
    }
}

fn head_checksum(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &head[16..])
}

/// Where the parts of a file stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    head_bytes: u64,
    bytes: u64,
}

/// One part of a file: it is good or bad as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    /// The block with that number, from 1 on.
    Block(u64),
    End,
}

impl Layout {
    /// That of a file of `bytes` whose head has `head_bytes`.
    pub(super) fn new(head_bytes: usize, bytes: u64) -> Result<Self, Flaw> {
        let layout = Self { head_bytes: head_bytes as u64, bytes };
        let room = bytes.checked_sub(layout.head_bytes + END_BYTES as u64);
        match room.map(|room| room % BLOCK_BYTES as u64) {
            Some(0) => Ok(layout),
            Some(rest) if rest > BLOCK_HEAD_BYTES as u64 => Ok(layout),
            _ => Err(Flaw::bad(bytes, format!("no snapshot is {bytes} bytes long"))),
        }
    }

    /// How long the file is.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// How many blocks there are.
    pub(super) fn blocks(self) -> u64 {
        (self.end_offset() - self.head_bytes).div_ceil(BLOCK_BYTES as u64)
    }

    /// How long the content is.
    pub(super) fn content_bytes(self) -> u64 {
        self.end_offset() - self.head_bytes - self.blocks() * BLOCK_HEAD_BYTES as u64
    }

    /// Where the end stands.
    pub(super) fn end_offset(self) -> u64 {
        self.bytes - END_BYTES as u64
    }

    /// The part in which byte `offset` of the file is, where it starts, and where it ends.
    pub(super) fn part(self, offset: u64) -> (Part, u64, u64) {
        assert!(offset < self.bytes, "a part beyond the end of the file is asked for");
        if offset < self.head_bytes {
            return (Part::Head, 0, self.head_bytes);
        }
        if offset >= self.end_offset() {
            return (Part::End, self.end_offset(), self.bytes);
        }
        let before = (offset - self.head_bytes) / BLOCK_BYTES as u64;
        let start = self.head_bytes + before * BLOCK_BYTES as u64;
        (Part::Block(before + 1), start, (start + BLOCK_BYTES as u64).min(self.end_offset()))
    }
}

/// Fills in the first bytes of a block whose content is there; gives its checksum.
pub(super) fn seal_block(id: SnapshotId, number: u64, block: &mut [u8]) -> u32 {
    let length = (block.len() - BLOCK_HEAD_BYTES) as u32;
    LittleEndian::write_u32(&mut block[4..8], length);
    let checksum = Salt::new(id.0, number).checksum(&block[4..]);
    LittleEndian::write_u32(&mut block[..4], checksum);
    checksum
}

/// Judges a block of the length that its place gives it; gives its checksum.
pub(super) fn judge_block(id: SnapshotId, number: u64, block: &[u8], offset: u64) -> Result<u32, Flaw> {
    let (stored, checksum) =
        (LittleEndian::read_u32(&block[..4]), Salt::new(id.0, number).checksum(&block[4..]));
    let checksum = if planted(Bug::BelievesRottenBlocks) { stored } else { checksum };
    if stored != checksum {
        return Err(Flaw::bad(offset, format!("the checksum of block {number} is wrong")));
    }
    if LittleEndian::read_u32(&block[4..8]) as usize != block.len() - BLOCK_HEAD_BYTES {
        return Err(Flaw::bad(offset, format!("block {number} has the wrong length")));
    }
    Ok(checksum)
}

/// Adds a checksum to the checksum of the checksums.
pub(super) fn fold(checksums: u32, checksum: u32) -> u32 {
    crc32c::crc32c_append(checksums, &checksum.to_le_bytes())
}

/// What the end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) blocks: u64,
    pub(super) content_bytes: u64,
    pub(super) checksums: u32,
}

impl End {
    pub(super) fn encode(self, id: SnapshotId) -> Vec<u8> {
        let mut body = Vec::with_capacity(END_BYTES);
        Writer::new(&mut body)
            .u32(NO_LENGTH)
            .u64(self.blocks)
            .u64(self.content_bytes)
            .u32(self.checksums)
            .u32(0);
        let mut end = Vec::with_capacity(END_BYTES);
        Writer::new(&mut end).u32(end_salt(id).checksum(&body)).bytes(&body);
        end
    }

    /// Judges the end of the file that `layout` describes; gives the checksum of the checksums that it must have.
    pub(super) fn judge(id: SnapshotId, layout: Layout, bytes: &[u8]) -> Result<u32, Flaw> {
        let flaw = |reason: &str| Flaw::bad(layout.end_offset(), reason);
        if end_salt(id).checksum(&bytes[4..]) != LittleEndian::read_u32(&bytes[..4]) {
            return Err(flaw("the checksum of its end is wrong"));
        }
        let checksums = LittleEndian::read_u32(&bytes[24..28]);
        let expected = Self { blocks: layout.blocks(), content_bytes: layout.content_bytes(), checksums };
        if bytes != expected.encode(id) {
            return Err(flaw("its end does not belong to a file of this length"));
        }
        Ok(checksums)
    }
}

fn end_salt(id: SnapshotId) -> Salt {
    Salt::new(id.0, u64::MAX)
}
