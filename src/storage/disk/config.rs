//! How a log on disk is set up, and which limits go together.

use std::path::PathBuf;

use super::batch::BLOCK_BYTES;
use crate::storage::StorageError;
use crate::types::NodeId;

/// Where a log is, whose it is, and its limits.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The directory, which nothing else may use. Made if it is missing.
    pub dir: PathBuf,
    /// The node whose log it is; another one's is refused.
    pub node: NodeId,
    /// How long a segment is: from [`DiskConfig::SEGMENT_BYTES_MIN`] to [`DiskConfig::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// The largest entry that is taken, at most a quarter of a segment.
    pub entry_bytes_max: u32,
}

impl DiskConfig {
    /// The shortest segment: it holds what opens it, one entry, and its seal.
    pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
    /// The longest segment: lengths within it fit into four bytes.
    pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
    /// The length of a segment unless configured.
    pub const SEGMENT_BYTES: u64 = 64 << 20;
    /// The largest entry unless configured.
    pub const ENTRY_BYTES_MAX: u32 = 8 << 20;

    /// The log of `node` in `dir`, with the limits that serve most.
    pub fn new(dir: impl Into<PathBuf>, node: NodeId) -> Self {
        Self {
            dir: dir.into(),
            node,
            segment_bytes: Self::SEGMENT_BYTES,
            entry_bytes_max: Self::ENTRY_BYTES_MAX,
        }
    }

    /// With segments of `bytes`, rounded down to whole blocks, and entries small enough for them.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes - bytes % BLOCK_BYTES;
        let quarter = u32::try_from(self.segment_bytes / 4).unwrap_or(u32::MAX);
        self.entry_bytes_max = self.entry_bytes_max.min(quarter);
        self
    }

    pub(super) fn check(&self) -> Result<(), StorageError> {
        let limits = Self::SEGMENT_BYTES_MIN..=Self::SEGMENT_BYTES_MAX;
        let reason = if !limits.contains(&self.segment_bytes) {
            format!("a segment has {limits:?} bytes, not {}", self.segment_bytes)
        } else if !self.segment_bytes.is_multiple_of(BLOCK_BYTES) {
            format!("a segment has whole blocks of {BLOCK_BYTES} bytes, not {} bytes", self.segment_bytes)
        } else if u64::from(self.entry_bytes_max) > self.segment_bytes / 4 {
            format!("an entry is at most a quarter of a segment, not {} bytes", self.entry_bytes_max)
        } else {
            return Ok(());
        };
        Err(StorageError::Limits { reason })
    }
}

const _: () =
    assert!(DiskConfig::ENTRY_BYTES_MAX as u64 * 4 <= DiskConfig::SEGMENT_BYTES, "the defaults fit");
