//! What has happened anywhere, ever: the laws are about all of it.

use std::collections::BTreeMap;

use quorate::consensus::{Raft, RoleName};
use quorate::types::{EntryKind, EntryMeta, HardState, LogIndex, NodeId, ReadId, Term};

use super::node::Node;
use super::state::State;

#[derive(Default)]
pub(crate) struct History {
    leaders: BTreeMap<Term, NodeId>,
    /// Committed entries, the first at index 1, each with the lowest term in which it is known to be committed.
    committed: Vec<(EntryMeta, Term)>,
    /// What a state machine holds after each of them.
    states: Vec<State>,
    /// Votes as they left a node.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// What each replica had reached when it was last looked at; forgotten when it crashes.
    reached: BTreeMap<NodeId, (Term, LogIndex)>,
    /// Where the cluster was when each read began.
    reads_open: BTreeMap<(u64, u64), LogIndex>,
    reads_answered: usize,
    /// Leaders that began in the middle of a change.
    leaders_under_joint: usize,
}

impl History {
    pub(crate) fn leaders(&self) -> usize {
        self.leaders.len()
    }

    pub(crate) fn committed(&self) -> usize {
        self.committed.len()
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads_answered
    }

    pub(crate) fn leaders_under_joint(&self) -> usize {
        self.leaders_under_joint
    }

    pub(crate) fn memberships(&self) -> usize {
        self.committed.iter().filter(|(entry, _)| matches!(entry.kind, EntryKind::Membership(_))).count()
    }

    pub(crate) fn commit(&self) -> LogIndex {
        LogIndex(self.committed.len() as u64)
    }

    pub(crate) fn crashed(&mut self, node: NodeId) {
        self.reached.remove(&node);
    }

    pub(crate) fn voted(&mut self, voter: NodeId, term: Term, candidate: NodeId) {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        assert_eq!(first, candidate, "node {voter} voted twice in term {term} (§5.2)");
    }

    pub(crate) fn read_began(&mut self, id: ReadId) {
        self.reads_open.insert((id.boot.0, id.request), self.commit());
    }

    pub(crate) fn read_answered(&mut self, id: ReadId, index: LogIndex) {
        let began_at = self.reads_open.remove(&(id.boot.0, id.request)).expect("a read is answered once");
        assert!(index >= began_at, "a read at {index} misses what was committed before it, up to {began_at}");
        self.reads_answered += 1;
    }

    pub(crate) fn read_lost(&mut self, id: ReadId) {
        self.reads_open
            .remove(&(id.boot.0, id.request))
            .expect("a read is lost once, and never after its answer");
    }

    /// What a state machine gets is what was committed.
    pub(crate) fn applied(&self, entries: &[EntryMeta]) {
        for entry in entries {
            let committed =
                self.committed.get(entry.position.index.prev().0 as usize).map(|(known, _)| known);
            assert_eq!(committed, Some(entry), "applied another entry than was committed");
        }
    }

    /// However a state machine got where it is, by entries or by snapshots of others, it holds what was committed.
    pub(crate) fn check_state(&self, node: &Node) {
        let held = node.state();
        let committed = held.through.index.0.checked_sub(1).map(|place| self.states[place as usize]);
        assert_eq!(held, committed.unwrap_or_default(), "node {} holds another state", node.raft.id());
    }

    /// After a step of `node`: what may have changed by it.
    pub(crate) fn check(&mut self, node: &Node, others: &[&Node]) {
        let raft = &node.raft;
        let known_commit = self.check_going_forward(raft);
        self.check_commit_after(known_commit, node, others);
        if raft.role() != RoleName::Leader {
            return;
        }
        let is_new = !self.leaders.contains_key(&raft.term());
        self.leaders_under_joint += usize::from(is_new && raft.membership().is_joint());
        let first = *self.leaders.entry(raft.term()).or_insert(raft.id());
        assert_eq!(first, raft.id(), "two leaders in term {} (§5.2)", raft.term());
        if is_new {
            self.check_leader_completeness(raft);
        }
    }

