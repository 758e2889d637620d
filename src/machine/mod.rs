//! What users write: a [`StateMachine`] and the [`Codec`]s of its types; and what stands around it: the envelope of each
//! command ([`envelope`]), and the sessions ([`sessions`]) by which one that is sent twice takes effect once.

mod codec;
mod envelope;
mod log_codec;
#[expect(clippy::module_inception, reason = "the trait the room is named for")]
mod machine;
mod sessions;
mod state_machine;

pub use codec::{Codec, DecodeError};
pub(crate) use envelope::{
    ENVELOPE_BYTES_MAX, Envelope, SessionBounds, seal_close, seal_in_session, seal_open, seal_plain,
};
pub(crate) use machine::{Machine, Typed};
#[cfg(test)]
pub(crate) use sessions::{Model, ModelMachine};
pub(crate) use sessions::{NoResponse, Refusal, Sessions, is_entry_of, opened_session, session_response};
#[cfg(any(test, fuzzing))]
pub(crate) use sessions::{sealed_section, sealed_sidecar};
pub use state_machine::{Held, MachineError, SnapshotError, StateMachine};
