//! How large things may be, and what is said of those that are larger.
//!
//! Everything is judged where it is made, in a caller's hands, and again where its bytes are decoded: so a command that
//! reaches the log is within its limits on every node. A node's own
//! [`Config::command_bytes_max`](crate::Config::command_bytes_max) limits a whole command beside them.

use crate::machine::DecodeError;
use crate::runtime::Config;

/// Parts of an aggregate's id.
pub const ID_PARTS_MAX: usize = 32;
/// Bytes of an aggregate's id: of all its parts together, two more for each part, and one more for each byte 0 in them.
pub const ID_BYTES_MAX: usize = 1024;
/// Bytes of an event's type.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Bytes of an event's data.
pub const EVENT_DATA_BYTES_MAX: usize = 8 << 20;
/// Events of one append, over all its aggregates.
pub const EVENTS_MAX: usize = 4096;
/// Aggregates of one atomic append.
pub const APPENDS_MAX: usize = 256;
/// Bytes of a status.
pub const STATUS_BYTES_MAX: usize = 256;
/// Labels that an aggregate has, and labels that one append sets or removes.
pub const LABELS_MAX: usize = 64;
/// Bytes of a label's name.
pub const LABEL_BYTES_MAX: usize = 256;
/// Bytes of a label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Bytes of a snapshot's data.
pub const SNAPSHOT_BYTES_MAX: usize = 8 << 20;
/// The largest sequence: what a signed number of eight bytes holds. Beyond it stand the negative ones.
pub const SEQUENCE_MAX: u64 = i64::MAX as u64;
/// Bytes of events that one answer to a query carries, and a conflict; one event more, if the first alone is larger.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that one answer to a query lists.
pub const PAGE_ROWS_MAX: usize = 4096;
/// Types, and prefixes, that one filter names.
pub const FILTER_MAX: usize = 64;

const _: () = assert!(EVENT_DATA_BYTES_MAX * 2 <= Config::COMMAND_BYTES_LIMIT, "an append holds any event");
const _: () = assert!(SNAPSHOT_BYTES_MAX * 2 <= Config::COMMAND_BYTES_LIMIT, "a command holds any snapshot");

/// What is wrong with a request, found before it left its caller: nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Something is longer than its limit.
    #[error("{what}: {length} {unit}, and at most {max} are taken")]
    TooLong {
        /// What is.
        what: &'static str,
        /// In what its length is counted.
        unit: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// An id of no parts names no aggregate: it is the prefix of all.
    #[error("an aggregate's id has at least one part")]
    EmptyId,
    /// Bytes that are no id's key.
    #[error("these bytes are no aggregate's id")]
    Key,
    /// An event without a type.
    #[error("an event's type is not empty")]
    EmptyType,
    /// A label without a name.
    #[error("a label's name is not empty")]
    EmptyLabel,
    /// A sequence that no event can have.
    #[error("sequence {0} is negative, or beyond the last one there is")]
    Sequence(u64),
    /// One aggregate stands twice in an atomic append.
    #[error("an aggregate stands twice in one append")]
    AggregateTwice,
    /// An atomic append of nothing.
    #[error("an append names at least one aggregate")]
    NoAggregate,
}

impl Invalid {
    /// Refuses a length of `bytes` above `max`.
    pub(super) fn judge_bytes(what: &'static str, length: usize, max: usize) -> Result<(), Self> {
        Self::judge(what, "bytes", length, max)
    }

    /// Refuses a count above `max`.
    pub(super) fn judge(
        what: &'static str,
        unit: &'static str,
        length: usize,
        max: usize,
    ) -> Result<(), Self> {
        if length > max { Err(Self::TooLong { what, unit, length, max }) } else { Ok(()) }
    }

    /// Refuses a sequence beyond [`SEQUENCE_MAX`].
    pub(super) fn judge_sequence(sequence: u64) -> Result<(), Self> {
        if sequence > SEQUENCE_MAX { Err(Self::Sequence(sequence)) } else { Ok(()) }
    }
}

impl From<Invalid> for DecodeError {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.to_string())
    }
}
