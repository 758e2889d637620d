//! What every handshake has in common, that of nodes ([`super::hello`]) and that of clients ([`super::client_hello`]).
//!
//! The outer form never changes, so that any two versions can at least refuse each other in words:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic: the first byte says who speaks and whether it asks or answers, the rest is `quorate` |
//! | 8 | 2 | length of the body, at most [`BODY_BYTES_MAX`] |
//! | 10 | 4 | crc32c of bytes 0 to 9, then of the body |
//! | 14 | | the body |
//!
//! A text in a body is a length of 2 and its bytes. A body may go on with optional fields, each tag 2, length 2, bytes:
//! those that are not known are skipped.

use std::fmt;

use byteorder::{ByteOrder, LittleEndian};

use super::cursor::{Reader, WireError, Writer};
use crate::types::NodeId;

/// What stands before the body.
pub(super) const PREFIX_BYTES: usize = 14;
const LENGTH_AT: usize = 8;
const CHECKSUM_AT: usize = 10;
/// The longest body, later versions' fields included.
pub(super) const BODY_BYTES_MAX: usize = 2048;
/// The longest hello or answer.
pub(crate) const GREETING_BYTES_MAX: usize = PREFIX_BYTES + BODY_BYTES_MAX;
/// The longest token.
pub(crate) const TOKEN_BYTES_MAX: usize = 1024;

/// Appends the greeting of that magic; `body` appends the body.
pub(super) fn seal(magic: [u8; 8], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    Writer::new(out).bytes(&magic).u16(0).u32(0);
    body(out);
    let sealed = &mut out[start..];
    let length = sealed.len() - PREFIX_BYTES;
    assert!(length <= BODY_BYTES_MAX, "what goes into a greeting was judged when it was configured");
    LittleEndian::write_u16(&mut sealed[LENGTH_AT..], length as u16);
    let sum = checksum(sealed);
    LittleEndian::write_u32(&mut sealed[CHECKSUM_AT..], sum);
}

/// How long the greeting of that magic is that starts with `bytes`; `None` while too little is there to say.
pub(super) fn announced_len(magic: [u8; 8], bytes: &[u8]) -> Result<Option<usize>, WireError> {
    // The first wrong byte is enough: a stranger need not send eight.
    if bytes.iter().zip(&magic).any(|(found, expected)| found != expected) {
        return Err(WireError::Invalid { what: "magic" });
    }
    if bytes.len() < CHECKSUM_AT {
        return Ok(None);
    }
    let length = usize::from(LittleEndian::read_u16(&bytes[LENGTH_AT..]));
    if length > BODY_BYTES_MAX {
        return Err(WireError::TooLong { what: "hello", length: length as u64, max: BODY_BYTES_MAX as u64 });
    }
    Ok(Some(PREFIX_BYTES + length))
}

/// The body of a greeting, which is all there and whose magic was recognised.
pub(super) fn open(bytes: &[u8]) -> Result<Reader<&[u8]>, WireError> {
    if let Some(missing @ 1..) = PREFIX_BYTES.checked_sub(bytes.len()) {
        return Err(WireError::Truncated { missing });
    }
    if checksum(bytes) != LittleEndian::read_u32(&bytes[CHECKSUM_AT..]) {
        return Err(WireError::Invalid { what: "checksum" });
    }
    Ok(Reader::new(&bytes[PREFIX_BYTES..]))
}

fn checksum(sealed: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sealed[..CHECKSUM_AT]), &sealed[PREFIX_BYTES..])
}

/// Eight bytes, not all zero.
pub(super) fn read_node(reader: &mut Reader<&[u8]>) -> Result<NodeId, WireError> {
    NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what: "node" })
}

/// A length of two bytes, then the bytes, which were judged when they were configured.
pub(super) fn write_text(writer: &mut Writer<'_>, text: &[u8]) {
    writer.u16(text.len() as u16).bytes(text);
}

/// As [`write_text`] wrote it, at most `max` bytes; `what` names it in the error.
pub(super) fn read_text<'a>(
    reader: &mut Reader<&'a [u8]>,
    what: &'static str,
    max: usize,
) -> Result<&'a [u8], WireError> {
    let length = usize::from(reader.u16()?);
    if length > max {
        return Err(WireError::TooLong { what, length: length as u64, max: max as u64 });
    }
    reader.bytes(length)
}

/// Reads the optional fields to the end. What a later version adds may be left unread, but must be well-formed.
pub(super) fn for_each_field(
    mut reader: Reader<&[u8]>,
    mut take: impl FnMut(u16, &[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    while reader.remaining() > 0 {
        let tag = reader.u16()?;
        let length = usize::from(reader.u16()?);
        take(tag, reader.bytes(length)?)?;
    }
    Ok(())
}

/// A token: compared in full, and never printed. Empty if none was agreed on.
#[derive(Clone, Default)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn new(token: Vec<u8>) -> Self {
        Self(token)
    }

    /// For the wire alone.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<&[u8]>) -> Result<Self, WireError> {
        read_text(reader, "token", TOKEN_BYTES_MAX).map(|token| Self(token.to_vec()))
    }
}

impl PartialEq for Secret {
    /// Takes as long for tokens that differ at once as for those that differ at the end.
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |seen, (a, b)| seen | (a ^ b));
        std::hint::black_box(differing) == 0 && self.0.len() == other.0.len()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_equal_only_in_full() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());

        assert_eq!(secret("abc"), secret("abc"));
        for other in ["", "ab", "abd", "xbc", "abcd"] {
            assert_ne!(secret("abc"), secret(other), "{other}");
        }
    }
}
