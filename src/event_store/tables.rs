//! The tables of the database, their keys, and whether a row is one. The layout stands in the room's docs.

use bytes::Bytes;

use super::answer::{read_position, write_position};
use super::command::{LABEL, LABEL_VALUE, SNAPSHOT, STATUS};
use super::cursor::{Reader, Write};
use super::event::EventRun;
use super::id::{escape, unescape};
use super::limits::{
    ID_BYTES_MAX, Invalid, LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, SNAPSHOT_BYTES_MAX, STATUS_BYTES_MAX,
};
use super::{Aggregate, AggregateId, Position, Removal, Timestamp};
use crate::machine::DecodeError;

/// All tables but `meta`, in the order in which a snapshot holds them. A number is a place in this list, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Aggregates,
    Snapshots,
    Events,
    Sequences,
    Gaps,
    ArchivedIds,
    Statuses,
    Labels,
    LabelValues,
    Archive,
    ArchivedEvents,
}

impl Table {
    pub(super) const ALL: [Self; 11] = [
        Self::Aggregates,
        Self::Snapshots,
        Self::Events,
        Self::Sequences,
        Self::Gaps,
        Self::ArchivedIds,
        Self::Statuses,
        Self::Labels,
        Self::LabelValues,
        Self::Archive,
        Self::ArchivedEvents,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aggregates => "aggregates",
            Self::Snapshots => "snapshots",
            Self::Events => "events",
            Self::Sequences => "sequences",
            Self::Gaps => "gaps",
            Self::ArchivedIds => "archived_ids",
            Self::Statuses => "status",
            Self::Labels => "labels",
            Self::LabelValues => "label_values",
            Self::Archive => "archive",
            Self::ArchivedEvents => "archived_events",
        }
    }

    /// Refuses what is no row of this table. Whether the rows of several tables agree it does not see.
    pub(super) fn judge(self, key: &[u8], value: &Bytes) -> Result<(), DecodeError> {
        Invalid::judge_bytes("a key", key.len(), KEY_BYTES_MAX)?;
        match self {
            Self::Aggregates => id_of(key).and_then(|_| AggregateRow::decode(value)).map(drop),
            Self::Snapshots => {
                id_of(key)?;
                Ok(Invalid::judge_bytes(SNAPSHOT, value.len(), SNAPSHOT_BYTES_MAX)?)
            }
            Self::Events => {
                let (position, row) = (position_of(key)?, EventsRow::decode(value)?);
                let end = position.offset.checked_add(row.events.count());
                end.map(drop).ok_or_else(|| DecodeError::new("events that stand nowhere"))
            }
            Self::Sequences => event_of(key).and_then(|_| position_of(value)).map(drop),
            Self::Gaps => position_of(key).and_then(|_| GapRow::decode(value)).map(drop),
            Self::ArchivedIds => id_of(key).and_then(|_| position_of(value)).map(drop),
            Self::Statuses => {
                since_and_id(text_of(key, STATUS, STATUS_BYTES_MAX)?.1)?;
                of_width(0, value)
            }
            Self::Labels => {
                id_of(behind_label(key)?)?;
                of_width(0, value)
            }
            Self::LabelValues => {
                of_width(0, behind_label(key)?)?;
                count_of(value).map(drop)
            }
            Self::Archive => of_width(8, key).and_then(|()| ArchiveRow::decode(value)).map(drop),
            Self::ArchivedEvents => {
                archived_event_of(key)?;
                EventsRow::decode(value).map(drop)
            }
        }
    }
}

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
    pub(super) fn encoded(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        self.is.write(&mut out);
        out.put_option(self.trimmed.as_ref(), |out, position| write_position(*position, out));
        out.into()
    }

    pub(super) fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value.clone());
        let (is, trimmed) = (Aggregate::read(&mut reader)?, reader.option(read_position)?);
        reader.finish()?;
        if is.base_sequence > is.sequence || is.snapshot_sequence > is.sequence {
            return Err(DecodeError::new("an aggregate that begins behind its end"));
        }
        let mut texts = is.status.iter().map(|(status, _)| status).chain(is.labels.values());
        if texts.any(String::is_empty) {
            return Err(DecodeError::new("an aggregate with an empty status or label"));
        }
        Ok(Self { is, trimmed })
    }
}

/// What stands in `events` and in `archived_events`: events that one append brought to one aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventsRow {
    pub(super) id: AggregateId,
    /// The sequence of the first of them.
    pub(super) first: u64,
    pub(super) events: EventRun,
}

