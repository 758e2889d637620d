//! A storage that keeps its promises as long as the process lives.
//!
//! For tests and for groups that may forget. The content belongs to a [`MemoryDisk`]: a [`MemoryLog`] that is dropped
//! and opened again on the same one is a node that was restarted.

mod files;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use self::files::MemoryFiles;
use super::disk::{DiskSnapshots, Snapshots};
use super::{GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep};
use crate::types::{Entry, EntryRun, GroupId, HardState, LogIndex, LogPosition, Membership};

/// What survives a [`MemoryLog`]. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    content: Arc<Mutex<Content>>,
    files: MemoryFiles,
}

#[derive(Debug, Default)]
struct Content {
    identity: Option<Identity>,
    groups: BTreeMap<GroupId, Group>,
    is_open: bool,
}

#[derive(Debug, Default)]
struct Group {
    hard_state: HardState,
    starts_after: LogPosition,
    membership: Option<Arc<Membership>>,
    entries: Vec<Entry>,
}

impl MemoryDisk {
    /// A blank disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every write fails, as on a disk that died, until the log is opened again.
    pub fn break_down(&self) {
        self.files.set_broken(true);
    }

    /// From now on the disk is full, or has room again.
    pub fn set_full(&self, is_full: bool) {
        self.files.set_full(is_full);
    }

    /// Changes the bytes of a snapshot's file behind everybody's back, as rot does; `false` if there is no such file.
    /// The name is that of the file on a real disk.
    pub fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.files.alter(name, change)
    }
}

/// A log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    recovered: BTreeMap<GroupId, Recovered>,
    snapshots: Arc<Snapshots>,
    is_poisoned: bool,
}

impl MemoryLog {
    /// The largest entry that is taken.
    pub const ENTRY_BYTES_MAX: u32 = 8 << 20;

    /// A log on a blank disk of its own.
    pub fn new() -> Self {
        Self::open(&MemoryDisk::new()).expect("nobody else has a disk that was just made")
    }

    /// The log on `disk`, unless another has it open.
    pub fn open(disk: &MemoryDisk) -> Result<Self, StorageError> {
        let mut content = disk.content.lock();
        if content.is_open {
            return Err(StorageError::Locked { path: path() });
        }
        content.is_open = true;
        disk.files.set_broken(false);
        let recovered = content.groups.iter().map(|(&group, log)| (group, log.recovered())).collect();
        let snapshots = Snapshots::new(Arc::new(disk.files.clone()), path(), Arc::default(), Arc::new(()));
        if let Some(identity) = content.identity {
            snapshots.belong_to(identity.cluster);
        }
        Ok(Self { disk: disk.clone(), recovered, snapshots: Arc::new(snapshots), is_poisoned: false })
    }

    fn change(&mut self, act: impl FnOnce(&mut Content)) -> Result<(), StorageError> {
        if self.is_poisoned {
            return Err(StorageError::Poisoned);
        }
        if self.disk.files.is_broken() {
            self.is_poisoned = true;
            return Err(StorageError::io("write", &path())(files::broken()));
        }
        act(&mut self.disk.content.lock());
        Ok(())
    }
}

impl MemoryDisk {
    fn require_room(&self) -> Result<(), StorageError> {
        if self.files.is_full() {
            return Err(StorageError::DiskFull { operation: "write", path: path() });
        }
        Ok(())
    }
}

/// What errors name as the place of a disk in memory.
fn path() -> PathBuf {
    PathBuf::from("(memory)")
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.disk.content.lock().is_open = false;
    }
}

impl Storage for MemoryLog {
    fn identity(&self) -> Option<Identity> {
        self.disk.content.lock().identity
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        assert!(self.identity().is_none(), "the log is founded already");
        self.disk.require_room()?;
        self.change(|content| {
            content.identity = Some(identity);
            for (group, entry) in groups {
                let log = content.groups.entry(*group).or_default();
                if let Some(entry) = entry {
                    log.append(entry);
                }
            }
        })?;
        self.snapshots.belong_to(identity.cluster);
        let content = self.disk.content.lock();
        self.recovered = content.groups.iter().map(|(&group, log)| (group, log.recovered())).collect();
        Ok(())
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        std::mem::take(&mut self.recovered)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        assert!(self.identity().is_some(), "the log is founded before it is written");
        self.disk.require_room()?;
        self.change(|content| {
            for write in writes {
                let log = content.groups.entry(write.group).or_default();
                log.hard_state = write.hard_state.unwrap_or(log.hard_state);
                if let Some((position, membership)) = &write.restart {
                    log.restart(*position, membership);
                }
                write.entries.iter().flat_map(EntryRun::entries).for_each(|entry| log.append(entry));
            }
        })
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        Box::new(DiskSnapshots::new(Arc::clone(&self.snapshots)))
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.change(|_| {})
    }

    fn entry_bytes_max(&self) -> u32 {
        Self::ENTRY_BYTES_MAX
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        self.change(|content| {
            if let Some(log) = content.groups.get_mut(&group) {
                log.release(through, membership);
            }
        })
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(MemoryReader { disk: self.disk.clone() })
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        None
    }
}

impl Group {
    fn last(&self) -> LogIndex {
        self.starts_after.index.plus(self.entries.len() as u64)
    }

    fn append(&mut self, entry: &Entry) {
        let (index, start) = (entry.position.index, self.starts_after.index);
        assert!(index > start, "an entry is written after its release");
        assert!(index.prev() <= self.last(), "a write leaves a gap in the log");
        self.entries.truncate(index.prev().distance_from(start) as usize);
        self.entries.push(entry.clone());
    }

    fn restart(&mut self, position: LogPosition, membership: &Arc<Membership>) {
        assert!(position.index >= self.starts_after.index, "a log restarts before what it has released");
        self.entries.clear();
        (self.starts_after, self.membership) = (position, Some(Arc::clone(membership)));
    }

    fn release(&mut self, through: LogPosition, membership: &Arc<Membership>) {
        let released = through.index.distance_from(self.starts_after.index) as usize;
        if released > 0 {
            self.entries.drain(..released.min(self.entries.len()));
            (self.starts_after, self.membership) = (through, Some(Arc::clone(membership)));
        }
    }

    fn recovered(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            starts_after: self.starts_after,
            membership: self.membership.clone(),
            entries: self.entries.iter().map(Entry::meta).collect(),
        }
    }
}

struct MemoryReader {
    disk: MemoryDisk,
}

impl LogReader for MemoryReader {
    fn read(
        &mut self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        assert!(first <= last, "an empty span of entries is asked for");
        let content = self.disk.content.lock();
        let missing = StorageError::NoSuchEntry { index: first };
        let Some(log) = content.groups.get(&group) else {
            return Err(missing);
        };
        if first <= log.starts_after.index || first > log.last() {
            return Err(missing);
        }
        let from = first.prev().distance_from(log.starts_after.index) as usize;
        let upto = last.min(log.last()).distance_from(log.starts_after.index) as usize;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let is_first = bytes == 0 && entry.position.index == first;
            bytes += u64::from(entry.payload.bytes());
            is_first || bytes <= bytes_max
        };
        Ok(log.entries[from..upto].iter().take_while(fits).cloned().collect())
    }
}
