//! How long the stages of a request take, measured on a few of them: at most one sample of each stage is under way.

use crate::consensus::{Raft, RoleName};
use crate::metrics::ReplicaMetrics;
use crate::types::{Append, LogIndex, LogSpan, Moment, NodeId, Term};

/// What is being measured.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Since when the oldest request of this turn has waited.
    queued: Option<Moment>,
    /// The last entry of an append, whose commit is awaited.
    appended: Option<(Term, LogIndex, Moment)>,
    /// An append to a peer, whose answer is awaited.
    sent: Option<(NodeId, LogIndex, Moment)>,
}

impl Stages {
    /// A request was taken up.
    pub(super) fn taken_up(&mut self, now: Moment) {
        self.queued.get_or_insert(now);
    }

    /// This leader appended `span`.
    pub(super) fn appended(&mut self, span: LogSpan, now: Moment, metrics: &ReplicaMetrics) {
        if let Some(since) = self.queued.take() {
            metrics.stage_queue.record(nanos(since, now));
        }
        self.appended.get_or_insert((span.last.term, span.last.index, now));
    }

    /// The requests of this turn went elsewhere.
    pub(super) fn not_appended(&mut self) {
        self.queued = None;
    }

    /// An append leaves for `peer`.
    pub(super) fn sent(&mut self, peer: NodeId, append: &Append, now: Moment) {
        if !append.slice.entries().is_empty() {
            self.sent.get_or_insert((peer, append.slice.last().index, now));
        }
    }

    /// What was under way to `peer` may be lost.
    pub(super) fn peer_lost(&mut self, peer: NodeId) {
        self.sent = self.sent.filter(|&(to, ..)| to != peer);
    }

    /// Records what has ended.
    pub(super) fn settle(&mut self, raft: &Raft, now: Moment, metrics: &ReplicaMetrics) {
        if raft.role() != RoleName::Leader {
            (self.appended, self.sent) = (None, None);
            return;
        }
        if let Some((term, index, since)) = self.appended
            && (term != raft.term() || index <= raft.commit())
        {
            self.appended = None;
            if term == raft.term() {
                metrics.stage_quorum.record(nanos(since, now));
            }
        }
        if let Some((peer, index, since)) = self.sent {
            match raft.progress(peer) {
                Some(progress) if progress.matched < index => {}
                Some(_) => {
                    self.sent = None;
                    metrics.stage_round_trip.record(nanos(since, now));
                }
                None => self.sent = None,
            }
        }
    }
}

fn nanos(since: Moment, now: Moment) -> u64 {
    u64::try_from(now.since(since).as_nanos()).unwrap_or(u64::MAX)
}
