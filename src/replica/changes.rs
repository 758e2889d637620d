//! Changes of the membership that were begun here, and who waits for them.
//!
//! A change is complete when its entry is committed and, if that enters a joint configuration, the entry that leaves it is
//! too. Who completes it does not matter: this node reads it from its own log, whoever leads.

use super::admin::{Asker, ChangeAnswer};
use super::deadline::{Deadlined, Waiters};
use crate::consensus::{Fate, Raft};
use crate::ticket::{ChangeError, Outcome, StopCause};
use crate::types::{ChangeReceipt, EntryKind, LogIndex, LogPosition, Moment, NodeId};

/// Those who wait for a change that is in the log.
#[derive(Debug)]
pub(super) struct Changes {
    begun: Waiters<Begun>,
}

#[derive(Debug)]
struct Begun {
    position: LogPosition,
    /// Its entry was seen to be committed: from then on a snapshot may cover it.
    is_committed: bool,
    asker: Asker<ChangeAnswer>,
}

/// What became of a change, and whom to tell.
pub(super) type Outcomes = Vec<(Asker<ChangeAnswer>, Result<ChangeReceipt, ChangeError>)>;

impl Changes {
    pub(super) fn new() -> Self {
        Self { begun: Waiters::new() }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// `asker` waits for the change that begins with the entry at `position`.
    pub(super) fn begin(&mut self, position: LogPosition, asker: Asker<ChangeAnswer>) {
        self.begun.push(Begun { position, is_committed: false, asker });
    }

    /// Those whose change is decided.
    pub(super) fn decided(&mut self, raft: &Raft) -> Outcomes {
        let mut outcomes = Vec::new();
        for mut begun in self.begun.take_all() {
            match begun.judge(raft) {
                Some(outcome) => outcomes.push((begun.asker, outcome)),
                None => self.begun.push(begun),
            }
        }
        outcomes
    }

    /// This node leads no more: the other nodes who asked it may learn the rest from their own logs.
    pub(super) fn give_up_peers(&mut self) -> impl Iterator<Item = (NodeId, u64)> {
        let theirs = self.begun.take_if(|begun| matches!(begun.asker, Asker::Peer { .. }));
        theirs.into_iter().filter_map(|begun| match begun.asker {
            Asker::Peer { node, request } => Some((node, request)),
            Asker::Here { .. } => None,
        })
    }

    /// Answers those whose deadline has passed: their changes go on. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let late = self.begun.expire(now);
        let count = late.len() as u64;
        for begun in late {
            begun.asker.answer_here(Err(ChangeError::Unknown));
        }
        count
    }

    /// The node stops.
    pub(super) fn stop(mut self, cause: &StopCause) {
        for begun in self.begun.take_all() {
            let error = ChangeError::Stopped { cause: cause.clone(), outcome: Outcome::Unknown };
            begun.asker.answer_here(Err(error));
        }
    }
}

impl Begun {
    fn judge(&mut self, raft: &Raft) -> Option<Result<ChangeReceipt, ChangeError>> {
        if !self.is_committed {
            match raft.fate(self.position) {
                Fate::Pending => return None,
                Fate::Superseded => return Some(Err(ChangeError::Superseded)),
                Fate::Compacted => return Some(Err(ChangeError::Unknown)),
                Fate::Committed => self.is_committed = true,
            }
        }
        let in_force = raft.membership_at(raft.commit())?;
        if in_force.is_joint() {
            return None;
        }
        let completing = first_simple(raft, self.position.index);
        let receipt = completing.or_else(|| {
            // A snapshot covers it: what it left is in force since then at the latest.
            let index = raft.membership_index().min(raft.commit());
            let position = LogPosition::new(raft.term_at(index)?, index);
            Some(ChangeReceipt { position, membership: in_force })
        });
        receipt.map(Ok)
    }
}

/// The first committed configuration from `first` on that is not joint.
fn first_simple(raft: &Raft, first: LogIndex) -> Option<ChangeReceipt> {
    let metas = (first.0..=raft.commit().0).map_while(|index| raft.meta(LogIndex(index)));
    let mut receipts = metas.filter_map(|meta| match meta.kind {
        EntryKind::Membership(membership) if !membership.is_joint() => {
            Some(ChangeReceipt { position: meta.position, membership })
        }
        _ => None,
    });
    receipts.next()
}

impl Deadlined for Begun {
    fn deadline(&self) -> Moment {
        self.asker.deadline()
    }
}
