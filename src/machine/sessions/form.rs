//! The table of sessions as bytes: in front of every snapshot, and in the sidecar of a machine on disk.
//!
//! A section holds the table:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `QSES` |
//! | 4 | 1 | version, 1 |
//! | 5 | 4 | length of the table |
//! | 9 | 4 | crc32c of bytes 0 to 8, then of the table |
//! | 13 | | the table |
//!
//! The table is the bounds that are in force ([`SessionBounds`]: 24 bytes), four bytes with the number of sessions, and these in the
//! order in which they were opened:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the session: the index of the entry that opened it |
//! | 8 | the index of the entry that used it last |
//! | 8 | the number below which all its commands are answered or given up |
//! | 4 | how many responses are kept |
//! | | for each of them, in the order of their numbers: 8 bytes number, 4 bytes length, the response as it was given ([`super::response`]) |
//!
//! A sidecar is a section, and behind it what ties it to its machine:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the term of the last entry in it |
//! | 8 | the index of the last entry in it |
//! | 4 | crc32c of the section's own crc32c, and of the 16 bytes before this |
//!
//! All numbers are little endian. What does not keep to the bounds, to the order, or to its checksum is refused.

use std::io::{self, Read};

use byteorder::{ByteOrder, LittleEndian};
use bytes::Bytes;

use super::response::{NoResponse, Refusal, session_response};
use super::table::{Session, Table};
use crate::machine::{MachineError, SessionBounds};
use crate::types::{LogIndex, LogPosition, SessionId, Term};
use crate::wire::{Reader, WireError, Writer};

const MAGIC: &[u8; 4] = b"QSES";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 13;
const CHECKSUM_AT: usize = 9;
/// Behind the section of a sidecar.
const POSITION_BYTES: usize = 20;

/// No table within the largest bounds is longer.
const TABLE_BYTES_MAX: u64 = {
    let largest = SessionBounds::LARGEST;
    28 + 28 * largest.sessions_max as u64 + 13 * largest.answers_max as u64 + largest.answers_bytes_max
};
const _: () = assert!(TABLE_BYTES_MAX <= u32::MAX as u64, "the length of a table is four bytes");

/// Appends the section that holds `table`.
pub(super) fn encode_section(table: &Table, out: &mut Vec<u8>) {
    seal_section(out, |out| encode_table(table, out));
}

fn seal_section(out: &mut Vec<u8>, table: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    Writer::new(out).bytes(MAGIC).u8(VERSION).u32(0).u32(0);
    table(out);
    let section = &mut out[start..];
    let length = u32::try_from(section.len() - HEADER_BYTES).expect("a table keeps to its bounds");
    LittleEndian::write_u32(&mut section[5..], length);
    let sum = checksum(section);
    LittleEndian::write_u32(&mut section[CHECKSUM_AT..], sum);
}

/// A section that holds `table`, whatever that means.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed_section(table: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    seal_section(&mut section, |out| out.extend_from_slice(table));
    section
}

/// A sidecar of `position` that holds `table`, likewise.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed_sidecar(table: &[u8], position: LogPosition) -> Vec<u8> {
    let mut sidecar = sealed_section(table);
    let section_bytes = sidecar.len();
    seal_sidecar(&mut sidecar, section_bytes, position);
    sidecar
}

/// Reads a section, and nothing behind it.
pub(super) fn read_section(from: &mut dyn Read) -> Result<Table, MachineError> {
    let mut section = vec![0; HEADER_BYTES];
    from.read_exact(&mut section).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => refused("it ends in its head"),
        _ => MachineError::from(error),
    })?;
    let length = judge_head(&section)?;
    let read = from.take(length).read_to_end(&mut section)?;
    if (read as u64) < length {
        return Err(refused("it ends too early"));
    }
    open_section(&section)
}

/// Makes `sidecar`, a section with or without a position behind it, that of `position`.
pub(super) fn seal_sidecar(sidecar: &mut Vec<u8>, section_bytes: usize, position: LogPosition) {
    sidecar.truncate(section_bytes);
    Writer::new(sidecar).u64(position.term.0).u64(position.index.0);
    let sum = position_checksum(&sidecar[CHECKSUM_AT..HEADER_BYTES], &sidecar[section_bytes..]);
    Writer::new(sidecar).u32(sum);
}

