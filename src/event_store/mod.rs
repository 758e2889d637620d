//! An event store: aggregates made of events, replicated by Raft and kept on each node's disk. Feature `event-store`.
//!
//! An aggregate is named by an [`AggregateId`]. Whoever appends to it says which sequence it is expected to have come to
//! ([`Append::to`]); if it has come further, nothing is written, and the answer carries the events in between
//! ([`Conflict`]). Beside its events an aggregate has a status and labels, by which it is found, and a snapshot, which may
//! take the place of its older events.
//!
//! # The picture
//!
//! ```text
//!   append, save_snapshot, archive          load, list, status…                   subscribe, publisher, consume_archive
//!          │ Command                  Local │   │ linearizable                          │  wait for news, read on
//!          ▼                                │   ▼ Query, or a View                      ▼
//!   ┌─ Node<EventMachine> ─ log ─► apply thread ───────────────┐                  ┌─ Reader ─┐
//!   │        EventMachine: a batch of commands at a time       │                  │  View: the last batch, as one
//!   └──────────┬───────────────────────────────────────────────┘                  │  picture, on any thread
//!              ▼  rows                                                            ▼
//!   ┌─────── layers in memory: the rows of the last batches ─────────────────────────────────────┐
//!   └──────────┬─────────────────────────────────────────────────────────────────────────────────┘
//!              ▼  settler thread: many batches, position and sidecar in one synced transaction
//!   ┌─────── redb: one file ─────────────────────────────────────────────────────────────────────┐
//! ```
//!
//! The apply thread alone writes, and waits for no disk: the log holds every command, so a batch need not be on the disk
//! before it is answered. It collects rows in memory, and a thread of its own brings them to the disk, some megabytes at a
//! time; the log is kept from there on. `rows/` says why, and what it saves. What is read is read from a [`View`], a
//! consistent picture of memory and disk that holds nobody up: a snapshot is streamed from one while applies go on, and a
//! long load does not hold the apply thread.
//!
//! # On the disk
//!
//! The store is a directory that holds one redb database, `events.redb`. It must not be the node's data directory, which
//! takes no foreign files; by default it is beside that, with `.events` behind its name. All numbers are big endian. A
//! POSITION is index 8, offset 4: the place of an event in the log ([`Position`]). An ID is the key of an [`AggregateId`]
//! (`id.rs`): it ends where its last part ends, so that `00 00` behind it can be no part of it. A TEXT is a text with `00 FF`
//! for each byte 0, and `00 01` behind it. Strings *in values* have a length of two bytes in front, unless something else is
//! said. Table by table:
//!
//! ```text
//! table            key                             value
//! meta             "format"                        4: 1, this version
//!                  "held"                          term 8 | index 8 | the runtime's sidecar: what the store holds
//! aggregates       ID                              sequence 8 | base 8 | snapshot's sequence 8 | has status 1
//!                                                  | [status | since 8, ns] | labels 4 | (name | value)…
//!                                                  | has a gap 1 | [POSITION of the last event that was trimmed]
//! snapshots        ID                              the data
//! events           POSITION                        id | sequence 8 | count 4 | events as in `event.rs`: those that one
//!                                                  append brought, or what trimming left of them; key and sequence are
//!                                                  those of the first
//! sequences        ID | 00 00 | sequence 8         POSITION in `events` of the events of which that is the first
//! gaps             POSITION of the last removed    first available 8 | 2 trimmed, 3 archived | ID, all that is left
//! archived_ids     ID                              POSITION in `gaps` of what was archived under this id
//! status           TEXT | since 8, ms, +2^63 | ID  nothing
//! labels           TEXT name | TEXT value | ID     nothing
//! label_values     TEXT name | TEXT value          how many aggregates have it 8
//! archive          log index 8                     id | snapshot's sequence 8 | base 8 | sequence 8 | data, all that is left
//! archived_events  log index 8 | sequence 8        as in `events`
//! ```
//!
//! Events stand in the order of the log: many of them fill a page, where each would dirty one of its own if they stood by
//! aggregate, and a subscriber reads them from end to end.
//!
//! A snapshot is the same rows but those of `meta`, table by table and sorted; `picture.rs` has its form. What commands,
//! queries and answers look like in the log and on the wire stands in `command.rs`, `query.rs`, `event.rs`.
//!
//! # A damaged store
//!
//! A store that cannot be opened, or whose rows are no rows, is set aside (`events.redb.damaged`) and begun anew. The
//! runtime then does what it does for any machine that holds nothing: it applies the log, if that reaches its start,
//! restores the newest snapshot and applies the log behind it, or refuses to start with
//! [`StartError::SnapshotMissing`](crate::StartError::SnapshotMissing). Nothing is ever skipped. Damage that is met while
//! the node runs is an error to whoever reads, stops the node if it is met by a command, and leaves a file `suspect`: the
//! next start looks through every page and every row before it trusts the store. So does one that is asked to
//! ([`MachineOptions::verify`]). A disk that fails, or is full, stops the node by name.
//!
//! # Who holds what
//!
//! Below the handle:
//!
//! | file | what stands there |
//! |---|---|
//! | `id.rs`, `event.rs`, `position.rs` | ids and their keys; events and their bytes; places in the log, filters, gaps |
//! | `command.rs`, `query.rs`, `response.rs`, `answer.rs`, `cursor.rs` | what is said to the machine, and what it says, byte by byte |
//! | `limits.rs`, `error.rs` | every limit, and its error; what can go wrong with the disk |
//! | `machine.rs` | the [`StateMachine`](crate::StateMachine): batches, failures, what is durable |
//! | `open.rs` | the directory, the format, damage |
//! | `tables.rs` | the tables, their keys and their rows |
//! | `agreement.rs` | whether the rows of all tables agree |
//! | `rows/` | sorted tables, in memory over redb: batches, pictures, the settler thread |
//! | `append.rs`, `index.rs`, `snapshots.rs`, `archive.rs` | what each command does to them |
//! | `view.rs`, `log_order.rs` | reading: aggregates and listings; all events in the order of the log |
//! | `picture.rs` | a snapshot of the whole store, out and in |
//! | `reader.rs` | the part of the machine that other threads hold: views, and the news that a batch was applied |
//!
//! The handle:
//!
//! | file | what stands there |
//! |---|---|
//! | `store.rs` | [`EventStore`]: opens the machine beside the data directory, starts the node; appends, snapshots, readiness, the end |
//! | `options.rs` | [`Options`]: where and how large, whether snapshots trim and aggregates are archived, the indexer, the publisher, the clock that stamps events |
//! | `queries.rs` | [`Reading`]: loads and listings, each linearizable or [`Local`](Consistency::Local) |
//! | `executor.rs`, `decision.rs`, `projection.rs` | [`Executor`]: load, decide, append, and again if others were faster; what is folded, and its cache |
//! | `subscription.rs` | [`Subscription`]: all events in the order of the log, from any place in it on |
//! | `publisher.rs`, `dispatcher.rs` | [`Publisher`]: told of every event from the moment the node is ready; [`Dispatcher`]: sends each to the code for its type |
//! | `archives.rs` | archiving, and consuming what was archived |
//! | `refusals.rs` | an error for each operation, which says what may be concluded |
//!
//! An append goes through the log, and what it meets there is its answer. One that this node knows to be late is first
//! compared as an append of nothing is, by a linearizable read: so who races for one aggregate and loses costs no entry. This
//! node alone never refuses anybody: it may lag, and an aggregate that was archived may be in another life.
//!
//! What follows the log (subscriptions, the publisher, consumers of archives) reads [`View`]s up to their end, then waits
//! for the [`News`] that another batch was applied. None of it holds events in memory for somebody who is slow.

