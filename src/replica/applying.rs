//! Committed entries on their way to the state machine: each once, in order, and never more at a time than it can take.
//!
//! They come from the tail, or from the log if they have left it: after a restart the whole log is applied again, and a
//! slow state machine may fall behind what memory holds.

use std::collections::VecDeque;

use super::tail::{Tail, weight};
use crate::consensus::Raft;
use crate::types::{Entry, EntryRun, LogIndex, LogPosition, LogSpan};

/// How far the state machine is, and how far it may go.
#[derive(Debug)]
pub(super) struct Applying {
    committed: LogIndex,
    handed_over: LogIndex,
    applied: LogIndex,
    /// What is handed over and not applied: the last index of each job, and its weight.
    in_flight: VecDeque<(LogIndex, u64)>,
    bytes_in_flight: u64,
    bytes_in_flight_max: u64,
    /// A snapshot is about to take the place of the state: nothing more of the log before it is handed over.
    halted: bool,
    /// The one fetch under way.
    fetch: Option<u64>,
    /// What it brought.
    fetched: Option<EntryRun>,
}

/// Entries that must be read back from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) first: LogIndex,
    pub(super) last: LogIndex,
    pub(super) bytes_max: u64,
}

impl Applying {
    /// The state machine holds everything up to `applied`.
    pub(super) fn new(applied: LogIndex, bytes_in_flight_max: u64) -> Self {
        Self {
            committed: applied,
            handed_over: applied,
            applied,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            bytes_in_flight_max,
            halted: false,
            fetch: None,
            fetched: None,
        }
    }

    /// The last index that was handed over.
    pub(super) fn handed_over(&self) -> LogIndex {
        self.handed_over
    }

    /// The last index that the state machine holds.
    pub(super) fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Consensus committed `span`.
    ///
    /// # Panics
    /// If it does not follow what was committed before.
    pub(super) fn commit(&mut self, span: LogSpan) {
        assert_eq!(span.first, self.committed.next(), "committed entries were skipped or repeated");
        self.committed = span.last.index;
    }

    /// The state machine applied everything up to `through`.
    ///
    /// # Panics
    /// If that was never handed over.
    pub(super) fn applied_through(&mut self, through: LogPosition) {
        assert!(through.index <= self.handed_over, "the state machine applied what it was not given");
        self.applied = self.applied.max(through.index);
        while let Some(&(last, weight)) = self.in_flight.front()
            && last <= self.applied
        {
            self.bytes_in_flight -= weight;
            self.in_flight.pop_front();
        }
    }

    /// The next entries that the state machine has room for, if they are at hand. They count as handed over.
    pub(super) fn next(&mut self, tail: &Tail) -> Option<Vec<EntryRun>> {
        let (runs, weight) = match self.fetched.take() {
            Some(run) => {
                let weight = run.entries().iter().map(weight).sum();
                (vec![run], weight)
            }
            None => self.next_of(tail)?,
        };
        let last = runs.last()?.last().index;
        self.handed_over = last;
        self.in_flight.push_back((last, weight));
        self.bytes_in_flight += weight;
        Some(runs)
    }

    fn next_of(&self, tail: &Tail) -> Option<(Vec<EntryRun>, u64)> {
        if self.fetch.is_some() || self.handed_over == self.committed {
            return None;
        }
        let wanted = (self.handed_over.next(), self.committed);
        tail.slice_within(wanted, self.room(), self.in_flight.is_empty())
    }

    /// What must be fetched before anything can be handed over: asked for in pieces of at least half the room, one at a time.
    pub(super) fn missing(&self, tail: &Tail) -> Option<Missing> {
        let first = self.handed_over.next();
        let at_hand = first >= tail.first() || self.handed_over == self.committed;
        let full = self.room() < self.bytes_in_flight_max / 2;
        if at_hand || full || self.fetch.is_some() {
            return None;
        }
        Some(Missing { first, last: self.committed.min(tail.first().prev()), bytes_max: self.room() })
    }

    /// The log was replaced by a snapshot: what was committed and not handed over is gone, and covered by it.
    pub(super) fn halt(&mut self) {
        self.halted = true;
        self.committed = self.handed_over;
        (self.fetch, self.fetched) = (None, None);
    }

    /// Whether a snapshot is about to take the place of the state.
    pub(super) fn is_halted(&self) -> bool {
        self.halted
    }

    /// The state machine is told to take over the snapshot that ends at `index`, and goes on behind it.
    ///
    /// # Panics
    /// If it was given entries behind it before.
    pub(super) fn restore(&mut self, index: LogIndex) {
        assert!(index >= self.handed_over, "a snapshot would take back what was applied");
        self.halt();
        self.halted = false;
        (self.committed, self.handed_over) = (index, index);
        self.in_flight.push_back((index, 0));
    }

    fn room(&self) -> u64 {
        self.bytes_in_flight_max.saturating_sub(self.bytes_in_flight)
    }

    /// The fetch with this id is under way.
    pub(super) fn fetching(&mut self, id: u64) {
        self.fetch = Some(id);
    }

    /// Whether `id` is the fetch under way.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.fetch == Some(id)
    }

    /// What the fetch brought.
    ///
    /// # Panics
    /// If these are not the committed entries that come next: nobody may replace them.
    pub(super) fn take_fetched(&mut self, entries: Vec<Entry>, raft: &Raft) {
        self.fetch = None;
        let mut index = self.handed_over;
        for entry in &entries {
            index = index.next();
            let expected = raft.term_at(index).map(|term| LogPosition::new(term, index));
            assert_eq!(Some(entry.position), expected, "the log gave back another entry than it was given");
        }
        assert!(index <= self.committed, "the log gave back more than it was asked for");
        self.fetched = EntryRun::new(entries.into());
        assert!(self.fetched.is_some(), "the log lost a committed entry");
    }
}
