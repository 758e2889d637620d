//! Both storages under the suite of [`crate::testing::storage`].

use crate::storage::disk::{DiskConfig, DiskLog};
use crate::storage::memory::{MemoryDisk, MemoryLog};
use crate::testing::storage::{NODE, check};

#[test]
fn the_log_in_memory_keeps_the_contract() {
    check(|| {
        let disk = MemoryDisk::new();
        move || MemoryLog::open(&disk)
    });
}

#[test]
fn the_log_on_disk_keeps_the_contract_with_segments_of_any_size() {
    for segment_bytes in [DiskConfig::SEGMENT_BYTES_MIN, 1 << 20] {
        check(|| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            move || DiskLog::open(DiskConfig::new(dir.path(), NODE).segment_bytes(segment_bytes))
        });
    }
}
