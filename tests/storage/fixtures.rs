//! What the tests write and where.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{GroupWrite, Identity, Recovered, Storage, StorageError};
use quorate::types::{
    ClusterId, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition, Membership, NodeId,
    Payload, Term,
};
use tempfile::TempDir;

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

pub(crate) fn identity() -> Identity {
    Identity { node: node(1), cluster: ClusterId(77), incarnation: Incarnation(99), joined: false }
}

pub(crate) fn membership() -> Arc<Membership> {
    let members = [(1, "a:1"), (2, "b:2"), (3, "c:3")];
    let members = members.map(|(id, address)| (node(id), address.to_owned()));
    Arc::new(Membership::founding(members).expect("three members"))
}

pub(crate) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), LogIndex(index))
}

/// Entry 1 of every group.
pub(crate) fn founding_entry() -> Entry {
    Entry { position: at(0, 1), payload: Payload::Membership(membership()) }
}

pub(crate) fn command(term: u64, index: u64, bytes: usize) -> Entry {
    let command = (0..bytes).map(|byte| (byte as u64 * 7 + index * 13 + term) as u8).collect::<Vec<_>>();
    Entry {
        position: at(term, index),
        payload: Payload::Normal { origin: None, command: Bytes::from(command) },
    }
}

/// Entries `first..=last` of one term, as one run.
pub(crate) fn run(term: u64, first: u64, last: u64, bytes: usize) -> EntryRun {
    EntryRun::new((first..=last).map(|index| command(term, index, bytes)).collect()).expect("not empty")
}

pub(crate) fn append(term: u64, first: u64, last: u64, bytes: usize) -> GroupWrite {
    GroupWrite {
        group: GroupId::MAIN,
        hard_state: None,
        restart: None,
        entries: vec![run(term, first, last, bytes)],
    }
}

pub(crate) fn vote(term: u64, voted_for: u64) -> GroupWrite {
    let hard_state = HardState { term: Term(term), voted_for: NodeId::new(voted_for) };
    GroupWrite { group: GroupId::MAIN, hard_state: Some(hard_state), restart: None, entries: Vec::new() }
}

/// The log of the main group begins anew after `position`.
pub(crate) fn restart(position: LogPosition) -> GroupWrite {
    let restart = Some((position, membership()));
    GroupWrite { group: GroupId::MAIN, hard_state: None, restart, entries: Vec::new() }
}

/// Opens the same storage again and again.
pub(crate) type Open<'a> = &'a dyn Fn() -> Box<dyn Storage>;

/// Plays a scene in memory, and on disk with segments of two sizes.
pub(crate) fn check(scene: impl Fn(Open<'_>)) {
    let disk = MemoryDisk::new();
    scene(&|| Box::new(MemoryLog::open(&disk).expect("open")));

    for segment_bytes in [DiskConfig::SEGMENT_BYTES_MIN, 1 << 20] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = DiskConfig::new(dir.path(), node(1)).segment_bytes(segment_bytes);
        scene(&|| Box::new(DiskLog::open(config.clone()).expect("open")));
    }
}

pub(crate) fn founded(open: Open<'_>) -> Box<dyn Storage> {
    let mut log = open();
    let groups = [(GroupId::MAIN, Some(founding_entry())), (GroupId(7), Some(founding_entry()))];
    log.found(identity(), &groups).expect("found");
    log
}

/// A founded directory with the smallest segments.
pub(crate) struct Scene {
    dir: TempDir,
}

impl Scene {
    pub(crate) fn blank() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// A log that was founded, took `writes`, and was closed without a witness.
    pub(crate) fn with(writes: &[GroupWrite]) -> Self {
        let scene = Self::blank();
        let mut log = scene.open().expect("a blank directory opens");
        log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).expect("found");
        for write in writes {
            log.write(std::slice::from_ref(write)).expect("write");
        }
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> DiskConfig {
        DiskConfig::new(self.path(), node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN)
    }

    pub(crate) fn open(&self) -> Result<DiskLog, StorageError> {
        DiskLog::open(self.config())
    }

    /// What the main group recovers.
    pub(crate) fn recover(&self) -> Result<Recovered, StorageError> {
        Ok(self.open()?.recovered().remove(&GroupId::MAIN).expect("the group is there"))
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path().join(format!("{number:010}.log"))
    }

    /// The numbers of the segments that are there.
    pub(crate) fn segments(&self) -> Vec<u64> {
        let names = fs::read_dir(self.path()).expect("list").map(|entry| entry.expect("entry").file_name());
        let numbers = names.filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    /// All files with their content.
    pub(crate) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.path()).expect("list").map(|entry| entry.expect("entry").path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).expect("read"))).collect();
        files.sort();
        files
    }

    pub(crate) fn restore(&self, content: &[(PathBuf, Vec<u8>)]) {
        for (path, _) in self.content() {
            fs::remove_file(path).expect("remove");
        }
        for (path, bytes) in content {
            fs::write(path, bytes).expect("write");
        }
    }
}

/// The last index of what was recovered.
pub(crate) fn last_index(recovered: &Recovered) -> u64 {
    recovered.entries.last().map_or(recovered.starts_after.index.0, |entry| entry.position.index.0)
}

/// Where the batches of a segment start, behind its header; the block numbers of those that have its salt.
pub(crate) fn batches(segment: &[u8]) -> Vec<usize> {
    let salt = &segment[48..56];
    (1..segment.len() / 4096).map(|block| block * 4096).filter(|&at| &segment[at..at + 8] == salt).collect()
}

/// Changes the bytes of a file.
pub(crate) fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("write");
}
