//! What the records of a log add up to, read in their order.

use std::collections::BTreeMap;

use super::index::{GroupIndex, Location};
use super::record::{Record, Restatement};
use crate::planted::{Bug, planted};
use crate::storage::Recovered;
use crate::types::{EntryMeta, GroupId, LogIndex, LogPosition};
use crate::wire::decode_kind;

/// No log gets there: consensus takes no snapshot beyond half of it. Behind it indexes would run out of numbers.
const INDEX_MAX: LogIndex = LogIndex(u64::MAX / 4 * 3);

/// The groups of a log, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Replay {
    groups: BTreeMap<GroupId, Group>,
    /// Groups are made known by restatements until the first segment that has them was read; after that an unknown
    /// group can only be a new one.
    groups_are_known: bool,
    /// The last entry read, of whichever group: where an error is reported.
    pub(super) last_index: LogIndex,
}

/// One group, as far as its records have been read.
#[derive(Debug, Default)]
struct Group {
    known: Restatement,
    /// Entries up to here are in segments that are gone. Harmless if they are released.
    gone_upto: LogIndex,
    /// Those behind, without a gap. Released ones are dropped in the end.
    entries: Vec<EntryMeta>,
    index: GroupIndex,
}

/// Why a record that verifies contradicts those before it.
pub(super) type Contradiction = String;

impl Replay {
    /// The next record, which is in the batch at `location`; `opening` if that batch is the first of its segment.
    pub(super) fn record(
        &mut self,
        group: GroupId,
        record: Record<'_>,
        location: Location,
        opening: bool,
    ) -> Result<(), Contradiction> {
        match record {
            Record::Witness | Record::Seal { .. } => return Ok(()),
            Record::Restatement(restated) => return self.restated(group, restated, opening),
            _ if opening => return Err("its first batch does not restate the groups alone".to_owned()),
            Record::HardState(state) => self.groups.entry(group).or_default().known.hard_state = state,
            Record::Entry { position, payload } => {
                let (kind, bytes) = decode_kind(payload).map_err(|error| error.to_string())?;
                let entry = EntryMeta { position, bytes, kind };
                self.groups.entry(group).or_default().entry(entry, location)?;
                self.last_index = position.index;
            }
        }
        Ok(())
    }

    /// The first batch of a segment was read, `restated` records: all groups that were there before.
    pub(super) fn segment_is_open(&mut self, restated: u32) -> Result<(), Contradiction> {
        if restated as usize != self.groups.len() {
            return Err(format!("it restates {restated} groups of {}", self.groups.len()));
        }
        self.groups_are_known = true;
        Ok(())
    }

    fn restated(
        &mut self,
        group: GroupId,
        restated: Restatement,
        opening: bool,
    ) -> Result<(), Contradiction> {
        if restated.last.index < restated.starts_after.index || restated.last.index > INDEX_MAX {
            let (start, last) = (restated.starts_after, restated.last);
            return Err(format!("it restates that a log starts after {start} and ends with {last}"));
        }
        match self.groups.get_mut(&group) {
            Some(known) if opening && known.known != restated && !planted(Bug::ForgetsToRestate) => {
                Err(format!("what it restates of group {group} is not what the segments before say"))
            }
            Some(known) => known.restated(restated),
            None if opening && !self.groups_are_known => {
                self.groups.insert(group, Group::from_restatement(restated));
                Ok(())
            }
            None => Err(format!("it restates group {group}, of which nothing was written before")),
        }
    }

    /// What each group had made durable, and where its entries are; or which entries are missing.
    pub(super) fn finish(self) -> Result<BTreeMap<GroupId, Replayed>, Contradiction> {
        self.groups.into_iter().map(|(group, replayed)| Ok((group, replayed.finish(group)?))).collect()
    }

    /// The groups as they stand, for a report.
    pub(super) fn groups(&self) -> impl Iterator<Item = (GroupId, &Restatement, LogIndex)> {
        self.groups.iter().map(|(&group, replayed)| {
            let first = replayed.gone_upto.max(replayed.known.starts_after.index).next();
            (group, &replayed.known, first)
        })
    }
}

