//! Where the parsers get their bytes: a file through a moving window of bounded size.

use std::path::Path;

use super::files::DataFile;
use crate::storage::StorageError;

/// Gives bytes by their place.
pub(super) trait Source {
    /// The `length` bytes at `offset`, which the caller has compared with the length of the file. An unreadable place
    /// is an error, never an end.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], StorageError>;
}

/// A file, read in pieces with `pread`.
pub(super) struct Window<'a> {
    file: &'a dyn DataFile,
    path: &'a Path,
    file_length: u64,
    piece_bytes: usize,
    start: u64,
    held: Vec<u8>,
}

impl<'a> Window<'a> {
    /// A window on a file of `file_length` bytes that moves by `piece_bytes`.
    pub(super) fn new(file: &'a dyn DataFile, path: &'a Path, file_length: u64, piece_bytes: usize) -> Self {
        Self { file, path, file_length, piece_bytes, start: 0, held: Vec::new() }
    }

    /// From now on moves by `piece_bytes`.
    pub(super) fn set_piece_bytes(&mut self, piece_bytes: usize) {
        self.piece_bytes = piece_bytes;
    }

    fn holds(&self, offset: u64, end: u64) -> bool {
        self.start <= offset && end <= self.start + self.held.len() as u64
    }
}

impl Source for Window<'_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], StorageError> {
        let end = offset + length as u64;
        if !self.holds(offset, end) {
            let left = self.file_length.saturating_sub(offset);
            let wanted = (self.piece_bytes as u64).min(left).max(length as u64) as usize;
            if self.held.len() != wanted {
                self.held = vec![0; wanted];
            }
            self.start = offset;
            let read = self.file.read_exact_at(&mut self.held, offset);
            if let Err(error) = read {
                self.held.clear();
                return Err(StorageError::io("read", self.path)(error));
            }
        }
        let from = (offset - self.start) as usize;
        Ok(&self.held[from..from + length])
    }
}
