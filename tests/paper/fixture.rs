//! Small words for small scenes: one replica, its past, and what its peers say.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate::consensus::{Outgoing, Persisted, Raft, RaftConfig, Ready, Restored, RoleName};
use quorate::types::{
    Append, AppendAnswer, Body, Boot, EntryKind, EntryMeta, HardState, Heartbeat, HeartbeatAnswer, LogIndex,
    LogPosition, LogSlice, Member, Membership, MembershipChange, Message, Moment, NodeId, ReadId, Round,
    SnapshotId, SnapshotMeta, Term,
};

/// Scenes without leases need no clock.
pub(crate) const NOW: Moment = Moment(0);

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

pub(crate) fn term(term: u64) -> Term {
    Term(term)
}

pub(crate) fn index(index: u64) -> LogIndex {
    LogIndex(index)
}

/// The position `index` in `term`.
pub(crate) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), LogIndex(index))
}

pub(crate) fn read_id(request: u64) -> ReadId {
    ReadId { boot: Boot(1), request }
}

/// A configuration of the nodes given; its addresses begin with `name`.
pub(crate) fn members(name: &str, voters: &[u64], outgoing: &[u64], learners: &[u64]) -> Membership {
    let ids = |list: &[u64]| list.iter().copied().map(node).collect::<Vec<_>>();
    let all = voters.iter().chain(outgoing).chain(learners);
    let member = |&id: &u64| (node(id), Member { address: format!("{name}-{id}:7000"), incarnation: None });
    Membership::new(ids(voters), ids(outgoing), ids(learners), all.map(member).collect())
        .expect("a good membership")
}

fn addresses(list: &[u64]) -> BTreeMap<NodeId, String> {
    list.iter().map(|&id| (node(id), format!("host-{id}:7000"))).collect()
}

/// Exactly these members, as [`members`] with the name `host` would list them.
pub(crate) fn set(voters: &[u64], learners: &[u64]) -> MembershipChange {
    MembershipChange::Set { voters: addresses(voters), learners: addresses(learners) }
}

pub(crate) fn add_learner(id: u64) -> MembershipChange {
    MembershipChange::AddLearner { id: node(id), address: format!("host-{id}:7000") }
}

pub(crate) fn promote(id: u64) -> MembershipChange {
    MembershipChange::Promote { id: node(id) }
}

pub(crate) fn demote(id: u64) -> MembershipChange {
    MembershipChange::Demote { id: node(id) }
}

pub(crate) fn remove(id: u64) -> MembershipChange {
    MembershipChange::Remove { id: node(id) }
}

pub(crate) fn replace(old: u64, new: u64) -> MembershipChange {
    MembershipChange::Replace { old: node(old), new: node(new), address: format!("host-{new}:7000") }
}

/// The past of a replica. Without `pre_vote` and `check_quorum`, as in the paper's own text.
pub(crate) struct Past {
    pub(crate) config: RaftConfig,
    membership: Membership,
    hard_state: HardState,
    terms: Vec<u64>,
    founded: bool,
}

/// A node that waits to be added to a group: its log is empty.
pub(crate) fn joining(id: u64) -> Past {
    let past = replica(id, 1).with(|config| config.joined = true);
    Past { founded: false, ..past }
}

/// A replica of a group with nodes `1..=count` that has seen nothing yet.
pub(crate) fn replica(id: u64, count: u64) -> Past {
    let config = RaftConfig {
        election_ticks: 10,
        heartbeat_ticks: 2,
        pre_vote: false,
        check_quorum: false,
        ..RaftConfig::new(node(id))
    };
    let voters: Vec<_> = (1..=count).collect();
    let membership = members("host", &voters, &[], &[]);
    Past { config, membership, hard_state: HardState::default(), terms: Vec::new(), founded: true }
}

impl Past {
    pub(crate) fn with_membership(mut self, membership: Membership) -> Self {
        self.membership = membership;
        self
    }

    pub(crate) fn in_term(mut self, term: u64) -> Self {
        self.hard_state.term = Term(term);
        self
    }

    pub(crate) fn voted_for(mut self, id: u64) -> Self {
        self.hard_state.voted_for = Some(node(id));
        self
    }

