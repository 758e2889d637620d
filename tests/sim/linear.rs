//! The second opinion: the history as callers saw it, register by register, has an order that explains it. The ledger knows
//! what happened inside; this knows nothing but what was asked and answered.

use super::law::Broken;
use super::machine::Deed;
use super::world::Operation;
use linearizability::{Fate, Spec, check};

#[path = "../linearizability/mod.rs"]
mod linearizability;

/// A register that says what stood there before.
struct Register;

impl Spec for Register {
    type State = u64;
    /// `None`: a read.
    type Input = Option<Deed>;
    type Output = u64;

    fn start<'a>(_seen: impl Iterator<Item = &'a u64>) -> u64 {
        0
    }

    fn step(state: &u64, input: &Option<Deed>, output: Option<&u64>) -> Option<u64> {
        let next = match *input {
            None => *state,
            Some(Deed::Write(value)) => value,
            Some(Deed::Swap(expected, value)) => {
                if *state == expected {
                    value
                } else {
                    *state
                }
            }
        };
        output.is_none_or(|output| output == state).then_some(next)
    }

    fn only_reads(input: &Option<Deed>, _output: Option<&u64>) -> bool {
        input.is_none()
    }

    fn explains(cause: &Option<Deed>, _input: &Option<Deed>, output: &u64) -> bool {
        matches!(*cause, Some(Deed::Write(value) | Deed::Swap(_, value)) if value == *output)
    }
}

/// Judges all that was asked and answered in a run.
pub(super) fn judge(history: &[Operation]) -> Result<(), Broken> {
    let told = |operation: &Operation| {
        let &Operation { caller, key, deed, began, ended, saw } = operation;
        let fate = match (ended, saw) {
            (Some(returned), Some(output)) => Fate::Known { returned, output },
            _ => Fate::Unknown,
        };
        linearizability::Operation { client: caller as u32, key, called: began, input: deed, fate }
    };
    let history: Vec<_> = history.iter().map(told).collect();
    match check::<Register, u8>(&history) {
        Ok(_) => Ok(()),
        Err(violation) => Err(Broken::NotLinearizable { what: violation.to_string() }),
    }
}
