//! Snapshots: one file each, in the data directory beside the log.
//!
//! A snapshot is written, or received from another node, under a name of its own; synced; renamed; the directory synced.
//! So whatever is called a snapshot is whole, and everything else is worth nothing or can be gone on with (`name.rs`).
//! The same bytes travel between nodes (`format.rs`), block by block, and every block is judged wherever it passes: when
//! it is sent (`serving.rs`), before it reaches the receiver's file (`intake.rs`), and when it is read (`source.rs`).
//!
//! A snapshot of this node's own is written in pieces of 1 MiB with a sync after each: the log's syncs beside it never
//! wait for more than that. What is received goes past the page cache (`direct.rs`), where the file system can, and is
//! synced more rarely; whoever restores it, or sends it on, reads it past the cache too. Writing, reading and receiving
//! hold about 2 MiB each, and sending what is on its way.
//!
//! Measured with 1 GiB (two busy cores, a virtual disk, release build; the second figure counts CPU seconds alone, which
//! noise disturbs less):
//!
//! | | per second | per CPU second |
//! |---|---|---|
//! | `dd bs=1M conv=fdatasync`, before and after | 0.2 to 0.6 GB | |
//! | write and finish | 0.4 to 1.4 GB | 2.4 to 2.6 GB |
//! | receive and finish, chunks of 256 KiB or 1 MiB, through the page cache | 0.3 to 1.5 GB | 1.9 to 2.5 GB |
//! | receive and finish, chunks of 1 MiB, past it | up to 1.3 GB beside 64 clients | 7.5 to 9.5 GB |
//! | open and read to the end, from the page cache | 2.5 to 7.9 GB | 6.3 to 8.3 GB |
//! | pieces of 1 MiB for another node, from the page cache | 2.5 to 7.4 GB | 6.3 to 7.2 GB |
//!
//! So each of them goes at the disk's own rate. Reserving a file's space ahead costs and gains nothing measurable.

mod direct;
mod draft;
mod format;
mod intake;
mod name;
mod report;
mod serving;
mod shared;
mod sink;
mod source;
mod whole;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use self::format::Head;
use self::intake::Intake;
pub(super) use self::name::{SnapshotName, Stage};
pub(super) use self::report::report;
pub use self::report::{SnapshotReport, SnapshotState};
use self::serving::Serving;
pub(in crate::storage) use self::shared::Snapshots;
use self::sink::Sink;
use self::source::Source;
use self::whole::Whole;
use super::files::Files;
use crate::storage::{SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore, StorageError};
use crate::types::{ClusterId, GroupId, LogIndex, LogPosition, Membership, SnapshotId, SnapshotMeta};

/// So many of the newest snapshots stay, should the log reach back to them; and the oldest, since the log may be there for
/// the sake of a follower who fetches it. While one is fetched for hours many are made: all of them would fill the disk.
const REACHED_MAX: usize = 4;

/// One handle on the snapshots of a data directory.
pub(in crate::storage) struct DiskSnapshots {
    shared: Arc<Snapshots>,
    serving: Serving,
}

impl DiskSnapshots {
    pub(in crate::storage) fn new(shared: Arc<Snapshots>) -> Self {
        Self { shared, serving: Serving::default() }
    }

