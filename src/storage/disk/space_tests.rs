//! What the log takes of the disk, and when it gives it back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::simulated::SimulatedDisk;
use super::{DiskConfig, DiskLog};
use crate::storage::memory::MemoryLog;
use crate::storage::{GroupWrite, Identity, Storage, StorageError, Upkeep};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, Term,
};

fn node() -> NodeId {
    NodeId::new(1).expect("not zero")
}

fn identity() -> Identity {
    Identity { node: node(), cluster: ClusterId(5), incarnation: Incarnation(6), joined: false }
}

fn membership() -> Arc<Membership> {
    Arc::new(Membership::founding([(node(), "a:1".to_owned())]).expect("one member"))
}

fn open(disk: &SimulatedDisk, segment_bytes: u64) -> DiskLog {
    let config = DiskConfig::new("/data", node()).segment_bytes(segment_bytes);
    DiskLog::open_on(Arc::new(disk.clone()), config).expect("open")
}

fn founded(disk: &SimulatedDisk, segment_bytes: u64) -> DiskLog {
    let mut log = open(disk, segment_bytes);
    log.found(identity(), &[]).expect("found");
    log
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}

fn entries(first: u64, last: u64, bytes: usize) -> GroupWrite {
    let payload = Payload::Normal { origin: None, command: vec![7; bytes].into() };
    let run = (first..=last).map(|index| Entry { position: at(index), payload: payload.clone() });
    let run = EntryRun::new(run.collect()).expect("not empty");
    GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries: vec![run] }
}

fn append(log: &mut DiskLog, first: u64, last: u64, bytes: usize) {
    log.write(&[entries(first, last, bytes)]).expect("write");
}

#[test]
fn a_thousand_small_commands_cost_less_than_half_as_much_again() {
    let mut log = founded(&SimulatedDisk::default(), 1 << 20);
    let metrics = log.metrics();
    let before = metrics.bytes.get();

    append(&mut log, 1, 1000, 128);

    assert!(metrics.bytes.get() - before < 1000 * 128 * 3 / 2);
    assert_eq!(metrics.entries.get(), 1000);
}

#[test]
fn a_founding_that_finds_the_disk_full_anywhere_can_be_made_again() {
    for operations in 0.. {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk, DiskConfig::SEGMENT_BYTES_MIN);
        disk.fill_after(operations);
        match log.found(identity(), &[(GroupId::MAIN, None)]) {
            Ok(()) => return assert!(operations > 10, "it took {operations} operations"),
            Err(StorageError::DiskFull { .. }) => {
                assert!(log.identity().is_none(), "it is as blank as before");
            }
            Err(error) => panic!("in operation {operations}: {error}"),
        }

        disk.set_full(false);
        log.found(identity(), &[(GroupId::MAIN, None)]).expect("there is room now");
        append(&mut log, 1, 5, 100);
        drop(log);

        let recovered = open(&disk, DiskConfig::SEGMENT_BYTES_MIN).recovered();
        assert_eq!(recovered[&GroupId::MAIN].entries.len(), 5);
    }
}

#[test]
fn a_released_segment_is_recycled_only_when_its_last_reader_lets_go() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    let mut upkeep = log.upkeep().expect("the first");
    let first_segment = Path::new("/data/0000000001.log");
    append(&mut log, 1, 1, 9000);
    let held = log.shared.index.read().find(GroupId::MAIN, LogIndex(1)).expect("it was written");
    for index in 2..=10 {
        append(&mut log, index, index, 9000);
    }
    log.release(GroupId::MAIN, at(9), &membership()).expect("release");

    while upkeep.turn().expect("turn") {}
    assert!(disk.names().iter().any(|name| name == first_segment), "it is still being read");

    drop(held);
    while upkeep.turn().expect("turn") {}
    assert!(!disk.names().iter().any(|name| name == first_segment), "nobody reads it any more");
}

#[test]
fn a_spare_is_prepared_before_the_segment_is_full_and_taken_when_it_is() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    let mut upkeep = log.upkeep().expect("the first");
    let metrics = log.metrics();
    let unprepared = metrics.unprepared_segments.get();

    for index in 1..=40 {
        append(&mut log, index, index, 9000);
        while upkeep.turn().expect("turn") {}
    }

    assert!(metrics.rotations.get() > 3);
    assert_eq!(metrics.unprepared_segments.get(), unprepared, "no write made its own segment");
}

/// The lengths of the spares.
fn spares(disk: &SimulatedDisk) -> Vec<usize> {
    let is_spare = |name: &&PathBuf| name.display().to_string().contains("spare");
    let mut lengths: Vec<_> =
        disk.names().iter().filter(is_spare).map(|name| disk.content(name).len()).collect();
    lengths.sort_unstable();
    lengths
}

fn keep_up(upkeep: &mut dyn Upkeep) {
    while upkeep.turn().expect("there is room") {}
}

#[test]
fn a_small_spare_is_in_reserve_from_the_start_and_a_large_one_comes_when_it_is_needed() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, 8 << 20);
    let mut upkeep = log.upkeep().expect("the first");

    keep_up(&mut *upkeep);
    assert_eq!(spares(&disk), [4 << 20]);

    append(&mut log, 1, 20, 150_000);
    keep_up(&mut *upkeep);
    assert_eq!(spares(&disk), [4 << 20, 8 << 20]);

    for index in 21..=30 {
        append(&mut log, index, index, 150_000);
    }
    assert_eq!(spares(&disk), [4 << 20], "the large one was taken");
    assert_eq!(log.metrics().unprepared_segments.get(), 1, "the founding alone made its own segment");
    drop((log, upkeep));

    open(&disk, 8 << 20);
    assert_eq!(spares(&disk), [4 << 20], "it is still there at the next start");
}

