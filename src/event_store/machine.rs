//! The machine: commands become rows, a batch of them at a time.
//!
//! A batch counts as a whole, or not at all: what was applied and not ended is never brought to the disk. What was ended is
//! brought there later, many batches at a time, in one synced transaction with the position of the last of them and the
//! runtime's sidecar (`rows`); [`StateMachine::durable`] says how far that is, and the log is kept from there on. The machine
//! is settled to its end when it goes.
//!
//! The disk may fail in any `apply`, but only `end_batch` may say so: from the first failure on a batch does nothing more,
//! and does not end.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use redb::Database;

use super::command::Kind;
use super::error::{OpenError, StoreError};
use super::open::{self, MachineOptions};
use super::reader::Reader;
use super::rows::{Store, Watch};
use super::view::View;
use super::{Command, Query, Response, append, archive, picture, snapshots};
use crate::machine::{Held, MachineError, SnapshotError, StateMachine};
use crate::types::{LogPosition, SnapshotWriter};

/// The state machine of the event store.
pub struct EventMachine {
    store: Store,
    /// What it held when it was opened.
    opened: Held,
    /// What went wrong in this batch.
    failure: Option<StoreError>,
    /// Bytes of the batch's commands.
    command_bytes: u64,
    /// The last log index of which the snapshot holds something that was restored.
    restored: u64,
}

impl EventMachine {
    /// Opens the store, or begins one. A damaged one is set aside and begun anew: see the room's docs.
    pub fn open(options: &MachineOptions) -> Result<Self, OpenError> {
        let open::Opened { database, held, suspect } = open::open(options)?;
        let failed =
            |error: StoreError| OpenError::Io { dir: options.dir.clone(), reason: error.to_string() };
        Self::on(database, held, options.layer_bytes, Some(suspect)).map_err(failed)
    }

    /// A machine on a database that was opened.
    pub(super) fn on(
        database: Database,
        opened: Held,
        layer_bytes: u64,
        suspect: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let store = Store::new(database, opened.clone(), layer_bytes, suspect)?;
        Ok(Self { store, opened, failure: None, command_bytes: 0, restored: 0 })
    }

    /// What reads the store from other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(self.store.shared()))
    }

    /// The store as the last batch left it. Within [`Node::read`](crate::Node::read) that is linearizable, and what is read
    /// through it then holds up no thread of the node.
    pub fn view(&self) -> View {
        View::of(self.store.shared())
    }

    fn change(&mut self, index: u64, command: Command) -> Result<Response, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let batch = self.store.batch();
        match command.0 {
            Kind::Append(changes) => append::append(batch, index, changes),
            Kind::Snapshot { id, sequence, trims, data } => {
                snapshots::save(batch, &id, sequence, data, trims)
            }
            Kind::Archive(id) => archive::archive(batch, index, &id),
            Kind::Consumed { index } => archive::consume(batch, index),
        }
    }
}

impl StateMachine for EventMachine {
    type Command = Command;
    type Query = Query;
    type Response = Response;

    fn apply(&mut self, at: LogPosition, command: Command) -> Response {
        let shared = Arc::clone(self.store.shared());
        let _watch = Watch::over(&shared);
        self.command_bytes += command.bytes();
        let changed = self.change(at.index.0, command);
        shared.noted(changed).unwrap_or_else(|failure| {
            let failed = Response::failed(&failure);
            self.failure = Some(failure);
            failed
        })
    }

    /// Of what the last batch left: within a batch, of the one before.
    fn query(&self, query: Query) -> Response {
        self.view().answer(query)
    }

    /// The picture holds what was applied; the disk gets it soon, too, for the log is about to be shortened.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        self.store.settle_soon();
        let view = self.view();
        Ok(Box::new(move |out| picture::write(&view, out)))
    }

    /// All in one transaction, which the end of the batch commits: until then readers see what was there before.
    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let shared = Arc::clone(self.store.shared());
        let _watch = Watch::over(&shared);
        (self.failure, self.command_bytes) = (None, 0);
        let restored = &mut self.restored;
        self.store.replace(|store| {
            *restored = picture::read(store, snapshot)?;
            Ok(())
        })
    }

    fn applied(&self) -> Option<Held> {
        Some(self.opened.clone())
    }

    fn end_batch(&mut self, through: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        let shared = Arc::clone(self.store.shared());
        let _watch = Watch::over(&shared);
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if self.restored > through.index.0 {
            let reason =
                format!("the snapshot holds what entry {} brought, behind its own end", self.restored);
            return Err(MachineError::new(reason));
        }
        let command_bytes = std::mem::take(&mut self.command_bytes);
        let ended = self.store.end_batch(through, sidecar, command_bytes);
        Ok(shared.noted(ended)?)
    }

    fn durable(&self, _applied: LogPosition) -> LogPosition {
        self.store.shared().durable()
    }
}

/// A machine on any database, for those who bring their own disk.
#[cfg(any(test, fuzzing))]
pub(crate) fn held_in(database: Database) -> Result<EventMachine, StoreError> {
    let held = super::rows::begin(&database)?.expect("a store of this version");
    EventMachine::on(database, held, 1000, None)
}

impl fmt::Debug for EventMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventMachine").field("news", &self.store.shared().news()).finish_non_exhaustive()
    }
}
