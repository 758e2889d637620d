//! Entries: what a log holds. Consensus sees their [`EntryMeta`]; everyone else sees the whole [`Entry`].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Boot, Incarnation, LogIndex, LogPosition, Membership, NodeId};

/// One entry of the log, with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, and in which term it was made.
    pub position: LogPosition,
    /// What it carries.
    pub payload: Payload,
}

impl Entry {
    /// The entry as consensus sees it.
    pub fn meta(&self) -> EntryMeta {
        let kind = match &self.payload {
            Payload::Normal { .. } => EntryKind::Normal,
            Payload::Noop => EntryKind::Noop,
            Payload::Membership(membership) => EntryKind::Membership(Arc::clone(membership)),
        };
        EntryMeta { position: self.position, bytes: self.payload.bytes(), kind }
    }
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A command for the state machine.
    Normal {
        /// Set if a node other than its leader took the command from a caller.
        origin: Option<Box<Origin>>,
        /// The encoded command.
        command: Bytes,
    },
    /// The empty entry with which a leader opens its term (§8).
    Noop,
    /// A configuration, in force as soon as it is in the log (§6).
    Membership(Arc<Membership>),
}

impl Payload {
    /// The size that flow control counts, in bytes: the payload's own, without framing.
    pub fn bytes(&self) -> u32 {
        match self {
            Self::Normal { command, .. } => u32::try_from(command.len()).unwrap_or(u32::MAX),
            Self::Noop => 0,
            Self::Membership(membership) => membership.approximate_bytes(),
        }
    }
}

/// Whose caller waits for a forwarded command: the origin finds its ticket by this tag when it applies the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The node that took the command.
    pub node: NodeId,
    /// Its data directory.
    pub incarnation: Incarnation,
    /// Its process.
    pub boot: Boot,
    /// The request within that process.
    pub request: u64,
}

/// An entry as consensus sees it: never the payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryMeta {
    /// Where the entry stands, and in which term it was made.
    pub position: LogPosition,
    /// What flow control counts, in bytes.
    pub bytes: u32,
    /// What consensus must know of the payload.
    pub kind: EntryKind,
}

/// What consensus must know of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A command: consensus does not look inside.
    Normal,
    /// The empty entry that opens a term.
    Noop,
    /// A configuration; consensus obeys it from the moment it is in the log.
    Membership(Arc<Membership>),
}

/// Consecutive entries, shared instead of copied: the tail, the log writer, the applier and the connections hold the
/// same allocation.
#[derive(Clone, Debug)]
pub struct EntryRun {
    entries: Arc<[Entry]>,
    range: Range<usize>,
}

impl EntryRun {
    /// `None` if there are no entries.
    ///
    /// # Panics
    /// If the indexes are not consecutive: whoever makes a run has judged them already.
    pub fn new(entries: Arc<[Entry]>) -> Option<Self> {
        let consecutive =
            entries.windows(2).all(|pair| pair[0].position.index.next() == pair[1].position.index);
        assert!(consecutive, "a run of entries has a gap");
        let range = 0..entries.len();
        (!entries.is_empty()).then_some(Self { entries, range })
    }

    /// The entries, in order; never empty.
    pub fn entries(&self) -> &[Entry] {
        &self.entries[self.range.clone()]
    }

    /// The position of the first entry.
    pub fn first(&self) -> LogPosition {
        self.entries()[0].position
    }

    /// The position of the last entry.
    pub fn last(&self) -> LogPosition {
        self.entries()[self.range.len() - 1].position
    }

    /// The part of this run that lies in `first..=last`, if any: shared, not copied.
    pub fn slice(&self, first: LogIndex, last: LogIndex) -> Option<Self> {
        let start = self.first().index;
        let from = first.distance_from(start) as usize;
        let to =
            if last < start { 0 } else { (last.distance_from(start) as usize + 1).min(self.range.len()) };
        (from < to).then(|| Self {
            entries: Arc::clone(&self.entries),
            range: self.range.start + from..self.range.start + to,
        })
    }
}

