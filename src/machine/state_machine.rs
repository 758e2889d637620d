//! The one trait that a user implements.

use std::io::{self, Read};

use super::{Codec, DecodeError};
use crate::types::{LogPosition, SnapshotWriter};

/// A deterministic state machine: the same commands in the same order give the same state and the same responses on
/// every replica.
///
/// It runs on a thread of its own and needs no lock. It must not read clocks, draw random numbers or depend on the order
/// of a `HashMap` when it applies: what differs between replicas must come in with the command.
///
/// A machine in memory implements the first four methods: a restart begins with its newest snapshot and applies the log
/// behind it.
///
/// # A machine on disk
///
/// One that keeps its state in files, or in a database, also implements [`applied`](Self::applied) and
/// [`end_batch`](Self::end_batch). Then a restart applies only what it does not hold. What it must keep:
///
/// - State, position and sidecar change together. `end_batch` stores, in one transaction, what was applied since the last
///   one, the position of the last command, and the sidecar; after a crash all are there or none is. What was applied and not ended is as if
///   it had never been: it comes again.
/// - The newest transactions may be lost in a crash, if [`durable`](Self::durable) says so: the log is kept from there on,
///   and what is missing comes again.
/// - `restore` may be cut short by a crash, before the `end_batch` that follows it. It replaces everything in one
///   transaction, or begins by storing that nothing is held: then the snapshot, which is kept, is restored again.
/// - [`snapshot`](Self::snapshot) is always called after an `end_batch`: a read transaction, or a copy of files that never
///   change, shows exactly what was applied.
pub trait StateMachine: Send + 'static {
    /// What changes the state.
    type Command: Codec;
    /// What asks about it.
    type Query: Codec;
    /// What either of them answers.
    type Response: Codec;

    /// Applies one committed command. `at` grows with every call and names the command on every replica alike.
    ///
    /// A panic here stops the node, on every replica that reaches this command: refuse bad commands with a response.
    fn apply(&mut self, at: LogPosition, command: Self::Command) -> Self::Response;

    /// Answers a question about the state as it is now.
    fn query(&self, query: Self::Query) -> Self::Response;

    /// A picture of the state as it is now, to be written out later on another thread. Taking it should be cheap, since
    /// nothing is applied meanwhile: clone what is small or shared (`Arc`, a persistent map), begin a read transaction.
    /// What writes it may put a `BufWriter` around its output, and flushes that at the end.
    ///
    /// An error, or a panic, is logged and counted, and a snapshot is tried again later; the log stays as long as it is.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError>;

    /// Replaces the whole state by what a [`snapshot`](Self::snapshot) of any replica wrote. The bytes are checked before
    /// they are given out: an end or an error of `snapshot` in the middle is passed on with `?`.
    ///
    /// After an error the state is not used any more: the node tries another snapshot, or stops.
    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError>;

    /// What this machine held on its disk when it was opened, [`LogPosition::ZERO`] if that was blank; `None` (the default)
    /// if it keeps its state in memory. Asked at the start only: the log is applied from there on.
    fn applied(&self) -> Option<Held> {
        None
    }

    /// The commands of a batch, the last of them at `through`, have been applied, or a snapshot of that position was
    /// restored. A machine on disk commits here: one transaction for all of them, with `through` and `sidecar` in it,
    /// which it gives back in [`applied`](Self::applied). Answers and reads of the batch leave after it.
    ///
    /// `sidecar` is quorate's own and belongs to that position: by it sessions know, after a restart, which commands have
    /// taken effect ([`Session`](crate::Session)). Store it as it is, in place of the one before. Without sessions it has 61
    /// bytes; with them it grows by some dozen bytes for each that stands, and by the answers that are kept for them, up
    /// to about 16 MiB ([`Config::sessions_max`](crate::Config::sessions_max) makes it smaller). A machine that holds a position and does not
    /// give back its sidecar is refused at the start. A machine in memory is given an empty one.
    ///
    /// It may return before that is durable: see [`durable`](Self::durable). An error stops the node.
    fn end_batch(&mut self, through: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        let _ = (through, sidecar);
        Ok(())
    }

    /// Up to where a machine on disk would hold its state after a crash now; by default what it has applied. It may lag: the
    /// log is kept above it. Not asked of a machine in memory.
    fn durable(&self, applied: LogPosition) -> LogPosition {
        applied
    }
}

/// What a machine on disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The last entry whose effect it holds.
    pub position: LogPosition,
    /// What was stored with it, as [`StateMachine::end_batch`] was given it.
    pub sidecar: Vec<u8>,
}

/// Why no picture of the state could be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no snapshot was taken: {reason}")]
pub struct SnapshotError {
    /// What went wrong.
    pub reason: String,
}

/// Why a state machine could not do what the runtime needs: restore a snapshot, or store its state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct MachineError {
    /// What went wrong.
    pub reason: String,
}

/// Bytes that mean nothing are reason enough.
impl From<DecodeError> for SnapshotError {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason }
    }
}

/// Bytes that mean nothing are reason enough.
impl From<DecodeError> for MachineError {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason }
    }
}

impl SnapshotError {
    /// An error that says `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl MachineError {
    /// An error that says `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<io::Error> for MachineError {
    fn from(error: io::Error) -> Self {
        Self { reason: error.to_string() }
    }
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        Self { reason: error.to_string() }
    }
}
