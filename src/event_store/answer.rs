//! What the store answers: plain data, and its byte forms.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::command::{SNAPSHOT, STATUS, judge_id, read_labels};
use super::cursor::{Reader, Write};
use super::event::Stored;
use super::limits::{SNAPSHOT_BYTES_MAX, STATUS_BYTES_MAX};
use super::{AggregateId, Event, Gap, Position, Recorded, Removal, Timestamp};
use crate::machine::DecodeError;

/// Where an append stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The place of its first event among all events; the others follow at the next offsets. Without events, where they
    /// would have stood.
    pub position: Position,
    /// The sequences to expect next, one for each of the aggregates, in the order in which they were named.
    pub next: Vec<u64>,
}

/// An append expected its aggregate at another sequence; nothing was written. Or a check did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which aggregate.
    pub aggregate: AggregateId,
    /// Where it was expected.
    pub expected: u64,
    /// Where it is.
    pub actual: u64,
    /// The sequence of the first of `events`; `actual` if there are none. If it is above `expected`, the events between were
    /// trimmed (a snapshot holds them) or never were (a snapshot ran ahead): whoever folds events must load that snapshot.
    pub first_sequence: u64,
    /// The events from `expected` on, as far as they are there; none if the aggregate is behind `expected`. At most about
    /// [`PAGE_BYTES_MAX`](super::limits::PAGE_BYTES_MAX) of them: the rest is to be loaded.
    pub events: Vec<Event>,
}

impl Conflict {
    /// Whether `events` are all that happened since `expected`: what was folded up to there is folded up to `actual` with
    /// them. Otherwise there is a gap, or more of them, and the aggregate must be loaded again.
    pub fn is_foldable(&self) -> bool {
        let sequences = self.events.iter().map(|event| event.sequence);
        self.expected < self.actual && sequences.eq(self.expected..self.actual)
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, actual, events) = (self.expected, self.actual, self.events.len());
        write!(f, "version conflict: expected sequence {expected}, but at {actual} ({events} new events)")
    }
}

impl std::error::Error for Conflict {}

/// What the state itself did not allow; nothing was written, on any node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// With the labels that the aggregate has, there would be more than [`LABELS_MAX`](super::limits::LABELS_MAX).
    #[error("the aggregate would have more labels than it may")]
    TooManyLabels,
    /// There are no sequences left for so many events.
    #[error("the aggregate's sequences are used up")]
    NoSequenceLeft,
}

/// Events of an aggregate in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The sequence asked for, or the first that is not trimmed, if that is higher. The events begin there, if it has been
    /// appended yet; and a snapshot that ran ahead leaves out the sequences that it skipped.
    pub start_sequence: u64,
    /// The events.
    pub events: Vec<Event>,
    /// The sequence from which there are more, if they are too many for one answer.
    pub more_from: Option<u64>,
}

/// A snapshot, and what happened since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What was saved; empty if nothing was.
    pub data: Bytes,
    /// The sequence of the first event that it does not hold; zero if nothing was saved.
    pub sequence: u64,
    /// The events from there on.
    pub events: Events,
}

/// What the store knows of an aggregate, beside its events and its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// The sequence that its next event gets.
    pub sequence: u64,
    /// The sequence below which its events are trimmed.
    pub base_sequence: u64,
    /// The sequence of its snapshot, zero if it has none.
    pub snapshot_sequence: u64,
    /// Its status, and since when.
    pub status: Option<(String, Timestamp)>,
    /// Its labels, by name.
    pub labels: BTreeMap<String, String>,
}

/// An aggregate in a listing by status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WithStatus {
    /// Since when it has that status, in whole milliseconds.
    pub since: Timestamp,
    /// Which aggregate.
    pub aggregate: AggregateId,
}

/// An aggregate that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The log index of the command that archived it: names this record.
    pub index: u64,
    /// Which aggregate.
    pub aggregate: AggregateId,
    /// Its snapshot; empty if it had none.
    pub snapshot: Bytes,
    /// The sequence of its snapshot; zero if it had none.
    pub snapshot_sequence: u64,
    /// Its events, from the first that was not trimmed.
    pub events: Events,
}

impl Archived {
    /// The name of this record in twenty digits, which sort as the records do.
    pub fn stream_id(&self) -> String {
        format!("{:020}", self.index)
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What it lists.
    pub items: Vec<T>,
    /// Whether more stands behind the last of them.
    pub has_more: bool,
}

/// Events of all aggregates in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedPage {
    /// The events, and the gaps between them.
    pub items: Vec<Recorded>,
    /// Where to go on.
    pub next: Position,
    /// Whether nothing stands behind `next` yet.
    pub is_end: bool,
}

// The byte forms, as the table at the top of `query.rs` has them.

impl Conflict {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_id(&self.aggregate);
        out.put_u64(self.expected);
        out.put_u64(self.actual);
        out.put_u64(self.first_sequence);
        write_events(&self.events, out);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let aggregate = reader.id()?;
        let (expected, actual) = (reader.sequence()?, reader.sequence()?);
        let first_sequence = reader.sequence()?;
        let events = read_events(reader, &aggregate)?;
        Ok(Self { aggregate, expected, actual, first_sequence, events })
    }
}

impl Events {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.start_sequence);
        out.put_option(self.more_from.as_ref(), |out, from| out.put_u64(*from));
        write_events(&self.events, out);
    }

    pub(super) fn read(reader: &mut Reader, id: &AggregateId) -> Result<Self, DecodeError> {
        let (start_sequence, more_from) = (reader.sequence()?, reader.option(Reader::sequence)?);
        Ok(Self { start_sequence, more_from, events: read_events(reader, id)? })
    }
}

