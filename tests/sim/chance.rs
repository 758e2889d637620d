//! Chance, all of it from one seed. Each thing that is drawn has a stream of its own, so that one fault less leaves the
//! others as they were.

use std::ops::Range;

/// A stream of random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The stream called `name` of a run.
    pub(super) fn stream(seed: u64, name: &str) -> Self {
        let named = name.bytes().fold(seed, |mixed, byte| mix(mixed ^ u64::from(byte)));
        Self(mix(named))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number of `range`, each as likely as the others.
    pub(super) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.within(0..limit as u64) as usize
    }

    /// True in `parts` of a million cases.
    pub(super) fn ppm(&mut self, parts: u32) -> bool {
        parts > 0 && self.within(0..1_000_000) < u64::from(parts)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A number of `range`, small ones and large ones alike: each doubling is as likely as the next.
    pub(super) fn spread(&mut self, range: Range<u64>) -> u64 {
        let doublings = (range.end / range.start.max(1)).max(1).ilog2();
        let low = range.start.max(1) << self.within(0..u64::from(doublings) + 1);
        self.within(low..(low * 2)).min(range.end - 1)
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
