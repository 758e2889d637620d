//! A smaller plan that breaks the same law. What is tried first takes most away: time, whole kinds of faults, callers and
//! nodes; then single faults, by delta debugging; then how long those that are left last. Each trial is a run, and their
//! number is bounded. No chance is involved: the same plan shrinks to the same one.

use super::plan::{Act, Fault, MILLISECOND, Plan, Reads};

/// A run is not made shorter by less than this.
const HORIZON_STEP: u64 = 100 * MILLISECOND;
/// Less changes nothing: nobody notices what lasts shorter.
const LASTS_MIN: u64 = MILLISECOND;

/// What was found.
#[derive(Debug)]
pub(super) struct Shrunk {
    pub(super) plan: Plan,
    /// How many runs that took.
    pub(super) runs: usize,
}

/// Shrinks `plan`, which breaks the law called `law`, in `runs_max` runs at most. `breaks` names the law that a plan breaks.
pub(super) fn shrink(
    plan: &Plan,
    law: &str,
    runs_max: usize,
    breaks: impl FnMut(&Plan) -> Option<String>,
) -> Shrunk {
    let mut hunt = Hunt { smallest: plan.clone(), law, runs: 0, runs_max, breaks };
    while hunt.makes_smaller() && !hunt.is_tired() {}
    Shrunk { plan: hunt.smallest, runs: hunt.runs }
}

struct Hunt<'a, F> {
    /// It breaks the law.
    smallest: Plan,
    law: &'a str,
    runs: usize,
    runs_max: usize,
    breaks: F,
}

impl<F: FnMut(&Plan) -> Option<String>> Hunt<'_, F> {
    /// One round of everything. Whether anything helped: then another round may.
    fn makes_smaller(&mut self) -> bool {
        let before = self.smallest.clone();
        self.end_earlier();
        self.drop_kinds();
        self.need_less();
        self.drop_acts();
        self.last_shorter();
        self.choose_plainly();
        self.smallest != before
    }

    fn is_tired(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Goes on with `plan` if it breaks the law as well.
    fn takes(&mut self, plan: Plan) -> bool {
        if self.is_tired() || plan == self.smallest {
            return false;
        }
        self.runs += 1;
        let is_broken = (self.breaks)(&plan).as_deref() == Some(self.law);
        if is_broken {
            self.smallest = plan;
        }
        is_broken
    }

    /// The smallest number in `least..=now` that still breaks the law, as far as halving finds it. The least comes first: it
    /// is what most often does.
    fn lower(&mut self, least: u64, now: u64, step: u64, with: impl Fn(&Plan, u64) -> Plan) {
        if now <= least || self.takes(with(&self.smallest, least)) {
            return;
        }
        let (mut fails, mut breaks) = (least, now);
        while breaks - fails > step && !self.is_tired() {
            let middle = fails + (breaks - fails) / 2;
            if self.takes(with(&self.smallest, middle)) { breaks = middle } else { fails = middle }
        }
    }

    fn end_earlier(&mut self) {
        self.lower(HORIZON_STEP, self.smallest.ends, HORIZON_STEP, |plan, ends| {
            let acts = plan.acts.iter().copied().filter(|act| act.at < ends).collect();
            Plan { ends, ..plan.with_acts(acts) }
        });
    }

    fn drop_kinds(&mut self) {
        // Often the faults have nothing to do with it.
        self.takes(self.smallest.with_acts(Vec::new()));
        for fault in Fault::ALL {
            let acts = self.smallest.acts.iter().copied().filter(|act| act.fault != fault).collect();
            self.takes(self.smallest.with_acts(acts));
        }
    }

    fn need_less(&mut self) {
        let Plan { callers, keys, spare_nodes, nodes, .. } = self.smallest;
        self.lower(1, callers as u64, 1, |plan, callers| Plan { callers: callers as usize, ..plan.clone() });
        self.lower(0, spare_nodes, 1, |plan, spare_nodes| Plan { spare_nodes, ..plan.clone() });
        self.lower(1, nodes, 1, |plan, nodes| Plan { nodes, ..plan.clone() });
        self.lower(1, u64::from(keys), 1, |plan, keys| Plan { keys: keys as u8, ..plan.clone() });
        let clients = self.smallest.clients as u64;
        self.lower(0, clients, 1, |plan, clients| Plan { clients: clients as usize, ..plan.clone() });
        self.takes(Plan { on_disk: false, ..self.smallest.clone() });
        self.takes(Plan { ballast: 0, ..self.smallest.clone() });
        self.takes(Plan { forwarding: false, ..self.smallest.clone() });
        self.takes(Plan { reads: Reads::Rounds, ..self.smallest.clone() });
    }

    /// Delta debugging: leaves out one part of the acts after the other, in ever smaller parts, down to single acts.
    fn drop_acts(&mut self) {
        let mut parts = 2;
        while parts <= 2 * self.smallest.acts.len() && !self.is_tired() {
            let length = self.smallest.acts.len().div_ceil(parts);
            let mut from = 0;
            let mut helped = false;
            while from < self.smallest.acts.len() {
                let mut acts = self.smallest.acts.clone();
                acts.drain(from..(from + length).min(acts.len()));
                // If it helped, the next part has moved here.
                if self.takes(self.smallest.with_acts(acts)) { helped = true } else { from += length }
            }
            if length == 1 && !helped {
                return;
            }
            parts = if helped { 2 } else { 2 * parts };
        }
    }

    fn last_shorter(&mut self) {
        for place in 0..self.smallest.acts.len() {
            let lasts = self.smallest.acts[place].lasts;
            let step = (lasts / 8).max(LASTS_MIN);
            self.lower(LASTS_MIN, lasts, step, |plan, lasts| with_act(plan, place, |act| act.lasts = lasts));
        }
    }

    /// Only what is left of a place after division by the number of nodes matters, and most choices are small ones.
    fn choose_plainly(&mut self) {
        for place in 0..self.smallest.acts.len() {
            let nodes = self.smallest.nodes + self.smallest.spare_nodes;
            self.takes(with_act(&self.smallest, place, |act| act.place %= nodes));
            self.takes(with_act(&self.smallest, place, |act| act.choice &= 0xFFFF));
        }
    }
}

