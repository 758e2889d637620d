//! A replica, its host and its disk. The host keeps payloads only by the spans that consensus tells it, as a real one
//! does; the disk loses on a crash what was not synced.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate::consensus::{Outgoing, Persisted, Raft, RaftConfig, ReadReady, Ready, WriteSeq};
use quorate::types::{
    AppendAnswer, Body, Boot, EntryKind, EntryMeta, HardState, LogIndex, LogPosition, LogSpan, Membership,
    MembershipChange, Message, Moment, NodeId, ReadId, SnapshotId, SnapshotMeta, Term,
};

use super::disk::{Disk, Snapshot, Write};
use super::state::State;

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
    /// The state machine.
    state: State,
    /// Being written out.
    saving: Option<Snapshot>,
    /// Being fetched, and how many pieces are still missing.
    fetching: Option<(NodeId, SnapshotMeta, u32)>,
    /// On disk, and the replica does not know it yet.
    received: Option<SnapshotMeta>,
    boot: u64,
    requests: u64,
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
        Self::start(config, Disk::founded(founding), 0)
    }

    fn start(config: RaftConfig, disk: Disk, boot: u64) -> Self {
        let (restored, state) = disk.restored();
        let tail = disk.entries().iter().map(|entry| (entry.position.index, entry.clone())).collect();
        let raft = Raft::new(config, restored).expect("the disk holds what a replica wrote");
        Self {
            raft,
            disk,
            tail,
            unreported: None,
            state,
            saving: None,
            fetching: None,
            received: None,
            boot,
            requests: 0,
        }
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

    pub(crate) fn hard_state(&self) -> HardState {
        self.disk.hard_state
    }

    /// Whether it would still have the entry after a crash, in its log or covered by a snapshot.
    pub(crate) fn holds_durably(&self, entry: &EntryMeta) -> bool {
        self.disk.holds(entry)
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Takes a picture of the state machine, or finishes writing out the one that was taken. Whether one was finished.
    pub(crate) fn save_snapshot(&mut self, id: SnapshotId) -> bool {
        if let Some(snapshot) = self.saving.take() {
            self.disk.add_snapshot(snapshot.clone());
            self.raft.snapshot_saved(snapshot.meta);
            return true;
        }
        let position = self.state.through;
        if position.index > LogIndex::ZERO
            && let Some(membership) = self.raft.membership_at(position.index)
        {
            let meta = SnapshotMeta { id, position, membership, bytes: 1 };
            self.saving = Some(Snapshot { meta, state: self.state });
        }
        false
    }

    /// Whether there was something to compact.
    pub(crate) fn compact(&mut self, trailing: u64) -> bool {
        let Some(through) = self.raft.compactable(trailing) else {
            return false;
        };
        let (position, membership) = self.raft.compact(through);
        assert_eq!((position.index, self.raft.first_index()), (through, through.next()));
        self.tail = self.tail.split_off(&through.next());
        self.disk.writes.push_back(Write { release: Some((position, membership)), ..Write::default() });
        true
    }

    /// From whom it fetches which snapshot now.
    pub(crate) fn fetches(&self) -> Option<(NodeId, SnapshotId)> {
        self.fetching.as_ref().map(|(from, meta, _)| (*from, meta.id))
    }

    /// The snapshot, if it still holds it.
    pub(crate) fn serve(&self, id: SnapshotId) -> Option<Snapshot> {
        self.disk.snapshot(id).cloned()
    }

    /// A piece of the snapshot arrived, or the news that the source does not hold it any more.
    pub(crate) fn take_piece(&mut self, snapshot: Option<Snapshot>) {
        let (Some(snapshot), Some((from, meta, missing))) = (snapshot, self.fetching.take()) else {
            return;
        };
        if missing > 1 {
            self.fetching = Some((from, meta, missing - 1));
        } else {
            self.received = Some(snapshot.meta.clone());
            self.disk.add_snapshot(snapshot);
        }
    }

    /// The state machine stores its own state.
    pub(crate) fn store_state(&mut self) {
        self.disk.machine = self.state;
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
        if let Some(snapshot) = self.received.take()
            && self.raft.snapshot_received(&snapshot)
        {
            self.tail.clear();
        }
        let ready = self.raft.ready(NOW);
        assert!(!self.raft.has_ready(), "a turn leaves something undone");
        let durable = self.disk.hard_state.term;
        for outgoing in &ready.send {
            assert!(promises_nothing(outgoing, durable), "{outgoing:?} leaves before it is durable");
        }
        self.write(&ready);
        if let Some((from, snapshot)) = ready.receive
            && self.fetching.as_ref().is_none_or(|(_, fetched, _)| fetched.id != snapshot.id)
        {
            self.fetching = Some((from, snapshot, 3));
        }
        if let Some(snapshot) = &ready.restore {
            let starts_after = self.disk.starts_after().index;
            assert!(starts_after >= snapshot.position.index, "restored before the log begins there durably");
            self.state = self.disk.snapshot(snapshot.id).expect("its restart is durable, so is it").state;
        }
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
                ready.hard_state.is_none()
                    && ready.restart.is_none()
                    && ready.append.is_none()
                    && ready.send_when_durable.is_empty()
            );
            return;
        };
        let entries = ready.append.map_or_else(Vec::new, |span| self.payloads(span));
        let send_when_durable = ready.send_when_durable.clone();
        self.disk.writes.push_back(Write {
            seq: Some(seq),
            hard_state: ready.hard_state,
            restart: ready.restart.clone(),
            entries,
            release: None,
            send_when_durable,
        });
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
        assert_eq!(span.first, self.state.through.index.next(), "an index is applied twice or skipped");
        let entries: Vec<_> =
            (span.first.0..=span.last.index.0).map(|index| self.tail[&LogIndex(index)].clone()).collect();
        for entry in &entries {
            let on_disk = self.disk.entry(entry.position.index);
            assert_eq!(on_disk, Some(entry), "applied before it was durable");
            self.state = self.state.after(entry);
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
            self.unreported = write.seq.or(self.unreported);
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
