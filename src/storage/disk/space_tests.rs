//! What the log takes of the disk, and when it gives it back.

use std::path::Path;
use std::sync::Arc;

use super::simulated::SimulatedDisk;
use super::{DiskConfig, DiskLog};
use crate::storage::{GroupWrite, Identity, Storage};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, Incarnation, LogIndex, LogPosition, Membership, NodeId, Payload,
    Term,
};

fn founded(disk: &SimulatedDisk, segment_bytes: u64) -> DiskLog {
    let node = NodeId::new(1).expect("not zero");
    let config = DiskConfig::new("/data", node).segment_bytes(segment_bytes);
    let mut log = DiskLog::open_on(Arc::new(disk.clone()), config).expect("open");
    let identity = Identity { node, cluster: ClusterId(5), incarnation: Incarnation(6), joined: false };
    log.found(identity, &[]).expect("found");
    log
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}

fn append(log: &mut DiskLog, first: u64, last: u64, bytes: usize) {
    let payload = Payload::Normal { origin: None, command: vec![7; bytes].into() };
    let entries = (first..=last).map(|index| Entry { position: at(index), payload: payload.clone() });
    let run = EntryRun::new(entries.collect()).expect("not empty");
    log.write(&[GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries: vec![run] }])
        .expect("write");
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
    let members = [(NodeId::new(1).expect("not zero"), "a:1".to_owned())];
    let membership = Arc::new(Membership::founding(members).expect("one member"));
    log.release(GroupId::MAIN, at(9), &membership).expect("release");

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
