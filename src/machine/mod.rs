//! What users write: a [`StateMachine`] and the [`Codec`]s of its types.

mod codec;
mod log_codec;
#[expect(clippy::module_inception, reason = "the trait the room is named for")]
mod machine;
mod state_machine;

pub use codec::{Codec, DecodeError};
pub(crate) use machine::{Machine, Typed};
pub use state_machine::{Held, MachineError, SnapshotError, StateMachine};
