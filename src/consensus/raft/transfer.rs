//! Handing leadership over: thesis §3.10. And when a leader does so by itself: when it cannot write.
//!
//! The leader takes no more proposals, waits until the successor has all of its log, and tells it to stand for election
//! at once. Its lease ends before that message can leave, for good: the message may arrive at any time. After an election
//! timeout without a new leader it goes on as before; or, if it cannot write, steps down.

use std::cmp::Reverse;

use super::Raft;
use crate::consensus::ProposeRefused;
use crate::consensus::role::{Role, Transfer};
use crate::types::{Body, HardState, LogIndex, NodeId, TransferRefused};

impl Raft {
    /// Begins to hand leadership to `to`, or, if `None`, to the voter that answers and has most of the log. Who it is.
    pub fn transfer_leadership(&mut self, to: Option<NodeId>) -> Result<NodeId, TransferRefused> {
        let Role::Leader(leader) = &self.role else {
            return Err(TransferRefused::NotLeader);
        };
        let under_way = leader.transfer.map(|transfer| transfer.to);
        let to = to.or(under_way).or_else(|| self.best_successor()).ok_or(TransferRefused::Nobody)?;
        if to == self.config.id {
            return Err(TransferRefused::LeadsAlready(to));
        }
        if !self.log.membership().voters().contains(&to) {
            return Err(TransferRefused::NotAVoter(to));
        }
        match under_way {
            Some(other) if other != to => return Err(TransferRefused::InProgress { to: other }),
            Some(_) => {}
            None => self.begin_transfer(to),
        }
        self.assert_invariants();
        Ok(to)
    }

    /// To whom leadership is being handed over; `None` once it has happened, or was given up.
    pub fn transferring_to(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.transfer.map(|transfer| transfer.to),
            _ => None,
        }
    }

    /// The host cannot write (its disk is full, or hangs), or can again. While it cannot, this replica hands leadership
    /// over, or steps down if nobody can take it, and does not stand for election.
    pub fn set_impaired(&mut self, impaired: bool) {
        self.impaired = impaired;
        match &self.role {
            Role::Leader(_) if impaired => self.hand_over_or_step_down(),
            Role::PreCandidate(_) | Role::Candidate(_) if impaired => self.become_follower(None),
            _ => {}
        }
        self.assert_invariants();
    }

    /// What is proposed while leadership moves could not be finished here.
    pub(super) fn refuse_proposals(&self) -> Result<(), ProposeRefused> {
        match &self.role {
            Role::Leader(leader) => match leader.transfer {
                Some(Transfer { to, .. }) => Err(ProposeRefused::Transferring { to }),
                None => Ok(()),
            },
            _ => Err(ProposeRefused::NotLeader { leader: self.leader() }),
        }
    }

    /// Time passes for a transfer: the successor is told again with each heartbeat, and not waited for without end.
    pub(super) fn tick_transfer(&mut self, ticks: u32) {
        let election_ticks = self.config.election_ticks;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(transfer) = &mut leader.transfer else {
            return;
        };
        transfer.ticks = transfer.ticks.saturating_add(ticks);
        transfer.told &= !leader.heartbeat_due;
        if transfer.ticks < election_ticks {
            return;
        }
        log::warn!("node {} did not take over within an election timeout", transfer.to);
        leader.transfer = None;
        if !self.can_write() {
            self.become_follower(None);
        }
    }

    /// The successor has all of the log and was not told yet.
    pub(super) fn successor_is_ready(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let is_ready =
            |transfer: &Transfer| !transfer.told && self.matched_of(transfer.to) == self.log.last().index;
        leader.transfer.as_ref().is_some_and(is_ready)
    }

    /// From here on the successor may lead at any moment of this term, whatever becomes of the transfer.
    pub(super) fn tell_successor(&mut self) {
        if !self.successor_is_ready() {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(transfer) = &mut leader.transfer else {
            return;
        };
        transfer.told = true;
        leader.lease_revoked = true;
        let to = transfer.to;
        self.send(to, Body::TimeoutNow);
    }

    /// The leader of the term asks this replica to take over: stands for election at once, without asking first.
    pub(super) fn take_timeout_now(&mut self, from: NodeId) {
        if self.leader() != Some(from) || from == self.config.id {
            log::info!("ignored the request of node {from} to take over: it does not lead here");
        } else if !self.votes() || !self.may_campaign() {
            log::warn!("ignored the request of node {from} to take over: this node may not lead now");
        } else {
            self.timer.redraw();
            self.become_candidate(true);
        }
    }

    /// Of the voters that answer and could be elected, the one with most of the log.
    pub(super) fn best_successor(&self) -> Option<NodeId> {
        let voters = self.log.membership().voters().iter().copied();
        let candidates = voters.filter(|&voter| voter != self.config.id && self.can_vote(voter));
        candidates.max_by_key(|&voter| (self.matched_of(voter), Reverse(voter)))
    }

    /// Ticks without progress of the own writes, in any role. A leader whose disk hangs makes room for another.
    pub(super) fn watch_disk(&mut self, ticks: u32) {
        let durable = self.writes.durable();
        let stable = self.writes.stable();
        let waits = stable.next() < self.writes.unwritten_from() || self.writes.misses(durable);
        let waits_behind = waits.then_some((stable, durable));
        if self.disk.waits_behind == waits_behind && waits {
            self.disk.hung_ticks = self.disk.hung_ticks.saturating_add(ticks);
        } else {
            self.disk = DiskWatch { waits_behind, hung_ticks: 0 };
        }
        let hangs = self.disk.hung_ticks >= self.config.election_ticks;
        if hangs && matches!(self.role, Role::Leader(_)) && self.transferring_to().is_none() {
            log::error!("no write was finished for an election timeout: handing leadership over");
            self.hand_over_or_step_down();
        }
    }

    /// Whether this replica's promises reach its disk, as far as is known.
    pub(super) fn can_write(&self) -> bool {
        !self.impaired && self.disk.hung_ticks < self.config.election_ticks
    }

    fn hand_over_or_step_down(&mut self) {
        if self.transferring_to().is_some() {
            return;
        }
        match self.best_successor() {
            Some(to) => self.begin_transfer(to),
            None => self.become_follower(None),
        }
    }

    fn begin_transfer(&mut self, to: NodeId) {
        if let Role::Leader(leader) = &mut self.role {
            leader.transfer = Some(Transfer { to, ticks: 0, told: false });
        }
    }
}

/// What a replica knows of its own disk without a clock: whether the same write still waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DiskWatch {
    /// What was durable when a write was last seen to wait; `None` if none waited.
    waits_behind: Option<(LogIndex, HardState)>,
    /// Ticks since then.
    hung_ticks: u32,
}
