//! Could this have happened to one object, one operation at a time? Clients record what they asked, what they were answered
//! and when; [`check`] looks for an order in which a sequential object would have given the same answers, and in which
//! nothing comes before what had returned when it was called. If there is none, the [`Violation`] shows the smallest key
//! without one, few of its operations that suffice, and how far an order goes.
//!
//! An operation without an answer may have taken effect at any moment after its call, or never; one that was refused never
//! did. Keys are judged apart: a history is linearizable if that of each key is (Herlihy and Wing).
//!
//! The search is that of Wing and Gong with Lowe's memory: which operations are done and what the state then is decides
//! everything that follows, so that no such configuration is visited twice. Operations without an answer would ruin it, since
//! none ever has to be done and any may come next. So they come in only where nothing else leads on, the fewest first; and a
//! configuration is not visited if another differs only in having used fewer of them. And a read that fits is taken at
//! once: no order is missed by that.
//!
//! This module knows of no cluster and needs nothing but `std`.

#![allow(dead_code, unused_imports, reason = "each test that includes this module uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

pub(crate) mod bank;
pub(crate) mod counter;
mod history;
pub(crate) mod list;
pub(crate) mod register;
mod report;
mod search;
mod shrink;

pub(crate) use history::{Fate, Operation};
pub(crate) use report::{Fault, Violation};

use search::{Found, VISITED_MAX, search};

/// A sequential object: what it does when one operation comes after the other.
pub(crate) trait Spec {
    type State: Clone + Debug + Eq + Hash;
    type Input: Clone + Debug + Eq;
    type Output: Clone + Debug + Eq;

    /// The state before everything. `seen` is all that was ever answered: a state may leave out what nobody can tell.
    fn start<'a>(seen: impl Iterator<Item = &'a Self::Output>) -> Self::State
    where
        Self: 'a;

    /// The state behind `input`; `None` if `output` cannot be the answer to it. Without an output any answer will do.
    fn step(state: &Self::State, input: &Self::Input, output: Option<&Self::Output>) -> Option<Self::State>;

    /// Whether an operation with this answer changes nothing, whatever the state. To say no is never wrong, but slower.
    fn only_reads(_input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        false
    }

    /// Whether `output` may be what it is because of `cause`. A report never leaves out a cause and keeps its effect.
    fn explains(cause: &Self::Input, input: &Self::Input, output: &Self::Output) -> bool;
}

/// An operation on such an object.
pub(crate) type OperationOf<S, K> = Operation<K, <S as Spec>::Input, <S as Spec>::Output>;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) keys: usize,
    pub(crate) operations: usize,
    /// How many configurations were visited: how hard it was.
    pub(crate) visited: usize,
}

/// Finds for every key an order that explains all its answers.
pub(crate) fn check<S: Spec, K: Clone + Debug + Ord>(
    history: &[OperationOf<S, K>],
) -> Result<Checked, Box<Violation<S, K>>> {
    let mut keys: BTreeMap<&K, Vec<&OperationOf<S, K>>> = BTreeMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation);
    }
    let mut checked = Checked { keys: keys.len(), operations: history.len(), visited: 0 };
    let mut failed = Vec::new();
    for operations in keys.into_values() {
        let (found, visited) = search::<S, K>(&operations, VISITED_MAX);
        checked.visited += visited;
        if !matches!(found, Found::Order) {
            failed.push(operations);
        }
    }
    match failed.into_iter().min_by_key(Vec::len) {
        Some(smallest) => Err(Box::new(shrink::explain(&smallest))),
        None => Ok(checked),
    }
}
