//! Frames: what follows the handshake on a connection, one message in each.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 1 | version of the protocol: nodes speak 2 to each other, clients 1 |
//! | 5 | 1 | kind of message, see [`super::peer`] and [`super::client`] |
//! | 6 | 8 | group |
//! | 14 | 4 | crc32c of bytes 0 to 13, then of the body; of a chunk's body only of what stands before the snapshot's bytes |
//! | 18 | | the body |
//!
//! The length is judged before room is made for the body; all else is believed only when the checksum holds. A checksum
//! that does not hold ends the connection: what follows it could be anything.
//!
//! The bytes of a snapshot come by the gigabyte, and a snapshot has checksums of its own, salted with its id and with their
//! place in it. Whoever sends them verifies those, whoever receives them does so before he stores a byte: another checksum
//! of the same bytes on the way would cost a tenth of the whole transfer's CPU and find nothing more.

use byteorder::{ByteOrder, LittleEndian};
use bytes::{Buf, Bytes};

use super::cursor::{WireError, Writer};
use super::snapshot::{CHUNK, CHUNK_HEAD_BYTES};
use crate::types::GroupId;

/// The version of the nodes' protocol; the handshake agrees on one. Version 1, which was never released, had no snapshots, no lanes,
/// and votes without the word on transfers: this build does not speak it.
pub(crate) const PROTOCOL_VERSION: u8 = 2;
/// The version of the clients' protocol, which goes its own way.
pub(crate) const CLIENT_VERSION: u8 = 1;
/// What stands before the body.
pub(crate) const HEADER_BYTES: usize = 18;

const CHECKSUM_AT: usize = 14;

/// A frame whose checksum held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What the body holds.
    pub(crate) kind: u8,
    /// Whom it is for.
    pub(crate) group: GroupId,
    /// The message itself.
    pub(crate) body: Bytes,
}

/// Why bytes are no frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The body would be longer than anything this node takes.
    #[error("a frame of {length} bytes is above the limit of {max}")]
    TooLong { length: usize, max: usize },
    /// Another version than the handshake agreed on.
    #[error("a frame of protocol version {0}")]
    Version(u8),
    /// Something changed on the way.
    #[error("a frame's checksum does not hold")]
    Checksum,
    /// The frame came as it was sent, and means nothing.
    #[error(transparent)]
    Body(#[from] WireError),
}

/// Appends one frame to `out`; `body` appends the body.
///
/// # Panics
/// If the body is 4 GiB or more: limits stand far below.
pub(crate) fn seal(
    version: u8,
    kind: u8,
    group: GroupId,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    begin(version, kind, group, out);
    body(out);
    finish(&mut out[start..], 0, &[]);
}

/// Appends one frame to `out` but for `rest`, with which its body ends and which must follow; `body` appends what stands
/// before that.
///
/// # Panics
/// As [`seal`].
pub(crate) fn seal_before(
    version: u8,
    kind: u8,
    group: GroupId,
    rest: &[u8],
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    begin(version, kind, group, out);
    body(out);
    finish(&mut out[start..], rest.len(), rest);
}

/// Appends the frame of a chunk to `out` but for the `rest` bytes of the snapshot with which it ends and which must
/// follow; `head` appends what stands before them.
///
/// # Panics
/// As [`seal`].
pub(crate) fn seal_chunk(group: GroupId, rest: usize, out: &mut Vec<u8>, head: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    begin(PROTOCOL_VERSION, CHUNK, group, out);
    head(out);
    assert_eq!(
        out.len() - start,
        HEADER_BYTES + CHUNK_HEAD_BYTES,
        "a chunk's checksum covers all of its head"
    );
    finish(&mut out[start..], rest, &[]);
}

fn begin(version: u8, kind: u8, group: GroupId, out: &mut Vec<u8>) {
    Writer::new(out).u32(0).u8(version).u8(kind).u64(group.0).u32(0);
}

/// Fills in the length, which `rest` bytes more belong to, and the checksum, which also covers `covered` of them.
fn finish(frame: &mut [u8], rest: usize, covered: &[u8]) {
    let length = frame.len() - HEADER_BYTES + rest;
    LittleEndian::write_u32(frame, u32::try_from(length).expect("no frame is longer than its limit"));
    let sum = crc32c::crc32c_append(checksum(frame), covered);
    LittleEndian::write_u32(&mut frame[CHECKSUM_AT..], sum);
}

/// How long the frame of that version is that starts with `bytes`, header included; `None` while too little is there to
/// say. `max` is the longest frame taken.
pub(crate) fn announced_len(version: u8, bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(&found) = bytes.get(4) else {
        return Ok(None);
    };
    let length = (LittleEndian::read_u32(bytes) as usize).saturating_add(HEADER_BYTES);
    if length > max {
        return Err(FrameError::TooLong { length, max });
    }
    if found != version {
        return Err(FrameError::Version(found));
    }
    Ok(Some(length))
}

