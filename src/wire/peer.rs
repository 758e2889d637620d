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
//!
//! The entries of an append have no indexes: they follow the previous position. Counts are believed only as far as there
//! are bytes for them, and payloads stay slices of the frame.

use std::sync::Arc;

use bytes::Bytes;

use super::cursor::{Reader as Cursor, WireError, Writer};
use super::entry::{decode_payload, encode_payload, payload_len};
use super::frame::{self, Frame, FrameError, HEADER_BYTES};
use crate::types::{
    Append, AppendAnswer, Body, Boot, Entry, EntryRun, Forward, ForwardAnswer, Forwarded, GroupId, Heartbeat,
    HeartbeatAnswer, Incarnation, LogIndex, LogPosition, LogSlice, Message, NodeId, Origin, PeerMessage,
    ReadId, Refusal, Round, Term,
};

const PING: u8 = 0;
const PRE_VOTE: u8 = 1;
const PRE_VOTE_ANSWER: u8 = 2;
const VOTE: u8 = 3;
const VOTE_ANSWER: u8 = 4;
const APPEND: u8 = 5;
const APPEND_ANSWER: u8 = 6;
const HEARTBEAT: u8 = 7;
const HEARTBEAT_ANSWER: u8 = 8;
const READ_INDEX: u8 = 9;
const READ_INDEX_ANSWER: u8 = 10;
const FORWARD: u8 = 11;
const FORWARD_ANSWER: u8 = 12;
const SNAPSHOT_OFFER: u8 = 13;
const TIMEOUT_NOW: u8 = 14;

const APPENDED: u8 = 0;
const NOT_LEADER: u8 = 1;
const BUSY: u8 = 2;
const MALFORMED: u8 = 3;

/// Term, previous position, commit, count.
const APPEND_HEAD_BYTES: usize = 36;
/// Term and length, before each payload.
const ENTRY_HEAD_BYTES: usize = 12;
/// Term and count.
const FORWARD_HEAD_BYTES: usize = 12;
/// Origin and length, before each command.
const FORWARDED_HEAD_BYTES: usize = 36;
/// No other message but an answer to a forward has a longer body.
const SMALL_BODY_BYTES_MAX: usize = 48;

type Reader = Cursor<Bytes>;

/// Appends the frame that says nothing but "I am here".
pub(crate) fn encode_ping(out: &mut Vec<u8>) {
    frame::seal(PING, GroupId(0), out, |_| ());
}

/// Appends `message` as one frame, at most [`frame_len`] bytes.
pub(crate) fn encode(group: GroupId, message: &PeerMessage, out: &mut Vec<u8>) {
    out.reserve(frame_len(message));
    frame::seal(kind(message), group, out, |out| match message {
        PeerMessage::Raft { message, entries } => encode_raft(message, entries, out),
        PeerMessage::Forward(forward) => encode_forward(forward, out),
        PeerMessage::ForwardAnswer(answer) => encode_forward_answer(answer, out),
        _ => unimplemented!("contract"),
    });
}

/// How many bytes [`encode`] appends at most. Exact for the messages that can be long.
pub(crate) fn frame_len(message: &PeerMessage) -> usize {
    let body = match message {
        PeerMessage::Raft { message: Message { body: Body::Append(_), .. }, entries } => {
            let entries = entries.iter().flat_map(EntryRun::entries);
            let entry_len = |entry: &Entry| ENTRY_HEAD_BYTES + payload_len(&entry.payload);
            APPEND_HEAD_BYTES + entries.map(entry_len).sum::<usize>()
        }
        PeerMessage::Raft { .. } => SMALL_BODY_BYTES_MAX,
        PeerMessage::Forward(Forward { commands, .. }) => {
            let command_len = |forwarded: &Forwarded| FORWARDED_HEAD_BYTES + forwarded.command.len();
            FORWARD_HEAD_BYTES + commands.iter().map(command_len).sum::<usize>()
        }
        PeerMessage::ForwardAnswer(answer) => SMALL_BODY_BYTES_MAX + 8 * answer.requests.len(),
        _ => unimplemented!("contract"),
    };
    HEADER_BYTES + body
}

/// What a frame says; `None` is a ping.
pub(crate) fn decode(frame: Frame) -> Result<Option<PeerMessage>, FrameError> {
    let mut reader = Reader::new(frame.body);
    let message = match frame.kind {
        PING => None,
        FORWARD => Some(PeerMessage::Forward(decode_forward(&mut reader)?)),
        FORWARD_ANSWER => Some(PeerMessage::ForwardAnswer(decode_forward_answer(&mut reader)?)),
        kind => Some(decode_raft(kind, &mut reader)?),
    };
    reader.finish("end of a message")?;
    Ok(message)
}

