//! The log as consensus sees it: who made each entry and how large it is, never what it says.
//!
//! Terms change rarely and configurations more rarely still, so they are kept as runs and as sparse lists: a million
//! entries cost four megabytes, the size of each as a `u32`. It begins behind a position that a snapshot covers, or
//! behind nothing; what it keeps of the entries before is that position and the configuration in force there.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RestoreError;
use crate::types::{EntryKind, EntryMeta, LogIndex, LogPosition, LogSlice, Membership, Term};

/// Positions, sizes and special kinds of the entries after `starts_after`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// The position before the first entry.
    starts_after: LogPosition,
    /// The configuration in force at `starts_after`; nobody's before entry 1.
    base: Arc<Membership>,
    /// Since when nobody but leaders who note data directories changed that one; if that was forgotten, the log's start.
    base_changed_at: LogIndex,
    /// Where each term begins: both fields rise strictly.
    runs: Vec<TermRun>,
    /// The size of each entry, the first entry's first.
    bytes: VecDeque<u32>,
    /// The entries that open terms.
    noops: Vec<LogIndex>,
    /// The entries that hold configurations.
    memberships: Vec<(LogIndex, Arc<Membership>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TermRun {
    first: LogIndex,
    term: Term,
}

impl Log {
    /// Judges a log that was found on disk. One that was never compacted begins with the founding membership; or it is
    /// empty, of a replica that waits to be added to a group.
    pub(super) fn restore(
        starts_after: LogPosition,
        compacted_membership: Option<Arc<Membership>>,
        entries: Vec<EntryMeta>,
    ) -> Result<Self, RestoreError> {
        let is_compacted = starts_after != LogPosition::ZERO;
        let base = match compacted_membership {
            Some(_) if !is_compacted => return Err(RestoreError::TwoMemberships),
            None if is_compacted => return Err(RestoreError::NoMembership),
            given => given.unwrap_or_else(|| Arc::new(Membership::nobody())),
        };
        let slice = LogSlice::new(starts_after, entries)?;
        let mut log = Self::starting_after(starts_after, base);
        log.extend(slice.entries());
        let is_founded = log.memberships.first().is_some_and(|&(index, _)| index == LogIndex(1));
        let is_good = is_compacted || is_founded || log.bytes.is_empty();
        if is_good { Ok(log) } else { Err(RestoreError::NoMembership) }
    }

    fn starting_after(starts_after: LogPosition, base: Arc<Membership>) -> Self {
        Self {
            starts_after,
            base,
            base_changed_at: starts_after.index,
            runs: Vec::new(),
            bytes: VecDeque::new(),
            noops: Vec::new(),
            memberships: Vec::new(),
        }
    }

    /// The position before the first entry.
    pub(super) fn starts_after(&self) -> LogPosition {
        self.starts_after
    }

    /// The index of the first entry, whether it is there yet or not.
    pub(super) fn first_index(&self) -> LogIndex {
        self.starts_after.index.next()
    }

    /// The position of the last entry.
    pub(super) fn last(&self) -> LogPosition {
        let term = self.runs.last().map_or(self.starts_after.term, |run| run.term);
        LogPosition::new(term, self.last_index())
    }

    /// The latest configuration, committed or not (§6).
    pub(super) fn membership(&self) -> &Arc<Membership> {
        self.memberships.last().map_or(&self.base, |(_, membership)| membership)
    }

    /// The configuration in force at `index`: that of the last membership at or before it. `None` before the log's start.
    pub(super) fn membership_at(&self, index: LogIndex) -> Option<&Arc<Membership>> {
        if index < self.starts_after.index {
            return None;
        }
        let until = self.memberships.partition_point(|&(at, _)| at <= index);
        Some(until.checked_sub(1).map_or(&self.base, |latest| &self.memberships[latest].1))
    }

    /// The configuration that the latest one follows, if the latest stands in an entry of this log.
    pub(super) fn membership_before(&self) -> Option<&Arc<Membership>> {
        let before_last = self.memberships.len().checked_sub(1)?;
        Some(before_last.checked_sub(1).map_or(&self.base, |before| &self.memberships[before].1))
    }

    /// Where the latest configuration stands.
    pub(super) fn membership_index(&self) -> LogIndex {
        self.memberships.last().map_or(self.starts_after.index, |&(index, _)| index)
    }

    /// The entry of the last change of the configuration. Entries in which a leader notes data directories are none.
    pub(super) fn membership_changed_at(&self) -> LogIndex {
        self.changed_at(self.memberships.len())
    }

    /// The same among the first `count` configurations of the log.
    fn changed_at(&self, count: usize) -> LogIndex {
        let before = |nth: usize| nth.checked_sub(1).map_or(&self.base, |before| &self.memberships[before].1);
        let is_change = |&nth: &usize| !self.memberships[nth].1.differs_only_in_directories(before(nth));
        (0..count).rev().find(is_change).map_or(self.base_changed_at, |nth| self.memberships[nth].0)
    }

    /// The term at `index`: of an entry, or of the position before the first.
    pub(super) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.starts_after.index {
            return Some(self.starts_after.term);
        }
        self.offset_of(index).map(|_| self.runs[self.run_at(index)].term)
    }

    /// Whether the entry at `position`, or the start of the log, is here.
    pub(super) fn contains(&self, position: LogPosition) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The whole position at `index`, as far as `term_at` knows it.
    pub(super) fn position_at(&self, index: LogIndex) -> Option<LogPosition> {
        self.term_at(index).map(|term| LogPosition::new(term, index))
    }

    /// The size of the entry at `index`; zero if there is none.
    pub(super) fn bytes_at(&self, index: LogIndex) -> u32 {
        self.offset_of(index).map_or(0, |offset| self.bytes[offset])
    }

    /// The sizes of the entries in `(after, through]` together.
    pub(super) fn bytes_between(&self, after: LogIndex, through: LogIndex) -> u64 {
        let offset =
            |index: LogIndex| (index.distance_from(self.starts_after.index) as usize).min(self.bytes.len());
        let (from, to) = (offset(after), offset(through));
        self.bytes.range(from.min(to)..to).map(|&bytes| u64::from(bytes)).sum()
    }

    /// The entry at `index`.
    pub(super) fn meta(&self, index: LogIndex) -> Option<EntryMeta> {
        let offset = self.offset_of(index)?;
        let term = self.runs[self.run_at(index)].term;
        Some(EntryMeta {
            position: LogPosition::new(term, index),
            bytes: self.bytes[offset],
            kind: self.kind_at(index),
        })
    }

    /// The last position at or before `index` whose term does not exceed `term`: where two logs that differ at `index`
    /// may still agree. Each step of that search skips a whole term (§5.3). `None` if they can agree only before the
    /// start of this log.
    pub(super) fn last_not_after(&self, index: LogIndex, term: Term) -> Option<LogPosition> {
        let index = index.min(self.last_index());
        let runs_before = self.runs.partition_point(|run| run.first <= index && run.term <= term);
        let Some(run) = runs_before.checked_sub(1).map(|run| self.runs[run]) else {
            let start = self.starts_after;
            return (start.index <= index && start.term <= term).then_some(start);
        };
        let run_end = self.runs.get(runs_before).map_or(self.last_index(), |next| next.first.prev());
        Some(LogPosition::new(run.term, index.min(run_end)))
    }

    /// The entries from `first` on, as many as the limits allow, but at least one if there is one.
    ///
    /// `None` if the position before `first` is not in the log any more.
    pub(super) fn slice(&self, first: LogIndex, entries_max: usize, bytes_max: u64) -> Option<LogSlice> {
        let prev = self.position_at(first.prev())?;
        let mut entries = Vec::new();
        if let Some(offset) = self.offset_of(first) {
            let count = self.count_within(offset, entries_max, bytes_max);
            self.collect(first, self.bytes.range(offset..offset + count), &mut entries);
        }
        Some(LogSlice::new(prev, entries).expect("our own log has no gaps and no falling terms"))
    }

    /// Appends entries that follow the last one: their judge has been `LogSlice`.
    pub(super) fn extend(&mut self, entries: &[EntryMeta]) {
        self.bytes.reserve(entries.len());
        for entry in entries {
            self.push(entry.position.term, entry.bytes, &entry.kind);
        }
    }

    /// Appends one entry.
    pub(super) fn push(&mut self, term: Term, bytes: u32, kind: &EntryKind) -> LogPosition {
        let last = self.last();
        assert!(term >= last.term, "the term of the log falls at {last} (§5.3)");
        let index = last.index.next();
        if self.runs.last().is_none_or(|run| run.term != term) {
            self.runs.push(TermRun { first: index, term });
        }
        self.bytes.push_back(bytes);
        match kind {
            EntryKind::Normal => {}
            EntryKind::Noop => self.noops.push(index),
            EntryKind::Membership(membership) => self.memberships.push((index, Arc::clone(membership))),
        }
        LogPosition::new(term, index)
    }

    /// Drops the entry at `from` and all after it; an earlier configuration comes into force again.
    pub(super) fn truncate(&mut self, from: LogIndex) {
        assert!(from > self.starts_after.index, "truncated before the start of the log");
        self.bytes.truncate(from.distance_from(self.first_index()) as usize);
        self.runs.truncate(self.runs.partition_point(|run| run.first < from));
        self.noops.truncate(self.noops.partition_point(|&index| index < from));
        self.memberships.truncate(self.memberships.partition_point(|&(index, _)| index < from));
    }

    /// Drops the entries up to and including `through`, which a snapshot covers. The cost is that of the entries dropped.
    pub(super) fn compact(&mut self, through: LogIndex) {
        let start = self.position_at(through).expect("a log is compacted up to an entry that it holds");
        let covered = self.memberships.partition_point(|&(index, _)| index <= through);
        let base = Arc::clone(self.membership_at(through).expect("the start of a log has a configuration"));
        self.base_changed_at = self.changed_at(covered);
        self.base = base;
        self.bytes.drain(..through.distance_from(self.starts_after.index) as usize);
        if self.bytes.capacity() / 4 > self.bytes.len() {
            self.bytes.shrink_to(2 * self.bytes.len());
        }
        let first = through.next();
        self.runs.drain(..self.runs.partition_point(|run| run.first <= first).saturating_sub(1));
        match self.runs.first_mut() {
            Some(_) if self.bytes.is_empty() => self.runs.clear(),
            Some(run) => run.first = run.first.max(first),
            None => {}
        }
        self.noops.drain(..self.noops.partition_point(|&index| index <= through));
        self.memberships.drain(..covered);
        self.starts_after = start;
    }

    /// Drops everything: the log begins anew behind a snapshot's position, with the snapshot's configuration.
    pub(super) fn restart(&mut self, position: LogPosition, membership: Arc<Membership>) {
        *self = Self::starting_after(position, membership);
    }

    fn last_index(&self) -> LogIndex {
        self.starts_after.index.plus(self.bytes.len() as u64)
    }

    fn offset_of(&self, index: LogIndex) -> Option<usize> {
        let offset = index.0.checked_sub(self.first_index().0)?;
        (offset < self.bytes.len() as u64).then_some(offset as usize)
    }

    /// The run of an entry that exists.
    fn run_at(&self, index: LogIndex) -> usize {
        self.runs.partition_point(|run| run.first <= index) - 1
    }

    fn kind_at(&self, index: LogIndex) -> EntryKind {
        if let Ok(found) = self.memberships.binary_search_by_key(&index, |&(at, _)| at) {
            return EntryKind::Membership(Arc::clone(&self.memberships[found].1));
        }
        if self.noops.binary_search(&index).is_ok() { EntryKind::Noop } else { EntryKind::Normal }
    }

    fn count_within(&self, offset: usize, entries_max: usize, bytes_max: u64) -> usize {
        let mut bytes = 0;
        let fits = |&&size: &&u32| {
            bytes += u64::from(size);
            bytes <= bytes_max
        };
        self.bytes.range(offset..).take(entries_max).take_while(fits).count().max(1)
    }

    /// The metas of the entries from `first` on whose sizes are `sizes`. All are normal but the few special ones, which
    /// are looked up afterwards.
    fn collect<'a>(
        &self,
        first: LogIndex,
        sizes: impl ExactSizeIterator<Item = &'a u32>,
        entries: &mut Vec<EntryMeta>,
    ) {
        let end = first.plus(sizes.len() as u64);
        let mut run = self.run_at(first);
        entries.reserve_exact(sizes.len());
        for (index, &bytes) in (first.0..).map(LogIndex).zip(sizes) {
            if self.runs.get(run + 1).is_some_and(|next| next.first <= index) {
                run += 1;
            }
            let position = LogPosition::new(self.runs[run].term, index);
            entries.push(EntryMeta { position, bytes, kind: EntryKind::Normal });
        }
        let noops_before = self.noops.partition_point(|&index| index < first);
        for &index in self.noops[noops_before..].iter().take_while(|&&index| index < end) {
            entries[index.distance_from(first) as usize].kind = EntryKind::Noop;
        }
        let memberships_before = self.memberships.partition_point(|&(index, _)| index < first);
        for (index, membership) in self.memberships[memberships_before..].iter().take_while(|at| at.0 < end) {
            entries[index.distance_from(first) as usize].kind = EntryKind::Membership(Arc::clone(membership));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn members(ports: &[u16]) -> Arc<Membership> {
        let member = |&port: &u16| (NodeId::new(u64::from(port)).unwrap(), format!("host:{port}"));
        Arc::new(Membership::founding(ports.iter().map(member)).unwrap())
    }

    fn entry(term: u64, index: u64, bytes: u32, kind: EntryKind) -> EntryMeta {
        EntryMeta { position: LogPosition::new(Term(term), LogIndex(index)), bytes, kind }
    }

    /// Entry 1 founds the group; entry `i` after it has `i` bytes and the term given.
    fn log_with_terms(terms: &[u64]) -> Log {
        let mut entries = vec![entry(0, 1, 64, EntryKind::Membership(members(&[1, 2, 3])))];
        for (&term, index) in terms.iter().zip(2..) {
            entries.push(entry(term, index, index as u32, EntryKind::Normal));
        }
        Log::restore(LogPosition::ZERO, None, entries).unwrap()
    }

    fn position(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), LogIndex(index))
    }

    #[test]
    fn a_million_entries_cost_four_megabytes() {
        let mut entries = vec![entry(0, 1, 64, EntryKind::Membership(members(&[1, 2, 3])))];
        entries
            .extend((2..=1_000_000).map(|index| entry(1 + index / 400_000, index, 128, EntryKind::Normal)));

        let log = Log::restore(LogPosition::ZERO, None, entries).unwrap();

        assert_eq!(log.last().index, LogIndex(1_000_000));
        assert_eq!(log.bytes.capacity() * size_of::<u32>(), 4_000_000);
        let sparse = log.runs.len() + log.noops.len() + log.memberships.len();
        assert!(sparse < 10, "terms and special entries are kept sparsely, found {sparse}");
    }

    #[test]
    fn terms_are_found_at_the_edges_of_runs_and_nowhere_beyond_the_log() {
        let log = log_with_terms(&[1, 1, 3, 3, 7]);

        let terms: Vec<_> = (0..=7).map(|index| log.term_at(LogIndex(index)).map(|term| term.0)).collect();

        assert_eq!(terms, [Some(0), Some(0), Some(1), Some(1), Some(3), Some(3), Some(7), None]);
        assert_eq!(log.term_at(LogIndex(u64::MAX)), None);
    }

    #[test]
    fn the_search_for_agreement_skips_whole_terms() {
        let log = log_with_terms(&[1, 1, 3, 3, 7]);

        assert_eq!(log.last_not_after(LogIndex(6), Term(9)), Some(position(7, 6)));
        assert_eq!(log.last_not_after(LogIndex(6), Term(6)), Some(position(3, 5)));
        assert_eq!(log.last_not_after(LogIndex(4), Term(6)), Some(position(3, 4)));
        assert_eq!(log.last_not_after(LogIndex(6), Term(2)), Some(position(1, 3)));
        assert_eq!(log.last_not_after(LogIndex(99), Term(0)), Some(position(0, 1)));
        assert_eq!(log.last_not_after(LogIndex(0), Term(9)), Some(LogPosition::ZERO));
    }

    #[test]
    fn a_slice_keeps_its_limits_but_always_moves() {
        let log = log_with_terms(&[1, 1, 3, 3, 7]);
        let indexes = |first, entries_max, bytes_max| {
            let slice = log.slice(LogIndex(first), entries_max, bytes_max).unwrap();
            slice.entries().iter().map(|entry| entry.position).collect::<Vec<_>>()
        };

        assert_eq!(indexes(3, 2, 1_000), [position(1, 3), position(3, 4)]);
        assert_eq!(indexes(4, 100, 9), [position(3, 4), position(3, 5)]);
        assert_eq!(indexes(4, 100, 0), [position(3, 4)], "a large entry travels alone");
        assert_eq!(indexes(7, 100, 1_000), []);
        assert!(log.slice(LogIndex(9), 100, 1_000).is_none(), "nothing is known before index 9");
    }

    #[test]
    fn a_slice_holds_the_same_entries_as_the_log() {
        let mut log = log_with_terms(&[1, 1]);
        log.push(Term(2), 0, &EntryKind::Noop);
        log.push(Term(2), 9, &EntryKind::Normal);
        log.push(Term(2), 64, &EntryKind::Membership(members(&[1, 2])));

        let slice = log.slice(LogIndex(1), 100, 1_000).unwrap();

        let one_by_one: Vec<_> = (1..=6).map(|index| log.meta(LogIndex(index)).unwrap()).collect();
        assert_eq!(slice.entries(), one_by_one);
    }

    #[test]
    fn truncation_brings_the_earlier_membership_back_into_force() {
        let mut log = log_with_terms(&[1, 1]);
        let before = log.clone();
        log.push(Term(2), 64, &EntryKind::Membership(members(&[1, 2])));
        log.push(Term(2), 0, &EntryKind::Noop);
        log.push(Term(3), 64, &EntryKind::Membership(members(&[1])));
        assert_eq!(log.membership(), &members(&[1]));

        log.truncate(LogIndex(6));
        assert_eq!(log.membership(), &members(&[1, 2]));
        log.truncate(LogIndex(4));

        assert_eq!(log, before);
        assert_eq!(log.membership(), &members(&[1, 2, 3]));
    }

    #[test]
    fn a_compacted_log_is_what_a_log_restored_from_there_would_be_and_knows_when_its_members_changed() {
        let mut log = log_with_terms(&[1, 1, 3, 3, 7]);
        log.push(Term(7), 64, &EntryKind::Membership(members(&[1, 2])));
        log.push(Term(7), 0, &EntryKind::Noop);
        for through in 1..=8 {
            let mut compacted = log.clone();
            compacted.compact(LogIndex(through));

            let rest = (through + 1..=8).map(|index| log.meta(LogIndex(index)).unwrap()).collect();
            let start = log.position_at(LogIndex(through)).unwrap();
            let membership = Arc::clone(log.membership_at(LogIndex(through)).unwrap());
            let restored = Log::restore(start, Some(membership), rest).unwrap();
            assert_eq!((compacted.last(), compacted.membership()), (log.last(), log.membership()));
            assert_eq!(compacted.membership_changed_at(), log.membership_changed_at());
            assert!(
                restored.membership_changed_at() >= log.membership_changed_at(),
                "what it forgot it takes for news"
            );
            compacted.base_changed_at = restored.base_changed_at;
            assert_eq!(compacted, restored, "through {through}");
        }
    }

    #[test]
    fn before_its_start_a_compacted_log_knows_nothing_and_at_it_the_term_and_the_membership() {
        let mut log = log_with_terms(&[1, 1, 3, 3, 7]);
        log.compact(LogIndex(4));

        assert_eq!(log.position_at(LogIndex(4)), Some(position(3, 4)));
        assert_eq!((log.term_at(LogIndex(3)), log.meta(LogIndex(4))), (None, None));
        assert!(log.membership_at(LogIndex(3)).is_none());
        assert_eq!(log.membership_at(LogIndex(4)), Some(&members(&[1, 2, 3])));
        assert!(log.slice(LogIndex(4), 9, 999).is_none() && log.slice(LogIndex(5), 9, 999).is_some());
        assert_eq!(log.last_not_after(LogIndex(9), Term(5)), Some(position(3, 5)));
        assert_eq!(
            log.last_not_after(LogIndex(9), Term(2)),
            None,
            "they agree only before the start, if at all"
        );
        assert_eq!(log.last_not_after(LogIndex(3), Term(9)), None);
    }

    #[test]
    fn the_membership_in_force_is_that_of_the_last_entry_before() {
        let mut log = log_with_terms(&[1, 1]);
        log.push(Term(2), 64, &EntryKind::Membership(members(&[1, 2])));

        assert_eq!(log.membership_at(LogIndex(3)), Some(&members(&[1, 2, 3])));
        assert_eq!(log.membership_at(LogIndex(4)), Some(&members(&[1, 2])));
        assert_eq!(**log.membership_at(LogIndex::ZERO).unwrap(), Membership::nobody());
    }

    #[test]
    fn compaction_in_small_steps_gives_its_memory_back() {
        let mut log = log_with_terms(&[]);
        for _ in 0..100_000 {
            log.push(Term(1), 10, &EntryKind::Normal);
        }

        (1..=1_000).for_each(|step| log.compact(LogIndex(step * 100)));

        assert!(log.bytes.capacity() < 1_000, "room for {} entries is held for one", log.bytes.capacity());
    }

    #[test]
    fn an_empty_log_names_nobody_and_takes_entry_1() {
        let mut log = Log::restore(LogPosition::ZERO, None, Vec::new()).unwrap();
        assert_eq!((log.last(), &**log.membership()), (LogPosition::ZERO, &Membership::nobody()));

        log.push(Term::ZERO, 64, &EntryKind::Membership(members(&[1, 2, 3])));

        assert_eq!(log, log_with_terms(&[]));
    }

    #[test]
    fn sizes_are_summed_between_two_indexes() {
        let log = log_with_terms(&[1, 1, 1]);

        assert_eq!(log.bytes_between(LogIndex(1), LogIndex(3)), 2 + 3);
        assert_eq!(log.bytes_between(LogIndex(2), LogIndex(u64::MAX)), 3 + 4);
        assert_eq!(log.bytes_between(LogIndex(3), LogIndex(2)), 0);
    }

    #[test]
    fn a_log_that_names_nobody_is_refused() {
        let nobody = vec![entry(1, 1, 0, EntryKind::Noop)];

        assert_eq!(Log::restore(LogPosition::ZERO, None, nobody), Err(RestoreError::NoMembership));
        assert_eq!(Log::restore(position(3, 9), None, Vec::new()), Err(RestoreError::NoMembership));
        assert!(Log::restore(position(3, 9), Some(members(&[1])), Vec::new()).is_ok());
    }
}
