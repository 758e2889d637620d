//! Keeps strangers from filling the log: one line a second, which says how many were left out.

use std::fmt;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// What a line says of those that were left out before it: nothing if there were none.
pub(crate) struct LeftOut(u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " (and {} more like it)", self.0) }
    }
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct LogGate {
    opens_at: Option<Instant>,
    left_out: u64,
}

impl LogGate {
    /// Whether a line may be written now; if so, what it says of those that were left out before it.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<LeftOut> {
        if self.opens_at.is_some_and(|at| now < at) {
            self.left_out += 1;
            return None;
        }
        self.opens_at = Some(now + INTERVAL);
        Some(LeftOut(std::mem::take(&mut self.left_out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn one_line_a_second_says_how_many_were_left_out() {
        let start = clock::now();
        let mut gate = LogGate::default();

        let mut pass = |at| gate.pass(at).map(|left_out| left_out.to_string());

        assert_eq!(pass(start).as_deref(), Some(""));
        assert_eq!(pass(start), None);
        assert_eq!(pass(start + INTERVAL / 2), None);
        assert_eq!(pass(start + INTERVAL).as_deref(), Some(" (and 2 more like it)"));
    }
}
