//! What a person reads who looks for the fault.

use std::fmt;
use std::fmt::Debug;

use super::{Operation, OperationOf, Spec};

/// A long history is told from its end.
const LINES_MAX: usize = 60;

/// Why a history was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No order explains the answers.
    NoOrder,
    /// There are too many ways to look at all of them.
    Undecided,
}

/// A key whose answers no sequential object would have given.
pub(crate) struct Violation<S: Spec, K> {
    pub(crate) key: K,
    pub(crate) fault: Fault,
    /// How many operations there were on this key.
    pub(crate) of: usize,
    /// Few of them that suffice, by the moment of their call.
    pub(crate) operations: Vec<OperationOf<S, K>>,
    /// The longest beginning of an order of them, as places among `operations`.
    pub(crate) deepest: Vec<usize>,
}

impl<S: Spec, K> Violation<S, K> {
    /// The state behind the longest beginning of an order.
    fn state(&self) -> S::State {
        let start = S::start(self.operations.iter().filter_map(Operation::output));
        self.deepest.iter().fold(start, |state, &at| {
            let operation = &self.operations[at];
            S::step(&state, &operation.input, operation.output()).expect("it was found to fit")
        })
    }

    /// What is not in that beginning, and has an answer.
    fn unexplained(&self) -> impl Iterator<Item = &OperationOf<S, K>> {
        let rest = self.operations.iter().enumerate().filter(|(at, _)| !self.deepest.contains(at));
        rest.map(|(_, operation)| operation).filter(|operation| operation.output().is_some())
    }
}

impl<S: Spec, K: Debug> fmt::Display for Violation<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, of) = (self.operations.len(), self.of);
        if self.fault == Fault::Undecided {
            return writeln!(f, "key {:?}: too many ways to order its {of} operations", self.key);
        }
        writeln!(f, "key {:?} is not linearizable: these {shown} of its {of} operations show it", self.key)?;
        for operation in &self.operations[shown.saturating_sub(LINES_MAX)..] {
            writeln!(f, "  {operation}")?;
        }
        writeln!(f, "an order can begin like this")?;
        for &at in &self.deepest[self.deepest.len().saturating_sub(LINES_MAX)..] {
            writeln!(f, "  {}", self.operations[at])?;
        }
        writeln!(f, "then the state is {:?}, and none of these can come next", self.state())?;
        for operation in self.unexplained().take(LINES_MAX) {
            writeln!(f, "  {operation}")?;
        }
        Ok(())
    }
}

impl<S: Spec, K: Debug> Debug for Violation<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
