//! What all handles on the snapshots of a data directory share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::name::{SnapshotName, Stage};
use crate::metrics::StorageMetrics;
use crate::storage::StorageError;
use crate::storage::disk::files::{Files, Lock};
use crate::types::{ClusterId, GroupId, SnapshotId};

/// The snapshots of a data directory.
pub(in crate::storage) struct Snapshots {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) metrics: Arc<StorageMetrics>,
    /// Whose snapshots they are; known once the storage is founded.
    cluster: OnceLock<ClusterId>,
    /// Unfinished files that somebody goes on with, and how many do.
    pub(super) in_use: Mutex<BTreeMap<PathBuf, usize>>,
    /// Unfinished files of which this process wrote every byte, and no sync failed. What is read of any other may stand
    /// in the page cache alone, and after a failed sync as clean: no sync would bring it to the disk.
    pub(super) sure: Mutex<BTreeSet<PathBuf>>,
    /// The snapshot that was received last, if that was past the page cache: nothing of it is there.
    uncached: Mutex<Option<SnapshotId>>,
    /// Handles may outlive the log: until they are gone, nobody else may take over the directory.
    _lock: Lock,
}

impl Snapshots {
    pub(in crate::storage) fn new(
        files: Arc<dyn Files>,
        dir: PathBuf,
        metrics: Arc<StorageMetrics>,
        lock: Lock,
    ) -> Self {
        let (cluster, in_use, sure) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Self { files, dir, metrics, cluster, in_use, sure, uncached: Mutex::default(), _lock: lock }
    }

    /// The storage is founded, in that cluster.
    pub(in crate::storage) fn belong_to(&self, cluster: ClusterId) {
        let known = *self.cluster.get_or_init(|| cluster);
        assert!(known == cluster, "a storage changes its cluster");
    }

    /// A node that waits to join may be offered a snapshot before its log writer has founded the storage.
    pub(super) fn cluster(&self) -> Result<ClusterId, StorageError> {
        let blank = || io::Error::other("the storage is not founded yet");
        self.cluster
            .get()
            .copied()
            .ok_or_else(|| StorageError::io("use the snapshots of", &self.dir)(blank()))
    }

    /// This snapshot is not in the page cache.
    pub(super) fn set_uncached(&self, id: SnapshotId) {
        *self.uncached.lock() = Some(id);
    }

    /// Whether it is better read past the page cache: from there it comes no sooner, and costs more.
    pub(super) fn is_uncached(&self, id: SnapshotId) -> bool {
        *self.uncached.lock() == Some(id)
    }

    /// What lies there, sorted.
    pub(super) fn names(&self) -> Result<Vec<SnapshotName>, StorageError> {
        let listed = self.files.list(&self.dir).map_err(StorageError::io("list", &self.dir))?;
        let mut names: Vec<_> =
            listed.iter().filter_map(|listed| SnapshotName::parse(&listed.name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The name of a snapshot that is there.
    pub(super) fn find(&self, group: GroupId, id: SnapshotId) -> Result<SnapshotName, StorageError> {
        let is_it = |name: &SnapshotName| (name.group, name.id, name.stage) == (group, id, Stage::Whole);
        self.names()?.into_iter().find(is_it).ok_or(StorageError::NoSuchSnapshot { id })
    }

    /// Removes a file unless somebody goes on with it, or is about to: whether it did.
    pub(super) fn remove_unused(&self, path: &Path) -> Result<bool, StorageError> {
        let in_use = self.in_use.lock();
        let is_unused = !in_use.contains_key(path);
        if is_unused {
            self.remove(path)?;
        }
        Ok(is_unused)
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match self.files.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sync_dir(&self) -> Result<(), StorageError> {
        self.files.sync_dir(&self.dir).map_err(StorageError::io("sync", &self.dir))
    }

    /// For `map_err`: as [`StorageError::io_or_full`], and counted.
    pub(super) fn io_or_full(
        &self,
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> StorageError {
        let error = StorageError::io_or_full(operation, path);
        move |source| {
            let error = error(source);
            if matches!(error, StorageError::DiskFull { .. }) {
                self.metrics.disk_full.increment();
            }
            error
        }
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").field("dir", &self.dir).finish_non_exhaustive()
    }
}
