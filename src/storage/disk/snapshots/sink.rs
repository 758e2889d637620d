//! Writes a snapshot of this node's own state machine.

use std::io::{self, Write};
use std::sync::Arc;

use super::draft::Draft;
use super::format::{BLOCK_BYTES, BLOCK_HEAD_BYTES, END_BYTES, End, Head, fold, seal_block};
use super::name::{SnapshotName, Stage};
use super::shared::Snapshots;
use crate::storage::{SnapshotSink, StorageError};
use crate::types::SnapshotMeta;

/// How much is written at once.
const PIECE_BYTES: usize = 4 * BLOCK_BYTES;

/// Cuts what the state machine writes into blocks, and puts them on the disk in large pieces.
pub(super) struct Sink {
    draft: Draft,
    head: Head,
    /// Whole blocks, and behind them the one that is being filled: always its head, and less than its content.
    piece: Vec<u8>,
    /// Where that one starts.
    block_start: usize,
    blocks: u64,
    content_bytes: u64,
    checksums: u32,
    has_failed: bool,
    is_finished: bool,
}

impl Sink {
    pub(super) fn create(shared: &Arc<Snapshots>, head: Head) -> Result<Self, StorageError> {
        let name = SnapshotName {
            group: head.group,
            index: head.position.index,
            id: head.id,
            stage: Stage::Writing,
        };
        let draft = Draft::create(shared, name)?;
        let (bytes, checksum) = head.encode();
        let mut sink = Self {
            draft,
            head,
            piece: Vec::with_capacity(PIECE_BYTES + END_BYTES),
            block_start: 0,
            blocks: 0,
            content_bytes: 0,
            checksums: fold(0, checksum),
            has_failed: false,
            is_finished: false,
        };
        sink.begin_block();
        sink.draft.append(&bytes).map_err(shared.io_or_full("write", &sink.draft.path))?;
        Ok(sink)
    }

    fn begin_block(&mut self) {
        self.block_start = self.piece.len();
        self.piece.resize(self.block_start + BLOCK_HEAD_BYTES, 0);
    }

    fn end_block(&mut self) {
        let block = &mut self.piece[self.block_start..];
        self.content_bytes += (block.len() - BLOCK_HEAD_BYTES) as u64;
        self.blocks += 1;
        let checksum = seal_block(self.head.id, self.blocks, block);
        self.checksums = fold(self.checksums, checksum);
    }

    fn write_piece(&mut self) -> io::Result<()> {
        let written = self.draft.append(&self.piece);
        self.has_failed = written.is_err();
        if !self.has_failed {
            self.draft.shared.metrics.snapshot_bytes_written.add(self.piece.len() as u64);
        }
        self.piece.clear();
        written
    }

    fn complete(&mut self) -> Result<SnapshotMeta, StorageError> {
        if self.piece.len() > self.block_start + BLOCK_HEAD_BYTES {
            self.end_block();
        } else {
            self.piece.truncate(self.block_start);
        }
        let Self { blocks, content_bytes, checksums, .. } = *self;
        self.piece.extend_from_slice(&End { blocks, content_bytes, checksums }.encode(self.head.id));
        let shared = Arc::clone(&self.draft.shared);
        if self.has_failed {
            let failed = io::Error::other("an earlier write of this snapshot failed");
            return Err(StorageError::io("finish", &self.draft.path)(failed));
        }
        self.write_piece().map_err(shared.io_or_full("write", &self.draft.path))?;
        self.draft.publish()?;
        shared.metrics.snapshots_written.increment();
        Ok(self.head.meta(self.draft.offset()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write of this snapshot failed"));
        }
        let room = self.block_start + BLOCK_BYTES - self.piece.len();
        let taken = room.min(bytes.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.end_block();
            if self.piece.len() == PIECE_BYTES {
                self.write_piece()?;
            }
            self.begin_block();
        }
        Ok(taken)
    }

    /// Nothing: only what is finished is there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for Sink {
    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        let meta = self.complete()?;
        self.is_finished = true;
        Ok(meta)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.is_finished {
            self.draft.discard();
        }
    }
}
