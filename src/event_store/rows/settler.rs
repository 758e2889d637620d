//! The thread that brings layers to the disk, one at a time, each in one transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::Database;

use super::base::{self, Base};
use super::layer::Layer;
use super::store::Shared;
use crate::event_store::error::StoreError;
use crate::event_store::tables::Table;
use crate::ticket::panic_message;
use crate::types::LogPosition;

/// A layer to be settled, and what the store holds with it.
pub(super) struct Job {
    pub(super) layer: Arc<Layer>,
    /// The last batch in it.
    pub(super) batch: u64,
    /// The end of that batch.
    pub(super) position: LogPosition,
    pub(super) sidecar: Vec<u8>,
}

/// Settles what comes until the store closes, or something fails.
pub(super) fn run(shared: &Shared, database: &Database) {
    while let Some(job) = shared.next_job() {
        let settled = catch_unwind(AssertUnwindSafe(|| settle(database, &job)));
        let settled = settled.unwrap_or_else(|panic| {
            Err(StoreError::Damaged { reason: format!("redb panicked: {}", panic_message(&*panic)) })
        });
        let has_failed = settled.is_err();
        shared.settled(shared.noted(settled), job.position);
        if has_failed {
            break;
        }
    }
}

/// One transaction: the rows of the layer, and what the store holds with them.
fn settle(database: &Database, job: &Job) -> Result<Base, StoreError> {
    let store = database.begin_write()?;
    for table in Table::ALL {
        let mut rows = base::open(&store, table)?;
        job.layer.each(job.batch, table, |key, value| -> Result<(), StoreError> {
            match value {
                Some(value) => _ = rows.insert(key, &**value)?,
                None => _ = rows.remove(key)?,
            }
            Ok(())
        })?;
    }
    base::write_held(&store, job.position, &job.sidecar)?;
    base::commit(store)?;
    Base::of(database)
}
