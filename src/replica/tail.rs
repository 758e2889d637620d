//! The recent entries, with their payloads: what the log writer, the peers and the applier are about to need.
//!
//! The tail ends where the log of consensus ends, and begins wherever memory allows. What has left it is in the log on
//! disk, so an entry may leave only once it is durable. Entries are held in the runs in which they came and are handed
//! out by sharing these, never by copying.

use std::collections::VecDeque;

use crate::types::{Entry, EntryRun, LogIndex, LogPosition};

/// The end of the log, in memory.
#[derive(Debug)]
pub(super) struct Tail {
    runs: VecDeque<Held>,
    /// The last index of the log, also when no run is held.
    last: LogIndex,
    bytes: u64,
    bytes_max: u64,
    entries_max: u64,
}

#[derive(Debug)]
struct Held {
    run: EntryRun,
    bytes: u64,
}

impl Tail {
    /// An empty tail of a log that ends at `last`.
    pub(super) fn new(last: LogIndex, bytes_max: u64) -> Self {
        Self { runs: VecDeque::new(), last, bytes: 0, bytes_max, entries_max: u64::MAX }
    }

    /// As many entries are enough, however few bytes they have.
    pub(super) fn of_entries(self, entries_max: u64) -> Self {
        Self { entries_max, ..self }
    }

    /// The last index of the log.
    pub(super) fn last(&self) -> LogIndex {
        self.last
    }

    /// The first index that is held; the one after the log's end if none is.
    pub(super) fn first(&self) -> LogIndex {
        self.runs.front().map_or(self.last.next(), |held| held.run.first().index)
    }

    /// What the held entries take in memory, roughly.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends entries.
    ///
    /// # Panics
    /// If they do not follow the last one.
    pub(super) fn push(&mut self, run: EntryRun) {
        assert_eq!(run.first().index, self.last.next(), "entries were appended that leave a gap in the tail");
        self.last = run.last().index;
        self.hold(run);
    }

    /// Appends whatever runs there are.
    pub(super) fn extend(&mut self, runs: impl IntoIterator<Item = EntryRun>) {
        for run in runs {
            self.push(run);
        }
    }

    /// Drops every entry from `first` on: another leader's take their place.
    pub(super) fn truncate_from(&mut self, first: LogIndex) {
        while self.runs.back().is_some_and(|held| held.run.last().index >= first) {
            let Some(held) = self.runs.pop_back() else { break };
            self.bytes -= held.bytes;
            if let Some(kept) = held.run.slice(LogIndex::ZERO, first.prev()) {
                self.hold(kept);
                break;
            }
        }
        self.last = self.last.min(first.prev());
    }

    /// Drops everything: the log begins anew behind `last`.
    pub(super) fn restart(&mut self, last: LogIndex) {
        self.runs.clear();
        (self.last, self.bytes) = (last, 0);
    }

    /// The entries `first..=last`, if all of them are held.
    pub(super) fn slice(&self, first: LogIndex, last: LogIndex) -> Option<Vec<EntryRun>> {
        if first > last || first < self.first() || last > self.last {
            return None;
        }
        let start = self.runs.partition_point(|held| held.run.last().index < first);
        let touched = self.runs.range(start..).take_while(|held| held.run.first().index <= last);
        Some(touched.filter_map(|held| held.run.slice(first, last)).collect())
    }

    /// The entries from `first` through `last` that fit into `weight_max`, and what they weigh; at least one entry if
    /// `at_least_one`. `None` if `first` is not held or nothing fits.
    pub(super) fn slice_within(
        &self,
        (first, last): (LogIndex, LogIndex),
        weight_max: u64,
        at_least_one: bool,
    ) -> Option<(Vec<EntryRun>, u64)> {
        let mut weighed = 0;
        let mut end = None;
        let start = self.runs.partition_point(|held| held.run.last().index < first);
        let entries = self.runs.range(start..).flat_map(|held| held.run.entries());
        let wanted = entries.skip_while(|entry| entry.position.index < first);
        for entry in wanted.take_while(|entry| entry.position.index <= last) {
            let forced = at_least_one && end.is_none();
            if weighed + weight(entry) > weight_max && !forced {
                break;
            }
            weighed += weight(entry);
            end = Some(entry.position.index);
        }
        Some((self.slice(first, end?)?, weighed))
    }

    /// Makes room: beyond the budget, what is durable and on its way to the state machine leaves; beyond twice the
    /// budget also what the state machine has yet to get. It is read back from the log when its turn comes.
    pub(super) fn trim(&mut self, durable: LogIndex, handed_over: LogIndex) {
        self.drop_front(1, durable.min(handed_over));
        self.drop_front(2, durable);
    }

    fn drop_front(&mut self, budgets: u64, through: LogIndex) {
        while self.exceeds(budgets)
            && let Some(held) = self.runs.front()
            && held.run.last().index <= through
        {
            self.bytes -= held.bytes;
            self.runs.pop_front();
        }
    }

    fn exceeds(&self, budgets: u64) -> bool {
        let entries = self.last.distance_from(self.first().prev());
        self.bytes > self.bytes_max.saturating_mul(budgets)
            || entries > self.entries_max.saturating_mul(budgets)
    }

    fn hold(&mut self, run: EntryRun) {
        let bytes = run.entries().iter().map(weight).sum();
        self.bytes += bytes;
        self.runs.push_back(Held { run, bytes });
    }
}

/// What an entry takes in memory, roughly: its payload and itself.
pub(super) fn weight(entry: &Entry) -> u64 {
    u64::from(entry.payload.bytes()) + size_of::<Entry>() as u64
}