impl EventsRow {
    pub(super) fn encoded(&self) -> Bytes {
        let mut out = Vec::with_capacity(16 + self.id.as_key().len() + self.events.bytes().len());
        out.put_id(&self.id);
        out.put_u64(self.first);
        out.put_u32(self.events.count());
        out.put(self.events.bytes());
        out.into()
    }

    pub(super) fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value.clone());
        let (id, first) = (reader.id()?, reader.sequence()?);
        let count = reader.u32()? as usize;
        let events = EventRun::read(&mut reader, count)?;
        reader.finish()?;
        if count == 0 {
            return Err(DecodeError::new("a row of no events"));
        }
        Ok(Self { id, first, events })
    }

    /// Whose they are, without a look at them.
    pub(super) fn id_of(value: &Bytes) -> Result<AggregateId, DecodeError> {
        Reader::new(value.clone()).id()
    }

    /// Where the last of them stands, if the first stands at `position`.
    pub(super) fn last(&self, position: Position) -> Position {
        position.plus(self.events.count() - 1)
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
    pub(super) fn encoded(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_u64(self.first_available);
        out.put_u8(match self.removed_by {
            Removal::Trim => 2,
            Removal::Archive => 3,
        });
        out.put(self.id.as_key());
        out.into()
    }

    pub(super) fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value.clone());
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
    pub(super) fn encoded(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_id(&self.id);
        out.put_u64(self.snapshot_sequence);
        out.put_u64(self.base_sequence);
        out.put_u64(self.sequence);
        out.put(&self.snapshot);
        out.into()
    }

    pub(super) fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value.clone());
        let (id, snapshot_sequence) = (reader.id()?, reader.sequence()?);
        let (base_sequence, sequence) = (reader.sequence()?, reader.sequence()?);
        let snapshot = reader.rest().clone();
        Invalid::judge_bytes(SNAPSHOT, snapshot.len(), SNAPSHOT_BYTES_MAX)?;
        if base_sequence > sequence || snapshot_sequence > sequence {
            return Err(DecodeError::new("an archive record that begins behind its end"));
        }
        Ok(Self { id, snapshot_sequence, base_sequence, sequence, snapshot })
    }
}

/// The key in `sequences` of the event `sequence` of `id`.
pub(super) fn event_key(id: &AggregateId, sequence: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.as_key().len() + 10);
    key.put(id.as_key());
    key.put(&END_OF_ID);
    key.put_u64(sequence);
    key
}

/// Whose event a key in `sequences` names, and which.
pub(super) fn event_of(key: &[u8]) -> Result<(AggregateId, u64), DecodeError> {
    let parts = key.len().checked_sub(10).and_then(|at| key.split_at_checked(at));
    let Some((id, [0, 0, sequence @ ..])) = parts else {
        return Err(DecodeError::new("no key of an event"));
    };
    let mut reader = Reader::new(Bytes::copy_from_slice(sequence));
    Ok((id_of(id)?, reader.sequence()?))
}

/// The key in `events` and `gaps` of a position; and the value in `sequences`.
pub(super) fn position_key(position: Position) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&position.index.to_be_bytes());
    key[8..].copy_from_slice(&position.offset.to_be_bytes());
    key
}

/// Which record a key in `archived_events` names, and which event of it.
pub(super) fn archived_event_of(key: &[u8]) -> Result<(u64, u64), DecodeError> {
    of_width(16, key)?;
    let mut reader = Reader::new(Bytes::copy_from_slice(key));
    Ok((reader.u64()?, reader.sequence()?))
}

/// The position that a key in `events` or `gaps` names.
pub(super) fn position_of(key: &[u8]) -> Result<Position, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(key));
    let position = read_position(&mut reader)?;
    reader.finish()?;
    Ok(position)
}

/// An event that another table names is not there.
pub(super) fn missing(at: &[u8]) -> DecodeError {
    let at = position_of(at).unwrap_or_default();
    DecodeError::new(format!("the events at {at} are missing"))
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
pub(super) fn behind_label(key: &[u8]) -> Result<&[u8], DecodeError> {
    let (_, behind) = text_of(key, LABEL, LABEL_BYTES_MAX)?;
    Ok(text_of(behind, LABEL_VALUE, LABEL_VALUE_BYTES_MAX)?.1)
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
