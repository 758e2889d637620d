//! The end of a turn: everything the inputs led to, as one [`Ready`]; and what comes back from the disk.

use super::Raft;
use crate::consensus::{Outgoing, Persisted, Ready};
use crate::types::{Body, LogSpan, Message, Moment, NodeId, SnapshotMeta, Term};

impl Raft {
    /// The host made writes durable: own vote and own match count from now on, and from nothing else.
    pub fn persisted(&mut self, done: Persisted) {
        self.writes.persisted(done);
        self.count_own_vote_if_durable();
        self.advance_commit();
        self.assert_invariants();
    }

    /// Whether [`Raft::ready`] would ask for anything.
    pub fn has_ready(&self) -> bool {
        !self.outbox.is_empty()
            || self.writes.misses(self.hard_state)
            || self.writes.unwritten_restart().is_some()
            || self.writes.is_restored()
            || self.writes.unwritten_from() <= self.log.last().index
            || self.applicable().is_some()
            || self.wants_to_send_as_leader()
    }

    /// Takes all that this turn asks of the host. `now` dates the rounds of heartbeats that leave with it: a lease begins
    /// there.
    pub fn ready(&mut self, now: Moment) -> Ready {
        self.send_as_leader(now);
        self.outbox.hold_back_terms_after(self.writes.durable().term);
        let outbox = std::mem::take(&mut self.outbox);
        let hard_state = self.writes.misses(self.hard_state).then_some(self.hard_state);
        let restart = self.writes.unwritten_restart().cloned();
        let append = self.unwritten();
        let must_write = hard_state.is_some()
            || restart.is_some()
            || append.is_some()
            || !outbox.send_when_durable.is_empty();
        let write = must_write.then(|| self.writes.hand_over(hard_state, self.log.last().index));
        let (restore, apply) = self.hand_to_apply();
        self.assert_invariants();
        Ready {
            send: outbox.send,
            write,
            hard_state,
            restart,
            append,
            send_when_durable: outbox.send_when_durable,
            restore,
            apply,
            reads: outbox.reads,
            reads_lost: outbox.reads_lost,
            receive: outbox.receive,
        }
    }

    /// What the state machine gets: a snapshot whose restart of the log is durable, then what is committed and durable.
    fn hand_to_apply(&mut self) -> (Option<SnapshotMeta>, Option<LogSpan>) {
        let restore = self.writes.take_restored();
        if let Some(snapshot) = &restore {
            self.handed_to_apply = snapshot.position.index;
        }
        let apply = self.applicable();
        self.handed_to_apply = apply.map_or(self.handed_to_apply, |span| span.last.index);
        (restore, apply)
    }

    /// The entries that are in no write yet.
    fn unwritten(&self) -> Option<LogSpan> {
        let (first, last) = (self.writes.unwritten_from(), self.log.last());
        (first <= last.index).then_some(LogSpan { first, last })
    }

    /// The entries that are committed, durable here, and not handed over yet. None while the log begins behind a snapshot
    /// and that is not durable.
    fn applicable(&self) -> Option<LogSpan> {
        let first = self.handed_to_apply.next();
        let last = self.log.position_at(self.commit.min(self.writes.stable()))?;
        (first <= last.index).then_some(LogSpan { first, last })
    }

    pub(super) fn outgoing(to: NodeId, term: Term, body: Body) -> Outgoing {
        Outgoing { to, message: Message { term, body } }
    }
}
