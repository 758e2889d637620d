//! What a search came across: a world in which nothing happens breaks no law either.

use std::fmt;

/// Something worth checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A second leader, in a later term than the first.
    Succession,
    /// A proposal is committed.
    ProposalCommitted,
    /// An entry is committed in a later term than its own.
    OldEntryCommitted,
    /// Entries of a log are dropped for others.
    LogReplaced,
    /// A crash takes what was under way to the disk.
    WriteLost,
    /// A snapshot takes the place of a log.
    SnapshotInstalled,
    /// A read is answered.
    ReadAnswered,
    /// A configuration beyond the founding one is committed.
    ChangeCommitted,
    /// Somebody begins to lead in a joint configuration.
    LedInJoint,
    /// Somebody begins to lead because the leader asked for it.
    TookOver,
}

/// A set of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sights(u16);

impl Sights {
    pub(crate) fn of(sights: &[Sight]) -> Self {
        Self(sights.iter().fold(0, |all, &sight| all | 1 << sight as u16))
    }

    pub(crate) fn add_if(&mut self, seen: bool, sight: Sight) {
        self.0 |= u16::from(seen) << sight as u16;
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of `self` that `other` lacks.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = Sight> {
        use Sight::{
            ChangeCommitted, LedInJoint, LogReplaced, OldEntryCommitted, ProposalCommitted, ReadAnswered,
            SnapshotInstalled, Succession, TookOver, WriteLost,
        };
        let all = [
            Succession,
            ProposalCommitted,
            OldEntryCommitted,
            LogReplaced,
            WriteLost,
            SnapshotInstalled,
            ReadAnswered,
            ChangeCommitted,
            LedInJoint,
            TookOver,
        ];
        all.into_iter().filter(move |&sight| self.has(sight))
    }

    fn has(self, sight: Sight) -> bool {
        Self::of(&[sight]).without(self).is_empty()
    }
}

impl fmt::Debug for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
