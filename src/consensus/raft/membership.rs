//! Configurations as entries of the log: in force from the moment they are appended, committed or not (§6).
//!
//! A leader appends the first entry of a change, and when a joint configuration is committed, the one that leaves it: the
//! same leader or the next, exactly once, since from then on the latest configuration is not joint any more. A leader
//! that the new configuration leaves out leads until that is committed (thesis §4.2.2), then asks another to take over
//! and steps down.

use std::sync::Arc;

use super::Raft;
use crate::consensus::progress::Progress;
use crate::consensus::quorum::lacking;
use crate::consensus::role::{Departing, Leader, Role};
use crate::consensus::{ProposeRefused, reconfigure};
use crate::planted::{Bug, planted};
use crate::types::{
    Body, ChangeRefused, EntryKind, Heartbeat, LogIndex, LogPosition, Membership, MembershipChange, NodeId,
    Round,
};

/// After so many election timeouts a peer that departs is given up, told or not.
const DEPARTING_TIMEOUTS_MAX: u32 = 10;

impl Raft {
    /// Begins a change: the entry that is appended now, or the one that leaves the joint configuration which that enters,
    /// completes it. With `unchanged_since`, only if nobody has changed the configuration behind that entry; that a leader
    /// noted data directories is no change. Who becomes a voter has to be a learner first whose data directory the
    /// configuration names: see [`Raft::prepare_change`].
    pub fn change_membership(
        &mut self,
        change: &MembershipChange,
        unchanged_since: Option<LogIndex>,
    ) -> Result<LogPosition, ChangeRefused> {
        self.judge_moment(unchanged_since)?;
        let current = Arc::clone(self.log.membership());
        let target = reconfigure::target(&current, change)?;
        let entry = reconfigure::enter(&current, &target)?;
        self.judge_directories(&current, &target)?;
        self.judge_lag(&current, &target)?;
        self.judge_quorum(&entry)?;
        let position = self.append_membership(entry);
        self.assert_invariants();
        Ok(position)
    }

    /// The first step of a change that was refused for a [`ChangeRefused::UnknownDirectory`]: makes learners of all whom it
    /// makes voters and who are no members yet, in one entry. `None` if there is nobody to add: then their directories
    /// are lacking, or were shown since.
    pub fn prepare_change(
        &mut self,
        change: &MembershipChange,
        unchanged_since: Option<LogIndex>,
    ) -> Result<Option<LogPosition>, ChangeRefused> {
        self.judge_moment(unchanged_since)?;
        let current = Arc::clone(self.log.membership());
        let target = reconfigure::target(&current, change)?;
        let prepared = reconfigure::prepare(&current, &target)?;
        let position = prepared.map(|prepared| self.append_membership(prepared));
        self.assert_invariants();
        Ok(position)
    }

    /// The entry of the configuration in force: of the latest one in the log, committed or not (§6).
    pub fn membership_index(&self) -> LogIndex {
        self.log.membership_index()
    }

    /// Appends a configuration with the same members in the same roles: what may change are addresses and data
    /// directories. One at a time, and not before an entry of the own term is committed, since until then a leader may
    /// build on a configuration that is about to be overwritten.
    pub fn propose_membership(&mut self, membership: Membership) -> Result<LogPosition, ProposeRefused> {
        match self.judge_moment(None) {
            Ok(()) => {}
            Err(ChangeRefused::NotReady) => return Err(ProposeRefused::NothingCommittedInTerm),
            Err(ChangeRefused::InProgress { at }) => {
                return Err(ProposeRefused::MembershipUncommitted { at });
            }
            Err(_) => return Err(self.refuse_proposals().expect_err("it does not lead, or hands over")),
        }
        if !have_same_roles(self.log.membership(), &membership) {
            return Err(ProposeRefused::DifferentMembers);
        }
        let position = self.append_membership(membership);
        self.assert_invariants();
        Ok(position)
    }

    /// Whether a change may begin now, whatever it is.
    fn judge_moment(&self, unchanged_since: Option<LogIndex>) -> Result<(), ChangeRefused> {
        let Role::Leader(leader) = &self.role else {
            return Err(ChangeRefused::NotLeader);
        };
        if leader.transfer.is_some() {
            return Err(ChangeRefused::Transferring);
        }
        if !self.has_committed_in_term() {
            return Err(ChangeRefused::NotReady);
        }
        let current = self.log.membership_index();
        let is_under_way = current > self.commit && !planted(Bug::ChangesAtOnce);
        if is_under_way || self.log.membership().is_joint() {
            return Err(ChangeRefused::InProgress { at: current });
        }
        let changed_at = self.log.membership_changed_at();
        match unchanged_since {
            Some(seen) if seen < changed_at || seen > self.log.last().index => {
                Err(ChangeRefused::Changed { current: changed_at })
            }
            _ => Ok(()),
        }
    }

