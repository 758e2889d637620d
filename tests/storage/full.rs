//! A disk that is really full: a small file system of its own where this user may mount one, else the disk in memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{Storage, StorageError};
use quorate::types::{GroupId, LogIndex, SnapshotMeta};

use crate::fixtures::{Open, append, at, founded, membership, node};
use crate::snapshots::{content, file_of, read_snapshot, write_snapshot};

/// A file system in memory, of few bytes, until dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` if this user may not mount.
    fn mount(bytes: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(dir))
    }

    /// Takes all the room that is left, or gives it back.
    fn set_full(&self, is_full: bool) {
        let filler = self.0.path().join("filler");
        if !is_full {
            return fs::remove_file(filler).expect("remove");
        }
        let mut file = File::create(filler).expect("create");
        for piece in [1 << 16, 4096, 1] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    fn data(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The snapshot that another node offers, and its file.
fn offer() -> (SnapshotMeta, Vec<u8>) {
    let leader = founded(&|| Box::new(MemoryLog::new()));
    let mut store = leader.snapshots();
    let meta = write_snapshot(&mut *store, at(4, 900), &content(900_000, 1));
    let file = file_of(&mut *store, &meta, 1 << 20);
    (meta, file)
}

fn fills_up_and_goes_on(open: Open<'_>, set_full: &dyn Fn(bool)) {
    let mut log = founded(open);
    let mut upkeep = log.upkeep();
    let mut store = log.snapshots();
    let (offered, file) = offer();
    set_full(true);

    let mut last = 1;
    let refused = loop {
        match log.write(&[append(1, last + 1, last + 1, 9000)]) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StorageError::DiskFull { .. }), "{refused}");
    log.settle().expect("what is there can be settled");
    if let Some(upkeep) = &mut upkeep {
        assert!(matches!(upkeep.turn(), Err(StorageError::DiskFull { .. })), "it says so");
    }
    let sink = store.create(GroupId::MAIN, at(1, 2), &membership());
    let written = sink.map(|mut sink| sink.write_all(&content(3_000_000, 1)).err().map(|error| error.kind()));
    assert!(matches!(
        written,
        Err(StorageError::DiskFull { .. }) | Ok(Some(std::io::ErrorKind::StorageFull))
    ));
    let refused = store.receive(GroupId::MAIN, &offered).err().expect("it does not fit");
    assert!(matches!(refused, StorageError::DiskFull { .. }), "{refused}");

    set_full(false);
    log.write(&[append(1, last + 1, last + 1, 9000)]).expect("the same write, with room");
    while upkeep.as_mut().is_some_and(|upkeep| upkeep.turn().expect("there is room")) {}
    let mut intake = store.receive(GroupId::MAIN, &offered).expect("there is room");
    intake.write(&file).expect("write");
    intake.finish().expect("finish");
    drop((log, upkeep, store));

    let mut log = open();
    let recovered = log.recovered().remove(&GroupId::MAIN).expect("the group is there");
    assert_eq!(recovered.entries.last().map(|entry| entry.position.index), Some(LogIndex(last + 1)));
    let read = read_snapshot(&mut *log.snapshots(), offered.id).expect("read");
    assert!(read == content(900_000, 1));
}

#[test]
fn a_node_on_a_full_disk_goes_on_by_itself_once_there_is_room() {
    let memory = MemoryDisk::new();
    fills_up_and_goes_on(&|| Box::new(MemoryLog::open(&memory).expect("open")), &|full| {
        memory.set_full(full);
    });

    if let Some(small) = SmallDisk::mount("8m") {
        let config = |dir: &Path| DiskConfig::new(dir, node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
        let open = || Box::new(DiskLog::open(config(&small.data())).expect("open")) as Box<dyn Storage>;
        fills_up_and_goes_on(&open, &|full| small.set_full(full));
    }
}
