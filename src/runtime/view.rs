//! What the engine shows to those who wait for it to change: the leader, what is applied, the end.

use std::time::Instant;

use crate::replica::ReplicaStatus;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::types::{LogIndex, NodeId, Term};

/// The facts that callers wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) term: Term,
    pub(super) leader: Option<NodeId>,
    pub(super) applied: LogIndex,
    /// The engine is gone: nothing changes any more.
    pub(super) ended: bool,
}

/// Written by the engine after a turn, read by callers who wait. The engine takes the lock only when something that
/// somebody may wait for has changed.
#[derive(Debug)]
pub(super) struct View {
    facts: Mutex<Facts>,
    /// The status at the start, and at the end.
    status: Mutex<ReplicaStatus>,
    changed: Condvar,
    waiting: AtomicUsize,
}

impl View {
    pub(super) fn new(status: ReplicaStatus) -> Self {
        Self {
            facts: Mutex::default(),
            status: Mutex::new(status),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Shows new facts. `shown` is what the engine showed last.
    pub(super) fn show(&self, shown: &mut Facts, facts: Facts) {
        let only_applied = Facts { applied: shown.applied, ..facts } == *shown;
        if facts == *shown || (only_applied && !self.somebody_waits()) {
            return;
        }
        *self.facts.lock() = facts;
        *shown = facts;
        // Asked only now: who had looked at the old facts is counted since before that, and who was not counted yet when
        // the lock was taken sees the new ones.
        if self.somebody_waits() {
            self.changed.notify_all();
        }
    }

    fn somebody_waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The facts as they were shown last.
    pub(super) fn facts(&self) -> Facts {
        *self.facts.lock()
    }

    /// Who leads, as far as the engine knew after its last turn.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.facts.lock().leader
    }

    /// Shows the end: nothing changes any more.
    pub(super) fn end(&self, status: ReplicaStatus) {
        *self.status.lock() = status;
        let mut facts = self.facts.lock();
        *facts = Facts { leader: None, ended: true, ..*facts };
        self.changed.notify_all();
    }

    /// The status at the end, or while there is none, that at the start.
    pub(super) fn last_status(&self) -> ReplicaStatus {
        self.status.lock().clone()
    }

    /// Waits until `enough` says so, the engine ends, or `deadline` comes. `None` at the deadline.
    pub(super) fn wait_until(&self, deadline: Instant, enough: impl Fn(&Facts) -> bool) -> Option<Facts> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut facts = self.facts.lock();
        let mut timed_out = false;
        while !enough(&facts) && !facts.ended && !timed_out {
            timed_out = self.changed.wait_until(&mut facts, deadline).timed_out();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        (enough(&facts) || facts.ended).then_some(*facts)
    }
}
