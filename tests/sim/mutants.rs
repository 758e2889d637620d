//! The net is tested too: bugs are planted in the real code, one at a time, and each must be caught.
//!
//! The gate begins, for all but those that are [`UNSEEN`], with the seed that is known to catch a bug, so that it takes one run each
//! as long as nothing shifts.
//! `QUORATE_SIM_MUTANTS=1000 cargo test --release --lib sim::mutants -- --nocapture` begins with seed 0 for every bug, tries up
//! to so many, and prints the whole table: which law caught it, at which seed, after how many events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::asked::{number, plan_of};
use super::run::run;
use crate::planted::{Bug, plant};

/// How many seeds a bug may take.
const SEEDS_MAX: u64 = 300;

/// Which seed caught a bug first.
const KNOWN: &[(Bug, u64)] = &[
    (Bug::VotesInOldTerms, 10),
    (Bug::VotesTwice, 10),
    (Bug::CountsLateVotes, 2584),
    (Bug::ForgetsVotes, 1),
    (Bug::ComparesIndexAlone, 81),
    (Bug::AnswersVotesBeforeSync, 0),
    (Bug::RevealsUnsyncedTerms, 0),
    (Bug::CommitsOldTerms, 26),
    (Bug::CountsUnsyncedLog, 1),
    (Bug::AnswersBeforeSync, 0),
    (Bug::HeartbeatClaimsUnsynced, 0),
    (Bug::CountsOverwrittenWrites, 26),
    (Bug::CommitsUnverified, 4),
    (Bug::DeletesMatching, 64),
    (Bug::TruncatesCommitted, 2),
    (Bug::AppendsBehindMismatch, 2),
    (Bug::ProbesOnce, 0),
    (Bug::LostAppendsStayInFlight, 229),
    (Bug::NeverStepsDown, 8),
    (Bug::ReadsWithoutRound, 1),
    (Bug::ReadsBeforeNoop, 5),
    (Bug::ReadsJoinOlderRounds, 54),
    (Bug::ReadsBeforeApply, 4),
    (Bug::ReusesReadIds, 4),
    (Bug::LeaseFromReceipt, 186),
    (Bug::LeaseOutlivesTransfer, 4),
    (Bug::ForgetsPromises, 483),
    (Bug::CountsOneHalf, 6),
    (Bug::LeavesJointEarly, 6),
    (Bug::NeverLeavesJoint, 0),
    (Bug::ConfigAtCommit, 6),
    (Bug::CountsLearners, 6),
    (Bug::ChangesAtOnce, 306),
    (Bug::MakesVotersOfStrangers, 6),
    (Bug::HearsTheWiped, 70),
    (Bug::KeepsConfigBehindSnapshot, 0),
    (Bug::SnapshotNamesLatestConfig, 111),
    (Bug::RestartKeepsTail, 502),
    (Bug::CompactsBeyondSnapshot, 4),
    (Bug::PicturesHoldMore, 0),
    (Bug::ResumesUnjudged, 43),
    (Bug::NamesSnapshotUnsynced, 4),
    (Bug::ReleasesBeforeSnapshotIsNamed, 26),
    (Bug::BelievesRottenBlocks, 19),
    (Bug::AppendsForwardsTwice, 4),
    (Bug::TakesLateForwards, 190),
    (Bug::IgnoresBoots, 6),
    (Bug::AnswersSuperseded, 24),
    (Bug::DeniesAtDeadline, 19),
    (Bug::DeniesTruncated, 110),
    (Bug::SkipsCommands, 0),
    (Bug::SnapshotsForgetSessions, 2),
    (Bug::ForgetsSidecars, 2),
    (Bug::RevivesSessions, 2),
    (Bug::ExecutesTheAcknowledged, 2),
    (Bug::CountsLocalUse, 1),
    (Bug::KeepsAwaitedAnswers, 1),
    (Bug::SharesSalts, 2),
    (Bug::WritesUnsynced, 1),
    (Bug::RetriesFailedSyncs, 1),
    (Bug::NamesSegmentUnsynced, 2),
    (Bug::RecyclesUnsynced, 70),
    (Bug::BelievesTornBatches, 49),
    (Bug::CutsTheAcknowledged, 250),
    (Bug::ForgetsToRestate, 1),
    (Bug::ReleaseKeepsOldConfig, 2),
    (Bug::ReleasesNeededSegments, 1),
];

/// How a bug was caught.
struct Catch {
    law: String,
    seed: u64,
    /// Events of all runs until then.
    events: u64,
}

fn hunt(bug: Bug, seeds: impl Iterator<Item = u64>) -> Option<Catch> {
    let planted = plant(bug);
    let mut events = 0;
    for seed in seeds {
        let plan = plan_of(seed);
        let ran = run(&plan, false);
        events += ran.tally.events;
        if let Some(broken) = ran.broken {
            drop(planted);
            let alone = run(&plan, false).broken;
            assert!(alone.is_none(), "seed {seed} breaks a law without {bug:?}, too: {alone:?}");
            return Some(Catch { law: broken.name(), seed, events });
        }
    }
    None
}

fn known(bug: Bug) -> Option<u64> {
    KNOWN.iter().find(|(known, _)| *known == bug).map(|(_, seed)| *seed)
}

/// Hunts on all cores; each bug stays in one thread, since that is where it is planted.
fn hunt_all(hunt: impl Fn(Bug) -> Option<Catch> + Sync) -> Vec<Bug> {
    let next = AtomicUsize::new(0);
    let survivors = Mutex::new(Vec::new());
    let work = || {
        while let Some(&bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match hunt(bug) {
                Some(Catch { law, seed, events }) => {
                    println!("{:<32} {law:<20} seed {seed:>4} {events:>9} events", format!("{bug:?}"));
                }
                None => survivors.lock().push(bug),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    survivors.into_inner()
}

#[test]
fn every_planted_bug_is_caught() {
    let missed = match number("QUORATE_SIM_MUTANTS") {
        Some(seeds) => hunt_all(|bug| hunt(bug, 0..seeds)),
        None => hunt_all(|bug| hunt(bug, known(bug).into_iter().chain(0..SEEDS_MAX))),
    };
    assert!(missed.is_empty(), "these are not caught: {missed:?}");
}
