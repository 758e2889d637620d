//! The threads of a node and the channels between them.
//!
//! ```text
//!      callers, operators    clock                peers
//!         │ requests           │ ticks             ▲ │
//!         ▼                    ▼                   │ ▼
//!    ┌────────────── engine thread ──────────────┐◄─── net thread ◄───────┐
//!    │                the Replica                │──sends──►  │ pieces    │
//!    └───┬────────┬──────────┬────────┬────────┬─┘            │ of        │
//!        │ log    │ applies  │fetches │ saves  │ receives     │ snapshots │
//!        ▼        ▼          ▼        ▼        ▼              │           │
//!    log writer  apply  log reader  saver    mover ◄──────────┘           │
//!        │        └──► callers                 └────── chunks, pulls ─────┤
//!        └──────────── answers that waited for the disk ──────────────────┘
//! ```
//!
//! Completions of all workers go back to the engine. One owner per state, one loop per thread, no lock on the path. Only
//! callers ever wait for somebody else: the bounds stand at the doors ([`channels`]), and are derived from one budget
//! ([`limits`]).
//!
//! Snapshots keep clear of the engine: the *saver* writes a picture of the state machine out while applies go on, the
//! *mover* answers other nodes' pulls from the file and stores what this node pulls. The engine hears how far they are.
//!
//! A panic or a failed log in any thread stops the node ([`threads`]); everybody who waits learns the cause.

mod administration;
mod bootstrap;
mod channels;
mod clock;
mod config;
mod engine;
mod error;
mod events;
mod identity;
mod inbox;
mod launch;
mod limits;
#[cfg(all(test, loom))]
mod loom_tests;
mod loops;
mod net_end;
mod node;
mod parts;
mod restore;
#[cfg(test)]
mod restore_tests;
mod retry;
mod room;
mod running;
mod serving;
mod session;
#[cfg(test)]
mod session_tests;
mod spawn;
mod status;
mod submit;
mod threads;
mod view;

#[cfg(test)]
pub(crate) use bootstrap::{cluster_id, founding_entry};
#[cfg(test)]
pub(crate) use clock::TickCounter;
#[cfg(feature = "event-store")]
pub(crate) use clock::{later, until};
pub use config::Config;
pub use error::{ConfigError, ShutdownError, StartError};
pub use events::{Events, NodeEvent};
pub use node::{After, Node};
pub use parts::Parts;
#[cfg(test)]
pub(crate) use restore::restore_from;
pub use session::{Request, Session};
pub use status::{PeerState, PeerStatus, Role, Status};
