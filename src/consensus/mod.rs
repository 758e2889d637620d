//! Raft, pure: no clock, no I/O, no payloads, no threads. It stands on its own: a program that has its own threads, log and
//! sockets, or a simulator, needs nothing else of this crate but [`types`](crate::types).
//!
//! A host feeds a [`Raft`] ([`tick`](Raft::tick), [`step`](Raft::step), [`propose`](Raft::propose),
//! [`read_index`](Raft::read_index), [`persisted`](Raft::persisted), and what snapshots, membership and transfer need) and
//! takes what it asks for once per turn, as one [`Ready`]. **What a host must do with it, and in which order, stands at
//! [`Ready`]**, and nowhere else. Time comes in as ticks, and, for leases, as a [`Moment`](crate::types::Moment); chance as
//! [`RaftConfig::seed`]. Payloads stay with the host, which keeps them by index; [`Raft::fate`] says what has become of one.
//!
//! Three replicas in memory, whose host is a loop with an instant disk and an instant network:
//!
//! ```
//! use std::sync::Arc;
//! use quorate::consensus::{Outgoing, Persisted, Raft, RaftConfig, ReadReady, Restored};
//! use quorate::types::{Boot, EntryKind, EntryMeta, LogIndex, LogPosition, Membership, Moment, NodeId, ReadId, Term};
//!
//! // Entry 1 names the founders. It is the same in all their logs, so it is committed from the start.
//! let id = |n| NodeId::new(n).expect("not zero");
//! let founders = Arc::new(Membership::founding((1..=3).map(|n| (id(n), format!("host-{n}:7000"))))?);
//! let start = |n| {
//!     let position = LogPosition::new(Term::ZERO, LogIndex(1));
//!     let founding = EntryMeta { position, bytes: 0, kind: EntryKind::Membership(Arc::clone(&founders)) };
//!     Raft::new(RaftConfig::new(id(n)), Restored { entries: vec![founding], ..Restored::default() })
//! };
//! let mut rafts = [start(1)?, start(2)?, start(3)?];
//! let mut applied = [LogIndex::ZERO; 3];
//!
//! // Turns, until nobody has anything left to do.
//! let mut settle = |rafts: &mut [Raft; 3]| -> Vec<ReadReady> {
//!     let mut reads = Vec::new();
//!     while let Some(place) = rafts.iter().position(Raft::has_ready) {
//!         let from = rafts[place].id();
//!         let ready = rafts[place].ready(Moment(0));
//!         for Outgoing { to, message } in ready.send {
//!             rafts[to.get() as usize - 1].step(from, message);
//!         }
//!         if let Some(through) = ready.write {
//!             // Here `hard_state`, `restart` and `append` go to the disk, in one write, and are synced.
//!             rafts[place].persisted(Persisted { through });
//!         }
//!         for Outgoing { to, message } in ready.send_when_durable {
//!             rafts[to.get() as usize - 1].step(from, message);
//!         }
//!         if let Some(span) = ready.apply {
//!             applied[place] = span.last.index; // Here the state machine takes these entries.
//!         }
//!         reads.extend(ready.reads);
//!     }
//!     reads
//! };
//!
//! rafts[0].campaign(); // As `tick` does when no leader is heard.
//! settle(&mut rafts);
//! assert_eq!(rafts[2].leader(), Some(id(1)));
//!
//! let span = rafts[0].propose([5])?; // One entry of five bytes. The leader's own no-op stands before it.
//! let read = ReadId { boot: Boot(1), request: 1 };
//! rafts[1].read_index(read, Moment(0))?; // At a follower, which asks the leader.
//! assert_eq!(settle(&mut rafts), [ReadReady { id: read, index: LogIndex(2) }]);
//! assert_eq!((span.last.index, rafts[2].commit()), (LogIndex(3), LogIndex(3)));
//! assert_eq!(applied, [LogIndex(3); 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Raft`] decides and changes; its chapters (`raft/`) follow the paper: election, replication, follower, snapshot,
//! membership, read, transfer. What it decides with are leaves that know nothing of turns: `quorum` (one arithmetic for
//! commit, votes, reads, leases and check-quorum), `votes`, `timer`, `promise`, `progress`, `reconfigure` (the algebra of joint
//! changes), `read_queue`, `log` and `writes`.

mod config;
mod error;
mod fate;
mod log;
mod outbox;
mod progress;
mod promise;
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
