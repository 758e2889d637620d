//! A client of a cluster in another process: blocking calls and tickets over TCP, without a node of its own.
//!
//! ```text
//!   callers ── calls ──► inbox ──► courier ◄──────► nodes
//!      ▲                          │   ▲  requests, answers
//!      │                          ▼   │
//!      └──────── answers ──────  routing
//! ```
//!
//! Callers put what they want into the [`inbox`] and wait, or hold a ticket. One thread, the [`courier`], takes all that is
//! there at once, writes it, one vectored write for each node, reads what has come, and answers. Where a request goes, what
//! becomes of it when a node or a connection is gone, and what its caller may conclude at the deadline is decided by
//! [`routing`], which has no thread, no clock and no socket, and is tested without any.
//!
//! Only callers wait. What is under way is bounded at the door, in calls and bytes; on each connection there are no more
//! requests than a node takes, and in the session no more commands than it has room for: the others wait in routing. Every
//! call has its deadline, and ends no later, whatever a node does or does not say.

mod config;
mod connection;
mod courier;
mod end;
mod error;
mod handle;
mod inbox;
mod routing;

pub use config::ClientConfig;
pub use error::{ClientError, ClientReadError, ConnectError};
pub use handle::Client;
