//! The types of the example's state machine: a client needs no more of it.

use std::io::Read;

use quorate::{LogPosition, MachineError, SnapshotError, SnapshotWriter, StateMachine};

pub(crate) struct Counter;

impl StateMachine for Counter {
    type Command = i64;
    type Query = ();
    type Response = i64;

    fn apply(&mut self, _at: LogPosition, _add: i64) -> i64 {
        unreachable!("a client runs no machine")
    }

    fn query(&self, (): ()) -> i64 {
        unreachable!("a client runs no machine")
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        unreachable!("a client runs no machine")
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        unreachable!("a client runs no machine")
    }
}
