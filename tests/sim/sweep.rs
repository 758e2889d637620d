//! Many seeds, on all cores.

use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::asked;
use super::plan::SECOND;
use super::report::Report;
use super::run::run;
use super::world::Tally;
use crate::planted::plant;

/// So many failures are shrunk and told in full; of the others, only which law it was.
const TOLD_IN_FULL: usize = 3;
const SHRINKING_RUNS: usize = 300;
/// One in so many seeds is run twice: if the two differ, no failure could be looked at again.
const TWICE_IN: u64 = 50;

/// What all threads have found.
#[derive(Default)]
struct Found {
    all: Tally,
    failed: Vec<(u64, String)>,
}

fn look_at(seed: u64, found: &Mutex<Found>) {
    let plan = asked::plan_of(seed);
    let ran = run(&plan, false);
    if seed.is_multiple_of(TWICE_IN) {
        assert_eq!(run(&plan, true).tally, ran.tally, "seed {seed} is not the same twice");
    }
    let mut found = found.lock();
    found.all.add(&ran.tally);
    let Some(broken) = ran.broken else { return };
    found.failed.push((seed, broken.name()));
    if found.failed.len() <= TOLD_IN_FULL {
        let runs_max = asked::shrinking(SHRINKING_RUNS);
        println!("{}\n", Report::on(&plan, broken, runs_max, asked::lines()));
    } else {
        println!("seed {seed}: {}", broken.to_string().chars().take(300).collect::<String>());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how fast it goes is told, and judged by nobody")]
fn no_law_is_broken_whatever_happens() {
    let (began, seeds) = (Instant::now(), asked::seeds());
    let (found, next) = (Mutex::new(Found::default()), Mutex::new(seeds.clone()));
    let work = || {
        let _planted = asked::bug().map(plant);
        loop {
            let Some(seed) = next.lock().next() else { return };
            look_at(seed, &found);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));

    let Found { all, failed } = found.into_inner();
    let (seconds, virtual_seconds) = (began.elapsed().as_secs_f64(), all.virtual_nanos / SECOND);
    println!(
        "seeds {seeds:?} on {cores} cores in {seconds:.1} s, {virtual_seconds} virtual seconds: {all:?}"
    );
    assert!(failed.is_empty(), "laws are broken at seeds {failed:?}");
}
