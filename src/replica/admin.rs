//! Operators' wishes on their way to the node that leads.
//!
//! A wish waits until a leader is known. The leader fulfils it; any other node hands it to the leader, once. Whoever is
//! asked and does not lead says so, and the wish waits again: nothing was begun. After any other silence its fate is
//! unknown, and the operator looks at the membership before it repeats it.
//!
//! A change that makes voters of nodes which are not ready is put off: its node tries it again until its deadline, at
//! whoever leads by then. What was done for it already, those nodes being learners, stands in the log, and so need not be
//! remembered anywhere else.

use std::collections::{BTreeMap, VecDeque};

use super::deadline::{Deadlined, Waiters};
use super::handover::{TransferAnswer, taken_by};
use super::{Answer, Change, Transfer};
use crate::consensus::Raft;
use crate::ticket::{ChangeError, Outcome, StopCause, TransferError};
use crate::types::{
    Admin, AdminTask, Boot, ChangeReceipt, ChangeRefused, LogIndex, MembershipChange, Moment, NodeId, Term,
};

/// How many wishes may wait, and how many may be asked of the leader.
const WISHES_MAX: usize = 64;
/// How many requests of others are remembered, so that one that arrives twice is taken once.
const REQUESTS_REMEMBERED: usize = 256;

pub(super) type ChangeAnswer = Answer<ChangeReceipt, ChangeError>;

/// Who wishes.
pub(super) enum Asker<A> {
    /// An operator at this node.
    Here { answer: A, deadline: Moment },
    /// An operator at another node.
    Peer { node: NodeId, request: u64 },
}

impl<A> Asker<A> {
    /// Whether another node asked.
    pub(super) fn is_peer(&self) -> bool {
        matches!(self, Self::Peer { .. })
    }

    pub(super) fn deadline(&self) -> Moment {
        match self {
            Self::Here { deadline, .. } => *deadline,
            Self::Peer { .. } => Moment(u64::MAX),
        }
    }
}

impl<T, E> Asker<Answer<T, E>> {
    /// Answers an operator at this node; another node is not told.
    pub(super) fn answer_here(self, outcome: Result<T, E>) {
        if let Self::Here { answer, .. } = self {
            answer(outcome);
        }
    }
}

/// A change of the membership that somebody wishes.
#[derive(Debug)]
pub(super) struct Wished {
    pub(super) change: MembershipChange,
    /// Only if nobody has changed the membership behind that entry.
    pub(super) expected: Option<LogIndex>,
    pub(super) asker: Asker<ChangeAnswer>,
}

impl Wished {
    /// Whether what it was `refused` for may pass without its operator's doing: the voters it brings get ready. Once it
    /// waits for that, whatever else comes between is waited for too.
    pub(super) fn may_wait_out(&self, refused: &ChangeRefused, was_put_off: bool) -> bool {
        let brings_voters =
            matches!(self.change, MembershipChange::Replace { .. } | MembershipChange::Set { .. });
        brings_voters
            && match refused {
                ChangeRefused::UnknownDirectory { .. } | ChangeRefused::Lags { .. } => true,
                ChangeRefused::InProgress { .. }
                | ChangeRefused::NotReady
                | ChangeRefused::Transferring
                | ChangeRefused::WouldLoseQuorum { .. } => was_put_off,
                _ => false,
            }
    }

    /// It was put off: its own first step is not somebody else's change.
    pub(super) fn was_put_off(&mut self, refused: &ChangeRefused) {
        if let (ChangeRefused::UnknownDirectory { since, .. }, Some(expected)) = (refused, &mut self.expected)
        {
            *expected = (*expected).max(*since);
        }
    }
}

/// What somebody wishes.
pub(super) enum Wish {
    /// Another membership.
    Change(Wished),
    /// Another leader.
    Transfer { to: Option<NodeId>, asker: Asker<TransferAnswer> },
}

impl Wish {
    /// What another node wishes.
    pub(super) fn of_peer(node: NodeId, admin: Admin) -> Self {
        let request = admin.request;
        match admin.task {
            AdminTask::Change { change, expected } => {
                Self::Change(Wished { change, expected, asker: Asker::Peer { node, request } })
            }
            AdminTask::Transfer { to } => Self::Transfer { to, asker: Asker::Peer { node, request } },
        }
    }

