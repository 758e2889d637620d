//! The replica: its state, its messages, and how it changes roles. The chapters hold what each role does.
//!
//! A turn is: any number of inputs, then one [`Raft::ready`]. Inputs change the state and put messages into the outbox;
//! what a leader sends is decided once, at the end of the turn, so that it carries all that came together.

use std::sync::Arc;

use self::transfer::DiskWatch;
use super::log::Log;
use super::outbox::Outbox;
use super::promise::Promise;
use super::role::{Follower, Role};
use super::timer::ElectionTimer;
use super::writes::Writes;
use super::{Outgoing, PeerProgress, RaftConfig, RestoreError, Restored, RoleName};
use crate::planted::{Bug, planted};
use crate::types::{
    AppendAnswer, Body, EntryMeta, HardState, HeartbeatAnswer, LogIndex, LogPosition, LogSpan, Membership,
    Message, NodeId, SnapshotMeta, Term,
};

mod election;
mod follower;
mod invariants;
mod membership;
mod read;
mod replication;
mod snapshot;
mod transfer;
mod turn;

/// The last term in which anybody may campaign or be heard. Its successor would be the last number there is; a
/// message that names it is ignored, so that terms never wrap.
const TERM_MAX: Term = Term(u64::MAX - 1);

/// One replica of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    config: RaftConfig,
    /// Term and vote in memory; what is on disk is known to `writes`.
    hard_state: HardState,
    role: Role,
    log: Log,
    /// Up to here the log is committed, as far as this replica knows.
    commit: LogIndex,
    /// Up to here the host was told to apply.
    handed_to_apply: LogIndex,
    /// The newest durable snapshot from which the log goes on.
    snapshot: Option<SnapshotMeta>,
    timer: ElectionTimer,
    /// What the last leader that was heard may rely on, where leases are on.
    promise: Promise,
    writes: Writes,
    outbox: Outbox,
    /// The host cannot write now, as it says.
    impaired: bool,
    disk: DiskWatch,
}

impl Raft {
    /// Starts from the durable past, always as a follower. The founding entry is the same on all members by
    /// definition, so it counts as committed from the start; and so does what a snapshot covers or the state machine holds.
    pub fn new(config: RaftConfig, restored: Restored) -> Result<Self, RestoreError> {
        config.judge()?;
        let hard_state = restored.hard_state;
        if hard_state.term > TERM_MAX {
            return Err(RestoreError::TermsExhausted(hard_state.term));
        }
        let log = Log::restore(restored.starts_after, restored.membership, restored.entries)?;
        if log.last().term > hard_state.term {
            return Err(RestoreError::TermBehindLog { term: hard_state.term, last: log.last() });
        }
        if !log.contains(restored.applied) {
            let (applied, starts_after, last) = (restored.applied, log.starts_after(), log.last());
            return Err(RestoreError::AppliedOutsideLog { applied, starts_after, last });
        }
        let commit =
            log.last().index.min(LogIndex(1)).max(log.starts_after().index).max(restored.applied.index);
        let raft = Self {
            hard_state,
            role: Role::Follower(Follower::of(None, commit)),
            commit,
            handed_to_apply: restored.applied.index,
            snapshot: restored.snapshot.filter(|snapshot| log.contains(snapshot.position)),
            promise: Self::promise_at_start(&config, hard_state),
            timer: ElectionTimer::new(config.election_ticks, config.reluctance, config.seed),
            writes: Writes::restored(hard_state, log.last().index),
            outbox: Outbox::default(),
            impaired: false,
            disk: DiskWatch::default(),
            log,
            config,
        };
        raft.assert_invariants();
        Ok(raft)
    }

    /// A lease of a leader may rest on what this replica answered before it crashed (thesis §6.4.1). Whoever never reached a
    /// term has answered nobody.
    fn promise_at_start(config: &RaftConfig, hard_state: HardState) -> Promise {
        let may_have_promised =
            config.lease.is_some() && hard_state.term > Term::ZERO && !planted(Bug::ForgetsPromises);
        Promise::for_ticks(if may_have_promised { config.election_ticks } else { 0 })
    }

