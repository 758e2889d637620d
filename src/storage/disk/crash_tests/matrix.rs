//! The matrix of disk faults: what goes wrong, times where. A row per place, a test per row, eight cells in each:
//!
//! | | |
//! |---|---|
//! | a | power fails before the operation |
//! | b | power fails after it, and nothing unsynced is kept |
//! | c | power fails in it, and any subset of the unsynced pages and names is kept |
//! | d | power fails in it, and pages are torn between sectors |
//! | e | power fails in it: all data is kept, and no name |
//! | f | it is refused with EIO, and nothing, half, or the cache alone of it was done |
//! | g | it is refused with ENOSPC |
//! | h | power fails in it, and again in each write of the recovery |
//!
//! In every cell what is recovered is legal, the same again, and can be gone on with; and the fault must really have
//! happened. A cell that cannot happen says so in its row, and the test holds it to that.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::every_crash::{main, release_both, vote};
use super::recorded::{
    Crash, crashes, depth, require_goes_on, require_legal, require_same_after_interruptions,
};
use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, Operation, What};
use crate::storage::disk::simulated::losses::Cache;

/// A place where the log or a snapshot is written.
struct Row {
    /// The ids of its cells begin here.
    first_id: u32,
    /// What is done before, and, as the last step, what the fault happens to.
    steps: Vec<Step>,
    what: What,
    /// How the name of the file begins, and how it ends.
    name: (&'static str, &'static str),
    /// Which of the operations of the last step that fit, from 0.
    nth: usize,
    /// What is unsynced there. Where no page is, none can be torn; where no name is, none can be lost.
    unsynced: Unsynced,
    /// An error there is final for the log.
    is_final: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsynced {
    Pages,
    Names,
    Both,
}

/// The last step, with a fault in it.
struct Failed {
    disk: SimulatedDisk,
    log: DiskLog,
    upkeep: Box<dyn Upkeep>,
    error: StorageError,
}

impl Row {
    /// All eight cells.
    fn check(&self) {
        let crashes = crashes(&self.steps);
        let (at_rest, crashes) = crashes.split_last().expect("something was done");
        let is_last = |crash: &Crash| crash.step + 1 == self.steps.len();
        let mut fits = self.matcher();
        let found = crashes.iter().position(|crash| is_last(crash) && fits(&crash.operation));
        let found = found.unwrap_or_else(|| panic!("{}: it never happens", self.cell('a')));
        let before = &crashes[found];
        let after = crashes.get(found + 1).unwrap_or(at_rest);
        // What a write changes may reach the disk before anybody asks; a sync does all or any part of what it is asked.
        let within = if matches!(self.what, What::Sync | What::SyncDir) { before } else { after };
        let legal = &before.legal;

        self.power(&before.disk, legal, 'a', &mut |_| 0);
        self.power(&after.disk, legal, 'b', &mut |_| 0);
        self.subsets(within, legal);
        self.tears(&within.disk, legal);
        self.names_lost(&within.disk, legal);
        self.refused_for_good(legal);
        self.refused_for_want_of_room(legal, &at_rest.legal);
        self.interrupted(&within.disk, legal);
    }

    fn cell(&self, cell: char) -> String {
        let id = self.first_id + cell as u32 - 'a' as u32;
        format!("D{id}, {cell}: {:?} of {:?}", self.what, self.name)
    }

    fn power(
        &self,
        disk: &SimulatedDisk,
        legal: &[Model],
        cell: char,
        choice: &mut dyn FnMut(usize) -> usize,
    ) {
        let (disk, what) = (disk.fork(), self.cell(cell));
        disk.restart(choice);
        let state = require_legal(&disk, legal, &what);
        require_goes_on(&disk, state, &mut Random(1), &what);
    }

    fn subsets(&self, within: &Crash, legal: &[Model]) {
        let what = self.cell('c');
        let mut count = 0;
        within.each_outcome(depth(), u64::from(self.first_id), |disk, how| {
            require_legal(disk, legal, &format!("{what}, {how}"));
            count += 1;
        });
        assert!(count > 1, "{what}: nothing is unsynced there");
    }

