//! Where the transport hands over what arrives: straight into the engine's channel, counted in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use super::channels::Arrival;
use crate::metrics::RuntimeMetrics;
use crate::replica::Event;
use crate::transport::Inbox;
use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};

/// How many bytes of messages may wait for the engine before sockets are not read any more.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The bytes that wait for the engine. The inbox adds, the engine takes away.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicUsize);

impl Waiting {
    /// The engine took a message; `true` if this made room in a full inbox.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_sub(bytes, Ordering::SeqCst);
        before >= WAITING_BYTES_MAX && before - bytes < WAITING_BYTES_MAX
    }
}

/// One node's inbox.
#[derive(Debug)]
pub(super) struct EngineInbox {
    pub(super) arrivals: Sender<Arrival>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) metrics: Arc<RuntimeMetrics>,
}

impl EngineInbox {
    /// An engine that is gone needs no messages: a failed send is no error.
    fn hand_over(&self, event: Event, bytes: usize) {
        self.waiting.0.fetch_add(bytes, Ordering::SeqCst);
        let _ = self.arrivals.send(Arrival { event, bytes });
    }
}

impl Inbox for EngineInbox {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        if group == GroupId::MAIN {
            self.hand_over(Event::Message { from, message }, bytes);
        } else {
            self.metrics.unknown_groups.increment();
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.0.load(Ordering::SeqCst) >= WAITING_BYTES_MAX
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        self.hand_over(Event::PeerConnected { peer, incarnation }, 0);
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        let _ = cluster;
        unimplemented!("contract")
    }

    fn peer_lost(&self, peer: NodeId) {
        self.hand_over(Event::PeerLost { peer }, 0);
    }

    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage) {
        if group == GroupId::MAIN {
            self.hand_over(Event::Undelivered { to, message }, 0);
        }
    }
}
