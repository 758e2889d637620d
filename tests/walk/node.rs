//! A replica, its host and its disk. The host keeps payloads only by the spans that consensus tells it, as a real one
//! does; the disk loses on a crash what was not synced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate::consensus::{Outgoing, Persisted, Raft, RaftConfig, ReadReady, Ready, Restored, WriteSeq};
use quorate::types::{
    AppendAnswer, Body, Boot, EntryKind, EntryMeta, HardState, LogIndex, LogPosition, LogSpan, Membership,
    MembershipChange, Message, Moment, NodeId, ReadId, Term,
};

/// Walks without leases need no clock.
const NOW: Moment = Moment(0);

/// The sizes of entries stand for their payloads: each proposal has another one.
pub(crate) struct Node {
    pub(crate) raft: Raft,
    disk: Disk,
    /// What the host holds of the log.
    tail: BTreeMap<LogIndex, EntryMeta>,
    /// Made durable, not yet reported.
    unreported: Option<WriteSeq>,
    /// What a host has applied since it started.
    pub(crate) applied: LogIndex,
    boot: u64,
    requests: u64,
}

#[derive(Default)]
struct Disk {
    hard_state: HardState,
    entries: Vec<EntryMeta>,
    writes: VecDeque<Write>,
}

struct Write {
    seq: WriteSeq,
    hard_state: Option<HardState>,
    entries: Vec<EntryMeta>,
    send_when_durable: Vec<Outgoing>,
}

impl Disk {
    fn put(&mut self, write: &Write) {
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        if let Some(first) = write.entries.first() {
            self.entries.truncate(first.position.index.prev().0 as usize);
            assert_eq!(self.entries.len() as u64, first.position.index.prev().0, "a write leaves a gap");
            self.entries.extend_from_slice(&write.entries);
        }
    }
}

/// What a node's turn gave to the world.
pub(crate) struct Turn {
    pub(crate) send: Vec<Outgoing>,
    pub(crate) applied: Vec<EntryMeta>,
    pub(crate) reads: Vec<ReadReady>,
    pub(crate) reads_lost: Vec<ReadId>,
}

impl Node {
    /// A node that waits to be added to the group.
    pub(crate) fn joining(config: RaftConfig) -> Self {
        Self::start(config, Disk::default(), 0)
    }

    pub(crate) fn new(config: RaftConfig, founders: &Arc<Membership>) -> Self {
        let founding = EntryMeta {
            position: LogPosition::new(Term::ZERO, LogIndex(1)),
            bytes: founders.approximate_bytes(),
            kind: EntryKind::Membership(Arc::clone(founders)),
        };
        let disk = Disk { entries: vec![founding], ..Disk::default() };
        Self::start(config, disk, 0)
    }

    fn start(config: RaftConfig, disk: Disk, boot: u64) -> Self {
        let restored = Restored {
            hard_state: disk.hard_state,
            starts_after: LogPosition::ZERO,
            membership: None,
            entries: disk.entries.clone(),
            snapshot: None,
            applied: LogPosition::ZERO,
        };
        let tail = disk.entries.iter().map(|entry| (entry.position.index, entry.clone())).collect();
        let raft = Raft::new(config, restored).expect("the disk holds what a replica wrote");
        Self { raft, disk, tail, unreported: None, applied: LogIndex::ZERO, boot, requests: 0 }
    }

    /// Loses all that is not on disk. Of the writes under way the first `survivors` got there, unreported.
    pub(crate) fn crash(&mut self, config: RaftConfig, survivors: usize) {
        let mut disk = std::mem::take(&mut self.disk);
        for write in disk.writes.drain(..).take(survivors).collect::<Vec<_>>() {
            disk.put(&write);
        }
        *self = Self::start(config, disk, self.boot + 1);
    }

    pub(crate) fn writes_under_way(&self) -> usize {
        self.disk.writes.len()
    }

    pub(crate) fn durable(&self) -> (HardState, &[EntryMeta]) {
        (self.disk.hard_state, &self.disk.entries)
    }

    pub(crate) fn receive(&mut self, from: NodeId, message: Message) {
        let sent = match &message.body {
            Body::Append(append) => append.slice.entries().to_vec(),
            _ => Vec::new(),
        };
        if let Some(span) = self.raft.step(from, message) {
            let kept: Vec<_> = sent.into_iter().filter(|entry| span.contains(entry.position.index)).collect();
            assert_eq!(kept.len() as u64, span.count(), "the span names entries that were not sent");
            self.keep(span.first, kept);
        }
    }

