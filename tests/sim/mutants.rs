//! The net is tested too: bugs are planted in the real code, one at a time, and each must be caught.
//!
//! The gate begins with the seed that is known to catch a bug, so that it takes one run each as long as nothing shifts.
//! `QUORATE_SIM_MUTANTS=1000 cargo test --release --lib sim::mutants -- --nocapture` begins with seed 0 for every bug, tries up
//! to so many, and prints the whole table: which law caught it, at which seed, after how many events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::asked::number;
use super::plan::Plan;
use super::run::run;
use crate::planted::{Bug, plant};

/// How many seeds a bug may take.
const SEEDS_MAX: u64 = 300;

/// Where bugs that are rarely seen were caught first.
const KNOWN: &[(Bug, u64)] = &[];

/// How a bug was caught.
struct Catch {
    law: String,
    seed: u64,
    /// Events of all runs until then.
    events: u64,
}

fn hunt(bug: Bug, seeds: impl Iterator<Item = u64>) -> Option<Catch> {
    let _planted = plant(bug);
    let mut events = 0;
    for seed in seeds {
        let ran = run(&Plan::of(seed), false);
        events += ran.tally.events;
        if let Some(broken) = ran.broken {
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
    let survivors = match number("QUORATE_SIM_MUTANTS") {
        Some(seeds) => hunt_all(|bug| hunt(bug, 0..seeds)),
        None => hunt_all(|bug| hunt(bug, known(bug).into_iter().chain(0..SEEDS_MAX))),
    };
    assert!(survivors.is_empty(), "these are not caught: {survivors:?}");
}
