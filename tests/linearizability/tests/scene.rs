//! Histories in few words.

use std::ops::Range;

use crate::linearizability::register::{Input, Output, Register, Value};
use crate::linearizability::{Fate, Operation, Violation, check};

pub(crate) type RegisterOperation = Operation<&'static str, Input, Output>;

/// An operation on the one key of a scene, called and answered at these moments.
pub(crate) fn known<I, O>(
    client: u32,
    moments: Range<u64>,
    input: I,
    output: O,
) -> Operation<&'static str, I, O> {
    let fate = Fate::Known { returned: moments.end, output };
    Operation { client, key: "k", called: moments.start, input, fate }
}

/// One that was never answered.
pub(crate) fn unknown<I, O>(client: u32, called: u64, input: I) -> Operation<&'static str, I, O> {
    Operation { client, key: "k", called, input, fate: Fate::Unknown }
}

pub(crate) fn refused<I, O>(client: u32, called: u64, input: I) -> Operation<&'static str, I, O> {
    Operation { client, key: "k", called, input, fate: Fate::Refused }
}

pub(crate) fn set(client: u32, moments: Range<u64>, value: Value) -> RegisterOperation {
    known(client, moments, Input::Set(value), Output::Done)
}

pub(crate) fn get(client: u32, moments: Range<u64>, value: impl Into<Option<Value>>) -> RegisterOperation {
    known(client, moments, Input::Get, Output::Value(value.into()))
}

pub(crate) fn cas(
    client: u32,
    moments: Range<u64>,
    expected: Value,
    new: Value,
    swapped: bool,
) -> RegisterOperation {
    known(client, moments, Input::Cas { expected, new }, Output::Swapped(swapped))
}

pub(crate) fn violation(history: &[RegisterOperation]) -> Violation<Register, &'static str> {
    *check(history).expect_err("there is no order")
}
