//! One replica of consensus among peers of which any may lie, on a disk that crashes.
//!
//! Nothing holds between replicas here, since a peer may say anything. What must hold all the same is what one replica owes
//! by itself: it never panics; its term and commit never go back; what it committed stays; it votes once in a term, also
//! across a crash; it promises nothing that is not durable; it applies each entry once, in order; and it starts again on
//! whatever it wrote.

mod disk;
pub(in crate::fuzzing) mod messages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::disk::Disk;
use self::messages::{
    Known, NODES, address, answer_to, any_change, any_message, any_node, next_entries, node,
};
use super::input::Input;
use crate::consensus::{Outgoing, Persisted, Raft, RaftConfig, Ready, WriteSeq};
use crate::types::{
    AppendAnswer, Body, Boot, EntryKind, EntryMeta, Incarnation, LogIndex, LogPosition, LogSpan, Membership,
    Message, Moment, NodeId, ReadId, SnapshotId, SnapshotMeta, Term,
};

/// Longer walks say nothing new.
const EVENTS_MAX: usize = 600;
/// So many of the messages that left can still be answered.
const SENT_MAX: usize = 32;
/// A snapshot's file name stands for its content: ids of peers' snapshots are below.
const OWN_SNAPSHOTS_FROM: u64 = 1 << 8;

/// Any events in any order.
///
/// Two bytes of settings, then events, each a byte and what it needs.
pub fn engine(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut scene = Scene::new(&mut input);
    for _ in 0..EVENTS_MAX {
        if input.is_empty() {
            break;
        }
        scene.event(&mut input);
        scene.check();
    }
    scene.turn();
    scene.sync(usize::MAX);
    scene.turn();
    scene.check();
    scene.crash(usize::MAX, true);
}

pub(in crate::fuzzing) fn incarnation_of(id: NodeId) -> Incarnation {
    Incarnation(id.get() * 100)
}

struct Scene {
    raft: Raft,
    config: RaftConfig,
    disk: Disk,
    /// What the host holds of the log.
    tail: BTreeMap<LogIndex, EntryMeta>,
    unreported: Option<WriteSeq>,
    /// What the state machine holds.
    applied: LogPosition,
    receiving: Option<SnapshotMeta>,
    sent: VecDeque<Outgoing>,
    now: Moment,
    requests: u64,
    reads: BTreeSet<u64>,
    boot: u64,
    snapshots: u64,
    votes: BTreeMap<Term, NodeId>,
    reached: (Term, LogIndex),
    committed: BTreeMap<LogIndex, Term>,
}

impl Scene {
    fn new(input: &mut Input<'_>) -> Self {
        let (flags, shape) = (input.u8(), input.u8());
        let founders = 1 + u64::from(shape) % NODES as u64;
        let is_set = |bit: u8| flags >> bit & 1 == 1;
        let lease = is_set(2) && is_set(0) && is_set(1);
        let config = RaftConfig {
            election_ticks: 4,
            heartbeat_ticks: 1,
            append_entries_max: 3,
            append_bytes_max: 100,
            in_flight_messages_max: 2,
            in_flight_bytes_max: 200,
            pre_vote: is_set(0),
            check_quorum: is_set(1),
            lease: lease.then_some(3),
            reluctance: u32::from(is_set(3)),
            promote_lag_bytes_max: 50,
            incarnation: is_set(4).then(|| incarnation_of(node(1))),
            joined: is_set(5),
            ..RaftConfig::new(node(1))
        };
        let members = (1..=founders).map(|id| (node(id), address(node(id))));
        let membership = Arc::new(Membership::founding(members).expect("good members"));
        let position = LogPosition::new(Term::ZERO, LogIndex(1));
        let bytes = membership.approximate_bytes();
        let founding = EntryMeta { position, bytes, kind: EntryKind::Membership(membership) };
        let disk = if config.joined { Disk::default() } else { Disk::founded(founding) };
        Self::start(config, disk, LogPosition::ZERO, 0)
    }

