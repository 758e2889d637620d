//! The real code on a disk that loses what was not synced: at whatever moment power fails, the log that is recovered
//! holds all that was acknowledged, and nothing that was never written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::simulated::SimulatedDisk;
use super::{DiskConfig, DiskLog};
use crate::storage::memory::MemoryLog;
use crate::storage::{GroupWrite, Identity, SnapshotStore, Storage, StorageError, Upkeep};
use crate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, SnapshotMeta, Term,
};

mod every_crash;
mod failed_syncs;
mod lies;
mod matrix;
mod model;
mod programs;
mod recorded;
mod refusals;

use model::{Model, Offer, Step, state_of, summary};

const GROUPS: [GroupId; 2] = [GroupId::MAIN, GroupId(9)];

fn node() -> NodeId {
    NodeId::new(1).expect("not zero")
}

fn identity() -> Identity {
    Identity { node: node(), cluster: ClusterId(5), incarnation: Incarnation(6), joined: false }
}

fn config() -> DiskConfig {
    DiskConfig::new("/data", node()).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN)
}

fn open(disk: &SimulatedDisk) -> Result<DiskLog, StorageError> {
    DiskLog::open_on(Arc::new(disk.clone()), config())
}

fn membership() -> Arc<Membership> {
    Arc::new(Membership::founding([(node(), "a:1".to_owned())]).expect("one member"))
}

fn founding_entry() -> Entry {
    Entry { position: LogPosition::new(Term(0), LogIndex(1)), payload: Payload::Membership(membership()) }
}

/// Its content follows from its position and size, so that any mixture is noticed.
fn command(term: u64, index: u64, bytes: usize) -> Entry {
    static PATTERN: [u8; 16 << 10] = {
        let mut pattern = [0; 16 << 10];
        let mut at = 0;
        while at < pattern.len() {
            pattern[at] = (at % 251) as u8;
            at += 1;
        }
        pattern
    };
    let from = (index * 31 + term * 101) as usize % 4096;
    let content = Bytes::from_static(&PATTERN[from..from + bytes]);
    let position = LogPosition::new(Term(term), LogIndex(index));
    Entry { position, payload: Payload::Normal { origin: None, command: content } }
}

