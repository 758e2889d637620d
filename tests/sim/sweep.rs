//! Many seeds.

use super::plan::{Plan, SECOND};
use super::run::run;
use super::world::Tally;

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_law_is_broken_whatever_happens() {
    let first = number("QUORATE_SIM_FIRST").unwrap_or(0);
    let seeds = number("QUORATE_SIM_SEEDS").unwrap_or(20);
    let mut all = Tally::default();
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let ran = run(&Plan::of(seed), false);
        all.events += ran.tally.events;
        all.virtual_nanos += ran.tally.virtual_nanos;
        all.crashes += ran.tally.crashes;
        all.commits += ran.tally.commits;
        all.elections += ran.tally.elections;
        if let Some(broken) = ran.broken {
            println!("seed {seed}: {}", broken.to_string().chars().take(300).collect::<String>());
            failed.push(seed);
        }
    }
    println!("{seeds} seeds: {all:?}, {} virtual seconds", all.virtual_nanos / SECOND);
    assert!(failed.is_empty(), "laws are broken at seeds {failed:?}");
}

#[test]
fn replay() {
    let Some(seed) = number("QUORATE_SIM_SEED") else { return };
    let ran = run(&Plan::of(seed), true);
    let count = number("QUORATE_SIM_LINES").unwrap_or(50) as usize;
    for line in ran.trace.tail(count) {
        println!("{line}");
    }
    println!("{:?}", ran.tally);
    if let Some(broken) = ran.broken {
        panic!("seed {seed}: {broken}");
    }
}
