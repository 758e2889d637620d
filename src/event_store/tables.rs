//! The tables of the database, their keys, and whether a row is one. The layout stands in the room's docs.

use bytes::Bytes;
use redb::TableDefinition;

use super::answer::{read_position, write_position};
use super::command::{LABEL, LABEL_VALUE, SNAPSHOT, STATUS};
use super::cursor::{Reader, Write};
use super::event::Batch;
use super::id::{escape, unescape};
use super::limits::{
    ID_BYTES_MAX, Invalid, LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, SNAPSHOT_BYTES_MAX, STATUS_BYTES_MAX,
};
use super::{Aggregate, AggregateId, Position, Removal, Timestamp};
use crate::machine::DecodeError;

/// Keys and values are bytes, and keys sort as bytes do.
pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
pub(super) const AGGREGATES: Rows = TableDefinition::new("aggregates");
pub(super) const SNAPSHOTS: Rows = TableDefinition::new("snapshots");
pub(super) const EVENTS: Rows = TableDefinition::new("events");
pub(super) const LOG: Rows = TableDefinition::new("log");
pub(super) const GAPS: Rows = TableDefinition::new("gaps");
pub(super) const ARCHIVED_IDS: Rows = TableDefinition::new("archived_ids");
pub(super) const STATUSES: Rows = TableDefinition::new("status");
pub(super) const LABELS: Rows = TableDefinition::new("labels");
pub(super) const LABEL_VALUES: Rows = TableDefinition::new("label_values");
pub(super) const ARCHIVE: Rows = TableDefinition::new("archive");
pub(super) const ARCHIVED_EVENTS: Rows = TableDefinition::new("archived_events");

/// All but `meta`, in the order in which a snapshot holds them, and what judges their rows. A number is a place in this
/// list, for ever.
pub(super) const ALL: [(Rows, Judge); 11] = [
    (AGGREGATES, |key, value| id_of(key).and_then(|_| AggregateRow::decode(value)).map(drop)),
    (SNAPSHOTS, |key, value| {
        id_of(key)?;
        Ok(Invalid::judge_bytes(SNAPSHOT, value.len(), SNAPSHOT_BYTES_MAX)?)
    }),
    (EVENTS, |key, value| event_of(key).and_then(|_| EventsRow::decode(value)).map(drop)),
    (LOG, |key, value| position_of(key).and_then(|_| event_of(value)).map(drop)),
    (GAPS, |key, value| position_of(key).and_then(|_| GapRow::decode(value)).map(drop)),
    (ARCHIVED_IDS, |key, value| id_of(key).and_then(|_| position_of(value)).map(drop)),
    (STATUSES, |key, value| {
        since_and_id(text_of(key, STATUS, STATUS_BYTES_MAX)?.1)?;
        nothing(value)
    }),
    (LABELS, |key, value| {
        id_of(behind_label(key)?)?;
        nothing(value)
    }),
    (LABEL_VALUES, |key, value| {
        nothing(behind_label(key)?)?;
        count_of(value).map(drop)
    }),
    (ARCHIVE, |key, value| of_width(8, key).and_then(|()| ArchiveRow::decode(value)).map(drop)),
    (ARCHIVED_EVENTS, |key, value| of_width(16, key).and_then(|()| EventsRow::decode(value)).map(drop)),
];

/// Refuses what is no row of a table. Whether the rows of several tables agree it does not see.
pub(super) type Judge = fn(&[u8], &[u8]) -> Result<(), DecodeError>;

/// The version of all this.
pub(super) const FORMAT: u32 = 1;
/// No key of these tables is longer.
pub(super) const KEY_BYTES_MAX: usize = 4 << 10;
/// No value of these tables is longer: a whole append fits into one.
pub(super) const VALUE_BYTES_MAX: usize = 32 << 20;

/// What stands in `aggregates`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AggregateRow {
    pub(super) is: Aggregate,
    /// The place of the last event that was trimmed: there stands its gap.
    pub(super) trimmed: Option<Position>,
}