    /// The terms of its entries from index 2 on.
    pub(crate) fn with_log(mut self, terms: &[u64]) -> Self {
        self.hard_state.term = self.hard_state.term.max(Term(terms.last().copied().unwrap_or(0)));
        self.terms = terms.to_vec();
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut RaftConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn restored(&self) -> Restored {
        let founding = EntryMeta {
            position: at(0, 1),
            bytes: 64,
            kind: EntryKind::Membership(Arc::new(self.membership.clone())),
        };
        let mut entries = vec![founding];
        entries.extend(metas(1, &self.terms));
        if !self.founded {
            entries.clear();
        }
        Restored {
            hard_state: self.hard_state,
            starts_after: LogPosition::ZERO,
            membership: None,
            entries,
            snapshot: None,
            applied: LogPosition::ZERO,
        }
    }

    /// Just started; the founding entry is handed over to be applied already.
    pub(crate) fn start(self) -> Raft {
        let restored = self.restored();
        let mut raft = Raft::new(self.config, restored).expect("a good past");
        raft.ready(NOW);
        raft
    }

    /// Elected in the term after its past's, its no-op not acknowledged yet; its first messages are taken.
    pub(crate) fn lead(self) -> Raft {
        let mut raft = self.start();
        raft.campaign();
        persist_all(&mut raft);
        let (term, voters) = (raft.term(), peers_of(&raft));
        for voter in voters {
            if raft.role() == RoleName::Candidate {
                raft.step(voter, vote_answer(term.0, true));
            }
        }
        assert_eq!(raft.role(), RoleName::Leader, "everyone voted for it");
        persist_all(&mut raft);
        raft
    }

    /// Elected, and every peer has acknowledged its no-op: streaming to all, all committed.
    pub(crate) fn lead_with_everyone(self) -> Raft {
        let mut raft = self.lead();
        let last = raft.last().index;
        for peer in peers_of(&raft) {
            raft.step(peer, accepted(raft.term().0, last.0));
        }
        persist_all(&mut raft);
        assert_eq!(raft.commit(), last, "everyone acknowledged");
        raft
    }
}

pub(crate) fn peers_of(raft: &Raft) -> Vec<NodeId> {
    raft.membership().peers_of(raft.id()).collect()
}

/// Normal entries of 10 bytes, the first one after index `after`.
pub(crate) fn metas(after: u64, terms: &[u64]) -> Vec<EntryMeta> {
    let entry =
        |(&term, nth)| EntryMeta { position: at(term, after + nth), bytes: 10, kind: EntryKind::Normal };
    terms.iter().zip(1..).map(entry).collect()
}

fn message(term: u64, body: Body) -> Message {
    Message { term: Term(term), body }
}

pub(crate) fn vote(term: u64, last: LogPosition) -> Message {
    message(term, Body::Vote { last, transfer: false })
}

pub(crate) fn vote_answer(term: u64, granted: bool) -> Message {
    message(term, Body::VoteAnswer { granted })
}

pub(crate) fn pre_vote(term: u64, last: LogPosition) -> Message {
    message(term, Body::PreVote { last })
}

pub(crate) fn pre_vote_answer(term: u64, granted: bool) -> Message {
    message(term, Body::PreVoteAnswer { granted })
}

/// Entries of `terms` after `prev`, from the leader of `term`.
pub(crate) fn append(term: u64, prev: LogPosition, terms: &[u64], commit: u64) -> Message {
    let slice = LogSlice::new(prev, metas(prev.index.0, terms)).expect("a good slice");
    message(term, Body::Append(Append { slice, commit: LogIndex(commit) }))
}

/// One configuration after `prev`, from the leader of `term`.
pub(crate) fn append_members(term: u64, prev: LogPosition, membership: Membership, commit: u64) -> Message {
    let kind = EntryKind::Membership(Arc::new(membership));
    let entry = EntryMeta { position: at(term, prev.index.0 + 1), bytes: 64, kind };
    let slice = LogSlice::new(prev, vec![entry]).expect("a good slice");
    message(term, Body::Append(Append { slice, commit: LogIndex(commit) }))
}

pub(crate) fn timeout_now(term: u64) -> Message {
    message(term, Body::TimeoutNow)
}

/// The vote of a candidate whom the leader asked to take over.
pub(crate) fn transfer_vote(term: u64, last: LogPosition) -> Message {
    message(term, Body::Vote { last, transfer: true })
}

pub(crate) fn accepted(term: u64, matched: u64) -> Message {
    message(term, Body::AppendAnswer(AppendAnswer::Accepted { matched: LogIndex(matched) }))
}

pub(crate) fn rejected(term: u64, prev: u64, hint: LogPosition) -> Message {
    message(term, Body::AppendAnswer(AppendAnswer::Rejected { prev: LogIndex(prev), hint }))
}

pub(crate) fn heartbeat(term: u64, commit: u64, round: u64) -> Message {
    message(term, Body::Heartbeat(Heartbeat { commit: LogIndex(commit), round: Round(round) }))
}

pub(crate) fn heartbeat_answer(term: u64, matched: u64, round: u64) -> Message {
    let answer = HeartbeatAnswer { matched: LogIndex(matched), round: Round(round) };
    message(term, Body::HeartbeatAnswer(answer))
}

pub(crate) fn read_index(term: u64, id: ReadId) -> Message {
    message(term, Body::ReadIndex { id })
}

pub(crate) fn read_index_answer(term: u64, id: ReadId, index: Option<u64>) -> Message {
    message(term, Body::ReadIndexAnswer { id, index: index.map(LogIndex) })
}

/// Ticks one by one, as in a process that is never paused.
pub(crate) fn pass(raft: &mut Raft, ticks: u32) {
    (0..ticks).for_each(|_| raft.tick(1));
}

/// Makes the write of `ready` durable, and everything before it.
pub(crate) fn persist(raft: &mut Raft, ready: &Ready) {
    if let Some(through) = ready.write {
        raft.persisted(Persisted { through });
    }
}

/// Turns with an instant disk until nothing is left to do: all messages that left.
pub(crate) fn persist_all(raft: &mut Raft) -> Vec<Outgoing> {
    let mut sent = Vec::new();
    while raft.has_ready() {
        let ready = raft.ready(NOW);
        persist(raft, &ready);
        sent.extend(ready.send);
        sent.extend(ready.send_when_durable);
    }
    sent
}

/// The bodies of the messages to `peer`.
pub(crate) fn bodies_to(peer: u64, sent: &[Outgoing]) -> Vec<Body> {
    sent.iter().filter(|sent| sent.to == node(peer)).map(|sent| sent.message.body.clone()).collect()
}

/// The appends to `peer`.
pub(crate) fn appends_to(peer: u64, sent: &[Outgoing]) -> Vec<Append> {
    let append = |body| match body {
        Body::Append(append) => Some(append),
        _ => None,
    };
    bodies_to(peer, sent).into_iter().filter_map(append).collect()
}

/// The heartbeats to `peer`.
pub(crate) fn heartbeats_to(peer: u64, sent: &[Outgoing]) -> Vec<Heartbeat> {
    let heartbeat = |body| match body {
        Body::Heartbeat(heartbeat) => Some(heartbeat),
        _ => None,
    };
    bodies_to(peer, sent).into_iter().filter_map(heartbeat).collect()
}

/// The single message that was sent, with its destination.
pub(crate) fn only(sent: &[Outgoing]) -> (u64, Message) {
    assert_eq!(sent.len(), 1, "expected one message: {sent:?}");
    (sent[0].to.get(), sent[0].message.clone())
}

/// The configurations in the log of `raft`, each with its index.
pub(crate) fn memberships_of(raft: &Raft) -> Vec<(u64, Arc<Membership>)> {
    let membership = |index| match raft.meta(LogIndex(index))?.kind {
        EntryKind::Membership(membership) => Some((index, membership)),
        _ => None,
    };
    (1..=raft.last().index.0).filter_map(membership).collect()
}

/// The terms of the log from index 2 on.
pub(crate) fn log_of(raft: &Raft) -> Vec<u64> {
    (2..=raft.last().index.0).filter_map(|index| raft.term_at(LogIndex(index))).map(|term| term.0).collect()
}

/// A snapshot of a group with nodes 1 to 3; its position is its name.
pub(crate) fn snapshot(position: LogPosition) -> SnapshotMeta {
    snapshot_with(position, members("host", &[1, 2, 3], &[], &[]))
}

pub(crate) fn snapshot_with(position: LogPosition, membership: Membership) -> SnapshotMeta {
    let id = SnapshotId(position.index.0.wrapping_add(1_000 * position.term.0));
    SnapshotMeta { id, position, membership: Arc::new(membership), bytes: 1 << 20 }
}

pub(crate) fn offer(term: u64, snapshot: &SnapshotMeta) -> Message {
    message(term, Body::SnapshotOffer(snapshot.clone()))
}

/// The snapshots that are offered to `peer`.
pub(crate) fn offers_to(peer: u64, sent: &[Outgoing]) -> Vec<SnapshotMeta> {
    let offer = |body| match body {
        Body::SnapshotOffer(snapshot) => Some(snapshot),
        _ => None,
    };
    bodies_to(peer, sent).into_iter().filter_map(offer).collect()
}

/// Takes a snapshot of all that is applied and durable: its position.
pub(crate) fn save_snapshot(raft: &mut Raft) -> LogPosition {
    let index = raft.commit().min(raft.stable());
    let position = LogPosition::new(raft.term_at(index).expect("it is in the log"), index);
    let membership = raft.membership_at(index).expect("it is in the log");
    raft.snapshot_saved(snapshot_with(position, (*membership).clone()));
    position
}

/// Takes a snapshot and drops all of the log that it covers, but for `trailing` entries.
pub(crate) fn snapshot_and_compact(raft: &mut Raft, trailing: u64) -> LogPosition {
    let position = save_snapshot(raft);
    if let Some(through) = raft.compactable(trailing) {
        raft.compact(through);
    }
    position
}

/// The past of a replica that waits to be added: nothing at all.
pub(crate) fn newcomer(id: u64) -> Raft {
    let past = replica(id, 3).with(|config| config.joined = true);
    let restored = Restored { entries: Vec::new(), ..past.restored() };
    Raft::new(past.config, restored).expect("an empty past is a good one")
}

/// What a host finds on the disk of this replica, all of whose writes are durable and whose commits are all applied.
pub(crate) fn restored_of(raft: &Raft) -> Restored {
    let start = raft.first_index().prev();
    let position = |at| LogPosition::new(raft.term_at(at).expect("it is in the log"), at);
    let compacted = (start > LogIndex::ZERO).then(|| raft.membership_at(start).expect("it is the start"));
    Restored {
        hard_state: raft.hard_state(),
        starts_after: position(start),
        membership: compacted,
        entries: (start.next().0..=raft.last().index.0).filter_map(|at| raft.meta(LogIndex(at))).collect(),
        snapshot: raft.snapshot().cloned(),
        applied: position(raft.commit()),
    }
}
