//! One log on disk for all groups of a node.
mod appender;
mod batch;
mod config;
#[cfg(test)]
mod crash_tests;
mod directory;
pub(crate) mod files;
mod header;
mod identity;
mod index;
mod log;
mod open;
mod pool;
mod reader;
mod record;
mod recovery;
mod replay;
mod segment;
#[cfg(test)]
mod simulated;
mod source;

pub use config::DiskConfig;
pub use log::DiskLog;

/// The newest format that this version reads, and the one it writes.
pub(crate) const FORMAT: u32 = 1;