    /// The wish as another node reads it.
    fn task(&self) -> AdminTask {
        match self {
            Self::Change(Wished { change, expected, .. }) => {
                AdminTask::Change { change: change.clone(), expected: *expected }
            }
            Self::Transfer { to, .. } => AdminTask::Transfer { to: *to },
        }
    }

    fn is_of_peer(&self) -> bool {
        match self {
            Self::Change(wished) => wished.asker.is_peer(),
            Self::Transfer { asker, .. } => asker.is_peer(),
        }
    }

    /// An operator here learns that nothing was begun.
    fn refuse(self, change: impl FnOnce() -> ChangeError, transfer: impl FnOnce() -> TransferError) {
        match self {
            Self::Change(wished) => wished.asker.answer_here(Err(change())),
            Self::Transfer { asker, .. } => asker.answer_here(Err(transfer())),
        }
    }
}

impl From<Change> for Wish {
    fn from(wished: Change) -> Self {
        let Change { change, expected, answer, deadline } = wished;
        Self::Change(Wished { change, expected, asker: Asker::Here { answer, deadline } })
    }
}

impl From<Transfer> for Wish {
    fn from(wished: Transfer) -> Self {
        let Transfer { to, answer, deadline } = wished;
        Self::Transfer { to, asker: Asker::Here { answer, deadline } }
    }
}

/// Every wish that was not begun here.
#[derive(Debug)]
pub(super) struct Wishes {
    waiting: Waiters<Waiting>,
    asked: Waiters<Asked>,
    next_request: u64,
    /// What other nodes asked lately.
    heard: VecDeque<(NodeId, u64)>,
    /// Learners that will take a voter's place, and until which tick that is known.
    replacing: BTreeMap<NodeId, u64>,
}

/// A wish that waits for its turn.
pub(super) struct Waiting {
    pub(super) wish: Wish,
    /// Why a leader has not begun it yet.
    pub(super) refused: Option<ChangeRefused>,
    /// It is neither begun nor handed to another node before this tick.
    pub(super) not_before: u64,
}

impl Waiting {
    /// Its turn comes as soon as somebody leads.
    pub(super) fn anew(wished: Wished) -> Self {
        Self { wish: Wish::Change(wished), refused: None, not_before: 0 }
    }
}

/// A wish of this node that another one was asked to fulfil.
pub(super) struct Asked {
    request: u64,
    to: NodeId,
    /// In which term.
    pub(super) term: Term,
    pub(super) wish: Wish,
    /// Why it was put off before.
    pub(super) refused: Option<ChangeRefused>,
}

impl Wishes {
    /// Requests are numbered from a point that the boot draws: an answer to an earlier process is for nobody.
    pub(super) fn new(boot: Boot) -> Self {
        Self {
            waiting: Waiters::new(),
            asked: Waiters::new(),
            next_request: boot.0 >> 1,
            heard: VecDeque::new(),
            replacing: BTreeMap::new(),
        }
    }

    /// Whether nobody wishes anything.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// A wish waits for its turn; gives it back if too many do.
    pub(super) fn push(&mut self, wish: Wish) -> Result<(), Wish> {
        if self.waiting.len() >= WISHES_MAX {
            return Err(wish);
        }
        self.waiting.push(Waiting { wish, refused: None, not_before: 0 });
        Ok(())
    }

    /// Notes a request of another node; `false` if it was heard before.
    pub(super) fn is_first(&mut self, node: NodeId, request: u64) -> bool {
        if self.heard.contains(&(node, request)) {
            return false;
        }
        if self.heard.len() >= REQUESTS_REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back((node, request));
        true
    }

    /// All whose turn it is, for a leader.
    pub(super) fn take_due(&mut self, tick: u64) -> VecDeque<Waiting> {
        self.waiting.take_if(|waiting| waiting.not_before <= tick)
    }

    /// It is not time yet.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    /// What `wished` names as a voter's successor is not to be promoted beside it, until this tick.
    pub(super) fn keep_for(&mut self, wished: &Wished, until: u64) {
        if let MembershipChange::Replace { new, .. } = wished.change {
            self.replacing.insert(new, until);
        }
    }

