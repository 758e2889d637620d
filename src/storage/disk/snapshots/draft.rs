//! The file of a snapshot in the making: written from front to back, synced on the way, and given its name when it is whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::direct::Direct;
use super::name::{SnapshotName, Stage};
use super::shared::Snapshots;
use crate::planted::{Bug, planted};
use crate::storage::StorageError;
use crate::storage::disk::files::{Access, DataFile};

/// After so much a file is synced that is written through the page cache. In larger steps the log's syncs beside it wait
/// for it, and so do the clients: with 1, 4 and 16 MiB the p99 of 64 of them was 3.1, 3.7 and 4.0 times that without a
/// transfer, and 1 MiB received fastest.
const SYNC_BYTES: u64 = 1 << 20;
/// After so much a file is synced that is written past it: what was written is with the disk already, and a sync makes it
/// write down where it stands, some milliseconds each time. 1 GiB with a sync after each 1, 8 and 64 MiB takes 3.9, 0.5
/// and 0.4 s.
const DIRECT_SYNC_BYTES: u64 = 64 << 20;

/// A file that is to become a snapshot: written from front to back, and given its name when it is whole.
pub(super) struct Draft {
    pub(super) shared: Arc<Snapshots>,
    _in_use: InUse,
    name: SnapshotName,
    pub(super) path: PathBuf,
    file: Arc<dyn DataFile>,
    /// The way past the page cache, where there is one and it is wanted.
    direct: Option<Direct>,
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
        shared.sure.lock().insert(path.clone());
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
        Self { shared, _in_use: in_use, name, path, file, direct: None, offset: 0, unsynced_bytes: 0 }
    }

    /// What is there.
    pub(super) fn file(&self) -> &dyn DataFile {
        &*self.file
    }

    /// Whether all that is there was written by this process, and no sync of it failed.
    pub(super) fn is_sure(&self) -> bool {
        self.shared.sure.lock().contains(&self.path)
    }

    /// What is there is good up to `offset`, and sure: the next bytes go there.
    pub(super) fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
        self.shared.sure.lock().insert(self.path.clone());
    }

    /// Reserves the space of the whole file, where that is possible: a full disk is found before anything is sent.
    pub(super) fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes).map(|_| ())
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whatever follows is written past the page cache, where the file system can.
    pub(super) fn go_past_the_cache(&mut self) {
        self.direct = Direct::open(&*self.shared.files, &self.path);
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.write(rest)?;
            rest = &rest[count..];
            self.offset += count as u64;
            self.unsynced_bytes += count as u64;
            let sync_bytes = if self.direct.is_some() { DIRECT_SYNC_BYTES } else { SYNC_BYTES };
            if self.unsynced_bytes >= sync_bytes {
                self.file.sync_data()?;
                self.unsynced_bytes = 0;
            }
        }
        Ok(())
    }

    /// Writes some of `bytes`: how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(direct) = &mut self.direct {
            match direct.write(bytes, self.offset) {
                Ok(0) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        // Never more between two syncs, however large the pieces are that come in.
        let count = bytes.len().min(SYNC_BYTES as usize);
        self.file.write_all_at(&bytes[..count], self.offset)?;
        Ok(count)
    }

    /// Makes the file durable, and then gives it its name, durably.
    pub(super) fn publish(&self) -> Result<(), StorageError> {
        let Snapshots { files, dir, .. } = &*self.shared;
        if !planted(Bug::NamesSnapshotUnsynced) {
            self.file.sync_data().map_err(self.shared.io_or_full("sync", &self.path))?;
        }
        let path = self.name.with_stage(Stage::Whole).path(dir);
        files.rename(&self.path, &path).map_err(self.shared.io_or_full("rename", &self.path))?;
        self.shared.sure.lock().remove(&self.path);
        if self.direct.is_some() {
            self.shared.set_uncached(self.name.id);
        }
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
        self.shared.sure.lock().remove(&self.path);
        let _ = self.shared.remove(&self.path);
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
