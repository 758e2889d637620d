//! Callers of this leader whose commands are in the log, and what becomes of them.
//!
//! An entry's identity is its index **and** its term. A caller is answered when the entry of exactly that position is
//! committed. It is told that its command was superseded once an entry of a higher term is committed at or below its
//! index: the terms of a log never fall, so its own entry cannot follow. A truncation alone proves nothing, for a later leader
//! may bring the entry back from a replica that still holds it.

use std::collections::VecDeque;

use super::PendingReply;
use super::deadline::EarliestDeadline;
use super::tail::position_in;
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
            if position_in(runs, caller.position.index) == Some(caller.position) {
                replies.push(PendingReply { index: caller.position.index, reply: caller.reply });
            } else {
                superseded += 1;
                caller.reply.fail(ProposeError::Superseded);
            }
        }
        superseded
    }

    /// Answers those whose deadline has passed: their commands may commit yet. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.earliest.sweep(&mut self.callers, now, |caller| caller.deadline);
        let count = late.len() as u64;
        for caller in late {
            self.bytes -= u64::from(caller.bytes);
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
    fn a_late_caller_is_told_that_its_fate_is_unknown() {
        let mut pending = Pending::new();
        let late = wait_for(&mut pending, 1, 4);

        assert_eq!(pending.expire(Moment(99)), 0);
        assert_eq!(pending.expire(Moment(100)), 1);

        assert_eq!(error(late), ProposeError::Unknown);
        assert_eq!((pending.len(), pending.bytes()), (0, 0));
    }
}
