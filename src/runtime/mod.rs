//! The threads of a node and the channels between them.
//!
//! ```text
//!      callers               clock                peers
//!         │ requests           │ ticks             ▲ │
//!         ▼                    ▼                   │ ▼
//!    ┌────────── engine thread ──────────┐◄─── net thread ◄──┐
//!    │           the Replica             │───sends──►        │
//!    └───┬────────────┬─────────────┬────┘                   │
//!        │ writes     │ applies     │ fetches                │
//!        ▼            ▼             ▼                        │
//!    log writer     apply       log reader                   │
//!        │            └──► callers                           │
//!        └───── answers that waited for the disk ────────────┘
//! ```
//!
//! Completions of all workers go back to the engine. One owner per state, one loop per thread, no lock on the path. Only
//! callers ever wait for somebody else: the bounds stand at the doors ([`channels`]).
//!
//! A panic or a failed log in any thread stops the node ([`threads`]); everybody who waits learns the cause.

mod bootstrap;
mod channels;
mod clock;
mod config;
mod engine;
mod error;
mod inbox;
mod launch;
mod loops;
mod net_end;
mod node;
mod parts;
mod running;
mod status;
mod threads;
mod view;

pub use config::Config;
pub use error::{ConfigError, ShutdownError, StartError};
pub use node::{After, Node};
pub use parts::Parts;
pub use status::{PeerState, PeerStatus, Role, Status};
