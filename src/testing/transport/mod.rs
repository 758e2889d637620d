//! Holds a [`Transport`] against [its contract](crate::transport).
//!
//! The body of a `#[test]`, for the network in memory; a network of your own implements [`Fabric`]:
//!
//! ```
//! use quorate::testing::transport::check;
//! use quorate::transport::MemoryNetwork;
//!
//! check(MemoryNetwork::new);
//! ```
//!
//! For sockets a fabric keeps a port for each node:
//!
//! ```no_run
//! use std::net::{SocketAddr, TcpListener};
//!
//! use quorate::testing::transport::{Fabric, check};
//! use quorate::transport::{Listen, TcpConfig, TcpTransport, Transport};
//! use quorate::types::NodeId;
//!
//! struct Loopback([SocketAddr; 3]);
//!
//! impl Loopback {
//!     fn new() -> Self {
//!         let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
//!         Self(sockets.map(|socket| socket.local_addr().unwrap()))
//!     }
//! }
//!
//! impl Fabric for Loopback {
//!     fn address(&self, id: NodeId) -> String {
//!         self.0[id.get() as usize - 1].to_string()
//!     }
//!
//!     fn transport(&self, id: NodeId) -> Box<dyn Transport> {
//!         let address = self.address(id);
//!         let config = TcpConfig { seed: id.get(), ..TcpConfig::new(Listen::Address(address.clone()), address) };
//!         Box::new(TcpTransport::bind(config).unwrap())
//!     }
//! }
//!
//! check(Loopback::new);
//! ```
//!
//! The contract lets a transport lose messages; the suite asks for a network that loses none by itself. There a message
//! arrives as long as the connection stands and there is room for it, or nothing could be told of it.

mod forwards;
mod messages;
mod node;
mod peers;
mod traffic;

use std::time::Duration;

#[cfg(test)]
pub(crate) use self::messages::directory;
pub(crate) use self::messages::{Seen, chunk, connected, forward, id, joiner, local, numbered};
pub(crate) use self::node::{TestNode, known};
use super::Broken;
use super::clause;
use crate::transport::{LocalNode, MemoryNetwork, Transport};
use crate::types::{ClusterId, GroupId, Incarnation, NodeId};

/// The cluster of the suite's nodes.
pub(crate) const CLUSTER: ClusterId = ClusterId(77);
/// The group of their messages, but for those that say otherwise.
pub(crate) const GROUP: GroupId = GroupId::MAIN;

/// A network on which the suite starts nodes 1 to 3, each of them again and again.
pub trait Fabric {
    /// Where node `id` is reached, whether it runs or not.
    fn address(&self, id: NodeId) -> String;

    /// The transport of node `id`, which does not run now.
    fn transport(&self, id: NodeId) -> Box<dyn Transport>;

    /// How long something may take that must happen. It delays only what fails.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// How many bytes of messages the transport may hold for one peer.
    fn queue_bytes_max(&self) -> usize {
        64 << 20
    }
}

/// Nodes are found by their ids.
impl Fabric for MemoryNetwork {
    fn address(&self, id: NodeId) -> String {
        format!("memory:{id}")
    }

    fn transport(&self, id: NodeId) -> Box<dyn Transport> {
        Box::new(MemoryNetwork::transport(self, id))
    }

    /// What cannot be handed over at once is lost: nothing is queued.
    fn queue_bytes_max(&self) -> usize {
        0
    }
}

/// Holds a transport against every clause of its contract, each on a network of its own.
///
/// # Panics
/// If a clause is broken: with all that are, and what was seen instead.
pub fn check<F: Fabric>(make: impl Fn() -> F) {
    clause::insist(verify(make));
}

/// As [`check`], with the verdict as a value.
pub fn verify<F: Fabric>(make: impl Fn() -> F) -> Result<(), Broken> {
    let clauses = traffic::CLAUSES.iter().chain(forwards::CLAUSES).chain(peers::CLAUSES);
    let make = &make;
    clause::verify("transport", clauses.map(|&(says, scene)| (says, move || scene(&make()))))
}

/// A sentence of the contract, and a scene that panics where it is broken.
type Clause = (&'static str, fn(&dyn Fabric));

/// Starts a node which knows `peers`, and nothing of their data directories.
pub(crate) fn start(fabric: &dyn Fabric, local: LocalNode, peers: &[u64]) -> TestNode {
    start_knowing(fabric, local, &peers.iter().map(|&peer| (peer, None)).collect::<Vec<_>>())
}

/// Starts a node which knows these peers, and of some of them the data directory.
fn start_knowing(fabric: &dyn Fabric, local: LocalNode, peers: &[(u64, Option<Incarnation>)]) -> TestNode {
    let peers = known(peers.iter().map(|&(peer, shown)| (peer, fabric.address(id(peer)), shown)));
    TestNode::start(fabric.transport(local.id), local, peers, fabric.patience())
}

/// Nodes 1 and 2, connected both ways.
pub(crate) fn pair(fabric: &dyn Fabric) -> (TestNode, TestNode) {
    let (one, two) = (start(fabric, local(1), &[2]), start(fabric, local(2), &[1]));
    one.wait_for(connected(2));
    two.wait_for(connected(1));
    (one, two)
}
