//! When the next of many callers stops waiting.

use std::collections::VecDeque;

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

    /// Takes those out of `waiting` whose deadline has passed, in their order.
    pub(super) fn sweep<T>(
        &mut self,
        waiting: &mut VecDeque<T>,
        now: Moment,
        deadline_of: impl Fn(&T) -> Moment,
    ) -> VecDeque<T> {
        if !self.is_due(now) {
            return VecDeque::new();
        }
        let (late, left) = std::mem::take(waiting).into_iter().partition(|one| deadline_of(one) <= now);
        *waiting = left;
        *self = waiting.iter().map(deadline_of).collect();
        late
    }
}

/// The earliest of `deadlines`.
impl FromIterator<Moment> for EarliestDeadline {
    fn from_iter<I: IntoIterator<Item = Moment>>(deadlines: I) -> Self {
        deadlines.into_iter().min().map_or(Self::NONE, Self)
    }
}
