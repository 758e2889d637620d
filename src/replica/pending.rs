//! Callers of this leader whose commands are in the log, and what becomes of them.
//!
//! An entry's identity is its index **and** its term. A caller is answered when the entry of exactly that position is
//! committed. It is told that its command was superseded once an entry of a higher term is committed at or below its
//! index: the terms of a log never fall, so its own entry cannot follow. A truncation alone proves nothing, for a later leader
//! may bring the entry back from a replica that still holds it.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::PendingReply;
use super::deadline::EarliestDeadline;
use super::tail::position_in;
use crate::planted::{Bug, planted};
use crate::ticket::{ProposeError, Reply, StopCause};
use crate::types::{EntryRun, LogPosition, Moment};

/// Callers in the order of their positions, which is that of their proposals: terms never fall, and within a term a
/// leader only appends.
#[derive(Debug)]
pub(super) struct Pending {
    callers: VecDeque<Caller>,
    earliest: EarliestDeadline,
    bytes: u64,
}

#[derive(Debug)]
struct Caller {
    position: LogPosition,
    bytes: u32,
    deadline: Moment,
    reply: Reply,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { callers: VecDeque::new(), earliest: EarliestDeadline::NONE, bytes: 0 }
    }

    /// How many callers wait.
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// How many bytes their commands have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A caller waits for the entry at `position`, of `bytes` bytes.
    ///
    /// # Panics
    /// If an earlier caller waits for a later entry.
    pub(super) fn push(&mut self, position: LogPosition, bytes: u32, deadline: Moment, reply: Reply) {
        let follows = self.callers.back().is_none_or(|before| before.position < position);
        assert!(follows, "a leader appended below its own entries (§5.3)");
        self.earliest.note(deadline);
        self.bytes += u64::from(bytes);
        self.callers.push_back(Caller { position, bytes, deadline, reply });
    }

    /// `runs`, which are consecutive, committed, and follow everything given before, go to the state machine. The
    /// callers of their entries join `replies`; those who were superseded are answered. Gives their number.
    pub(super) fn resolve(&mut self, runs: &[EntryRun], replies: &mut Vec<PendingReply>) -> u64 {
        let Some(last) = runs.last().map(EntryRun::last) else { return 0 };
        let mut superseded = 0;
        while self.callers.front().is_some_and(|caller| caller.position <= last) {
            let Some(caller) = self.callers.pop_front() else { break };
            self.bytes -= u64::from(caller.bytes);
            let held = position_in(runs, caller.position.index);
            if held == Some(caller.position) || (held.is_some() && planted(Bug::AnswersSuperseded)) {
                replies.push(PendingReply { index: caller.position.index, reply: caller.reply });
            } else {
                superseded += 1;
                caller.reply.fail(ProposeError::Superseded);
            }
        }
        superseded
    }

    /// A snapshot that ends at `through` takes the place of the log. Whose entry it may hold does not learn its fate any
    /// more; whose entry it cannot hold, and nothing behind it can, was superseded. Gives the number of these.
    pub(super) fn covered_by(&mut self, through: LogPosition) -> u64 {
        let mut superseded = 0;
        for caller in std::mem::take(&mut self.callers) {
            let is_inside = caller.position.index <= through.index;
            // The terms of a log never fall, on either side of its entry.
            let cannot_be = match caller.position.term.cmp(&through.term) {
                Ordering::Less => !is_inside,
                Ordering::Equal => false,
                Ordering::Greater => is_inside,
            };
            if !cannot_be && !is_inside {
                self.callers.push_back(caller);
                continue;
            }
            self.bytes -= u64::from(caller.bytes);
            superseded += u64::from(cannot_be);
            let error = if cannot_be { ProposeError::Superseded } else { ProposeError::Unknown };
            caller.reply.fail(error);
        }
        superseded
    }

    /// Answers those whose deadline has passed: their commands may commit yet. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.earliest.sweep(&mut self.callers, now, |caller| caller.deadline);
        let count = late.len() as u64;
        for caller in late {
            self.bytes -= u64::from(caller.bytes);
            if planted(Bug::DeniesAtDeadline) {
                caller.reply.fail(ProposeError::Superseded);
                continue;
            }
            caller.reply.expire();
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(self, cause: &StopCause) {
        self.callers.into_iter().for_each(|caller| caller.reply.stop(cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::tests::instant;
    use crate::ticket::{Permit, Ticket};
    use crate::types::{Entry, LogIndex, Payload, Term};

    type Answer = Ticket<(), ProposeError>;

    fn position(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), LogIndex(index))
    }

    fn committed(positions: &[(u64, u64)]) -> Vec<EntryRun> {
        let entry = |&(term, index)| Entry { position: position(term, index), payload: Payload::Noop };
        vec![EntryRun::new(positions.iter().map(entry).collect()).expect("not empty")]
    }

    fn wait_for(pending: &mut Pending, term: u64, index: u64) -> Answer {
        let (reply, ticket) = Reply::pair(Permit::free(), instant(), |_| Ok(()));
        assert!(reply.take());
        pending.push(position(term, index), 1, Moment(100), reply);
        ticket
    }

    fn error(ticket: Answer) -> ProposeError {
        ticket.try_wait().expect("answered").expect_err("not applied")
    }

    #[test]
    fn a_caller_is_matched_by_index_and_term() {
        let mut pending = Pending::new();
        let (mine, replaced) = (wait_for(&mut pending, 1, 4), wait_for(&mut pending, 1, 5));

        let mut replies = Vec::new();
        let superseded = pending.resolve(&committed(&[(1, 4), (2, 5)]), &mut replies);

        assert_eq!(replies.iter().map(|reply| reply.index).collect::<Vec<_>>(), [LogIndex(4)]);
        assert_eq!(superseded, 1);
        assert_eq!(error(replaced), ProposeError::Superseded);
        assert!(!mine.is_done(), "the state machine answers");
    }

    #[test]
    fn an_older_entry_at_its_index_proves_nothing_yet() {
        let mut pending = Pending::new();
        let replaced = wait_for(&mut pending, 2, 5);

        pending.resolve(&committed(&[(1, 4), (1, 5)]), &mut Vec::new());
        assert!(!replaced.is_done());

        pending.resolve(&committed(&[(3, 6)]), &mut Vec::new());
        assert_eq!(error(replaced), ProposeError::Superseded);
    }

    #[test]
    fn callers_of_two_terms_at_one_index_are_told_apart() {
        let mut pending = Pending::new();
        let (first, second) = (wait_for(&mut pending, 1, 5), wait_for(&mut pending, 3, 5));

        let mut replies = Vec::new();
        pending.resolve(&committed(&[(3, 4), (3, 5)]), &mut replies);

        assert_eq!(replies.len(), 1);
        assert_eq!(error(first), ProposeError::Superseded);
        drop(replies);
        assert!(matches!(error(second), ProposeError::Stopped { .. }));
    }

    #[test]
    fn who_is_covered_by_a_snapshot_does_not_learn_its_fate_and_others_do() {
        let mut pending = Pending::new();
        let positions = [(2, 5), (2, 9), (3, 7), (3, 9), (4, 7), (4, 9)];
        let answers = positions.map(|(term, index)| wait_for(&mut pending, term, index));

        assert_eq!(pending.covered_by(position(3, 8)), 2);

        let [older, cut, same, behind, newer, newest] = answers;
        assert_eq!(error(older), ProposeError::Unknown, "the snapshot may hold it");
        assert_eq!(error(cut), ProposeError::Superseded, "term 3 began at or before 8");
        assert_eq!(error(same), ProposeError::Unknown);
        assert_eq!(error(newer), ProposeError::Superseded, "term 4 begins behind 8");
        assert!(!behind.is_done() && !newest.is_done(), "they may come back");
        assert_eq!((pending.len(), pending.bytes()), (2, 2));
    }

    #[test]
    fn a_late_caller_is_told_that_its_fate_is_unknown() {
        let mut pending = Pending::new();
        let late = wait_for(&mut pending, 1, 4);

        assert_eq!(pending.expire(Moment(99)), 0);
        assert_eq!(pending.expire(Moment(100)), 1);

        assert_eq!(error(late), ProposeError::Unknown);
        assert_eq!((pending.len(), pending.bytes()), (0, 0));
    }
}
