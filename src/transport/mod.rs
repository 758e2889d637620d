//! How messages get from node to node: the trait, TCP, and a network in memory for tests.
//!
//! # The contract
//! - A transport may lose, delay and (after a reconnect) reorder messages; it never alters one, never delivers one to
//!   another node than its destination, never delivers one twice on the same connection, and never blocks a sender. The
//!   bytes of a snapshot in a chunk are the exception: they have checksums of their own, and whoever stores them judges.
//! - Messages to one peer leave in the order in which they were handed over, as long as the connection stands.
//! - [`PeerMessage::Chunk`]s travel on a lane of their own: they delay no other message, and may be overtaken by any. Among
//!   themselves they keep their order as long as that lane stands; its loss is silent, and no [`Inbox::peer_lost`]. The lane
//!   leads only to peers whose address is known ([`SendJob::Peers`]): a chunk to anybody else is dropped.
//! - While [`Inbox::is_full`] says so nothing is delivered; while [`Inbox::is_full_of_chunks`] does, no chunk is, and all
//!   else passes. What was delivered and not yet handled is the inbox's to count.
//! - A node without a cluster ([`LocalNode::cluster`]) dials nobody. It takes the cluster of the first valid hello, from a
//!   node that dialled this very node, for its own, and says so ([`Inbox::cluster_adopted`]) once and before it says
//!   anything else. From then on it is as strict as any other: nodes of another cluster are refused.
//! - Its queues are bounded in bytes, each by itself: a dead or slow peer costs its queues and delays nobody else.
//! - A message beyond the limits of the protocol (an address above 256 bytes, a chunk above
//!   [`SnapshotChunk::BYTES_MAX`]) is dropped by the sender.
//! - A [`PeerMessage::Forward`] of which certainly not one byte was written comes back through
//!   [`Inbox::undelivered`]; any other loss is silent.
//! - When a connection to a peer is lost, [`Inbox::peer_lost`] says so once.

mod memory;
mod tcp;
mod traits;

#[cfg(test)]
mod tests;

pub(crate) use crate::net::Guests;
pub use memory::{Fate, MemoryNetwork, MemoryTransport};
pub use tcp::{Listen, TcpConfig, TcpTransport};
pub use traits::{Inbox, LocalNode, Peers, SendJob, Transport, TransportError, Wake};

#[allow(unused_imports, reason = "named in the docs above")]
use crate::types::{PeerMessage, SnapshotChunk};
