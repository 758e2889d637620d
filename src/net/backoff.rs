//! How long to wait before the next dial: twice as long after each failure, never exactly alike on two nodes.

use std::time::Duration;

/// The first wait.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest wait; a connection that lived this long has earned a fresh start.
pub(super) const LONGEST: Duration = Duration::from_secs(2);
/// The wait after a refusal: only a person can change what caused it.
pub(super) const AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// The waits between dials to one peer.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    jitter: Jitter,
}

impl Backoff {
    /// `seed` owns chance: give each peer its own.
    pub(crate) fn new(seed: u64) -> Self {
        Self { next: SHORTEST, jitter: Jitter::new(seed) }
    }

    /// How long to wait now. The next wait will be twice as long, at most [`LONGEST`].
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.jitter.spread(self.next);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// How long to wait after a refusal.
    pub(crate) fn wait_after_refusal(&mut self) -> Duration {
        self.jitter.spread(AFTER_REFUSAL)
    }

    /// The peer was there: the next failure waits as briefly as the first.
    pub(crate) fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

/// splitmix64: enough chance for jitter, and the same for the same seed.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// `seed` owns chance.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between half of `wait` and all of it, so that those who lost each other at once do not return at once.
    pub(crate) fn spread(&mut self, wait: Duration) -> Duration {
        let half = wait / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(self.next() % micros)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_lies_between_half_and_all_of_a_doubling_span() {
        let mut backoff = Backoff::new(7);

        for span in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let span = Duration::from_millis(span);
            let wait = backoff.wait();
            assert!(span / 2 <= wait && wait < span, "{wait:?} of {span:?}");
        }
    }

    #[test]
    fn a_peer_that_was_there_is_soon_tried_again() {
        let mut backoff = Backoff::new(7);
        assert!((0..9).map(|_| backoff.wait()).any(|wait| wait > SHORTEST));

        backoff.reset();

        assert!(backoff.wait() < SHORTEST);
    }

    #[test]
    fn different_seeds_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            [backoff.wait(), backoff.wait(), backoff.wait()]
        };

        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
