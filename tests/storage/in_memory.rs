//! The disk in memory: full, and dead, at a test's word. What it has in common with the other one stands in the library's
//! suite (`src/testing/storage`), which both of them pass.

use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{Storage, StorageError};
use quorate::types::GroupId;

use crate::fixtures::{append, founding_entry, identity};

/// How many entries a log on that disk recovers.
fn entries(disk: &MemoryDisk) -> usize {
    MemoryLog::open(disk).expect("open").recovered()[&GroupId::MAIN].entries.len()
}

#[test]
fn a_full_disk_in_memory_takes_the_same_write_once_there_is_room() {
    let disk = MemoryDisk::new();
    let mut log = MemoryLog::open(&disk).unwrap();
    disk.set_full(true);
    let refused = log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap_err();
    assert!(refused.is_recoverable(), "{refused}");
    disk.set_full(false);
    log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap();

    disk.set_full(true);
    assert!(matches!(log.write(&[append(1, 2, 2, 1)]), Err(StorageError::DiskFull { .. })));
    disk.set_full(false);
    log.write(&[append(1, 2, 2, 1)]).unwrap();
    drop(log);

    assert_eq!(entries(&disk), 2);
}

#[test]
fn a_disk_that_died_takes_nothing_more() {
    let disk = MemoryDisk::new();
    let mut log = MemoryLog::open(&disk).unwrap();
    log.found(identity(), &[(GroupId::MAIN, Some(founding_entry()))]).unwrap();
    disk.break_down();

    assert!(matches!(log.write(&[append(1, 2, 2, 1)]), Err(StorageError::Io { .. })));
    assert!(matches!(log.settle(), Err(StorageError::Poisoned)));
    assert!(matches!(MemoryLog::open(&disk), Err(StorageError::Locked { .. })));
    drop(log);

    assert_eq!(entries(&disk), 1);
}