    /// Time passed. After a pause several ticks come at once: the host first hands over what the peers sent meanwhile,
    /// and however long the pause was, it brings one election or one heartbeat. A follower that heard its leader since
    /// the last call counts the pause as one tick; a leader counts all of it, since others may have been elected.
    pub fn tick(&mut self, ticks: u32) {
        self.promise.tick(ticks);
        self.watch_disk(ticks);
        match &self.role {
            Role::Leader(_) => self.tick_leader(ticks),
            _ => self.tick_without_lead(ticks),
        }
        self.assert_invariants();
    }

    /// A message from a peer. Whatever it says, it is judged before it is obeyed.
    ///
    /// If it is an append, `Some(span)` says that of its entries exactly these are now in the log. The host drops all
    /// payloads it held at and after `span.first` and keeps these.
    pub fn step(&mut self, from: NodeId, message: Message) -> Option<LogSpan> {
        if from == self.config.id {
            log::warn!("ignored a message that claims to come from this node itself");
            return None;
        }
        if message.term > TERM_MAX {
            log::error!(
                "ignored a message of node {from}: nobody reaches term {} in good faith",
                message.term
            );
            return None;
        }
        let appended = self.step_by_term(from, message);
        self.assert_invariants();
        appended
    }

    /// §5.1: a higher term makes a follower of anybody, a lower one is refused.
    fn step_by_term(&mut self, from: NodeId, message: Message) -> Option<LogSpan> {
        let Message { term, body } = message;
        match body {
            Body::PreVote { last } => {
                self.answer_pre_vote(from, term, last);
                return None;
            }
            Body::PreVoteAnswer { granted: true } => {
                self.count_pre_vote(from, term);
                return None;
            }
            // A higher term is no reason to leave a leader that lives (thesis §6.2, §4.2.3), unless it asked for it.
            Body::Vote { transfer: false, .. } if self.ignores_candidates_of(term) => {
                self.notice_stranger(from);
                return None;
            }
            _ if term > self.term() && self.is_deaf_to(from, &body) => return None,
            _ => {}
        }
        let is_late_vote = planted(Bug::CountsLateVotes) && matches!(body, Body::VoteAnswer { .. });
        if term < self.term() && !is_late_vote {
            self.refuse_older_term(from, &body);
            return None;
        }
        if term > self.term() {
            self.enter_term(term);
        }
        self.step_in_term(from, body)
    }

    /// Both are in the same term now.
    fn step_in_term(&mut self, from: NodeId, body: Body) -> Option<LogSpan> {
        match body {
            Body::Vote { last, .. } => self.answer_vote(from, last),
            Body::VoteAnswer { granted } => self.count_vote(from, granted),
            Body::Append(append) => {
                return self.follow(from).then(|| self.take_append(from, &append)).flatten();
            }
            Body::Heartbeat(heartbeat) => {
                if self.follow(from) {
                    self.take_heartbeat(from, heartbeat);
                }
            }
            Body::AppendAnswer(answer) => self.take_append_answer(from, answer),
            Body::HeartbeatAnswer(answer) => self.take_heartbeat_answer(from, answer),
            Body::ReadIndex { id } => self.answer_read_index(from, id),
            Body::ReadIndexAnswer { id, index } => self.take_read_index_answer(from, id, index),
            Body::SnapshotOffer(snapshot) => {
                if self.follow(from) {
                    self.take_snapshot_offer(from, snapshot);
                }
            }
            Body::TimeoutNow => self.take_timeout_now(from),
            // Refusals are not counted, and both forms were handled by their terms.
            Body::PreVote { .. } | Body::PreVoteAnswer { .. } => {}
        }
        None
    }

