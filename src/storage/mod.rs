//! Where promises are kept: traits and their contract, an implementation in memory and one on disk.
//!
//! # The contract
//! - [`Storage::write`] returns `Ok` only when everything in the batch is durable: it survives the loss of power at
//!   that moment. Entries written at or after an index that was written before replace everything from that index on.
//! - An error of [`Storage::write`] or [`Storage::settle`] is final, with the one exception that
//!   [`StorageError::is_recoverable`] names: the caller stops, never retries, and believes nothing that it reads back
//!   before a restart.
//! - After a crash a storage holds every write that returned `Ok`, and of the write under way a prefix of its records or
//!   nothing: never a mixture, never a record that was replaced, never one that was not written.
//! - A storage that finds that it has lost what it once made durable refuses to open
//!   ([`StorageError::Corrupt`]). It never forgets quietly.
//! - Term and vote, a new beginning after a snapshot, entries: a write's parts become durable in this order, each of them
//!   whole or not at all.
//! - A snapshot is listed only once it is durable as a whole; the log is released only up to a snapshot that is.
//! - Several groups share one storage; they are told apart by their [`GroupId`](crate::types::GroupId) and share each sync.

#[cfg(test)]
mod contract_tests;
pub mod disk;
mod error;
pub mod memory;
mod traits;

pub use disk::inspect;
pub use error::StorageError;
pub use traits::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore,
    Storage, Upkeep,
};
