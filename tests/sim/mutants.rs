//! The net is tested too: bugs are planted in the real code, one at a time, and each must be caught.
//!
//! `QUORATE_SIM_MUTANTS=1000 cargo test --release --lib sim::mutants -- --nocapture` tries each with up to so many seeds and
//! prints the whole table.

use std::fmt::Write as _;

use super::asked::number;
use super::plan::Plan;
use super::run::run;
use crate::planted::{Bug, plant};

/// How many seeds a bug may take.
const SEEDS_MAX: u64 = 300;

/// How a bug was caught.
struct Catch {
    bug: Bug,
    law: String,
    seed: u64,
    /// Events of all runs until then.
    events: u64,
}

fn hunt(bug: Bug, seeds: u64) -> Option<Catch> {
    let planted = plant(bug);
    let mut events = 0;
    for seed in 0..seeds {
        let ran = run(&Plan::of(seed), false);
        events += ran.tally.events;
        if let Some(broken) = ran.broken {
            drop(planted);
            return Some(Catch { bug, law: broken.name(), seed, events });
        }
    }
    None
}

#[test]
fn every_planted_bug_is_caught() {
    let seeds = number("QUORATE_SIM_MUTANTS").unwrap_or(SEEDS_MAX);
    let mut table = String::new();
    let mut survivors = Vec::new();
    for &bug in Bug::ALL {
        match hunt(bug, seeds) {
            Some(Catch { bug, law, seed, events }) => {
                _ = writeln!(table, "{:<32} {law:<20} seed {seed:>4} {events:>9} events", format!("{bug:?}"));
            }
            None => survivors.push(bug),
        }
    }
    println!("{table}");
    assert!(survivors.is_empty(), "{seeds} seeds do not catch {survivors:?}");
}
