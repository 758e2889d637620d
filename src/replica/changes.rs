//! Changes of the membership that were begun here, and who waits for them.
//!
//! A change is complete when its entry is committed and, if that enters a joint configuration, the entry that leaves it is
//! too. Who completes it does not matter: this node reads it from its own log, whoever leads. If it needs a first step, it
//! begins when the entry of that one is committed.

use super::admin::{Asker, ChangeAnswer, Wished};
use super::deadline::{Deadlined, Waiters};
use crate::consensus::{Fate, Raft};
use crate::ticket::{ChangeError, Outcome, StopCause};
use crate::types::{ChangeReceipt, ChangeRefused, EntryKind, LogIndex, LogPosition, Moment, NodeId};

/// Those who wait for a change that is in the log.
#[derive(Debug)]
pub(super) struct Changes {
    begun: Waiters<Begun>,
    preparing: Waiters<Preparing>,
}

/// A change that waits for its first step: new nodes become learners.
#[derive(Debug)]
struct Preparing {
    position: LogPosition,
    wished: Wished,
    /// One of them.
    lacks: NodeId,
}

/// A change whose first step is decided.
pub(super) struct Prepared {
    pub(super) wished: Wished,
    /// Why the change itself has to wait, if that step was done.
    pub(super) refused: Option<ChangeRefused>,
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
        Self { begun: Waiters::new(), preparing: Waiters::new() }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.preparing.is_empty()
    }

    /// `asker` waits for the change that begins with the entry at `position`.
    pub(super) fn begin(&mut self, position: LogPosition, asker: Asker<ChangeAnswer>) {
        self.begun.push(Begun { position, is_committed: false, asker });
    }

    /// The first step of what is `wished` is the entry at `position`, since the directory of `lacks` is not known.
    pub(super) fn prepare(&mut self, position: LogPosition, wished: Wished, lacks: NodeId) {
        self.preparing.push(Preparing { position, wished, lacks });
    }

    /// The changes whose first step is decided: if it was done they go on behind it, and else begin once more.
    pub(super) fn prepared(&mut self, raft: &Raft) -> Vec<Prepared> {
        let is_decided = |preparing: &Preparing| raft.fate(preparing.position) != Fate::Pending;
        let decided = self.preparing.take_if(is_decided);
        let tell = |preparing: Preparing| {
            let is_done = raft.fate(preparing.position) == Fate::Committed;
            let refused = is_done.then(|| preparing.refused());
            Prepared { wished: preparing.wished, refused }
        };
        decided.into_iter().map(tell).collect()
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

    /// This node leads no more: what other nodes wished, and was not begun but for its first step, others may begin.
    pub(super) fn give_up_preparing(&mut self) -> impl Iterator<Item = Asker<ChangeAnswer>> {
        let theirs = self.preparing.take_if(|preparing| preparing.wished.asker.is_peer());
        theirs.into_iter().map(|preparing| preparing.wished.asker)
    }

    /// This node leads no more: the other nodes who asked it may learn the rest from their own logs.
    pub(super) fn give_up_peers(&mut self) -> impl Iterator<Item = (NodeId, u64)> {
        let theirs = self.begun.take_if(|begun| begun.asker.is_peer());
        theirs.into_iter().filter_map(|begun| match begun.asker {
            Asker::Peer { node, request } => Some((node, request)),
            Asker::Here { .. } => None,
        })
    }

    /// Answers those whose deadline has passed: their changes go on. Gives their number.
    pub(super) fn expire(&mut self, now: Moment) -> u64 {
        let (late, not_begun) = (self.begun.expire(now), self.preparing.expire(now));
        let count = late.len() + not_begun.len();
        for begun in late {
            begun.asker.answer_here(Err(ChangeError::Unknown));
        }
        for preparing in not_begun {
            let refused = preparing.refused();
            preparing.wished.asker.answer_here(Err(ChangeError::Refused(refused)));
        }
        count as u64
    }

    /// The node stops.
    pub(super) fn stop(mut self, cause: &StopCause) {
        let begun = self.begun.take_all().into_iter().map(|begun| (begun.asker, Outcome::Unknown));
        let preparing = self.preparing.take_all().into_iter();
        let not_begun = preparing.map(|preparing| (preparing.wished.asker, Outcome::NotApplied));
        for (asker, outcome) in begun.chain(not_begun) {
            asker.answer_here(Err(ChangeError::Stopped { cause: cause.clone(), outcome }));
        }
    }
}

impl Preparing {
    fn refused(&self) -> ChangeRefused {
        ChangeRefused::UnknownDirectory { id: self.lacks, since: self.position.index }
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

impl Deadlined for Preparing {
    fn deadline(&self) -> Moment {
        self.wished.asker.deadline()
    }
}

impl Deadlined for Begun {
    fn deadline(&self) -> Moment {
        self.asker.deadline()
    }
}