fn kind(message: &PeerMessage) -> u8 {
    match message {
        PeerMessage::Raft { message, .. } => match message.body {
            Body::PreVote { .. } => PRE_VOTE,
            Body::PreVoteAnswer { .. } => PRE_VOTE_ANSWER,
            Body::Vote { .. } => VOTE,
            Body::VoteAnswer { .. } => VOTE_ANSWER,
            Body::Append(_) => APPEND,
            Body::AppendAnswer(_) => APPEND_ANSWER,
            Body::Heartbeat(_) => HEARTBEAT,
            Body::HeartbeatAnswer(_) => HEARTBEAT_ANSWER,
            Body::ReadIndex { .. } => READ_INDEX,
            Body::ReadIndexAnswer { .. } => READ_INDEX_ANSWER,
            Body::SnapshotOffer(_) => SNAPSHOT_OFFER,
            Body::TimeoutNow => TIMEOUT_NOW,
        },
        PeerMessage::Forward(_) => FORWARD,
        PeerMessage::ForwardAnswer(_) => FORWARD_ANSWER,
        _ => unimplemented!("contract"),
    }
}

fn encode_raft(message: &Message, entries: &[EntryRun], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(message.term.0);
    match &message.body {
        Body::PreVote { last } => position(&mut writer, *last),
        Body::Vote { last, transfer } => {
            position(&mut writer, *last);
            writer.bool(*transfer);
        }
        Body::SnapshotOffer(_) | Body::TimeoutNow => unimplemented!("contract"),
        Body::PreVoteAnswer { granted } | Body::VoteAnswer { granted } => {
            writer.bool(*granted);
        }
        Body::Append(append) => encode_append(append, entries, out),
        Body::AppendAnswer(AppendAnswer::Accepted { matched }) => {
            writer.bool(false).u64(matched.0);
        }
        Body::AppendAnswer(AppendAnswer::Rejected { prev, hint }) => {
            writer.bool(true).u64(prev.0);
            position(&mut writer, *hint);
        }
        Body::Heartbeat(Heartbeat { commit, round }) => {
            writer.u64(commit.0).u64(round.0);
        }
        Body::HeartbeatAnswer(HeartbeatAnswer { matched, round }) => {
            writer.u64(matched.0).u64(round.0);
        }
        Body::ReadIndex { id } => {
            writer.u64(id.boot.0).u64(id.request);
        }
        Body::ReadIndexAnswer { id, index } => {
            writer.u64(id.boot.0).u64(id.request).bool(index.is_some());
            if let Some(index) = index {
                writer.u64(index.0);
            }
        }
    }
}

fn position(writer: &mut Writer<'_>, position: LogPosition) {
    writer.u64(position.term.0).u64(position.index.0);
}

fn encode_append(append: &Append, runs: &[EntryRun], out: &mut Vec<u8>) {
    let metas = append.slice.entries();
    let entries = || runs.iter().flat_map(EntryRun::entries);
    assert!(
        entries().map(|entry| entry.position).eq(metas.iter().map(|meta| meta.position)),
        "an append carries exactly the entries of its slice"
    );
    let mut writer = Writer::new(out);
    position(&mut writer, append.slice.prev());
    writer.u64(append.commit.0).u32(metas.len() as u32);
    for entry in entries() {
        Writer::new(out).u64(entry.position.term.0).u32(payload_len(&entry.payload) as u32);
        encode_payload(&entry.payload, out);
    }
}

fn encode_forward(forward: &Forward, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(forward.term.0).u32(forward.commands.len() as u32);
    for Forwarded { origin, command } in &forward.commands {
        writer
            .u64(origin.node.get())
            .u64(origin.incarnation.0)
            .u64(origin.boot.0)
            .u64(origin.request)
            .string(command);
    }
}

fn encode_forward_answer(answer: &ForwardAnswer, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    match answer.outcome {
        Ok(first) => {
            writer.u8(APPENDED);
            position(&mut writer, first);
        }
        Err(refusal) => {
            writer.u8(match refusal {
                Refusal::NotLeader => NOT_LEADER,
                Refusal::Busy => BUSY,
                Refusal::Malformed => MALFORMED,
            });
        }
    }
    writer.u32(answer.requests.len() as u32);
    for &request in &answer.requests {
        writer.u64(request);
    }
}