/// Entries that follow `prev` without a gap, and whose terms never fall. Holding one is the proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSlice {
    prev: LogPosition,
    entries: Vec<EntryMeta>,
}

impl LogSlice {
    /// The only way in: refuses gaps and falling terms.
    pub fn new(prev: LogPosition, entries: Vec<EntryMeta>) -> Result<Self, MalformedSlice> {
        let mut before = prev;
        for entry in &entries {
            if before.index.0.checked_add(1) != Some(entry.position.index.0) {
                return Err(MalformedSlice::Gap { after: before.index, found: entry.position.index });
            }
            if entry.position.term < before.term {
                return Err(MalformedSlice::FallingTerm { at: entry.position, after: before });
            }
            before = entry.position;
        }
        Ok(Self { prev, entries })
    }

    /// The position the entries follow.
    pub fn prev(&self) -> LogPosition {
        self.prev
    }

    /// The entries, in order; may be empty (a probe).
    pub fn entries(&self) -> &[EntryMeta] {
        &self.entries
    }

    /// The position of the last entry, or `prev` if there is none.
    pub fn last(&self) -> LogPosition {
        self.entries.last().map_or(self.prev, |entry| entry.position)
    }

    /// What flow control counts for all entries together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.bytes)).sum()
    }
}

/// Why entries are no slice of any Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSlice {
    /// An index does not follow the one before it.
    #[error("entry {found} does not follow {after}")]
    Gap {
        /// The index before.
        after: LogIndex,
        /// What came instead of its successor.
        found: LogIndex,
    },
    /// A term is lower than the one before it.
    #[error("the term falls at {at}, after {after}")]
    FallingTerm {
        /// The entry whose term falls.
        at: LogPosition,
        /// The entry before it.
        after: LogPosition,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    fn noop(term: u64, index: u64) -> Entry {
        Entry { position: LogPosition::new(Term(term), LogIndex(index)), payload: Payload::Noop }
    }

    fn run(indexes: Range<u64>) -> EntryRun {
        EntryRun::new(indexes.map(|index| noop(1, index)).collect()).expect("not empty")
    }

    fn indexes(run: &EntryRun) -> Vec<u64> {
        run.entries().iter().map(|entry| entry.position.index.0).collect()
    }

    #[test]
    fn a_run_is_cut_to_the_span_asked_for() {
        let run = run(5..10);

        assert_eq!(indexes(&run.slice(LogIndex(6), LogIndex(7)).unwrap()), [6, 7]);
        assert_eq!(indexes(&run.slice(LogIndex(1), LogIndex(5)).unwrap()), [5]);
        assert_eq!(indexes(&run.slice(LogIndex(9), LogIndex(99)).unwrap()), [9]);
        assert!(run.slice(LogIndex(1), LogIndex(4)).is_none());
        assert!(run.slice(LogIndex(10), LogIndex(12)).is_none());
        assert!(run.slice(LogIndex(8), LogIndex(7)).is_none());
    }

    #[test]
    fn a_slice_of_a_slice_keeps_its_own_bounds() {
        let inner = run(5..10).slice(LogIndex(6), LogIndex(8)).unwrap();

        assert_eq!(indexes(&inner.slice(LogIndex(7), LogIndex(9)).unwrap()), [7, 8]);
    }

    #[test]
    fn a_gap_or_a_falling_term_is_no_slice() {
        let prev = LogPosition::new(Term(2), LogIndex(3));

        assert!(LogSlice::new(prev, vec![noop(2, 4).meta(), noop(3, 5).meta()]).is_ok());
        assert!(matches!(LogSlice::new(prev, vec![noop(2, 5).meta()]), Err(MalformedSlice::Gap { .. })));
        assert!(matches!(
            LogSlice::new(prev, vec![noop(1, 4).meta()]),
            Err(MalformedSlice::FallingTerm { .. })
        ));
    }

    #[test]
    fn no_slice_runs_beyond_the_last_index() {
        let prev = LogPosition::new(Term(2), LogIndex(u64::MAX));

        assert!(matches!(LogSlice::new(prev, vec![noop(2, 0).meta()]), Err(MalformedSlice::Gap { .. })));
    }
}
