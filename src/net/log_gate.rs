//! Keeps strangers from filling the log: one line a second, which says how many were left out.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct LogGate {
    opens_at: Option<Instant>,
    left_out: u64,
}

impl LogGate {
    /// Whether a line may be written now; if so, how many were left out before it.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.opens_at.is_some_and(|at| now < at) {
            self.left_out += 1;
            return None;
        }
        self.opens_at = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.left_out))
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

        assert_eq!(gate.pass(start), Some(0));
        assert_eq!(gate.pass(start), None);
        assert_eq!(gate.pass(start + INTERVAL / 2), None);
        assert_eq!(gate.pass(start + INTERVAL), Some(2));
    }
}
