//! Snapshots of this replica's own state machine: when one is due, who asked for it, and what becomes of it.
//!
//! One is taken at a time. It holds exactly the entries that were handed to the state machine before the picture was
//! asked for. Whoever asks while one is under way is served by it if it holds all that was handed over when the question
//! came; else by the next one.

use super::deadline::{Deadlined, Waiters};
use super::{Answer, SnapshotNow};
use crate::ticket::{SnapshotNowError, StopCause};
use crate::types::{LogIndex, Moment, SnapshotMeta};

/// After a failure the next try waits so many ticks, twice as many after the next, and so on.
const RETRY_TICKS_MIN: u64 = 64;
/// It never waits longer than this.
const RETRY_TICKS_MAX: u64 = 4096;

/// When to take a snapshot, and who waits for it.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// Due after so many entries, and after so many bytes; 0: never for this reason.
    entries: u64,
    bytes: u64,
    /// The last entry in the newest snapshot, also in one under way.
    covered: LogIndex,
    /// The bytes of the entries behind it that were handed to the state machine.
    bytes_since: u64,
    /// How large the newest snapshot is: it is not written anew for fewer bytes of entries than that, so that of all that
    /// a node writes snapshots are about half at most.
    newest_bytes: u64,
    under_way: Option<UnderWay>,
    failures: u32,
    /// No try before this tick, unless somebody asks.
    retry_at: u64,
    demands: Waiters<Demand>,
}

/// What must be undone if the snapshot under way fails.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    covered: LogIndex,
    bytes_since: u64,
}

/// Somebody wants a snapshot that holds everything up to `through`.
struct Demand {
    through: LogIndex,
    answer: Answer<SnapshotMeta, SnapshotNowError>,
    deadline: Moment,
}

impl Snapshots {
    /// `entries` and `bytes` are the thresholds; behind the newest snapshot the state machine holds `bytes_since`.
    pub(super) fn new((entries, bytes): (u64, u64), newest: Option<&SnapshotMeta>, bytes_since: u64) -> Self {
        Self {
            entries,
            bytes,
            covered: newest.map_or(LogIndex::ZERO, |newest| newest.position.index),
            bytes_since,
            newest_bytes: newest.map_or(0, |newest| newest.bytes),
            under_way: None,
            failures: 0,
            retry_at: 0,
            demands: Waiters::new(),
        }
    }

    /// Entries of so many bytes were handed to the state machine.
    pub(super) fn handed_over(&mut self, bytes: u64) {
        self.bytes_since += bytes;
    }

    /// Somebody wants a snapshot of everything up to `through`, which was handed to the state machine. `newest` is the
    /// newest one there is.
    pub(super) fn demand(&mut self, demand: SnapshotNow, through: LogIndex, newest: Option<&SnapshotMeta>) {
        let SnapshotNow { answer, deadline } = demand;
        match newest.filter(|newest| newest.position.index >= through) {
            Some(newest) => answer(Ok(newest.clone())),
            None if through == LogIndex::ZERO => answer(Err(SnapshotNowError::NothingApplied)),
            None => self.demands.push(Demand { through, answer, deadline }),
        }
    }

    /// Whether a picture is to be taken behind everything up to `handed_over`.
    pub(super) fn is_due(&self, handed_over: LogIndex, tick: u64) -> bool {
        let entries = handed_over.distance_from(self.covered);
        if self.under_way.is_some() || entries == 0 {
            return false;
        }
        let is_much = (self.entries > 0 && entries >= self.entries)
            || (self.bytes > 0 && self.bytes_since >= self.bytes.max(self.newest_bytes));
        !self.demands.is_empty() || (is_much && tick >= self.retry_at)
    }

    /// A picture is asked for, behind everything up to `handed_over`.
    pub(super) fn begin(&mut self, handed_over: LogIndex) {
        self.under_way = Some(UnderWay { covered: self.covered, bytes_since: self.bytes_since });
        (self.covered, self.bytes_since) = (handed_over, 0);
    }