fn with_act(plan: &Plan, place: usize, change: impl FnOnce(&mut Act)) -> Plan {
    let mut acts = plan.acts.clone();
    change(&mut acts[place]);
    plan.with_acts(acts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plan::SECOND;

    /// A plan with much of everything.
    fn large() -> Plan {
        let largest = (0..200).map(Plan::of).max_by_key(|plan| plan.acts.len()).unwrap();
        Plan { nodes: 7, spare_nodes: 2, callers: 6, keys: 5, ends: 40 * SECOND, ..largest }
    }

    fn count(plan: &Plan, fault: Fault) -> usize {
        plan.acts.iter().filter(|act| act.fault == fault).count()
    }

    #[test]
    fn two_faults_are_left_of_hundreds_if_two_break_the_law() {
        let large = large();
        let needed = [large.acts[5], large.acts[large.acts.len() / 2]];
        let has = |plan: &Plan, needed: &Act| {
            plan.acts.iter().any(|act| (act.at, act.fault) == (needed.at, needed.fault))
        };
        let law = |plan: &Plan| needed.iter().all(|act| has(plan, act)).then(|| "TwoLeaders".to_owned());

        let Shrunk { plan, runs } = shrink(&large, "TwoLeaders", 1_000, law);

        let left: Vec<_> = plan.acts.iter().map(|act| (act.at, act.fault)).collect();
        assert_eq!(left, needed.map(|act| (act.at, act.fault)));
        assert!(plan.acts.iter().all(|act| act.lasts == LASTS_MIN), "they last no longer than they must");
        assert_eq!((plan.nodes, plan.spare_nodes, plan.callers, plan.keys), (1, 0, 1, 1));
        assert!(plan.ends <= needed[1].at + HORIZON_STEP, "the run ends behind the second one");
        assert!(runs < 200, "it took {runs} runs");
    }

    #[test]
    fn what_the_law_needs_is_kept_and_no_more() {
        let law = |plan: &Plan| {
            let broken = plan.nodes >= 3
                && plan.callers >= 2
                && count(plan, Fault::Kill) >= 3
                && plan.ends >= 9 * SECOND;
            broken.then(|| "CommittedLost".to_owned())
        };
        let mut large = large();
        let killed =
            |at: u64| Act { at: at * SECOND, fault: Fault::Kill, place: at, lasts: SECOND, choice: 0 };
        large.acts.extend((1..20).map(killed));

        let plan = shrink(&large, "CommittedLost", 1_000, law).plan;

        assert_eq!((plan.nodes, plan.callers, plan.acts.len(), count(&plan, Fault::Kill)), (3, 2, 3, 3));
        assert!((9 * SECOND..=9 * SECOND + HORIZON_STEP).contains(&plan.ends));
    }

    #[test]
    fn a_plan_that_breaks_another_law_is_not_taken_for_smaller() {
        let large = large();
        let law = |plan: &Plan| Some(if plan.nodes == 7 { "TwoLeaders" } else { "NotLive" }.to_owned());

        assert_eq!(shrink(&large, "TwoLeaders", 1_000, law).plan.nodes, 7);
    }

    #[test]
    fn no_more_runs_are_made_than_were_allowed() {
        let mut made = 0;
        let law = |plan: &Plan| {
            made += 1;
            (plan.acts.len() > 3).then(|| "NotLive".to_owned())
        };

        let shrunk = shrink(&large(), "NotLive", 10, law);

        assert_eq!((made, shrunk.runs), (10, 10));
        assert!(shrunk.plan.acts.len() > 3, "whatever it came to breaks the law");
    }

    #[test]
    fn the_same_plan_shrinks_to_the_same_one() {
        let law = |plan: &Plan| {
            (count(plan, Fault::Pause) + count(plan, Fault::Loss) > 4).then(|| "NotLive".to_owned())
        };
        let mut large = large();
        large.acts.extend((1..9).map(|at| Act { at, fault: Fault::Pause, place: at, lasts: at, choice: at }));
        let once = || shrink(&large, "NotLive", 1_000, law).plan;

        assert_eq!(once(), once());
        assert_eq!(once().acts.len(), 5);
    }
}
