//! The log on real disks, snapshots at rest and on their way. The contract itself is held by the suite of `src/testing/storage`.

#[path = "storage/fixtures.rs"]
mod fixtures;

#[path = "storage/damage.rs"]
mod damage;
#[path = "storage/directory.rs"]
mod directory;
#[path = "storage/formats.rs"]
mod formats;
#[path = "storage/full.rs"]
mod full;
#[path = "storage/in_memory.rs"]
mod in_memory;
#[path = "storage/segments.rs"]
mod segments;
#[path = "storage/snapshots.rs"]
mod snapshots;
#[path = "storage/transfer.rs"]
mod transfer;
