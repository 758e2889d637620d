//! Sending again what may be sent again: because it takes effect once, or because it certainly took none.
//!
//! What ended an attempt is waited out by what can change it: another leader, or commands that are applied and make room. Each
//! attempt has some elections' time; after one that used it up the next has twice as long, so that a cluster that is slow is not
//! sent everything many times. One that was refused at once took no time, and the next has no more.

use std::time::{Duration, Instant};

use super::clock::{later, until};
use super::running::Running;
use super::view::Facts;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::ticket::{Outcome, ProposeError};

/// The first attempt has so many election timeouts.
const FIRST_ATTEMPT_ELECTIONS: u32 = 4;
/// How long room is waited for at first, if nothing is applied meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How long at last.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What may be concluded for a request after all that was sent for it, from several threads perhaps.
#[derive(Debug)]
pub(super) struct Fate {
    /// Attempts that have not ended.
    under_way: AtomicUsize,
    /// Some attempt took effect, or nobody knows.
    may_be_applied: AtomicBool,
}

impl Fate {
    /// Nothing was sent.
    pub(super) fn new() -> Self {
        Self { under_way: AtomicUsize::new(0), may_be_applied: AtomicBool::new(false) }
    }

    /// Something was sent of which nothing is known yet.
    pub(super) fn leave_open(&self) {
        self.may_be_applied.store(true, Ordering::SeqCst);
    }

    /// One attempt, from its beginning to its end.
    fn attempt<T>(&self, run: impl FnOnce() -> Result<T, ProposeError>) -> Result<T, ProposeError> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let outcome = run();
        if outcome.as_ref().err().is_none_or(|error| error.outcome() == Outcome::Unknown) {
            self.leave_open();
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// That the last attempt certainly took no effect says nothing of those before it, nor of those beside it.
    pub(super) fn judge(&self, error: ProposeError) -> ProposeError {
        // In this order: an attempt says what it came to before it counts as ended.
        let is_open = self.under_way.load(Ordering::SeqCst) > 0 || self.may_be_applied.load(Ordering::SeqCst);
        match error {
            error if !is_open => error,
            error if error.outcome() == Outcome::Unknown => error,
            ProposeError::Stopped { cause, .. } => ProposeError::Stopped { cause, outcome: Outcome::Unknown },
            _ => ProposeError::Unknown,
        }
    }
}

/// Attempts until one succeeds, fails for good, or `deadline` comes. An attempt is told how long it may take.
pub(super) fn until_settled<T>(
    running: &Running,
    deadline: Instant,
    fate: &Fate,
    mut attempt: impl FnMut(Duration) -> Result<T, ProposeError>,
) -> Result<T, ProposeError> {
    let mut pace = Pace::new(running.election_timeout);
    loop {
        let before = running.view.facts();
        let error = match fate.attempt(|| attempt(until(deadline).min(pace.patience))) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(cure) = cure_of(&error, running) else { return Err(fate.judge(error)) };
        let has_changed = |facts: &Facts| match cure {
            Cure::None => true,
            Cure::AnotherLeader => (facts.term, facts.leader) != (before.term, before.leader),
            Cure::Room => facts.applied != before.applied,
        };
        let at_most = if cure == Cure::Room { pace.pause } else { running.election_timeout };
        running.view.wait_until(deadline.min(later(at_most)), has_changed);
        if until(deadline).is_zero() {
            return Err(fate.judge(running.explain(error)));
        }
        pace = pace.after(cure);
    }
}

/// How long the next attempt may take, and how long room is waited for after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    patience: Duration,
    pause: Duration,
}

impl Pace {
    fn new(election_timeout: Duration) -> Self {
        Self { patience: election_timeout.saturating_mul(FIRST_ATTEMPT_ELECTIONS), pause: FIRST_PAUSE }
    }

    /// After an attempt for which this would be the cure: without one, it had used up its time.
    fn after(self, cure: Cure) -> Self {
        match cure {
            Cure::None => Self { patience: self.patience.saturating_mul(2), ..self },
            Cure::AnotherLeader => self,
            Cure::Room => Self { pause: LONGEST_PAUSE.min(self.pause * 2), ..self },
        }
    }
}

/// What must change before another attempt is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    None,
    AnotherLeader,
    Room,
}

/// `None`: no other attempt would end otherwise.
fn cure_of(error: &ProposeError, running: &Running) -> Option<Cure> {
    match error {
        ProposeError::Unknown
        | ProposeError::Superseded
        | ProposeError::DeadlinePassed
        | ProposeError::NoLeader => Some(Cure::None),
        ProposeError::NotLeader { leader } if running.forwarding || leader.is_none() => {
            Some(Cure::AnotherLeader)
        }
        ProposeError::Busy => Some(Cure::Room),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Result<(), ProposeError> = Err(ProposeError::Busy);

    #[test]
    fn refusals_that_take_no_time_do_not_make_the_next_attempt_longer() {
        let first = Pace::new(Duration::from_millis(500));
        let refused = |pace: Pace, cure| (0..1000).fold(pace, |pace, _| pace.after(cure));

        assert_eq!(refused(first, Cure::Room), Pace { pause: LONGEST_PAUSE, ..first });
        assert_eq!(refused(first, Cure::AnotherLeader), first);
    }

    #[test]
    fn attempts_that_used_up_their_time_make_the_next_one_longer_without_end() {
        let first = Pace::new(Duration::from_millis(500));
        assert_eq!(first.after(Cure::None).patience, first.patience * 2);

        let last = (0..1000).fold(first, |pace, _| pace.after(Cure::None));
        assert_eq!(last.patience, Duration::MAX);
    }

    #[test]
    fn a_refusal_beside_an_attempt_that_is_under_way_concludes_nothing() {
        let fate = Fate::new();
        let beside = fate.attempt(|| {
            assert_eq!(fate.attempt(|| BUSY), BUSY);
            Err::<(), _>(fate.judge(ProposeError::Busy))
        });

        assert_eq!(beside, Err(ProposeError::Unknown));
    }

    #[test]
    fn a_refusal_after_an_answer_or_an_unknown_outcome_concludes_nothing() {
        for earlier in [Ok(()), Err(ProposeError::Unknown)] {
            let fate = Fate::new();
            assert_eq!(fate.judge(ProposeError::Busy), ProposeError::Busy);

            assert_eq!(fate.attempt(|| earlier.clone()), earlier);

            assert_eq!(fate.judge(ProposeError::Busy), ProposeError::Unknown);
        }
    }

    #[test]
    fn refusals_alone_are_no_doubt() {
        let fate = Fate::new();
        assert_eq!(fate.attempt(|| BUSY), BUSY);
        assert_eq!(fate.judge(ProposeError::NoLeader), ProposeError::NoLeader);
    }
}
