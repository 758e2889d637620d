//! Reads the content of a snapshot back, block by block, each judged before a byte of it is given away.

use std::io::{self, Read};

use bytes::BytesMut;

use super::format::{BLOCK_BYTES, BLOCK_HEAD_BYTES, Flaw, Part, fold, judge_block};
use super::whole::Whole;
use crate::storage::{SnapshotSource, StorageError};
use crate::wire::room;

/// How much is read at once.
const PIECE_BYTES: usize = 4 * BLOCK_BYTES;

/// A snapshot being read.
pub(super) struct Source {
    snapshot: Whole,
    /// Blocks as they stand in the file; the last may be cut off by the piece's end.
    piece: BytesMut,
    /// Where the piece ends in the file.
    piece_end: u64,
    /// The first byte in the piece that was not given away, and where its block ends.
    at: usize,
    block_end: usize,
    blocks: u64,
    checksums: u32,
    error: Option<StorageError>,
}

impl Source {
    pub(super) fn new(snapshot: Whole) -> Self {
        let (checksums, head_end) = (snapshot.checksums_begin, snapshot.layout.part(0).2);
        Self {
            snapshot,
            piece: BytesMut::new(),
            piece_end: head_end,
            at: 0,
            block_end: 0,
            blocks: 0,
            checksums,
            error: None,
        }
    }

    /// Makes the next block the current one; `false` after the last.
    fn next_block(&mut self) -> Result<bool, StorageError> {
        let offset = self.piece_end - (self.piece.len() - self.block_end) as u64;
        let layout = self.snapshot.layout;
        let (Part::Block(number), start, end) = layout.part(offset) else {
            return self.require_all().map(|()| false);
        };
        if self.block_end == self.piece.len() {
            self.read_piece(start)?;
        }
        let from = self.block_end;
        let block = &self.piece[from..from + (end - start) as usize];
        let flaw = |flaw: Flaw| flaw.of(&self.snapshot.path);
        let checksum = judge_block(self.snapshot.head.id, number, block, start).map_err(flaw)?;
        self.checksums = fold(self.checksums, checksum);
        self.blocks = number;
        if number == layout.blocks() {
            self.require_all()?;
        }
        (self.at, self.block_end) = (from + BLOCK_HEAD_BYTES, from + block.len());
        Ok(true)
    }

    /// Before the last block is given away: all of them together are those that were written.
    fn require_all(&self) -> Result<(), StorageError> {
        let Whole { layout, checksums_end, path, .. } = &self.snapshot;
        if self.blocks == layout.blocks() && self.checksums == *checksums_end {
            return Ok(());
        }
        Err(Flaw::bad(layout.end_offset(), "its blocks are not those that were written").of(path))
    }

    fn read_piece(&mut self, start: u64) -> Result<(), StorageError> {
        let left = self.snapshot.layout.end_offset() - start;
        let length = left.min(PIECE_BYTES as u64) as usize;
        if self.piece.is_empty() {
            self.piece = room(length, 0);
        }
        self.piece.truncate(length);
        (self.at, self.block_end) = (0, 0);
        self.piece_end = start + self.piece.len() as u64;
        self.snapshot.read(&mut self.piece, start)
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.at == self.block_end {
            match self.next_block() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    let read = io::Error::new(io::ErrorKind::InvalidData, error.to_string());
                    self.error = Some(error);
                    return Err(read);
                }
            }
        }
        let count = out.len().min(self.block_end - self.at);
        out[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl SnapshotSource for Source {
    fn error(&mut self) -> Option<StorageError> {
        self.error.take()
    }
}
