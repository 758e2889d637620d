//! A Raft runtime for Rust programs that are not async: implement [`StateMachine`], start a [`Node`], call
//! [`propose`](Node::propose) and [`read`](Node::read).
//!
//! ```no_run
//! use std::io::Read;
//!
//! use quorate::{Config, LogPosition, MachineError, Node, SnapshotError, SnapshotWriter, StateMachine};
//!
//! #[derive(Default)]
//! struct Counter(i64);
//!
//! impl StateMachine for Counter {
//!     type Command = i64; // numbers, strings and bytes have a Codec already; write one for a type of your own
//!     type Query = ();
//!     type Response = i64;
//!
//!     fn apply(&mut self, _at: LogPosition, add: i64) -> i64 {
//!         self.0 += add;
//!         self.0
//!     }
//!
//!     fn query(&self, (): ()) -> i64 {
//!         self.0
//!     }
//!
//!     fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
//!         let total = self.0; // a cheap picture now, written out later on another thread
//!         Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
//!     }
//!
//!     fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
//!         let mut total = [0; 8];
//!         snapshot.read_exact(&mut total)?;
//!         self.0 = i64::from_le_bytes(total);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let founders = [(1, "10.0.0.1:7001"), (2, "10.0.0.2:7001"), (3, "10.0.0.3:7001")]; // the same on all three
//! let config = Config::new(1, "/var/lib/counter", "0.0.0.0:7001").bootstrap(founders);
//! let node = Node::start(config, Counter::default())?;
//! let total = node.propose(5)?; // durable on a majority, committed, applied here
//! let now = node.read(|counter| counter.0)?; // linearizable, on any node
//! # Ok(()) }
//! ```
//!
//! An operator grows, shrinks and tends the cluster through any of its nodes: [`Node::add_learner`], [`Node::promote`],
//! [`Node::remove`] and their like, [`Node::transfer_leadership`], [`Node::snapshot_now`]; [`Node::events`],
//! [`Node::status`] and [`Node::metrics`] show what happens.
//!
//! With the feature `event-store` there is a state machine ready made, for what is kept as events: `event_store`, whose
//! `EventStore` is such a node with verbs of its own.
//!
//! [How it is tested](guide::how_quorate_is_tested) is a page of its own.
//!
//! A [`Server`] is a node that other processes may ask too; each of them has a [`Client`], and no node.
//!
//! From there: [`Codec`] for commands of your own, [`ProposeError::outcome`] for what an error lets you conclude,
//! [`Ticket`] for thousands of requests in flight, [`Config`] for what can be set. The modules [`storage`], [`transport`],
//! [`consensus`] and [`types`] are for those who bring a log or a network of their own ([`Node::start_with`]) or test with
//! the ones in memory. With the feature `testing` there are suites that hold such an implementation, or a state machine,
//! against its contract.
//!
//! # The house
//!
//! A room imports only from the floors below it.
//!
//! ```text
//! 7  event_store/ server/                     aggregates made of events, on a node's disk (a feature); clients of a node
//! 6  runtime/    testing/                     threads, channels, Node, Config; suites for what users bring (a feature)
//! 5  workers/                                 log writer and reader, applier, snapshot saver and mover: plain structs
//! 4  replica/    transport/  client/          one group without threads; TCP and a network in memory; a client elsewhere
//! 3  machine/    storage/    net/             the user's trait and sessions; the log; the event loop
//! 2  consensus/  wire/                        Raft, pure; frames and messages as bytes
//! 1  ticket/     metrics/                     what a caller holds; what a node counts
//! 0  types/      sync/      planted           plain data; locks; bugs that stand in the tests' build alone
//! ```
//!
//! # The flows
//!
//! **A proposal** goes from its caller to the engine thread, which appends it to the log's tail; from there to the log
//! writer and to the network *in the same turn*, so that the leader's disk and its followers' work at the same time. When
//! a majority holds it durably it is committed and goes to the apply thread, which answers the caller itself.
//!
//! **A command in a session** is one that may be sent again: it carries its session and its number ([`Node::session`]). A
//! wrapper around the user's state machine keeps a table of sessions, itself a part of the replicated state: what was executed
//! before is not executed again, and is given its first answer. The table is in front of every snapshot, and in the sidecar of
//! a machine on disk.
//!
//! **A client's request** arrives at the node's one listener. The network thread tells a client from a peer by its first byte
//! and hands the socket to the [`Server`]'s own thread, if there is one. That thread reads frames, judges them by its limits,
//! and submits them to the node as any caller would, without waiting; whoever answers (the apply thread, mostly) puts the
//! answer down and wakes it, and it writes in one go all that waits for a connection.
//!
//! **A call of a [`Client`]**, in another process, goes into the inbox of the client's one thread, which writes all that waits
//! for a node in one go. What is not answered (the connection broke, the node did not lead, nothing was heard) it sends again
//! elsewhere, under the same number of the same session, until the deadline; only then, and only if an attempt may have
//! arrived, its caller is told that nobody knows.
//!
//! **A read** joins a numbered round of heartbeats that is sent after the read arrived. When a majority has answered that
//! round, the leader was still the leader, and the read takes its place behind the applies up to the commit index of its
//! arrival. On a follower one message to the leader comes first. With [`Config::lease_reads`] the round is spared while nobody
//! else can have been elected: as long as an answered round was sent less than a lease ago.
//!
//! **Too much of anything** is refused at the door. Whatever waits anywhere in a node has its share of one budget
//! ([`Config::in_flight_bytes_max`]): a slow disk, a slow state machine or a slow peer fills its own share, then callers get
//! `Busy`, and memory stays what it was.
//!
//! **A snapshot** is begun by the engine when enough was written since the last one. The apply thread takes a cheap picture
//! of the state machine between two batches and goes on; the saver thread writes it out. When it is durable the log before
//! it, but for some trailing entries, is released. A follower that needs what was released is offered the snapshot: its
//! mover thread pulls the file piece by piece from the leader's mover, past both engines and on a connection of its own;
//! then its log begins anew behind the snapshot, and the state machine is restored from it.
//!
//! **An append to the event store** is a proposal like any other. What it brings becomes rows in the memory of the apply
//! thread, which a thread of their own brings to the disk, many batches in one transaction together with the place in the
//! log that they reach; from there on the log is kept, and a restart applies it again. Whoever reads, follows the log or
//! writes a snapshot out reads a picture of memory and disk, on a thread of its own.
//!
//! **A change of the membership** goes to the leader from whichever node it is asked of, and becomes an entry. Where the
//! voters change it enters a joint configuration, in which every decision needs a majority of the old and of the new
//! voters, and a second entry leaves it; the operator is answered when the last one is committed. A node that is added
//! starts with [`Config::join`], learns its cluster from the first member that reaches it, and never elects itself before
//! a membership names it. It becomes a voter only when the log that it holds names its data directory: before that it gives
//! no vote, so who is to vote and was never met is a learner first.
//!
//! **A transfer of leadership** also goes to the leader. It takes no more proposals, waits until its successor holds all of
//! the log, and tells it to stand for election at once; if nobody leads within an election timeout it goes on as before.
//! A node that is shut down while it leads hands over first.
//!
//! **A restart** reads the log, refuses what is corrupt, cuts what is torn, restores the newest snapshot, and applies the
//! log behind it again as soon as a leader says how much of it is committed. A state machine on a disk of its own goes on
//! where it was.
//!
//! **A full disk** is noticed when no spare segment can be prepared, while one is still in reserve. The node refuses its
//! callers' commands by name, hands leadership over if it leads, serves reads, keeps what it could not write and tries
//! again, and takes commands when there is room.
//!
//! **A failure** of the log, or a panic in any thread, stops the node: everybody who waits learns the cause, nothing that
//! depended on the failed work leaves, and the process lives on.

