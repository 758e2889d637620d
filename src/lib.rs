//! quorate

pub mod consensus;
mod machine;
mod metrics;
mod replica;
pub mod storage;
mod ticket;
pub mod transport;
pub mod types;

pub use machine::{Codec, DecodeError, StateMachine};
pub use ticket::{CallError, Outcome, ProposeError, ReadError, StopCause, Ticket};
