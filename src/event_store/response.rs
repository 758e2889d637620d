//! All answers of the store, as values. Byte by byte they stand in `query.rs`, beside what is asked.

use super::command::LABEL_VALUE;
use super::cursor::{Reader, VERSION, Write};
use super::error::StoreError;
use super::limits::LABEL_VALUE_BYTES_MAX;
use super::{
    Aggregate, AggregateId, Appended, Archived, Conflict, Events, Page, RecordedPage, Refused, Snapshot,
    WithStatus,
};
use crate::machine::{Codec, DecodeError};

/// What a [`Command`](super::Command) or a [`Query`](super::Query) is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// All of it was appended.
    Appended(Appended),
    /// Nothing was appended: an aggregate is at another sequence.
    Conflict(Conflict),
    /// Nothing was appended.
    Refused(Refused),
    /// The snapshot was taken; or a newer one was there, and stays.
    Saved {
        /// Whether it is the one that is kept.
        is_newest: bool,
    },
    /// The aggregate is not in the store any more.
    ArchiveDone {
        /// The log index of the archive record; none if no such aggregate was there.
        index: Option<u64>,
    },
    /// The archive record is not there any more.
    Consumed {
        /// Whether it was, until now.
        was_there: bool,
    },
    /// The aggregate is at that sequence.
    Checked,
    /// What is known of an aggregate; none if there is no such aggregate.
    Aggregate(Option<Aggregate>),
    /// Events of an aggregate.
    Events {
        /// Whose.
        id: AggregateId,
        /// The events.
        events: Events,
    },
    /// A snapshot.
    Snapshot {
        /// Whose.
        id: AggregateId,
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// Aggregates, in the order of their ids.
    Aggregates(Page<AggregateId>),
    /// Aggregates, in the order in which they got a status, then in that of their ids.
    WithStatus(Page<WithStatus>),
    /// Values of a label, sorted.
    LabelValues(Page<String>),
    /// Events in the order of the log.
    Recorded(RecordedPage),
    /// An archive record; none if there is no such record.
    Archived(Option<Archived>),
    /// The store of this node failed over it: it was not read, or not done here.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl Codec for Response {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        match self {
            Self::Appended(appended) => {
                out.put_u8(1);
                appended.write(out);
            }
            Self::Conflict(conflict) => {
                out.put_u8(2);
                conflict.write(out);
            }
            Self::Refused(refused) => {
                out.put_u8(3);
                out.put_u8(match refused {
                    Refused::TooManyLabels => 1,
                    Refused::NoSequenceLeft => 2,
                });
            }
            Self::Saved { is_newest } => {
                out.put_u8(4);
                out.put_bool(*is_newest);
            }
            Self::ArchiveDone { index } => {
                out.put_u8(5);
                out.put_option(index.as_ref(), |out, index| out.put_u64(*index));
            }
            Self::Consumed { was_there } => {
                out.put_u8(6);
                out.put_bool(*was_there);
            }
            Self::Checked => out.put_u8(11),
            Self::Aggregate(aggregate) => {
                out.put_u8(12);
                out.put_option(aggregate.as_ref(), |out, aggregate| aggregate.write(out));
            }
            Self::Events { id, events } => {
                out.put_u8(13);
                out.put_id(id);
                events.write(out);
            }
            Self::Snapshot { id, snapshot } => {
                out.put_u8(14);
                out.put_id(id);
                snapshot.write(out);
            }
            Self::Aggregates(page) => {
                out.put_u8(15);
                page.write(out, Write::put_id);
            }
            Self::WithStatus(page) => {
                out.put_u8(16);
                page.write(out, |out, row| row.write(out));
            }
            Self::LabelValues(page) => {
                out.put_u8(17);
                page.write(out, |out, value| out.put_text(value));
            }
            Self::Recorded(page) => {
                out.put_u8(18);
                page.write(out);
            }
            Self::Archived(archived) => {
                out.put_u8(19);
                out.put_option(archived.as_ref(), |out, archived| archived.write(out));
            }
            Self::Failed { reason } => {
                out.put_u8(20);
                out.put_bytes(reason.as_bytes());
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::versioned("a response", bytes)?;
        let response = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(response)
    }
}

impl Response {
    /// What went wrong, in as many words as there is room for.
    pub(super) fn failed(error: &StoreError) -> Self {
        let mut reason = error.to_string();
        while reason.len() > REASON_BYTES_MAX {
            reason.pop();
        }
        Self::Failed { reason }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Appended(Appended::read(reader)?),
            2 => Self::Conflict(Conflict::read(reader)?),
            3 => Self::Refused(match reader.u8()? {
                1 => Refused::TooManyLabels,
                2 => Refused::NoSequenceLeft,
                other => return Err(DecodeError::new(format!("nothing is refused for reason {other}"))),
            }),
            4 => Self::Saved { is_newest: reader.bool()? },
            5 => Self::ArchiveDone { index: reader.option(Reader::u64)? },
            6 => Self::Consumed { was_there: reader.bool()? },
            11 => Self::Checked,
            12 => Self::Aggregate(reader.option(Aggregate::read)?),
            13 => {
                let id = reader.id()?;
                Self::Events { events: Events::read(reader, &id)?, id }
            }
            14 => {
                let id = reader.id()?;
                Self::Snapshot { snapshot: Snapshot::read(reader, &id)?, id }
            }
            15 => Self::Aggregates(Page::read(reader, Reader::id)?),
            16 => Self::WithStatus(Page::read(reader, WithStatus::read)?),
            17 => Self::LabelValues(Page::read(reader, |reader| {
                reader.text(LABEL_VALUE, LABEL_VALUE_BYTES_MAX)
            })?),
            18 => Self::Recorded(RecordedPage::read(reader)?),
            19 => Self::Archived(reader.option(Archived::read)?),
            20 => {
                let reason = reader.bytes("a reason", REASON_BYTES_MAX)?;
                let reason = String::from_utf8(reason.into());
                Self::Failed { reason: reason.map_err(|_| DecodeError::new("a reason: not UTF-8"))? }
            }
            other => return Err(DecodeError::new(format!("no response is of kind {other}"))),
        })
    }
}

const REASON_BYTES_MAX: usize = 64 << 10;