fn append(group: GroupId, term: u64, first: u64, sizes: &[usize]) -> GroupWrite {
    let entries: Arc<[Entry]> =
        sizes.iter().zip(first..).map(|(&bytes, index)| command(term, index, bytes)).collect();
    GroupWrite {
        group,
        hard_state: None,
        restart: None,
        entries: EntryRun::new(entries).into_iter().collect(),
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// A step that fits the state of the log. Some lives release much, so that segments come round again.
fn any_step(model: &Model, random: &mut Random, term: u64, releases: bool) -> Step {
    let Some(groups) = model else {
        return Step::Found;
    };
    let id = GROUPS[random.below(2)];
    let group = &groups[&id];
    match random.below(if releases { 24 } else { 18 }) {
        0 => Step::Settle,
        1 | 2 | 22 | 23 => Step::Upkeep,
        3 if !group.entries.is_empty() => {
            let released = &group.entries[random.below(group.entries.len())];
            Step::Release(id, released.position)
        }
        4 => {
            let state = HardState { term: Term(term), voted_for: NodeId::new(random.below(3) as u64) };
            let mut write = append(id, term, group.last() + 1, &[10, 20]);
            write.hard_state = Some(state);
            Step::Write(vec![write])
        }
        5 if !group.entries.is_empty() => {
            let from = group.entries[random.below(group.entries.len())].position.index.0;
            Step::Write(vec![append(id, term, from, &[random.below(5000)])])
        }
        18..=21 => {
            let beyond = if random.below(4) == 0 { random.below(3) as u64 } else { 0 };
            Step::Release(id, LogPosition::new(Term(term), LogIndex(group.last() + beyond)))
        }
        12 => {
            // Into the log, at its end, or beyond it; sometimes with a vote, and with what follows.
            let from = group.starts_after.index.0 + random.below(group.entries.len() + 3) as u64;
            let sizes: Vec<usize> = (0..random.below(3)).map(|_| random.below(5000)).collect();
            let mut write = append(id, term, from + 1, &sizes);
            write.restart = Some((LogPosition::new(Term(term), LogIndex(from)), membership()));
            write.hard_state =
                (random.below(2) == 0).then_some(HardState { term: Term(term), voted_for: None });
            Step::Write(vec![write])
        }
        13 => Step::Snapshot(id, LogIndex(random.below(50) as u64)),
        14 | 15 => {
            let offer = &Offer::of(id)[random.below(2)];
            let length = offer.file.len();
            Step::Receive(id, offer, if random.below(2) == 0 { length } else { random.below(length) })
        }
        16 => Step::Prune(id, LogIndex(random.below(50) as u64)),
        _ => {
            let write = |id: GroupId, random: &mut Random| {
                let sizes: Vec<usize> = (0..=random.below(6)).map(|_| random.below(9000)).collect();
                append(id, term, groups[&id].last() + 1, &sizes)
            };
            Step::Write(GROUPS.map(|id| write(id, random)).into())
        }
    }
}

/// One life of the log after another, the first ended after `first_operations`: each by a loss of power, or by the death
/// of the process alone. What a life was shown is a promise to it: the next must find it.
fn live_and_crash(seed: u64, first_operations: u64, releases: bool) {
    let disk = SimulatedDisk::default();
    let mut random = Random(seed);
    let mut legal: Vec<Model> = vec![None];
    for life in 1..=5 {
        let operations = if life == 1 { first_operations } else { random.below(60) as u64 };
        disk.fail_power_after(operations);
        let context = format!("seed {seed}, first failure after {first_operations}, life {life}");
        match open(&disk) {
            Err(error) => assert!(disk.is_off(), "{context}: the log does not open: {error}"),
            Ok(mut log) => {
                let state = state_of(&mut log);
                assert!(
                    legal.contains(&state),
                    "{context}: {:?} is none of the legal states {:?}",
                    summary(&state),
                    legal.iter().map(summary).collect::<Vec<_>>()
                );
                legal = live(&disk, &mut log, state, &mut random, (life, releases), &context);
            }
        }
        if random.below(3) == 0 {
            disk.restart_process();
        } else {
            disk.restart(&mut |bound| random.below(bound));
        }
    }
    let state = state_of(&mut open(&disk).expect("with power it opens"));
    assert!(legal.contains(&state), "seed {seed}: none of the legal states is recovered");
}

/// Does steps until power fails; gives the states that are legal then.
fn live(
    disk: &SimulatedDisk,
    log: &mut DiskLog,
    mut state: Model,
    random: &mut Random,
    (term, releases): (u64, bool),
    context: &str,
) -> Vec<Model> {
    let mut upkeep = log.upkeep().expect("the first one");
    for _ in 0..200 {
        let step = any_step(&state, random, term, releases);
        if let Err(error) = step.run(log, &mut *upkeep) {
            assert!(disk.is_off(), "{context}: {step:?}: {error}");
            return step.outcomes(&state);
        }
        step.apply(&mut state, &mut |_| {});
    }
    vec![state]
}

#[test]
fn power_may_fail_in_every_operation_of_every_life() {
    for first_operations in 0..150 {
        live_and_crash(first_operations, first_operations, false);
        live_and_crash(first_operations + 1000, first_operations + 50, true);
    }
}

/// A founded log with a synced entry 2, in which power fails in the write of entries 3 to 5, of about five pages.
fn torn_write() -> (SimulatedDisk, Vec<Model>) {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    let mut model = Step::Found.outcomes(&None).pop().expect("founded");
    let first = Step::Write(vec![append(GroupId::MAIN, 1, 2, &[100])]);
    first.run(&mut log, &mut Idle).expect("write");
    model = first.outcomes(&model).pop().expect("written");
    disk.fail_power_after(1);
    let torn = Step::Write(vec![append(GroupId::MAIN, 1, 3, &[6000, 6000, 6000])]);
    torn.run(&mut log, &mut Idle).expect_err("power fails in its sync");
    (disk, torn.outcomes(&model))
}

struct Idle;

impl Upkeep for Idle {
    fn turn(&mut self) -> Result<bool, StorageError> {
        Ok(false)
    }
}

#[test]
fn a_batch_of_which_any_pages_are_lost_is_dropped_whole() {
    let (disk, legal) = torn_write();
    let pages = disk.dirty_pages();
    assert_eq!(pages, 5);

    for kept in 0..1 << pages {
        let disk = disk.fork();
        let mut page = 0;
        disk.restart(&mut |bound| {
            if bound != 4 {
                return 0;
            }
            page += 1;
            if kept >> (page - 1) & 1 == 1 { 2 } else { 0 }
        });

        let state = state_of(&mut open(&disk).expect("a torn tail is no corruption"));

        let all_kept = kept == (1 << pages) - 1;
        let expected = if all_kept { legal.last() } else { legal.first() };
        assert_eq!(Some(&state), expected, "pages {kept:b}");
    }
}

#[test]
fn a_new_beginning_of_which_any_pages_are_lost_happened_or_did_not() {
    let (disk, legal) = {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).expect("open");
        let mut model = None;
        for step in [Step::Found, Step::Write(vec![append(GroupId::MAIN, 1, 2, &[100; 20])])] {
            step.run(&mut log, &mut Idle).expect("power is on");
            model = step.outcomes(&model).pop().expect("an outcome");
        }
        disk.fail_power_after(1);
        let mut write = append(GroupId::MAIN, 4, 9, &[6000, 6000]);
        write.hard_state = Some(HardState { term: Term(4), voted_for: None });
        write.restart = Some((LogPosition::new(Term(3), LogIndex(8)), membership()));
        let step = Step::Write(vec![write]);
        step.run(&mut log, &mut Idle).expect_err("power fails in its sync");
        (disk, step.outcomes(&model))
    };
    let pages = disk.dirty_pages();
    assert!(pages > 2, "{pages} pages");

    for kept in 0..1 << pages {
        let disk = disk.fork();
        let mut page = 0;
        disk.restart(&mut |bound| {
            if bound != 4 {
                return 0;
            }
            page += 1;
            if kept >> (page - 1) & 1 == 1 { 2 } else { 0 }
        });

        let state = state_of(&mut open(&disk).expect("a torn tail is no corruption"));

        let all_kept = kept == (1 << pages) - 1;
        assert_eq!(Some(&state), if all_kept { legal.last() } else { legal.first() }, "pages {kept:b}");
    }
}

/// Received, durable, the log begins anew, the snapshots before are pruned: with power failing in each operation.
#[test]
fn an_install_that_power_interrupts_leaves_the_old_log_or_the_new_one() {
    let offer = &Offer::of(GroupId::MAIN)[0];
    let position = LogPosition::new(Term(1), offer.meta.position.index);
    let restart = GroupWrite { restart: Some((position, membership())), ..append(GroupId::MAIN, 1, 0, &[]) };
    let install = [
        Step::Receive(GroupId::MAIN, offer, offer.file.len()),
        Step::Write(vec![restart]),
        Step::Prune(GroupId::MAIN, position.index),
        Step::Upkeep,
        Step::Write(vec![append(GroupId::MAIN, 2, position.index.0 + 1, &[100])]),
    ];
    let mut interrupted_at = 0;
    loop {
        let mut is_complete = false;
        for seed in 0..4 {
            let disk = SimulatedDisk::default();
            let mut log = open(&disk).expect("open");
            let mut upkeep = log.upkeep().expect("the first");
            let mut state = None;
            let before = (2..=20).map(|index| Step::Write(vec![append(GroupId::MAIN, 1, index, &[9000])]));
            let old = Step::Snapshot(GroupId::MAIN, LogIndex(11));
            for step in [Step::Found].into_iter().chain(before).chain([old, Step::Upkeep]) {
                step.run(&mut log, &mut *upkeep).expect("power is on");
                step.apply(&mut state, &mut |_| {});
            }
            disk.fail_power_after(interrupted_at);
            let mut legal = vec![state.clone()];
            is_complete = install.iter().all(|step| {
                legal = step.outcomes(&state);
                let done = step.run(&mut log, &mut *upkeep).is_ok();
                if done {
                    step.apply(&mut state, &mut |_| {});
                    legal = vec![state.clone()];
                }
                done
            });
            drop((log, upkeep));
            let mut random = Random(seed);
            disk.restart(&mut |bound| random.below(bound));

            let found = state_of(&mut open(&disk).expect("open"));

            assert!(
                legal.contains(&found),
                "after {interrupted_at} operations, seed {seed}: {:?}",
                summary(&found)
            );
            let group = &found.as_ref().expect("founded")[&GroupId::MAIN];
            let is_anew = group.starts_after == position;
            let covers = !is_anew || group.snapshots.contains(&position.index);
            assert!(covers, "the log begins after a snapshot that is not there");
        }
        if is_complete {
            break;
        }
        interrupted_at += 1;
    }
    assert!(interrupted_at > 20, "only {interrupted_at} operations were interrupted");
}

/// The first batch loses its header alone. The next one, at the same place and of the same layout, keeps its header
/// alone: in front of the records of the other, each of them valid.
#[test]
fn two_torn_batches_at_one_place_never_make_a_whole_one() {
    const FILLS_FIRST_PAGE: usize = 4096 - 36 - 34;
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    let founded = Step::Found.outcomes(&None).pop().expect("founded");
    drop(log);
    for (term, kept_pages) in [(1, [0, 2]), (2, [2, 0])] {
        let mut log = open(&disk).expect("open");
        assert!(state_of(&mut log) == founded, "nothing of a torn batch is there");
        disk.fail_power_after(1);
        let step = Step::Write(vec![append(GroupId::MAIN, term, 2, &[FILLS_FIRST_PAGE, 300])]);
        step.run(&mut log, &mut Idle).expect_err("power fails in its sync");
        drop(log);
        assert_eq!(disk.dirty_pages(), 2);
        let mut kept = kept_pages.into_iter();
        disk.restart(&mut |bound| if bound == 4 { kept.next().expect("two pages") } else { 0 });
    }

    assert!(state_of(&mut open(&disk).expect("open")) == founded, "the two were taken for one");
}

#[test]
fn what_is_appended_after_a_torn_tail_is_recovered_again() {
    for seed in 0..40 {
        let (disk, legal) = torn_write();
        let mut random = Random(seed);
        disk.restart(&mut |bound| random.below(bound));
        let mut log = open(&disk).expect("open");
        let state = state_of(&mut log);
        assert!(legal.contains(&state));

        let last = state.as_ref().expect("founded")[&GroupId::MAIN].last();
        let step = Step::Write(vec![append(GroupId::MAIN, 2, last + 1, &[50])]);
        step.run(&mut log, &mut Idle).expect("write");
        drop(log);
        disk.restart(&mut |bound| random.below(bound));

        let again = state_of(&mut open(&disk).expect("open"));
        assert_eq!(Some(&again), step.outcomes(&state).last(), "seed {seed}");
    }
}

#[test]
fn a_longer_tail_that_was_replaced_never_comes_back() {
    for power_fails_after in 0..12 {
        for seed in 0..20 {
            let disk = SimulatedDisk::default();
            let mut log = open(&disk).expect("open");
            let mut model = None;
            let long = Step::Write(vec![append(GroupId::MAIN, 1, 2, &[700; 30])]);
            for step in [Step::Found, long] {
                step.run(&mut log, &mut Idle).expect("power is on");
                model = step.outcomes(&model).pop().expect("an outcome");
            }
            disk.fail_power_after(power_fails_after);
            let short = Step::Write(vec![append(GroupId::MAIN, 2, 5, &[60])]);
            let legal = match short.run(&mut log, &mut Idle) {
                Ok(()) => vec![short.outcomes(&model).pop().expect("an outcome")],
                Err(_) => short.outcomes(&model),
            };
            drop(log);
            let mut random = Random(seed);
            disk.restart(&mut |bound| random.below(bound));

            let state = state_of(&mut open(&disk).expect("open"));

            assert!(legal.contains(&state), "power failed after {power_fails_after}, seed {seed}");
        }
    }
}

#[test]
fn a_hole_is_cut_above_the_last_witness_and_corrupt_below_it() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    let before = log.appender_end();
    Step::Write(vec![append(GroupId::MAIN, 1, 2, &[100])]).run(&mut log, &mut Idle).expect("write");
    let segment = PathBuf::from("/data/0000000001.log");
    let make_hole = |disk: &SimulatedDisk| {
        disk.alter(&segment, |bytes| bytes[before as usize..][..512].fill(0));
    };

    let unwitnessed = disk.fork();
    make_hole(&unwitnessed);
    let mut recovered = open(&unwitnessed).expect("it looks like a tear");
    assert_eq!(recovered.recovered()[&GroupId::MAIN].entries.len(), 1);

    log.settle().expect("settle");
    let witnessed = disk.fork();
    make_hole(&witnessed);
    let refused = open(&witnessed).err().expect("it was durable");
    assert!(
        matches!(&refused, StorageError::Corrupt { segment: at, offset, index, .. }
            if *at == segment && *offset == before && *index == LogIndex(1)),
        "{refused}"
    );
}

