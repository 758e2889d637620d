//! A disk that says yes and does not do it, or does it elsewhere. No log can always notice; but it never holds what was
//! not written, never in another order, and what was written behind a loss gives the loss away.

use super::every_crash::{main, release_both, vote};
use super::*;
use crate::storage::disk::simulated::faulty::{Fault, FaultyDisk, Operation, What};

/// Votes, entries, entries that take the place of others, and from one segment to the next three times.
fn steps() -> Vec<Step> {
    let mut steps = vec![Step::Found, Step::Upkeep, Step::Write(vec![vote(1, 1, main(1, 2, &[300]))])];
    steps.extend((3..9).map(|index| Step::Write(vec![main(1, index, &[9000])])));
    steps.push(Step::Write(vec![vote(2, 2, main(2, 7, &[20]))]));
    steps.extend(release_both(1, 4));
    steps.push(Step::Upkeep);
    steps.extend((8..12).map(|index| Step::Write(vec![main(2, index, &[9000])])));
    steps.push(Step::Settle);
    steps
}

/// What was found on a disk after one operation of a kind went wrong unnoticed.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All that was acknowledged.
    Whole,
    /// An earlier state, and nobody is told.
    Shortened,
    /// The damage, by name.
    Refused,
}

/// Runs the steps up to the one after that in which the fault happens, and `more` of those behind it; then power fails.
/// `None` if there is no such operation.
fn run(
    kind: What,
    nth: usize,
    more: usize,
    fault: impl Fn(&Operation) -> Fault + Send + 'static,
) -> Option<(usize, Operation, Verdict)> {
    let disk = SimulatedDisk::default();
    let happened: Arc<parking_lot::Mutex<Option<Operation>>> = Arc::default();
    let (tell, mut left) = (Arc::clone(&happened), nth + 1);
    let faulty = FaultyDisk::new(&disk, move |operation, _| {
        if operation.what != kind {
            return None;
        }
        left = left.wrapping_sub(1);
        (left == 0).then(|| {
            *tell.lock() = Some(operation.clone());
            fault(operation)
        })
    });
    let mut log = DiskLog::open_on(Arc::new(faulty), config()).expect("open");
    let mut upkeep = log.upkeep().expect("the first");
    let (mut state, mut ever) = (None, vec![None]);
    let (mut steps_left, mut happened_in) = (more, None);
    for (at, step) in steps().iter().enumerate() {
        if happened_in.is_some() {
            let Some(left) = steps_left.checked_sub(1) else { break };
            steps_left = left;
        }
        step.run(&mut log, &mut *upkeep).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        ever.extend(step.outcomes(&state));
        step.apply(&mut state, &mut |_| {});
        happened_in = happened_in.or_else(|| happened.lock().as_ref().map(|_| at));
    }
    drop((log, upkeep));
    disk.restart(&mut |_| 0);
    let operation = happened.lock().clone()?;
    let verdict = match open(&disk) {
        Err(StorageError::Corrupt { .. }) => Verdict::Refused,
        Err(error) => panic!("{operation:?}: {error}"),
        Ok(mut log) => {
            let found = state_of(&mut log);
            assert!(ever.contains(&found), "{operation:?}: {:?} never was", summary(&found));
            if found == state { Verdict::Whole } else { Verdict::Shortened }
        }
    };
    Some((happened_in.expect("it happened in some step"), operation, verdict))
}

/// All operations of a kind, each going wrong in its turn: how often it was noticed, and how often not.
fn each(kind: What, more: usize, fault: impl Fn(&Operation) -> Fault + Copy + Send + 'static) -> [usize; 3] {
    let mut counts = [0; 3];
    for nth in 0.. {
        let Some((step, operation, verdict)) = run(kind, nth, more, fault) else { break };
        // What is lost of a founding leaves a directory that nobody founded: there is nothing behind it to give it away.
        let is_founding = step == 0;
        assert!(
            verdict != Verdict::Shortened || more == 0 || is_founding,
            "{operation:?} in step {step}: what was written behind it did not give the loss away"
        );
        counts[verdict as usize] += 1;
    }
    counts
}

#[test]
fn a_sync_that_lies_takes_the_end_of_the_log_or_is_found_out_and_invents_nothing() {
    for kind in [What::Sync, What::SyncDir] {
        let [whole, _, refused] = each(kind, 3, |_| Fault::Lie);
        assert!(whole > 0 && refused > 0, "{kind:?}: {whole} harmless, {refused} refused");
    }
    let [_, shortened, _] = each(What::Sync, 0, |_| Fault::Lie);
    assert!(shortened > 0, "the last sync is believed: no log can know better");
}

#[test]
fn a_write_that_never_reached_the_disk_is_given_away_by_what_was_written_behind_it() {
    let [whole, _, refused] = each(What::Write, 3, |_| Fault::Dropped);
    assert!(whole > 0 && refused > 10, "{whole} harmless, {refused} refused");
}

#[test]
fn a_write_that_went_elsewhere_is_given_away_by_what_stands_there_or_by_what_was_written_behind_it() {
    for blocks in [-3, -1, 1, 5] {
        let elsewhere = move |operation: &Operation| {
            let at = (operation.offset / 4096).saturating_add_signed(blocks) % 16;
            Fault::Misdirected(at.min(16 - operation.bytes.div_ceil(4096) as u64) * 4096)
        };
        let [whole, _, refused] = each(What::Write, 3, elsewhere);
        assert!(whole + refused > 20 && refused > 5, "{blocks}: {whole} harmless, {refused} refused");
    }
}

/// Over a batch that is older: what is there is of another place.
#[test]
fn the_last_write_over_an_older_batch_is_refused() {
    let mut refused = 0;
    for nth in 0.. {
        let over_the_opening = |_: &Operation| Fault::Misdirected(4096);
        let Some((_, operation, verdict)) = run(What::Write, nth, 0, over_the_opening) else { break };
        if operation.name.starts_with('0') && operation.offset > 4096 {
            assert_eq!(verdict, Verdict::Refused, "{operation:?}");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused} refused");
}
