//! What nodes say to each other, as the bodies of frames.
//!
//! A position is a term of 8 bytes and an index of 8 bytes; a list starts with its count, 4 bytes.
//!
//! | kind | message | body |
//! |---|---|---|
//! | 0 | ping | nothing: says that the sender lives when it has nothing else to say |
//! | 1 | pre-vote | term 8, last position |
//! | 2 | answer to it | term 8, granted 1 |
//! | 3 | vote | term 8, last position, transfer 1 |
//! | 4 | answer to it | term 8, granted 1 |
//! | 5 | append | term 8, previous position, commit 8, list of entries: term 8, length 4, payload ([`super::entry`]) |
//! | 6 | answer to it | term 8, then 0 and the matched index 8, or 1, the previous index 8, and the hint, a position |
//! | 7 | heartbeat | term 8, commit 8, round 8 |
//! | 8 | answer to it | term 8, matched index 8, round 8 |
//! | 9 | read index | term 8, boot 8, request 8 |
//! | 10 | answer to it | term 8, boot 8, request 8, then 0, or 1 and the index 8 |
//! | 11 | forward | term 8, list of commands: node 8, incarnation 8, boot 8, request 8, length 4, command |
//! | 12 | answer to it | 0 and the first position, or 1 not leader, 2 busy, 3 malformed; list of requests 8 |
//! | 13 | snapshot offer | term 8, id 8, position, length 8, membership ([`super::entry`]) |
//! | 14 | timeout now | term 8 |
//! | 15 | pull | snapshot 8, offset 8, how many bytes at most 4 |
//! | 16 | chunk | snapshot 8, offset 8, the bytes to the end, at most 1 MiB, which have their own checksums |
//! | 17 | operator's wish | request 8, the wish ([`super::admin`]) |
//! | 18 | answer to it | request 8, the outcome ([`super::admin`]) |
//!
//! Counts are believed only as far as there are bytes for them, or up to a limit; payloads and chunks stay slices of the
//! frame.

use super::admin::{self, ADMIN, ADMIN_ANSWER};
use super::fields::Reader;
use super::forward::{self, FORWARD, FORWARD_ANSWER};
use super::frame::{self, Frame, FrameError, HEADER_BYTES, PROTOCOL_VERSION};
use super::raft;
use super::snapshot::{self, CHUNK, CHUNK_HEAD_BYTES, PULL};
use crate::types::{GroupId, PeerMessage, SnapshotChunk};

const PING: u8 = 0;

const PULL_BYTES: usize = 20;

/// What stands before a chunk's bytes, the frame's own head included.
pub(crate) const CHUNK_FRAME_HEAD_BYTES: usize = HEADER_BYTES + CHUNK_HEAD_BYTES;
/// The longest frame that carries a chunk.
pub(crate) const CHUNK_FRAME_BYTES_MAX: usize = CHUNK_FRAME_HEAD_BYTES + SnapshotChunk::BYTES_MAX;

/// Appends the frame that says nothing but "I am here".
pub(crate) fn encode_ping(out: &mut Vec<u8>) {
    frame::seal(PROTOCOL_VERSION, PING, GroupId(0), out, |_| ());
}

/// Appends `message` as one frame, at most [`frame_len`] bytes.
pub(crate) fn encode(group: GroupId, message: &PeerMessage, out: &mut Vec<u8>) {
    out.reserve(frame_len(message));
    frame::seal(PROTOCOL_VERSION, kind(message), group, out, |out| match message {
        PeerMessage::Raft { message, entries } => raft::encode(message, entries, out),
        PeerMessage::Forward(forward) => forward::encode(forward, out),
        PeerMessage::ForwardAnswer(answer) => forward::encode_answer(answer, out),
        PeerMessage::Pull(pull) => snapshot::encode_pull(pull, out),
        PeerMessage::Chunk(chunk) => {
            snapshot::encode_chunk_head(chunk, out);
            out.extend_from_slice(&chunk.bytes);
        }
        PeerMessage::Admin(admin) => admin::encode_admin(admin, out),
        PeerMessage::AdminAnswer(answer) => admin::encode_answer(answer, out),
    });
}

/// Appends the frame of `chunk` without the chunk's bytes, which must follow it: so they need not be copied.
pub(crate) fn encode_chunk_head(group: GroupId, chunk: &SnapshotChunk, out: &mut Vec<u8>) {
    frame::seal_chunk(group, chunk.bytes.len(), out, |out| snapshot::encode_chunk_head(chunk, out));
}

/// How many bytes [`encode`] appends at most. Exact for the messages that can be long.
pub(crate) fn frame_len(message: &PeerMessage) -> usize {
    HEADER_BYTES
        + match message {
            PeerMessage::Raft { message, entries } => raft::body_len(message, entries),
            PeerMessage::Forward(forward) => forward::body_len(forward),
            PeerMessage::ForwardAnswer(answer) => forward::answer_len(answer),
            PeerMessage::Pull(_) => PULL_BYTES,
            PeerMessage::Chunk(chunk) => CHUNK_HEAD_BYTES + chunk.bytes.len(),
            // So rare that to write them twice costs less than a second description of their form.
            PeerMessage::Admin(admin) => length_of(|out| admin::encode_admin(admin, out)),
            PeerMessage::AdminAnswer(answer) => length_of(|out| admin::encode_answer(answer, out)),
        }
}

fn length_of(encode: impl FnOnce(&mut Vec<u8>)) -> usize {
    let mut out = Vec::new();
    encode(&mut out);
    out.len()
}

/// Whether a receiver would take `message`, its length as a frame aside. What a person or a disk put into it may be beyond
/// the limits of this protocol: then it is dropped here, and not with the connection there.
pub(crate) fn is_within_limits(message: &PeerMessage) -> bool {
    match message {
        PeerMessage::Chunk(chunk) => chunk.bytes.len() <= SnapshotChunk::BYTES_MAX,
        PeerMessage::Admin(admin) => admin::is_within_limits(admin),
        _ => true,
    }
}

/// What a frame says; `None` is a ping.
pub(crate) fn decode(frame: Frame) -> Result<Option<PeerMessage>, FrameError> {
    let mut reader = Reader::new(frame.body);
    let message = match frame.kind {
        PING => None,
        FORWARD => Some(PeerMessage::Forward(forward::decode(&mut reader)?)),
        FORWARD_ANSWER => Some(PeerMessage::ForwardAnswer(forward::decode_answer(&mut reader)?)),
        PULL => Some(PeerMessage::Pull(snapshot::decode_pull(&mut reader)?)),
        CHUNK => Some(PeerMessage::Chunk(snapshot::decode_chunk(&mut reader)?)),
        ADMIN => Some(PeerMessage::Admin(admin::decode_admin(&mut reader)?)),
        ADMIN_ANSWER => Some(PeerMessage::AdminAnswer(admin::decode_answer(&mut reader)?)),
        kind => Some(raft::decode(kind, &mut reader)?),
    };
    reader.finish("end of a message")?;
    Ok(message)
}

fn kind(message: &PeerMessage) -> u8 {
    match message {
        PeerMessage::Raft { message, .. } => raft::kind(&message.body),
        PeerMessage::Forward(_) => FORWARD,
        PeerMessage::ForwardAnswer(_) => FORWARD_ANSWER,
        PeerMessage::Pull(_) => PULL,
        PeerMessage::Chunk(_) => CHUNK,
        PeerMessage::Admin(_) => ADMIN,
        PeerMessage::AdminAnswer(_) => ADMIN_ANSWER,
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
pub(crate) mod tests;