    /// The snapshots of `group` that can be used, oldest first by index.
    fn whole(&self, group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        let mut found = Vec::new();
        for name in self.shared.names()? {
            if (name.group, name.stage) != (group, Stage::Whole) {
                continue;
            }
            match Whole::open(&self.shared, name) {
                Ok(whole) => found.push(whole.meta()),
                // Damaged, or pruned at this moment.
                Err(StorageError::BadSnapshot { .. } | StorageError::NoSuchSnapshot { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

impl SnapshotStore for DiskSnapshots {
    fn list(&mut self, group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        let mut found = self.whole(group)?;
        found.sort_by_key(|meta| std::cmp::Reverse((meta.position, meta.id)));
        Ok(found)
    }

    fn create(
        &mut self,
        group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError> {
        let Snapshots { files, dir, .. } = &*self.shared;
        let id = SnapshotId(files.random().map_err(StorageError::io("draw an id for a snapshot in", dir))?);
        let (cluster, membership) = (self.shared.cluster()?, Arc::clone(membership));
        Ok(Box::new(Sink::create(&self.shared, Head { cluster, group, id, position, membership })?))
    }

    fn open(&mut self, group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError> {
        let name = self.shared.find(group, id)?;
        Ok(Box::new(Source::new(Whole::open_to_read(&self.shared, name)?)))
    }

    fn piece(
        &mut self,
        group: GroupId,
        id: SnapshotId,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        self.serving.piece(&self.shared, (group, id), offset, bytes_max)
    }

    fn receive(
        &mut self,
        group: GroupId,
        snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError> {
        Ok(Box::new(Intake::begin(&self.shared, group, snapshot)?))
    }

    fn prune(&mut self, group: GroupId, log_starts_after: LogIndex) -> Result<(), StorageError> {
        let Some(newest) = self.list(group)?.into_iter().next() else {
            return self.remove(group, |name| name.stage != Stage::Whole);
        };
        let is_reached = |name: &SnapshotName| {
            (name.group, name.stage) == (group, Stage::Whole) && name.index >= log_starts_after
        };
        let reached: Vec<_> = self.shared.names()?.into_iter().filter(is_reached).collect();
        let spare_count = reached.len().saturating_sub(1 + REACHED_MAX);
        let spare: Vec<_> = reached.iter().skip(1).take(spare_count).copied().collect();
        self.remove(group, |name| {
            let is_newest = name.id == newest.id || name.index > newest.position.index;
            name.stage != Stage::Whole || spare.contains(name) || !(is_newest || is_reached(name))
        })
    }
}

impl DiskSnapshots {
    /// Removes the files of `group` that are `unneeded`, unless somebody is making a snapshot of them.
    fn remove(&self, group: GroupId, unneeded: impl Fn(&SnapshotName) -> bool) -> Result<(), StorageError> {
        let Snapshots { dir, .. } = &*self.shared;
        let names = self.shared.names()?.into_iter().filter(|name| name.group == group && unneeded(name));
        let mut is_changed = false;
        for name in names {
            is_changed |= self.shared.remove_unused(&name.path(dir))?;
        }
        if is_changed { self.shared.sync_dir() } else { Ok(()) }
    }
}

/// Judges the snapshots in a directory that is about to be opened: those of another cluster are refused, as are those
/// that a newer version wrote. Damaged ones are no reason to refuse the rest.
pub(super) fn judge(
    files: &dyn Files,
    dir: &Path,
    names: &[SnapshotName],
    cluster: Option<ClusterId>,
) -> Result<(), StorageError> {
    for name in names.iter().filter(|name| name.stage == Stage::Whole) {
        let path = name.path(dir);
        let reason = match (whole::head(files, &path), cluster) {
            (Ok(head), Some(ours)) if head.cluster == ours => continue,
            (Ok(head), _) => format!("it belongs to cluster {}", head.cluster),
            (Err(error @ StorageError::BadSnapshot { .. }), Some(_)) => {
                log::error!("{error}: it is passed over");
                continue;
            }
            (Err(StorageError::BadSnapshot { .. }), None) => "nobody founded this directory".to_owned(),
            (Err(error), _) => return Err(error),
        };
        return Err(StorageError::BadSnapshot { path, offset: 0, reason });
    }
    Ok(())
}

/// Removes what was being written when the last process ended.
pub(super) fn remove_unwritten(
    files: &dyn Files,
    dir: &Path,
    names: &[SnapshotName],
) -> Result<(), StorageError> {
    for name in names.iter().filter(|name| name.stage == Stage::Writing) {
        let path = name.path(dir);
        files.remove(&path).map_err(StorageError::io("remove", &path))?;
    }
    Ok(())
}