impl AggregateRow {
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.is.write(&mut out);
        out.put_option(self.trimmed.as_ref(), |out, position| write_position(*position, out));
        out
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(value));
        let (is, trimmed) = (Aggregate::read(&mut reader)?, reader.option(read_position)?);
        reader.finish()?;
        if is.base_sequence > is.sequence || is.snapshot_sequence > is.sequence {
            return Err(DecodeError::new("an aggregate that begins behind its end"));
        }
        Ok(Self { is, trimmed })
    }
}

/// What stands in `events` and in `archived_events`: events that one append brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventsRow {
    /// Where the first of them stands in the log.
    pub(super) position: Position,
    pub(super) events: Batch,
}

impl EventsRow {
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.events.bytes().len());
        write_position(self.position, &mut out);
        out.put_u32(self.events.count());
        out.put(self.events.bytes());
        out
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(value));
        let (position, count) = (read_position(&mut reader)?, reader.u32()? as usize);
        let events = Batch::read(&mut reader, count)?;
        reader.finish()?;
        if count == 0 || position.offset.checked_add(count as u32).is_none() {
            return Err(DecodeError::new("events that stand nowhere"));
        }
        Ok(Self { position, events })
    }

    /// Where the `nth` of them stands.
    pub(super) fn position_of(&self, nth: u32) -> Position {
        Position { offset: self.position.offset + nth, ..self.position }
    }

    /// Where the last of them stands.
    pub(super) fn last(&self) -> Position {
        self.position_of(self.events.count() - 1)
    }
}

/// What stands in `gaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GapRow {
    pub(super) first_available: u64,
    pub(super) removed_by: Removal,
    pub(super) id: AggregateId,
}

impl GapRow {
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.first_available);
        out.put_u8(match self.removed_by {
            Removal::Trim => 2,
            Removal::Archive => 3,
        });
        out.put(self.id.as_key());
        out
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(value));
        let first_available = reader.sequence()?;
        let removed_by = match reader.u8()? {
            2 => Removal::Trim,
            3 => Removal::Archive,
            other => return Err(DecodeError::new(format!("nothing is removed by {other}"))),
        };
        Ok(Self { first_available, removed_by, id: id_of(reader.rest())? })
    }
}

/// What stands in `archive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArchiveRow {
    pub(super) id: AggregateId,
    pub(super) snapshot_sequence: u64,
    pub(super) base_sequence: u64,
    pub(super) sequence: u64,
    pub(super) snapshot: Bytes,
}

impl ArchiveRow {
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_id(&self.id);
        out.put_u64(self.snapshot_sequence);
        out.put_u64(self.base_sequence);
        out.put_u64(self.sequence);
        out.put(&self.snapshot);
        out
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(value));
        let (id, snapshot_sequence) = (reader.id()?, reader.sequence()?);
        let (base_sequence, sequence) = (reader.sequence()?, reader.sequence()?);
        let snapshot = reader.rest().clone();
        Invalid::judge_bytes(SNAPSHOT, snapshot.len(), SNAPSHOT_BYTES_MAX)?;
        Ok(Self { id, snapshot_sequence, base_sequence, sequence, snapshot })
    }
}

/// The key in `events` of the event `sequence` of `id`.
pub(super) fn event_key(id: &AggregateId, sequence: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.as_key().len() + 10);
    key.put(id.as_key());
    key.put(&END_OF_ID);
    key.put_u64(sequence);
    key
}

/// Whose event a key in `events` names, and which.
pub(super) fn event_of(key: &[u8]) -> Result<(AggregateId, u64), DecodeError> {
    let parts = key.len().checked_sub(10).and_then(|at| key.split_at_checked(at));
    let Some((id, [0, 0, sequence @ ..])) = parts else {
        return Err(DecodeError::new("no key of an event"));
    };
    let mut reader = Reader::new(Bytes::copy_from_slice(sequence));
    Ok((id_of(id)?, reader.sequence()?))
}

