//! Many seeds.

use super::asked;
use super::plan::{Plan, SECOND};
use super::report::Report;
use super::run::run;
use super::world::Tally;
use crate::planted::plant;

/// So many failures are shrunk and told in full; of the others, only which law it was.
const TOLD_IN_FULL: usize = 3;
const SHRINKING_RUNS: usize = 300;

#[test]
fn no_law_is_broken_whatever_happens() {
    let _planted = asked::bug().map(plant);
    let seeds = asked::seeds();
    let mut all = Tally::default();
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let plan = Plan::of(seed);
        let ran = run(&plan, false);
        all.events += ran.tally.events;
        all.virtual_nanos += ran.tally.virtual_nanos;
        all.crashes += ran.tally.crashes;
        all.commits += ran.tally.commits;
        all.elections += ran.tally.elections;
        let Some(broken) = ran.broken else { continue };
        failed.push((seed, broken.name()));
        if failed.len() <= TOLD_IN_FULL {
            let runs_max = asked::shrinking(SHRINKING_RUNS);
            println!("{}\n", Report::on(&plan, broken, runs_max, asked::lines()));
        } else {
            println!("seed {seed}: {}", broken.to_string().chars().take(300).collect::<String>());
        }
    }
    println!("seeds {seeds:?}: {all:?}, {} virtual seconds", all.virtual_nanos / SECOND);
    assert!(failed.is_empty(), "laws are broken at seeds {failed:?}");
}
