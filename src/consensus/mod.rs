//! Raft, pure: no clock, no I/O, no payloads, no threads.
//!
//! A host feeds it ([`Raft::tick`], [`Raft::step`], [`Raft::propose`], [`Raft::read_index`], [`Raft::persisted`])
//! and takes what it asks for once per turn, as one [`Ready`]. The contract of the host stands at [`Ready`].

mod ready;

pub use ready::{Outgoing, Persisted, ReadReady, Ready, Restored, WriteSeq};
