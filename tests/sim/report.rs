//! What is printed when a law is broken: which one and how, the least that breaks it, what happened last, and the command
//! that shows it again.

use std::fmt;

use super::asked;
use super::law::Broken;
use super::plan::{Plan, SECOND};
use super::run::{Ran, run};
use super::shrink::{Shrunk, shrink};

/// A law that was broken by `plan`, and by `shrunk` too.
pub(super) struct Report {
    plan: Plan,
    shrunk: Shrunk,
    /// The run of the shrunk plan, with its lines.
    ran: Ran,
    broken: Broken,
    lines: usize,
}

impl Report {
    /// Runs `plan`, which broke a law, with less and less, `runs_max` times at most; at last once more for its lines.
    pub(super) fn on(plan: &Plan, broken: Broken, runs_max: usize, lines: usize) -> Self {
        let breaks = |plan: &Plan| run(plan, false).broken.map(|broken| kind(&broken));
        let shrunk = shrink(plan, &kind(&broken), runs_max, breaks);
        let mut ran = run(&shrunk.plan, true);
        // Two runs of one plan that end in different ways would be a fault of the simulator, and as good to know.
        let broken = ran.broken.take().unwrap_or(broken);
        Self { plan: plan.clone(), shrunk, ran, broken, lines }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, shrunk, ran, broken, lines } = self;
        writeln!(f, "──── {} is broken, seed {}", broken.name(), plan.seed)?;
        writeln!(f, "{broken}\n")?;
        writeln!(f, "  planned  {}", size(plan))?;
        if shrunk.runs > 0 {
            writeln!(f, "  shrunk   {}, in {} runs", size(&shrunk.plan), shrunk.runs)?;
        }
        for act in &shrunk.plan.acts {
            writeln!(f, "    {act}")?;
        }
        let tail = ran.trace.tail(*lines);
        writeln!(f, "\n  the last {} of {} lines", tail.len(), ran.trace.lines.len())?;
        for line in tail {
            writeln!(f, "{line}")?;
        }
        let plan = shrunk.plan.to_text();
        writeln!(f, "\n  again, and as a picture (leave out the first variable for the lines alone)")?;
        let bug = asked::bug().map_or(String::new(), |bug| format!("QUORATE_SIM_BUG={bug:?} "));
        write!(
            f,
            "QUORATE_SIM_DIAGRAM=/tmp/run.html {bug}QUORATE_SIM_PLAN='{plan}' \
             cargo test --release --lib sim::replay -- --nocapture"
        )
    }
}

/// Which law it is; of our own assertions each is one, told apart by their words up to the first number.
fn kind(broken: &Broken) -> String {
    match broken {
        Broken::Panicked { message, .. } => {
            message.chars().take_while(|char| !char.is_ascii_digit()).collect()
        }
        broken => broken.name(),
    }
}

/// How large a plan is, in words.
fn size(plan: &Plan) -> String {
    let Plan { nodes, spare_nodes, callers, keys, acts, .. } = plan;
    let ends = plan.ends as f64 / SECOND as f64;
    let faults = acts.len();
    format!(
        "nodes {nodes}, spare {spare_nodes}, callers {callers}, keys {keys}; faults {faults} in {ends:.1} s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::trace::What;

    #[test]
    fn a_report_says_what_was_broken_what_broke_it_what_happened_last_and_how_to_see_it_again() {
        let plan = Plan { nodes: 3, ends: 3 * SECOND, ..Plan::of(3) };
        let broken = Broken::NotLive { what: "nobody leads".to_owned() };
        let report = Report::on(&plan, broken, 0, 50);

        let text = report.to_string();

        assert!(text.contains("NotLive is broken, seed 3"), "{text}");
        assert!(text.contains("nobody leads"), "{text}");
        assert!(text.contains("the last 50 of"), "{text}");
        assert!(plan.acts.iter().all(|act| text.contains(&act.to_string())), "{text}");
        assert!(text.contains(&format!("QUORATE_SIM_PLAN='{}' cargo test", plan.to_text())), "{text}");
        assert!(report.ran.trace.lines.iter().any(|line| matches!(line.what, What::Message { .. })));
    }
}
