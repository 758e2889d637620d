//! The machine: commands become rows, a batch of them at a time, and a batch is one transaction.
//!
//! A transaction begins with the first command of a batch and is committed at its end, together with the position of its
//! last entry and the runtime's sidecar: after a crash all of it is there, or none. Most commits are not synced, since the
//! log holds what they hold: redb then goes back to the last synced one after a crash, and what is missing comes again.
//! After every [`MachineOptions::durable_bytes`] of commands, before a snapshot, after one was restored and when the machine
//! goes, a commit is synced; [`StateMachine::durable`] says how far, and the log is kept from there on. A synced commit also
//! holds redb's account of free pages, so that opening the store after a crash does not read all of it.
//!
//! The disk may fail in any `apply`, but only `end_batch` may say so: from the first failure on a batch does nothing more,
//! and is not committed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, Durability, WriteTransaction};

use super::command::Kind;
use super::cursor::Write;
use super::error::{OpenError, StoreError};
use super::reader::{Reader, Shared, Watch};
use super::tables::META;
use super::view::View;
use super::{Command, Query, Response, append, archive, open, picture, snapshots};
use crate::machine::{Held, MachineError, SnapshotError, StateMachine};
use crate::types::{LogPosition, SnapshotWriter};

/// Where the store is, and what it may take up.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// The store's own directory. Not the node's: that takes no foreign files.
    pub dir: PathBuf,
    /// How much memory the database uses for its pages, in bytes.
    pub cache_bytes: usize,
    /// A commit is synced after so many bytes of commands; so many are applied again after a crash.
    pub durable_bytes: u64,
    /// Whether to look through the whole store when it is opened, also if nothing is suspected.
    pub verify: bool,
}

impl MachineOptions {
    /// A store in `dir`, with 64 MiB of memory, and a sync every 16 MiB of commands.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), cache_bytes: 64 << 20, durable_bytes: 16 << 20, verify: false }
    }
}

/// The state machine of the event store.
pub struct EventMachine {
    shared: Arc<Shared>,
    /// What it held when it was opened.
    opened: Held,
    /// The batch that is being applied.
    batch: Option<WriteTransaction>,
    /// What went wrong in it.
    failure: Option<StoreError>,
    /// The last batch, for queries.
    view: RefCell<Option<View>>,
    /// The end of the last batch.
    committed: LogPosition,
    /// The end of the last batch that is synced.
    durable: Cell<LogPosition>,
    /// Bytes of commands since then.
    since_durable: Cell<u64>,
    durable_bytes: u64,
}

impl EventMachine {
    /// Opens the store, or begins one. A damaged one is set aside and begun anew: see the room's docs.
    pub fn open(options: &MachineOptions) -> Result<Self, OpenError> {
        let opened = open::open(options)?;
        Ok(Self::on(opened.database, opened.held, options.durable_bytes, Some(opened.suspect)))
    }

    /// A machine on a database that was opened.
    pub(super) fn on(database: Database, opened: Held, durable_bytes: u64, suspect: Option<PathBuf>) -> Self {
        let position = opened.position;
        Self {
            shared: Shared::new(database, position.index.0, suspect),
            opened,
            batch: None,
            failure: None,
            view: RefCell::new(None),
            committed: position,
            durable: Cell::new(position),
            since_durable: Cell::new(0),
            durable_bytes,
        }
    }

    /// What reads the store from other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The store as the last batch left it. Within [`Node::read`](crate::Node::read) that is linearizable, and what is read
    /// through it then holds up no thread of the node.
    pub fn view(&self) -> Result<View, StoreError> {
        let mut view = self.view.borrow_mut();
        if let Some(view) = &*view {
            return Ok(view.clone());
        }
        Ok(view.insert(Shared::view(&self.shared)?).clone())
    }

