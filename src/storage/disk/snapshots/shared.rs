//! What all handles on the snapshots of a data directory share, and the file of a snapshot in the making.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::name::{SnapshotName, Stage};
use crate::metrics::StorageMetrics;
use crate::planted::{Bug, planted};
use crate::storage::StorageError;
use crate::storage::disk::files::{Access, DataFile, Files, Lock};
use crate::types::{ClusterId, GroupId, SnapshotId};

/// After so much a file is synced. In larger steps the log's syncs beside it wait for it, and so do the clients: with
/// 1, 4 and 16 MiB the p99 of 64 of them was 3.1, 3.7 and 4.0 times that without a transfer, and 1 MiB received fastest.
const SYNC_BYTES: u64 = 1 << 20;

/// The snapshots of a data directory.
pub(in crate::storage) struct Snapshots {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) metrics: Arc<StorageMetrics>,
    /// Whose snapshots they are; known once the storage is founded.
    cluster: OnceLock<ClusterId>,
    /// Unfinished files that somebody goes on with, and how many do.
    in_use: Mutex<BTreeMap<PathBuf, usize>>,
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
        let (cluster, in_use) = (OnceLock::new(), Mutex::default());
        Self { files, dir, metrics, cluster, in_use, _lock: lock }
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

/// Somebody goes on with an unfinished file, for as long as this lives. It begins before the file is opened: otherwise it
/// could be removed in between, and what is written to it would be nowhere.
struct InUse {
    shared: Arc<Snapshots>,
    path: PathBuf,
}

impl InUse {
    fn new(shared: &Arc<Snapshots>, path: &Path) -> Self {
        *shared.in_use.lock().entry(path.to_owned()).or_default() += 1;
        Self { shared: Arc::clone(shared), path: path.to_owned() }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut in_use = self.shared.in_use.lock();
        if let Some(count) = in_use.get_mut(&self.path) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.path);
            }
        }
    }
}

/// A file that is to become a snapshot: written from front to back, and given its name when it is whole.
pub(super) struct Draft {
    pub(super) shared: Arc<Snapshots>,
    _in_use: InUse,
    name: SnapshotName,
    pub(super) path: PathBuf,
    file: Arc<dyn DataFile>,
    /// Where the next bytes go.
    offset: u64,
    unsynced_bytes: u64,
}

impl Draft {
    /// A new file, in place of any of that name.
    pub(super) fn create(shared: &Arc<Snapshots>, name: SnapshotName) -> Result<Self, StorageError> {
        let path = name.path(&shared.dir);
        let in_use = InUse::new(shared, &path);
        let file = shared.files.create(&path).map_err(shared.io_or_full("create", &path))?;
        Ok(Self::new(in_use, name, path, file))
    }

    /// The file of that name, to be gone on with; `None` if there is none.
    pub(super) fn open(shared: &Arc<Snapshots>, name: SnapshotName) -> Result<Option<Self>, StorageError> {
        let path = name.path(&shared.dir);
        let in_use = InUse::new(shared, &path);
        match shared.files.open(&path, Access::Write) {
            Ok(file) => Ok(Some(Self::new(in_use, name, path, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(shared.io_or_full("open", &path)(error)),
        }
    }

    fn new(in_use: InUse, name: SnapshotName, path: PathBuf, file: Arc<dyn DataFile>) -> Self {
        let shared = Arc::clone(&in_use.shared);
        Self { shared, _in_use: in_use, name, path, file, offset: 0, unsynced_bytes: 0 }
    }

    /// What is there.
    pub(super) fn file(&self) -> &dyn DataFile {
        &*self.file
    }

    /// What is there is good up to `offset`: the next bytes go there.
    pub(super) fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Reserves the space of the whole file, where that is possible: a full disk is found before anything is sent.
    pub(super) fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes).map(|_| ())
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Never more between two syncs, however large the pieces are that come in.
        for piece in bytes.chunks(SYNC_BYTES as usize) {
            self.file.write_all_at(piece, self.offset)?;
            self.offset += piece.len() as u64;
            self.unsynced_bytes += piece.len() as u64;
            if self.unsynced_bytes >= SYNC_BYTES {
                self.file.sync_data()?;
                self.unsynced_bytes = 0;
            }
        }
        Ok(())
    }

    /// Makes the file durable, and then gives it its name, durably.
    pub(super) fn publish(&self) -> Result<(), StorageError> {
        let Snapshots { files, dir, .. } = &*self.shared;
        if !planted(Bug::NamesSnapshotUnsynced) {
            self.file.sync_data().map_err(self.shared.io_or_full("sync", &self.path))?;
        }
        let path = self.name.with_stage(Stage::Whole).path(dir);
        files.rename(&self.path, &path).map_err(self.shared.io_or_full("rename", &self.path))?;
        if planted(Bug::ReleasesBeforeSnapshotIsNamed) {
            return Ok(());
        }
        self.shared.sync_dir().inspect_err(|_| {
            // Whether it stays is not known, so it must not be counted on.
            let _ = self.shared.remove(&path);
        })
    }

    /// Gives the space back. An error leaves a file that the next [`prune`](super::DiskSnapshots) removes.
    pub(super) fn discard(&self) {
        let _ = self.shared.remove(&self.path);
    }
}
