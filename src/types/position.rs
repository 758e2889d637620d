//! Terms and indexes, and how logs compare.

use crate::planted::{Bug, planted};
use std::fmt;

/// A Raft term (§5.1). Zero belongs to the founding entry alone; elections start at one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// The term of the founding entry, before any election.
    pub const ZERO: Self = Self(0);

    /// The term that a candidate of this one campaigns in; `None` where the numbers end.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an entry in the log. The first entry has index 1; zero means "before the log".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The index after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The index before this one; zero stays zero.
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The index `count` entries further.
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// How many entries lie in `(earlier, self]`; zero if `earlier` is not earlier.
    pub fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry's identity: two entries at the same position are the same entry (§5.3, log matching).
///
/// The derived order is Raft's: term first, then index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The term in which a leader made the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: LogIndex,
}

impl LogPosition {
    /// Before the first entry.
    pub const ZERO: Self = Self { term: Term::ZERO, index: LogIndex::ZERO };

    /// A position from its two numbers.
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }

    /// §5.4.1: a voter refuses a candidate whose log is less up-to-date than its own.
    /// The order is derived from `{ term, index }`: term first, as Raft compares logs.
    pub fn is_up_to_date_with(self, voter: Self) -> bool {
        self >= voter || (planted(Bug::ComparesIndexAlone) && self.index >= voter.index)
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// The entries `first..=last` of a log; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogSpan {
    /// The first index of the span.
    pub first: LogIndex,
    /// The position of its last entry.
    pub last: LogPosition,
}

impl LogSpan {
    /// How many entries the span holds; at least one.
    pub fn count(self) -> u64 {
        self.last.index.distance_from(self.first) + 1
    }

    /// Whether `index` lies in the span.
    pub fn contains(self, index: LogIndex) -> bool {
        self.first <= index && index <= self.last.index
    }
}

impl fmt::Display for LogSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_by_term_before_index() {
        let long_but_old = LogPosition::new(Term(1), LogIndex(9));
        let short_but_new = LogPosition::new(Term(2), LogIndex(3));

        assert!(short_but_new.is_up_to_date_with(long_but_old));
        assert!(!long_but_old.is_up_to_date_with(short_but_new));
        assert!(long_but_old.is_up_to_date_with(long_but_old));
    }

    #[test]
    fn a_span_counts_both_ends() {
        let span = LogSpan { first: LogIndex(4), last: LogPosition::new(Term(1), LogIndex(6)) };

        assert_eq!(span.count(), 3);
        assert!(span.contains(LogIndex(4)) && span.contains(LogIndex(6)) && !span.contains(LogIndex(7)));
    }

    #[test]
    fn the_last_term_has_no_successor() {
        assert_eq!(Term(u64::MAX).next(), None);
    }
}
