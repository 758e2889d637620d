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

/// Somebody who waits until a certain moment.
pub(super) trait Deadlined {
    /// When it stops waiting.
    fn deadline(&self) -> Moment;
}

/// A few who wait, in the order in which they came.
#[derive(Debug)]
pub(super) struct Waiters<T> {
    waiting: VecDeque<T>,
    earliest: EarliestDeadline,
}

impl<T: Deadlined> Waiters<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), earliest: EarliestDeadline::NONE }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, one: T) {
        self.earliest.note(one.deadline());
        self.waiting.push_back(one);
    }

    /// Takes those out for whom `is_wanted` is true, in their order.
    pub(super) fn take_if(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> VecDeque<T> {
        let (taken, left) = std::mem::take(&mut self.waiting).into_iter().partition(|one| is_wanted(one));
        self.waiting = left;
        taken
    }

    /// Takes out those whose deadline has passed.
    pub(super) fn expire(&mut self, now: Moment) -> VecDeque<T> {
        self.earliest.sweep(&mut self.waiting, now, T::deadline)
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> VecDeque<T> {
        self.take_if(|_| true)
    }
}

/// The earliest of `deadlines`.
impl FromIterator<Moment> for EarliestDeadline {
    fn from_iter<I: IntoIterator<Item = Moment>>(deadlines: I) -> Self {
        deadlines.into_iter().min().map_or(Self::NONE, Self)
    }
}
