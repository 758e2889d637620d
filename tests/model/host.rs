//! One node: the real replica, and a host that keeps the contract of [`Ready`], or, as a mutant, breaks one clause of it.

use std::collections::VecDeque;

use quorate::consensus::{
    Outgoing, Persisted, Raft, RaftConfig, ReadReady, Ready, RestoreError, RoleName, WriteSeq,
};
use quorate::types::{
    Body, EntryKind, EntryMeta, HardState, LogIndex, LogPosition, LogSpan, Membership, Moment, NodeId,
    SnapshotId, SnapshotMeta,
};

use super::disk::{Disk, Write};
use super::mutants::Mutant;

/// Without leases nothing needs a clock.
pub(crate) const NOW: Moment = Moment(0);

#[derive(Clone, Debug, Hash)]
pub(crate) struct Node {
    pub(crate) raft: Raft,
    pub(crate) disk: Disk,
    pub(crate) writes: VecDeque<Write>,
    /// What the state machine holds.
    pub(crate) applied: LogPosition,
    /// The snapshot that is being fetched, and from whom.
    pub(crate) fetching: Option<(NodeId, SnapshotMeta)>,
}

/// What a step of a node gives to the world.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) sent: Vec<Outgoing>,
    pub(crate) applied: Vec<EntryMeta>,
    pub(crate) reads: Vec<ReadReady>,
    /// A snapshot took the place of the state machine's state.
    pub(crate) restored: bool,
}

impl Node {
    /// From what is durable, and from nothing else.
    pub(crate) fn start(config: RaftConfig, disk: Disk) -> Result<Self, RestoreError> {
        let restored = disk.restored();
        let applied = restored.applied;
        let raft = Raft::new(config, restored)?;
        Ok(Self { raft, disk, writes: VecDeque::new(), applied, fetching: None })
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft.role() == RoleName::Leader
    }

    /// How many parts of writes a crash may leave or take.
    pub(crate) fn pieces_under_way(&self) -> usize {
        self.writes.iter().map(|write| write.pieces().count()).sum()
    }

    /// A turn: takes what the replica asks for. Writes are under way afterwards, not done.
    pub(crate) fn turn(&mut self, mutant: Mutant, given: &mut Given) {
        if !self.raft.has_ready() {
            return;
        }
        let ready = self.raft.ready(NOW);
        assert!(!self.raft.has_ready(), "a turn leaves something undone");
        given.reads.extend_from_slice(&ready.reads);
        if let Some((from, snapshot)) = &ready.receive {
            self.fetching = Some((*from, snapshot.clone()));
        }
        self.write(&ready, mutant, given);
        given.sent.extend(ready.send);
        if let Some(snapshot) = ready.restore {
            self.applied = snapshot.position;
            given.restored = true;
        }
        if let Some(span) = ready.apply {
            assert_eq!(span.first, self.applied.index.next(), "an index is applied twice or skipped");
            given.applied.extend(self.metas(span));
            self.applied = span.last;
        }
    }

    fn write(&mut self, ready: &Ready, mutant: Mutant, given: &mut Given) {
        let Some(seq) = ready.write else {
            return;
        };
        let entries = ready.append.map_or_else(Vec::new, |span| self.metas(span));
        if mutant == Mutant::AppliesWhatIsAppended {
            given.applied.extend_from_slice(&entries);
        }
        let mut write = Write {
            seq: Some(seq),
            hard_state: ready.hard_state,
            restart: ready.restart.clone(),
            entries,
            release: None,
            send_when_durable: ready.send_when_durable.clone(),
        };
        if mutant == Mutant::SpeaksBeforeItIsDurable {
            given.sent.append(&mut write.send_when_durable);
        }
        if mutant == Mutant::ReportsBeforeItIsDurable {
            self.raft.persisted(Persisted { through: seq });
            write.seq = None;
        }
        if mutant == Mutant::ReportsWhatItNeverGot {
            self.raft.persisted(Persisted { through: WriteSeq(seq.0 + 1) });
        }
        self.writes.push_back(write);
    }

    fn metas(&self, span: LogSpan) -> Vec<EntryMeta> {
        let meta = |index| self.raft.meta(LogIndex(index)).expect("a span lies in the log");
        (span.first.0..=span.last.index.0).map(meta).collect()
    }

    /// Syncs the first write: its messages leave, and the replica learns of it.
    pub(crate) fn persist(&mut self, mutant: Mutant, given: &mut Given) {
        let Some(write) = self.writes.pop_front() else {
            return;
        };
        write.pieces().for_each(|piece| self.disk.put(piece, mutant));
        given.sent.extend(write.send_when_durable);
        if let Some(through) = write.seq {
            self.raft.persisted(Persisted { through });
        }
    }

