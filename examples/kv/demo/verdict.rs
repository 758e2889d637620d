//! What the demo found, as a table.

use std::fmt;
use std::time::{Duration, Instant};

/// The figures of one run.
#[derive(Default)]
pub(crate) struct Verdict {
    /// Attempts of which nobody could say whether they took effect; their keys were written again.
    pub(crate) unknown: u64,
    /// Acknowledged keys that a node did not give back.
    pub(crate) lost: u64,
    took: Vec<Duration>,
    first: Option<Instant>,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Verdict {
    /// A key was acknowledged.
    pub(crate) fn acknowledge(&mut self, at: Instant, took: Duration) {
        self.took.push(took);
        self.first.get_or_insert(at);
        let last = self.last.unwrap_or(at);
        self.longest_gap = self.longest_gap.max(at.saturating_duration_since(last));
        self.last = Some(last.max(at));
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.took.len() as u64
    }

    fn writes_per_second(&self) -> u128 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0 };
        let nanos = last.saturating_duration_since(first).as_nanos().max(1);
        u128::from(self.acknowledged()) * 1_000_000_000 / nanos
    }

    /// The time within which so many out of a hundred writes were acknowledged.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure, unit) in [
            ("acknowledged", self.acknowledged().into(), ""),
            ("unknown", self.unknown.into(), ""),
            ("lost", self.lost.into(), ""),
            ("longest gap", self.longest_gap.as_millis(), " ms"),
            ("writes/s", self.writes_per_second(), ""),
            ("p50", self.percentile(50).as_micros(), " µs"),
            ("p99", self.percentile(99).as_micros(), " µs"),
        ] {
            writeln!(f, "  {name:<12} {figure:>9}{unit}")?;
        }
        let verdict =
            if self.lost == 0 { "every acknowledged key was read back through every node" } else { "FAILED" };
        write!(f, "lost {}: {verdict}", self.lost)
    }
}
