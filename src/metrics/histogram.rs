//! How long something took, as a distribution: a fixed number of buckets, each a fifth wider than the one before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The shortest time that is told apart, as a power of two in nanoseconds: about a microsecond.
const FIRST_OCTAVE: u32 = 10;
/// The longest, likewise: about 69 seconds.
const LAST_OCTAVE: u32 = 36;
/// Four buckets for each doubling, as a power of two: a quantile is exact to a fifth.
const STEPS_LOG2: u32 = 2;
const STEPS: usize = 1 << STEPS_LOG2;
/// One for all that is shorter, one for all that is longer.
const BUCKETS: usize = (LAST_OCTAVE - FIRST_OCTAVE) as usize * STEPS + 2;

/// Durations, counted by how long they were. Written by the thread that owns the fact, read by anybody, a moment late.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    /// Something took this long, in nanoseconds.
    pub fn record(&self, nanos: u64) {
        self.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Does the work and records how long it took. What is measured here decides nothing.
    #[expect(clippy::disallowed_methods, reason = "a duration for people, which nothing depends on")]
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        done
    }

    /// The distribution as it was a moment ago.
    pub fn snapshot(&self) -> HistogramView {
        let buckets: [u64; BUCKETS] =
            std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed));
        HistogramView { buckets, count: buckets.iter().sum(), sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramView {
    buckets: [u64; BUCKETS],
    /// How many durations were recorded.
    pub count: u64,
    /// All of them together, in nanoseconds.
    pub sum: u64,
}

impl HistogramView {
    /// A duration in nanoseconds that this share of all (0.99 for the 99th percentile) did not exceed, at most a fifth too
    /// high; 0 if there are none, [`u64::MAX`] beyond a minute.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen as f64 >= wanted {
                return bound_of(bucket).unwrap_or(u64::MAX);
            }
        }
        0
    }

    /// For each doubling, its upper end in nanoseconds and how many durations did not exceed it.
    pub(super) fn octaves(&self) -> impl Iterator<Item = (u64, u64)> {
        let ends = (0..BUCKETS - 1).step_by(STEPS);
        ends.map(|end| (bound_of(end).unwrap_or(u64::MAX), self.buckets[..=end].iter().sum()))
    }
}

/// A bucket ends with its bound, that included.
fn bucket_of(nanos: u64) -> usize {
    let below = nanos.saturating_sub(1);
    let octave = below.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    if octave >= LAST_OCTAVE {
        return BUCKETS - 1;
    }
    let step = (below >> (octave - STEPS_LOG2)) as usize % STEPS;
    1 + (octave - FIRST_OCTAVE) as usize * STEPS + step
}

/// The longest duration that falls into a bucket; the last bucket has none.
fn bound_of(bucket: usize) -> Option<u64> {
    let (octave, step) = match bucket {
        0 => return Some(1 << FIRST_OCTAVE),
        _ => ((bucket - 1) / STEPS, (bucket - 1) % STEPS),
    };
    let octave = FIRST_OCTAVE + octave as u32;
    (octave < LAST_OCTAVE).then(|| (1 << octave) + ((step as u64 + 1) << (octave - STEPS_LOG2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_whose_bounds_enclose_it() {
        for bucket in 0..BUCKETS {
            let Some(bound) = bound_of(bucket) else { continue };
            assert_eq!(bucket_of(bound), bucket, "{bound} ns");
            assert_eq!(bucket_of(bound + 1), bucket + 1, "{bound} ns and one more");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_quantile_is_at_most_a_fifth_too_high() {
        let histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(micros * 1000));

        let view = histogram.snapshot();

        assert_eq!((view.count, view.sum), (1000, 500_500_000));
        for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let quantile = view.quantile(share);
            assert!((exact..=exact / 4 * 5).contains(&quantile), "{share}: {quantile}");
        }
    }

    #[test]
    fn nothing_recorded_has_no_quantile_and_what_took_too_long_has_no_bound() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.99), 0);

        histogram.record(u64::from(u32::MAX) * 60);

        assert_eq!(histogram.snapshot().quantile(0.5), u64::MAX);
    }
}
