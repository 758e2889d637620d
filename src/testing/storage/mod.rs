//! Holds a [`Storage`], with its [`LogReader`](crate::storage::LogReader)s and its
//! [`SnapshotStore`](crate::storage::SnapshotStore)s, against [their contract](crate::storage).
//!
//! The body of a `#[test]`: a closure that makes a blank place, and gives back another that opens the storage there, as
//! a process does that starts on it again and again.
//!
//! ```
//! use quorate::storage::disk::{DiskConfig, DiskLog};
//! use quorate::testing::storage::{NODE, check};
//!
//! check(|| {
//!     let dir = tempfile::tempdir().unwrap();
//!     move || DiskLog::open(DiskConfig::new(dir.path(), NODE).segment_bytes(1 << 20))
//! });
//! ```
//!
//! That tests clean restarts. If power can fail where you test, a [`Stand`] of your own says how; then the same scenes show
//! that what was promised was durable:
//!
//! ```
//! use quorate::storage::memory::{MemoryDisk, MemoryLog};
//! use quorate::storage::{Storage, StorageError};
//! use quorate::testing::storage::{Stand, check};
//!
//! struct Power(MemoryDisk);
//!
//! impl Stand for Power {
//!     fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
//!         Ok(Box::new(MemoryLog::open(&self.0)?))
//!     }
//!
//!     fn crash(&mut self, storage: Box<dyn Storage>) {
//!         self.0.break_down(); // whatever is still under way comes to nothing
//!         drop(storage);
//!     }
//! }
//!
//! check(|| Power(MemoryDisk::new()));
//! ```

mod crash;
mod log;
mod reading;
mod releasing;
mod scene;
mod snapshots;
mod transfer;

use self::scene::Place;
use super::{Broken, clause};
use crate::storage::{Storage, StorageError};
use crate::types::NodeId;

/// The node as which the suite founds the storages that it is given.
pub const NODE: NodeId = NodeId::new(1).expect("one is not zero");

/// One place where a storage is kept, blank at first: a directory, a table, a simulated disk.
///
/// A closure that opens the storage is a stand whose power never fails.
pub trait Stand {
    /// Opens the storage that is kept here, as a process does that starts. Called when nothing of a former one is open.
    fn open(&mut self) -> Result<Box<dyn Storage>, StorageError>;

    /// Power fails while `storage` is open: what it has not made durable is lost, and what it does while it is dropped, or
    /// by handles that are dropped later, has no effect any more. By default it is dropped in peace.
    fn crash(&mut self, storage: Box<dyn Storage>) {
        drop(storage);
    }
}

impl<F, S> Stand for F
where
    F: FnMut() -> Result<S, StorageError>,
    S: Storage + 'static,
{
    fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
        Ok(Box::new(self()?))
    }
}

/// Holds a storage against every clause of its contract, each at a place of its own.
///
/// # Panics
/// If a clause is broken: with all that are, and what was seen instead.
pub fn check<S: Stand + 'static>(make: impl Fn() -> S) {
    clause::insist(verify(make));
}

/// As [`check`], with the verdict as a value.
pub fn verify<S: Stand + 'static>(make: impl Fn() -> S) -> Result<(), Broken> {
    let make: Make<'_> = &|| Place::new(Box::new(make()));
    let clauses = log::CLAUSES.iter().chain(reading::CLAUSES).chain(releasing::CLAUSES);
    let clauses = clauses.chain(snapshots::CLAUSES).chain(transfer::CLAUSES).chain(crash::CLAUSES);
    clause::verify("storage", clauses.map(|&(says, scene)| (says, move || scene(make))))
}

/// Makes a place for a scene, blank.
type Make<'a> = &'a dyn Fn() -> Place;

/// A sentence of the contract, and a scene that panics where it is broken.
type Clause = (&'static str, fn(Make<'_>));
