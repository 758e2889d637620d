//! The log on disk, as its one writer sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::appender::Appender;
use super::batch::BLOCK_BYTES;
use super::config::DiskConfig;
use super::files::{Files, Lock};
use super::index::{Index, Shared};
use super::pool::{DiskUpkeep, Pool, Spare};
use super::reader::DiskReader;
use super::record::Restatement;
use super::snapshots::{DiskSnapshots, Snapshots};
use crate::metrics::StorageMetrics;
use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use crate::types::{Entry, GroupId, HardState, LogIndex, LogPosition, Membership};

/// A durable log of many groups in a directory of its own.
pub struct DiskLog {
    pub(super) config: DiskConfig,
    pub(super) files: Arc<dyn Files>,
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    pub(super) metrics: Arc<StorageMetrics>,
    pub(super) identity: Option<Identity>,
    /// Where batches are added; `None` until the log is founded.
    pub(super) appender: Option<Appender>,
    /// All that the next segment restates.
    pub(super) groups: BTreeMap<GroupId, Restatement>,
    pub(super) recovered: BTreeMap<GroupId, Recovered>,
    /// What the batch that is being made will change, once it is durable.
    pub(super) unpublished: Vec<Change>,
    /// Where the logs start that begin anew in that batch.
    pub(super) restarted: BTreeMap<GroupId, LogIndex>,
    /// Segments for the rest of a write that needs more than one.
    pub(super) reserved: Vec<Spare>,
    /// What all handles on the snapshots beside the log share.
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) has_upkeep: AtomicBool,
    pub(super) lock: Lock,
}

/// What a record changes.
pub(super) enum Change {
    HardState(GroupId, HardState),
    Restart(GroupId, Restatement),
    Entries { group: GroupId, first: LogIndex, last: LogPosition },
}

impl DiskLog {
    /// What the log counts.
    pub(crate) fn metrics(&self) -> Arc<StorageMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Does what may fail for good: an error that is not a full disk is the last thing that happens to this log.
    pub(super) fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.shared.is_poisoned() {
            return Err(StorageError::Poisoned);
        }
        let result = act(self);
        match &result {
            Err(StorageError::DiskFull { .. }) => self.metrics.disk_full.increment(),
            Err(error) if !error.is_recoverable() => self.shared.poison(),
            _ => {}
        }
        result
    }

    #[cfg(test)]
    pub(super) fn appender_end(&self) -> u64 {
        self.appender.as_ref().map_or(0, |appender| appender.end.offset)
    }

    pub(super) fn appender(&mut self) -> &mut Appender {
        self.appender.as_mut().expect("the log is founded before it is written")
    }
}

impl Storage for DiskLog {
    fn identity(&self) -> Option<Identity> {
        self.identity.filter(|_| self.appender.is_some())
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        assert!(self.appender.is_none(), "the log is founded already");
        assert!(identity.node == self.config.node, "the log is founded for the node that opened it");
        self.guarded(|log| {
            log.identity = Some(identity);
            let founded = log.found_all(&identity, groups);
            if founded.is_err() {
                (log.identity, log.appender) = (None, None);
                log.groups.clear();
                log.unpublished.clear();
                log.restarted.clear();
                *log.shared.index.write() = Index::default();
            }
            if founded.is_ok() {
                log.snapshots.belong_to(identity.cluster);
            }
            founded
        })
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        std::mem::take(&mut self.recovered)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        self.guarded(|log| log.write_all(writes))
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        Box::new(DiskSnapshots::new(Arc::clone(&self.snapshots)))
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.guarded(|log| {
            // A blank log, of a node that waits to join, has no end to mark.
            if log.appender.as_ref().is_none_or(|appender| appender.is_settled) {
                return Ok(());
            }
            log.make_room(BLOCK_BYTES)?;
            log.appender().witness()
        })
    }

    fn entry_bytes_max(&self) -> u32 {
        self.config.entry_bytes_max
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        self.guarded(|log| log.release_through(group, through, membership))
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(DiskReader::new(Arc::clone(&self.shared)))
    }

    /// There is one, for whoever asks first: two would recycle segments out of their order.
    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        if self.has_upkeep.swap(true, Ordering::Relaxed) {
            return None;
        }
        let (pool, shared) = (Arc::clone(&self.pool), Arc::clone(&self.shared));
        Some(Box::new(DiskUpkeep::new(pool, shared, Arc::clone(&self.metrics), Arc::clone(&self.lock))))
    }
}
