//! What must hold in every state, however it came about.

use std::fmt;

use quorate::types::{EntryMeta, HardState, LogIndex, NodeId};

use super::history::Committed;
use super::host::{Node, is_membership};
use super::shared::Shared;

/// Figure 3 of the paper, and what disks, reads and membership changes add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Law {
    /// Election Safety: a term has one leader.
    OneLeaderPerTerm,
    /// A node votes for one candidate in a term, whatever crashes lie between.
    OneVotePerTerm,
    /// No node returns to an older term: in memory, on disk, or in what it says. Nor does its commit index, but by a crash.
    NothingGoesBack,
    /// What a node has promised is on its disk: terms, votes, entries that it accepted.
    SpokenIsDurable,
    /// Log Matching: two logs with the same entry at one position are equal up to there.
    LogMatching,
    /// Leader Completeness: a leader holds everything that was committed in terms before its own.
    LeaderCompleteness,
    /// State Machine Safety: a committed entry is the same for everyone, for ever.
    CommittedIsForever,
    /// A committed entry is on the disks of a quorum of the configuration that governs it, now and ever after.
    CommittedIsDurable,
    /// State machines get what is committed, and nothing else.
    AppliedIsCommitted,
    /// At most one configuration of any log is not committed.
    OneChangeAtATime,
    /// A read sees all that anybody knew to be committed when it began.
    ReadsAreFresh,
    /// What a crash leaves on the disk is a good start.
    DisksRestore,
    /// The replica never finds its own invariants broken.
    AssertionsHold,
}

/// A set of laws.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Laws(u16);

impl Laws {
    pub(crate) const ALL: Self = Self(u16::MAX);

    pub(crate) fn only(law: Law) -> Self {
        Self(1 << law as u16)
    }

    pub(crate) fn add(&mut self, law: Law) {
        self.0 |= 1 << law as u16;
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = Law> {
        use Law::{
            AppliedIsCommitted, AssertionsHold, CommittedIsDurable, CommittedIsForever, DisksRestore,
            LeaderCompleteness, LogMatching, NothingGoesBack, OneChangeAtATime, OneLeaderPerTerm,
            OneVotePerTerm, ReadsAreFresh, SpokenIsDurable,
        };
        let all = [
            OneLeaderPerTerm,
            OneVotePerTerm,
            NothingGoesBack,
            SpokenIsDurable,
            LogMatching,
            LeaderCompleteness,
            CommittedIsForever,
            CommittedIsDurable,
            AppliedIsCommitted,
            OneChangeAtATime,
            ReadsAreFresh,
            DisksRestore,
            AssertionsHold,
        ];
        all.into_iter().filter(move |&law| !self.and(Self::only(law)).is_empty())
    }
}

impl fmt::Debug for Laws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The laws that the nodes and what is known to be committed break now, where `changed` is the node that took a step.
pub(crate) fn broken_by(nodes: &[Shared<Node>; 3], changed: usize, committed: &[Committed]) -> Laws {
    let mut broken = Laws::default();
    let node = &nodes[changed];
    let others = nodes.iter().enumerate().filter(|&(place, _)| place != changed).map(|(_, other)| other);
    if others.clone().any(|other| !logs_match(node, other)) {
        broken.add(Law::LogMatching);
    }
    if nodes.iter().any(|leader| leader.leads() && !is_complete(leader, committed)) {
        broken.add(Law::LeaderCompleteness);
    }
    if !committed.iter().all(|committed| is_on_a_quorum(committed, nodes)) {
        broken.add(Law::CommittedIsDurable);
    }
    let open = node.log().filter(|entry| entry.position.index.0 > committed.len() as u64);
    if open.filter(is_membership).count() > 1 {
        broken.add(Law::OneChangeAtATime);
    }
    broken
}

/// Memory and disk of the one against memory and disk of the other.
fn logs_match(node: &Node, other: &Node) -> bool {
    let (memory, disk): (Vec<_>, _) = (node.log().collect(), &node.disk.entries);
    let (their_memory, their_disk): (Vec<_>, _) = (other.log().collect(), &other.disk.entries);
    let pairs = [(&memory, &their_memory), (&memory, their_disk), (disk, &their_memory), (disk, their_disk)];
    pairs.into_iter().all(|(one, other)| entries_match(one, other))
}

/// §5.3: from the last position that both have down to where one of them begins.
fn entries_match(one: &[EntryMeta], other: &[EntryMeta]) -> bool {
    let (Some(first), Some(others_first)) = (one.first(), other.first()) else {
        return true;
    };
    let begin = first.position.index.max(others_first.position.index);
    let ones = one.iter().skip_while(|entry| entry.position.index < begin);
    let others = other.iter().skip_while(|entry| entry.position.index < begin);
    let pairs: Vec<_> = ones.zip(others).collect();
    let shared = pairs.iter().rposition(|(one, other)| one.position == other.position);
    shared.is_none_or(|last| pairs[..=last].iter().all(|(one, other)| one == other))
}

fn is_complete(leader: &Node, committed: &[Committed]) -> bool {
    let of_earlier_terms = committed.iter().filter(|committed| committed.in_term < leader.raft.term());
    of_earlier_terms.map(|committed| &committed.entry).all(|entry| {
        entry.position.index < leader.raft.first_index()
            || leader.raft.meta(entry.position.index).as_ref() == Some(entry)
    })
}

fn is_on_a_quorum(committed: &Committed, nodes: &[Shared<Node>; 3]) -> bool {
    let holds = |voter: &&NodeId| nodes[voter.get() as usize - 1].disk.holds(&committed.entry);
    let halves = [committed.governing.voters(), committed.governing.outgoing()];
    halves.iter().all(|half| half.is_empty() || 2 * half.iter().filter(holds).count() > half.len())
}

/// Whether what a node has reached lies behind where it was.
pub(crate) fn goes_back(before: &Node, after: &Node, promised: HardState, crashed: bool) -> bool {
    let disk_went_back = after.disk.hard_state.term < before.disk.hard_state.term;
    let term_went_back = after.raft.term() < if crashed { promised.term } else { before.raft.term() };
    disk_went_back || term_went_back || (!crashed && after.raft.commit() < before.raft.commit())
}

/// Whether the promise, and the entries that are said to be held up to `matched`, are on the node's disk.
pub(crate) fn is_durable(node: &Node, promise: HardState, matched: Option<LogIndex>) -> bool {
    let durable = node.disk.hard_state;
    let vote_is_durable = promise.voted_for.is_none() || promise.voted_for == durable.voted_for;
    let is_promised = durable.term > promise.term || (durable.term == promise.term && vote_is_durable);
    is_promised && matched.is_none_or(|matched| matched <= node.disk.last().index)
}
