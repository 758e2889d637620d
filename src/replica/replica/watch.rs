//! What can be seen from outside: the status, the numbers, and the notices of what changed in a turn.

use std::sync::Arc;

use super::Replica;
use crate::consensus::{Raft, RoleName};
use crate::replica::{Jobs, Notice, PeerStatus, ReplicaConfig, ReplicaStatus};
use crate::types::{EntryKind, EntryMeta, LogIndex, Membership, NodeId, Term};

/// What was seen at the end of the last turn.
pub(super) struct Seen {
    term: Term,
    role: RoleName,
    leader: Option<NodeId>,
    commit: LogIndex,
    /// The entry of the last configuration that is known to be committed.
    membership: LogIndex,
    /// Whether a configuration has named this node ever.
    was_member: bool,
    /// Whether a committed one leaves it out since then.
    removed: bool,
}

impl Seen {
    /// At the start; `was_member` says whether the log names this node.
    pub(super) fn new(raft: &Raft, was_member: bool) -> Self {
        Self {
            term: raft.term(),
            role: raft.role(),
            leader: raft.leader(),
            commit: LogIndex::ZERO,
            membership: raft.membership_index().min(raft.commit()),
            was_member,
            removed: false,
        }
    }
}

/// Whether a configuration of the log, which began with `membership`, names this node.
pub(super) fn names(config: &ReplicaConfig, membership: Option<&Membership>, entries: &[EntryMeta]) -> bool {
    let in_log = entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Membership(membership) => Some(&**membership),
        _ => None,
    });
    membership.into_iter().chain(in_log).any(|membership| is_named(config, membership))
}

/// Of a node that joined, a configuration from before its time may name a former self with another data directory.
fn is_named(config: &ReplicaConfig, membership: &Membership) -> bool {
    membership.member(config.raft.id).is_some_and(|me| match me.incarnation {
        Some(incarnation) => incarnation == config.incarnation,
        None => !config.raft.joined,
    })
}

impl Replica {
    /// What it looks like from outside.
    pub(crate) fn status(&self) -> ReplicaStatus {
        let raft = &self.raft;
        let peer = |id| {
            let progress = raft.progress(id);
            let sent = self.serving.sent(id);
            let matched = progress.as_ref().map(|progress| progress.matched);
            PeerStatus {
                id,
                connected: self.incarnations.is_connected(id),
                matched,
                state: progress.map(|progress| progress.state),
                lag_bytes: matched.map(|matched| raft.bytes_between(matched, raft.last().index)),
                snapshot_sent_bytes: sent.map_or(0, |sent| sent.offset),
                snapshot_bytes: sent.map_or(0, |sent| sent.bytes),
            }
        };
        ReplicaStatus {
            id: raft.id(),
            role: raft.role(),
            term: raft.term(),
            leader: raft.leader(),
            commit: raft.commit(),
            applied: self.applying.applied(),
            first_index: raft.first_index(),
            last_index: raft.last().index,
            snapshot: self.snapshot_index(),
            removed: self.seen.removed,
            disk_full: self.disk_full,
            transferring_to: raft.transferring_to(),
            membership: Arc::clone(raft.membership()),
            membership_index: raft.membership_index().max(raft.commit()),
            peers: raft.membership().peers_of(raft.id()).map(peer).collect(),
        }
    }

    /// The numbers and notices of this turn.
    pub(super) fn watch(&mut self, jobs: &mut Jobs) {
        let (raft, metrics) = (&self.raft, &self.config.metrics);
        metrics.term.set(raft.term().0);
        metrics.leads.set(u64::from(raft.role() == RoleName::Leader));
        metrics.disk_full.set(u64::from(self.disk_full));
        metrics.last_index.set(raft.last().index.0);
        metrics.commit.set(raft.commit().0);
        metrics.applied.set(self.applying.applied().0);
        metrics.snapshot_index.set(self.snapshot_index().0);
        metrics.tail_bytes.set(self.tail.bytes());
        metrics.in_flight_bytes.set(self.in_flight().bytes);
        self.watch_roles(jobs);
        self.watch_membership(jobs);
    }

    /// The last entry in the newest snapshot.
    fn snapshot_index(&self) -> LogIndex {
        self.raft.snapshot().map_or(LogIndex::ZERO, |snapshot| snapshot.position.index)
    }

    fn watch_roles(&mut self, jobs: &mut Jobs) {
        let (term, role, leader) = (self.raft.term(), self.raft.role(), self.raft.leader());
        let before = (self.seen.term, self.seen.role, self.seen.leader);
        if before == (term, role, leader) {
            return;
        }
        (self.seen.term, self.seen.role, self.seen.leader) = (term, role, leader);
        let is_another_term = term != before.0;
        if role == RoleName::Candidate && (before.1 != role || is_another_term) {
            self.config.metrics.elections.increment();
        }
        if leader.is_some() && leader != before.2 {
            self.config.metrics.leader_changes.increment();
        }
        if role != before.1 || (role == RoleName::Leader && is_another_term) {
            jobs.notices.push(Notice::RoleChanged { role, term });
        }
        if leader != before.2 || (leader.is_some() && is_another_term) {
            jobs.notices.push(Notice::LeaderChanged { leader, term });
        }
    }

    fn watch_membership(&mut self, jobs: &mut Jobs) {
        let commit = self.raft.commit();
        if commit == self.seen.commit {
            return;
        }
        self.seen.commit = commit;
        let latest = self.raft.membership_index();
        let Some(membership) = self.raft.membership_at(commit) else { return };
        if latest <= commit && latest > self.seen.membership {
            self.seen.membership = latest;
            let membership = Arc::clone(&membership);
            jobs.notices.push(Notice::MembershipChanged { position: latest, membership });
        }
        self.seen.was_member |= is_named(&self.config, &membership);
        let removed = self.seen.was_member && !membership.contains(self.raft.id());
        if removed && !self.seen.removed {
            log::warn!("this node does not belong to its group any more");
            jobs.notices.push(Notice::Removed);
        }
        self.seen.removed = removed;
    }
}