    /// Comes back with what is durable and the first `survivors` parts of what was under way.
    pub(crate) fn crash(
        &self,
        config: RaftConfig,
        survivors: usize,
        mutant: Mutant,
    ) -> Result<Self, RestoreError> {
        let mut disk = self.disk.clone();
        let pieces = self.writes.iter().flat_map(Write::pieces);
        pieces.take(survivors).for_each(|piece| disk.put(piece, mutant));
        mutant.damage(&mut disk);
        Self::start(config, disk)
    }

    /// A picture of the state machine becomes durable, and the log is shortened up to it. Whether there was anything to do.
    pub(crate) fn take_snapshot(&mut self) -> bool {
        let position = self.applied;
        let newest = self.raft.snapshot().map_or(LogIndex::ZERO, |snapshot| snapshot.position.index);
        if position.index <= newest.max(LogIndex(1)) {
            return false;
        }
        let membership = self.raft.membership_at(position.index).expect("what is applied is in the log");
        // Two snapshots at one position hold the same: here they are the same.
        let id = SnapshotId(position.term.0 << 32 | position.index.0);
        let snapshot = SnapshotMeta { id, position, membership, bytes: 1 };
        self.disk.add_snapshot(snapshot.clone());
        self.raft.snapshot_saved(snapshot);
        if let Some(through) = self.raft.compactable(0) {
            let release = Some(self.raft.compact(through));
            self.writes.push_back(Write { release, ..Write::default() });
        }
        true
    }

    /// All of the snapshot that is being fetched is durable here.
    pub(crate) fn fetched(&mut self) {
        if let Some((_, snapshot)) = self.fetching.take() {
            self.disk.add_snapshot(snapshot.clone());
            self.raft.snapshot_received(&snapshot);
        }
    }

    /// Makes nodes that differ only in counts equal. Where time passes unseen, whoever leads was last heard long ago.
    pub(crate) fn forget_counts(&mut self, time_is_told: bool) {
        if !time_is_told {
            self.raft.miss_leader();
        }
        let lowered_by = self.raft.forget_counts();
        for seq in self.writes.iter_mut().filter_map(|write| write.seq.as_mut()) {
            seq.0 -= lowered_by;
        }
    }

    /// Up to here the node takes its log for committed.
    pub(crate) fn commit(&self, mutant: Mutant) -> LogIndex {
        if mutant == Mutant::CountsOldTerms {
            self.raft.commit().max(self.counted())
        } else {
            self.raft.commit()
        }
    }

    /// Up to where a majority holds the leader's log, of whatever term.
    fn counted(&self) -> LogIndex {
        if !self.leads() {
            return LogIndex::ZERO;
        }
        let matched = |&voter: &NodeId| {
            if voter == self.raft.id() {
                self.raft.stable()
            } else {
                self.raft.progress(voter).map_or(LogIndex::ZERO, |peer| peer.matched)
            }
        };
        let mut held: Vec<_> = self.raft.membership().voters().iter().map(matched).collect();
        held.sort_unstable();
        held[(held.len() - 1) / 2]
    }

    /// The log in memory.
    pub(crate) fn log(&self) -> impl Iterator<Item = EntryMeta> {
        let indexes = self.raft.first_index().0..=self.raft.last().index.0;
        indexes.filter_map(|index| self.raft.meta(LogIndex(index)))
    }
}

/// What a message promises in its sender's name: a term, and in it perhaps a vote.
pub(crate) fn promise_of(sender: NodeId, outgoing: &Outgoing) -> Option<HardState> {
    let term = outgoing.message.term;
    match outgoing.message.body {
        Body::PreVote { .. } | Body::PreVoteAnswer { granted: true } => None,
        Body::Vote { .. } => Some(HardState { term, voted_for: Some(sender) }),
        Body::VoteAnswer { granted: true } => Some(HardState { term, voted_for: Some(outgoing.to) }),
        _ => Some(HardState { term, voted_for: None }),
    }
}

/// Whether the entry changes who decides.
pub(crate) fn is_membership(entry: &EntryMeta) -> bool {
    matches!(entry.kind, EntryKind::Membership(_))
}

/// The entry that founds a group.
pub(crate) fn founding(members: Membership) -> EntryMeta {
    let position = LogPosition::new(quorate::types::Term::ZERO, LogIndex(1));
    let bytes = members.approximate_bytes();
    EntryMeta { position, bytes, kind: EntryKind::Membership(members.into()) }
}
