//! The numbers of one session's commands: given out in order, given back when the answer has arrived or nobody waits for it
//! any more.
//!
//! A number that is out may still be sent, so its answer must be kept; all below the lowest of them are done with. How far
//! apart the lowest and the next may be is bounded: so many answers, at most, a session has kept for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// The numbers of one session, for many threads.
#[derive(Debug)]
pub(crate) struct Numbers {
    state: Mutex<State>,
    given_back: Condvar,
    unanswered_max: u64,
}

#[derive(Debug)]
struct State {
    next: u64,
    out: BTreeSet<u64>,
}

/// A number that is out. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Number {
    numbers: Arc<Numbers>,
    number: u64,
}

impl Numbers {
    /// At most `unanswered_max` numbers lie between the lowest that is out and the next.
    pub(crate) fn new(unanswered_max: u32) -> Arc<Self> {
        let state = State { next: 0, out: BTreeSet::new() };
        let unanswered_max = u64::from(unanswered_max);
        Arc::new(Self { state: Mutex::new(state), given_back: Condvar::new(), unanswered_max })
    }

    /// The next number; `None` if too many are out.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Number> {
        let number = self.state.lock().take(self.unanswered_max)?;
        Some(Number { numbers: Arc::clone(self), number })
    }

    /// The same, when it can be had; `None` if it cannot before `deadline`.
    pub(crate) fn take_until(self: &Arc<Self>, deadline: Instant) -> Option<Number> {
        let mut state = self.state.lock();
        let mut timed_out = false;
        let number = loop {
            match state.take(self.unanswered_max) {
                Some(number) => break number,
                None if timed_out => return None,
                None => timed_out = self.given_back.wait_until(&mut state, deadline).timed_out(),
            }
        };
        Some(Number { numbers: Arc::clone(self), number })
    }
}

impl State {
    fn answered_below(&self) -> u64 {
        self.out.first().copied().unwrap_or(self.next)
    }

    fn take(&mut self, unanswered_max: u64) -> Option<u64> {
        if self.next - self.answered_below() >= unanswered_max {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.out.insert(number);
        Some(number)
    }
}

impl Number {
    /// The number itself, and the lowest that is out, this one included.
    pub(crate) fn with_lowest(&self) -> (u64, u64) {
        (self.number, self.numbers.state.lock().answered_below())
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut state = self.numbers.state.lock();
        let was_lowest = state.answered_below() == self.number;
        state.out.remove(&self.number);
        drop(state);
        if was_lowest {
            self.numbers.given_back.notify_all();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a deadline that is over already")]
    fn over() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_is_below_the_lowest_that_is_out_is_answered() {
        let numbers = Numbers::new(10);
        let (first, second, third) =
            (numbers.take().unwrap(), numbers.take().unwrap(), numbers.take().unwrap());
        assert_eq!(third.with_lowest(), (2, 0));

        drop(second);
        assert_eq!(third.with_lowest(), (2, 0), "the first may still be sent");
        drop(first);
        assert_eq!(third.with_lowest(), (2, 2));

        drop(third);
        assert_eq!(numbers.take().unwrap().with_lowest(), (3, 3));
    }

    #[test]
    fn the_next_is_never_too_far_from_the_lowest() {
        let numbers = Numbers::new(2);
        let (first, second) = (numbers.take().unwrap(), numbers.take().unwrap());

        assert!(numbers.take().is_none());
        drop(second);
        assert!(numbers.take().is_none(), "the first holds it up");
        assert!(numbers.take_until(over()).is_none());
        drop(first);
        assert_eq!(numbers.take().unwrap().with_lowest(), (2, 2));
    }

    #[test]
    fn who_waits_for_a_number_gets_it_when_the_lowest_comes_back() {
        let numbers = Numbers::new(1);
        let first = numbers.take().unwrap();
        let waiting = std::thread::spawn({
            let numbers = Arc::clone(&numbers);
            move || numbers.take_until(over() + Duration::from_secs(60)).map(|number| number.with_lowest())
        });

        drop(first);

        assert_eq!(waiting.join().unwrap(), Some((1, 1)));
    }
}
