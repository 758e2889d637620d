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
//! - What was released is gone for every reader at once, and stays gone over a clean restart. After a crash the log may start
//!   where it did before: then it is released again.
//! - Several groups share one storage; they are told apart by their [`GroupId`](crate::types::GroupId) and share each sync.
//!
//! # A storage of your own
//! Implement [`Storage`], [`LogReader`] and [`SnapshotStore`], hold it against this contract with the suite of the feature
//! `testing` (`quorate::testing::storage`), and start nodes on it with [`Node::start_with`](crate::Node::start_with).
//! [`Payload`](crate::types::Payload) and [`Membership`](crate::types::Membership) have a byte form ([`Codec`](crate::Codec)).
//! `examples/own_storage.rs` is one from beginning to end.
//!
//! For those who come from async-raft: what its one trait `RaftStorage` asks for is asked for here too, method by method, and
//! the two things it mixes are apart. The log and the snapshots' files are a storage; what they mean is the
//! [`StateMachine`](crate::StateMachine)'s.
//!
//! | `RaftStorage` | here |
//! |---|---|
//! | `get_initial_state` | [`Storage::identity`], [`Storage::recovered`]; what is applied is the machine's: [`StateMachine::applied`](crate::StateMachine::applied) |
//! | `get_membership_config` | part of [`Recovered`]: the configuration where the log begins, and those among its entries |
//! | `save_hard_state` | [`Storage::write`] with [`GroupWrite::hard_state`] |
//! | `append_entry_to_log`, `replicate_to_log` | [`Storage::write`] with [`GroupWrite::entries`]: leader and follower write alike, many entries with one sync |
//! | `delete_logs_from(start, None)` | nothing of its own: entries that are written replace what was there from their first index on |
//! | `delete_logs_from(start, stop)` at the front | [`Storage::release`] |
//! | `get_log_entries(start, stop)` | [`LogReader::read`], both ends included, at most so many bytes |
//! | `apply_entry_to_state_machine`, `replicate_to_state_machine` | [`StateMachine::apply`](crate::StateMachine::apply) and [`end_batch`](crate::StateMachine::end_batch) |
//! | `do_log_compaction` | [`StateMachine::snapshot`](crate::StateMachine::snapshot) writes into [`SnapshotStore::create`]; [`SnapshotSink::finish`]; then [`Storage::release`] |
//! | `create_snapshot` | [`SnapshotStore::receive`], which also goes on with what was broken off |
//! | `finalize_snapshot_installation` | [`SnapshotIntake::finish`]; [`Storage::write`] with [`GroupWrite::restart`]; [`StateMachine::restore`](crate::StateMachine::restore); [`SnapshotStore::prune`] |
//! | `get_current_snapshot` | [`SnapshotStore::list`], the first; [`SnapshotStore::open`] to read it here, [`SnapshotStore::piece`] to give it away |
//! | `type Snapshot` (a file that one reads, writes and seeks) | [`SnapshotSink`], [`SnapshotSource`], [`SnapshotIntake`]: each can do only what it is for |

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
