//! What has happened so far, as far as the laws must know it.

use std::sync::Arc;

use quorate::consensus::{Outgoing, ReadReady};
use quorate::types::{
    AppendAnswer, Body, EntryMeta, HardState, HeartbeatAnswer, LogIndex, Membership, NodeId, ReadId, Term,
};

use super::host::{Node, promise_of};
use super::laws::{Law, Laws, is_durable};
use super::mutants::Mutant;

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct History {
    /// Who led when, in the order in which it came about.
    pub(crate) leaders: Vec<(Term, NodeId)>,
    /// The highest term in which each node has spoken, and its vote in it, once that was spoken of.
    pub(crate) promised: [HardState; 3],
    /// What anybody has known to be committed, the first entry at index 1.
    pub(crate) committed: Vec<Committed>,
    /// Reads that wait, and how much was committed when they began.
    pub(crate) reads: Vec<(ReadId, LogIndex)>,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Committed {
    pub(crate) entry: EntryMeta,
    /// The term of who knew it first.
    pub(crate) in_term: Term,
    /// Of whose disks a quorum holds it.
    pub(crate) governing: Arc<Membership>,
}

impl History {
    pub(crate) fn commit(&self) -> LogIndex {
        LogIndex(self.committed.len() as u64)
    }

    /// A message leaves a node.
    pub(crate) fn spoke(&mut self, node: &Node, outgoing: &Outgoing, broken: &mut Laws) {
        let sender = node.raft.id();
        let Some(promise) = promise_of(sender, outgoing) else {
            return;
        };
        if !is_durable(node, promise, matched_by(&outgoing.message.body)) {
            broken.add(Law::SpokenIsDurable);
        }
        let promised = &mut self.promised[sender.get() as usize - 1];
        if promise.term > promised.term {
            *promised = promise;
            return;
        }
        if promise.term < promised.term {
            broken.add(Law::NothingGoesBack);
        }
        match (promise.voted_for, promised.voted_for) {
            (Some(_), None) if promise.term == promised.term => *promised = promise,
            (Some(vote), Some(first)) if promise.term == promised.term && vote != first => {
                broken.add(Law::OneVotePerTerm);
            }
            _ => {}
        }
    }

    /// A node may have begun to lead. Whether it has.
    pub(crate) fn saw_leader(&mut self, node: &Node, broken: &mut Laws) -> bool {
        if !node.leads() {
            return false;
        }
        let (term, leader) = (node.raft.term(), node.raft.id());
        match self.leaders.iter().find(|(led, _)| *led == term) {
            Some((_, first)) if *first == leader => false,
            Some(_) => {
                broken.add(Law::OneLeaderPerTerm);
                false
            }
            None => {
                self.leaders.push((term, leader));
                true
            }
        }
    }

    /// A node may know more to be committed, or, if a law is broken, something else.
    pub(crate) fn saw_commit(&mut self, node: &Node, mutant: Mutant, broken: &mut Laws) {
        let compacted = node.raft.first_index().prev();
        for index in compacted.next().0..=node.commit(mutant).0 {
            let entry = node.raft.meta(LogIndex(index)).expect("what is committed is in the log");
            match self.committed.get(index as usize - 1) {
                Some(known) if known.entry == entry => {}
                Some(_) => broken.add(Law::CommittedIsForever),
                None => self.commit_first(node, entry, broken),
            }
        }
        if compacted > self.commit() {
            broken.add(Law::CommittedIsForever);
        }
    }

    fn commit_first(&mut self, node: &Node, entry: EntryMeta, broken: &mut Laws) {
        let at = entry.position.index;
        if self.commit().next() != at {
            broken.add(Law::CommittedIsForever);
            return;
        }
        let governing = node.raft.membership_at(node.raft.commit()).expect("a log has a configuration");
        self.committed.push(Committed { entry, in_term: node.raft.term(), governing });
    }

    pub(crate) fn applied(&self, entries: &[EntryMeta], broken: &mut Laws) {
        for entry in entries {
            let committed = self.committed.get(entry.position.index.prev().0 as usize);
            if committed.is_none_or(|committed| committed.entry != *entry) {
                broken.add(Law::AppliedIsCommitted);
            }
        }
    }

    pub(crate) fn read_began(&mut self, id: ReadId) {
        self.reads.push((id, self.commit()));
    }

    /// Whether one was answered that began before.
    pub(crate) fn reads_answered(&mut self, reads: &[ReadReady], broken: &mut Laws) -> bool {
        let waiting = self.reads.len();
        for read in reads {
            let began_at = self.reads.iter().find(|(id, _)| *id == read.id).map(|&(_, index)| index);
            if began_at.is_some_and(|began_at| read.index < began_at) {
                broken.add(Law::ReadsAreFresh);
            }
            self.reads.retain(|(id, _)| *id != read.id);
        }
        self.reads.len() < waiting
    }
}

fn matched_by(body: &Body) -> Option<LogIndex> {
    match body {
        Body::AppendAnswer(AppendAnswer::Accepted { matched })
        | Body::HeartbeatAnswer(HeartbeatAnswer { matched, .. }) => Some(*matched),
        _ => None,
    }
}
