//! The storages under their common contract, and the log on real disks.

#[path = "storage/fixtures.rs"]
mod fixtures;

#[path = "storage/contract.rs"]
mod contract;
#[path = "storage/damage.rs"]
mod damage;
#[path = "storage/directory.rs"]
mod directory;
#[path = "storage/formats.rs"]
mod formats;
#[path = "storage/full.rs"]
mod full;
#[path = "storage/segments.rs"]
mod segments;
#[path = "storage/snapshots.rs"]
mod snapshots;
#[path = "storage/transfer.rs"]
mod transfer;