#[test]
fn after_a_refused_sync_nothing_is_taken_or_believed() {
    for refused in 0..1 {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).expect("open");
        Step::Found.run(&mut log, &mut Idle).expect("found");
        let mut reader = log.reader();
        disk.refuse_sync_after(refused);

        let step = Step::Write(vec![append(GroupId::MAIN, 1, 2, &[100])]);
        assert!(matches!(step.run(&mut log, &mut Idle), Err(StorageError::Io { operation: "sync", .. })));

        assert!(matches!(step.run(&mut log, &mut Idle), Err(StorageError::Poisoned)));
        assert!(matches!(log.settle(), Err(StorageError::Poisoned)));
        let read = reader.read(GroupId::MAIN, LogIndex(1), LogIndex(1), 1000);
        assert!(matches!(read, Err(StorageError::Poisoned)));
        assert!(matches!(log.upkeep().expect("the first").turn(), Err(StorageError::Poisoned)));
    }
}

#[test]
fn a_full_disk_is_found_before_anything_is_written_and_leaves_the_log_as_it_was() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    disk.set_full(true);
    assert!(matches!(Step::Found.run(&mut log, &mut Idle), Err(StorageError::DiskFull { .. })));
    assert_eq!(log.identity(), None);
    disk.set_full(false);
    Step::Found.run(&mut log, &mut Idle).expect("there is room again");

    disk.set_full(true);
    let mut written = 1;
    let refused = loop {
        let step = Step::Write(vec![append(GroupId::MAIN, 1, written + 1, &[9000])]);
        match step.run(&mut log, &mut Idle) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(refused.is_recoverable(), "{refused}");
    log.settle().expect("what is there can still be settled");
    disk.set_full(false);
    Step::Write(vec![append(GroupId::MAIN, 1, written + 1, &[9000])])
        .run(&mut log, &mut Idle)
        .expect("there is room again");
    drop(log);

    let state = state_of(&mut open(&disk).expect("open")).expect("founded");
    assert_eq!(state[&GroupId::MAIN].last(), written + 1);
}

