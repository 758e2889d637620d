//! Events: before they are stored, stored, and many of them as one string of bytes.
//!
//! What is stored of an event beside its aggregate and its sequence, in commands, in trees and in answers alike:
//!
//! ```text
//! timestamp 8 | type's length 2 | type | data's length 4 | data        (big endian; timestamp: nanoseconds, signed)
//! ```
//!
//! [`Codec`] of an [`Event`] is for those who carry events elsewhere:
//!
//! ```text
//! timestamp 8 | sequence 8 | parts of the id 4 | (length 4 | part)… | length 4 | type | length 4 | data
//! ```

use std::fmt;

use bytes::Bytes;

use super::AggregateId;
use super::cursor::{Reader, Write};
use super::limits::{
    EVENT_DATA_BYTES_MAX, EVENT_TYPE_BYTES_MAX, EVENTS_MAX, ID_BYTES_MAX, ID_PARTS_MAX, Invalid, SEQUENCE_MAX,
};
use crate::machine::{Codec, DecodeError};

/// A moment on the clock of people: nanoseconds since the beginning of 1970 (UTC), negative before it.
///
/// Comes in with the event; nothing in the store asks a clock, or relies on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole milliseconds since the beginning of 1970, rounded down: what the index of statuses keeps.
    pub fn to_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// As [`Timestamp::to_millis`] gave it.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
}

/// An event that is not stored yet: it has no sequence, and belongs to no aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened. What has none is given the time at which it is appended.
    pub timestamp: Option<Timestamp>,
    /// What kind of event it is; not empty.
    pub event_type: String,
    /// Its content.
    pub data: Bytes,
}

impl NewEvent {
    /// An event of `event_type` with these bytes.
    pub fn new(event_type: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { timestamp: None, event_type: event_type.into(), data: data.into() }
    }

    /// An event whose data is the byte form of `value`: see [`Event::value`].
    pub fn of(event_type: impl Into<String>, value: &impl Codec) -> Self {
        let mut data = Vec::new();
        value.encode(&mut data);
        Self::new(event_type, data)
    }

    /// It happened at `timestamp`.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    fn judge(&self) -> Result<(), Invalid> {
        judge_type(&self.event_type)?;
        Invalid::judge_bytes(DATA, self.data.len(), EVENT_DATA_BYTES_MAX)
    }
}

/// What was stored once can be appended elsewhere: with its type, its data and its time.
impl From<Event> for NewEvent {
    fn from(event: Event) -> Self {
        Self { timestamp: Some(event.timestamp), event_type: event.event_type, data: event.data }
    }
}

impl From<&Event> for NewEvent {
    fn from(event: &Event) -> Self {
        event.clone().into()
    }
}

impl From<&Self> for NewEvent {
    fn from(event: &Self) -> Self {
        event.clone()
    }
}

/// An event of an aggregate.
#[derive(Clone)]
pub struct Event {
    /// When it happened.
    pub timestamp: Timestamp,
    /// Its place among its aggregate's events: 0, 1, 2, …
    pub sequence: u64,
    /// Whose event it is.
    pub aggregate: AggregateId,
    /// What kind of event it is.
    pub event_type: String,
    /// Its content.
    pub data: Bytes,
    /// Whether this very object was raised here, and not read from a store. Not stored, and not compared.
    pub raised: bool,
}

impl Event {
    /// What [`NewEvent::of`] was given; an error if the data is no byte form of a `T`.
    pub fn value<T: Codec>(&self) -> Result<T, DecodeError> {
        T::decode(&self.data)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        let Self { timestamp, sequence, aggregate, event_type, data, raised: _ } = self;
        (timestamp, sequence, aggregate) == (&other.timestamp, &other.sequence, &other.aggregate)
            && (event_type, data) == (&other.event_type, &other.data)
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, aggregate, event_type, .. } = self;
        write!(f, "{event_type} {aggregate}#{sequence} at {}: ", self.timestamp.0)?;
        write!(f, "{} bytes", self.data.len())
    }
}

impl Codec for Event {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.timestamp.0);
        out.put_u64(self.sequence);
        out.put_count(self.aggregate.parts().count());
        self.aggregate.parts().for_each(|part| out.put_bytes(&part));
        out.put_bytes(self.event_type.as_bytes());
        out.put_bytes(&self.data);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let (timestamp, sequence) = (Timestamp(reader.i64()?), reader.sequence()?);
        let parts = reader.list("an aggregate's id", ID_PARTS_MAX, |reader| {
            reader.bytes("a part of an id", ID_BYTES_MAX)
        })?;
        let aggregate = AggregateId::new(parts)?;
        let event_type = text(reader.bytes(TYPE, EVENT_TYPE_BYTES_MAX)?)?;
        judge_type(&event_type)?;
        let data = reader.bytes(DATA, EVENT_DATA_BYTES_MAX)?;
        reader.finish()?;
        Ok(Self { timestamp, sequence, aggregate, event_type, data, raised: false })
    }
}

