//! How fast virtual time passes: a cluster of three under moderate load, by the time that one core spends on it, whatever else
//! the machine does. What comes out is printed and judged by nobody.

use rustix::time::{ClockId, clock_gettime};

use super::asked;
use super::plan::{MILLISECOND, Plan, Reads, SECOND};
use super::run::run;

/// So many virtual seconds, unless it is said.
const SECONDS: u64 = 10;

#[test]
fn three_nodes_under_moderate_load_agree_at_the_end() {
    let plan = three_nodes(asked::number("QUORATE_SIM_SPEED").unwrap_or(SECONDS));
    let began = spent();

    let ran = run(&plan, false);

    let (took, tally) = (spent() - began, ran.tally);
    let passed = tally.virtual_nanos as f64 / SECOND as f64;
    println!(
        "{passed:.0} virtual seconds of three nodes in {took:.2} s of a core: {:.0} a second; {} events, {:.1} million a minute; {} \
         answers, {} reads",
        passed / took,
        tally.events,
        tally.events as f64 * 60.0 / took / 1e6,
        tally.answers,
        tally.reads
    );
    assert!(ran.broken.is_none(), "{:?}", ran.broken);
}

/// What this thread has had of a core, in seconds.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Four callers, each with some eight requests a second, and nothing that goes wrong.
fn three_nodes(seconds: u64) -> Plan {
    Plan {
        nodes: 3,
        spare_nodes: 0,
        callers: 4,
        keys: 4,
        think: 100 * MILLISECOND,
        ends: seconds * SECOND,
        reads: Reads::Rounds,
        calm: true,
        forwarding: true,
        snapshot_entries: 1_000,
        trailing_entries: 100,
        ballast: 0,
        large: 0,
        latency: MILLISECOND,
        sync: 2 * MILLISECOND,
        bandwidth: 100_000_000,
        append_entries_max: 64,
        acts: Vec::new(),
        ..Plan::of(1)
    }
}