#[test]
fn on_a_full_disk_the_reserve_takes_what_the_node_needs_to_step_aside() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    let mut upkeep = log.upkeep().expect("the first");
    keep_up(&mut *upkeep);
    let rotations = log.metrics().rotations.get();

    disk.set_full(true);
    let mut index = 0;
    while log.metrics().rotations.get() == rotations {
        index += 1;
        append(&mut log, index, index, 9000);
    }

    let told = upkeep.turn().expect_err("the reserve is gone and cannot be made again");
    assert!(matches!(told, StorageError::DiskFull { .. }), "{told}");
    assert!(upkeep.turn().is_err(), "it says so as long as that is so");
    assert!(log.metrics().disk_full.get() >= 2);
    let state = HardState { term: Term(9), voted_for: None };
    let vote =
        GroupWrite { group: GroupId::MAIN, hard_state: Some(state), restart: None, entries: Vec::new() };
    log.write(&[vote]).expect("the reserve has room for a term");
    disk.set_full(false);
    keep_up(&mut *upkeep);
    assert!(!spares(&disk).is_empty());
}

/// Small writes, and one that takes several segments: each finds the disk full, writes nothing, and is taken later.
#[test]
fn a_write_that_finds_the_disk_full_has_written_nothing_and_can_be_made_again() {
    for count in [1, 40] {
        let disk = SimulatedDisk::default();
        let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
        let mut last = 0;
        disk.set_full(true);
        let (refused, write) = loop {
            let write = entries(last + 1, last + count, 9000);
            match log.write(std::slice::from_ref(&write)) {
                Ok(()) => last += count,
                Err(error) => break (error, write),
            }
        };
        assert!(refused.is_recoverable(), "{refused}");
        let next = log.reader().read(GroupId::MAIN, LogIndex(last + 1), LogIndex(last + 1), 1);
        assert!(matches!(next, Err(StorageError::NoSuchEntry { .. })), "nothing of it was written");
        assert!(log.write(std::slice::from_ref(&write)).is_err_and(|error| error.is_recoverable()));
        let crashed = disk.fork();
        crashed.restart(&mut |_| 2);
        let recovered = open(&crashed, DiskConfig::SEGMENT_BYTES_MIN).recovered();
        assert_eq!(recovered.get(&GroupId::MAIN).map_or(0, |main| main.entries.len() as u64), last);
        assert_eq!(spares(&disk), Vec::<usize>::new(), "what was begun gave its space back");

        disk.set_full(false);
        log.write(&[write]).expect("there is room again");
        drop(log);
        let recovered = open(&disk, DiskConfig::SEGMENT_BYTES_MIN).recovered();
        assert_eq!(recovered[&GroupId::MAIN].entries.len() as u64, last + count);
    }
}

#[test]
fn a_write_of_many_segments_that_fails_half_way_into_its_space_gives_it_back_to_the_reserve() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    let mut upkeep = log.upkeep().expect("the first");
    keep_up(&mut *upkeep);
    disk.set_full(true);

    let write = entries(1, 40, 9000);
    assert!(log.write(std::slice::from_ref(&write)).is_err_and(|error| error.is_recoverable()));

    assert_eq!(spares(&disk).len(), 1, "the reserve is back");
    assert!(!upkeep.turn().expect("nothing is missing"));
    disk.set_full(false);
    log.write(&[write]).expect("there is room again");
    assert_eq!(log.reserved.len(), 0);
}

#[test]
fn a_snapshot_that_finds_the_disk_full_leaves_nothing_and_harms_nothing() {
    let disk = SimulatedDisk::default();
    let mut log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    let mut store = log.snapshots();
    let mut sink = store.create(GroupId::MAIN, at(5), &membership()).expect("create");
    disk.set_full(true);

    let written = sink.write_all(&vec![1; 3 << 20]);

    assert_eq!(written.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    assert!(sink.finish().is_err());
    assert!(store.create(GroupId::MAIN, at(5), &membership()).is_err_and(|error| error.is_recoverable()));
    assert!(!disk.names().iter().any(|name| name.extension().is_some_and(|kind| kind == "writing")));
    append(&mut log, 1, 1, 100);
    disk.set_full(false);
    let mut sink = store.create(GroupId::MAIN, at(5), &membership()).expect("there is room again");
    sink.write_all(b"state").expect("write");
    sink.finish().expect("finish");
    assert_eq!(store.list(GroupId::MAIN).expect("list").len(), 1);
}

/// Reserving the space of the whole file finds the disk full before a byte is sent.
#[test]
fn a_snapshot_that_does_not_fit_is_refused_before_it_is_received() {
    let mut leader = MemoryLog::new();
    leader.found(identity(), &[]).expect("found");
    let mut sink = leader.snapshots().create(GroupId::MAIN, at(5), &membership()).expect("create");
    sink.write_all(&vec![1; 700_000]).expect("write");
    let offered = sink.finish().expect("finish");
    let disk = SimulatedDisk::default();
    let log = founded(&disk, DiskConfig::SEGMENT_BYTES_MIN);
    disk.set_full(true);

    let refused = log.snapshots().receive(GroupId::MAIN, &offered).err().expect("there is no room");

    assert!(matches!(refused, StorageError::DiskFull { .. }), "{refused}");
    assert!(!disk.names().iter().any(|name| name.extension().is_some_and(|kind| kind == "receiving")));
    disk.set_full(false);
    log.snapshots().receive(GroupId::MAIN, &offered).expect("there is room again");
}