    fn start(config: RaftConfig, disk: Disk, machine: LogPosition, boot: u64) -> Self {
        let restored = disk.restored(machine);
        let applied = restored.applied;
        let tail = restored.entries.iter().map(|entry| (entry.position.index, entry.clone())).collect();
        let raft = Raft::new(config.clone(), restored).expect("a replica starts on what it wrote");
        Self {
            config,
            disk,
            tail,
            unreported: None,
            applied,
            receiving: None,
            sent: VecDeque::new(),
            now: Moment(1_000),
            requests: 0,
            reads: BTreeSet::new(),
            boot,
            snapshots: 0,
            votes: BTreeMap::new(),
            reached: (raft.term(), raft.commit()),
            committed: BTreeMap::new(),
            raft,
        }
    }

    fn event(&mut self, input: &mut Input<'_>) {
        match input.below(24) {
            0 => self.raft.tick(1),
            1 => self.raft.tick(u32::from(input.u8())),
            2 | 3 => self.turn(),
            4 => self.sync(usize::from(input.u8())),
            5 => self.report(),
            6 => self.propose(input),
            7 => self.read(),
            8..=10 => {
                if let Some(message) = any_message(input, &Known::of(&self.raft)) {
                    self.receive(any_node(input), message);
                }
            }
            11 => self.answer_one(input),
            12 => self.answer_all(),
            13 => {
                if let Some(message) = next_entries(input, &Known::of(&self.raft)) {
                    let from = self.raft.leader().unwrap_or(node(2));
                    self.receive(from, message);
                }
            }
            14 => self.wish(input),
            15 => drop(self.raft.transfer_leadership(input.bool().then(|| any_node(input)))),
            16 => self.raft.set_impaired(input.bool()),
            17 => self.lose_peer(input),
            18 => self.save_snapshot(),
            19 => self.compact(input),
            20 => self.snapshot_received(),
            21 => self.raft.snapshot_stalled(any_node(input)),
            22 => self.crash(usize::from(input.u8() % 8), input.bool()),
            _ => self.raft.campaign(),
        }
    }

    fn propose(&mut self, input: &mut Input<'_>) {
        let sizes: Vec<_> = (0..input.below(5)).map(|_| u32::from(input.u8())).collect();
        if let Ok(span) = self.raft.propose(sizes.iter().copied()) {
            assert_eq!(span.count(), sizes.len() as u64, "more or less is appended than was proposed");
            self.keep_own(span.first);
        }
    }

    fn wish(&mut self, input: &mut Input<'_>) {
        let index = if input.below(4) == 0 {
            let membership = (**self.raft.membership()).clone();
            let learnt = (1..=NODES as u64).map(|id| (node(id), incarnation_of(node(id))));
            self.raft
                .propose_membership(membership.with_incarnations(learnt))
                .map(|position| position.index)
                .ok()
        } else {
            let expected = (input.below(4) == 0).then(|| self.raft.membership_index());
            let change = any_change(input);
            self.raft.change_membership(&change, expected).map(|position| position.index).ok()
        };
        if let Some(index) = index {
            self.keep_own(index);
        }
    }

    fn read(&mut self) {
        self.requests += 1;
        let id = ReadId { boot: Boot(self.boot), request: self.requests };
        self.now = Moment(self.now.0 + 1);
        if self.raft.read_index(id, self.now).is_ok() {
            self.reads.insert(self.requests);
        }
    }

    fn lose_peer(&mut self, input: &mut Input<'_>) {
        let peer = any_node(input);
        if input.bool() {
            self.raft.peer_lost(peer);
        } else {
            self.raft.peer_replaced(peer);
        }
    }

