//! What stands in many messages: positions, ids, lists, texts.

use bytes::Bytes;

use super::cursor::{Reader as Cursor, WireError, Writer};
use crate::types::{Boot, LogIndex, LogPosition, Membership, NodeId, ReadId, Term};

/// Reads the body of a frame; payloads stay slices of it.
pub(super) type Reader = Cursor<Bytes>;

/// Term 8, index 8.
pub(super) fn write_position(writer: &mut Writer<'_>, position: LogPosition) {
    writer.u64(position.term.0).u64(position.index.0);
}

/// As [`write_position`] wrote it.
pub(super) fn read_position(reader: &mut Reader) -> Result<LogPosition, WireError> {
    Ok(LogPosition::new(Term(reader.u64()?), LogIndex(reader.u64()?)))
}

/// Eight bytes.
pub(super) fn read_index(reader: &mut Reader) -> Result<LogIndex, WireError> {
    Ok(LogIndex(reader.u64()?))
}

/// Eight bytes, not all zero; `what` names the node in the error.
pub(super) fn read_node(reader: &mut Reader, what: &'static str) -> Result<NodeId, WireError> {
    NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what })
}

/// Boot 8, request 8.
pub(super) fn read_id(reader: &mut Reader) -> Result<ReadId, WireError> {
    Ok(ReadId { boot: Boot(reader.u64()?), request: reader.u64()? })
}

/// A count of four bytes that the bytes left can hold, if each thing counted takes at least `least` of them.
pub(super) fn read_count(reader: &mut Reader, what: &'static str, least: usize) -> Result<usize, WireError> {
    let count = reader.u32()? as usize;
    let max = reader.remaining() / least;
    if count > max {
        return Err(WireError::TooLong { what, length: count as u64, max: max as u64 });
    }
    Ok(count)
}

/// A length of two bytes, then the address.
///
/// # Panics
/// If it is longer than any length of two bytes: limits stand far below, and were judged.
pub(super) fn write_address(writer: &mut Writer<'_>, address: &str) {
    let length = u16::try_from(address.len()).expect("an address was judged before it is sent");
    writer.u16(length).bytes(address.as_bytes());
}

/// As much of the beginning of `text` as takes at most `max` bytes.
pub(super) fn beginning(text: &str, max: usize) -> &str {
    let end = (0..=max).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// As [`write_address`] wrote it, at most [`Membership::ADDRESS_BYTES_MAX`] bytes.
pub(super) fn read_address(reader: &mut Reader) -> Result<String, WireError> {
    const WHAT: &str = "address";
    let (length, max) = (usize::from(reader.u16()?), Membership::ADDRESS_BYTES_MAX);
    if length > max {
        return Err(WireError::TooLong { what: WHAT, length: length as u64, max: max as u64 });
    }
    let address = reader.bytes(length)?;
    Ok(str::from_utf8(&address).map_err(|_| WireError::Invalid { what: WHAT })?.to_owned())
}
