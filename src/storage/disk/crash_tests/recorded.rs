//! Workloads, recorded: the disk as it is before each operation, and what the log may hold if power fails there.
//!
//! `QUORATE_CRASH_SEEDS` says how often each crash is drawn by chance where it has too many outcomes to try them all
//! (4 unless set). When it is set, up to 12 unsynced pages and names are tried in every subset instead of up to 6, and
//! every recovery is interrupted at each of its writes instead of at a few.

use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, Operation};

/// How thorough the tests are.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    /// How often a crash is drawn by chance.
    pub(super) seeds: u64,
    /// Up to so many unsynced pages and names all subsets are tried.
    pub(super) choices_max: usize,
    /// Whether every recovery is interrupted at each of its writes.
    pub(super) interrupts_all: bool,
}

pub(super) fn depth() -> Depth {
    match std::env::var("QUORATE_CRASH_SEEDS").map(|seeds| seeds.parse().expect("a number")) {
        Ok(seeds) => Depth { seeds, choices_max: 12, interrupts_all: true },
        Err(_) => Depth { seeds: 4, choices_max: 6, interrupts_all: false },
    }
}

/// A moment in which power may fail.
pub(super) struct Crash {
    /// The disk as it is then, powered.
    pub(super) disk: SimulatedDisk,
    /// What was about to be done. Whatever was done before may be on the disk or not; so this is also the crash within
    /// the operation before.
    pub(super) operation: Operation,
    /// In which step.
    pub(super) step: usize,
    /// What the log may hold.
    pub(super) legal: Vec<Model>,
}

/// Does the steps, and gives every crash that may happen on the way. The last one is at rest.
pub(super) fn crashes(steps: &[Step]) -> Vec<Crash> {
    let disk = SimulatedDisk::default();
    let seen: Arc<parking_lot::Mutex<Vec<(Operation, SimulatedDisk)>>> = Arc::default();
    let recorder = Arc::clone(&seen);
    let faulty = FaultyDisk::new(&disk, move |operation, disk| {
        if operation.what.changes() {
            recorder.lock().push((operation.clone(), disk.fork()));
        }
        None
    });
    let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
    let mut upkeep = log.upkeep().expect("the first");
    let mut state = None;
    let mut crashes = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        step.run(&mut log, &mut *upkeep).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        let legal = step.outcomes(&state);
        let seen = seen.lock().drain(..).collect::<Vec<_>>();
        crashes.extend(seen.into_iter().map(|(operation, disk)| Crash {
            disk,
            operation,
            step: at,
            legal: legal.clone(),
        }));
        step.apply(&mut state, &mut |_| {});
    }
    let last = crashes.last().expect("something was done");
    let (operation, step) = (last.operation.clone(), last.step);
    crashes.push(Crash { disk: disk.fork(), operation, step, legal: vec![state] });
    crashes
}

impl Crash {
    /// Tries what the crash may leave: every subset of the unsynced pages and names where they are few; else none, all,
    /// each alone and all but each; and in any case some drawn by chance, with torn pages.
    pub(super) fn each_outcome(
        &self,
        depth: Depth,
        seed: u64,
        mut check: impl FnMut(&SimulatedDisk, String),
    ) {
        let choices = self.disk.dirty_pages() + self.disk.unsynced_names();
        for kept in subsets(choices, depth.choices_max) {
            let disk = self.disk.fork();
            let mut choice = kept.iter();
            disk.restart(&mut |bound| if *choice.next().expect("one each") { bound / 2 } else { 0 });
            let kept: String = kept.iter().map(|&kept| if kept { '1' } else { '0' }).collect();
            check(&disk, format!("kept {kept}"));
        }
        for sample in 0..if choices == 0 { 0 } else { depth.seeds } {
            let disk = self.disk.fork();
            let mut random = Random(seed * 1000 + sample);
            disk.restart(&mut |bound| random.below(bound));
            check(&disk, format!("sample {sample} of seed {seed}"));
        }
    }

