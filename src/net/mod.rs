//! The one event loop that carries all connections between nodes, on the one thread that runs it.
//!
//! Each node dials each peer whose address it knows, and sends on the connection that it dialled; what it reads there is
//! only signs of life. So between two nodes there are two connections, one for each direction, no rule is needed for
//! who dials, and messages to a peer leave in the order in which they were queued. (A peer whose address is not known
//! is answered on the connection it opened.) A peer counts as connected while the connection stands on which we send.
//!
//! Chunks of snapshots take a second connection, the bulk lane, which is dialled when there is one to send and closed when
//! there has been none for a while. It has a queue of its own and its turn after all others, so that a gigabyte on its way
//! delays no heartbeat; the hello says which lane a connection is. It makes nobody connected, and its loss is nobody's.
//!
//! A turn of the loop ([`Network::turn`]) writes what was queued since the last one, one vectored write per peer; sleeps
//! if there is nothing to do; then reads, a bounded amount from each connection, so that no peer's flood delays another;
//! and looks after what is due: dials, signs of life, and connections on which nothing is heard any more. Queues are
//! bounded in bytes per peer and lane: what finds no room, or no connection, is dropped.
//!
//! Strangers cost a few kilobytes and a file descriptor until they have said who they are, for which they have a
//! limited time; they are limited in number, and the one who waits longest makes room for who comes. Those whose first byte
//! is a client's are no strangers any more: they are handed to whoever serves clients ([`Guests`]), or refused in words.

mod acceptor;
mod backoff;
mod byte_queue;
pub(crate) mod clock;
mod connection;
mod greeting;
mod guests;
mod inflow;
mod log_gate;
#[cfg(all(test, loom))]
mod loom_tests;
mod network;
mod outbox;
mod peer;
mod resolve;
mod waker;

pub(crate) use backoff::{Backoff, Jitter};
pub(crate) use byte_queue::{ByteQueue, SHARED_BYTES_MIN, Written};
pub(crate) use greeting::Local;
pub(crate) use guests::{Guest, Guests, NoGuests};
pub(crate) use inflow::{Inflow, Next, Taken, WIDE_BYTES as LENT_BYTES};
#[cfg(any(test, fuzzing))]
pub(crate) use inflow::{frames_of, frames_of_a_borrower};
pub(crate) use log_gate::LogGate;
pub(crate) use network::{Bound, Delivery, Network, Settings};
pub(crate) use resolve::Resolver;
pub(crate) use waker::LoopWaker;
