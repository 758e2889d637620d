//! Snapshots on the way: the offer's meta, the follower's pulls, the leader's chunks. The table stands at [`super::peer`].
//!
//! A chunk's bytes are the end of its frame, without a length of their own, which the frame has, and without a checksum,
//! which the snapshot has for each of its blocks. So all that stands before them can be written by itself, and they are
//! sent from where they are.

use std::sync::Arc;

use super::cursor::{WireError, Writer};
use super::entry::{decode_membership, encode_membership, membership_len};
use super::fields::{Reader, read_position, write_position};
use crate::types::{SnapshotChunk, SnapshotId, SnapshotMeta, SnapshotPull};

pub(super) const PULL: u8 = 15;
pub(super) const CHUNK: u8 = 16;

/// Id and offset, before the bytes.
pub(super) const CHUNK_HEAD_BYTES: usize = 16;
/// Id, position and length, before the membership.
const META_HEAD_BYTES: usize = 32;

pub(super) fn encode_meta(meta: &SnapshotMeta, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(meta.id.0);
    write_position(&mut writer, meta.position);
    writer.u64(meta.bytes);
    encode_membership(&meta.membership, out);
}

pub(super) fn meta_len(meta: &SnapshotMeta) -> usize {
    META_HEAD_BYTES + membership_len(&meta.membership)
}

pub(super) fn decode_meta(reader: &mut Reader) -> Result<SnapshotMeta, WireError> {
    Ok(SnapshotMeta {
        id: SnapshotId(reader.u64()?),
        position: read_position(reader)?,
        bytes: reader.u64()?,
        membership: Arc::new(decode_membership(reader)?),
    })
}

pub(super) fn encode_pull(pull: &SnapshotPull, out: &mut Vec<u8>) {
    Writer::new(out).u64(pull.id.0).u64(pull.offset).u32(pull.bytes);
}

pub(super) fn decode_pull(reader: &mut Reader) -> Result<SnapshotPull, WireError> {
    Ok(SnapshotPull { id: SnapshotId(reader.u64()?), offset: reader.u64()?, bytes: reader.u32()? })
}

/// What stands before a chunk's bytes, [`CHUNK_HEAD_BYTES`].
pub(super) fn encode_chunk_head(chunk: &SnapshotChunk, out: &mut Vec<u8>) {
    Writer::new(out).u64(chunk.id.0).u64(chunk.offset);
}

/// The bytes stay a slice of the frame. They never run beyond the last offset there is.
pub(super) fn decode_chunk(reader: &mut Reader) -> Result<SnapshotChunk, WireError> {
    let (id, offset) = (SnapshotId(reader.u64()?), reader.u64()?);
    let (length, max) = (reader.remaining() as u64, SnapshotChunk::BYTES_MAX as u64);
    if length > max {
        return Err(WireError::TooLong { what: "chunk of a snapshot", length, max });
    }
    if offset.checked_add(length).is_none() {
        return Err(WireError::Invalid { what: "offset of a chunk" });
    }
    let bytes = reader.bytes(length as usize)?;
    Ok(SnapshotChunk { id, offset, bytes })
}