    /// A learner that rises must hold nearly all of the log: else every commit would wait for it. In any case it must
    /// hold the configuration in force: before that it may not know that it is one of us, and would give no vote.
    fn judge_lag(&self, current: &Membership, target: &Membership) -> Result<(), ChangeRefused> {
        let last = self.log.last().index;
        let since_membership = self.log.bytes_between(self.log.membership_index(), last);
        let limit = self.config.promote_lag_bytes_max.min(since_membership);
        for &id in target.voters().iter().filter(|id| current.learners().contains(id)) {
            let matched = self.matched_of(id);
            let lag_bytes = self.log.bytes_between(matched, last);
            if lag_bytes > limit || matched < self.log.membership_index() {
                return Err(ChangeRefused::Lags { id, lag_bytes, limit });
            }
        }
        Ok(())
    }

    /// A node that joined gives no vote before its log names its data directory (`is_barred`). Were it made a voter before
    /// that, the loss of one other voter could leave nobody whom a majority may elect. So its directory stands in the
    /// configuration in force, which it holds (`judge_lag`). Hosts that do not tell directories apart bar nobody.
    fn judge_directories(&self, current: &Membership, target: &Membership) -> Result<(), ChangeRefused> {
        if self.config.incarnation.is_none() || planted(Bug::MakesVotersOfStrangers) {
            return Ok(());
        }
        let is_known = |id| target.member(id).is_some_and(|member| member.incarnation.is_some());
        let mut rising = target.voters().iter().copied().filter(|&id| !current.is_voter(id));
        match rising.find(|&id| !is_known(id)) {
            Some(id) => Err(ChangeRefused::UnknownDirectory { id, since: self.log.membership_changed_at() }),
            None => Ok(()),
        }
    }

    /// Those who answer now must suffice, in each half; the new half is the target itself.
    fn judge_quorum(&self, membership: &Membership) -> Result<(), ChangeRefused> {
        match lacking(membership, |voter| voter == self.config.id || self.can_vote(voter)) {
            Some((connected, needed)) => Err(ChangeRefused::WouldLoseQuorum { connected, needed }),
            None => Ok(()),
        }
    }

    /// Appends a configuration; it is in force at once. Whoever left is not waited for any more: what the others hold
    /// may be enough now for entries that waited; reads are counted when the turn ends.
    fn append_membership(&mut self, membership: Membership) -> LogPosition {
        let bytes = membership.approximate_bytes();
        let kind = EntryKind::Membership(Arc::new(membership));
        let position = self.log.push(self.hard_state.term, bytes, &kind);
        self.follow_membership();
        self.advance_commit();
        position
    }

    /// The leader's peers are the members of its configuration, from the moment it is in force.
    fn follow_membership(&mut self) {
        let (me, last, membership) = (self.config.id, self.log.last().index, self.log.membership());
        let (left_by, silence) = (self.log.membership_index(), self.config.election_ticks);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for peer in membership.peers_of(me) {
            leader.departing.remove(&peer);
            leader.peers.entry(peer).or_insert_with(|| Progress::unheard(last, silence));
        }
        let gone: Vec<_> = leader.peers.keys().copied().filter(|&peer| !membership.contains(peer)).collect();
        for peer in gone {
            if let Some(progress) = leader.peers.remove(&peer) {
                let departing = Departing { progress, left_by, told_after: None, ticks: 0 };
                leader.departing.insert(peer, departing);
            }
        }
        leader.transfer = leader.transfer.filter(|transfer| membership.voters().contains(&transfer.to));
    }

    /// The leader's commit moved. A leader that is no voter any more has done its duty, also while what is committed is joint:
    /// in neither half it could lead on. Otherwise a change under way goes on: a joint configuration that is committed is
    /// left, by whoever leads by then.
    pub(super) fn go_on_with_change(&mut self) {
        let membership = self.log.membership();
        let is_pending = self.log.membership_index() > self.commit && !planted(Bug::LeavesJointEarly);
        if !matches!(self.role, Role::Leader(_)) || is_pending {
            return;
        }
        if !self.votes() {
            self.leave_office();
        } else if membership.is_joint() && !planted(Bug::NeverLeavesJoint) {
            let left = reconfigure::leave_joint(membership);
            self.append_membership(left);
        }
    }

    /// The last acts of a leader that is left out: all learn what is committed, and one of them takes over.
    fn leave_office(&mut self) {
        log::info!(
            "the membership that leaves this node out is committed: it steps down in term {}",
            self.term()
        );
        let (term, commit, successor) = (self.term(), self.commit, self.best_successor());
        if let Role::Leader(leader) = &mut self.role {
            let round = leader.reads.sent();
            for (to, peer) in leader.audience() {
                let heartbeat = Heartbeat { commit: peer.tellable(commit), round };
                self.outbox.send.push(Self::outgoing(to, term, Body::Heartbeat(heartbeat)));
            }
        }
        if let Some(successor) = successor {
            self.send(successor, Body::TimeoutNow);
        }
        self.become_follower(None);
    }

