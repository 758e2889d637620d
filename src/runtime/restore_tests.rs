//! Which state a node starts from, by what its snapshots, its log and its machine's disk hold.

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::StartError;
use super::restore::restore_from;
use crate::machine::{Held, MachineError, SnapshotError, StateMachine, Typed};
use crate::storage::{Recovered, SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore, StorageError};
use crate::types::{
    EntryKind, EntryMeta, GroupId, HardState, LogIndex, LogPosition, Membership, NodeId, SnapshotId,
    SnapshotMeta, SnapshotWriter, Term,
};

/// Holds a number, in memory or, at some position, on its disk; refuses nine.
#[derive(Default)]
struct Number {
    held: Option<LogPosition>,
    state: u8,
    /// Every byte it was ever given.
    seen: Vec<u8>,
    ended: Option<LogPosition>,
}

impl StateMachine for Number {
    type Command = u64;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, _command: u64) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Err(SnapshotError { reason: "none is taken here".to_owned() })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut one = [0];
        while snapshot.read(&mut one)? == 1 {
            self.state = one[0];
            self.seen.push(one[0]);
        }
        if self.state == 9 { Err(MachineError { reason: "nine".to_owned() }) } else { Ok(()) }
    }

    fn applied(&self) -> Option<Held> {
        self.held.map(|position| Held { position, sidecar: Vec::new() })
    }

    fn end_batch(&mut self, through: LogPosition, _sidecar: &[u8]) -> Result<(), MachineError> {
        self.ended = Some(through);
        Ok(())
    }
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}

fn machine_on_disk(index: u64) -> Typed<Number> {
    Typed(Number { held: Some(at(index)), ..Number::default() })
}

fn machine_in_memory() -> Typed<Number> {
    Typed(Number::default())
}

/// A log of term 1 with the entries `starts_after + 1 ..= last`.
fn log(starts_after: u64, last: u64) -> Recovered {
    let entry = |index| EntryMeta { position: at(index), bytes: 1, kind: EntryKind::Normal };
    Recovered {
        hard_state: HardState::default(),
        starts_after: if starts_after == 0 { LogPosition::ZERO } else { at(starts_after) },
        membership: None,
        entries: (starts_after + 1..=last).map(entry).collect(),
    }
}

/// Snapshots of one byte each, by position; two bytes stand for a good one and damage behind it.
struct Shelf(BTreeMap<u64, Vec<u8>>);

fn shelf<const N: usize>(snapshots: [(u64, &[u8]); N]) -> Shelf {
    Shelf(snapshots.into_iter().map(|(index, content)| (index, content.to_vec())).collect())
}

/// Ends in an error behind the first byte, if there are more.
struct Content {
    bytes: Vec<u8>,
    read: usize,
}

impl Content {
    fn is_damaged_here(&self) -> bool {
        self.bytes.len() > 1 && self.read == 1
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_damaged_here() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.read == self.bytes.len() || into.is_empty() {
            return Ok(0);
        }
        into[0] = self.bytes[self.read];
        self.read += 1;
        Ok(1)
    }
}

impl SnapshotSource for Content {
    fn error(&mut self) -> Option<StorageError> {
        let damage = || StorageError::BadSnapshot {
            path: PathBuf::from("the snapshot"),
            offset: 1,
            reason: "rot".to_owned(),
        };
        self.is_damaged_here().then(damage)
    }
}

impl SnapshotStore for Shelf {
    fn list(&mut self, _group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        let member = (NodeId::new(1).expect("not zero"), "a:1".to_owned());
        let membership = Arc::new(Membership::founding([member]).expect("a good list"));
        let meta = |(&index, content): (&u64, &Vec<u8>)| SnapshotMeta {
            id: SnapshotId(index),
            position: at(index),
            membership: Arc::clone(&membership),
            bytes: content.len() as u64,
        };
        Ok(self.0.iter().rev().map(meta).collect())
    }

