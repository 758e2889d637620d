//! The trait that a transport fulfils, and what it tells its node. The common contract stands at [`super`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};

/// What the node's threads ask of the transport.
#[derive(Debug)]
pub enum SendJob {
    /// Send one message.
    Message {
        /// The group it belongs to.
        group: GroupId,
        /// Its destination.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// From now on these are the peers: connect to new ones, drop those that are gone.
    Peers(Peers),
    /// Write out what is queued, then return from [`Transport::run`].
    Close,
}

/// Whom a transport talks to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Where each peer is reached, and which data directory it must show (`None`: none is demanded). Without this node itself.
    pub known: BTreeMap<NodeId, (String, Option<Incarnation>)>,
    /// Whether those directories may be former ones: then a node that joined may show another, since it may have been added
    /// again. One that founds a cluster may not: its disk is lost, and it does not know.
    pub may_be_former: bool,
}

/// Who this node is to its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its id.
    pub id: NodeId,
    /// Its cluster; `None` while it waits to be added to one: then it takes the cluster of the first valid hello for its
    /// own, and says so through [`Inbox::cluster_adopted`] before anything else of that peer.
    pub cluster: Option<ClusterId>,
    /// Its data directory.
    pub incarnation: Incarnation,
}

/// Where a transport hands over what arrives. Never blocks.
pub trait Inbox: Send + Sync {
    /// A message from `from`, which has proved to belong to this cluster. `bytes` is what it took on the wire.
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize);

    /// Whether too much waits to be handled. While it does, a transport reads from no socket; it is woken through its
    /// [`Wake`] when there is room again.
    fn is_full(&self) -> bool;

    /// Whether too many chunks of snapshots wait. While they do, a transport takes no more of these, and goes on with all
    /// else; it is woken when there is room again.
    fn is_full_of_chunks(&self) -> bool {
        false
    }

    /// A connection with `peer` stands, and this is the data directory it showed.
    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation);

    /// This node had no cluster, and belongs to this one from now on.
    fn cluster_adopted(&self, cluster: ClusterId);

    /// The connection with `peer` is gone; what was under way may be lost.
    fn peer_lost(&self, peer: NodeId);

    /// A forward of which certainly not one byte was written.
    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage);
}

/// Wakes a transport that may be asleep: there is a job, or room in the inbox. Cheap when it is awake.
pub trait Wake: Send + Sync {
    /// See above.
    fn wake(&self);
}

/// Carries messages between nodes. It is given a thread of its own.
pub trait Transport: Send {
    /// The handle that wakes this transport; may be called before [`Transport::run`], from any thread.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Serves until [`SendJob::Close`] arrives or all senders of `jobs` are gone. Returns an error only when it cannot
    /// go on at all; the node stops then.
    fn run(
        self: Box<Self>,
        local: LocalNode,
        jobs: Receiver<SendJob>,
        inbox: Arc<dyn Inbox>,
    ) -> Result<(), TransportError>;
}

/// Why a transport cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is the port in use, or the address another machine's?")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A setting with which no transport could work.
    #[error("the transport cannot work as configured: {0}")]
    Misconfigured(&'static str),
    /// The event loop itself failed.
    #[error("the event loop failed: {0}")]
    Loop(#[from] io::Error),
}
