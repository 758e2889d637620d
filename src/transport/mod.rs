//! How messages get from node to node: the trait, TCP, and a network in memory for tests.
//!
//! # The contract
//! - A transport may lose, delay and (after a reconnect) reorder messages; it never alters one, never delivers one to
//!   another node than its destination, never delivers one twice on the same connection, and never blocks a sender.
//! - Messages to one peer leave in the order in which they were handed over, as long as the connection stands.
//! - [`PeerMessage::Chunk`]s travel on a lane of their own: they delay no other message, and may be overtaken by any. Among
//!   themselves they keep their order as long as that lane stands; its loss is silent.
//! - Its queues are bounded in bytes, each by itself: a dead or slow peer costs its queue and delays nobody else.
//! - A [`PeerMessage::Forward`] of which certainly not one byte was written comes back through
//!   [`Inbox::undelivered`]; any other loss is silent.
//! - When a connection to a peer is lost, [`Inbox::peer_lost`] says so once.

mod memory;
mod tcp;
mod traits;

#[cfg(test)]
mod tests;

pub use memory::{Fate, MemoryNetwork, MemoryTransport};
pub use tcp::{Listen, TcpConfig, TcpTransport};
pub use traits::{Inbox, LocalNode, Peers, SendJob, Transport, TransportError, Wake};

#[allow(unused_imports, reason = "named in the docs above")]
use crate::types::PeerMessage;
