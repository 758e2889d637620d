//! The order of all events, over all aggregates: where each stands, and what a subscriber gets to see.

use std::fmt;

use super::limits::{FILTER_MAX, Invalid};
use super::{AggregateId, Event};
use crate::machine::{Codec, DecodeError};

/// The place of an event among all events of the store: that of the entry it came with in the log, and its place in there.
/// The same on every node, and for ever. To go on behind an event later, keep [`Position::next`] of its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The index of the log entry.
    pub index: u64,
    /// Which of the entry's events: 0, 1, 2, …
    pub offset: u32,
}

impl Position {
    /// Before the first event.
    pub const START: Self = Self { index: 0, offset: 0 };

    /// The place right behind this one, whether or not an event stands there.
    pub fn next(self) -> Self {
        match self.offset.checked_add(1) {
            Some(offset) => Self { offset, ..self },
            None => Self::behind(self.index),
        }
    }

    /// `count` places further in the same entry, which has few of them.
    pub(super) fn plus(self, count: u32) -> Self {
        Self { offset: self.offset.saturating_add(count), ..self }
    }

    /// Behind all events of the entry `index`.
    pub fn behind(index: u64) -> Self {
        Self { index: index.saturating_add(1), offset: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.offset)
    }
}

/// Index 8, offset 4, big endian: to be kept by whoever goes on from here.
impl Codec for Position {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((index, offset)) = bytes.split_first_chunk::<8>() else {
            return Err(DecodeError::new("a position has twelve bytes"));
        };
        let offset = offset.try_into().map_err(|_| DecodeError::new("a position has twelve bytes"))?;
        Ok(Self { index: u64::from_be_bytes(*index), offset: u32::from_be_bytes(offset) })
    }
}

/// Which events a subscriber wants: those whose aggregate has one of the prefixes, if any are named, and whose type is one
/// of the types, if any are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(super) prefixes: Vec<AggregateId>,
    pub(super) types: Vec<String>,
}

impl Filter {
    /// All events.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of aggregates whose id begins with `prefix`.
    pub fn prefix(prefix: AggregateId) -> Self {
        Self::all().or_prefix(prefix)
    }

    /// Those of `event_type`.
    pub fn event_type(event_type: impl Into<String>) -> Self {
        Self::all().or_event_type(event_type)
    }

    /// Also those of aggregates whose id begins with `prefix`, if other prefixes are named; else only those.
    #[must_use]
    pub fn or_prefix(mut self, prefix: AggregateId) -> Self {
        self.prefixes.push(prefix);
        self
    }

    /// Also those of `event_type`, if other types are named; else only those.
    #[must_use]
    pub fn or_event_type(mut self, event_type: impl Into<String>) -> Self {
        self.types.push(event_type.into());
        self
    }

    /// Whether it names no more than it may.
    pub fn judge(&self) -> Result<(), Invalid> {
        Invalid::judge("a filter", "prefixes", self.prefixes.len(), FILTER_MAX)?;
        Invalid::judge("a filter", "types", self.types.len(), FILTER_MAX)?;
        let longest = self.types.iter().map(String::len).max().unwrap_or(0);
        Invalid::judge_bytes("an event's type", longest, super::limits::EVENT_TYPE_BYTES_MAX)
    }

    /// Whether it wants events of this aggregate.
    pub fn wants_aggregate(&self, aggregate: &AggregateId) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| aggregate.has_prefix(prefix))
    }

    /// Whether it wants this event.
    pub fn wants(&self, event: &Event) -> bool {
        let is_of_type = self.types.is_empty() || self.types.contains(&event.event_type);
        is_of_type && self.wants_aggregate(&event.aggregate)
    }
}

/// What a subscriber is given, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// An event.
    Event {
        /// Where it stands.
        position: Position,
        /// The event itself.
        event: Event,
    },
    /// Events that were removed before this subscriber came to them.
    Gap(Gap),
}

impl Recorded {
    /// Where it stands; whoever has handled it goes on at [`Position::next`] of this.
    pub fn position(&self) -> Position {
        match self {
            Self::Event { position, .. } | Self::Gap(Gap { position, .. }) => *position,
        }
    }
}

/// Events of an aggregate that are not there any more. It stands where the last of them stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the last of them stood.
    pub position: Position,
    /// Whose events they were.
    pub aggregate: AggregateId,
    /// No event below this sequence is left: what lies before it, a snapshot holds. The first that is left may lie beyond
    /// it, if that snapshot ran ahead of the events. Zero if the aggregate was archived: what comes later of this id is another life of it.
    pub first_available: u64,
    /// Who removed them.
    pub removed_by: Removal,
}

/// Why events are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A snapshot was saved that trims.
    Trim,
    /// The aggregate was archived.
    Archive,
}