/// Events that follow each other, as they stand in commands and in trees; holding one is the proof that they decode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EventRun {
    count: u32,
    bytes: Bytes,
}

impl EventRun {
    /// The events of an append; those without a time get `now`.
    pub(super) fn of(events: &[NewEvent], now: Timestamp) -> Result<Self, Invalid> {
        Invalid::judge(EVENTS, "events", events.len(), EVENTS_MAX)?;
        let bytes = events.iter().map(|event| FRAME_BYTES + event.event_type.len() + event.data.len()).sum();
        let mut out = Vec::with_capacity(bytes);
        for event in events {
            event.judge()?;
            out.put_i64(event.timestamp.unwrap_or(now).0);
            out.put_text(&event.event_type);
            out.put_bytes(&event.data);
        }
        Ok(Self { count: events.len() as u32, bytes: out.into() })
    }

    /// Reads so many events from the front, which are judged.
    pub(super) fn read(reader: &mut Reader, count: usize) -> Result<Self, DecodeError> {
        Invalid::judge(EVENTS, "events", count, EVENTS_MAX)?;
        let whole = reader.rest().clone();
        for _ in 0..count {
            Stored::judge(reader)?;
        }
        let bytes = whole.slice(..whole.len() - reader.remaining());
        Ok(Self { count: count as u32, bytes })
    }

    /// How many events.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Their bytes, without their count.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What is left behind the first `count` events.
    pub(super) fn behind(&self, count: u32) -> Self {
        assert!(count <= self.count, "a batch is cut behind its end");
        let mut reader = Reader::new(self.bytes.clone());
        for _ in 0..count {
            Stored::judge(&mut reader).expect("events that were judged");
        }
        Self { count: self.count - count, bytes: reader.rest().clone() }
    }

    /// The events, the first of them `first`th of `aggregate`.
    pub(super) fn events(&self, aggregate: &AggregateId, first: u64) -> impl Iterator<Item = Event> {
        let mut reader = Reader::new(self.bytes.clone());
        (0..u64::from(self.count)).map(move |nth| {
            let stored = Stored::read(&mut reader).expect("events that were judged");
            stored.into_event(aggregate.clone(), first + nth)
        })
    }
}

/// An event without its aggregate and its sequence.
pub(super) struct Stored {
    timestamp: Timestamp,
    event_type: String,
    data: Bytes,
}

impl Stored {
    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let timestamp = Timestamp(reader.i64()?);
        let event_type = reader.text(TYPE, EVENT_TYPE_BYTES_MAX)?;
        judge_type(&event_type)?;
        Ok(Self { timestamp, event_type, data: reader.bytes(DATA, EVENT_DATA_BYTES_MAX)? })
    }

    /// Reads one, and takes nothing of it.
    fn judge(reader: &mut Reader) -> Result<(), DecodeError> {
        reader.i64()?;
        let event_type = reader.short(TYPE, EVENT_TYPE_BYTES_MAX)?;
        judge_type(str::from_utf8(&event_type).map_err(|_| not_text())?)?;
        reader.bytes(DATA, EVENT_DATA_BYTES_MAX)?;
        Ok(())
    }

    pub(super) fn write(event: &Event, out: &mut Vec<u8>) {
        out.put_i64(event.timestamp.0);
        out.put_text(&event.event_type);
        out.put_bytes(&event.data);
    }

    pub(super) fn into_event(self, aggregate: AggregateId, sequence: u64) -> Event {
        let Self { timestamp, event_type, data } = self;
        Event { timestamp, sequence, aggregate, event_type, data, raised: false }
    }
}

fn judge_type(event_type: &str) -> Result<(), Invalid> {
    if event_type.is_empty() {
        return Err(Invalid::EmptyType);
    }
    Invalid::judge_bytes(TYPE, event_type.len(), EVENT_TYPE_BYTES_MAX)
}

fn text(bytes: Bytes) -> Result<String, DecodeError> {
    String::from_utf8(bytes.into()).map_err(|_| not_text())
}

fn not_text() -> DecodeError {
    DecodeError::new(format!("{TYPE}: not UTF-8"))
}

/// What stands around an event's type and data.
const FRAME_BYTES: usize = 8 + 2 + 4;

const _: () =
    assert!(SEQUENCE_MAX.checked_add(EVENTS_MAX as u64).is_some(), "sequences are added without a check");

const EVENTS: &str = "an append";
const TYPE: &str = "an event's type";
const DATA: &str = "an event's data";
