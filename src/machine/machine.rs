//! The state machine behind the door: bytes instead of types.

use std::any::Any;

use bytes::Bytes;

use super::{Codec, DecodeError, StateMachine};
use crate::types::LogPosition;

/// A state machine whose types the runtime does not know.
pub(crate) trait Machine: Send {
    /// Applies one committed command. The response is encoded only if somebody waits for it.
    fn apply(
        &mut self,
        at: LogPosition,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, DecodeError>;

    /// The user's own machine, for reads.
    fn as_any(&self) -> &dyn Any;
}

/// The user's machine as a [`Machine`].
pub(crate) struct Typed<S>(pub(crate) S);

impl<S: StateMachine> Machine for Typed<S> {
    fn apply(
        &mut self,
        at: LogPosition,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, DecodeError> {
        let response = self.0.apply(at, S::Command::decode(command)?);
        Ok(somebody_waits.then(|| {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            Bytes::from(bytes)
        }))
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}
