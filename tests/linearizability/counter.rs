//! A counter that says what it has come to.

use super::Spec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Add(i64),
    Read,
}

pub(crate) struct Counter;

impl Spec for Counter {
    type State = i64;
    type Input = Input;
    /// The count behind the operation.
    type Output = i64;

    fn start<'a>(_seen: impl Iterator<Item = &'a i64>) -> i64 {
        0
    }

    fn step(state: &i64, input: &Input, output: Option<&i64>) -> Option<i64> {
        let next = match input {
            Input::Add(delta) => state + delta,
            Input::Read => *state,
        };
        output.is_none_or(|output| *output == next).then_some(next)
    }

    fn only_reads(input: &Input, _output: Option<&i64>) -> bool {
        matches!(input, Input::Read)
    }

    /// What is added shows in every count.
    fn explains(cause: &Input, _input: &Input, _output: &i64) -> bool {
        matches!(cause, Input::Add(_))
    }
}