    /// Now and then, everything.
    pub(crate) fn check_all(&mut self, nodes: &[Node]) {
        for node in nodes {
            let others: Vec<_> = nodes.iter().filter(|other| other.raft.id() != node.raft.id()).collect();
            self.check_commit_after(LogIndex::ZERO, node, &others);
            self.check_memberships(&node.raft);
            for other in others {
                Self::check_log_matching(&node.raft, &other.raft);
            }
            if node.raft.role() == RoleName::Leader {
                self.check_leader_completeness(&node.raft);
            }
        }
    }

    /// The commit index when it was last looked at.
    fn check_going_forward(&mut self, raft: &Raft) -> LogIndex {
        let now = (raft.term(), raft.commit());
        let (term, commit) = self.reached.insert(raft.id(), now).unwrap_or_default();
        assert!(now.0 >= term, "the term of node {} goes back", raft.id());
        assert!(now.1 >= commit, "the commit of node {} goes back", raft.id());
        commit
    }

    /// What a node takes for committed is on the disks of a quorum of its configuration, and the same for ever.
    fn check_commit_after(&mut self, known: LogIndex, node: &Node, others: &[&Node]) {
        let raft = &node.raft;
        let compacted = raft.first_index().prev();
        assert!(compacted <= self.commit(), "compacted what was never committed");
        for index in known.max(compacted).next().0..=raft.commit().0 {
            let entry = raft.meta(LogIndex(index)).expect("committed entries are in the log");
            if let Some((known, _)) = self.committed.get(index as usize - 1) {
                assert_eq!(&entry, known, "a committed entry changed (§5.4)");
                continue;
            }
            let holds = |node: &&&Node| node.holds_durably(&entry);
            let holders: Vec<_> =
                others.iter().chain([&node]).filter(holds).map(|node| node.raft.id()).collect();
            // Whoever commits first is a leader, by the latest configuration in its log.
            let membership = raft.membership();
            for half in
                [membership.voters(), membership.outgoing()].into_iter().filter(|half| !half.is_empty())
            {
                let copies = half.iter().filter(|voter| holders.contains(voter)).count();
                assert!(
                    2 * copies > half.len(),
                    "entry {index} is committed with {copies} copies of {half:?}"
                );
            }
            let state = self.states.last().copied().unwrap_or_default();
            self.states.push(state.after(&entry));
            self.committed.push((entry, raft.term()));
        }
    }

    /// Every entry committed in an earlier term is in the log of each later leader.
    fn check_leader_completeness(&self, raft: &Raft) {
        for (entry, committed_in) in self.committed.iter().rev() {
            if *committed_in < raft.term() {
                let held = raft.meta(entry.position.index);
                let is_compacted = entry.position.index < raft.first_index();
                assert!(
                    is_compacted || held.as_ref() == Some(entry),
                    "a leader lacks a committed entry (§5.4)"
                );
            }
        }
    }

    /// One membership at a time: no log holds a second one beyond what is committed.
    fn check_memberships(&self, raft: &Raft) {
        let beyond =
            (self.commit().next().0..=raft.last().index.0).filter_map(|index| raft.meta(LogIndex(index)));
        let uncommitted = beyond.filter(|entry| matches!(entry.kind, EntryKind::Membership(_))).count();
        assert!(
            uncommitted <= 1,
            "node {} holds {uncommitted} memberships that are not committed",
            raft.id()
        );
    }

    /// Two logs that agree at a position agree on everything before it.
    fn check_log_matching(a: &Raft, b: &Raft) {
        let shared = a.last().index.min(b.last().index).0;
        let first = a.first_index().max(b.first_index()).0;
        let mut agreed = false;
        for index in (first..=shared).rev().map(LogIndex) {
            agreed |= a.term_at(index) == b.term_at(index);
            assert!(!agreed || a.meta(index) == b.meta(index), "logs differ before an equal entry (§5.3)");
        }
    }

    /// What a restarting node finds on disk never takes back a promise.
    pub(crate) fn check_vote_survived(&self, node: NodeId, found: HardState) {
        if let Some(&candidate) = self.votes.get(&(node, found.term)) {
            assert_eq!(found.voted_for, Some(candidate), "node {node} forgot its vote in a crash");
        }
        let later = self
            .votes
            .range((node, found.term)..)
            .find(|((voter, term), _)| *voter == node && *term > found.term);
        assert!(later.is_none(), "node {node} forgot the term in which it voted");
    }
}