    fn open(&mut self, _group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError> {
        Ok(Box::new(Content { bytes: self.0[&id.0].clone(), read: 0 }))
    }

    fn create(
        &mut self,
        _group: GroupId,
        _position: LogPosition,
        _membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError> {
        unreachable!("nothing is written at the start")
    }

    fn piece(
        &mut self,
        _group: GroupId,
        _id: SnapshotId,
        _offset: u64,
        _bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        unreachable!("nothing is sent at the start")
    }

    fn receive(
        &mut self,
        _group: GroupId,
        _snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError> {
        unreachable!("nothing is received at the start")
    }

    fn prune(&mut self, _group: GroupId, _log_starts_after: LogIndex) -> Result<(), StorageError> {
        unreachable!("nothing is removed at the start")
    }
}

#[test]
fn a_machine_in_memory_begins_with_the_newest_snapshot_that_belongs_to_the_log() {
    // The log has entries 4 to 9; a snapshot of entry 20 was received, and the node crashed before its log began behind it.
    let mut shelf = shelf([(3, &[3]), (7, &[7]), (20, &[20])]);
    let mut machine = machine_in_memory();

    let beginning = restore_from(&mut shelf, &log(3, 9), &mut machine).unwrap();

    assert_eq!((beginning.applied, machine.0.state), (at(7), 7));
    assert_eq!(beginning.snapshot.map(|snapshot| snapshot.position), Some(at(7)));
    assert_eq!(machine.0.ended, Some(at(7)), "the machine may store what it restored");
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_an_older_one_that_the_log_reaches() {
    let mut shelf = shelf([(3, &[3]), (7, &[7, 0])]);
    let mut machine = machine_in_memory();

    let beginning = restore_from(&mut shelf, &log(3, 9), &mut machine).unwrap();

    assert_eq!((beginning.applied, machine.0.state), (at(3), 3));
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_log_and_the_machine_never_sees_it() {
    let mut shelf = shelf([(7, &[7, 0])]);
    let mut machine = machine_in_memory();

    let beginning = restore_from(&mut shelf, &log(0, 9), &mut machine).unwrap();

    assert_eq!((beginning.applied, beginning.on_disk), (LogPosition::ZERO, false));
    assert!(machine.0.seen.is_empty(), "half a snapshot is no state to apply a log to");
}

#[test]
fn the_log_is_kept_behind_the_snapshot_that_was_good_and_not_behind_a_damaged_newer_one() {
    let mut older_is_good = shelf([(3, &[3]), (7, &[7, 0])]);
    let beginning = restore_from(&mut older_is_good, &log(3, 9), &mut machine_in_memory()).unwrap();
    assert_eq!(beginning.snapshot.map(|snapshot| snapshot.position), Some(at(3)));

    let mut none_is_good = shelf([(7, &[7, 0])]);
    let beginning = restore_from(&mut none_is_good, &log(0, 9), &mut machine_in_memory()).unwrap();
    assert_eq!(beginning.snapshot, None, "the whole log is the only way to this state");
}

#[test]
fn a_damaged_snapshot_that_nothing_can_take_the_place_of_is_named() {
    let refused = restore_from(&mut shelf([(3, &[3, 0])]), &log(3, 9), &mut machine_in_memory()).err();

    assert!(matches!(refused, Some(StartError::Storage(StorageError::BadSnapshot { .. }))), "{refused:?}");
}

#[test]
fn a_log_that_begins_behind_a_snapshot_which_is_missing_is_refused() {
    let refused = restore_from(&mut shelf([]), &log(3, 9), &mut machine_in_memory()).err();

    assert!(
        matches!(refused, Some(StartError::SnapshotMissing { starts_after }) if starts_after == at(3)),
        "{refused:?}"
    );
}

#[test]
fn a_snapshot_that_is_whole_and_that_the_machine_does_not_take_is_refused_by_name() {
    let refused = restore_from(&mut shelf([(3, &[9])]), &log(0, 9), &mut machine_in_memory()).err();

    assert!(matches!(&refused, Some(StartError::Restore { reason, .. }) if reason == "nine"), "{refused:?}");
}

#[test]
fn a_machine_on_disk_within_the_log_goes_on_from_where_it_is() {
    for held in [3, 5, 9] {
        let mut machine = machine_on_disk(held);

        let beginning = restore_from(&mut shelf([(7, &[7])]), &log(3, 9), &mut machine).unwrap();

        assert_eq!((beginning.applied, beginning.on_disk), (at(held), true));
        assert!(machine.0.seen.is_empty(), "it holds its state already");
        assert_eq!(beginning.snapshot.map(|snapshot| snapshot.position), Some(at(7)));
    }
}

#[test]
fn a_machine_on_disk_from_before_the_log_is_given_the_newest_snapshot() {
    let mut machine = machine_on_disk(2);

    let beginning = restore_from(&mut shelf([(3, &[3]), (7, &[7])]), &log(3, 9), &mut machine).unwrap();

    assert_eq!((beginning.applied, machine.0.state, machine.0.ended), (at(7), 7, Some(at(7))));
}

#[test]
fn a_machine_on_disk_that_is_ahead_of_the_log_or_beside_it_is_refused() {
    let beside = LogPosition::new(Term(2), LogIndex(5));
    for held in [at(10), beside] {
        let mut machine = Typed(Number { held: Some(held), ..Number::default() });

        let refused = restore_from(&mut shelf([]), &log(3, 9), &mut machine).err();

        let ends = |applied, last| applied == held && last == at(9);
        assert!(
            matches!(refused, Some(StartError::AppliedOutsideLog { applied, last, .. }) if ends(applied, last)),
            "{refused:?}"
        );
    }
}
