//! The leader's side of replication: §5.3, and the commit rule of §5.4.2.

use super::Raft;
use crate::consensus::ProposeRefused;
use crate::consensus::progress::Progress;
use crate::consensus::quorum::{quorum_agrees, quorum_index};
use crate::consensus::role::Role;
use crate::planted::{Bug, planted};
use crate::types::{
    Append, AppendAnswer, Body, EntryKind, Heartbeat, HeartbeatAnswer, LogIndex, LogPosition, LogSpan,
    Moment, NodeId,
};

impl Raft {
    /// Appends one entry for each size in `bytes`; all get the current term, one after the other. Only at the leader.
    pub fn propose(&mut self, bytes: impl IntoIterator<Item = u32>) -> Result<LogSpan, ProposeRefused> {
        self.refuse_proposals()?;
        let first = self.log.last().index.next();
        for bytes in bytes {
            self.log.push(self.hard_state.term, bytes, &EntryKind::Normal);
        }
        self.assert_invariants();
        let last = self.log.last();
        if last.index < first { Err(ProposeRefused::Empty) } else { Ok(LogSpan { first, last }) }
    }

    /// The connection to `peer` is gone, and with it what was under way: sending resumes behind what is proved.
    pub fn peer_lost(&mut self, peer: NodeId) {
        if let Some(progress) = peer_of(&mut self.role, peer) {
            progress.lost();
        }
        self.assert_invariants();
    }

    /// `peer` came back without what it had acknowledged, and will be heard: nothing is proved of it any more. (Of a peer
    /// that is never heard again the old acknowledgements stay true: it is dead.)
    pub fn peer_replaced(&mut self, peer: NodeId) {
        let last = self.log.last().index;
        if let Some(progress) = peer_of(&mut self.role, peer) {
            *progress = Progress::new(last);
        }
        self.assert_invariants();
    }

    /// A leader that hears no quorum steps down (thesis §6.2): somebody else may lead by now. Otherwise its heartbeats
    /// keep the others calm.
    pub(super) fn tick_leader(&mut self, ticks: u32) {
        let (me, config, membership) = (self.config.id, &self.config, self.log.membership());
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for peer in leader.peers.values_mut() {
            peer.tick(ticks);
        }
        let is_heard = |peer| {
            peer == me || leader.peers.get(&peer).is_some_and(|known| known.is_active(config.election_ticks))
        };
        if config.check_quorum && !quorum_agrees(membership, is_heard) && !planted(Bug::NeverStepsDown) {
            log::warn!("heard no quorum for an election timeout: stepping down in term {}", self.term());
            self.become_follower(None);
            return;
        }
        leader.since_heartbeat = leader.since_heartbeat.saturating_add(ticks);
        if leader.since_heartbeat >= config.heartbeat_ticks {
            leader.since_heartbeat = 0;
            leader.heartbeat_due = true;
            leader.audience().for_each(|(_, peer)| peer.heartbeat_sent());
        }
        self.tick_departing(ticks);
        self.tick_transfer(ticks);
    }

    pub(super) fn take_append_answer(&mut self, from: NodeId, answer: AppendAnswer) {
        match answer {
            AppendAnswer::Accepted { matched } => self.take_accepted(from, matched),
            AppendAnswer::Rejected { prev, hint } => self.take_rejected(from, prev, hint),
        }
    }

    fn take_accepted(&mut self, from: NodeId, matched: LogIndex) {
        if !self.is_possible_match(from, matched) {
            return;
        }
        let (Some(peer), log) = (peer_of(&mut self.role, from), &self.log) else {
            return;
        };
        peer.heard();
        let is_news = peer.advance(matched, log);
        peer.accepted();
        if is_news {
            self.advance_commit();
        }
    }

    /// §5.3: goes back, on each answer by at least one whole term: to the last of our entries that can equal the hint, or,
    /// if that has left the log, to before its start.
    fn take_rejected(&mut self, from: NodeId, prev: LogIndex, hint: LogPosition) {
        let before_start = self.log.starts_after().index.prev();
        let hope = self.log.last_not_after(hint.index.min(prev), hint.term);
        let hope = hope.map_or(before_start, |hope| hope.index);
        let Some(peer) = peer_of(&mut self.role, from) else {
            return;
        };
        peer.heard();
        if peer.awaits_rejection(prev) {
            peer.rejected(prev, hope);
        }
    }