    /// The snapshot under way is durable.
    pub(super) fn saved(&mut self, snapshot: &SnapshotMeta) {
        (self.under_way, self.failures, self.newest_bytes) = (None, 0, snapshot.bytes);
        self.serve(snapshot);
    }

    /// It came to nothing, and is tried again after a while. Those who would have been served by it learn why.
    pub(super) fn failed(&mut self, reason: &str, tick: u64) {
        let reached = self.covered;
        if let Some(UnderWay { covered, bytes_since }) = self.under_way.take()
            && reached > covered
        {
            self.covered = covered;
            self.bytes_since += bytes_since;
        }
        let wait = RETRY_TICKS_MIN.checked_shl(self.failures).unwrap_or(RETRY_TICKS_MAX).min(RETRY_TICKS_MAX);
        (self.failures, self.retry_at) = (self.failures.saturating_add(1), tick + wait);
        for demand in self.demands.take_if(|demand| demand.through <= reached) {
            (demand.answer)(Err(SnapshotNowError::Failed { reason: reason.to_owned() }));
        }
    }

    /// The snapshot of another node took the place of log and state.
    pub(super) fn installed(&mut self, snapshot: &SnapshotMeta) {
        let index = snapshot.position.index;
        (self.covered, self.bytes_since, self.newest_bytes) = (self.covered.max(index), 0, snapshot.bytes);
        if let Some(under_way) = &mut self.under_way {
            *under_way = UnderWay { covered: self.covered, bytes_since: 0 };
        }
        self.serve(snapshot);
    }

    fn serve(&mut self, snapshot: &SnapshotMeta) {
        for demand in self.demands.take_if(|demand| demand.through <= snapshot.position.index) {
            (demand.answer)(Ok(snapshot.clone()));
        }
    }