/// The key in `log` and `gaps` of a position.
pub(super) fn position_key(position: Position) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&position.index.to_be_bytes());
    key[8..].copy_from_slice(&position.offset.to_be_bytes());
    key
}

/// The position that a key in `log` or `gaps` names.
pub(super) fn position_of(key: &[u8]) -> Result<Position, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(key));
    let position = read_position(&mut reader)?;
    reader.finish()?;
    Ok(position)
}

/// The key in `archived_events` of an event of the record `index`.
pub(super) fn archived_event_key(index: u64, sequence: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// What all keys of one status begin with.
pub(super) fn status_prefix(status: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    escape(status.as_bytes(), &mut key);
    key
}

pub(super) fn status_key(status: &str, since: Timestamp, id: &AggregateId) -> Vec<u8> {
    let mut key = status_prefix(status);
    // Signed numbers in order: the negative ones come first.
    key.put_u64(since.to_millis().cast_unsigned() ^ (1 << 63));
    key.put(id.as_key());
    key
}

/// Since when, and which aggregate, by the part of a key behind its status.
pub(super) fn since_and_id(behind: &[u8]) -> Result<(Timestamp, AggregateId), DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(behind));
    let millis = (reader.u64()? ^ (1 << 63)).cast_signed();
    Ok((Timestamp::from_millis(millis), id_of(reader.rest())?))
}

/// What all keys of one label, and of one value of it, begin with.
pub(super) fn label_prefix(name: &str, value: Option<&str>) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    escape(name.as_bytes(), &mut key);
    if let Some(value) = value {
        escape(value.as_bytes(), &mut key);
    }
    key
}

pub(super) fn label_key(name: &str, value: &str, id: &AggregateId) -> Vec<u8> {
    let mut key = label_prefix(name, Some(value));
    key.put(id.as_key());
    key
}

/// A text at the front of a key, and what stands behind it.
pub(super) fn text_of<'a>(
    key: &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<(String, &'a [u8]), DecodeError> {
    let (text, behind) = unescape(key).ok_or_else(|| DecodeError::new(format!("{what}: no text")))?;
    Invalid::judge_bytes(what, text.len(), max)?;
    let text = str::from_utf8(&text).map_err(|_| DecodeError::new(format!("{what}: not UTF-8")))?;
    Ok((text.to_owned(), behind))
}

/// An id that takes up all of `key`.
pub(super) fn id_of(key: &[u8]) -> Result<AggregateId, DecodeError> {
    let id = AggregateId::from_key(Bytes::copy_from_slice(key))?;
    if id.is_empty() { Err(Invalid::EmptyId.into()) } else { Ok(id) }
}

pub(super) fn count_of(value: &[u8]) -> Result<u64, DecodeError> {
    match value.try_into().map(u64::from_be_bytes) {
        Ok(0) | Err(_) => Err(DecodeError::new("no count of aggregates")),
        Ok(count) => Ok(count),
    }
}

/// What stands behind the name of a label and its value.
fn behind_label(key: &[u8]) -> Result<&[u8], DecodeError> {
    let (_, behind) = text_of(key, LABEL, LABEL_BYTES_MAX)?;
    Ok(text_of(behind, LABEL_VALUE, LABEL_VALUE_BYTES_MAX)?.1)
}

fn nothing(bytes: &[u8]) -> Result<(), DecodeError> {
    of_width(0, bytes)
}

fn of_width(width: usize, bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() == width {
        Ok(())
    } else {
        Err(DecodeError::new(format!("{} bytes, not {width}", bytes.len())))
    }
}

/// Behind the parts of an id: no part begins so.
const END_OF_ID: [u8; 2] = [0, 0];

const _: () =
    assert!(STATUS_BYTES_MAX * 2 + 2 + 8 + ID_BYTES_MAX <= KEY_BYTES_MAX, "a status fits into a key");
const _: () = assert!(
    (LABEL_BYTES_MAX + LABEL_VALUE_BYTES_MAX) * 2 + 4 + ID_BYTES_MAX <= KEY_BYTES_MAX,
    "a label fits into a key"
);
