//! Elections: §5.2, the vote rule of §5.4.1, and pre-votes (thesis §9.6).
//!
//! A candidate's requests and every vote, its own included, count only once term and vote are on disk: a vote that a
//! crash forgets could be given twice.

use std::cmp::Ordering;

use super::{Raft, TERM_MAX};
use crate::consensus::role::{Leader, Role};
use crate::consensus::votes::Votes;
use crate::planted::{Bug, planted};
use crate::types::{Body, EntryKind, HardState, LogPosition, NodeId, Term};

impl Raft {
    /// As if the election timer fired now: asks for pre-votes if they are on, else for votes.
    pub fn campaign(&mut self) {
        self.begin_campaign();
        self.assert_invariants();
    }

    pub(super) fn tick_without_lead(&mut self, ticks: u32) {
        if self.timer.advance(ticks) {
            self.begin_campaign();
        } else {
            self.age_forwarded_reads(ticks);
        }
    }

    /// The leader is taken for lost; who may lead stands for election. A node that may not waits to be found.
    fn begin_campaign(&mut self) {
        if matches!(self.role, Role::Leader(_)) {
            return;
        }
        self.timer.redraw();
        if !self.may_campaign() {
            self.become_follower(None);
        } else if self.config.pre_vote {
            self.become_pre_candidate();
        } else {
            self.become_candidate(false);
        }
    }

    /// Thesis §9.6: asks first, and raises its term only if it could win. A node that was cut off disturbs nobody.
    fn become_pre_candidate(&mut self) {
        let mut votes = Votes::default();
        votes.grant(self.config.id);
        let decided = votes.won(self.log.membership());
        self.change_role(Role::PreCandidate(votes));
        if decided {
            self.become_candidate(false);
            return;
        }
        let (term, last) = (self.next_term(), self.log.last());
        for voter in self.other_voters() {
            self.outbox.send.push(Self::outgoing(voter, term, Body::PreVote { last }));
        }
    }

    /// §5.2: the next term, a vote for itself, and a request to every other voter. All of it waits for the disk. `transfer`
    /// says that the leader itself asked for it.
    pub(super) fn become_candidate(&mut self, transfer: bool) {
        self.hard_state = HardState { term: self.next_term(), voted_for: Some(self.config.id) };
        self.change_role(Role::Candidate(Votes::default()));
        let last = self.log.last();
        for voter in self.other_voters() {
            self.send_when_durable(voter, Body::Vote { last, transfer });
        }
    }

    /// §5.2 and §8: leads from now on, and opens the term with an entry of its own, since only such an entry commits
    /// what earlier terms left (§5.4.2).
    fn become_leader(&mut self) {
        let last = self.log.last().index;
        let peers = self.log.membership().peers_of(self.config.id);
        let leader = Leader::new(peers, last);
        self.change_role(Role::Leader(leader));
        self.log.push(self.hard_state.term, 0, &EntryKind::Noop);
    }

    /// A grant changes nothing here: neither the term, nor the vote, nor the timer.
    pub(super) fn answer_pre_vote(&mut self, asker: NodeId, asked: Term, last: LogPosition) {
        self.notice_stranger(asker);
        if asked <= self.term() || self.is_barred() {
            self.send(asker, Body::PreVoteAnswer { granted: false });
        } else if self.hears_a_leader() {
            log::debug!("ignored a pre-vote of node {asker}: a leader lives");
        } else if last.is_up_to_date_with(self.log.last()) {
            let grant = Body::PreVoteAnswer { granted: true };
            self.outbox.send.push(Self::outgoing(asker, asked, grant));
        } else {
            self.send(asker, Body::PreVoteAnswer { granted: false });
        }
    }