    /// What is recovered is legal, and again and again the same; and the log goes on.
    pub(super) fn check(&self, depth: Depth, seed: u64) -> u64 {
        let mut outcomes = 0;
        self.each_outcome(depth, seed, |disk, how| {
            let what = format!("step {}, before {:?}, {how}", self.step, self.operation);
            let mut random = Random(seed + outcomes);
            let is_checked_further = outcomes < 2 || depth.interrupts_all;
            let state = require_legal(disk, &self.legal, &what);
            if is_checked_further {
                let interrupted_at = if depth.interrupts_all { None } else { Some(random.below(8) as u64) };
                require_same_after_interruptions(disk, &state, interrupted_at, &mut random, &what);
                require_goes_on(disk, state, &mut random, &what);
            }
            outcomes += 1;
        });
        outcomes
    }
}

fn subsets(choices: usize, choices_max: usize) -> Vec<Vec<bool>> {
    if choices <= choices_max {
        return (0..1_u32 << choices)
            .map(|set| (0..choices).map(|at| set >> at & 1 == 1).collect())
            .collect();
    }
    let alone = |one: usize, is_kept: bool| (0..choices).map(|at| (at == one) == is_kept).collect();
    let all = [vec![false; choices], vec![true; choices]].into_iter();
    all.chain((0..choices).flat_map(|one| [alone(one, true), alone(one, false)])).collect()
}

/// What a start finds on a fork of the disk.
fn found(disk: &SimulatedDisk, what: &str) -> Model {
    state_of(&mut open(disk).unwrap_or_else(|error| panic!("{what}: the log does not open: {error}")))
}

pub(super) fn require_legal(disk: &SimulatedDisk, legal: &[Model], what: &str) -> Model {
    let state = found(&disk.fork(), what);
    assert!(
        legal.contains(&state),
        "{what}: {:?} is none of the legal states {:?}",
        summary(&state),
        legal.iter().map(summary).collect::<Vec<_>>()
    );
    state
}

/// Power fails thrice in a row in the same write of the recovery, at each of them or at the one asked for; and what is
/// recovered in the end is what would have been recovered at once.
pub(super) fn require_same_after_interruptions(
    disk: &SimulatedDisk,
    state: &Model,
    only_at: Option<u64>,
    random: &mut Random,
    what: &str,
) -> u64 {
    for at in only_at.map_or(0..u64::MAX, |at| at..at + 1) {
        let disk = disk.fork();
        let mut interruptions = 0;
        for _ in 0..3 {
            let fault = if random.below(2) == 0 { Fault::PowerBefore } else { Fault::PowerAfter };
            let mut left = at;
            let faulty = FaultyDisk::new(&disk, move |operation, _| {
                if !operation.what.changes() {
                    return None;
                }
                left = left.checked_sub(1).unwrap_or(u64::MAX);
                (left == u64::MAX).then_some(fault)
            });
            let is_open = DiskLog::open_on(Arc::new(faulty), config()).is_ok();
            assert_eq!(is_open, !disk.is_off(), "{what}: the recovery fails at its write {at}");
            if is_open {
                break;
            }
            interruptions += 1;
            disk.restart(&mut |bound| random.below(bound));
        }
        let again = found(&disk, what);
        assert!(again == *state, "{what}: interrupted at its write {at} the recovery finds something else");
        if interruptions == 0 {
            return at;
        }
    }
    0
}

/// What is written after the recovery is there after the next crash, and nothing else.
pub(super) fn require_goes_on(disk: &SimulatedDisk, mut state: Model, random: &mut Random, what: &str) {
    let disk = disk.fork();
    let mut log = open(&disk).expect("it opened before");
    let step = match &state {
        None => Step::Found,
        Some(groups) => {
            let sizes = [random.below(9000), 3];
            Step::Write(GROUPS.map(|id| append(id, 7, groups[&id].last() + 1, &sizes)).into())
        }
    };
    step.run(&mut log, &mut Idle).unwrap_or_else(|error| panic!("{what}: the log does not go on: {error}"));
    drop(log);
    disk.restart(&mut |bound| random.below(bound));
    step.apply(&mut state, &mut |_| {});
    assert!(found(&disk, what) == state, "{what}: what was written after the recovery is not what is found");
}
