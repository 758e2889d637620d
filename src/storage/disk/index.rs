//! Where the entries are: one slot per batch and group, shared between the writer and the readers.
//!
//! The writer publishes a batch after its sync, with the lock held for the moment of a push. Readers hold it for the
//! moment of a lookup and read without it; what they read cannot change under them while they hold its segment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::batch::BLOCK_BYTES;
use super::segment::Segment;
use crate::planted::{Bug, planted};
use crate::types::{GroupId, LogIndex};

/// What writer, readers and upkeep share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) index: RwLock<Index>,
    poisoned: AtomicBool,
}

impl Shared {
    /// After this nothing is tried any more.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Whether an earlier error was final.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

/// The place of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    segment: u32,
    block: u32,
}

impl Location {
    /// The batch at `offset` of a segment.
    pub(super) fn new(segment: u64, offset: u64) -> Self {
        let segment = u32::try_from(segment).expect("the log has fewer than 2^32 segments");
        let block = u32::try_from(offset / BLOCK_BYTES).expect("a segment has fewer than 2^32 blocks");
        Self { segment, block }
    }

    /// The number of its segment.
    pub(super) fn segment(self) -> u64 {
        u64::from(self.segment)
    }

    /// Its offset there.
    pub(super) fn offset(self) -> u64 {
        u64::from(self.block) * BLOCK_BYTES
    }
}

/// From `first` on, up to the next slot, the entries of a group are in that batch.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: LogIndex,
    location: Location,
}

/// The durable entries of one group.
#[derive(Debug, Default)]
pub(super) struct GroupIndex {
    starts_after: LogIndex,
    last: LogIndex,
    slots: VecDeque<Slot>,
}

impl GroupIndex {
    /// Entries `first..=last` are in the batch at `location`: everything of the group after them is gone.
    pub(super) fn wrote(&mut self, first: LogIndex, last: LogIndex, location: Location) {
        while self.slots.back().is_some_and(|slot| slot.first >= first) {
            self.slots.pop_back();
        }
        if self.slots.back().is_none_or(|slot| slot.location != location) {
            self.slots.push_back(Slot { first, location });
        }
        self.last = last;
    }

    /// The log starts after `starts_after` and ends with `last`.
    pub(super) fn restart(&mut self, starts_after: LogIndex, last: LogIndex) {
        (self.starts_after, self.last) = (starts_after, last);
        let first_needed = starts_after.next();
        while self.slots.get(1).is_some_and(|second| second.first <= first_needed) {
            self.slots.pop_front();
        }
        if last <= starts_after {
            self.slots.clear();
        }
    }

    /// The first segment that the group needs; `None` if it needs no entry.
    fn first_segment(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.location.segment())
    }

    /// The batch that holds entry `index`, and the last entry to be taken from there.
    fn find(&self, index: LogIndex) -> Option<(Location, LogIndex)> {
        if index <= self.starts_after || index > self.last {
            return None;
        }
        let after = self.slots.partition_point(|slot| slot.first <= index);
        let slot = self.slots.get(after.checked_sub(1)?)?;
        let last = self.slots.get(after).map_or(self.last, |next| next.first.prev());
        Some((slot.location, last))
    }
}

/// All durable entries, and the segments that hold them.
#[derive(Default)]
pub(super) struct Index {
    pub(super) groups: BTreeMap<GroupId, GroupIndex>,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
}

/// Where a reader finds an entry.
pub(super) struct Found {
    /// The segment, held so that it is not recycled.
    pub(super) segment: Arc<Segment>,
    /// The batch in it.
    pub(super) offset: u64,
    /// The last entry of the group to be taken from that batch.
    pub(super) last: LogIndex,
}

impl Index {
    /// Where entry `index` of `group` is; `None` if the log does not hold it.
    pub(super) fn find(&self, group: GroupId, index: LogIndex) -> Option<Found> {
        let (location, last) = self.groups.get(&group)?.find(index)?;
        let segment = Arc::clone(self.segments.get(&location.segment())?);
        Some(Found { segment, offset: location.offset(), last })
    }

    /// Takes out the segments that no group needs, oldest first. The newest always stays.
    pub(super) fn take_unneeded(&mut self) -> Vec<Arc<Segment>> {
        let newest = self.segments.last_key_value().map(|(&number, _)| number);
        let needed = self.groups.values().filter_map(GroupIndex::first_segment).chain(newest).min();
        let needed = if planted(Bug::ReleasesNeededSegments) { newest } else { needed };
        let Some(needed) = needed else {
            return Vec::new();
        };
        let kept = self.segments.split_off(&needed);
        std::mem::replace(&mut self.segments, kept).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u64, block: u64) -> Location {
        Location::new(segment, block * BLOCK_BYTES)
    }

    fn written(entries: &[(u64, Location)]) -> GroupIndex {
        let mut index = GroupIndex::default();
        for &(entry, location) in entries {
            index.wrote(LogIndex(entry), LogIndex(entry), location);
        }
        index
    }

    fn find(index: &GroupIndex, entry: u64) -> Option<(Location, u64)> {
        index.find(LogIndex(entry)).map(|(location, last)| (location, last.0))
    }

    #[test]
    fn the_entries_of_a_batch_share_a_slot() {
        let index = written(&[(1, at(1, 1)), (2, at(1, 1)), (3, at(1, 2))]);

        assert_eq!(find(&index, 1), Some((at(1, 1), 2)));
        assert_eq!(find(&index, 2), Some((at(1, 1), 2)));
        assert_eq!(find(&index, 3), Some((at(1, 2), 3)));
        assert_eq!(find(&index, 4), None);
    }

    #[test]
    fn an_entry_written_again_drops_all_after_it() {
        let index = written(&[(1, at(1, 1)), (2, at(1, 1)), (3, at(1, 2)), (2, at(1, 3))]);

        assert_eq!(find(&index, 1), Some((at(1, 1), 1)));
        assert_eq!(find(&index, 2), Some((at(1, 3), 2)));
        assert_eq!(find(&index, 3), None);
    }

    #[test]
    fn released_entries_are_not_found_and_free_their_segments() {
        let mut index = written(&[(1, at(1, 1)), (2, at(2, 1)), (3, at(3, 1))]);
        assert_eq!(index.first_segment(), Some(1));

        index.restart(LogIndex(1), LogIndex(3));
        assert_eq!((find(&index, 1), index.first_segment()), (None, Some(2)));

        index.restart(LogIndex(3), LogIndex(3));
        assert_eq!((find(&index, 3), index.first_segment()), (None, None));
    }
}
