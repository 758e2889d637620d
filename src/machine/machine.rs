//! The state machine behind the door: bytes instead of types.

use std::any::Any;
use std::io::Read;

use bytes::Bytes;

use super::{Codec, DecodeError, Held, MachineError, SnapshotError, StateMachine};
use crate::types::{LogPosition, SnapshotWriter};

/// A state machine whose types the runtime does not know.
pub(crate) trait Machine: Send {
    /// Applies one committed command. The response is encoded only if somebody waits for it.
    fn apply(
        &mut self,
        at: LogPosition,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, DecodeError>;

    /// The batch that ends at `through` is applied, or a snapshot of that position restored.
    fn end_batch(&mut self, through: LogPosition) -> Result<(), MachineError>;

    /// See [`StateMachine::snapshot`].
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError>;

    /// See [`StateMachine::restore`].
    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError>;

    /// What a machine on disk held when it was opened.
    fn applied(&self) -> Option<Held>;

    /// See [`StateMachine::durable`].
    fn durable(&self, applied: LogPosition) -> LogPosition;

    /// The user's own machine, for reads.
    fn as_any(&self) -> &dyn Any;

    /// The table of its sessions, as their model shows it.
    #[cfg(test)]
    fn sessions(&self) -> super::Model {
        super::Model::default()
    }
}

/// The user's machine as a [`Machine`].
pub(crate) struct Typed<S>(pub(crate) S);

impl<S: StateMachine> Typed<S> {
    /// Decodes a committed command and applies it.
    pub(super) fn execute(&mut self, at: LogPosition, command: &[u8]) -> Result<S::Response, DecodeError> {
        Ok(self.0.apply(at, S::Command::decode(command)?))
    }
}

impl<S: StateMachine> Machine for Typed<S> {
    fn apply(
        &mut self,
        at: LogPosition,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, DecodeError> {
        let response = self.execute(at, command)?;
        Ok(somebody_waits.then(|| {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            Bytes::from(bytes)
        }))
    }

    fn end_batch(&mut self, through: LogPosition) -> Result<(), MachineError> {
        self.0.end_batch(through, &[])
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        self.0.snapshot()
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        self.0.restore(snapshot)
    }

    fn applied(&self) -> Option<Held> {
        self.0.applied()
    }

    fn durable(&self, applied: LogPosition) -> LogPosition {
        self.0.durable(applied)
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}
