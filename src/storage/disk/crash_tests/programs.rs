//! Programs drawn by chance, on a disk drawn by chance: whatever goes wrong in whichever operation, the log holds what it
//! must. Each life of a program ends with a fault, with the death of the process, or with power; and all the time the
//! system writes pages back that nobody asked for.
//!
//! `QUORATE_CRASH_SEEDS` times fifty programs are run, of five lives each; it is 4 unless set. With 400 they are 100,000
//! lives.

use rustix::io::Errno;

use super::recorded::depth;
use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, Operation, What};
use crate::storage::disk::simulated::losses::Cache;

const PROGRAMS_PER_SEED: u64 = 50;
const LIVES: u64 = 5;

/// What may happen to an operation of that kind.
fn any_fault(operation: &Operation, random: &mut Random) -> Fault {
    let errors = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
    let error = errors[random.below(errors.len())];
    match (random.below(6), operation.what) {
        (0, _) => Fault::PowerBefore,
        (1 | 2, What::Sync) => Fault::LostSync(Cache::Kept),
        (3, What::Sync) => Fault::LostSync(Cache::Dropped),
        (1, What::Write) => Fault::Half(error),
        (4 | 5, _) => Fault::Refused(error),
        _ => Fault::PowerAfter,
    }
}

/// A disk on which the operation after `operations` more goes wrong; and whether it did.
fn faulty(
    disk: &SimulatedDisk,
    operations: usize,
    seed: u64,
) -> (FaultyDisk, Arc<parking_lot::Mutex<Option<Fault>>>) {
    let happened: Arc<parking_lot::Mutex<Option<Fault>>> = Arc::default();
    let (tell, mut random, mut left) = (Arc::clone(&happened), Random(seed), operations);
    let writes_back = random.below(3) == 0;
    let faulty = FaultyDisk::new(disk, move |operation, disk| {
        if !operation.what.changes() {
            return None;
        }
        if writes_back && random.below(3) == 0 {
            disk.write_back(&mut |bound| random.below(bound));
        }
        let is_it = left == 0;
        left = left.wrapping_sub(1);
        let fault = is_it.then(|| any_fault(operation, &mut random));
        if fault.is_some() {
            *tell.lock() = fault;
        }
        fault
    });
    (faulty, happened)
}

/// Does steps until one of them fails for good; gives what is legal then.
fn live(log: &mut DiskLog, mut state: Model, random: &mut Random, term: u64) -> Vec<Model> {
    let mut upkeep = log.upkeep().expect("the first one");
    let releases = random.below(2) == 0;
    for _ in 0..random.below(60) {
        let step = any_step(&state, random, term, releases);
        match step.run(log, &mut *upkeep) {
            Ok(()) => step.apply(&mut state, &mut |_| {}),
            // Nothing was written: the life goes on as if nobody had asked. What was pruned may be gone.
            Err(error) if error.is_recoverable() && !matches!(step, Step::Prune(..)) => {}
            Err(_) => return step.outcomes(&state),
        }
    }
    vec![state]
}

#[test]
fn whatever_goes_wrong_in_whichever_operation_the_log_holds_what_it_must() {
    let mut happened = 0;
    for seed in 0..depth().seeds * PROGRAMS_PER_SEED {
        let disk = SimulatedDisk::default();
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9));
        let mut legal: Vec<Model> = vec![None];
        for life in 1..=LIVES {
            let what = format!("seed {seed}, life {life}");
            let (faulty, fault) = faulty(&disk, random.below(70), seed * LIVES + life);
            match DiskLog::open_on(Arc::new(faulty), config()) {
                Err(error) => assert!(fault.lock().is_some(), "{what}: the log does not open: {error}"),
                Ok(mut log) => {
                    let state = state_of(&mut log);
                    assert!(
                        legal.contains(&state),
                        "{what}: {:?} is none of the legal states {:?}",
                        summary(&state),
                        legal.iter().map(summary).collect::<Vec<_>>()
                    );
                    legal = live(&mut log, state, &mut random, life);
                }
            }
            happened += u64::from(fault.lock().is_some());
            if disk.is_off() || random.below(2) == 0 {
                disk.restart(&mut |bound| random.below(bound));
            } else {
                disk.restart_process();
            }
        }
        let state = state_of(&mut open(&disk).expect("nothing goes wrong any more"));
        assert!(legal.contains(&state), "seed {seed}: {:?} is not legal", summary(&state));
    }
    assert!(happened > depth().seeds * PROGRAMS_PER_SEED * 2, "only {happened} faults happened");
}