    /// Tells a sender of an older term that time has moved on: a deposed leader steps down, a node that fell behind
    /// catches up. Answers of an older term say nothing.
    fn refuse_older_term(&mut self, to: NodeId, body: &Body) {
        let answer = match body {
            Body::Vote { .. } => Body::VoteAnswer { granted: planted(Bug::VotesInOldTerms) },
            Body::Append(append) => Body::AppendAnswer(AppendAnswer::Rejected {
                prev: append.slice.prev().index,
                hint: LogPosition::ZERO,
            }),
            Body::Heartbeat(heartbeat) => {
                Body::HeartbeatAnswer(HeartbeatAnswer { matched: LogIndex::ZERO, round: heartbeat.round })
            }
            Body::SnapshotOffer(snapshot) => Body::AppendAnswer(AppendAnswer::Rejected {
                prev: snapshot.position.index,
                hint: LogPosition::ZERO,
            }),
            &Body::ReadIndex { id } => Body::ReadIndexAnswer { id, index: None },
            _ => return,
        };
        self.send(to, answer);
    }

    /// §5.1: a term that somebody else has reached. The vote is free again, and nobody leads yet.
    fn enter_term(&mut self, term: Term) {
        assert!(term > self.hard_state.term, "a term goes back (§5.1)");
        self.hard_state = HardState { term, voted_for: None };
        self.become_follower(None);
    }

    /// Follows `leader`, or nobody, in the current term. What waited for the role that ends is given up.
    fn become_follower(&mut self, leader: Option<NodeId>) {
        if matches!(self.role, Role::Leader(_)) {
            self.timer.redraw();
        }
        self.change_role(Role::Follower(Follower::of(leader, self.commit)));
    }

    fn change_role(&mut self, role: Role) {
        let ended = std::mem::replace(&mut self.role, role);
        self.give_up_reads(ended);
    }

    /// Puts a message of the current term into the outbox; it promises nothing.
    fn send(&mut self, to: NodeId, body: Body) {
        let message = Message { term: self.term(), body };
        self.outbox.send.push(Outgoing { to, message });
    }

    /// The same for a message that promises something: it leaves behind this turn's write.
    fn send_when_durable(&mut self, to: NodeId, body: Body) {
        let message = Message { term: self.term(), body };
        self.outbox.send_when_durable.push(Outgoing { to, message });
    }

    /// Who this replica is.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// The current term, on disk or not.
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// Term and vote, on disk or not.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// What this replica is at the moment.
    pub fn role(&self) -> RoleName {
        match &self.role {
            Role::Follower(_) if !self.may_lead() => RoleName::Learner,
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// Who leads in the current term, as far as this replica knows.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.config.id),
        }
    }

    /// Up to here the log is committed, as far as this replica knows. At least the founding entry, if it is there.
    pub fn commit(&self) -> LogIndex {
        self.commit
    }

    /// Up to here the log is on this replica's disk.
    pub fn stable(&self) -> LogIndex {
        self.writes.stable()
    }

    /// The index of the first entry of the log.
    pub fn first_index(&self) -> LogIndex {
        self.log.first_index()
    }

    /// The position of the last entry.
    pub fn last(&self) -> LogPosition {
        self.log.last()
    }

    /// The latest configuration in the log, committed or not (§6).
    pub fn membership(&self) -> &Arc<Membership> {
        self.log.membership()
    }

    /// The entry at `index`.
    pub fn meta(&self, index: LogIndex) -> Option<EntryMeta> {
        self.log.meta(index)
    }

    /// The term of the entry at `index`, or of the position before the first entry.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.log.term_at(index)
    }

    /// Whether an entry of the current term is committed: from then on a leader knows all that was committed before it.
    pub fn has_committed_in_term(&self) -> bool {
        self.log.term_at(self.commit) == Some(self.term())
    }

    /// What this leader knows of `peer`; `None` if it does not lead or does not know it.
    pub fn progress(&self, peer: NodeId) -> Option<PeerProgress> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        leader.peers.get(&peer).map(|progress| progress.view(self.config.election_ticks))
    }

    /// The payload bytes of the entries in `(after, through]`.
    pub fn bytes_between(&self, after: LogIndex, through: LogIndex) -> u64 {
        self.log.bytes_between(after, through)
    }

    /// Whether this replica votes in its own configuration.
    fn votes(&self) -> bool {
        self.log.membership().is_voter(self.config.id)
    }
}