    /// The state machine's own snapshot is durable.
    fn save_snapshot(&mut self) {
        let position = self.applied;
        let Some(membership) = self.raft.membership_at(position.index) else { return };
        if position.index == LogIndex::ZERO {
            return;
        }
        self.snapshots += 1;
        let id = SnapshotId(OWN_SNAPSHOTS_FROM + self.boot * 1_000 + self.snapshots);
        let snapshot = SnapshotMeta { id, position, membership, bytes: 1 };
        self.disk.add_snapshot(snapshot.clone());
        self.raft.snapshot_saved(snapshot);
    }

    fn compact(&mut self, input: &mut Input<'_>) {
        if let Some(through) = self.raft.compactable(u64::from(input.u8() % 4)) {
            let start = self.raft.compact(through);
            self.tail = self.tail.split_off(&through.next());
            self.disk.release(start);
        }
    }

    /// What was fetched is durable.
    fn snapshot_received(&mut self) {
        let Some(snapshot) = self.receiving.take() else { return };
        self.disk.add_snapshot(snapshot.clone());
        if self.raft.snapshot_received(&snapshot) {
            self.tail.clear();
        }
    }

    fn answer_one(&mut self, input: &mut Input<'_>) {
        if let Some(sent) = self.sent.get(usize::from(input.u8()) % SENT_MAX).cloned()
            && let Some(answer) = answer_to(&sent)
        {
            self.receive(sent.to, answer);
        }
    }

    fn answer_all(&mut self) {
        for sent in std::mem::take(&mut self.sent) {
            if let Some(answer) = answer_to(&sent) {
                self.receive(sent.to, answer);
            }
        }
    }

    fn receive(&mut self, from: NodeId, message: Message) {
        let carried = match &message.body {
            Body::Append(append) => append.slice.entries().to_vec(),
            _ => Vec::new(),
        };
        if let Some(span) = self.raft.step(from, message) {
            let kept: Vec<_> =
                carried.into_iter().filter(|entry| span.contains(entry.position.index)).collect();
            assert_eq!(kept.len() as u64, span.count(), "the span names entries that were not sent");
            self.keep(span.first, kept);
        }
    }

    fn keep_own(&mut self, first: LogIndex) {
        let entries =
            (first.0..=self.raft.last().index.0).filter_map(|index| self.raft.meta(LogIndex(index)));
        self.keep(first, entries.collect());
    }

    fn keep(&mut self, first: LogIndex, entries: Vec<EntryMeta>) {
        self.tail.split_off(&first);
        self.tail.extend(entries.into_iter().map(|entry| (entry.position.index, entry)));
    }

    fn report(&mut self) {
        if let Some(through) = self.unreported.take() {
            self.raft.persisted(Persisted { through });
        }
    }

    /// The replica's turn ends: its host does what it asks for.
    fn turn(&mut self) {
        self.now = Moment(self.now.0 + 1);
        let ready = self.raft.ready(self.now);
        assert!(!self.raft.has_ready(), "a turn leaves something undone");
        for outgoing in &ready.send {
            let durable = self.disk.hard_state.term;
            assert!(promises_nothing(outgoing, durable), "{outgoing:?} leaves before it is durable");
        }
        let entries = ready.append.map_or_else(Vec::new, |span| self.payloads(span));
        self.disk.write(&ready, entries);
        if let Some((_, snapshot)) = &ready.receive {
            self.receiving = Some(snapshot.clone());
        }
        self.apply(&ready);
        for id in ready.reads.iter().map(|read| read.id).chain(ready.reads_lost) {
            let is_ours = id.boot == Boot(self.boot) && self.reads.remove(&id.request);
            assert!(is_ours, "a read is answered twice, or was never asked");
        }
        self.post(ready.send);
    }