    pub(crate) fn propose(&mut self, sizes: &[u32]) -> Option<LogSpan> {
        let span = self.raft.propose(sizes.iter().copied()).ok()?;
        let kept = (span.first.0..=span.last.index.0).zip(sizes).map(|(index, &bytes)| EntryMeta {
            position: LogPosition::new(span.last.term, LogIndex(index)),
            bytes,
            kind: EntryKind::Normal,
        });
        self.keep(span.first, kept.collect());
        Some(span)
    }

    pub(crate) fn change_membership(&mut self, change: &MembershipChange) -> Option<LogIndex> {
        let position = self.raft.change_membership(change, None).ok()?;
        Some(self.keep_own(position))
    }

    pub(crate) fn propose_membership(&mut self, membership: Membership) -> Option<LogIndex> {
        let position = self.raft.propose_membership(membership).ok()?;
        Some(self.keep_own(position))
    }

    fn keep_own(&mut self, position: LogPosition) -> LogIndex {
        let entry = self.raft.meta(position.index).expect("it was appended");
        self.keep(position.index, vec![entry]);
        position.index
    }

    pub(crate) fn read(&mut self) -> Option<ReadId> {
        self.requests += 1;
        let id = ReadId { boot: Boot(self.raft.id().get() * 1_000 + self.boot), request: self.requests };
        self.raft.read_index(id, NOW).ok().map(|()| id)
    }

    fn keep(&mut self, first: LogIndex, entries: Vec<EntryMeta>) {
        self.tail.split_off(&first);
        self.tail.extend(entries.into_iter().map(|entry| (entry.position.index, entry)));
    }

    /// One turn: what the replica asks for is done or under way afterwards.
    pub(crate) fn turn(&mut self) -> Turn {
        self.report_persisted();
        let ready = self.raft.ready(NOW);
        assert!(!self.raft.has_ready(), "a turn leaves something undone");
        let durable = self.disk.hard_state.term;
        for outgoing in &ready.send {
            assert!(promises_nothing(outgoing, durable), "{outgoing:?} leaves before it is durable");
        }
        self.write(&ready);
        let applied = ready.apply.map_or_else(Vec::new, |span| self.apply(span));
        Turn { send: ready.send, applied, reads: ready.reads, reads_lost: ready.reads_lost }
    }

    fn report_persisted(&mut self) {
        if let Some(through) = self.unreported.take() {
            self.raft.persisted(Persisted { through });
        }
    }

    fn write(&mut self, ready: &Ready) {
        let Some(seq) = ready.write else {
            assert!(
                ready.hard_state.is_none() && ready.append.is_none() && ready.send_when_durable.is_empty()
            );
            return;
        };
        let entries = ready.append.map_or_else(Vec::new, |span| self.payloads(span));
        let send_when_durable = ready.send_when_durable.clone();
        self.disk.writes.push_back(Write { seq, hard_state: ready.hard_state, entries, send_when_durable });
    }

    fn payloads(&mut self, span: LogSpan) -> Vec<EntryMeta> {
        (span.first.0..=span.last.index.0).map(|index| self.payload(LogIndex(index))).collect()
    }

    /// The host's payload, which must be the one that consensus means. What consensus appends by itself nobody gave it, the
    /// no-op of a new leader and the configuration that leaves a joint one: the host makes them itself, even if the leader
    /// was deposed within the same turn.
    fn payload(&mut self, index: LogIndex) -> EntryMeta {
        let meant = self.raft.meta(index).expect("a span lies in the log");
        if meant.kind != EntryKind::Normal {
            self.tail.entry(index).or_insert_with(|| meant.clone());
        }
        assert_eq!(self.tail.get(&index), Some(&meant), "the host holds another entry than consensus");
        meant
    }

    fn apply(&mut self, span: LogSpan) -> Vec<EntryMeta> {
        assert_eq!(span.first, self.applied.next(), "an index is applied twice or skipped");
        self.applied = span.last.index;
        let entries: Vec<_> =
            (span.first.0..=span.last.index.0).map(|index| self.tail[&LogIndex(index)].clone()).collect();
        for entry in &entries {
            let on_disk = self.disk.entries.get(entry.position.index.prev().0 as usize);
            assert_eq!(on_disk, Some(entry), "applied before it was durable");
        }
        entries
    }

    /// Syncs the first `count` writes under way: their messages leave, the report waits for the next turn.
    pub(crate) fn sync(&mut self, count: usize) -> Vec<Outgoing> {
        let mut released = Vec::new();
        for _ in 0..count {
            let Some(write) = self.disk.writes.pop_front() else {
                break;
            };
            self.disk.put(&write);
            self.unreported = Some(write.seq);
            released.extend(write.send_when_durable);
        }
        released
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
