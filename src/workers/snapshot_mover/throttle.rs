//! A bucket of bytes that fills with time.

use std::time::Duration;

use crate::types::Moment;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// What may be saved up while nothing is sent: this part of a second's worth.
const SAVED_PARTS_OF_A_SECOND: u64 = 8;

/// Lets a number of bytes pass in a second.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    bytes_per_second: u64,
    bytes: u64,
    /// Up to when `bytes` were filled.
    filled_at: Moment,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), bytes: 0, filled_at: Moment(0) }
    }

    /// The most that passes at once.
    pub(super) fn burst(&self) -> u64 {
        (self.bytes_per_second / SAVED_PARTS_OF_A_SECOND).max(1)
    }

    /// Lets `bytes` pass, or not yet.
    ///
    /// # Panics
    /// If they are more than a [`Throttle::burst`].
    pub(super) fn pass(&mut self, bytes: u64, now: Moment) -> bool {
        assert!(bytes <= self.burst(), "more than ever passes at once is asked for");
        self.fill(now);
        let passes = bytes <= self.bytes;
        if passes {
            self.bytes -= bytes;
        }
        passes
    }

    /// When `bytes` will pass, if nothing else does.
    pub(super) fn passes_at(&self, bytes: u64) -> Moment {
        let missing = u128::from(bytes.saturating_sub(self.bytes));
        let nanos = (missing * NANOS_PER_SECOND).div_ceil(u128::from(self.bytes_per_second));
        self.filled_at.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn fill(&mut self, now: Moment) {
        let elapsed = now.since(self.filled_at).as_nanos();
        let come = elapsed * u128::from(self.bytes_per_second) / NANOS_PER_SECOND;
        // Less than a byte's worth of time stays for the next call: nothing is rounded away.
        if come > 0 {
            let come = u64::try_from(come).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(come).min(self.burst());
            let nanos = u128::from(come) * NANOS_PER_SECOND / u128::from(self.bytes_per_second);
            let filled_at =
                self.filled_at.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
            self.filled_at = filled_at.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn in_a_second_no_more_passes_than_is_allowed_and_no_less() {
        let mut throttle = Throttle::new(8_000);
        let mut now = Moment(0);
        let mut passed = 0;

        while now < Moment(0).plus(SECOND * 10) {
            assert!(!throttle.pass(1_000, now), "it passes before it is said to");
            now = throttle.passes_at(1_000);
            assert!(throttle.pass(1_000, now), "it does not pass when it is said to");
            passed += 1_000;
        }

        assert_eq!(passed, 80_000);
    }

    #[test]
    fn a_long_rest_saves_up_one_burst() {
        let mut throttle = Throttle::new(8_000);
        let after = Moment(0).plus(SECOND * 1_000);

        assert!(throttle.pass(1_000, after));
        assert!(!throttle.pass(1, after));
    }

    #[test]
    fn frequent_looks_round_nothing_away() {
        let mut throttle = Throttle::new(3);
        let passed = (0..=1_000).filter(|&look| throttle.pass(1, Moment(look * 10_000_000))).count();

        assert_eq!(passed, 30, "ten seconds");
    }
}
