//! When an election is due. Ticks, not clocks: the host owns time, and the seed owns chance.

/// Counts ticks without a sign of life from a leader (§5.2). The timeout is drawn anew for each election, so that
/// candidates which split the votes meet no second time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ElectionTimer {
    election_ticks: u32,
    /// How much later than others this replica stands for election.
    reluctance_ticks: u32,
    /// Drawn uniformly from `election_ticks..2 * election_ticks`, later by the reluctance.
    timeout: u32,
    elapsed: u32,
    /// Nothing was counted since the last restart.
    is_restarted: bool,
    chance: u64,
}

impl ElectionTimer {
    /// `reluctance` counts in units of `election_ticks`.
    pub(super) fn new(election_ticks: u32, reluctance: u32, seed: u64) -> Self {
        let reluctance_ticks = reluctance.saturating_mul(election_ticks);
        let timeout = election_ticks;
        let (elapsed, is_restarted) = (0, false);
        let mut timer =
            Self { election_ticks, reluctance_ticks, timeout, elapsed, is_restarted, chance: seed };
        timer.redraw();
        timer
    }

    /// Whether an election is due now.
    ///
    /// Many ticks at once are a pause, and whoever was heard after it was heard at its end: so directly after a restart
    /// they count as one.
    pub(super) fn advance(&mut self, ticks: u32) -> bool {
        let counted = if std::mem::take(&mut self.is_restarted) { ticks.min(1) } else { ticks };
        self.elapsed = self.elapsed.saturating_add(counted);
        self.elapsed >= self.timeout
    }

    /// A leader lives, or somebody got our vote.
    pub(super) fn restart(&mut self) {
        self.elapsed = 0;
        self.is_restarted = true;
    }

    /// An election begins: restarts with another timeout.
    pub(super) fn redraw(&mut self) {
        self.elapsed = 0;
        self.is_restarted = false;
        let drawn = self.next_random() % u64::from(self.election_ticks);
        let drawn = self.election_ticks + u32::try_from(drawn).expect("less than election_ticks");
        self.timeout = drawn.saturating_add(self.reluctance_ticks);
    }

    /// As if this were the first timeout that is drawn; what was counted stays counted.
    pub(super) fn forget_draws(&mut self, reluctance: u32, seed: u64) {
        let (elapsed, is_restarted) = (self.elapsed, self.is_restarted);
        *self = Self { elapsed, is_restarted, ..Self::new(self.election_ticks, reluctance, seed) };
    }

    /// The last restart is the shortest timeout ago.
    pub(super) fn grow_stale(&mut self) {
        (self.elapsed, self.is_restarted) = (self.election_ticks, false);
    }

    /// Whether the last restart is less than the shortest timeout ago: no election can be due anywhere that heard the same.
    pub(super) fn is_fresh(&self) -> bool {
        self.elapsed < self.election_ticks
    }

    /// `SplitMix64` (Steele, Lea and Flood 2014): eight bytes of state, and any seed is good.
    fn next_random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_uniform_over_the_range_and_differ_between_seeds() {
        const SEEDS: u32 = 10_000;
        let mut seen = [0_u32; 10];

        for seed in 0..u64::from(SEEDS) {
            let timer = ElectionTimer::new(10, 0, seed);
            assert!((10..20).contains(&timer.timeout));
            seen[timer.timeout as usize - 10] += 1;
        }

        assert!(seen.iter().all(|count| count.abs_diff(SEEDS / 10) < SEEDS / 50), "{seen:?}");
    }

    #[test]
    fn a_thousand_nodes_draw_again_and_again_uniformly_and_seldom_the_same() {
        let mut seen = [0_u32; 10];
        let mut equal_to_the_neighbour = 0_u32;
        let mut timers: Vec<_> = (0..1_000).map(|seed| ElectionTimer::new(10, 0, seed)).collect();

        for _ in 0..20 {
            timers.iter_mut().for_each(ElectionTimer::redraw);
            for timer in &timers {
                seen[timer.timeout as usize - 10] += 1;
            }
            let pairs = timers.windows(2).filter(|pair| pair[0].timeout == pair[1].timeout);
            equal_to_the_neighbour += pairs.count() as u32;
        }

        assert!(seen.iter().all(|count| count.abs_diff(2_000) < 250), "{seen:?}");
        assert!(equal_to_the_neighbour.abs_diff(2_000) < 250, "{equal_to_the_neighbour} of 20,000 pairs");
    }

    #[test]
    fn it_fires_exactly_at_its_timeout() {
        let mut timer = ElectionTimer::new(10, 0, 7);
        let timeout = timer.timeout;

        assert!(!timer.advance(timeout - 1));
        assert!(timer.advance(1));
    }

    #[test]
    fn a_restart_keeps_the_timeout_and_a_redraw_changes_it_in_the_long_run() {
        let mut timer = ElectionTimer::new(1_000, 0, 7);
        let timeout = timer.timeout;

        timer.restart();
        assert_eq!(timer.timeout, timeout);
        let redrawn: Vec<u32> = (0..8)
            .map(|_| {
                timer.redraw();
                timer.timeout
            })
            .collect();
        assert!(redrawn.iter().any(|&other| other != timeout));
    }

    #[test]
    fn a_pause_lies_before_what_was_heard_at_its_end() {
        let mut timer = ElectionTimer::new(10, 0, 7);

        timer.restart();
        assert!(!timer.advance(1_000));
        assert_eq!(timer.elapsed, 1);

        assert!(timer.advance(1_000));
    }

    #[test]
    fn a_pause_of_any_length_does_not_overflow() {
        let mut timer = ElectionTimer::new(10, 0, 7);

        assert!(timer.advance(u32::MAX));
        assert!(timer.advance(u32::MAX));
    }
}
