//! The messages of Raft itself. The table stands at [`super::peer`].
//!
//! The entries of an append have no indexes: they follow the previous position.

use std::sync::Arc;

use super::cursor::{WireError, Writer};
use super::entry::{decode_payload, encode_payload, payload_len};
use super::fields::{Reader, read_count, read_id, read_index, read_position, write_position};
use super::snapshot::{decode_meta, encode_meta, meta_len};
use crate::types::{
    Append, AppendAnswer, Body, Entry, EntryRun, Heartbeat, HeartbeatAnswer, LogPosition, LogSlice, Message,
    PeerMessage, Round, Term,
};

const PRE_VOTE: u8 = 1;
const PRE_VOTE_ANSWER: u8 = 2;
const VOTE: u8 = 3;
const VOTE_ANSWER: u8 = 4;
pub(super) const APPEND: u8 = 5;
const APPEND_ANSWER: u8 = 6;
const HEARTBEAT: u8 = 7;
const HEARTBEAT_ANSWER: u8 = 8;
const READ_INDEX: u8 = 9;
const READ_INDEX_ANSWER: u8 = 10;
const SNAPSHOT_OFFER: u8 = 13;
const TIMEOUT_NOW: u8 = 14;

/// Term, previous position, commit, count.
const APPEND_HEAD_BYTES: usize = 36;
/// Term and length, before each payload.
const ENTRY_HEAD_BYTES: usize = 12;
/// Before every message of Raft.
const TERM_BYTES: usize = 8;
/// No other message of Raft has a longer body.
const SMALL_BODY_BYTES_MAX: usize = 48;

pub(super) fn kind(body: &Body) -> u8 {
    match body {
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
    }
}

/// How many bytes [`encode`] appends at most. Exact for appends and offers.
pub(super) fn body_len(message: &Message, entries: &[EntryRun]) -> usize {
    match &message.body {
        Body::Append(_) => {
            let entries = entries.iter().flat_map(EntryRun::entries);
            let entry_len = |entry: &Entry| ENTRY_HEAD_BYTES + payload_len(&entry.payload);
            APPEND_HEAD_BYTES + entries.map(entry_len).sum::<usize>()
        }
        Body::SnapshotOffer(meta) => TERM_BYTES + meta_len(meta),
        _ => SMALL_BODY_BYTES_MAX,
    }
}

pub(super) fn encode(message: &Message, entries: &[EntryRun], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(message.term.0);
    match &message.body {
        Body::PreVote { last } => write_position(&mut writer, *last),
        Body::Vote { last, transfer } => {
            write_position(&mut writer, *last);
            writer.bool(*transfer);
        }
        Body::PreVoteAnswer { granted } | Body::VoteAnswer { granted } => {
            writer.bool(*granted);
        }
        Body::Append(append) => encode_append(append, entries, out),
        Body::AppendAnswer(AppendAnswer::Accepted { matched }) => {
            writer.bool(false).u64(matched.0);
        }
        Body::AppendAnswer(AppendAnswer::Rejected { prev, hint }) => {
            writer.bool(true).u64(prev.0);
            write_position(&mut writer, *hint);
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
        Body::SnapshotOffer(meta) => encode_meta(meta, out),
        Body::TimeoutNow => {}
    }
}

fn encode_append(append: &Append, runs: &[EntryRun], out: &mut Vec<u8>) {
    let metas = append.slice.entries();
    let entries = || runs.iter().flat_map(EntryRun::entries);
    assert!(
        entries().map(|entry| entry.position).eq(metas.iter().map(|meta| meta.position)),
        "an append carries exactly the entries of its slice"
    );
    let mut writer = Writer::new(out);
    write_position(&mut writer, append.slice.prev());
    writer.u64(append.commit.0).u32(metas.len() as u32);
    for entry in entries() {
        Writer::new(out).u64(entry.position.term.0).u32(payload_len(&entry.payload) as u32);
        encode_payload(&entry.payload, out);
    }
}

pub(super) fn decode(kind: u8, reader: &mut Reader) -> Result<PeerMessage, WireError> {
    let is_known = matches!(kind, PRE_VOTE..=READ_INDEX_ANSWER | SNAPSHOT_OFFER | TIMEOUT_NOW);
    if !is_known {
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
        SNAPSHOT_OFFER => Body::SnapshotOffer(decode_meta(reader)?),
        TIMEOUT_NOW => Body::TimeoutNow,
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
    let count = read_count(reader, "list of entries", ENTRY_HEAD_BYTES + 1)?;
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
