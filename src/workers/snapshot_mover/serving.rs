//! The serving side: what others have asked for and not been sent yet, a few numbers for each.
//!
//! They take turns, a chunk each, so that two who fetch at once share what there is. Nothing here is needed for safety: a
//! pull that is forgotten, or answered twice, is asked for again, or dropped, by the receiver.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::throttle::Throttle;
use super::{CHUNK_BYTES, Moves, PULL_BYTES, WINDOW_BYTES};
use crate::replica::{Event, Served};
use crate::storage::SnapshotStore;
use crate::types::{Moment, NodeId, PeerMessage, SnapshotChunk, SnapshotId, SnapshotPull};
use crate::workers::GROUP;

/// What one call reads and hands over at most: the thread looks up between two.
const TURN_BYTES: u64 = PULL_BYTES;

/// Sends pieces of the snapshots of one group.
pub(super) struct Serving {
    snapshots: Box<dyn SnapshotStore>,
    throttle: Option<Throttle>,
    owed: BTreeMap<NodeId, Owed>,
    /// Who got the last chunk: the next one is another's turn.
    last: Option<NodeId>,
    /// When there is something to send and it may be sent.
    due: Option<Moment>,
}

/// What a node has asked for and was not sent.
#[derive(Clone, Copy, Debug)]
struct Owed {
    id: SnapshotId,
    offset: u64,
    end: u64,
}

impl Serving {
    pub(super) fn new(bytes_per_second: Option<u64>, snapshots: Box<dyn SnapshotStore>) -> Self {
        let throttle = bytes_per_second.map(Throttle::new);
        Self { snapshots, throttle, owed: BTreeMap::new(), last: None, due: None }
    }

    /// `peer` wants more. A pull that does not continue the one before takes its place: the receiver knows what it lacks.
    pub(super) fn owe(&mut self, peer: NodeId, pull: SnapshotPull) {
        let SnapshotPull { id, offset, bytes } = pull;
        let begin = match self.owed.get(&peer) {
            Some(owed) if owed.id == id && owed.end == offset => owed.offset,
            _ => offset,
        };
        // However much is asked for: no more than an honest receiver has under way.
        let end = offset.saturating_add(u64::from(bytes)).min(begin.saturating_add(WINDOW_BYTES));
        if end > begin {
            self.owed.insert(peer, Owed { id, offset: begin, end });
        }
    }

    /// Nothing is owed to `peer` any more: whoever is gone takes nothing from the others' share.
    pub(super) fn forget(&mut self, peer: NodeId) {
        self.owed.remove(&peer);
    }

    /// Sends as much as a turn and the throttle allow.
    pub(super) fn serve(&mut self, now: Moment, moves: &mut Moves) {
        let mut sent = BTreeMap::new();
        let mut bytes = 0;
        self.due = None;
        while let Some((peer, owed)) = self.next() {
            let wanted = self.chunk_bytes().min(owed.end - owed.offset);
            if bytes + wanted > TURN_BYTES {
                self.due = Some(now);
                break;
            }
            if let Some(throttle) = &mut self.throttle
                && !throttle.pass(wanted, now)
            {
                self.due = Some(throttle.passes_at(wanted));
                break;
            }
            bytes += wanted;
            self.last = Some(peer);
            if let Some(chunk) = self.read(peer, owed, wanted as u32) {
                if !chunk.bytes.is_empty() {
                    sent.insert(peer, chunk.offset + chunk.bytes.len() as u64);
                }
                moves.send.push((peer, PeerMessage::Chunk(chunk)));
            }
        }
        moves.events.extend(sent.into_iter().map(|(to, offset)| Event::Served(Served { to, offset })));
    }

    pub(super) fn next_tick(&self) -> Option<Moment> {
        self.due
    }

    /// Whose turn it is.
    fn next(&self) -> Option<(NodeId, Owed)> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.owed.range((behind, Bound::Unbounded)).next();
        next.or_else(|| self.owed.first_key_value()).map(|(&peer, &owed)| (peer, owed))
    }

    /// A slow throttle lets smaller chunks pass: a receiver hears something several times a second.
    fn chunk_bytes(&self) -> u64 {
        let chunk = u64::from(CHUNK_BYTES);
        self.throttle.as_ref().map_or(chunk, |throttle| chunk.min(throttle.burst()))
    }

    /// The next chunk for `peer`; `None` behind the file's end. What cannot be read is not held, as far as the peer is
    /// concerned: it asks somebody else, or for another snapshot.
    fn read(&mut self, peer: NodeId, owed: Owed, bytes_max: u32) -> Option<SnapshotChunk> {
        let Owed { id, offset, end } = owed;
        let piece = self.snapshots.piece(GROUP, id, offset, bytes_max).unwrap_or_else(|error| {
            log::warn!("snapshot {id} cannot be sent to node {peer}: {error}");
            None
        });
        let held = piece.is_some();
        let bytes = piece.unwrap_or_default();
        let (next, at_end) = (offset + bytes.len() as u64, bytes.len() < bytes_max as usize);
        if at_end || next >= end {
            self.owed.remove(&peer);
        } else {
            self.owed.insert(peer, Owed { id, offset: next, end });
        }
        // An empty chunk says that the snapshot is gone: none is sent for what lies behind the end.
        (!held || !bytes.is_empty()).then_some(SnapshotChunk { id, offset, bytes })
    }
}