impl Snapshot {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.data);
        out.put_u64(self.sequence);
        self.events.write(out);
    }

    pub(super) fn read(reader: &mut Reader, id: &AggregateId) -> Result<Self, DecodeError> {
        let data = reader.bytes(SNAPSHOT, SNAPSHOT_BYTES_MAX)?;
        Ok(Self { data, sequence: reader.sequence()?, events: Events::read(reader, id)? })
    }
}

impl Aggregate {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.sequence);
        out.put_u64(self.base_sequence);
        out.put_u64(self.snapshot_sequence);
        out.put_option(self.status.as_ref(), |out, (status, since)| {
            out.put_text(status);
            out.put_i64(since.0);
        });
        out.put_count(self.labels.len());
        for (name, value) in &self.labels {
            out.put_text(name);
            out.put_text(value);
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (sequence, base_sequence) = (reader.sequence()?, reader.sequence()?);
        let snapshot_sequence = reader.sequence()?;
        let status =
            reader.option(|reader| Ok((reader.text(STATUS, STATUS_BYTES_MAX)?, Timestamp(reader.i64()?))))?;
        let labels = read_labels(reader)?;
        Ok(Self { sequence, base_sequence, snapshot_sequence, status, labels })
    }
}

impl WithStatus {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64(self.since.0);
        out.put_id(&self.aggregate);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { since: Timestamp(reader.i64()?), aggregate: reader.id()? })
    }
}

impl Archived {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.index);
        out.put_id(&self.aggregate);
        out.put_bytes(&self.snapshot);
        out.put_u64(self.snapshot_sequence);
        self.events.write(out);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (index, aggregate) = (reader.u64()?, reader.id()?);
        let snapshot = reader.bytes(SNAPSHOT, SNAPSHOT_BYTES_MAX)?;
        let snapshot_sequence = reader.sequence()?;
        let events = Events::read(reader, &aggregate)?;
        Ok(Self { index, aggregate, snapshot, snapshot_sequence, events })
    }
}

impl<T> Page<T> {
    pub(super) fn write(&self, out: &mut Vec<u8>, write: impl FnMut(&mut Vec<u8>, &T)) {
        out.put_bool(self.has_more);
        out.put_list(&self.items, write);
    }

    pub(super) fn read(
        reader: &mut Reader,
        read: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let has_more = reader.bool()?;
        Ok(Self { has_more, items: reader.list("a page", ITEMS_MAX, read)? })
    }
}

impl RecordedPage {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_position(self.next, out);
        out.put_bool(self.is_end);
        out.put_list(&self.items, |out, item| match item {
            Recorded::Event { position, event } => {
                out.put_u8(EVENT);
                write_position(*position, out);
                out.put_id(&event.aggregate);
                out.put_u64(event.sequence);
                Stored::write(event, out);
            }
            Recorded::Gap(gap) => {
                out.put_u8(match gap.removed_by {
                    Removal::Trim => TRIMMED,
                    Removal::Archive => ARCHIVED,
                });
                write_position(gap.position, out);
                out.put_id(&gap.aggregate);
                out.put_u64(gap.first_available);
            }
        });
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (next, is_end) = (read_position(reader)?, reader.bool()?);
        let items = reader.list("a page", ITEMS_MAX, |reader| {
            let kind = reader.u8()?;
            let (position, aggregate) = (read_position(reader)?, reader.id()?);
            let sequence = reader.sequence()?;
            let removed_by = match kind {
                EVENT => {
                    let event = Stored::read(reader)?.into_event(aggregate, sequence);
                    return Ok(Recorded::Event { position, event });
                }
                TRIMMED => Removal::Trim,
                ARCHIVED => Removal::Archive,
                other => return Err(DecodeError::new(format!("nothing recorded is of kind {other}"))),
            };
            Ok(Recorded::Gap(Gap { position, aggregate, first_available: sequence, removed_by }))
        })?;
        Ok(Self { items, next, is_end })
    }
}

impl Appended {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_position(self.position, out);
        out.put_list(&self.next, |out, next| out.put_u64(*next));
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let position = read_position(reader)?;
        let next = reader.list("an atomic append", super::limits::APPENDS_MAX, Reader::sequence)?;
        Ok(Self { position, next })
    }
}

pub(super) fn write_position(position: Position, out: &mut Vec<u8>) {
    out.put_u64(position.index);
    out.put_u32(position.offset);
}

pub(super) fn read_position(reader: &mut Reader) -> Result<Position, DecodeError> {
    Ok(Position { index: reader.u64()?, offset: reader.u32()? })
}

/// A count of four bytes; each with its sequence, for a snapshot that runs ahead leaves some out.
fn write_events(events: &[Event], out: &mut Vec<u8>) {
    out.put_list(events, |out, event| {
        out.put_u64(event.sequence);
        Stored::write(event, out);
    });
}

fn read_events(reader: &mut Reader, id: &AggregateId) -> Result<Vec<Event>, DecodeError> {
    judge_id(id)?;
    reader.list("events", ITEMS_MAX, |reader| {
        let sequence = reader.sequence()?;
        Ok(Stored::read(reader)?.into_event(id.clone(), sequence))
    })
}

/// No answer has more items than bytes, and none is as long as this.
const ITEMS_MAX: usize = 64 << 20;

const EVENT: u8 = 1;
const TRIMMED: u8 = 2;
const ARCHIVED: u8 = 3;