/// The position of the entry at `index` of consecutive `runs`, if it lies in them.
pub(super) fn position_in(runs: &[EntryRun], index: LogIndex) -> Option<LogPosition> {
    let run = &runs.get(runs.partition_point(|run| run.last().index < index))?;
    let first = run.first().index;
    let nth = (first <= index).then(|| index.distance_from(first) as usize)?;
    run.entries().get(nth).map(|entry| entry.position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Payload, Term};

    const WEIGHT: u64 = size_of::<Entry>() as u64;

    fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> EntryRun {
        let entry =
            |index| Entry { position: LogPosition::new(Term(term), LogIndex(index)), payload: Payload::Noop };
        EntryRun::new(indexes.map(entry).collect()).expect("not empty")
    }

    fn tail_of(runs: impl IntoIterator<Item = EntryRun>) -> Tail {
        let mut runs = runs.into_iter().peekable();
        let first = runs.peek().expect("at least one run").first().index;
        let mut tail = Tail::new(first.prev(), 0);
        runs.for_each(|run| tail.push(run));
        tail
    }

    fn terms_and_indexes(runs: &[EntryRun]) -> Vec<(u64, u64)> {
        let positions = runs.iter().flat_map(EntryRun::entries).map(|entry| entry.position);
        positions.map(|position| (position.term.0, position.index.0)).collect()
    }

    fn slice(tail: &Tail, first: u64, last: u64) -> Option<Vec<(u64, u64)>> {
        tail.slice(LogIndex(first), LogIndex(last)).map(|runs| terms_and_indexes(&runs))
    }

    #[test]
    fn a_slice_crosses_runs_and_is_whole_or_nothing() {
        let tail = tail_of([entries(1, 4..=6), entries(2, 7..=7), entries(2, 8..=9)]);

        assert_eq!(slice(&tail, 5, 8), Some(vec![(1, 5), (1, 6), (2, 7), (2, 8)]));
        assert_eq!(slice(&tail, 3, 5), None, "3 has left the tail");
        assert_eq!(slice(&tail, 9, 10), None, "10 is not in the log");
        assert_eq!(slice(&tail, 6, 5), None);
    }

    #[test]
    fn replaced_entries_are_gone_also_from_the_middle_of_a_run() {
        let mut tail = tail_of([entries(1, 4..=6), entries(1, 7..=9)]);

        tail.truncate_from(LogIndex(6));
        tail.push(entries(2, 6..=6));

        assert_eq!(slice(&tail, 4, 6), Some(vec![(1, 4), (1, 5), (2, 6)]));
        assert_eq!(tail.last(), LogIndex(6));
        assert_eq!(tail.bytes(), 3 * WEIGHT);
    }

    #[test]
    fn entries_leave_when_there_are_too_many_however_small_they_are() {
        let mut tail = Tail::new(LogIndex(3), u64::MAX).of_entries(4);
        for run in [entries(1, 4..=6), entries(1, 7..=8), entries(1, 9..=11)] {
            tail.push(run);
        }

        tail.trim(LogIndex(11), LogIndex(5));
        assert_eq!(
            tail.first(),
            LogIndex(4),
            "the state machine has yet to get 6, and there is room for twice four"
        );

        tail.trim(LogIndex(11), LogIndex(11));
        assert_eq!(tail.first(), LogIndex(9), "they leave in the runs in which they came");
    }

    #[test]
    fn a_truncation_below_the_tail_leaves_it_empty_at_its_new_end() {
        let mut tail = tail_of([entries(1, 4..=6)]);

        tail.truncate_from(LogIndex(2));
        tail.push(entries(2, 2..=3));

        assert_eq!(slice(&tail, 2, 3), Some(vec![(2, 2), (2, 3)]));
        assert_eq!(tail.bytes(), 2 * WEIGHT);
    }

    #[test]
    fn only_what_is_durable_leaves_and_first_what_was_handed_over() {
        let mut tail = tail_of((1..=9).map(|index| entries(1, index..=index)));
        tail.bytes_max = 4 * WEIGHT;

        tail.trim(LogIndex(0), LogIndex(9));
        assert_eq!(tail.first(), LogIndex(1), "nothing is durable");
        tail.trim(LogIndex(9), LogIndex(0));
        assert_eq!(tail.first(), LogIndex(2), "twice the budget is the limit for what nobody has applied");
        tail.trim(LogIndex(9), LogIndex(3));
        assert_eq!(tail.first(), LogIndex(4));
        tail.trim(LogIndex(9), LogIndex(9));
        assert_eq!(tail.first(), LogIndex(6), "the budget is kept, not emptied");
    }

    #[test]
    fn a_weight_limit_cuts_between_entries_and_may_demand_one() {
        let tail = tail_of([entries(1, 4..=6), entries(1, 7..=9)]);
        let within = |first, weight_max, at_least_one| {
            let found = tail.slice_within((LogIndex(first), LogIndex(9)), weight_max, at_least_one)?;
            Some((terms_and_indexes(&found.0).len(), found.1))
        };

        assert_eq!(within(5, 3 * WEIGHT + 1, false), Some((3, 3 * WEIGHT)));
        assert_eq!(within(5, 1, true), Some((1, WEIGHT)));
        assert_eq!(within(5, 1, false), None);
        assert_eq!(within(3, 99 * WEIGHT, true), None, "3 has left the tail");
    }

    #[test]
    fn a_position_is_found_in_the_run_that_holds_it() {
        let runs = [entries(1, 4..=6), entries(2, 7..=9)];

        assert_eq!(position_in(&runs, LogIndex(6)), Some(LogPosition::new(Term(1), LogIndex(6))));
        assert_eq!(position_in(&runs, LogIndex(7)), Some(LogPosition::new(Term(2), LogIndex(7))));
        assert_eq!(position_in(&runs, LogIndex(3)), None);
        assert_eq!(position_in(&runs, LogIndex(10)), None);
    }
}
