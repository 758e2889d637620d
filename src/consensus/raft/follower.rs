//! The follower's side of replication: §5.3.
//!
//! What a leader sends is believed as far as it fits: matching entries stay, the first that differs goes with all
//! behind it, and nothing at or below the commit index is ever touched.

use super::Raft;
use crate::consensus::promise::Promise;
use crate::consensus::role::{Follower, Role};
use crate::planted::{Bug, planted};
use crate::types::{
    Append, AppendAnswer, Body, EntryKind, EntryMeta, Heartbeat, HeartbeatAnswer, LogIndex, LogSlice,
    LogSpan, NodeId,
};

impl Raft {
    /// A leader of the current term speaks. Whether it is to be obeyed: a second leader in one term is not.
    pub(super) fn follow(&mut self, leader: NodeId) -> bool {
        match &self.role {
            Role::Follower(Follower { leader: Some(known), .. }) if *known == leader => {}
            Role::Leader(_) | Role::Follower(Follower { leader: Some(_), .. }) => {
                let known = self.leader().map_or(0, NodeId::get);
                log::error!(
                    "node {leader} claims to lead term {}, but node {known} does: not obeyed (§5.2)",
                    self.term()
                );
                return false;
            }
            _ => self.become_follower(Some(leader)),
        }
        self.timer.restart();
        if self.config.lease.is_some() {
            self.promise = Promise::for_ticks(self.config.election_ticks);
        }
        true
    }

    /// §5.3: appends what is new, after judging all of it. The entries that are now in the log, if there are new ones.
    pub(super) fn take_append(&mut self, leader: NodeId, append: &Append) -> Option<LogSpan> {
        let slice = &append.slice;
        if slice.last().term > self.term() {
            log::error!("ignored entries of node {leader}: {} is beyond its own term", slice.last());
            return None;
        }
        if !self.fits(slice) {
            self.reject(leader, slice);
            return None;
        }
        let new = self.first_new(slice);
        let kept = if planted(Bug::TruncatesCommitted) { LogIndex::ZERO } else { self.verified() };
        if let Some(at) = new.first().map(|entry| entry.position).filter(|at| at.index <= kept) {
            log::error!("node {leader} would overwrite what is committed or its own by {at}: refused (§5.4)");
            return None;
        }
        if new.first().is_some_and(founds_nothing) {
            log::error!("node {leader} sends a log that does not begin with its members: refused");
            return None;
        }
        let appended = self.replace_tail(new);
        self.verified_through(slice.last().index);
        self.commit_verified(append.commit);
        self.outbox.accept(leader, self.hard_state.term, self.verified());
        appended
    }

    /// A heartbeat tells what is committed, and asks how far we are. Each round is answered once: a repeated one only
    /// brings news of the commit.
    pub(super) fn take_heartbeat(&mut self, leader: NodeId, heartbeat: Heartbeat) {
        self.commit_verified(heartbeat.commit);
        let stable = self.writes.stable();
        let follower = self.follower();
        if heartbeat.round <= follower.answered {
            return;
        }
        follower.answered = heartbeat.round;
        let matched = follower.verified;
        let matched = if planted(Bug::HeartbeatClaimsUnsynced) { matched } else { matched.min(stable) };
        self.send(leader, Body::HeartbeatAnswer(HeartbeatAnswer { matched, round: heartbeat.round }));
    }

    /// The consistency check of §5.3. What lies before our log's start is committed, so it matches.
    fn fits(&self, slice: &LogSlice) -> bool {
        slice.prev().index < self.log.starts_after().index
            || self.log.contains(slice.prev())
            || (planted(Bug::AppendsBehindMismatch) && slice.prev().index <= self.log.last().index)
    }

    fn reject(&mut self, leader: NodeId, slice: &LogSlice) {
        let prev = slice.prev();
        if prev.index <= self.verified() {
            log::error!("node {leader} contradicts what is committed or its own by {prev}: refused (§5.3)");
            return;
        }
        let hint = self.log.last_not_after(prev.index, prev.term).unwrap_or(self.log.starts_after());
        self.send(leader, Body::AppendAnswer(AppendAnswer::Rejected { prev: prev.index, hint }));
    }

    /// The entries from the first one on that the log does not hold. What lies before its start it held; the entry at its
    /// start it knows by its term, so that nothing follows it that cannot.
    fn first_new<'a>(&self, slice: &'a LogSlice) -> &'a [EntryMeta] {
        let is_known = |entry: &EntryMeta| {
            let position = entry.position;
            let deletes = planted(Bug::DeletesMatching) || planted(Bug::TruncatesCommitted);
            position.index < self.log.starts_after().index || (self.log.contains(position) && !deletes)
        };
        let entries = slice.entries();
        let known = entries.iter().position(|entry| !is_known(entry)).unwrap_or(entries.len());
        &entries[known..]
    }

    /// Drops the entries that `new` contradicts, if any, and appends `new`.
    fn replace_tail(&mut self, new: &[EntryMeta]) -> Option<LogSpan> {
        let first = new.first()?.position.index;
        if first <= self.log.last().index {
            assert!(
                first > self.commit || planted(Bug::TruncatesCommitted),
                "truncated a committed entry (§5.4)"
            );
            self.log.truncate(first);
            self.writes.truncated(first);
        }
        self.log.extend(new);
        Some(LogSpan { first, last: self.log.last() })
    }

    pub(super) fn verified_through(&mut self, index: LogIndex) {
        let follower = self.follower();
        follower.verified = follower.verified.max(index);
    }

    /// §5.3: commits what the leader has, but only what is known to be the leader's.
    fn commit_verified(&mut self, leader_commit: LogIndex) {
        let known = if planted(Bug::CommitsUnverified) { self.log.last().index } else { self.verified() };
        self.commit = self.commit.max(leader_commit.min(known));
    }

    /// Up to here the log is known to equal the leader's: what is committed, and what it has sent in this term.
    pub(super) fn verified(&self) -> LogIndex {
        match &self.role {
            Role::Follower(follower) => follower.verified,
            _ => self.commit,
        }
    }

    fn follower(&mut self) -> &mut Follower {
        match &mut self.role {
            Role::Follower(follower) => follower,
            _ => unreachable!("only a follower listens to a leader"),
        }
    }
}

/// Every log begins with the founding membership: on one that does not, this replica would never start again.
fn founds_nothing(entry: &EntryMeta) -> bool {
    entry.position.index == LogIndex(1) && !matches!(entry.kind, EntryKind::Membership(_))
}
