//! A node that also serves clients, at the address where it serves its peers.
//!
//! ```text
//!          peers, clients
//!               │ one listener
//!               ▼
//!    net thread ─── guests ───► desk ◄── replies ── apply and engine threads
//!   (heartbeats)                 │ │
//!                                ▼ │ wakes, once for all that waits
//!      clients ◄──────► clients thread ── requests ──► node
//! ```
//!
//! The node's event loop lets everybody in, and tells clients by the first byte they say. It hands their sockets to a loop of
//! its own thread ([`hall`]), so that no flood of clients delays a heartbeat. That thread owns every connection and all its
//! numbers; others only put things on its [`desk`]: sockets, replies, word that the node has changed. It reads what has come,
//! judges it, submits it to the node without waiting, and writes what is answered: all replies that wait for a connection in
//! one write. The node is behind a trait without a type parameter ([`service`]).
//!
//! Nothing grows without a bound ([`ServerConfig`]). Beyond a limit a request is answered `Busy` where it can be; else the
//! socket is not read; else the connection is closed, with the reason in the log. An idle connection costs its socket and a
//! few hundred bytes: buffers are lent to it while it speaks.

mod config;
mod connection;
mod desk;
mod hall;
mod handle;
mod limits;
mod registry;
mod replies;
mod service;

pub use config::ServerConfig;
pub use handle::{Server, ServerError};
