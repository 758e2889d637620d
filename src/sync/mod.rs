//! The locks and atomics with which threads hand things over to each other, under one name.
//!
//! They are those of `parking_lot` and of the standard library. In a test build with `--cfg loom` they are loom's, which
//! runs a test once for every order in which its threads may take turns, and lets an atomic read whatever the memory model
//! lets it read. Such tests stand in the `loom_tests.rs` of a room, and are run by
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --lib --target-dir target/loom loom_
//! ```
//!
//! Under that configuration nothing else runs: a lock of loom's works only inside a model.

#[cfg(all(test, loom))]
mod modelled;

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic;
#[cfg(not(all(test, loom)))]
pub(crate) use parking_lot::{Condvar, Mutex};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic;

#[cfg(all(test, loom))]
pub(crate) use modelled::{Condvar, Mutex};
