//! One run of a plan, from its beginning to its end or to the first law that is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::law::Broken;
use super::linear;
use super::plan::Plan;
use super::trace::Trace;
use super::world::{Tally, World};
use crate::ticket::panic_message;
use crate::types::NodeId;

/// What came of a run.
pub(super) struct Ran {
    pub(super) tally: Tally,
    pub(super) broken: Option<Broken>,
    pub(super) trace: Trace,
}

/// Runs `plan`; keeps its lines if somebody is going to look.
pub(super) fn run(plan: &Plan, traced: bool) -> Ran {
    let mut world = World::new(plan, traced);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let broken = match ran {
        Ok(judged) => judged.and_then(|()| linear::judge(&world.history)).err(),
        Err(panic) => {
            let node = world.last_node().unwrap_or(NodeId::new(1).expect("not zero"));
            Some(Broken::Panicked { node, message: panic_message(&*panic) })
        }
    };
    let World { tally, trace, .. } = world;
    Ran { tally, broken, trace }
}