#[test]
fn a_disk_without_room_or_a_process_without_file_descriptors_stops_the_upkeep_until_that_is_over() {
    for trouble in [SimulatedDisk::set_full, SimulatedDisk::set_no_descriptors] {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk).expect("open");
        let mut upkeep = log.upkeep().expect("the first");
        Step::Found.run(&mut log, &mut Idle).expect("found");
        Step::Write(vec![append(GroupId::MAIN, 1, 2, &[9000, 9000])])
            .run(&mut log, &mut Idle)
            .expect("write");

        trouble(&disk, true);
        let refused = upkeep.turn().expect_err("no spare can be made");
        assert!(refused.is_recoverable(), "{refused}");
        trouble(&disk, false);
        while upkeep.turn().expect("spares can be made again") {}

        assert_eq!(spares(&disk), 2, "the reserve, and the one that is needed soon");
    }
}

#[test]
fn a_directory_is_not_free_while_its_upkeep_may_still_write_there() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    let upkeep = log.upkeep().expect("the first");

    drop(log);
    let refused = open(&disk).map(|_| ());
    drop(upkeep);

    assert!(matches!(refused, Err(StorageError::Locked { .. })), "{refused:?}");
    open(&disk).expect("nobody writes there any more");
}

fn spares(disk: &SimulatedDisk) -> usize {
    disk.names().iter().filter(|name| name.display().to_string().contains("spare")).count()
}