/// One group, completely read.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) recovered: Recovered,
    pub(super) index: GroupIndex,
    pub(super) restatement: Restatement,
}

impl Group {
    fn from_restatement(restated: Restatement) -> Self {
        let mut index = GroupIndex::default();
        index.restart(restated.starts_after.index, restated.last.index);
        Self { gone_upto: restated.last.index, known: restated, entries: Vec::new(), index }
    }

    fn entry(&mut self, entry: EntryMeta, location: Location) -> Result<(), Contradiction> {
        let LogPosition { term, index } = entry.position;
        let last = self.known.last.index;
        if index <= self.known.starts_after.index {
            return Err(format!("entry {index} is written again after its release"));
        }
        if index.prev() > last {
            return Err(format!("entry {index} follows entry {last}: those between are missing"));
        }
        self.truncate(index);
        let before = self.entries.last().map(|entry| entry.position.term);
        if before.is_some_and(|before| before > term) {
            return Err(format!("the term falls at entry {index}"));
        }
        self.known.last = entry.position;
        self.index.wrote(index, index, location);
        self.entries.push(entry);
        Ok(())
    }

    /// Drops everything at and after `from`.
    fn truncate(&mut self, from: LogIndex) {
        if from <= self.gone_upto {
            self.gone_upto = from.prev();
            self.entries.clear();
        } else {
            self.entries.truncate(from.prev().distance_from(self.gone_upto) as usize);
        }
    }

    fn restated(&mut self, restated: Restatement) -> Result<(), Contradiction> {
        let (start, last) = (restated.starts_after, restated.last);
        if start.index < self.known.starts_after.index {
            return Err(format!("the log starts after {start}, but was released further before"));
        }
        if last != self.known.last {
            if last != start {
                return Err(format!("the log ends with {}, not with {last}", self.known.last));
            }
            self.entries.clear();
            self.gone_upto = last.index;
        }
        self.index.restart(start.index, last.index);
        self.known = restated;
        Ok(())
    }

    fn finish(mut self, group: GroupId) -> Result<Replayed, Contradiction> {
        let start = self.known.starts_after;
        if self.gone_upto > start.index {
            return Err(format!(
                "entries {} to {} of group {group} are missing: they were in a segment before",
                start.index.next(),
                self.gone_upto
            ));
        }
        self.entries.drain(..start.index.distance_from(self.gone_upto) as usize);
        let recovered = Recovered {
            hard_state: self.known.hard_state,
            starts_after: start,
            membership: self.known.membership.clone(),
            entries: self.entries,
        };
        Ok(Replayed { recovered, index: self.index, restatement: self.known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{HardState, Payload, Term};
    use crate::wire::encode_payload;

    const GROUP: GroupId = GroupId(1);

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), LogIndex(index))
    }

    fn from_to(starts_after: LogPosition, last: LogPosition) -> Restatement {
        Restatement { starts_after, last, ..Restatement::default() }
    }

    /// Records of one group, those before the first restatement's segment behind it.
    struct Log(Replay);

    impl Log {
        /// A log whose older segments are gone, as its first one restates it.
        fn opened_with(restated: &Restatement) -> Self {
            let mut log = Self(Replay::default());
            log.restates(GROUP, restated, true).expect("the first segment says what was before");
            log.0.segment_is_open(1).expect("one group");
            log
        }

        /// Entries 1 to 3 of term 2.
        fn of_three() -> Self {
            let mut log = Self::opened_with(&Restatement::default());
            (1..=3).for_each(|index| log.entry(at(2, index)).expect("in order"));
            log
        }

        fn entry(&mut self, position: LogPosition) -> Result<(), Contradiction> {
            let mut payload = Vec::new();
            encode_payload(&Payload::Noop, &mut payload);
            let record = Record::Entry { position, payload: &payload };
            self.0.record(GROUP, record, Location::new(1, 4096), false)
        }