    fn apply(&mut self, ready: &Ready) {
        if let Some(snapshot) = &ready.restore {
            assert!(snapshot.position.index > self.applied.index, "a state machine goes back");
            self.applied = snapshot.position;
        }
        let Some(span) = ready.apply else { return };
        assert_eq!(span.first, self.applied.index.next(), "an index is applied twice or skipped");
        for index in (span.first.0..=span.last.index.0).map(LogIndex) {
            let entry = self.payload(index);
            assert_eq!(self.disk.entry(index), Some(&entry), "applied before it was durable");
        }
        self.applied = span.last;
    }

    fn payloads(&mut self, span: LogSpan) -> Vec<EntryMeta> {
        (span.first.0..=span.last.index.0).map(|index| self.payload(LogIndex(index))).collect()
    }

    /// The host's payload, which must be the one that consensus means. What consensus appends by itself nobody gave it.
    fn payload(&mut self, index: LogIndex) -> EntryMeta {
        let meant = self.raft.meta(index).expect("a span lies in the log");
        if meant.kind != EntryKind::Normal {
            self.tail.entry(index).or_insert_with(|| meant.clone());
        }
        assert_eq!(self.tail.get(&index), Some(&meant), "the host holds another entry than consensus");
        meant
    }

    fn sync(&mut self, count: usize) {
        let (through, released) = self.disk.sync(count.min(self.disk.under_way()));
        self.unreported = through.or(self.unreported);
        self.post(released);
    }

    /// What leaves the node: a vote is given once.
    fn post(&mut self, messages: Vec<Outgoing>) {
        for outgoing in messages {
            assert_ne!(outgoing.to, self.config.id, "a node talks to itself");
            let voted_for = match outgoing.message.body {
                Body::Vote { .. } => Some(self.config.id),
                Body::VoteAnswer { granted: true } => Some(outgoing.to),
                _ => None,
            };
            if let Some(candidate) = voted_for {
                let first = *self.votes.entry(outgoing.message.term).or_insert(candidate);
                assert_eq!(first, candidate, "two votes in term {} (§5.2)", outgoing.message.term);
            }
            self.sent.push_back(outgoing);
        }
        let old = self.sent.len().saturating_sub(SENT_MAX);
        self.sent.drain(..old);
    }

    /// Of the writes under way the first `survivors` got there. A state machine on disk keeps what it holds.
    fn crash(&mut self, survivors: usize, machine_on_disk: bool) {
        let mut disk = std::mem::take(&mut self.disk);
        disk.crash(survivors.min(disk.under_way()));
        if let Some((&term, &candidate)) = self.votes.last_key_value() {
            let found = disk.hard_state;
            let is_kept = found.term > term || (found.term == term && found.voted_for == Some(candidate));
            assert!(is_kept, "a vote is forgotten in a crash");
        }
        let machine = if machine_on_disk { self.applied } else { LogPosition::ZERO };
        let votes = std::mem::take(&mut self.votes);
        *self = Self { votes, ..Self::start(self.config.clone(), disk, machine, self.boot + 1) };
    }

    fn check(&mut self) {
        let (raft, before) = (&self.raft, self.reached);
        self.reached = (raft.term(), raft.commit());
        assert!(self.reached.0 >= before.0, "the term goes back");
        assert!(self.reached.1 >= before.1, "the commit goes back");
        let first = raft.first_index();
        self.committed = self.committed.split_off(&first);
        for index in (first.0..=raft.commit().0).map(LogIndex) {
            let term = raft.term_at(index).expect("what is committed is in the log");
            let known = *self.committed.entry(index).or_insert(term);
            assert_eq!(known, term, "the committed entry {index} changed (§5.4)");
        }
    }
}

fn promises_nothing(outgoing: &Outgoing, durable: Term) -> bool {
    match outgoing.message.body {
        Body::PreVote { .. } | Body::PreVoteAnswer { granted: true } => true,
        Body::Vote { .. }
        | Body::VoteAnswer { granted: true }
        | Body::AppendAnswer(AppendAnswer::Accepted { .. }) => false,
        _ => outgoing.message.term <= durable,
    }
}
