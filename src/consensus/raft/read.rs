//! Linearizable reads without a log entry: the read index of thesis §6.4.
//!
//! A leader notes its commit index when the read comes, and answers when a quorum has confirmed, in a round sent after
//! that, that it still leads. Before its first commit it does not know what earlier leaders committed, so reads
//! wait for that. A follower asks its leader.
//!
//! With leases a leader need not ask (thesis §6.4.1): a voter that answered a round hears nobody else for an election
//! timeout, so if a quorum did, nobody else leads until that long after the round was *sent*. What came since then is
//! compared with the clock at the moment of the read, and with nothing that ticks. A follower's question always waits for a
//! round: messages carry no time.

use super::Raft;
use crate::consensus::progress::Progress;
use crate::consensus::quorum::quorum_value;
use crate::consensus::read_queue::Asker;
use crate::consensus::role::{ForwardedRead, Role};
use crate::consensus::{ReadReady, ReadRefused};
use crate::planted::{Bug, planted};
use crate::types::{Body, LogIndex, Moment, NodeId, ReadId, Round};

impl Raft {
    /// A read of this host, from which on every write that finished before is seen. Its fate comes with a later
    /// [`Ready`](crate::consensus::Ready): in `reads`, or in `reads_lost` if the leader changed or did not answer.
    ///
    /// `now` is read after the host took the read up: a lease, if there is one, is compared with it.
    ///
    /// A leader without `check_quorum` that is cut off for good leaves it to the host to stop waiting.
    pub fn read_index(&mut self, id: ReadId, now: Moment) -> Result<(), ReadRefused> {
        let holds_lease = self.holds_lease(now);
        match &mut self.role {
            Role::Leader(_) if holds_lease || planted(Bug::ReadsWithoutRound) => {
                self.outbox.reads.push(ReadReady { id, index: self.commit });
            }
            Role::Leader(_) => self.push_read(Asker { id, peer: None }),
            Role::Follower(follower) => {
                let leader = follower.leader.ok_or(ReadRefused::NoLeader)?;
                follower.reads.push_back(ForwardedRead { id, ticks: 0 });
                self.send(leader, Body::ReadIndex { id });
            }
            Role::PreCandidate(_) | Role::Candidate(_) => return Err(ReadRefused::NoLeader),
        }
        self.assert_invariants();
        Ok(())
    }

    /// A follower's read, at whom it takes for the leader.
    pub(super) fn answer_read_index(&mut self, from: NodeId, id: ReadId) {
        if matches!(self.role, Role::Leader(_)) {
            self.push_read(Asker { id, peer: Some(from) });
        } else {
            self.send(from, Body::ReadIndexAnswer { id, index: None });
        }
    }

    /// The leader's answer. One that nobody waits for any more says nothing.
    pub(super) fn take_read_index_answer(&mut self, from: NodeId, id: ReadId, index: Option<LogIndex>) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        let waits = follower.reads.iter().position(|read| read.id == id);
        let (Some(place), true) = (waits, follower.leader == Some(from)) else {
            return;
        };
        follower.reads.remove(place);
        match index {
            Some(index) => self.outbox.reads.push(ReadReady { id, index }),
            None => self.outbox.reads_lost.push(id),
        }
    }

    /// Whether nobody else can have been elected yet, `now` being no older than the read: a quorum of the configuration in
    /// force answered a round that was sent less than the lease's length ago. Ourselves we reach at any time.
    fn holds_lease(&self, now: Moment) -> bool {
        let (Role::Leader(leader), Some(lease)) = (&self.role, self.config.lease) else {
            return false;
        };
        let is_handed_over = leader.lease_revoked || leader.transfer.is_some();
        let is_handed_over = is_handed_over && !planted(Bug::LeaseOutlivesTransfer);
        if is_handed_over || !self.has_committed_in_term() {
            return false;
        }
        let reached_since = |node| {
            if node == self.config.id {
                Some(now)
            } else {
                leader.peers.get(&node).and_then(Progress::answered_since)
            }
        };
        let start = quorum_value(self.log.membership(), reached_since);
        start.is_some_and(|start| now < Moment(start.0.saturating_add(lease)))
    }

    /// When the leader sent `round`, if leases are on.
    pub(super) fn round_sent_at(&self, round: Round) -> Option<Moment> {
        match &self.role {
            Role::Leader(leader) => leader.reads.sent_at(round),
            _ => None,
        }
    }

    fn push_read(&mut self, asker: Asker) {
        let is_known = self.has_committed_in_term() || planted(Bug::ReadsBeforeNoop);
        let index = is_known.then_some(self.commit);
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.push(asker, index);
        }
    }

    /// The first commit of the term: the reads that waited for it may join the next round.
    pub(super) fn admit_early_reads(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.admit_early(self.commit);
        }
    }

    /// Answers the reads whose round a quorum has answered; ourselves we count as of the last round.
    pub(super) fn confirm_reads(&mut self) {
        let (me, term, membership) = (self.config.id, self.term(), self.log.membership());
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let sent = leader.reads.sent();
        let answered_by = |node| {
            if node == me {
                sent
            } else {
                leader.peers.get(&node).map_or(Round::default(), Progress::answered)
            }
        };
        let confirmed = quorum_value(membership, answered_by);
        while let Some(read) = leader.reads.pop_confirmed(confirmed) {
            let (id, index) = (read.asker.id, read.index);
            match read.asker.peer {
                None => self.outbox.reads.push(ReadReady { id, index }),
                Some(peer) => {
                    let body = Body::ReadIndexAnswer { id, index: Some(index) };
                    self.outbox.send.push(Self::outgoing(peer, term, body));
                }
            }
        }
    }

    /// Question or answer can be lost on the way. After an election timeout the host may ask again.
    pub(super) fn age_forwarded_reads(&mut self, ticks: u32) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        for read in &mut follower.reads {
            read.ticks = read.ticks.saturating_add(ticks);
        }
        let is_old = |read: &ForwardedRead| read.ticks >= self.config.election_ticks;
        let old = follower.reads.iter().take_while(|&read| is_old(read)).count();
        self.outbox.reads_lost.extend(follower.reads.drain(..old).map(|read| read.id));
    }

    /// A role ends: the reads that waited in it are lost, here and at the followers that asked.
    pub(super) fn give_up_reads(&mut self, ended: Role) {
        match ended {
            Role::Follower(follower) => {
                self.outbox.reads_lost.extend(follower.reads.into_iter().map(|read| read.id));
            }
            Role::Leader(leader) => {
                for asker in leader.reads.into_askers() {
                    match asker.peer {
                        None => self.outbox.reads_lost.push(asker.id),
                        Some(peer) => self.send(peer, Body::ReadIndexAnswer { id: asker.id, index: None }),
                    }
                }
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// Nobody can have answered a round that was not sent.
    pub(super) fn is_possible_round(&self, from: NodeId, round: Round) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let is_possible = round <= leader.reads.sent();
        if !is_possible {
            log::error!("node {from} answers round {}, which was never sent: ignored", round.0);
        }
        is_possible
    }
}
