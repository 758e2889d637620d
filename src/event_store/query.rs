//! What is asked of the store, as values: that works on a node, and through a client elsewhere. And what is answered, byte by
//! byte.
//!
//! ```text
//! version 1 | kind 1 | …                                        (numbers are big endian)
//!   query                                       | answer
//!   kind 1  check: id | sequence 8              | 11 checked, or 2 conflict
//!        2  aggregate: id                       | 12 aggregate: there 1 | [sequence 8 | base 8 | snapshot's 8
//!                                               |     | has status 1 | [status | since 8] | labels 4 | (name | value)…]
//!        3  events: id | from 8 | bytes 4       | 13 events: id | EVENTS
//!        4  snapshot: id | bytes 4              | 14 snapshot: id | length 4 | data | sequence 8 | EVENTS
//!        5  aggregates: PREFIX | after 1 [id] | rows 4         | 15 ids: more 1 | count 4 | id…
//!        6  with label: name | value | after 1 [id] | rows 4   | 15
//!        7  with status: status | after 1 [since 8 | id] | rows 4  | 16: more 1 | count 4 | (since 8 | id)…
//!        8  label values: name | after 1 [value] | rows 4      | 17: more 1 | count 4 | value…
//!        9  recorded: POSITION | prefixes 4 | PREFIX… | types 4 | type… | bytes 4
//!                                               | 18: POSITION | end 1 | count 4 | (1 | POSITION | id | sequence 8 | event,
//!                                               |     or 2 trimmed, 3 archived | POSITION | id | first available 8)…
//!       10  oldest archive: after 8 | bytes 4   | 19: there 1 | [index 8 | id | length 4 | data | sequence 8 | EVENTS]
//!       11  archived events: index 8 | from 8 | bytes 4        | 19
//!   command                                     | 1 appended: POSITION | count 4 | next sequence 8…
//!                                               | 2 conflict: id | expected 8 | actual 8 | first 8 | count 4 | EVENT…
//!                                               | 3 refused: reason 1
//!                                               | 4 saved: is newest 1     5 archived: was there 1     6 consumed: was there 1
//!   any                                         | 20 failed: length 4 | reason
//!
//! EVENTS: start 8 | more 1 [from 8] | count 4 | EVENT…         EVENT: sequence 8 | event as in `event.rs`
//! POSITION: index 8 | offset 4                                 PREFIX: an id, which may be of no parts
//! ```

use super::answer::{read_position, write_position};
use super::command::{LABEL, LABEL_VALUE, STATUS, judge_label};
use super::cursor::{Reader, VERSION, Write};
use super::limits::{
    EVENT_TYPE_BYTES_MAX, FILTER_MAX, LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, STATUS_BYTES_MAX,
};
use super::{AggregateId, Filter, Position, WithStatus};
use crate::machine::{Codec, DecodeError};

/// A question about the store. How many rows or bytes an answer has at most is asked for, and limited by
/// [`limits`](super::limits) beside that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// Is the aggregate at this sequence? [`Response::Checked`](super::Response::Checked) or [`Response::Conflict`](super::Response::Conflict).
    Check {
        /// Which aggregate.
        id: AggregateId,
        /// The sequence that its next event gets.
        expected: u64,
    },
    /// What is known of it? [`Response::Aggregate`](super::Response::Aggregate).
    Aggregate {
        /// Which aggregate.
        id: AggregateId,
    },
    /// What happened? [`Response::Events`](super::Response::Events).
    Events {
        /// To which aggregate.
        id: AggregateId,
        /// From this sequence on.
        from: u64,
        /// About how many bytes of events at most; at least one event comes.
        bytes_max: u32,
    },
    /// What was saved, and what happened since? [`Response::Snapshot`](super::Response::Snapshot).
    Snapshot {
        /// Of which aggregate.
        id: AggregateId,
        /// As in [`Query::Events`].
        bytes_max: u32,
    },
    /// Which aggregates are there? [`Response::Aggregates`](super::Response::Aggregates).
    Aggregates {
        /// Those whose ids begin so.
        prefix: AggregateId,
        /// Only those behind this one.
        after: Option<AggregateId>,
        /// At most so many.
        rows_max: u32,
    },
    /// Which aggregates have this label? [`Response::Aggregates`](super::Response::Aggregates).
    WithLabel {
        /// Its name.
        label: String,
        /// Its value.
        value: String,
        /// Only those behind this one.
        after: Option<AggregateId>,
        /// At most so many.
        rows_max: u32,
    },
    /// Which aggregates have this status, in the order in which they got it? [`Response::WithStatus`](super::Response::WithStatus).
    WithStatus {
        /// The status.
        status: String,
        /// Only those behind this one.
        after: Option<WithStatus>,
        /// At most so many.
        rows_max: u32,
    },
    /// Which values of this label are in use? [`Response::LabelValues`](super::Response::LabelValues).
    LabelValues {
        /// Its name.
        label: String,
        /// Only those behind this one.
        after: Option<String>,
        /// At most so many.
        rows_max: u32,
    },
    /// What happened to all aggregates, in the order of the log? [`Response::Recorded`](super::Response::Recorded).
    Recorded {
        /// From here on.
        from: Position,
        /// Only these events.
        filter: Filter,
        /// As in [`Query::Events`].
        bytes_max: u32,
    },
    /// Which archive record is the oldest? [`Response::Archived`](super::Response::Archived).
    OldestArchive {
        /// Among those behind this log index.
        after: u64,
        /// As in [`Query::Events`].
        bytes_max: u32,
    },
    /// More events of an archive record. [`Response::Archived`](super::Response::Archived).
    Archive {
        /// The record of this log index.
        index: u64,
        /// Events from this sequence on.
        from: u64,
        /// As in [`Query::Events`].
        bytes_max: u32,
    },
}

