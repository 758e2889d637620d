//! What a voter promises whoever leads, where leases are on: for an election timeout after it heard the leader it listens to
//! no candidate (thesis §6.4.1).
//!
//! It is bound by time alone. Which term it is in and whom it takes for the leader may change meanwhile, by a late answer of
//! a node that is ahead; even a crash does not free it, since a lease may rest on what it answered before.

/// Counts down the ticks for which the last leader that was heard may rely on this voter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    ticks_left: u32,
    /// Nothing was counted since it was given.
    is_new: bool,
}

impl Promise {
    /// Binds for the next `ticks`; zero is no promise.
    pub(super) fn for_ticks(ticks: u32) -> Self {
        Self { ticks_left: ticks, is_new: true }
    }

    /// Time passes. Many ticks at once are a pause, and whoever was heard before they are counted was heard at its end.
    pub(super) fn tick(&mut self, ticks: u32) {
        let counted = if std::mem::take(&mut self.is_new) { ticks.min(1) } else { ticks };
        self.ticks_left = self.ticks_left.saturating_sub(counted);
    }

    /// Whether it binds now.
    pub(super) fn holds(&self) -> bool {
        self.ticks_left > 0
    }
}