    /// Time passes for those who depart: they are not waited for without end.
    pub(super) fn tick_departing(&mut self, ticks: u32) {
        let ticks_max = DEPARTING_TIMEOUTS_MAX * self.config.election_ticks;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.departing.retain(|_, peer| {
            peer.progress.tick(ticks);
            peer.ticks = peer.ticks.saturating_add(ticks);
            peer.ticks < ticks_max
        });
    }

    /// A departing peer answered `round`. Once it holds the entry that leaves it out, and that is committed, every later
    /// round tells it so; the first answer to such a round lets it go.
    pub(super) fn see_off(&mut self, peer: NodeId, round: Round) {
        let commit = self.commit;
        let Role::Leader(Leader { departing, reads, .. }) = &mut self.role else {
            return;
        };
        let Some(known) = departing.get_mut(&peer) else {
            return;
        };
        if known.progress.tellable(commit) < known.left_by {
            return;
        }
        let told_after = *known.told_after.get_or_insert(reads.sent());
        if round > told_after {
            departing.remove(&peer);
        }
    }

    /// Somebody asks for votes who is not in this leader's configuration: it does not know yet that it was left out.
    pub(super) fn notice_stranger(&mut self, asker: NodeId) {
        let (membership, last) = (self.log.membership(), self.log.last().index);
        let left_by = self.log.membership_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let is_noticed =
            leader.departing.contains_key(&asker) || leader.departing.len() >= Membership::MEMBERS_MAX;
        if membership.contains(asker) || is_noticed {
            return;
        }
        log::info!("node {asker} asks for votes and is not a member: telling it so");
        let departing = Departing { progress: Progress::new(last), left_by, told_after: None, ticks: 0 };
        leader.departing.insert(asker, departing);
    }

    /// Whether `peer` is to be ignored for its higher term: who is left out of the leader's configuration does not depose
    /// it. A leader's own words are never ignored: its configuration may be newer.
    pub(super) fn is_deaf_to(&self, peer: NodeId, body: &Body) -> bool {
        let is_answer = matches!(
            body,
            Body::PreVoteAnswer { .. }
                | Body::VoteAnswer { .. }
                | Body::AppendAnswer(_)
                | Body::HeartbeatAnswer(_)
                | Body::ReadIndexAnswer { .. }
        );
        is_answer && matches!(self.role, Role::Leader(_)) && !self.log.membership().contains(peer)
    }

    /// Whether this replica may stand for election by its configuration: it votes in the latest one, or in the one before
    /// while the latest is not known to be committed. For until then nobody else may be electable (thesis §4.2.2): those who
    /// hold only the older one need this replica's vote, which refuses them as its log is better. Its own vote counts
    /// only by the latest.
    pub(super) fn may_lead(&self) -> bool {
        self.votes() || self.membership_before().is_some_and(|before| before.is_voter(self.config.id))
    }

    /// Whether this replica's promises may be lost, so that it makes none: its membership names another data directory,
    /// or, if its log began empty, does not name this one yet. One that leaves it out, and may not be committed, says
    /// nothing of it: then the one before counts.
    pub(super) fn is_barred(&self) -> bool {
        let me = self.config.id;
        let of_before = || self.membership_before().and_then(|before| before.member(me));
        let Some(member) = self.log.membership().member(me).or_else(of_before) else {
            return self.config.joined;
        };
        match (member.incarnation, self.config.incarnation) {
            (Some(named), Some(own)) => named != own,
            (None, Some(_)) => self.config.joined,
            (_, None) => false,
        }
    }

    /// The configuration that the latest one follows, unless that is known to be committed: either may be in force. Whatever
    /// is known of commits after a restart, the older one is committed: before that nobody appends another.
    fn membership_before(&self) -> Option<&Arc<Membership>> {
        self.log.membership_before().filter(|_| self.log.membership_index() > self.commit)
    }

    /// Whether `peer` answers, and has its data directory in the membership, where the host tells them apart: a node that
    /// joined gives no vote before that.
    pub(super) fn can_vote(&self, peer: NodeId) -> bool {
        let known = self.log.membership().member(peer).and_then(|member| member.incarnation);
        self.answers(peer) && (known.is_some() || self.config.incarnation.is_none())
    }

    /// Whether `peer` answered within the last `election_ticks`, and its connection was not lost since.
    pub(super) fn answers(&self, peer: NodeId) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        leader.peers.get(&peer).is_some_and(|known| known.answers(self.config.election_ticks))
    }

    pub(super) fn matched_of(&self, peer: NodeId) -> LogIndex {
        match &self.role {
            Role::Leader(leader) => leader.peers.get(&peer).map_or(LogIndex::ZERO, Progress::matched),
            _ => LogIndex::ZERO,
        }
    }
}

fn have_same_roles(old: &Membership, new: &Membership) -> bool {
    old.voters() == new.voters()
        && old.outgoing() == new.outgoing()
        && old.learners() == new.learners()
        && old.learners_next() == new.learners_next()
}