impl Codec for Query {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        match self {
            Self::Check { id, expected } => {
                out.put_u8(1);
                out.put_id(id);
                out.put_u64(*expected);
            }
            Self::Aggregate { id } => {
                out.put_u8(2);
                out.put_id(id);
            }
            Self::Events { id, from, bytes_max } => {
                out.put_u8(3);
                out.put_id(id);
                out.put_u64(*from);
                out.put_u32(*bytes_max);
            }
            Self::Snapshot { id, bytes_max } => {
                out.put_u8(4);
                out.put_id(id);
                out.put_u32(*bytes_max);
            }
            Self::Aggregates { prefix, after, rows_max } => {
                out.put_u8(5);
                out.put_id(prefix);
                out.put_option(after.as_ref(), Write::put_id);
                out.put_u32(*rows_max);
            }
            Self::WithLabel { label, value, after, rows_max } => {
                out.put_u8(6);
                out.put_text(label);
                out.put_text(value);
                out.put_option(after.as_ref(), Write::put_id);
                out.put_u32(*rows_max);
            }
            Self::WithStatus { status, after, rows_max } => {
                out.put_u8(7);
                out.put_text(status);
                out.put_option(after.as_ref(), |out, after| after.write(out));
                out.put_u32(*rows_max);
            }
            Self::LabelValues { label, after, rows_max } => {
                out.put_u8(8);
                out.put_text(label);
                out.put_option(after.as_ref(), |out, after| out.put_text(after));
                out.put_u32(*rows_max);
            }
            Self::Recorded { from, filter, bytes_max } => {
                out.put_u8(9);
                write_position(*from, out);
                out.put_list(&filter.prefixes, Write::put_id);
                out.put_list(&filter.types, |out, event_type| out.put_text(event_type));
                out.put_u32(*bytes_max);
            }
            Self::OldestArchive { after, bytes_max } => {
                out.put_u8(10);
                out.put_u64(*after);
                out.put_u32(*bytes_max);
            }
            Self::Archive { index, from, bytes_max } => {
                out.put_u8(11);
                out.put_u64(*index);
                out.put_u64(*from);
                out.put_u32(*bytes_max);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned("a query", bytes)?;
        let query = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(query)
    }
}

impl Query {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Check { id: reader.id()?, expected: reader.sequence()? },
            2 => Self::Aggregate { id: reader.id()? },
            3 => Self::Events { id: reader.id()?, from: reader.sequence()?, bytes_max: reader.u32()? },
            4 => Self::Snapshot { id: reader.id()?, bytes_max: reader.u32()? },
            5 => Self::Aggregates {
                prefix: reader.prefix()?,
                after: reader.option(Reader::id)?,
                rows_max: reader.u32()?,
            },
            6 => Self::WithLabel {
                label: label(reader)?,
                value: reader.text(LABEL_VALUE, LABEL_VALUE_BYTES_MAX)?,
                after: reader.option(Reader::id)?,
                rows_max: reader.u32()?,
            },
            7 => Self::WithStatus {
                status: reader.text(STATUS, STATUS_BYTES_MAX)?,
                after: reader.option(WithStatus::read)?,
                rows_max: reader.u32()?,
            },
            8 => Self::LabelValues {
                label: label(reader)?,
                after: reader.option(|reader| reader.text(LABEL_VALUE, LABEL_VALUE_BYTES_MAX))?,
                rows_max: reader.u32()?,
            },
            9 => Self::Recorded {
                from: read_position(reader)?,
                filter: Filter {
                    prefixes: reader.list("a filter", FILTER_MAX, Reader::prefix)?,
                    types: reader.list("a filter", FILTER_MAX, |reader| {
                        reader.text("an event's type", EVENT_TYPE_BYTES_MAX)
                    })?,
                },
                bytes_max: reader.u32()?,
            },
            10 => Self::OldestArchive { after: reader.u64()?, bytes_max: reader.u32()? },
            11 => Self::Archive { index: reader.u64()?, from: reader.sequence()?, bytes_max: reader.u32()? },
            other => return Err(DecodeError::new(format!("no query is of kind {other}"))),
        })
    }
}

fn label(reader: &mut Reader) -> Result<String, DecodeError> {
    let name = reader.text(LABEL, LABEL_BYTES_MAX)?;
    judge_label(&name)?;
    Ok(name)
}
