//! What is said to an event store and what it says, and snapshots of one, from whoever sends them.

use redb::Database;
use redb::backends::InMemoryBackend;

use super::input::Input;
use crate::event_store::{Command, Query, Response, held_in};
use crate::machine::{Codec, StateMachine};
use crate::types::{LogIndex, LogPosition, Term};

/// A command, a query or an answer is refused, or is one that comes back as it was when it is written again.
///
/// One byte: which of the three; then its form.
pub fn event_commands(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(3) {
        0 => judge::<Command>(input.rest()),
        1 => judge::<Query>(input.rest()),
        _ => judge::<Response>(input.rest()),
    }
}

fn judge<T: Codec + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else { return };
    let mut again = Vec::new();
    value.encode(&mut again);
    assert_eq!(again, bytes, "{value:?} is not what we would write");
    assert_eq!(T::decode(&again), Ok(value), "it changes when it is passed on");
}

/// A snapshot is refused, or restored: then it is written again the same, and whatever is asked or commanded is answered.
///
/// Two bytes: how long the snapshot is; it; then commands and queries, each behind a length of one byte.
pub fn event_snapshots(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let length = usize::from(input.u16());
    let snapshot = input.bytes(length);
    let database =
        Database::builder().create_with_backend(InMemoryBackend::new()).expect("a database in memory");
    let mut machine = held_in(database).expect("a blank machine");
    if machine.restore(&mut &*snapshot).is_err() {
        return;
    }
    let at = |index| LogPosition::new(Term(1), LogIndex(SNAPSHOT_INDEX + index));
    if machine.end_batch(at(0), &[]).is_err() {
        return;
    }
    let mut again = Vec::new();
    machine.snapshot().expect("a picture")(&mut again).expect("a picture that is written");
    assert_eq!(again, snapshot, "a snapshot is not what we would write");
    let mut index = 0;
    while !input.is_empty() {
        let length = usize::from(input.u8());
        let said = input.bytes(length);
        if let Ok(query) = Query::decode(said) {
            judge_answer(&machine.query(query));
        }
        if let Ok(command) = Command::decode(said) {
            index += 1;
            let answer = machine.apply(at(index), command);
            judge_answer(&answer);
            if machine.end_batch(at(index), &[]).is_err() {
                assert!(
                    matches!(answer, Response::Failed { .. }),
                    "a batch does not end, and nothing failed"
                );
                return;
            }
        }
    }
}

/// The entry whose snapshot it is.
const SNAPSHOT_INDEX: u64 = 1000;

fn judge_answer(answer: &Response) {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    assert_eq!(Response::decode(&bytes).as_ref(), Ok(answer), "an answer changes when it is passed on");
}
