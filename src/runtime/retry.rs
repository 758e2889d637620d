//! Sending again what may be sent again: because it takes effect once, or because it certainly took none.
//!
//! What ended an attempt is waited out by what can change it: another leader, or commands that are applied and make room. Each
//! attempt has some elections' time, then twice as long, so that a cluster that is slow is not sent everything many
//! times.

use std::time::{Duration, Instant};

use super::clock::{later, until};
use super::running::Running;
use super::view::Facts;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::ticket::{Outcome, ProposeError};

/// The first attempt has so many election timeouts.
const FIRST_ATTEMPT_ELECTIONS: u32 = 4;
/// How long room is waited for at first, if nothing is applied meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How long at last.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What may be concluded for a request after all that was sent for it.
#[derive(Debug)]
pub(super) struct Fate {
    may_be_under_way: AtomicBool,
}

impl Fate {
    /// Nothing was sent.
    pub(super) fn new() -> Self {
        Self { may_be_under_way: AtomicBool::new(false) }
    }

    /// Something was sent of which nothing is known yet.
    pub(super) fn leave_open(&self) {
        self.may_be_under_way.store(true, Ordering::SeqCst);
    }

    fn learn(&self, error: &ProposeError) {
        if error.outcome() == Outcome::Unknown {
            self.leave_open();
        }
    }

    /// That the last attempt certainly took no effect says nothing of those before it.
    pub(super) fn judge(&self, error: ProposeError) -> ProposeError {
        match error {
            error if !self.may_be_under_way.load(Ordering::SeqCst) => error,
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
    let mut patience = running.election_timeout * FIRST_ATTEMPT_ELECTIONS;
    let mut pause = FIRST_PAUSE;
    loop {
        let before = running.view.facts();
        let error = match attempt(until(deadline).min(patience)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        fate.learn(&error);
        let Some(cure) = cure_of(&error, running) else { return Err(fate.judge(error)) };
        let has_changed = |facts: &Facts| match cure {
            Cure::None => true,
            Cure::AnotherLeader => (facts.term, facts.leader) != (before.term, before.leader),
            Cure::Room => facts.applied != before.applied,
        };
        let at_most = if cure == Cure::Room { pause } else { running.election_timeout };
        running.view.wait_until(deadline.min(later(at_most)), has_changed);
        if until(deadline).is_zero() {
            return Err(fate.judge(running.explain(error)));
        }
        (patience, pause) = (patience * 2, LONGEST_PAUSE.min(pause * 2));
    }
}

/// What must change before another attempt is worth it.
#[derive(Clone, Copy, PartialEq, Eq)]
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
