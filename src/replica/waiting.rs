//! Proposals whose turn has not come: those of this turn, and all of them while no leader is known.

use std::collections::VecDeque;

use super::Proposal;
use super::deadline::EarliestDeadline;
use crate::ticket::{ProposeError, StopCause};
use crate::types::Moment;

/// Proposals in the order in which they came.
#[derive(Debug)]
pub(super) struct Waiting {
    proposals: VecDeque<Proposal>,
    earliest: EarliestDeadline,
    bytes: u64,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { proposals: VecDeque::new(), earliest: EarliestDeadline::NONE, bytes: 0 }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.proposals.len()
    }

    /// How many bytes their commands have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, proposal: Proposal) {
        self.earliest.note(proposal.deadline);
        self.bytes += proposal.command.len() as u64;
        self.proposals.push_back(proposal);
    }

    /// One that was taken and certainly went nowhere: it came before all that wait, and stands before them again.
    pub(super) fn give_back(&mut self, proposal: Proposal) {
        self.earliest.note(proposal.deadline);
        self.bytes += proposal.command.len() as u64;
        self.proposals.push_front(proposal);
    }

    /// The next one that may be appended or forwarded. From here on its caller cannot take it back. Those whose
    /// callers did so, and those that are late, are passed over and never take effect.
    pub(super) fn take(&mut self, now: Moment) -> Option<Proposal> {
        while let Some(proposal) = self.proposals.pop_front() {
            self.bytes -= proposal.command.len() as u64;
            if proposal.deadline <= now {
                proposal.reply.expire();
            } else if proposal.reply.take() {
                return Some(proposal);
            }
        }
        self.earliest = EarliestDeadline::NONE;
        None
    }

    /// Answers those whose deadline has passed without a leader to take them. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.earliest.sweep(&mut self.proposals, now, |proposal| proposal.deadline);
        let count = late.len() as u64;
        for proposal in late {
            self.bytes -= proposal.command.len() as u64;
            proposal.reply.fail(ProposeError::NoLeader);
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(self, cause: &StopCause) {
        self.proposals.into_iter().for_each(|proposal| proposal.reply.stop(cause));
    }
}
