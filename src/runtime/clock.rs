//! The one place that reads a clock, and the thread that ticks.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rustix::time::{ClockId, clock_gettime};

use crate::types::Moment;

/// The moment it is: `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// When a call that starts now stops waiting: as the engine counts it, and as the caller's own thread does.
pub(super) fn deadline_after(duration: Duration) -> (Moment, Instant) {
    (now().plus(duration), later(duration))
}

/// The caller's own clock, `duration` from now.
#[expect(clippy::disallowed_methods, reason = "callers sleep by the standard library's clock")]
pub(crate) fn later(duration: Duration) -> Instant {
    /// Longer than any process runs, and short enough to be added to any instant.
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + duration.min(FOREVER)
}

/// How long it is until `deadline`; zero once it has passed.
#[expect(clippy::disallowed_methods, reason = "callers sleep by the standard library's clock")]
pub(crate) fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Ticks until `stop` is dropped. A tick that the engine has not taken yet stands for the next ones too: the engine
/// counts by the clock, not by the ticks.
pub(super) fn run(interval: Duration, ticks: &Sender<()>, stop: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(interval) {
        let _ = ticks.try_send(());
    }
}

/// Counts whole ticks by the clock.
pub(crate) struct TickCounter {
    interval: Duration,
    last: Moment,
    /// A process that was stopped or a machine that slept reports no more than this many at once: what its peers sent
    /// meanwhile is still on its way, and must not be taken for silence.
    ticks_max: u32,
}

impl TickCounter {
    pub(crate) fn new(interval: Duration, ticks_max: u32, now: Moment) -> Self {
        Self { interval, last: now, ticks_max }
    }

    /// How many ticks have passed since this was last asked.
    pub(crate) fn elapsed(&mut self, now: Moment) -> u32 {
        let interval = self.interval.as_nanos().max(1);
        let ticks = now.since(self.last).as_nanos() / interval;
        let whole = Duration::from_nanos(u64::try_from(ticks * interval).unwrap_or(u64::MAX));
        self.last = self.last.plus(whole);
        u32::try_from(ticks).unwrap_or(u32::MAX).min(self.ticks_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_tick_is_kept_for_the_next_count() {
        let mut counter = TickCounter::new(Duration::from_nanos(10), 100, Moment(0));

        assert_eq!(counter.elapsed(Moment(25)), 2);
        assert_eq!(counter.elapsed(Moment(29)), 0);
        assert_eq!(counter.elapsed(Moment(30)), 1);
    }

    #[test]
    fn a_long_pause_counts_as_a_few_ticks() {
        let mut counter = TickCounter::new(Duration::from_nanos(10), 5, Moment(0));

        assert_eq!(counter.elapsed(Moment(1_000_000)), 5);
        assert_eq!(counter.elapsed(Moment(1_000_009)), 0);
    }
}