#[cfg(not(unix))]
compile_error!(
    "quorate needs a Unix: it is built and tested on Linux, and relies on file locks, pwrite and directory syncs"
);

mod client;
pub mod consensus;
#[cfg(feature = "event-store")]
pub mod event_store;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
mod machine;
pub mod metrics;
mod net;
mod planted;
mod replica;
mod runtime;
mod server;
#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
pub mod storage;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod ticket;
pub mod transport;
pub mod types;
mod wire;
mod workers;

pub use client::{Client, ClientConfig, ClientError, ClientReadError, ConnectError};
pub use machine::{Codec, DecodeError, Held, MachineError, SnapshotError, StateMachine};
pub use runtime::{
    After, Config, ConfigError, Events, Node, NodeEvent, Parts, PeerState, PeerStatus, Request, Role,
    Session, ShutdownError, StartError, Status,
};
pub use server::{Server, ServerConfig, ServerError};
pub use ticket::{
    CallError, ChangeError, Outcome, ProposeError, ReadError, SnapshotNowError, StopCause, Ticket,
    TransferError,
};
pub use types::{
    ChangeReceipt, ChangeRefused, ClientStatus, ClusterId, LogPosition, MembershipChange, SnapshotWriter,
    TransferRefused,
};

/// The README's example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
