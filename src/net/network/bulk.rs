//! The lane for chunks of snapshots: dialled when there is one to send, closed when there has been none for a while.
//!
//! Its loss is silent. Whatever waited for it is dropped with it, and whoever needs a chunk asks for it again; so a lane
//! that cannot be dialled costs no memory, and one that breaks sends nothing stale.

use mio::Token;

use super::super::peer::Dial;
use super::Network;
use crate::types::{GroupId, NodeId, PeerMessage, SnapshotChunk};
use crate::wire::hello::Lane;

impl Network {
    /// Queues a chunk for the next turn, or until the lane stands. It is dropped if there is no room, and if the address
    /// of `to` is not known: whom this node serves a snapshot, it dials.
    pub(super) fn send_chunk(&mut self, group: GroupId, to: NodeId, chunk: SnapshotChunk) {
        let (now, bytes_max) = (self.now, self.settings.bulk_queue_bytes_max);
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| peer.address.is_some()) else {
            return self.metrics.chunks_dropped.increment();
        };
        if let Dial::Standing(token) = peer.line(Lane::Bulk).dial {
            return self.queue_chunk(token, group, chunk);
        }
        if !peer.chunks.push(group, chunk, bytes_max) {
            return self.metrics.chunks_dropped.increment();
        }
        let line = peer.line_mut(Lane::Bulk);
        if line.dial == Dial::Idle {
            line.dial = Dial::Waiting { until: now, refused: false };
            self.due_by(now);
        }
    }

    /// The lane to `id` stands: what waited for it may leave.
    pub(super) fn open_lane(&mut self, token: Token, id: NodeId) {
        for (group, chunk) in self.peer_mut(id).chunks.take() {
            self.queue_chunk(token, group, chunk);
        }
    }

    fn queue_chunk(&mut self, token: Token, group: GroupId, chunk: SnapshotChunk) {
        let (now, bytes) = (self.now, chunk.bytes.len() as u64);
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.used_at = now;
        let is_first = connection.outbox.is_empty();
        if connection.outbox.push(group, PeerMessage::Chunk(chunk)).is_err() {
            return self.metrics.chunks_dropped.increment();
        }
        self.due_by(now + self.settings.bulk_idle);
        self.metrics.chunks_sent.increment();
        self.metrics.chunk_bytes_sent.add(bytes);
        if is_first {
            self.to_write.push(token);
        }
    }

    /// The lane to `id` failed, or is not wanted any more.
    pub(super) fn drop_chunks(&mut self, id: NodeId) {
        let dropped = self.peers.get_mut(&id).map_or(0, |peer| peer.chunks.take().len());
        self.metrics.chunks_dropped.add(dropped as u64);
    }
}
