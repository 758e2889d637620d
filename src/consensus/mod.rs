//! Raft, pure: no clock, no I/O, no payloads, no threads.
//!
//! A host feeds it ([`Raft::tick`], [`Raft::step`], [`Raft::propose`], [`Raft::read_index`], [`Raft::persisted`])
//! and takes what it asks for once per turn, as one [`Ready`]. The contract of the host stands at [`Ready`].
//!
//! [`Raft`] decides and changes; its chapters (`raft/`) follow the paper: election, replication, follower, membership,
//! read, transfer. What it decides with are leaves that know nothing of turns: `quorum` (one arithmetic for commit, votes,
//! reads and check-quorum), `votes`, `timer`, `progress`, `reconfigure` (the algebra of joint changes), `read_queue`, `log`
//! and `writes`.

mod config;
mod error;
mod fate;
mod log;
mod outbox;
mod progress;
mod quorum;
mod raft;
mod read_queue;
mod ready;
mod reconfigure;
mod role;
mod timer;
mod votes;
mod writes;

pub use config::RaftConfig;
pub use error::{ProposeRefused, ReadRefused, RestoreError};
pub use fate::Fate;
pub use progress::{PeerProgress, ProgressState};
pub use raft::Raft;
pub use ready::{Outgoing, Persisted, ReadReady, Ready, Restored, WriteSeq};
pub use role::RoleName;
