//! Where the transport hands over what arrives: straight into the engine's channel, or past the engine to the snapshot
//! mover. Both are counted in bytes.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::bootstrap::is_named;
use super::channels::{Arrival, Arrived, Piece};
use super::threads::Stopper;
use crate::metrics::RuntimeMetrics;
use crate::replica::Event;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::ticket::StopCause;
use crate::transport::Inbox;
use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};
use crate::workers::MoverInput;

/// Bytes that wait for a thread. The inbox adds, the thread takes away.
#[derive(Debug)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Waiting {
    pub(super) fn at_most(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// The thread took a message; `true` if this made room where there was none.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        before >= self.bytes_max && before - bytes < self.bytes_max
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= self.bytes_max
    }
}

/// One node's inbox.
#[derive(Debug)]
pub(super) struct EngineInbox {
    pub(super) arrivals: Sender<Arrival>,
    /// For the engine.
    pub(super) waiting: Arc<Waiting>,
    pub(super) pieces: Sender<Piece>,
    /// For the snapshot mover.
    pub(super) waiting_pieces: Arc<Waiting>,
    pub(super) cluster_name: String,
    pub(super) stopper: Stopper,
    pub(super) metrics: Arc<RuntimeMetrics>,
}

impl EngineInbox {
    /// An engine that is gone needs no messages: a failed send is no error.
    fn hand_over(&self, what: Arrived, bytes: usize) {
        self.waiting.add(bytes);
        let _ = self.arrivals.send(Arrival { what, bytes });
    }

    /// A receiver asks again for what does not come: beyond the bound a piece is dropped.
    fn hand_to_mover(&self, input: MoverInput, bytes: usize) {
        if self.waiting_pieces.is_full() {
            self.metrics.dropped_pieces.increment();
            return;
        }
        self.waiting_pieces.add(bytes);
        let _ = self.pieces.send(Piece { input, bytes });
    }
}

impl Inbox for EngineInbox {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        if group != GroupId::MAIN {
            self.metrics.unknown_groups.increment();
            return;
        }
        match message {
            PeerMessage::Pull(pull) => self.hand_to_mover(MoverInput::Pull { from, pull }, bytes),
            PeerMessage::Chunk(chunk) => self.hand_to_mover(MoverInput::Chunk { from, chunk }, bytes),
            message => self.hand_over(Arrived::Event(Event::Message { from, message }), bytes),
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        self.hand_over(Arrived::Event(Event::PeerConnected { peer, incarnation }), 0);
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        if is_named(cluster, &self.cluster_name) {
            self.hand_over(Arrived::Cluster(cluster), 0);
        } else {
            let why = format!("cluster {cluster}, which has another name than this node's, asked it to join");
            self.stopper.stop(StopCause::Transport(why.into()));
        }
    }

    fn peer_lost(&self, peer: NodeId) {
        self.hand_to_mover(MoverInput::PeerLost(peer), 0);
        self.hand_over(Arrived::Event(Event::PeerLost { peer }), 0);
    }

    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage) {
        // A piece that was not sent is asked for again.
        let is_piece = matches!(message, PeerMessage::Pull(_) | PeerMessage::Chunk(_));
        if group == GroupId::MAIN && !is_piece {
            self.hand_over(Arrived::Event(Event::Undelivered { to, message }), 0);
        }
    }
}
