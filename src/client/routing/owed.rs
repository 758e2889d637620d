//! What a node owes on one connection. Requests are numbered there in the order in which they are sent, so that a number is
//! the id of a request, the place of its answer here, and the count of the frames before it.

use std::collections::VecDeque;
use std::time::Instant;

use super::calls::Key;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A caller.
    Call(Key),
    /// This client: it asked for a session.
    Session,
    /// This client: it asked for a sign of life.
    Sign,
    /// Nobody any more. The node owes it all the same.
    Nobody,
}

/// The answers that one node owes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The id of the first of `answers`.
    first: u64,
    /// `None` once it has come. The first one has not.
    answers: VecDeque<Option<Answer>>,
    /// How many have not come, and what their requests were counted with.
    count: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    to: To,
    /// What the request was counted with.
    bytes: usize,
    due: Instant,
}

impl Owed {
    /// One more request, of so many bytes, is sent: its id. Its answer comes before `due`, or something is wrong.
    pub(super) fn push(&mut self, to: To, bytes: usize, due: Instant) -> u64 {
        (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
        self.answers.push_back(Some(Answer { to, bytes, due }));
        self.first + self.answers.len() as u64 - 1
    }

    /// The answer to this request has come. `None` if it is not owed: never was, or not any more.
    pub(super) fn settle(&mut self, id: u64) -> Option<To> {
        let Answer { to, bytes, .. } = self.answer_mut(id)?.take()?;
        (self.count, self.bytes) = (self.count - 1, self.bytes - bytes);
        while let Some(None) = self.answers.front() {
            self.answers.pop_front();
            self.first += 1;
        }
        Some(to)
    }

    /// Whoever waited for this answer waits no longer.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(Some(answer)) = self.answer_mut(id) {
            answer.to = To::Nobody;
        }
    }

    fn answer_mut(&mut self, id: u64) -> Option<&mut Option<Answer>> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.answers.get_mut(at)
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// How many answers are owed.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What their requests were counted with.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// From the oldest request that is not answered to the newest: how many.
    pub(super) fn span(&self) -> usize {
        self.answers.len()
    }

    /// Whether an answer should have come before now.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.answers.iter().flatten().any(|answer| answer.due <= now)
    }

    /// All that never came, in the order in which it was asked for.
    pub(super) fn into_unsettled(self) -> impl DoubleEndedIterator<Item = (u64, To)> {
        let first = self.first;
        let numbered = self.answers.into_iter().enumerate();
        numbered.filter_map(move |(at, answer)| Some((first + at as u64, answer?.to)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::clock::now;

    #[test]
    fn each_answer_is_owed_once_in_whatever_order_they_come() {
        let (mut owed, due) = (Owed::default(), now());
        let ids: Vec<_> = (0..4).map(|_| owed.push(To::Session, 5, due)).collect();
        assert_eq!((ids, owed.span()), (vec![0, 1, 2, 3], 4));

        assert_eq!(owed.settle(4), None, "it was never asked for");
        for id in [2, 0, 1] {
            assert_eq!(owed.settle(id), Some(To::Session));
            assert_eq!(owed.settle(id), None, "it has come");
        }
        assert_eq!((owed.span(), owed.count(), owed.bytes()), (1, 1, 5));
        assert_eq!(owed.push(To::Sign, 7, due), 4);

        assert_eq!(owed.into_unsettled().collect::<Vec<_>>(), [(3, To::Session), (4, To::Sign)]);
    }

    #[test]
    fn what_nobody_waits_for_is_owed_all_the_same() {
        let (mut owed, now) = (Owed::default(), now());
        let id = owed.push(To::Session, 5, now + Duration::from_secs(1));

        owed.forget(id);

        assert!(!owed.is_empty() && !owed.is_late(now));
        assert!(owed.is_late(now + Duration::from_secs(1)));
        assert_eq!(owed.settle(id), Some(To::Nobody));
        assert!(owed.is_empty() && owed.count() == 0 && owed.bytes() == 0);
    }
}
