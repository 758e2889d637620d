//! One replica under test: a machine, how far it has come, and what it answered.

use std::io::Read;

use super::{Suite, encoded};
use crate::machine::{Codec, StateMachine};
use crate::types::{LogIndex, LogPosition, SnapshotWriter, Term};

pub(super) struct Replica<'a, S: StateMachine> {
    suite: &'a Suite<S>,
    pub(super) machine: S,
    /// How many of the suite's commands it has applied.
    applied: usize,
}

impl<'a, S: StateMachine> Replica<'a, S> {
    pub(super) fn new(suite: &'a Suite<S>, machine: S) -> Self {
        Self { suite, machine, applied: 0 }
    }

    /// The next command alone, in a batch of its own: its answer.
    pub(super) fn apply(&mut self) -> Vec<u8> {
        let answer = self.apply_unended();
        self.end_batch(&[]);
        answer
    }

    /// The next command, in a batch that goes on.
    pub(super) fn apply_unended(&mut self) -> Vec<u8> {
        let command = S::Command::decode(&self.suite.commands[self.applied]);
        let command = command.unwrap_or_else(|error| panic!("a command does not decode: {error}"));
        self.applied += 1;
        encoded(&self.machine.apply(position(self.applied), command))
    }

    /// All commands up to the `count`th, in one batch: their answers.
    pub(super) fn apply_through(&mut self, count: usize) -> Vec<Vec<u8>> {
        let answers: Vec<_> = (self.applied..count).map(|_| self.apply_unended()).collect();
        if !answers.is_empty() {
            self.end_batch(&[]);
        }
        answers
    }

    pub(super) fn end_batch(&mut self, sidecar: &[u8]) {
        let ended = self.machine.end_batch(position(self.applied), sidecar);
        ended.unwrap_or_else(|error| panic!("a batch does not end: {error}"));
    }

    /// What it answers to all questions.
    pub(super) fn answers(&self) -> Vec<Vec<u8>> {
        let ask = |query: &Vec<u8>| {
            let query = S::Query::decode(query);
            let query = query.unwrap_or_else(|error| panic!("a query does not decode: {error}"));
            encoded(&self.machine.query(query))
        };
        self.suite.queries.iter().map(ask).collect()
    }

    pub(super) fn picture(&self) -> SnapshotWriter {
        self.machine.snapshot().unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        written(self.picture())
    }

    /// Restores a snapshot of the state behind the `count`th command.
    pub(super) fn restore(&mut self, mut snapshot: impl Read, count: usize) {
        let restored = self.machine.restore(&mut snapshot);
        restored.unwrap_or_else(|error| panic!("a snapshot is not restored: {error}"));
        self.restored(count);
    }

    /// It holds the state behind the `count`th command, and knows it.
    fn restored(&mut self, count: usize) {
        self.applied = count;
        self.end_batch(&[]);
    }

    /// As [`Replica::new`], for a machine that came with the state behind the `count`th command.
    pub(super) fn resumed(suite: &'a Suite<S>, machine: S, count: usize) -> Self {
        Self { suite, machine, applied: count }
    }

    pub(super) fn require_same(&self, other: &Self, when: &str) {
        assert_eq!(self.answers(), other.answers(), "{when} the questions get other answers");
        let is_same = match &self.suite.same_state {
            Some(same) => same(&self.machine, &other.machine),
            None => self.snapshot() == other.snapshot(),
        };
        assert!(is_same, "{when} the state is another one");
    }
}

/// What a snapshot's writer wrote.
pub(super) fn written(writer: SnapshotWriter) -> Vec<u8> {
    let mut bytes = Vec::new();
    writer(&mut bytes).unwrap_or_else(|error| panic!("a snapshot is not written: {error}"));
    bytes
}

/// Where the `count`th command stands: behind the founding entry and a leader's first one, with gaps and new terms in
/// between, as in any log.
pub(super) fn position(count: usize) -> LogPosition {
    match count as u64 {
        0 => LogPosition::ZERO,
        count => LogPosition::new(Term(1 + count / 10), LogIndex(2 + count + count / 7)),
    }
}
