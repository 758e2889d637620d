//! Gives pieces of snapshots' files to other nodes.
//!
//! What has rotted is not sent: a piece is read together with the rest of the blocks that it touches, which are judged
//! first. The file stays open while it is asked for, so that a snapshot that is pruned meanwhile is still there for
//! whoever receives it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::shared::Snapshots;
use super::whole::Whole;
use crate::storage::StorageError;
use crate::types::{GroupId, SnapshotId};
use crate::wire::Buffers;

/// No piece is longer.
pub(super) const PIECE_BYTES_MAX: u32 = 1 << 20;

/// How many snapshots are kept open at once. The one that was not asked for longest makes place for the next.
const SERVED_MAX: usize = 4;

/// A piece shares its memory with what was read for it only if it is at least this part of that.
const SLICE_PART_MIN: usize = 4;

/// So many pieces on their way share memory that is used again and again.
const PIECES_ON_THEIR_WAY: usize = 12;

/// The snapshots that one handle serves, the last asked for at the end.
pub(super) struct Serving {
    served: VecDeque<Served>,
    buffers: Buffers,
}

impl Default for Serving {
    fn default() -> Self {
        Self { served: VecDeque::new(), buffers: Buffers::new(PIECES_ON_THEIR_WAY, 0) }
    }
}

impl Serving {
    pub(super) fn piece(
        &mut self,
        shared: &Snapshots,
        (group, id): (GroupId, SnapshotId),
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        let is_asked_for =
            |served: &Served| (served.snapshot.head.group, served.snapshot.head.id) == (group, id);
        let mut served = match self.served.iter().position(is_asked_for) {
            Some(at) => self.served.remove(at).expect("it was found there"),
            None => match Served::open(shared, group, id)? {
                Some(served) => served,
                None => return Ok(None),
            },
        };
        let piece = served.piece(&mut self.buffers, offset, bytes_max.min(PIECE_BYTES_MAX))?;
        shared.metrics.snapshot_bytes_sent.add(piece.len() as u64);
        // Whoever has the last byte is done; another follower opens it anew.
        if offset.saturating_add(piece.len() as u64) < served.snapshot.layout.bytes() {
            if self.served.len() == SERVED_MAX {
                self.served.pop_front();
            }
            self.served.push_back(served);
        } else if self.served.is_empty() {
            self.buffers.clear();
        }
        Ok(Some(piece))
    }
}

struct Served {
    snapshot: Whole,
    /// The parts that were read and judged last, and where they start.
    held: Bytes,
    held_start: u64,
}

impl Served {
    /// `None` if there is no such snapshot (any more).
    fn open(shared: &Snapshots, group: GroupId, id: SnapshotId) -> Result<Option<Self>, StorageError> {
        match shared.find(group, id).and_then(|name| Whole::open_to_read(shared, name)) {
            Ok(snapshot) => Ok(Some(Self { snapshot, held: Bytes::new(), held_start: 0 })),
            Err(StorageError::NoSuchSnapshot { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn piece(&mut self, buffers: &mut Buffers, offset: u64, bytes_max: u32) -> Result<Bytes, StorageError> {
        let layout = self.snapshot.layout;
        let end = offset.saturating_add(u64::from(bytes_max)).min(layout.bytes());
        if offset >= end {
            return Ok(Bytes::new());
        }
        if offset < self.held_start || end > self.held_start + self.held.len() as u64 {
            self.hold(buffers, layout.part(offset).1, layout.part(end - 1).2)?;
        }
        let (from, to) = ((offset - self.held_start) as usize, (end - self.held_start) as usize);
        // A slice keeps all that it was cut from, for as long as it waits to be sent: a small one must not.
        if (to - from) * SLICE_PART_MIN < self.held.len() {
            return Ok(Bytes::copy_from_slice(&self.held[from..to]));
        }
        Ok(self.held.slice(from..to))
    }

    fn hold(&mut self, buffers: &mut Buffers, start: u64, end: u64) -> Result<(), StorageError> {
        self.held = Bytes::new();
        let mut bytes = buffers.take((end - start) as usize);
        self.snapshot.read(&mut bytes, start)?;
        self.snapshot.judge_parts(&bytes, start)?;
        (self.held, self.held_start) = (buffers.lend(bytes), start);
        Ok(())
    }
}
