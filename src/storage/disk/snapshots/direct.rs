//! Writes a file past the page cache.
//!
//! What another node sends is written once and read once, much later: in the cache it takes the place of what is needed,
//! and to bring it there costs more than all the rest of receiving it. A write that returns has handed its bytes to the
//! disk, so nothing piles up that the log's syncs would have to wait for; that they are durable only a sync says.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::storage::disk::files::{Access, DataFile, Files};
use crate::wire::PAGE_BYTES;

/// The most that is written at once: a disk is busy with it for less than a millisecond.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// A second way into a file that is being written.
pub(super) struct Direct {
    file: Arc<dyn DataFile>,
    /// Where bytes go first that do not begin on a page of memory.
    copied: Vec<u8>,
}

impl Direct {
    /// Into the file at `path`; `None` if the file system has no such way.
    pub(super) fn open(files: &dyn Files, path: &Path) -> Option<Self> {
        match files.open(path, Access::Direct) {
            Ok(file) => Some(Self { file, copied: Vec::new() }),
            Err(error) => {
                log::debug!("{} is written through the page cache: {error}", path.display());
                None
            }
        }
    }

    /// Writes the whole pages in front of `bytes`, up to a piece: how many bytes they were, perhaps none. After an error
    /// of the kind `InvalidInput` they can still be written through the cache: the file system wants more of them than to
    /// be whole pages.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let length = bytes.len().min(PIECE_BYTES) / PAGE_BYTES * PAGE_BYTES;
        if length == 0 || !offset.is_multiple_of(PAGE_BYTES as u64) {
            return Ok(0);
        }
        let bytes = &bytes[..length];
        if begins_on_a_page(bytes) {
            self.file.write_all_at(bytes, offset)?;
        } else {
            self.copied.resize(PIECE_BYTES + PAGE_BYTES, 0);
            let start = self.copied.as_ptr().align_offset(PAGE_BYTES);
            let copy = &mut self.copied[start..start + length];
            copy.copy_from_slice(bytes);
            self.file.write_all_at(copy, offset)?;
        }
        Ok(length)
    }
}

fn begins_on_a_page(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(PAGE_BYTES) == 0
}
