//! Transfers of leadership that are under way, and who waits for them.
//!
//! A transfer has happened when a leader of a later term is known here. It was given up if the old leader goes on: that
//! leader itself knows it from consensus, another node concludes it from the time that passed.

use super::Answer;
use super::deadline::{Deadlined, Waiters};
use crate::consensus::{Raft, RoleName};
use crate::ticket::{StopCause, TransferError};
use crate::types::{Moment, NodeId, Term};

/// Where the answer to a transfer goes.
pub(super) type TransferAnswer = Answer<NodeId, TransferError>;

/// Those who wait for a transfer that was begun.
#[derive(Debug)]
pub(super) struct Handovers {
    begun: Waiters<Handover>,
}

/// One that is under way.
pub(super) struct Handover {
    /// Who is to lead.
    pub(super) to: NodeId,
    /// The term of the leader who hands over.
    pub(super) term: Term,
    /// If another node leads: the tick at which it must have given up.
    pub(super) given_up_at: u64,
    /// Where the answer goes.
    pub(super) answer: TransferAnswer,
    /// When its asker stops waiting.
    pub(super) deadline: Moment,
}

impl Handovers {
    pub(super) fn new() -> Self {
        Self { begun: Waiters::new() }
    }

    /// Somebody waits for a transfer.
    pub(super) fn begin(&mut self, handover: Handover) {
        self.begun.push(handover);
    }

    /// Answers those whose transfer has happened, or was given up.
    pub(super) fn decide(&mut self, raft: &Raft, tick: u64) {
        for handover in self.begun.take_all() {
            match handover.judge(raft, tick) {
                Some(outcome) => (handover.answer)(outcome),
                None => self.begun.push(handover),
            }
        }
    }

    /// Answers those whose deadline has passed. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.begun.expire(now);
        let count = late.len() as u64;
        for handover in late {
            (handover.answer)(Err(TransferError::NotTaken { to: handover.to }));
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(mut self, cause: &StopCause) {
        for handover in self.begun.take_all() {
            (handover.answer)(Err(TransferError::Stopped { cause: cause.clone() }));
        }
    }
}

impl Handover {
    fn judge(&self, raft: &Raft, tick: u64) -> Option<Result<NodeId, TransferError>> {
        if raft.term() > self.term {
            return raft.leader().map(|leader| taken_by(leader, self.to));
        }
        let given_up = match raft.role() {
            RoleName::Leader => raft.transferring_to() != Some(self.to),
            _ => tick >= self.given_up_at,
        };
        given_up.then_some(Err(TransferError::NotTaken { to: self.to }))
    }
}

/// The answer to who wants `wanted` to lead, now that `leader` does.
pub(super) fn taken_by(leader: NodeId, wanted: NodeId) -> Result<NodeId, TransferError> {
    if leader == wanted { Ok(leader) } else { Err(TransferError::AnotherLeader { leader }) }
}

impl Deadlined for Handover {
    fn deadline(&self) -> Moment {
        self.deadline
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("to", &self.to).field("term", &self.term).finish_non_exhaustive()
    }
}
