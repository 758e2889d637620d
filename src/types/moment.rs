//! Time as data: nobody below the runtime reads a clock.

use std::time::Duration;

/// Nanoseconds since the machine started, sleep included (`CLOCK_BOOTTIME`). Only the runtime's clock makes one;
/// the rest is arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `after` this one; the end of time if that is nearer.
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
