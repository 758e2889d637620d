//! Snapshots without their content: which one it is, and what the log begins with once it is installed (§7).

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::{LogPosition, Membership};

/// Names one snapshot file, drawn at random when it is written: two snapshots at one position differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub u64);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Writes a picture of a state machine's state out, on a thread of its own.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// What is known of a snapshot without its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// Which file.
    pub id: SnapshotId,
    /// The last entry that it covers.
    pub position: LogPosition,
    /// The configuration in force at that entry.
    pub membership: Arc<Membership>,
    /// How long the file is, in bytes, its own framing included.
    pub bytes: u64,
}

/// A follower asks for a piece of a snapshot that was offered to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPull {
    /// Of which snapshot.
    pub id: SnapshotId,
    /// From which byte of the file on.
    pub offset: u64,
    /// How many bytes at most; they come in any number of chunks.
    pub bytes: u32,
}

/// A piece of a snapshot's file. Without bytes it says that the sender does not hold that snapshot (any more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// Of which snapshot.
    pub id: SnapshotId,
    /// Where in the file the bytes stand.
    pub offset: u64,
    /// The bytes, at most [`SnapshotChunk::BYTES_MAX`].
    pub bytes: Bytes,
}

impl SnapshotChunk {
    /// How many bytes one chunk may carry; a transport drops what is longer.
    pub const BYTES_MAX: usize = 1 << 20;
}