    fn change(&mut self, index: u64, command: &Command) -> Result<Response, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let store = match &mut self.batch {
            Some(store) => store,
            none => {
                // A view that nobody else holds would keep pages from being used again.
                self.view.take();
                none.insert(self.shared.begin_write()?)
            }
        };
        match &command.0 {
            Kind::Append(changes) => append::append(store, index, changes),
            Kind::Snapshot { id, sequence, trims, data } => {
                snapshots::save(store, id, *sequence, data, *trims)
            }
            Kind::Archive(id) => archive::archive(store, index, id),
            Kind::Consumed { index } => archive::consume(store, *index),
        }
    }

    fn commit(&mut self, through: LogPosition, sidecar: &[u8], is_synced: bool) -> Result<(), StoreError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.view.take();
        let store = match self.batch.take() {
            Some(store) => store,
            None => self.shared.begin_write()?,
        };
        write_held(&store, through, sidecar)?;
        commit(store, is_synced)?;
        self.committed = through;
        if is_synced {
            self.is_durable_through(through);
        }
        self.shared.announce(through.index.0);
        Ok(())
    }

    fn is_durable_through(&self, through: LogPosition) {
        self.durable.set(through);
        self.since_durable.set(0);
    }

    /// A sync of what is committed.
    fn make_durable(&self) -> Result<(), StoreError> {
        if self.durable.get() != self.committed {
            commit(self.shared.begin_write()?, true)?;
            self.is_durable_through(self.committed);
        }
        Ok(())
    }
}

impl StateMachine for EventMachine {
    type Command = Command;
    type Query = Query;
    type Response = Response;

    fn apply(&mut self, at: LogPosition, command: Command) -> Response {
        let shared = Arc::clone(&self.shared);
        let _watch = Watch(&shared);
        self.since_durable.set(self.since_durable.get() + command.bytes());
        let changed = self.change(at.index.0, &command);
        shared.noted(changed).unwrap_or_else(|failure| {
            self.failure = Some(failure.clone());
            Response::failed(failure)
        })
    }

    /// Of what the last batch left: within a batch, of the one before.
    fn query(&self, query: Query) -> Response {
        match self.view() {
            Ok(view) => view.answer(query),
            Err(error) => Response::failed(error),
        }
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let _watch = Watch(&self.shared);
        let taken = self.shared.noted(self.make_durable()).and_then(|()| Shared::view(&self.shared));
        let view = taken.map_err(|error| SnapshotError::new(error.to_string()))?;
        Ok(Box::new(move |out| picture::write(&view, out)))
    }

    /// All in one transaction, which the end of the batch commits: until then readers see what was there before.
    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let shared = Arc::clone(&self.shared);
        let _watch = Watch(&shared);
        (self.batch, self.failure) = (None, None);
        let store = shared.begin_write()?;
        picture::read(&store, snapshot)?;
        self.batch = Some(store);
        self.since_durable.set(self.durable_bytes);
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        Some(self.opened.clone())
    }

    fn end_batch(&mut self, through: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        let shared = Arc::clone(&self.shared);
        let _watch = Watch(&shared);
        let is_synced = self.since_durable.get() >= self.durable_bytes;
        let committed = self.commit(through, sidecar, is_synced);
        Ok(shared.noted(committed)?)
    }

    fn durable(&self, _applied: LogPosition) -> LogPosition {
        self.durable.get()
    }
}

impl Drop for EventMachine {
    /// A batch that has not ended is as if it had never been.
    fn drop(&mut self) {
        (self.batch, self.view) = (None, RefCell::default());
        self.shared.close();
    }
}

impl fmt::Debug for EventMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventMachine").field("committed", &self.committed).finish_non_exhaustive()
    }
}

/// Writes what the store holds, in the transaction that makes it so.
pub(super) fn write_held(
    store: &WriteTransaction,
    position: LogPosition,
    sidecar: &[u8],
) -> Result<(), StoreError> {
    let mut held = Vec::with_capacity(16 + sidecar.len());
    held.put_u64(position.term.0);
    held.put_u64(position.index.0);
    held.put(sidecar);
    store.open_table(META)?.insert("held", held.as_slice())?;
    Ok(())
}

/// Ends a transaction. With a sync goes the account of free pages, or a store of any size would be read through after a
/// crash.
pub(super) fn commit(mut store: WriteTransaction, is_synced: bool) -> Result<(), StoreError> {
    store.set_durability(if is_synced { Durability::Immediate } else { Durability::None })?;
    store.set_quick_repair(is_synced);
    store.commit()?;
    Ok(())
}

impl From<StoreError> for MachineError {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}