        fn restates(
            &mut self,
            group: GroupId,
            restated: &Restatement,
            opening: bool,
        ) -> Result<(), Contradiction> {
            let record = Record::Restatement(restated.clone());
            self.0.record(group, record, Location::new(1, 4096), opening)
        }
    }

    fn reason(contradiction: Result<(), Contradiction>) -> String {
        contradiction.expect_err("no log says this")
    }

    #[test]
    fn a_segment_opens_with_all_that_is_known_of_every_group_and_with_nothing_else() {
        let mut log = Log::of_three();
        let known = from_to(at(0, 0), at(2, 3));
        let other = GroupId(2);

        let state = Record::HardState(HardState { term: Term(3), voted_for: None });
        let alone = log.0.record(GROUP, state, Location::new(2, 4096), true);
        assert_eq!(reason(alone), "its first batch does not restate the groups alone");
        assert_eq!(reason(log.0.segment_is_open(0)), "it restates 0 groups of 1");
        let changed = reason(log.restates(GROUP, &from_to(at(0, 0), at(2, 2)), true));
        assert!(changed.ends_with("is not what the segments before say"), "{changed}");
        let unknown = reason(log.restates(other, &Restatement::default(), true));
        assert!(unknown.ends_with("of which nothing was written before"), "{unknown}");
        assert_eq!(log.restates(GROUP, &known, true), Ok(()));
    }

    #[test]
    fn entries_have_no_gap_and_fall_neither_in_term_nor_behind_their_release() {
        let mut log = Log::of_three();

        let gap = reason(log.entry(at(2, 5)));
        assert_eq!(gap, "entry 5 follows entry 3: those between are missing");
        assert_eq!(reason(log.entry(at(1, 3))), "the term falls at entry 3");

        let mut released = Log::of_three();
        released.restates(GROUP, &from_to(at(2, 2), at(2, 3)), false).expect("a release");
        assert_eq!(reason(released.entry(at(2, 2))), "entry 2 is written again after its release");
        assert_eq!(released.entry(at(2, 4)), Ok(()));
    }

    #[test]
    fn a_release_goes_forward_and_keeps_the_end_unless_the_log_begins_anew_there() {
        let mut log = Log::of_three();
        log.restates(GROUP, &from_to(at(2, 2), at(2, 3)), false).expect("a release");

        let back = reason(log.restates(GROUP, &from_to(at(2, 1), at(2, 3)), false));
        assert!(back.ends_with("but was released further before"), "{back}");
        let shorter = reason(log.restates(GROUP, &from_to(at(2, 2), at(2, 4)), false));
        assert!(shorter.starts_with("the log ends with"), "{shorter}");

        log.restates(GROUP, &from_to(at(5, 9), at(5, 9)), false).expect("a log that begins anew");
        log.entry(at(5, 10)).expect("it goes on from there");
        let group = log.0.finish().expect("whole").remove(&GROUP).expect("the group");
        let held: Vec<_> = group.recovered.entries.iter().map(|entry| entry.position).collect();
        assert_eq!((group.recovered.starts_after, held), (at(5, 9), vec![at(5, 10)]));
    }

    /// A first segment that is gone may have held what is released by now, and nothing else.
    #[test]
    fn entries_of_a_segment_that_is_gone_are_missed_unless_they_are_released() {
        let before = from_to(at(1, 2), at(1, 5));

        let missing = Log::opened_with(&before).0.finish().expect_err("entries 3 to 5 are gone");
        assert_eq!(missing, "entries 3 to 5 of group 1 are missing: they were in a segment before");

        let mut log = Log::opened_with(&before);
        log.entry(at(1, 6)).expect("the log goes on");
        log.restates(GROUP, &from_to(at(1, 5), at(1, 6)), false).expect("a release");
        let group = log.0.finish().expect("whole").remove(&GROUP).expect("the group");
        assert_eq!(group.recovered.entries.len(), 1);
    }
}
