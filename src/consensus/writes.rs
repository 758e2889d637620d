//! What is durable. Writes leave numbered and come back as [`Persisted`](super::Persisted); only that proves anything.
//!
//! The danger is an entry that was written, overwritten, and written again: the first write's completion says nothing
//! about the third. So a truncation reaches into the writes still under way and takes back what they would have proved.

use std::collections::VecDeque;

use super::{Persisted, WriteSeq};
use crate::planted::{Bug, planted};
use crate::types::{HardState, LogIndex, SnapshotMeta};

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
    /// The log begins anew behind this snapshot; that is in no write yet.
    restart: Option<SnapshotMeta>,
    /// A restart of the log is durable: its snapshot is to become the state machine's state.
    restored: Option<SnapshotMeta>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    seq: WriteSeq,
    hard_state: Option<HardState>,
    /// Behind which snapshot the log begins anew with this write.
    restart: Option<SnapshotMeta>,
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
            restart: None,
            restored: None,
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

    /// The snapshot behind which the log begins anew, if that is in no write yet.
    pub(super) fn unwritten_restart(&self) -> Option<&SnapshotMeta> {
        self.restart.as_ref()
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
            let proves = if planted(Bug::CountsOverwrittenWrites) { write.proves } else { kept };
            write.proves = write.proves.min(proves);
        }
    }

    /// The log drops everything and begins anew behind `snapshot`. Up to `verified` the old log, as long as it is the one on
    /// disk, equals what the snapshot covers; nothing that was handed over proves more than that, and an earlier restart
    /// is overtaken.
    pub(super) fn restarted(&mut self, snapshot: SnapshotMeta, verified: LogIndex) {
        self.truncated(verified.next());
        for write in &mut self.under_way {
            write.restart = None;
        }
        self.restored = None;
        self.unwritten_from = snapshot.position.index.next();
        self.restart = Some(snapshot);
    }

    /// Hands over one more write: the hard state if it changed, the restart of the log if there is one, and the log from
    /// `unwritten_from` to `last`.
    pub(super) fn hand_over(&mut self, hard_state: Option<HardState>, last: LogIndex) -> WriteSeq {
        self.last = WriteSeq(self.last.0 + 1);
        self.handed_over = hard_state.unwrap_or(self.handed_over);
        self.unwritten_from = last.next();
        let restart = self.restart.take();
        self.under_way.push_back(Write { seq: self.last, hard_state, restart, proves: last });
        self.last
    }

    /// Counts what the host made durable. A repeated report changes nothing.
    pub(super) fn persisted(&mut self, done: Persisted) {
        assert!(done.through <= self.last, "the host persisted a write that was never handed over");
        while let Some(write) = self.under_way.front().filter(|write| write.seq <= done.through) {
            self.durable = write.hard_state.unwrap_or(self.durable);
            self.stable = self.stable.max(write.proves);
            let done = self.under_way.pop_front();
            self.restored = done.and_then(|write| write.restart).or(self.restored.take());
        }
    }

    /// Whether a restart became durable whose snapshot the state machine has not got yet.
    pub(super) fn is_restored(&self) -> bool {
        self.restored.is_some()
    }

    /// The snapshot for the state machine, once.
    pub(super) fn take_restored(&mut self) -> Option<SnapshotMeta> {
        self.restored.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{LogPosition, Membership, SnapshotId, Term};

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

    fn snapshot(index: u64) -> SnapshotMeta {
        let position = LogPosition::new(Term(1), LogIndex(index));
        SnapshotMeta { id: SnapshotId(index), position, membership: Arc::new(Membership::nobody()), bytes: 1 }
    }

    #[test]
    fn a_restart_counts_when_its_own_write_is_durable_and_earlier_writes_prove_only_what_was_verified() {
        let mut writes = writes_with_stable(4);
        writes.hand_over(None, LogIndex(9));
        writes.restarted(snapshot(50), LogIndex(6));
        writes.hand_over(None, LogIndex(52));

        writes.persisted(through(1));
        assert_eq!((writes.stable(), writes.take_restored()), (LogIndex(6), None));
        writes.persisted(through(2));

        assert_eq!((writes.stable(), writes.take_restored()), (LogIndex(52), Some(snapshot(50))));
        assert!(!writes.is_restored(), "handed over once");
    }

    #[test]
    fn a_restart_that_is_overtaken_by_another_is_never_handed_over() {
        let mut writes = writes_with_stable(4);
        writes.restarted(snapshot(50), LogIndex(4));
        writes.hand_over(None, LogIndex(50));
        writes.restarted(snapshot(90), LogIndex(50));
        writes.hand_over(None, LogIndex(90));

        writes.persisted(through(1));
        assert_eq!((writes.stable(), writes.take_restored()), (LogIndex(50), None));
        writes.persisted(through(2));

        assert_eq!((writes.stable(), writes.take_restored()), (LogIndex(90), Some(snapshot(90))));
    }

    #[test]
    #[should_panic(expected = "never handed over")]
    fn a_host_that_reports_a_write_it_never_got_is_stopped() {
        writes_with_stable(0).persisted(through(1));
    }
}
