//! Snapshots: pictures of one moment, which replace whatever was there.

use std::io::{self, Read, Write};
use std::thread;

use super::replica::written;
use super::{Clause, Suite};
use crate::machine::StateMachine;

pub(super) fn clauses<S: StateMachine>() -> Vec<Clause<S>> {
    vec![
        (
            "A snapshot of any moment restores the state of that moment, and the replica goes on like any other.",
            round_trip,
        ),
        (
            "A snapshot is a picture of the state as it was when it was taken, whatever is applied before it is written.",
            picture,
        ),
        ("Restoring replaces the whole state.", replacing),
        ("An error in the middle of a snapshot that is read is passed on.", broken_source),
        (
            "An error in the middle of a snapshot that is written is passed on, up to the last byte.",
            broken_sink,
        ),
    ]
}

/// Moments at which snapshots are taken: the beginning, the end, and some between.
fn moments(all: usize) -> impl Iterator<Item = usize> {
    (0..=all).filter(move |count| all <= 16 || count % (all / 8) == 0 || *count == all)
}

fn round_trip<S: StateMachine>(suite: &Suite<S>) {
    for count in moments(suite.all()) {
        let mut original = suite.replica(count);
        let snapshot = original.snapshot();
        let mut restored = suite.replica(0);
        // Bytes come in any pieces: one by one here.
        restored.restore(Trickle(&snapshot), count);
        restored.require_same(&original, &format!("restored behind command {count}"));
        for next in count + 1..=suite.all() {
            let (expected, answer) = (original.apply(), restored.apply());
            assert_eq!(
                answer, expected,
                "restored behind command {count}, command {next} gets another response"
            );
        }
        restored.require_same(&original, &format!("restored behind command {count}, after all commands"));
    }
}

fn picture<S: StateMachine>(suite: &Suite<S>) {
    for count in moments(suite.all()) {
        let mut original = suite.replica(count);
        let writer = original.picture();
        original.apply_through(suite.all());
        let snapshot = thread::spawn(move || written(writer)).join().expect("a snapshot's writer panicked");
        let mut restored = suite.replica(0);
        restored.restore(&*snapshot, count);
        let then = suite.replica(count);
        restored
            .require_same(&then, &format!("written out late, the picture behind command {count} shows that"));
    }
}

fn replacing<S: StateMachine>(suite: &Suite<S>) {
    for count in moments(suite.all()) {
        let original = suite.replica(count);
        let snapshot = original.snapshot();
        for before in [count / 2, suite.all()] {
            let mut restored = suite.replica(before);
            restored.restore(&*snapshot, count);
            restored.require_same(&original, &format!("restored over a state behind command {before},"));
        }
    }
}

fn broken_source<S: StateMachine>(suite: &Suite<S>) {
    let snapshot = suite.replica(suite.all()).snapshot();
    for good in moments(snapshot.len()).filter(|good| *good < snapshot.len()) {
        let mut replica = suite.replica(0);
        let mut source = (&snapshot[..good]).chain(Broken);
        let restored = replica.machine.restore(&mut source);
        assert!(
            restored.is_err(),
            "after {good} of {} bytes reading fails, and it is restored",
            snapshot.len()
        );
    }
}

fn broken_sink<S: StateMachine>(suite: &Suite<S>) {
    let length = suite.replica(suite.all()).snapshot().len();
    for room in moments(length).filter(|room| *room < length) {
        let writer = suite.replica(suite.all()).picture();
        let written = writer(&mut Narrow { room });
        assert!(written.is_err(), "there is room for {room} of {length} bytes, and it is written");
    }
}

/// Gives one byte at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(1);
        self.0.read(&mut out[..count])
    }
}

/// Fails, as a block that has rotted.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a block has rotted"))
    }
}

/// A disk that is full after `room` bytes.
struct Narrow {
    room: usize,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(self.room);
        self.room -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