    /// Each page in turn is torn between every two sectors, either part kept; the others are there.
    fn tears(&self, disk: &SimulatedDisk, legal: &[Model]) {
        let what = self.cell('d');
        let pages = disk.dirty_pages();
        assert_eq!(pages > 0, self.unsynced != Unsynced::Names, "{what}: {pages} pages are unsynced");
        for torn in 0..pages.min(5) {
            for (tear, side) in (1..8).flat_map(|tear| [(tear, 0), (tear, 1)]) {
                let disk = disk.fork();
                let mut page = 0;
                disk.restart(&mut |bound| match bound {
                    4 => {
                        page += 1;
                        if page == torn + 1 { 3 } else { 2 }
                    }
                    8 => tear,
                    _ => side,
                });
                require_legal(&disk, legal, &format!("{what}, page {torn} at sector {tear}"));
            }
        }
    }

    fn names_lost(&self, disk: &SimulatedDisk, legal: &[Model]) {
        let names = disk.unsynced_names();
        let expects_some = self.unsynced != Unsynced::Pages;
        assert_eq!(names > 0, expects_some, "{}: {names} names are unsynced", self.cell('e'));
        self.power(disk, legal, 'e', &mut |bound| if bound == 4 { 2 } else { 0 });
    }

    fn interrupted(&self, disk: &SimulatedDisk, legal: &[Model]) {
        let what = self.cell('h');
        for seed in 0..2 {
            let (disk, mut random) = (disk.fork(), Random(seed + u64::from(self.first_id)));
            disk.restart(&mut |bound| random.below(bound));
            let state = require_legal(&disk, legal, &what);
            require_same_after_interruptions(&disk, &state, None, &mut random, &what);
        }
    }

    /// Whoever asked is told. The process starts again on the same cache; what it is shown then survives a power failure.
    fn refused_for_good(&self, legal: &[Model]) {
        let faults: &[Fault] = match self.what {
            What::Sync => {
                &[Fault::Refused(Errno::IO), Fault::LostSync(Cache::Kept), Fault::LostSync(Cache::Dropped)]
            }
            What::Write => &[Fault::Refused(Errno::IO), Fault::Half(Errno::IO)],
            _ => &[Fault::Refused(Errno::IO)],
        };
        for &fault in faults {
            let what = format!("{}, {fault:?}", self.cell('f'));
            let Failed { disk, mut log, upkeep, error } = self.fail(fault, &what);
            assert!(matches!(error, StorageError::Io { .. }), "{what}: {error}");
            assert_eq!(matches!(log.settle(), Err(StorageError::Poisoned)), self.is_final, "{what}");
            drop((log, upkeep));
            disk.restart_process();
            let shown = state_of(&mut open(&disk).unwrap_or_else(|error| panic!("{what}: {error}")));
            assert!(legal.contains(&shown), "{what}: {:?} is not legal", summary(&shown));
            disk.restart(&mut |_| 0);
            let state = require_legal(&disk, &[shown], &format!("{what}, and then power fails"));
            require_goes_on(&disk, state, &mut Random(2), &what);
        }
    }

    /// Either it can be done again when there is room, and is done then; or the log takes nothing more.
    fn refused_for_want_of_room(&self, legal: &[Model], done: &[Model]) {
        let what = self.cell('g');
        let Failed { disk, mut log, mut upkeep, error } = self.fail(Fault::Refused(Errno::NOSPC), &what);
        let legal = if error.is_recoverable() {
            let again = self.steps.last().expect("a step").run(&mut log, &mut *upkeep);
            again.unwrap_or_else(|error| panic!("{what}, and then there is room: {error}"));
            done
        } else {
            assert_eq!(matches!(log.settle(), Err(StorageError::Poisoned)), self.is_final, "{what}");
            legal
        };
        drop((log, upkeep));
        self.power(&disk, legal, 'g', &mut |_| 0);
    }

