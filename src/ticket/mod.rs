//! Tickets: what a caller holds while its request is under way, and the reply that fills it.
//!
//! A request has three stages. While it is *queued*, its caller may take it back; once it is *taken* (about to be
//! appended, or forwarded) nobody can say any more that it will not commit; then it is *done*. Who wins the step from
//! queued, the caller's deadline or the engine, is decided under the slot's lock: that is what lets an error say
//! `NotApplied` or `Unknown` and be right.

mod admin_error;
mod error;
mod gate;
mod guard;
mod numbers;
mod read_task;
mod reply;
mod slot;
#[expect(clippy::module_inception, reason = "the type the room is named for")]
mod ticket;

pub use admin_error::{ChangeError, SnapshotNowError, TransferError};
pub use error::{Outcome, ProposeError, ReadError, StopCause};
pub(crate) use gate::{Gate, Permit};
pub(crate) use guard::{enter_runtime_thread, on_runtime_thread};
pub(crate) use numbers::{Number, Numbers};
pub(crate) use read_task::ReadTask;
pub(crate) use reply::Reply;
pub use slot::CallError;
pub use ticket::Ticket;
pub(crate) use ticket::panic_message;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod tests;