fn decode_raft(kind: u8, reader: &mut Reader) -> Result<PeerMessage, WireError> {
    if !(PRE_VOTE..=READ_INDEX_ANSWER).contains(&kind) {
        return Err(WireError::Invalid { what: "kind of message" });
    }
    let term = Term(reader.u64()?);
    let mut entries = Vec::new();
    let body = match kind {
        PRE_VOTE => Body::PreVote { last: read_position(reader)? },
        PRE_VOTE_ANSWER => Body::PreVoteAnswer { granted: reader.bool("answer to a pre-vote")? },
        VOTE => Body::Vote { last: read_position(reader)?, transfer: reader.bool("transfer of a vote")? },
        VOTE_ANSWER => Body::VoteAnswer { granted: reader.bool("answer to a vote")? },
        APPEND => {
            let (append, run) = decode_append(reader)?;
            entries.extend(run);
            Body::Append(append)
        }
        APPEND_ANSWER => Body::AppendAnswer(decode_append_answer(reader)?),
        HEARTBEAT => Body::Heartbeat(Heartbeat { commit: read_index(reader)?, round: Round(reader.u64()?) }),
        HEARTBEAT_ANSWER => Body::HeartbeatAnswer(HeartbeatAnswer {
            matched: read_index(reader)?,
            round: Round(reader.u64()?),
        }),
        READ_INDEX => Body::ReadIndex { id: read_id(reader)? },
        _ => {
            let id = read_id(reader)?;
            let answered = reader.bool("answer to a read")?;
            Body::ReadIndexAnswer { id, index: answered.then(|| read_index(reader)).transpose()? }
        }
    };
    Ok(PeerMessage::Raft { message: Message { term, body }, entries })
}

fn decode_append(reader: &mut Reader) -> Result<(Append, Option<EntryRun>), WireError> {
    let prev = read_position(reader)?;
    let commit = read_index(reader)?;
    let count = count(reader, "list of entries", ENTRY_HEAD_BYTES + 1)?;
    if prev.index.0.checked_add(count as u64).is_none() {
        return Err(WireError::Invalid { what: "index of an entry" });
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for nth in 1..=count {
        let position = LogPosition::new(Term(reader.u64()?), prev.index.plus(nth as u64));
        let length = reader.u32()? as usize;
        entries.push(Entry { position, payload: decode_payload(reader.bytes(length)?)? });
    }
    let slice = LogSlice::new(prev, entries.iter().map(Entry::meta).collect())
        .map_err(|_| WireError::Invalid { what: "order of the entries" })?;
    Ok((Append { slice, commit }, EntryRun::new(Arc::from(entries))))
}

fn decode_append_answer(reader: &mut Reader) -> Result<AppendAnswer, WireError> {
    let rejected = reader.bool("answer to an append")?;
    Ok(if rejected {
        AppendAnswer::Rejected { prev: read_index(reader)?, hint: read_position(reader)? }
    } else {
        AppendAnswer::Accepted { matched: read_index(reader)? }
    })
}

fn decode_forward(reader: &mut Reader) -> Result<Forward, WireError> {
    let term = Term(reader.u64()?);
    let count = count(reader, "list of commands", FORWARDED_HEAD_BYTES)?;
    let mut commands = Vec::with_capacity(count);
    for _ in 0..count {
        let origin = Origin {
            node: NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what: "node of an origin" })?,
            incarnation: Incarnation(reader.u64()?),
            boot: Boot(reader.u64()?),
            request: reader.u64()?,
        };
        commands.push(Forwarded { origin, command: reader.string("command", u32::MAX)? });
    }
    Ok(Forward { term, commands })
}

fn decode_forward_answer(reader: &mut Reader) -> Result<ForwardAnswer, WireError> {
    let outcome = match reader.u8()? {
        APPENDED => Ok(read_position(reader)?),
        NOT_LEADER => Err(Refusal::NotLeader),
        BUSY => Err(Refusal::Busy),
        MALFORMED => Err(Refusal::Malformed),
        _ => return Err(WireError::Invalid { what: "answer to a forward" }),
    };
    let count = count(reader, "list of requests", 8)?;
    // The index of each is the first one's and its place: none may lie beyond the last index.
    if outcome.is_ok_and(|first| first.index.0.checked_add(count as u64).is_none()) {
        return Err(WireError::Invalid { what: "position of a forward" });
    }
    let requests = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
    Ok(ForwardAnswer { requests, outcome })
}

/// A count that the bytes left can hold, if each thing counted takes at least `least` of them.
fn count(reader: &mut Reader, what: &'static str, least: usize) -> Result<usize, WireError> {
    let count = reader.u32()? as usize;
    let max = reader.remaining() / least;
    if count > max {
        return Err(WireError::TooLong { what, length: count as u64, max: max as u64 });
    }
    Ok(count)
}

fn read_position(reader: &mut Reader) -> Result<LogPosition, WireError> {
    Ok(LogPosition::new(Term(reader.u64()?), LogIndex(reader.u64()?)))
}

fn read_index(reader: &mut Reader) -> Result<LogIndex, WireError> {
    Ok(LogIndex(reader.u64()?))
}

fn read_id(reader: &mut Reader) -> Result<ReadId, WireError> {
    Ok(ReadId { boot: Boot(reader.u64()?), request: reader.u64()? })
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
