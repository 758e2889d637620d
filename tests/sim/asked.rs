//! What the person at the keyboard asked for: the environment variables of the simulator, all of them here.
//!
//! | variable | what it says | if it is not set |
//! |---|---|---|
//! | `QUORATE_SIM_FIRST` | the first seed of a sweep | 0 |
//! | `QUORATE_SIM_SEEDS` | how many seeds a sweep runs | 500; not optimised 10 |
//! | `QUORATE_SIM_PLOT` | each seed of a sweep or a hunt has this plot, by its name in [`Plot`] | as the seed has it |
//! | `QUORATE_SIM_SEED` | replays what this seed stands for | |
//! | `QUORATE_SIM_PLAN` | replays this plan: its text, or the path of a file that holds it | |
//! | `QUORATE_SIM_BUG` | plants this bug in a sweep or a replay, by its name in [`Bug`] | none |
//! | `QUORATE_SIM_MUTANTS` | how many seeds each planted bug may take | 300 |
//! | `QUORATE_SIM_SPEED` | for how many virtual seconds speed is measured | 10 |
//! | `QUORATE_SIM_SHRINK` | in how many runs a failure is shrunk at most; 0: not at all | 300, in a replay 0 |
//! | `QUORATE_SIM_LINES` | how many of the last lines are printed | 50 |
//! | `QUORATE_SIM_DIAGRAM` | a replay draws its run into this HTML file | |
//! | `QUORATE_SIM_SECONDS` | how many of the last seconds are drawn; 0: all | 5 |

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::plan::{Plan, SECOND};
use super::plots::Plot;
use crate::planted::Bug;

pub(super) fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.trim().parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The seeds of a sweep.
pub(super) fn seeds() -> std::ops::Range<u64> {
    let first = number("QUORATE_SIM_FIRST").unwrap_or(0);
    let usual = if cfg!(debug_assertions) { 10 } else { 500 };
    first..first + number("QUORATE_SIM_SEEDS").unwrap_or(usual)
}

/// What a seed of a sweep or a hunt stands for.
pub(super) fn plan_of(seed: u64) -> Plan {
    let Ok(name) = env::var("QUORATE_SIM_PLOT") else { return Plan::of(seed) };
    let plot = Plot::ALL.into_iter().find(|plot| format!("{plot:?}") == name);
    Plan::of_plot(seed, plot.unwrap_or_else(|| panic!("QUORATE_SIM_PLOT: there is no {name}")))
}

/// What is to be replayed: a seed's plan, or one that was given as it is.
pub(super) fn plan() -> Option<Plan> {
    if let Ok(given) = env::var("QUORATE_SIM_PLAN") {
        let is_file = Path::new(&given).is_file();
        let text = if is_file { fs::read_to_string(&given).expect("a plan can be read") } else { given };
        return Some(text.parse().unwrap_or_else(|error| panic!("QUORATE_SIM_PLAN: {error}")));
    }
    number("QUORATE_SIM_SEED").map(Plan::of)
}

/// The bug that shall be planted.
pub(super) fn bug() -> Option<Bug> {
    let name = env::var("QUORATE_SIM_BUG").ok()?;
    let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == name);
    Some(*bug.unwrap_or_else(|| panic!("QUORATE_SIM_BUG: there is no {name}")))
}

/// In how many runs a failure may be shrunk, unless `usual`.
pub(super) fn shrinking(usual: usize) -> usize {
    number("QUORATE_SIM_SHRINK").map_or(usual, |runs| runs as usize)
}

pub(super) fn lines() -> usize {
    number("QUORATE_SIM_LINES").unwrap_or(50) as usize
}

/// Where the diagram goes.
pub(super) fn diagram() -> Option<PathBuf> {
    env::var_os("QUORATE_SIM_DIAGRAM").map(PathBuf::from)
}

/// How much of the end is drawn, in nanoseconds.
pub(super) fn drawn() -> u64 {
    match number("QUORATE_SIM_SECONDS").unwrap_or(5) {
        0 => u64::MAX,
        seconds => seconds.saturating_mul(SECOND),
    }
}