    /// The answer proves that the follower lives, how much of our log is on its disk, and that in `round` we still led.
    pub(super) fn take_heartbeat_answer(&mut self, from: NodeId, answer: HeartbeatAnswer) {
        let heartbeat_ticks = self.config.heartbeat_ticks;
        if !self.is_possible_match(from, answer.matched) || !self.is_possible_round(from, answer.round) {
            return;
        }
        let sent = self.round_sent_at(answer.round);
        let (Some(peer), log) = (peer_of(&mut self.role, from), &self.log) else {
            return;
        };
        peer.heard();
        let is_news = peer.advance(answer.matched, log);
        peer.heartbeat_answered(answer.round, sent, heartbeat_ticks);
        if is_news {
            self.advance_commit();
        }
        self.confirm_reads();
        self.see_off(from, answer.round);
    }

    /// §5.4.2: an entry commits by counting only if it is of the current term, with all before it. Our own match
    /// is what is on our disk, like everyone else's: the others may be a majority before us.
    pub(super) fn advance_commit(&mut self) {
        let (me, stable) = (self.config.id, self.writes.stable());
        let stable = if planted(Bug::CountsUnsyncedLog) { self.log.last().index } else { stable };
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let matched_of = |node| {
            if node == me {
                stable
            } else {
                leader.peers.get(&node).map_or(LogIndex::ZERO, Progress::matched)
            }
        };
        let at_commit = planted(Bug::ConfigAtCommit).then(|| self.log.membership_at(self.commit)).flatten();
        let held_by_quorum = quorum_index(at_commit.unwrap_or(self.log.membership()), matched_of);
        let is_own = self.log.term_at(held_by_quorum) == Some(self.term()) || planted(Bug::CommitsOldTerms);
        if held_by_quorum <= self.commit || !is_own {
            return;
        }
        let is_first_of_term = !self.has_committed_in_term();
        self.commit = held_by_quorum;
        if is_first_of_term {
            self.admit_early_reads();
        }
        self.go_on_with_change();
    }

    /// The end of a leader's turn: a round of heartbeats if one is due, and to each peer what its window admits, or the
    /// offer of a snapshot if the log cannot help it any more.
    pub(super) fn send_as_leader(&mut self, now: Moment) {
        self.tell_successor();
        let (term, commit, log, config) = (self.term(), self.commit, &self.log, &self.config);
        let newest = self.snapshot.as_ref();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let is_round = std::mem::take(&mut leader.heartbeat_due) || leader.reads.wants_round();
        let round =
            if is_round { leader.reads.begin_round(config.lease.map(|_| now)) } else { leader.reads.sent() };
        for (to, peer) in leader.audience() {
            let mut send = |body| self.outbox.send.push(Self::outgoing(to, term, body));
            while let Some(slice) = peer.take_append(log, config) {
                peer.told(commit.min(slice.last().index));
                send(Body::Append(Append { slice, commit }));
            }
            if let Some(snapshot) = peer.take_offer(log, newest, config) {
                send(Body::SnapshotOffer(snapshot));
            }
            if is_round || peer.wants_commit(commit) {
                let commit = peer.tellable(commit);
                peer.told(commit);
                send(Body::Heartbeat(Heartbeat { commit, round }));
            }
        }
        self.confirm_reads();
    }

    /// Whether `send_as_leader` would send anything.
    pub(super) fn wants_to_send_as_leader(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let newest = self.snapshot.as_ref();
        let wants = |peer: &Progress| {
            peer.wants_append(&self.log, &self.config)
                || peer.wants_commit(self.commit)
                || peer.wants_offer(&self.log, newest)
        };
        leader.heartbeat_due
            || leader.reads.wants_round()
            || self.successor_is_ready()
            || leader.everyone().any(wants)
    }

    fn is_possible_match(&self, from: NodeId, matched: LogIndex) -> bool {
        let is_possible = matched <= self.log.last().index;
        if !is_possible && matches!(self.role, Role::Leader(_)) {
            let last = self.log.last().index;
            log::error!("node {from} claims to match up to {matched}, but the log ends at {last}: ignored");
        }
        is_possible
    }
}

/// What a leader knows of `peer`.
pub(super) fn peer_of(role: &mut Role, peer: NodeId) -> Option<&mut Progress> {
    match role {
        Role::Leader(leader) => leader.audience().find_map(|(id, known)| (id == peer).then_some(known)),
        _ => None,
    }
}
