//! Nodes that only talk: a transport on a thread of its own, and an inbox that a test looks into.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::NetMetrics;
pub(super) use crate::testing::transport::{
    CLUSTER, Fabric, GROUP, Seen, TestNode, chunk, connected, directory, forward, id, joiner, local,
    numbered, pair, start,
};
use crate::transport::{Listen, LocalNode, Peers, TcpConfig, TcpTransport, Transport};
use crate::types::NodeId;

/// Generous: no test waits that long unless it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// On loopback. Nodes 1 to 3 have a port each that the kernel chose; it stays theirs across restarts.
pub(super) struct Loopback {
    addresses: Vec<SocketAddr>,
    reserved: parking_lot::Mutex<Vec<Option<TcpListener>>>,
}

impl Loopback {
    pub(super) fn new() -> Self {
        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        Self { addresses, reserved: parking_lot::Mutex::new(listeners.into_iter().map(Some).collect()) }
    }

    /// The usual configuration of node `id`.
    pub(super) fn config(&self, id: NodeId) -> TcpConfig {
        let listen = match self.reserved.lock()[id.get() as usize - 1].take() {
            Some(listener) => Listen::Socket(listener),
            None => Listen::Address(self.address(id)),
        };
        TcpConfig { seed: id.get(), ..TcpConfig::new(listen, self.address(id)) }
    }
}

impl Fabric for Loopback {
    fn address(&self, id: NodeId) -> String {
        self.addresses[id.get() as usize - 1].to_string()
    }

    fn transport(&self, id: NodeId) -> Box<dyn Transport> {
        let config = TcpConfig { queue_bytes_max: self.queue_bytes_max(), ..self.config(id) };
        Box::new(TcpTransport::bind(config).unwrap())
    }

    fn queue_bytes_max(&self) -> usize {
        4 << 20
    }
}

/// Node 1 alone on a port of its own, with a configuration of the test's making.
pub(super) fn lone_node(configure: impl FnOnce(&mut TcpConfig)) -> (TestNode, SocketAddr, Arc<NetMetrics>) {
    lone(local(1), configure)
}

/// As [`lone_node`], with whatever it is to its peers.
pub(super) fn lone(
    local: LocalNode,
    configure: impl FnOnce(&mut TcpConfig),
) -> (TestNode, SocketAddr, Arc<NetMetrics>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = TcpConfig::new(Listen::Socket(listener), address.to_string());
    configure(&mut config);
    let metrics = Arc::clone(&config.metrics);
    let node =
        TestNode::start(Box::new(TcpTransport::bind(config).unwrap()), local, Peers::default(), PATIENCE);
    (node, address, metrics)
}
