//! A file seen through the page cache.
//!
//! This is the only unsafe code of the crate. It rests on one law, kept by the rest of `disk`: **bytes that a reader may ask
//! for are not written again while anybody holds the segment.** The writer publishes a batch in the index after its sync
//! and never writes below that point; a released segment is recycled only after its last holder let go.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

/// A file, mapped for reading.
pub(crate) struct Map(MmapRaw);

impl Map {
    /// Maps the first `bytes` of `file`, which is at least that long.
    pub(super) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(Self(MmapOptions::new().len(length).map_raw_read_only(file)?))
    }

    /// The bytes at `offset`; `None` beyond the end. Only for what the index has published: see the module's law.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
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
