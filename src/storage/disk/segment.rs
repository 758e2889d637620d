//! One file of the log: where its bytes are, and how a reader gets at them.
//!
//! What this process wrote is read through a map: it is in the page cache, and reading it costs no system call. What
//! was there before is read with `pread`, where a bad sector is an error; through a map it would be a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::BLOCK_BYTES;
use super::files::DataFile;
use super::map::Map;
use super::salt::Salt;
use super::source::{Source, Window};
use crate::storage::StorageError;

/// A file of the log, shared between writer and readers.
pub(super) struct Segment {
    /// Which one: segments are numbered from 1 without gaps.
    pub(super) number: u64,
    /// What all checksums in it are salted with.
    pub(super) salt: Salt,
    /// How long the file is.
    pub(super) length: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// The file itself.
    pub(super) file: Arc<dyn DataFile>,
    /// From here on it was written by this process, and is read through the map.
    pub(super) hot_from: u64,
    /// `None` if nothing of it is hot.
    pub(super) map: Option<Map>,
}

impl Segment {
    /// Where the bytes from `offset` on are read.
    pub(super) fn source(&self, offset: u64) -> SegmentSource<'_> {
        match &self.map {
            Some(map) if offset >= self.hot_from => SegmentSource::Hot(HotSource { map, path: &self.path }),
            _ => SegmentSource::Cold(Window::new(
                self.file.as_ref(),
                &self.path,
                self.length,
                BLOCK_BYTES as usize,
            )),
        }
    }
}

/// How much of a cold segment is read at once, at most.
const COLD_READ_BYTES: u32 = 256 << 10;

/// The map of a hot segment or the window on a cold one.
pub(super) enum SegmentSource<'a> {
    Hot(HotSource<'a>),
    Cold(Window<'a>),
}

impl SegmentSource<'_> {
    /// `bytes` will be read one after the other.
    pub(super) fn expect(&mut self, bytes: u32) {
        if let Self::Cold(window) = self {
            window.set_piece_bytes(bytes.min(COLD_READ_BYTES) as usize);
        }
    }
}

impl Source for SegmentSource<'_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], StorageError> {
        match self {
            Self::Hot(hot) => hot.bytes(offset, length),
            Self::Cold(cold) => cold.bytes(offset, length),
        }
    }
}

/// Bytes of a hot segment, where they lie.
pub(super) struct HotSource<'a> {
    map: &'a Map,
    path: &'a Path,
}

impl Source for HotSource<'_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], StorageError> {
        self.map
            .bytes(offset, length)
            .ok_or_else(|| StorageError::io("read", self.path)(io::ErrorKind::UnexpectedEof.into()))
    }
}
