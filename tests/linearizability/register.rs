//! A register with compare-and-set.

use super::Spec;

pub(crate) type Value = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Get,
    Set(Value),
    /// Sets `new` if the value is `expected`.
    Cas {
        expected: Value,
        new: Value,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To [`Input::Get`]; `None` as long as nothing was set.
    Value(Option<Value>),
    /// To [`Input::Set`].
    Done,
    /// To [`Input::Cas`].
    Swapped(bool),
}

pub(crate) struct Register;

impl Spec for Register {
    type State = Option<Value>;
    type Input = Input;
    type Output = Output;

    fn start<'a>(_seen: impl Iterator<Item = &'a Output>) -> Self::State {
        None
    }

    fn step(state: &Self::State, input: &Input, output: Option<&Output>) -> Option<Self::State> {
        let (next, answer) = match *input {
            Input::Get => (*state, Output::Value(*state)),
            Input::Set(value) => (Some(value), Output::Done),
            Input::Cas { expected, new } if *state == Some(expected) => (Some(new), Output::Swapped(true)),
            Input::Cas { .. } => (*state, Output::Swapped(false)),
        };
        output.is_none_or(|output| *output == answer).then_some(next)
    }

    fn only_reads(input: &Input, output: Option<&Output>) -> bool {
        matches!((input, output), (Input::Get, _) | (Input::Cas { .. }, Some(Output::Swapped(false))))
    }

    fn explains(cause: &Input, input: &Input, output: &Output) -> bool {
        let (Input::Set(written) | Input::Cas { new: written, .. }) = *cause else { return false };
        match (input, output) {
            (Input::Get, Output::Value(value)) => *value == Some(written),
            (Input::Cas { expected, .. }, Output::Swapped(swapped)) => (*expected == written) == *swapped,
            _ => false,
        }
    }
}
