//! Linearizable reads on their way: queued, asked of consensus, confirmed, handed to the state machine.
//!
//! All reads of a turn share one question to consensus. A read is handed over only behind the entries up to the index that
//! consensus confirmed for it. Questions get lost with connections and leaders; a lost one is asked again under a new
//! id, so that no late answer to the old one can confirm reads that came after it. Whoever could not answer is not asked
//! again before the next tick: a deposed leader, taken for the leader by mistake, would say no as fast as we ask.

use std::collections::VecDeque;

use super::deadline::EarliestDeadline;
use super::{ApplyJob, Read};
use crate::consensus::{Raft, ReadReady};
use crate::planted::{Bug, planted};
use crate::ticket::{ReadError, StopCause};
use crate::types::{Boot, LogIndex, Moment, NodeId, ReadId, Term};

/// Every read that waits.
#[derive(Debug)]
pub(super) struct Reads {
    boot: Boot,
    next_request: u64,
    queued: Vec<Read>,
    asked: VecDeque<Asked>,
    confirmed: Vec<Confirmed>,
    /// How many reads wait in the three of them.
    count: usize,
    earliest: EarliestDeadline,
    /// Who could not answer, and at which tick it was.
    refused: Option<(Respondent, u64)>,
}

/// To whom, and in which term, consensus puts a question.
type Respondent = (Term, Option<NodeId>);

#[derive(Debug)]
struct Asked {
    id: ReadId,
    of: Respondent,
    at_tick: u64,
    reads: Vec<Read>,
}

#[derive(Debug)]
struct Confirmed {
    index: LogIndex,
    reads: Vec<Read>,
}

impl Reads {
    pub(super) fn new(boot: Boot) -> Self {
        Self {
            boot,
            next_request: 0,
            queued: Vec::new(),
            asked: VecDeque::new(),
            confirmed: Vec::new(),
            count: 0,
            earliest: EarliestDeadline::NONE,
            refused: None,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, read: Read) {
        self.earliest.note(read.deadline);
        self.count += 1;
        self.queued.push(read);
    }

    /// Asks consensus about everything queued, in one question. If it has nobody to ask, the reads stay queued.
    pub(super) fn ask(&mut self, raft: &mut Raft, tick: u64, now: Moment) {
        let of = (raft.term(), raft.leader());
        if self.queued.is_empty() || self.refused == Some((of, tick)) {
            return;
        }
        let id = ReadId { boot: self.boot, request: self.next_request };
        if raft.read_index(id, now).is_ok() {
            self.next_request += u64::from(!planted(Bug::ReusesReadIds));
            let reads = std::mem::take(&mut self.queued);
            self.asked.push_back(Asked { id, of, at_tick: tick, reads });
        }
    }

    /// Consensus confirmed a question.
    pub(super) fn confirm(&mut self, ready: ReadReady) {
        if let Some(asked) = self.forget(ready.id) {
            self.confirmed.push(Confirmed { index: ready.index, reads: asked.reads });
        }
    }

    /// Consensus cannot answer a question any more: its reads are queued again.
    pub(super) fn lost(&mut self, id: ReadId, tick: u64) {
        if let Some(asked) = self.forget(id) {
            self.refused = Some((asked.of, tick));
            self.queued.extend(asked.reads);
        }
    }

    /// Questions asked at or before `tick` count as lost.
    pub(super) fn lost_since(&mut self, tick: u64) {
        while self.asked.front().is_some_and(|asked| asked.at_tick <= tick) {
            let asked = self.asked.pop_front();
            self.queued.extend(asked.into_iter().flat_map(|asked| asked.reads));
        }
    }

    fn forget(&mut self, id: ReadId) -> Option<Asked> {
        let nth = self.asked.iter().position(|asked| asked.id == id)?;
        self.asked.remove(nth)
    }

    /// Hands over the reads whose index has been `handed_over` to the state machine. Gives their number.
    pub(super) fn release(&mut self, handed_over: LogIndex, jobs: &mut Vec<ApplyJob>) -> usize {
        let before = self.count;
        let is_reached =
            |confirmed: &mut Confirmed| confirmed.index <= handed_over || planted(Bug::ReadsBeforeApply);
        for confirmed in self.confirmed.extract_if(.., is_reached) {
            self.count -= confirmed.reads.len();
            jobs.extend(confirmed.reads.into_iter().map(|read| ApplyJob::Read(read.task)));
        }
        before - self.count
    }

    /// Answers those whose deadline has passed. Gives their number.
    pub(super) fn expire(&mut self, now: Moment, leader_known: bool) -> u64 {
        if !self.earliest.is_due(now) {
            return 0;
        }
        let mut late = 0;
        let mut earliest = EarliestDeadline::NONE;
        let mut sweep = |reads: &mut Vec<Read>, error: &ReadError| {
            for read in reads.extract_if(.., |read| read.deadline <= now) {
                late += 1;
                read.task.fail(error.clone());
            }
            for read in &*reads {
                earliest.note(read.deadline);
            }
        };
        let unasked = if leader_known { ReadError::DeadlinePassed } else { ReadError::NoLeader };
        sweep(&mut self.queued, &unasked);
        self.asked.iter_mut().for_each(|asked| sweep(&mut asked.reads, &ReadError::DeadlinePassed));
        self.confirmed
            .iter_mut()
            .for_each(|confirmed| sweep(&mut confirmed.reads, &ReadError::DeadlinePassed));
        self.asked.retain(|asked| !asked.reads.is_empty());
        self.earliest = earliest;
        self.count -= late;
        late as u64
    }

    /// The node stops.
    pub(super) fn stop(self, cause: &StopCause) {
        let asked = self.asked.into_iter().flat_map(|asked| asked.reads);
        let confirmed = self.confirmed.into_iter().flat_map(|confirmed| confirmed.reads);
        self.queued.into_iter().chain(asked).chain(confirmed).for_each(|read| read.task.stop(cause));
    }
}
