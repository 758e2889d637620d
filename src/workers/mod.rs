//! What the threads of a host do, without the threads: each worker is a plain struct that takes all jobs that wait, does
//! them as one batch, and says what is done. It knows no channels and no clocks; whoever runs it carries its jobs and
//! completions, on a thread or in a simulation.
//!
//! | worker | owns | its jobs |
//! |---|---|---|
//! | [`LogWriter`] | the log | writes, and what may be let go |
//! | [`LogFetcher`] | a reader of the log | entries that have left memory |
//! | [`Applier`] | the state machine | entries, reads, pictures, restores |
//! | [`SnapshotSaver`] | a handle of the snapshots | pictures to write out, old snapshots to remove |
//! | [`SnapshotMover`] | two more | snapshots to fetch, pieces to serve |
//!
//! An error of one of the first three is the cause for which the node stops: nothing that depended on the failed work
//! leaves. The last two only report theirs: what they do can be done again.

mod applier;
mod log_reader;
mod log_writer;
mod progress;
mod snapshot_mover;
mod snapshot_saver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use applier::Applier;
pub(crate) use log_reader::LogFetcher;
pub(crate) use log_writer::{LogJob, LogWriter};
pub(crate) use snapshot_mover::{MoverConfig, MoverInput, Moves, SnapshotMover};
pub(crate) use snapshot_saver::SnapshotSaver;
#[cfg(test)]
pub(crate) use tests::TestSnapshots;

use crate::storage::StorageError;
use crate::ticket::StopCause;
use crate::types::GroupId;

/// The one group whose state machine a node has, as yet.
const GROUP: GroupId = GroupId::MAIN;

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn log_failed(error: StorageError) -> StopCause {
    StopCause::Storage(Arc::from(error.to_string()))
}
