//! One file of the log: where its bytes are, and how a reader gets at them.
//!
//! What this process wrote is read through a map: it is in the page cache, and reading it costs no system call. What
//! was there before is read with `pread`, where a bad sector is an error; through a map it would be a signal.
//!
//! The map is the only unsafe code of the crate. It rests on one law, kept by the rest of `disk`: **bytes that a reader
//! may ask for are not written again while anybody holds the segment.** The writer publishes a batch in the index after
//! its sync and never writes below that point; a released segment is recycled only after its last holder let go.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::batch::Salt;
use super::files::DataFile;
use super::source::Source;
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
            _ => SegmentSource::Cold(super::source::Window::new(
                self.file.as_ref(),
                &self.path,
                self.length,
                COLD_READ_BYTES,
            )),
        }
    }
}

/// How much of a cold segment is read at once.
const COLD_READ_BYTES: usize = 256 << 10;

/// The map of a hot segment or the window on a cold one.
pub(super) enum SegmentSource<'a> {
    Hot(HotSource<'a>),
    Cold(super::source::Window<'a>),
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

/// A file, mapped for reading.
pub(crate) struct Map(MmapRaw);

impl Map {
    /// Maps the first `bytes` of `file`, which is at least that long.
    pub(super) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(Self(MmapOptions::new().len(length).map_raw_read_only(file)?))
    }

    /// The bytes at `offset`; `None` beyond the end. Only for what the index has published: see the module's law.
    fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        if start.checked_add(length)? > self.0.len() {
            return None;
        }
        // SAFETY: `start..start + length` lies inside the map, which lives as long as `self`. The file is as long as the
        // map: it was allocated before it was mapped, and this crate never shortens a file. Nobody writes these bytes
        // while the slice lives: they are below the published end of the segment, and whoever holds the slice holds the
        // segment, which therefore is not recycled (the module's law).
        Some(unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(start), length) })
    }
}