    /// Whether `learner` is about to take a voter's place.
    pub(super) fn keeps(&mut self, learner: NodeId, tick: u64) -> bool {
        self.replacing.retain(|_, until| *until > tick);
        self.replacing.contains_key(&learner)
    }

    /// What other nodes wish of this one, which does not lead.
    pub(super) fn take_those_of_peers(&mut self) -> VecDeque<Waiting> {
        self.waiting.take_if(|waiting| waiting.wish.is_of_peer())
    }

    /// Messages for `leader`, who leads in `term`, with the wishes of this node.
    pub(super) fn ask(&mut self, leader: NodeId, term: Term, tick: u64) -> Vec<Admin> {
        let mut room = WISHES_MAX.saturating_sub(self.asked.len());
        let ready = self.waiting.take_if(|waiting| {
            let is_ready = !waiting.wish.is_of_peer() && waiting.not_before <= tick && room > 0;
            room -= usize::from(is_ready);
            is_ready
        });
        let mut messages = Vec::with_capacity(ready.len());
        for Waiting { wish, refused, .. } in ready {
            let request = self.next_request;
            self.next_request += 1;
            messages.push(Admin { request, task: wish.task() });
            self.asked.push(Asked { request, to: leader, term, wish, refused });
        }
        messages
    }

    /// The wish that `from` answers, if it was asked for that.
    pub(super) fn answered(&mut self, from: NodeId, request: u64) -> Option<Asked> {
        self.asked.take_if(|asked| asked.request == request && asked.to == from).pop_front()
    }

    /// Nothing was begun where it was asked: it waits again, at least for the next tick, so that two nodes who take each
    /// other for the leader do not ask each other without end.
    pub(super) fn ask_again(&mut self, asked: Asked, tick: u64) {
        self.waiting.push(Waiting { wish: asked.wish, refused: asked.refused, not_before: tick + 1 });
    }

    /// A later leader than the one that was asked for a transfer ends that wish, whether it answers or not.
    pub(super) fn settle_transfers(&mut self, raft: &Raft) {
        let Some(leader) = raft.leader() else { return };
        let is_over = |asked: &Asked| matches!(asked.wish, Wish::Transfer { .. }) && raft.term() > asked.term;
        for asked in self.asked.take_if(is_over) {
            let Wish::Transfer { to, asker } = asked.wish else { continue };
            let outcome = match to {
                None if leader == asked.to => Err(TransferError::AnotherLeader { leader }),
                to => taken_by(leader, to.unwrap_or(leader)),
            };
            asker.answer_here(outcome);
        }
    }

    /// Answers those whose deadline has passed. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let (waiting, asked) = (self.waiting.expire(now), self.asked.expire(now));
        let count = waiting.len() + asked.len();
        for Waiting { wish, refused, .. } in waiting {
            let error = refused.map_or(ChangeError::NoLeader, ChangeError::Refused);
            wish.refuse(|| error, || TransferError::NoLeader);
        }
        for asked in asked {
            asked.wish.refuse(|| ChangeError::Unknown, || TransferError::Unknown);
        }
        count as u64
    }

    /// The node stops.
    pub(super) fn stop(mut self, cause: &StopCause) {
        let waiting = self.waiting.take_all().into_iter().map(|waiting| (waiting.wish, Outcome::NotApplied));
        let asked = self.asked.take_all().into_iter().map(|asked| (asked.wish, Outcome::Unknown));
        for (wish, outcome) in waiting.chain(asked) {
            let stopped = || ChangeError::Stopped { cause: cause.clone(), outcome };
            wish.refuse(stopped, || TransferError::Stopped { cause: cause.clone() });
        }
    }
}

impl Deadlined for Waiting {
    fn deadline(&self) -> Moment {
        self.wish.deadline()
    }
}

impl Deadlined for Asked {
    fn deadline(&self) -> Moment {
        self.wish.deadline()
    }
}

impl Wish {
    fn deadline(&self) -> Moment {
        match self {
            Self::Change(wished) => wished.asker.deadline(),
            Self::Transfer { asker, .. } => asker.deadline(),
        }
    }
}

impl<A> std::fmt::Debug for Asker<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here { .. } => f.write_str("Here"),
            Self::Peer { node, request } => write!(f, "Peer({node}, {request})"),
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waiting").field(&self.wish.task()).finish()
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Asked").field(&self.request).field(&self.wish.task()).finish()
    }
}