/// Opens one whole frame of that version, of the length that it announces.
pub(crate) fn open(version: u8, mut frame: Bytes) -> Result<Frame, FrameError> {
    assert!(
        announced_len(version, &frame, usize::MAX)? == Some(frame.len()) && frame.len() >= HEADER_BYTES,
        "a frame is opened when all of it is there, and nothing else"
    );
    if checksum(&frame) != LittleEndian::read_u32(&frame[CHECKSUM_AT..]) {
        return Err(FrameError::Checksum);
    }
    let (kind, group) = (frame[5], GroupId(LittleEndian::read_u64(&frame[6..])));
    // Other than a split this makes no second owner, for whom room would have to be made.
    frame.advance(HEADER_BYTES);
    Ok(Frame { kind, group, body: frame })
}

/// The checksum that a frame must have, or as much of it as the checksum covers.
pub(crate) fn checksum(frame: &[u8]) -> u32 {
    let (version, kind, body) = (frame[4], frame[5], &frame[HEADER_BYTES..]);
    let is_chunk = version == PROTOCOL_VERSION && kind == CHUNK;
    let covered = if is_chunk { &body[..body.len().min(CHUNK_HEAD_BYTES)] } else { body };
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CHECKSUM_AT]), covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        seal(PROTOCOL_VERSION, 9, GroupId(7), &mut out, |out| out.extend_from_slice(body));
        out.split_off(6)
    }

    #[test]
    fn a_frame_comes_back_as_it_was_sealed() {
        for body in [&b""[..], b"x", &vec![7; 70_000]] {
            let bytes = sealed(body);
            assert_eq!(announced_len(PROTOCOL_VERSION, &bytes, usize::MAX), Ok(Some(bytes.len())));

            let frame = open(PROTOCOL_VERSION, Bytes::from(bytes)).unwrap();

            assert_eq!((frame.kind, frame.group, frame.body.as_ref()), (9, GroupId(7), body));
        }
    }

    #[test]
    fn a_frame_that_is_written_in_two_parts_is_the_same_frame() {
        let mut out = Vec::new();
        seal_before(PROTOCOL_VERSION, 9, GroupId(7), b"and its end", &mut out, |out| {
            out.extend_from_slice(b"a message ");
        });
        out.extend_from_slice(b"and its end");

        assert_eq!(out, sealed(b"a message and its end"));
    }

    fn is_refused_with_a_flip(good: &[u8], bit: usize) -> bool {
        let mut flipped = good.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match announced_len(PROTOCOL_VERSION, &flipped, 1 << 20) {
            Ok(Some(length)) if length == flipped.len() => {
                open(PROTOCOL_VERSION, Bytes::from(flipped)).is_err()
            }
            // Another length: the frame is cut elsewhere, and its checksum is looked for in other bytes.
            Ok(length) => length.is_some(),
            Err(_) => true,
        }
    }

    #[test]
    fn no_flipped_bit_passes() {
        let good = sealed(b"a message of some length");
        for bit in 0..good.len() * 8 {
            assert!(is_refused_with_a_flip(&good, bit), "bit {bit}");
        }
    }

    /// Whose bytes are judged by whoever stores them.
    #[test]
    fn no_flipped_bit_passes_in_front_of_a_chunks_bytes() {
        let head = HEADER_BYTES + CHUNK_HEAD_BYTES;
        let mut good = Vec::new();
        seal(PROTOCOL_VERSION, CHUNK, GroupId(7), &mut good, |out| {
            out.extend_from_slice(&[5; CHUNK_HEAD_BYTES + 100]);
        });
        for bit in 0..good.len() * 8 {
            assert_eq!(is_refused_with_a_flip(&good, bit), bit / 8 < head, "bit {bit}");
        }
    }

    #[test]
    fn a_length_is_judged_by_the_header_alone() {
        let max = 1000;
        for length in [max as u32 - 17, u32::MAX, 1 << 31] {
            let mut header = Vec::new();
            Writer::new(&mut header).u32(length).u8(PROTOCOL_VERSION);
            assert!(
                matches!(announced_len(PROTOCOL_VERSION, &header, max), Err(FrameError::TooLong { .. })),
                "{length}"
            );
        }
        assert!(announced_len(PROTOCOL_VERSION, &sealed(&[0; 1000 - HEADER_BYTES]), max).is_ok());
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let mut bytes = sealed(b"");
        bytes[4] = PROTOCOL_VERSION + 1;

        assert_eq!(
            announced_len(PROTOCOL_VERSION, &bytes, 1000),
            Err(FrameError::Version(PROTOCOL_VERSION + 1))
        );
    }

    #[test]
    fn too_few_bytes_announce_nothing() {
        let bytes = sealed(b"body");

        assert!((0..5).all(|count| announced_len(PROTOCOL_VERSION, &bytes[..count], 1000) == Ok(None)));
    }
}