    /// A grant counts for the very term that is asked for.
    pub(super) fn count_pre_vote(&mut self, voter: NodeId, term: Term) {
        if self.term().next() != Some(term) || !self.log.membership().is_voter(voter) {
            return;
        }
        let Role::PreCandidate(votes) = &mut self.role else {
            return;
        };
        votes.grant(voter);
        if votes.won(self.log.membership()) {
            self.become_candidate(false);
        }
    }

    /// §5.4.1: one vote per term, and only for a log that is as good as ours. A repeated request gets the same answer.
    ///
    /// The asker need not be in our configuration, nor need we vote in it: a newer one may exist (§6).
    pub(super) fn answer_vote(&mut self, candidate: NodeId, last: LogPosition) {
        let voted_for = self.hard_state.voted_for;
        let is_free = (voted_for.is_none() || planted(Bug::VotesTwice)) && self.leader().is_none();
        let is_good = last.is_up_to_date_with(self.log.last()) && !self.is_barred();
        let granted = (is_free || voted_for == Some(candidate)) && is_good;
        if !granted {
            self.send(candidate, Body::VoteAnswer { granted });
            return;
        }
        self.hard_state.voted_for = Some(candidate);
        self.timer.restart();
        if planted(Bug::AnswersVotesBeforeSync) {
            return self.send(candidate, Body::VoteAnswer { granted });
        }
        self.send_when_durable(candidate, Body::VoteAnswer { granted });
    }

    /// Votes of this term, from voters, each once.
    pub(super) fn count_vote(&mut self, voter: NodeId, granted: bool) {
        if !granted || !self.log.membership().is_voter(voter) {
            return;
        }
        let Role::Candidate(votes) = &mut self.role else {
            return;
        };
        votes.grant(voter);
        let at_commit = planted(Bug::ConfigAtCommit).then(|| self.log.membership_at(self.commit)).flatten();
        if votes.won(at_commit.unwrap_or(self.log.membership())) {
            self.become_leader();
        }
    }

    /// The candidate's own vote counts when it is on disk, like everyone else's.
    pub(super) fn count_own_vote_if_durable(&mut self) {
        let own_vote = HardState { term: self.term(), voted_for: Some(self.config.id) };
        if matches!(self.role, Role::Candidate(_)) && self.writes.durable() == own_vote {
            self.count_vote(self.config.id, true);
        }
    }

    /// Whether requests for votes in `term` fall on deaf ears: it is a new one, though a leader lives; or it came about while a
    /// promise to an older one holds.
    pub(super) fn ignores_candidates_of(&self, term: Term) -> bool {
        match term.cmp(&self.term()) {
            Ordering::Greater => self.hears_a_leader(),
            Ordering::Equal => self.promise.holds(),
            Ordering::Less => false,
        }
    }

    /// Leader stickiness (thesis §4.2.3): whether a leader was heard within the shortest election timeout, or leads
    /// here and hears a quorum. Then an election would only disturb. Where leases are
    /// on, a promise that was given outlives the role in which it was.
    pub(super) fn hears_a_leader(&self) -> bool {
        if self.promise.holds() {
            return true;
        }
        match &self.role {
            Role::Follower(follower) => follower.leader.is_some() && self.timer.is_fresh(),
            Role::PreCandidate(_) | Role::Candidate(_) => false,
            Role::Leader(_) => self.config.check_quorum,
        }
    }

    /// Whether nothing keeps this replica from standing for election: neither its role, nor lost promises, nor its disk, nor
    /// the end of all terms.
    pub(super) fn may_campaign(&self) -> bool {
        self.may_lead() && !self.is_barred() && self.can_write() && self.has_next_term()
    }

    fn has_next_term(&self) -> bool {
        let has_next = self.term() < TERM_MAX;
        if !has_next {
            log::error!("term {} is the last one: no election is possible any more", self.term());
        }
        has_next
    }

    fn next_term(&self) -> Term {
        self.term().next().expect("campaigns end at the last term")
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let membership = self.log.membership();
        membership.peers_of(self.config.id).filter(|&peer| membership.is_voter(peer)).collect()
    }
}
