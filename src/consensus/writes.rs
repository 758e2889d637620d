//! What is durable. Writes leave numbered and come back as [`Persisted`](super::Persisted); only that proves anything.
//!
//! The danger is an entry that was written, overwritten, and written again: the first write's completion says nothing
//! about the third. So a truncation reaches into the writes still under way and takes back what they would have proved.

use std::collections::VecDeque;

use super::{Persisted, WriteSeq};
use crate::types::{HardState, LogIndex};

/// The writes under way, and what those before them made durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Writes {
    last: WriteSeq,
    under_way: VecDeque<Write>,
    /// The hard state on disk.
    durable: HardState,
    /// The hard state that will be on disk when all writes are done.
    handed_over: HardState,
    /// The entries of the log up to here are on disk.
    stable: LogIndex,
    /// The entries of the log from here on are in no write yet.
    unwritten_from: LogIndex,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    seq: WriteSeq,
    hard_state: Option<HardState>,
    /// Once durable, the log is stable up to here.
    proves: LogIndex,
}

impl Writes {
    /// All of the past is durable.
    pub(super) fn restored(hard_state: HardState, last: LogIndex) -> Self {
        Self {
            last: WriteSeq::default(),
            under_way: VecDeque::new(),
            durable: hard_state,
            handed_over: hard_state,
            stable: last,
            unwritten_from: last.next(),
        }
    }

    /// The hard state on disk.
    pub(super) fn durable(&self) -> HardState {
        self.durable
    }

    /// The entries of the log up to here are on disk.
    pub(super) fn stable(&self) -> LogIndex {
        self.stable
    }

    /// The entries of the log from here on are in no write yet.
    pub(super) fn unwritten_from(&self) -> LogIndex {
        self.unwritten_from
    }

    /// Whether `hard_state` is in no write yet.
    pub(super) fn misses(&self, hard_state: HardState) -> bool {
        self.handed_over != hard_state
    }

    /// The log drops its entries at and after `from`: whatever was or will be written there proves nothing any more.
    pub(super) fn truncated(&mut self, from: LogIndex) {
        let kept = from.prev();
        self.stable = self.stable.min(kept);
        self.unwritten_from = self.unwritten_from.min(from);
        for write in &mut self.under_way {
            write.proves = write.proves.min(kept);
        }
    }

    /// Hands over one more write: the hard state if it changed, and the log from `unwritten_from` to `last`.
    pub(super) fn hand_over(&mut self, hard_state: Option<HardState>, last: LogIndex) -> WriteSeq {
        self.last = WriteSeq(self.last.0 + 1);
        self.handed_over = hard_state.unwrap_or(self.handed_over);
        self.unwritten_from = last.next();
        self.under_way.push_back(Write { seq: self.last, hard_state, proves: last });
        self.last
    }

    /// Counts what the host made durable. A repeated report changes nothing.
    pub(super) fn persisted(&mut self, done: Persisted) {
        assert!(done.through <= self.last, "the host persisted a write that was never handed over");
        while let Some(write) = self.under_way.front().filter(|write| write.seq <= done.through) {
            self.durable = write.hard_state.unwrap_or(self.durable);
            self.stable = self.stable.max(write.proves);
            self.under_way.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    fn writes_with_stable(last: u64) -> Writes {
        Writes::restored(HardState::default(), LogIndex(last))
    }

    fn through(seq: u64) -> Persisted {
        Persisted { through: WriteSeq(seq) }
    }

    #[test]
    fn an_entry_written_again_is_not_proved_by_its_first_write() {
        let mut writes = writes_with_stable(4);
        writes.hand_over(None, LogIndex(5));
        for _ in 0..2 {
            writes.truncated(LogIndex(5));
            writes.hand_over(None, LogIndex(5));
        }

        writes.persisted(through(1));
        assert_eq!(writes.stable(), LogIndex(4));
        writes.persisted(through(2));
        assert_eq!(writes.stable(), LogIndex(4));
        writes.persisted(through(3));
        assert_eq!(writes.stable(), LogIndex(5));
    }

    #[test]
    fn a_truncated_write_still_proves_what_was_kept_of_it() {
        let mut writes = writes_with_stable(4);
        writes.hand_over(None, LogIndex(9));
        writes.truncated(LogIndex(7));

        writes.persisted(through(1));

        assert_eq!(writes.stable(), LogIndex(6));
        assert_eq!(writes.unwritten_from(), LogIndex(7));
    }

    #[test]
    fn one_report_completes_all_writes_before_it_and_only_once() {
        let voted = HardState { term: Term(2), voted_for: None };
        let mut writes = writes_with_stable(0);
        writes.hand_over(Some(voted), LogIndex(1));
        writes.hand_over(None, LogIndex(2));
        writes.hand_over(None, LogIndex(3));

        writes.persisted(through(2));
        writes.persisted(through(1));

        assert_eq!((writes.stable(), writes.durable()), (LogIndex(2), voted));
    }

    #[test]
    #[should_panic(expected = "never handed over")]
    fn a_host_that_reports_a_write_it_never_got_is_stopped() {
        writes_with_stable(0).persisted(through(1));
    }
}
