//! Of a history without an order, the little that shows it.
//!
//! First time is cut: what happened after an order had become impossible does not matter. Then operations are left out as
//! long as what remains has no order either. A cause is never left out without its effects, or everything would end in a
//! value from nowhere.

use std::fmt::Debug;
use std::ops::Range;

use super::report::{Fault, Violation};
use super::search::{Found, VISITED_MAX, search};
use super::{Fate, Operation, OperationOf, Spec};

/// Shrinking may visit this many configurations in all; then what it has will do.
const VISITED_MAX_TO_SHRINK: usize = 1_000_000;

/// Explains why the operations on one key have no order.
pub(super) fn explain<S: Spec, K: Clone + Debug>(history: &[&OperationOf<S, K>]) -> Violation<S, K> {
    let key = history.first().expect("nothing at all is linearizable").key.clone();
    let whole: Vec<_> = history.iter().map(|&operation| operation.clone()).collect();
    let of = whole.len();
    let Found::Stuck(deepest) = search::<S, K>(history, VISITED_MAX).0 else {
        return Violation { key, fault: Fault::Undecided, of, operations: whole, deepest: Vec::new() };
    };
    let mut shrink = Shrink::<S, K> { budget: VISITED_MAX_TO_SHRINK, operations: whole, deepest };
    shrink.cut_the_end();
    shrink.leave_out_what_does_not_matter();
    let Shrink { operations, deepest, .. } = shrink;
    let (operations, deepest) = by_call::<S, K>(&operations, &deepest);
    Violation { key, fault: Fault::NoOrder, of, operations, deepest }
}

/// Sorts operations by their calls; gives their places anew.
fn by_call<S: Spec, K: Clone>(
    operations: &[OperationOf<S, K>],
    places: &[usize],
) -> (Vec<OperationOf<S, K>>, Vec<usize>) {
    let mut sorted: Vec<_> = (0..operations.len()).collect();
    sorted.sort_by_key(|&at| operations[at].called);
    let place = |old: &usize| sorted.iter().position(|at| at == old).expect("it is a place among them");
    let places = places.iter().map(place).collect();
    (sorted.iter().map(|&at| operations[at].clone()).collect(), places)
}

struct Shrink<S: Spec, K> {
    budget: usize,
    /// They have no order.
    operations: Vec<OperationOf<S, K>>,
    /// The longest beginning of one.
    deepest: Vec<usize>,
}

impl<S: Spec, K: Clone> Shrink<S, K> {
    /// The longest beginning of an order, if it is certain that there is no order.
    fn stuck(&mut self, history: &[OperationOf<S, K>]) -> Option<Vec<usize>> {
        let (found, visited) = search::<S, K>(&history.iter().collect::<Vec<_>>(), self.budget);
        self.budget = self.budget.saturating_sub(visited);
        match found {
            Found::Stuck(deepest) => Some(deepest),
            Found::Order | Found::Undecided => None,
        }
    }

    /// Takes these instead, if they have no order either.
    fn take(&mut self, operations: Vec<OperationOf<S, K>>) -> bool {
        let stuck = self.stuck(&operations);
        let taken = stuck.map(|deepest| (self.operations, self.deepest) = (operations, deepest));
        taken.is_some()
    }

    /// Finds the shortest beginning without an order. What had not returned by then might yet have had any outcome.
    fn cut_the_end(&mut self) {
        let mut moments: Vec<_> = self.operations.iter().filter_map(Operation::returned).collect();
        moments.sort_unstable();
        let (mut good, mut bad) = (0, moments.len() - 1);
        while good < bad {
            let middle = usize::midpoint(good, bad);
            if self.take(until::<S, K>(&self.operations, moments[middle])) {
                bad = middle;
            } else {
                good = middle + 1;
            }
        }
    }

    /// Leaves out halves, quarters and so on down to single operations, each with what it explains.
    fn leave_out_what_does_not_matter(&mut self) {
        let taken = self.operations.iter().filter(|operation| operation.fate != Fate::Refused);
        self.take(taken.cloned().collect());
        let mut size = self.operations.len().div_ceil(2);
        loop {
            let mut at = 0;
            while at < self.operations.len() && self.budget > 0 {
                let end = self.operations.len().min(at + size);
                if !self.take(without::<S, K>(&self.operations, at..end)) {
                    at += size;
                }
            }
            if size <= 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }
}

/// What was called by that moment.
fn until<S: Spec, K: Clone>(history: &[OperationOf<S, K>], moment: u64) -> Vec<OperationOf<S, K>> {
    let mut begun: Vec<_> = history.iter().filter(|operation| operation.called <= moment).cloned().collect();
    for operation in &mut begun {
        if operation.returned().is_some_and(|returned| returned > moment) {
            operation.fate = Fate::Unknown;
        }
    }
    begun
}

/// Without these operations, nor those whose answers they explain.
fn without<S: Spec, K: Clone>(history: &[OperationOf<S, K>], out: Range<usize>) -> Vec<OperationOf<S, K>> {
    let mut is_out: Vec<_> = (0..history.len()).map(|at| out.contains(&at)).collect();
    let mut causes: Vec<_> = out.collect();
    while let Some(cause) = causes.pop() {
        for (at, effect) in history.iter().enumerate().filter(|&(at, _)| at != cause) {
            let explains = |output| S::explains(&history[cause].input, &effect.input, output);
            if !is_out[at] && effect.output().is_some_and(explains) {
                is_out[at] = true;
                causes.push(at);
            }
        }
    }
    let kept = history.iter().zip(is_out).filter(|(_, is_out)| !is_out);
    kept.map(|(operation, _)| operation.clone()).collect()
}
