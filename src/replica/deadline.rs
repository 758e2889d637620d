//! When the next of many callers stops waiting.

use crate::types::Moment;

/// The earliest deadline of a set, or an earlier one that is gone already: a sweep is never late and rarely in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct EarliestDeadline(Moment);

impl EarliestDeadline {
    /// The earliest of no deadlines.
    pub(super) const NONE: Self = Self(Moment(u64::MAX));

    /// One more waits.
    pub(super) fn note(&mut self, deadline: Moment) {
        self.0 = self.0.min(deadline);
    }

    /// Whether somebody's deadline may have passed.
    pub(super) fn is_due(self, now: Moment) -> bool {
        self.0 <= now
    }
}

/// The earliest of `deadlines`.
impl FromIterator<Moment> for EarliestDeadline {
    fn from_iter<I: IntoIterator<Item = Moment>>(deadlines: I) -> Self {
        deadlines.into_iter().min().map_or(Self::NONE, Self)
    }
}