/// Opens what a machine on disk gave back, which should belong to `position`.
pub(super) fn open_sidecar(sidecar: &[u8], position: LogPosition) -> Result<Table, MachineError> {
    let Some(section_bytes) =
        sidecar.len().checked_sub(POSITION_BYTES).filter(|bytes| *bytes >= HEADER_BYTES)
    else {
        let missing = if sidecar.is_empty() { "it is empty" } else { "it ends too early" };
        return Err(refused(&format!(
            "{missing}: what `end_batch` is given must be stored with its position"
        )));
    };
    let (section, rest) = sidecar.split_at(section_bytes);
    let length = judge_head(section)?;
    if length != (section_bytes - HEADER_BYTES) as u64 {
        return Err(refused("it is not as long as it says"));
    }
    let table = open_section(section)?;
    let (place, sum) = rest.split_at(POSITION_BYTES - 4);
    if LittleEndian::read_u32(sum) != position_checksum(&section[CHECKSUM_AT..HEADER_BYTES], place) {
        return Err(refused("the checksum of its position does not hold"));
    }
    let term = Term(LittleEndian::read_u64(place));
    let stored = LogPosition::new(term, LogIndex(LittleEndian::read_u64(&place[8..])));
    if stored != position {
        return Err(refused(&format!(
            "it belongs to entry {stored}, and the state machine is at {position}"
        )));
    }
    judge_uses(&table, position)?;
    Ok(table)
}

/// What stands at `position` was not used behind it.
pub(super) fn judge_uses(table: &Table, position: LogPosition) -> Result<(), MachineError> {
    match table.last_use() {
        Some(last) if last > position.index => {
            Err(refused(&format!("it tells of entry {last}, and the state machine is at {position}")))
        }
        _ => Ok(()),
    }
}

/// The length of the table that follows.
fn judge_head(section: &[u8]) -> Result<u64, MachineError> {
    if &section[..4] != MAGIC {
        return Err(refused("it does not begin as one"));
    }
    if section[4] != VERSION {
        return Err(refused(&format!(
            "it has version {}, and this build knows version {VERSION}",
            section[4]
        )));
    }
    let length = u64::from(LittleEndian::read_u32(&section[5..]));
    if length > TABLE_BYTES_MAX {
        return Err(refused(&format!("it says that it has {length} bytes, more than {TABLE_BYTES_MAX}")));
    }
    Ok(length)
}

fn open_section(section: &[u8]) -> Result<Table, MachineError> {
    if LittleEndian::read_u32(&section[CHECKSUM_AT..]) != checksum(section) {
        return Err(refused("its checksum does not hold"));
    }
    decode_table(&section[HEADER_BYTES..]).map_err(|error| refused(&error.to_string()))
}

fn refused(why: &str) -> MachineError {
    MachineError::new(format!("the table of sessions cannot be used: {why}"))
}

fn checksum(section: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&section[..CHECKSUM_AT]), &section[HEADER_BYTES..])
}

fn position_checksum(section_sum: &[u8], position: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(section_sum), position)
}

fn encode_table(table: &Table, out: &mut Vec<u8>) {
    table.bounds.encode(out);
    let mut writer = Writer::new(out);
    writer.u32(u32::try_from(table.sessions.len()).expect("sessions keep to their bound"));
    for (id, session) in &table.sessions {
        writer.u64(id.0).u64(session.last_used().0).u64(session.answered_below());
        writer.u32(u32::try_from(session.kept().len()).expect("a session keeps to its bound"));
        for (sequence, response) in session.kept() {
            writer.u64(*sequence).string(response);
        }
    }
}

fn decode_table(bytes: &[u8]) -> Result<Table, WireError> {
    let mut reader = Reader::new(bytes);
    let mut table = Table::new();
    table.bounds = SessionBounds::decode(&mut reader)?;
    let count = reader.u32()?;
    let mut opened_before = SessionId(0);
    for _ in 0..count {
        let id = SessionId(reader.u64()?);
        let session = decode_session(&mut reader)?;
        let is_in_order = opened_before < id && id.0 <= session.last_used().0;
        if !is_in_order || table.was_used_at(session.last_used()) {
            return Err(WireError::Invalid { what: "order of sessions" });
        }
        opened_before = id;
        table.insert(id, session);
        if !table.is_within_bounds() {
            return Err(WireError::Invalid { what: "table of sessions: it is beyond its own bounds" });
        }
    }
    reader.finish("table of sessions")?;
    Ok(table)
}

fn decode_session(reader: &mut Reader<&[u8]>) -> Result<Session, WireError> {
    let (last_used, answered_below) = (LogIndex(reader.u64()?), reader.u64()?);
    let mut session = Session::new(last_used, answered_below);
    let count = reader.u32()?;
    for _ in 0..count {
        let sequence = reader.u64()?;
        let response = reader.string("kept response", SessionBounds::LARGEST.answer_bytes_max + 1)?;
        let follows = session.kept().last_key_value().is_none_or(|(before, _)| *before < sequence);
        let is_kept =
            matches!(session_response(response), Ok(_) | Err(NoResponse::Refused(Refusal::Forgotten)));
        if sequence < answered_below || !follows || !is_kept {
            return Err(WireError::Invalid { what: "kept response" });
        }
        session.keep(sequence, Bytes::copy_from_slice(response));
    }
    Ok(session)
}