    /// Answers those whose deadline has passed. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.demands.expire(now);
        let count = late.len() as u64;
        for demand in late {
            (demand.answer)(Err(SnapshotNowError::DeadlinePassed));
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(mut self, cause: &StopCause) {
        for demand in self.demands.take_all() {
            (demand.answer)(Err(SnapshotNowError::Stopped { cause: cause.clone() }));
        }
    }
}

impl Deadlined for Demand {
    fn deadline(&self) -> Moment {
        self.deadline
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demand").field("through", &self.through).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::types::{LogPosition, Membership, SnapshotId, Term};

    type Answered = Receiver<Result<SnapshotMeta, SnapshotNowError>>;

    fn every_ten_entries() -> Snapshots {
        Snapshots::new((10, 0), Some(&snapshot(4)), 0)
    }

    fn snapshot(index: u64) -> SnapshotMeta {
        let position = LogPosition::new(Term(1), LogIndex(index));
        let membership = std::sync::Arc::new(Membership::nobody());
        SnapshotMeta { id: SnapshotId(index), position, membership, bytes: 1 }
    }

    fn demand(snapshots: &mut Snapshots, applied: u64, newest: Option<&SnapshotMeta>) -> Answered {
        let (sender, answered) = channel();
        let answer = Box::new(move |answer| drop(sender.send(answer)));
        snapshots.demand(SnapshotNow { answer, deadline: Moment(100) }, LogIndex(applied), newest);
        answered
    }

    #[test]
    fn a_snapshot_is_due_after_enough_entries_or_bytes_and_one_at_a_time() {
        let mut snapshots = every_ten_entries();
        assert!(!snapshots.is_due(LogIndex(13), 0) && snapshots.is_due(LogIndex(14), 0));
        snapshots.begin(LogIndex(14));
        assert!(!snapshots.is_due(LogIndex(99), 0), "one is under way");
        snapshots.saved(&snapshot(14));
        assert!(!snapshots.is_due(LogIndex(23), 0) && snapshots.is_due(LogIndex(24), 0));

        let mut by_bytes = Snapshots::new((0, 1_000), Some(&snapshot(4)), 999);
        assert!(!by_bytes.is_due(LogIndex(5), 0));
        by_bytes.handed_over(1);
        assert!(by_bytes.is_due(LogIndex(5), 0) && !by_bytes.is_due(LogIndex(4), 0));

        let large = SnapshotMeta { bytes: 2_000, ..snapshot(5) };
        by_bytes.begin(LogIndex(5));
        by_bytes.saved(&large);
        by_bytes.handed_over(1_999);
        assert!(!by_bytes.is_due(LogIndex(6), 0), "a large state is not written for every few bytes");
        by_bytes.handed_over(1);
        assert!(by_bytes.is_due(LogIndex(6), 0));
    }

    #[test]
    fn a_failed_snapshot_is_tried_again_after_a_while_that_grows() {
        let mut snapshots = every_ten_entries();
        snapshots.begin(LogIndex(14));
        snapshots.failed("no room", 0);
        assert!(!snapshots.is_due(LogIndex(14), RETRY_TICKS_MIN - 1));
        assert!(snapshots.is_due(LogIndex(14), RETRY_TICKS_MIN));

        for _ in 0..100 {
            snapshots.begin(LogIndex(14));
            snapshots.failed("no room", 0);
        }
        assert!(!snapshots.is_due(LogIndex(14), RETRY_TICKS_MAX - 1));
        assert!(snapshots.is_due(LogIndex(14), RETRY_TICKS_MAX));
    }

    #[test]
    fn who_asks_is_served_by_the_snapshot_under_way_only_if_it_holds_what_was_applied() {
        let mut snapshots = every_ten_entries();
        let early = demand(&mut snapshots, 6, None);
        assert!(snapshots.is_due(LogIndex(6), 0), "somebody asks");
        snapshots.begin(LogIndex(6));
        let (covered, late) = (demand(&mut snapshots, 6, None), demand(&mut snapshots, 7, None));

        snapshots.saved(&snapshot(6));

        assert_eq!(early.try_recv(), Ok(Ok(snapshot(6))));
        assert_eq!(covered.try_recv(), Ok(Ok(snapshot(6))));
        assert!(late.try_recv().is_err() && snapshots.is_due(LogIndex(7), 0), "the next one is for it");
    }

    #[test]
    fn who_asks_for_what_is_there_is_answered_at_once() {
        let mut snapshots = every_ten_entries();

        assert_eq!(demand(&mut snapshots, 4, Some(&snapshot(4))).try_recv(), Ok(Ok(snapshot(4))));
        let nothing = demand(&mut snapshots, 0, None);
        assert_eq!(nothing.try_recv(), Ok(Err(SnapshotNowError::NothingApplied)));
    }

    #[test]
    fn a_failure_is_told_to_those_it_concerns() {
        let mut snapshots = every_ten_entries();
        let asked = demand(&mut snapshots, 6, None);
        snapshots.begin(LogIndex(6));
        let later = demand(&mut snapshots, 8, None);

        snapshots.failed("no room", 0);

        let failed = SnapshotNowError::Failed { reason: "no room".to_owned() };
        assert_eq!(asked.try_recv(), Ok(Err(failed)));
        assert!(later.try_recv().is_err() && snapshots.is_due(LogIndex(8), 0));
    }

    #[test]
    fn an_installed_snapshot_serves_those_who_wait_and_is_not_taken_again() {
        let mut snapshots = every_ten_entries();
        let asked = demand(&mut snapshots, 6, None);
        snapshots.begin(LogIndex(6));

        snapshots.installed(&snapshot(30));
        snapshots.failed("overtaken", 0);

        assert_eq!(asked.try_recv(), Ok(Ok(snapshot(30))));
        assert!(!snapshots.is_due(LogIndex(39), 9_999) && snapshots.is_due(LogIndex(40), 9_999));
    }

    #[test]
    fn who_waits_too_long_is_told_so() {
        let mut snapshots = every_ten_entries();
        let asked = demand(&mut snapshots, 6, None);

        assert_eq!((snapshots.expire(Moment(99)), snapshots.expire(Moment(100))), (0, 1));
        assert_eq!(asked.try_recv(), Ok(Err(SnapshotNowError::DeadlinePassed)));
    }
}
