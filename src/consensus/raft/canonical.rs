//! For those who visit every state there is: replicas that can only behave alike become equal.

use super::Raft;

impl Raft {
    /// Forgets what is without consequence: how many writes there have been, and how many timeouts were drawn. The writes
    /// under way are numbered from 1 again, and the election timer has the timeout that it began with.
    ///
    /// Returns by how much the numbers of the writes went down: the host lowers those it holds. A model checker calls
    /// this after each turn; nobody else has a use for it.
    #[doc(hidden)]
    pub fn forget_counts(&mut self) -> u64 {
        self.timer.forget_draws(self.config.reluctance, self.config.seed);
        let lowered_by = self.writes.renumber();
        self.assert_invariants();
        lowered_by
    }

    /// As if nothing had been heard for the shortest election timeout: from now on candidates are listened to, though it does
    /// not stand for election itself. For a model checker, whose steps lie as far apart as it likes.
    #[doc(hidden)]
    pub fn miss_leader(&mut self) {
        self.timer.grow_stale();
        self.assert_invariants();
    }
}
