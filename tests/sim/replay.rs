//! One run again: what a seed stands for, or a plan that was shrunk, with its last lines and its picture.

use std::fs;

use super::asked;
use super::diagram;
use super::plan::{Plan, SECOND};
use super::report::Report;
use super::run::{Ran, run};
use crate::planted::plant;

/// Without being asked it replays a small run of its own.
#[test]
fn what_was_asked_for_is_run_again() {
    let _planted = asked::bug().map(plant);
    let plan = asked::plan().unwrap_or_else(small);
    let ran = run(&plan, true);
    if let Some(path) = asked::diagram() {
        fs::write(&path, diagram::draw(&plan, &ran, asked::drawn())).expect("the diagram can be written");
        println!("drawn: {}", path.display());
    }
    if let Some(broken) = ran.broken {
        panic!("{}", Report::on(&plan, broken, asked::shrinking(0), asked::lines()));
    }
    for line in ran.trace.tail(asked::lines()) {
        println!("{line}");
    }
    println!("{:?}", ran.tally);
}

#[test]
fn a_plan_that_went_through_its_text_runs_as_before() {
    let plan = small();
    let lines = |ran: Ran| ran.trace.lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let before = lines(run(&plan, true));

    let again = lines(run(&plan.to_text().parse().unwrap(), true));

    assert!(before.len() > 100, "much happened");
    assert_eq!(before, again);
}

fn small() -> Plan {
    "seed=1,nodes=3,callers=2".parse().map(|plan| Plan { ends: 3 * SECOND, ..plan }).expect("a plan")
}