    /// Does the steps; the operation fails.
    fn fail(&self, fault: Fault, what: &str) -> Failed {
        let disk = SimulatedDisk::default();
        let (is_armed, has_happened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (armed, happened) = (Arc::clone(&is_armed), Arc::clone(&has_happened));
        let mut fits = self.matcher();
        let faulty = FaultyDisk::new(&disk, move |operation, _| {
            let is_it = armed.load(Ordering::Relaxed) && fits(operation);
            (is_it && !happened.swap(true, Ordering::Relaxed)).then_some(fault)
        });
        let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
        let mut upkeep = log.upkeep().expect("the first");
        let (last, before) = self.steps.split_last().expect("steps");
        for step in before {
            step.run(&mut log, &mut *upkeep).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        }
        is_armed.store(true, Ordering::Relaxed);
        let told = last.run(&mut log, &mut *upkeep);
        assert!(has_happened.load(Ordering::Relaxed), "{what}: it never happens");
        let error = told.err().unwrap_or_else(|| panic!("{what}: nobody was told"));
        Failed { disk, log, upkeep, error }
    }

    /// Whether an operation of the last step is the one, of those asked in their order.
    fn matcher(&self) -> impl FnMut(&Operation) -> bool + Send + use<> {
        let (what, (begin, end), mut left) = (self.what, self.name, self.nth + 1);
        move |operation: &Operation| {
            if operation.what != what || !operation.name.starts_with(begin) || !operation.name.ends_with(end)
            {
                return false;
            }
            left = left.saturating_sub(1);
            left == 0
        }
    }
}

fn row(first_id: u32, steps: Vec<Step>, what: What, name: (&'static str, &'static str)) -> Row {
    Row { first_id, steps, what, name, nth: 0, unsynced: Unsynced::Both, is_final: false }
}

/// The upkeep makes the reserve.
fn reserve() -> Vec<Step> {
    vec![Step::Found, Step::Upkeep]
}

/// The last write goes on in the spare that is ready.
fn rotation() -> Vec<Step> {
    let mut steps = reserve();
    steps.extend((2..=5).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    steps
}

/// The upkeep finds released segments.
fn released(last: u64) -> Vec<Step> {
    let mut steps = vec![Step::Found];
    steps.extend((2..=last).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    steps.extend(release_both(1, last));
    steps.push(Step::Upkeep);
    steps
}

fn snapshot() -> Vec<Step> {
    vec![Step::Found, Step::Snapshot(GroupId::MAIN, LogIndex(3))]
}

/// Another node's, whole pages of it past the page cache.
fn received() -> Vec<Step> {
    let offer = &Offer::of(GroupId::MAIN)[0];
    vec![Step::Found, Step::Receive(GroupId::MAIN, offer, offer.file.len())]
}

fn write(write: GroupWrite) -> Vec<Step> {
    vec![Step::Found, Step::Write(vec![main(1, 2, &[700; 9])]), Step::Write(vec![write])]
}

const SPARE: (&str, &str) = ("spare-", "");
const SEGMENT_1: (&str, &str) = ("0000000001", ".log");
const DRAFT: (&str, &str) = ("", ".writing");
const RECEIVED: (&str, &str) = ("", ".receiving");
const IDENTITY: (&str, &str) = ("identity", "");
const DIRECTORY: (&str, &str) = ("data", "");

#[test]
fn w1_a_spare_is_created() {
    Row { unsynced: Unsynced::Names, ..row(1, reserve(), What::Create, SPARE) }.check();
}

#[test]
fn w2_a_spare_is_allocated() {
    row(9, reserve(), What::Allocate, SPARE).check();
}

#[test]
fn w3_a_spare_is_filled_with_zeros() {
    row(17, reserve(), What::Write, SPARE).check();
    row(17, reserve(), What::Sync, SPARE).check();
}

#[test]
fn w4_a_segment_gets_its_header() {
    Row { is_final: true, ..row(25, rotation(), What::Write, SPARE) }.check();
}

#[test]
fn w5_the_header_is_synced() {
    Row { is_final: true, ..row(33, rotation(), What::Sync, SPARE) }.check();
}

#[test]
fn w6_the_name_of_a_segment_is_synced() {
    let unsynced = Unsynced::Names;
    Row { is_final: true, unsynced, ..row(41, rotation(), What::SyncDir, DIRECTORY) }.check();
}

/// There are no names to be lost: a batch needs none, and the segment is as long as it will ever be.
#[test]
fn w7_a_batch_is_written() {
    let unsynced = Unsynced::Pages;
    let steps = write(main(1, 11, &[5000, 5000]));
    Row { is_final: true, unsynced, ..row(49, steps, What::Write, SEGMENT_1) }.check();
}

#[test]
fn w8_a_batch_is_synced() {
    let unsynced = Unsynced::Pages;
    let steps = write(main(1, 11, &[5000, 5000]));
    Row { is_final: true, unsynced, ..row(57, steps, What::Sync, SEGMENT_1) }.check();
}

/// The spare is renamed, and the segment before it is sealed.
#[test]
fn w9_a_segment_follows_another() {
    let unsynced = Unsynced::Names;
    Row { is_final: true, unsynced, ..row(65, rotation(), What::Rename, SPARE) }.check();
    let unsynced = Unsynced::Pages;
    Row { is_final: true, unsynced, ..row(65, rotation(), What::Write, SEGMENT_1) }.check();
    Row { is_final: true, unsynced, ..row(65, rotation(), What::Sync, SEGMENT_1) }.check();
}

#[test]
fn w10_a_released_segment_becomes_a_spare() {
    let unsynced = Unsynced::Names;
    Row { unsynced, ..row(73, released(6), What::Rename, SEGMENT_1) }.check();
    Row { unsynced, ..row(73, released(6), What::SyncDir, DIRECTORY) }.check();
}

/// There is no mark of a truncation: the entry that takes the place of another is one, and is written like any other.
#[test]
fn w11_entries_are_replaced() {
    let unsynced = Unsynced::Pages;
    let steps = || write(main(2, 4, &[6000]));
    Row { is_final: true, unsynced, ..row(81, steps(), What::Write, SEGMENT_1) }.check();
    Row { is_final: true, unsynced, ..row(81, steps(), What::Sync, SEGMENT_1) }.check();
}

/// There are no two slots for it: a term and vote is a record of the log.
#[test]
fn w12_a_term_and_vote_is_written() {
    let unsynced = Unsynced::Pages;
    let steps = write(vote(3, 2, main(3, 11, &[])));
    Row { is_final: true, unsynced, ..row(89, steps, What::Write, SEGMENT_1) }.check();
}

#[test]
fn w13_a_term_and_vote_is_synced() {
    let unsynced = Unsynced::Pages;
    let steps = write(vote(3, 2, main(3, 11, &[])));
    Row { is_final: true, unsynced, ..row(97, steps, What::Sync, SEGMENT_1) }.check();
}

#[test]
fn w14_a_snapshot_is_written() {
    for nth in 0..2 {
        Row { nth, ..row(105, snapshot(), What::Write, DRAFT) }.check();
    }
    // The head, a block, and what of the last block and the end is no whole page.
    for nth in 0..3 {
        Row { nth, ..row(105, received(), What::Write, RECEIVED) }.check();
    }
}

#[test]
fn w15_a_snapshot_is_synced() {
    row(113, snapshot(), What::Sync, DRAFT).check();
    row(113, received(), What::Sync, RECEIVED).check();
}

#[test]
fn w16_a_snapshot_gets_its_name() {
    Row { unsynced: Unsynced::Names, ..row(121, snapshot(), What::Rename, DRAFT) }.check();
    Row { unsynced: Unsynced::Names, ..row(121, received(), What::Rename, RECEIVED) }.check();
}

#[test]
fn w17_the_name_of_a_snapshot_is_synced() {
    Row { unsynced: Unsynced::Names, ..row(129, snapshot(), What::SyncDir, DIRECTORY) }.check();
    Row { unsynced: Unsynced::Names, ..row(129, received(), What::SyncDir, DIRECTORY) }.check();
}

/// A segment beyond those that are kept as spares, and a snapshot that nobody needs.
#[test]
fn w18_what_nobody_needs_is_removed() {
    let unsynced = Unsynced::Names;
    Row { unsynced, ..row(137, released(20), What::Remove, ("", ".log")) }.check();
    let main = GroupId::MAIN;
    let mut prune: Vec<_> = [3, 4, 7].map(|index| Step::Snapshot(main, LogIndex(index))).into();
    prune.insert(0, Step::Found);
    prune.push(Step::Prune(main, LogIndex(7)));
    Row { unsynced, ..row(137, prune, What::Remove, ("", ".snapshot")) }.check();
}

/// There is no manifest: the directory is one. What says whose it is, and since when, is replaced as a whole, when the
/// founding begins and when it is complete.
#[test]
fn w19_an_identity_is_replaced() {
    for nth in 0..2 {
        let found = |what| Row { nth, is_final: true, ..row(145, vec![Step::Found], what, IDENTITY) };
        found(What::Write).check();
        found(What::Sync).check();
        Row { unsynced: Unsynced::Names, ..found(What::Rename) }.check();
    }
}

/// There is no step of an upgrade: there is one format. A newer one is refused before anything is written.
#[test]
fn w20_a_directory_of_a_newer_format_is_left_as_it_is() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk).expect("open");
    Step::Found.run(&mut log, &mut Idle).expect("found");
    drop(log);
    for name in ["/data/identity", "/data/0000000001.log"] {
        let disk = disk.fork();
        disk.alter(Path::new(name), |bytes| bytes[8] += 1);
        let faulty = FaultyDisk::new(&disk, |operation, _| {
            assert!(!operation.what.changes(), "{operation:?} is done to a format that is not known");
            None
        });

        let refused = DiskLog::open_on(Arc::new(faulty), config()).err().expect("it is newer");

        assert!(matches!(refused, StorageError::NewerFormat { .. }), "{name}: {refused}");
    }
}