/// A recycled segment still holds valid records of the same group, indexes and terms: under another salt.
#[test]
fn what_a_recycled_segment_held_before_is_never_replayed() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    let mut upkeep = log.upkeep().expect("the first");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    for index in 2..=40 {
        let step = Step::Write(vec![append(GroupId::MAIN, 1, index, &[9000])]);
        step.run(&mut log, &mut *upkeep).expect("write");
        Step::Upkeep.run(&mut log, &mut *upkeep).expect("upkeep");
        for group in GROUPS {
            let through = LogPosition::new(Term(1), LogIndex(if group == GroupId::MAIN { index } else { 1 }));
            Step::Release(group, through).run(&mut log, &mut *upkeep).expect("release");
        }
    }
    assert!(disk.names().len() < 8, "segments are recycled: {:?}", disk.names());
    let newest = disk.names().into_iter().rfind(|name| name.extension().is_some()).expect("a segment");
    let end = log.appender_end() as usize;
    assert!(disk.content(&newest)[end..].iter().any(|&byte| byte != 0), "nothing stale is left to be found");
    drop(log);
    disk.restart(&mut |_| 0);

    let state = state_of(&mut open(&disk).expect("open")).expect("founded");

    let group = &state[&GroupId::MAIN];
    assert_eq!((group.starts_after.index, group.entries.len()), (LogIndex(40), 0));
}
