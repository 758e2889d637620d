//! One log on disk for all groups of a node.
//!
//! Whatever the groups of a turn have to write becomes one **batch**: one `pwrite` and one sync. Batches fill
//! **segments**, files that were filled with zeros ahead, so that a sync writes data and no metadata. A segment that no
//! group needs is renamed to a **spare** and used again. This process reads what it wrote through a map.
//!
//! # The directory
//! `identity` says whose it is (`identity.rs`), `lock` that somebody has it open, `NNNNNNNNNN.log` are the segments,
//! numbered from 1 without gaps, and `spare-NNNNNNNNNN` files that can become segments (`directory.rs`). The
//! snapshots lie beside them, one file each (`snapshots/`). Anything else is foreign.
//!
//! # The format, version 1
//! All numbers are little endian, all checksums crc32c. The fields stand byte by byte in the file of each part.
//!
//! ```text
//!  segment  0         4096                                                                  length
//!           ├─ header ─┼─ batch ─┼─ batch ─ · · · ─┼─ batch ─┼─ seal ─┼─ · · · nothing · · · ─┤
//!           whose, which, salt,   restates all groups          the number and salt of the next one
//!           where the one before
//!           it ends
//!
//!  batch    ├─ salt · synced up to · length · records · chain · checksums ─┼─ record ─┼─ record ─┼─ zeros to a block ─┤
//!
//!  record   ├─ checksum · length · kind · group ─┼─ entry | hard state | restatement | seal | witness ─┤
//! ```
//!
//! - A batch starts on a block of 4096 bytes, never spans segments, and is never written before the one in front of it
//!   is synced (`batch.rs`, `record.rs`).
//! - Every checksum in a segment is mixed with its random salt, so that what an earlier use of the file left behind does
//!   not parse. Every batch carries the checksum of the one before it, across segments too.
//! - The first batch of a segment restates each group: term, vote, where its log starts and ends. So the segments before
//!   can be released without anything being copied.
//! - Truncation is logical: an entry drops all entries of its group at and after its index that were read before it.
//!
//! # From one segment to the next
//! 1. A spare gets the header of segment *n + 1*, which names the end of segment *n*; synced, renamed, the directory
//!    synced. From here on whatever stands behind that end in segment *n* is cut off.
//! 2. Segment *n* gets its seal, synced: should *n + 1* ever be missing, that is noticed.
//! 3. Segment *n + 1* gets the batch that restates the groups, synced. From here on older ones may be released.
//!
//! A crash between two of these steps is completed at the next start. A torn tail is cut by the same three steps:
//! nothing is ever appended behind a cut, and doing them again is harmless. How a torn tail is told from corruption
//! stands in `recovery.rs`.
//!
//! # What is assumed of the disk
//! A sync that returned is durable; a sector of 512 bytes is written whole or not at all; pages reach the disk in any
//! order. Sizes and names may be lost until their sync, each by itself. After a sync that failed nothing is assumed of its
//! pages: they may be gone, or stand in the page cache and count as written; so a start writes once more what it cannot be
//! sure of. A file system that fails to sync its names is assumed to keep them, or to take nothing more.

mod appender;
mod batch;
mod config;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod directory;
pub(crate) mod files;
mod founding;
mod header;
mod identity;
mod index;
mod inspect;
mod log;
mod map;
mod open;
mod pool;
mod reader;
mod record;
mod recovery;
mod replay;
#[cfg(any(test, fuzzing))]
pub(crate) mod reseal;
mod rotation;
mod salt;
mod segment;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzz targets use some of its faults"))]
pub(crate) mod simulated;
#[cfg(test)]
mod snapshot_tests;
mod snapshots;
mod source;
#[cfg(test)]
mod space_tests;
mod writing;

#[cfg(test)]
pub(crate) use batch::surely_durable;
pub use config::DiskConfig;
pub use inspect::{
    GroupReport, LogEnd, RecordReport, Report, SegmentReport, SegmentState, inspect, inspect_records,
};
pub use log::DiskLog;
pub(super) use snapshots::{DiskSnapshots, Snapshots};
pub use snapshots::{SnapshotReport, SnapshotState};

/// The newest format that this version reads, and the one it writes.
pub(crate) const FORMAT: u32 = 1;
