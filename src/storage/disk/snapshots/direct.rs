//! Writes and reads a file past the page cache.
//!
//! What another node sends is written once and read once: in the cache it takes the place of what is needed, and to bring
//! it there, or back, costs more than all the rest of receiving and restoring it. A write that returns has handed its
//! bytes to the disk, so nothing piles up that the log's syncs would have to wait for; that they are durable only a sync
//! says.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;

use crate::storage::disk::files::{Access, DataFile, Files};
use crate::wire::{PAGE_BYTES, room};

/// The most that is written at once: a disk is busy with it for less than a millisecond.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// A second way into a file.
pub(super) struct Direct {
    file: Arc<dyn DataFile>,
    /// Where bytes go before they are written that do not begin on a page of memory.
    copied: BytesMut,
}

impl Direct {
    /// Into the file at `path`; `None` if the file system has no such way.
    pub(super) fn open(files: &dyn Files, path: &Path) -> Option<Self> {
        match files.open(path, Access::Direct) {
            Ok(file) => Some(Self { file, copied: BytesMut::new() }),
            Err(error) => {
                log::debug!("{} is written and read through the page cache: {error}", path.display());
                None
            }
        }
    }

    /// Writes the whole pages in front of `bytes`, up to a piece: how many bytes they were, perhaps none. After an error
    /// of the kind `InvalidInput` they can still be written through the cache: the file system wants more of them than to
    /// be whole pages.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let bytes = &bytes[..whole_pages(bytes.len().min(PIECE_BYTES), offset)];
        if bytes.is_empty() {
            return Ok(0);
        }
        if begins_on_a_page(bytes) {
            self.file.write_all_at(bytes, offset)?;
        } else {
            if self.copied.is_empty() {
                self.copied = room(PIECE_BYTES, 0);
            }
            let copy = &mut self.copied[..bytes.len()];
            copy.copy_from_slice(bytes);
            self.file.write_all_at(copy, offset)?;
        }
        Ok(bytes.len())
    }

    /// Reads the whole pages in front of `bytes`, if those begin on a page of memory: how many bytes they were. Errors are
    /// those of [`Direct::write`].
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = if begins_on_a_page(bytes) { whole_pages(bytes.len(), offset) } else { 0 };
        if count > 0 {
            self.file.read_exact_at(&mut bytes[..count], offset)?;
        }
        Ok(count)
    }
}

/// How many of so many bytes from `offset` on are whole pages of the file.
fn whole_pages(bytes: usize, offset: u64) -> usize {
    if offset.is_multiple_of(PAGE_BYTES as u64) { bytes / PAGE_BYTES * PAGE_BYTES } else { 0 }
}

fn begins_on_a_page(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(PAGE_BYTES) == 0
}