mod agreement;
mod answer;
mod append;
mod archive;
mod archives;
mod command;
mod cursor;
mod decision;
mod dispatcher;
mod error;
mod event;
mod executor;
mod id;
mod index;
pub mod limits;
mod log_order;
mod machine;
mod open;
mod options;
mod picture;
mod position;
mod projection;
mod publisher;
mod queries;
mod query;
mod reader;
mod refusals;
mod response;
mod rows;
mod snapshots;
mod store;
mod subscription;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use answer::{
    Aggregate, Appended, Archived, Conflict, Events, Page, RecordedPage, Refused, Snapshot, WithStatus,
};
pub use command::{Append, Command, Index};
pub use decision::Decision;
pub use dispatcher::Dispatcher;
pub use error::{OpenError, StoreError};
pub use event::{Event, NewEvent, Timestamp};
pub use executor::Executor;
pub use id::AggregateId;
pub use limits::Invalid;
pub use machine::EventMachine;
#[cfg(any(test, fuzzing))]
pub(crate) use machine::held_in;
pub use open::MachineOptions;
pub use options::Options;
pub use position::{Filter, Gap, Position, Recorded, Removal};
pub use projection::Projection;
pub use publisher::Publisher;
pub use queries::{Consistency, Reading};
pub use query::Query;
pub use reader::Reader;
pub use refusals::{
    AppendError, ArchiveError, ConsumeError, ExecuteError, QueryError, SaveError, StoreStartError,
    SubscriptionError,
};
pub use response::Response;
pub use rows::News;
pub use store::EventStore;
pub use subscription::{Closer, Delivered, Subscription};
pub use view::View;
