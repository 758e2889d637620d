//! Who owns the rows: batches begin and end here, layers are frozen, and the settler is told.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use redb::{Database, WriteTransaction};

use super::base::{self, Base};
use super::settler::{self, Job};
use super::{Basis, Batch, Rows};
use crate::event_store::error::StoreError;
use crate::machine::Held;
use crate::types::LogPosition;

/// The rows, for the one who writes them.
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// None once it is closed.
    database: Option<Arc<Database>>,
    settler: Option<JoinHandle<()>>,
    /// The batch that is being written.
    batch: Option<Batch>,
    /// What takes the place of everything when this batch ends.
    replacing: Option<WriteTransaction>,
    /// What belongs to the last batch that ended.
    sidecar: Vec<u8>,
    /// About how many bytes the batches took that are not frozen.
    unfrozen_bytes: Cell<u64>,
    layer_bytes: u64,
}

impl Store {
    /// The rows in `database`, which holds `held`. A layer is settled when it has about `layer_bytes`; damage is noted in
    /// the file `suspect`.
    pub(crate) fn new(
        database: Database,
        held: Held,
        layer_bytes: u64,
        suspect: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(Basis::of(Base::of(&database)?), held.position, suspect));
        let database = Arc::new(database);
        let (for_settler, its_database) = (Arc::clone(&shared), Arc::clone(&database));
        let settler = thread::Builder::new()
            .name("quorate-settler".to_owned())
            .spawn(move || settler::run(&for_settler, &its_database))
            .map_err(|error| StoreError::Disk { reason: format!("no thread was started: {error}") })?;
        Ok(Self {
            shared,
            database: Some(database),
            settler: Some(settler),
            batch: None,
            replacing: None,
            sidecar: held.sidecar,
            unfrozen_bytes: Cell::new(0),
            layer_bytes,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The batch that is being written; it begins with the first call.
    pub(crate) fn batch(&mut self) -> &Batch {
        assert!(self.replacing.is_none(), "rows are written before those of a snapshot count");
        self.batch.get_or_insert_with(|| {
            let state = self.shared.state.lock();
            Batch::new(Arc::clone(&state.basis), state.ended + 1)
        })
    }

    /// What was written counts, and is what the store holds at `position`. `command_bytes` brought it about.
    pub(crate) fn end_batch(
        &mut self,
        position: LogPosition,
        sidecar: &[u8],
        command_bytes: u64,
    ) -> Result<(), StoreError> {
        sidecar.clone_into(&mut self.sidecar);
        if let Some(store) = self.replacing.take() {
            self.batch = None;
            return self.replaced(store, position);
        }
        let row_bytes = self.batch.take().map_or(0, |batch| batch.bytes.get());
        let unfrozen = self.unfrozen_bytes.get() + command_bytes + row_bytes;
        self.unfrozen_bytes.set(unfrozen);
        let mut state = self.shared.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.ended += 1;
        state.applied = position;
        if unfrozen >= self.layer_bytes.saturating_mul(2) {
            self.shared.wait_until_settled(&mut state);
        }
        if unfrozen >= self.layer_bytes && state.is_idle() {
            self.freeze(&mut state);
        }
        drop(state);
        self.shared.news.notify_all();
        Ok(())
    }

    /// Has all that ended brought to the disk, if nothing else is on its way there; does not wait.
    pub(crate) fn settle_soon(&self) {
        let mut state = self.shared.state.lock();
        if state.is_idle() && state.applied != state.durable {
            self.freeze(&mut state);
        }
    }

    fn freeze(&self, state: &mut State) {
        assert!(self.batch.is_none(), "a layer is frozen while a batch is written to it");
        self.unfrozen_bytes.set(0);
        self.shared.freeze(state, self.sidecar.clone());
    }

    /// Puts other rows in the place of all rows, when the batch ends: `write` writes them.
    pub(crate) fn replace<E: From<StoreError>>(
        &mut self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), E>,
    ) -> Result<(), E> {
        (self.batch, self.replacing) = (None, None);
        let mut state = self.shared.state.lock();
        self.shared.wait_until_settled(&mut state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        drop(state);
        let database = self.database.as_ref().expect("a store that is not closed");
        let store = database.begin_write().map_err(StoreError::from)?;
        write(&store)?;
        self.replacing = Some(store);
        Ok(())
    }

    fn replaced(&mut self, store: WriteTransaction, position: LogPosition) -> Result<(), StoreError> {
        base::write_held(&store, position, &self.sidecar)?;
        base::commit(store)?;
        let database = self.database.as_ref().expect("a store that is not closed");
        let basis = Basis::of(Base::of(database)?);
        self.unfrozen_bytes.set(0);
        let mut state = self.shared.state.lock();
        state.basis = Arc::new(basis);
        state.ended += 1;
        (state.applied, state.durable) = (position, position);
        drop(state);
        self.shared.news.notify_all();
        Ok(())
    }

    /// Waits until all that ended is on the disk.
    fn settle(&self) {
        let mut state = self.shared.state.lock();
        self.shared.wait_until_settled(&mut state);
        if state.is_idle() && state.applied != state.durable {
            self.freeze(&mut state);
            self.shared.wait_until_settled(&mut state);
        }
    }
}

impl Drop for Store {
    /// A batch that has not ended is as if it had never been.
    fn drop(&mut self) {
        (self.batch, self.replacing) = (None, None);
        self.settle();
        self.shared.state.lock().is_ending = true;
        self.shared.work.notify_all();
        if self.settler.take().is_some_and(|settler| settler.join().is_err()) {
            log::error!("the event store's settler panicked");
        }
        let database = self.database.take().and_then(Arc::into_inner);
        if let Some(Err(error)) = database.map(Database::close) {
            log::error!("the event store was not closed cleanly: {error}; what is missing comes again");
        }
        self.shared.state.lock().is_closed = true;
        self.shared.news.notify_all();
    }
}

/// What the writer, the settler and the readers share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// A batch has ended, or the store is closed.
    news: Condvar,
    /// There is a job for the settler, or an end.
    work: Condvar,
    /// The settler is done with a job.
    done: Condvar,
    /// The file that says that the database must be looked through; none where nothing outlives the process.
    suspect: Option<PathBuf>,
}

struct State {
    basis: Arc<Basis>,
    /// The last batch that ended, and where.
    ended: u64,
    applied: LogPosition,
    /// What is on the disk.
    durable: LogPosition,
    job: Option<Job>,
    is_settling: bool,
    /// Why nothing is settled any more.
    failure: Option<StoreError>,
    is_ending: bool,
    is_closed: bool,
}

impl State {
    /// Whether the settler has nothing to do, and would do something.
    fn is_idle(&self) -> bool {
        self.job.is_none() && !self.is_settling && self.failure.is_none()
    }
}

/// What there is to know without reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The log index of the last batch that was applied.
    pub applied: u64,
    /// The machine is gone: nothing comes any more.
    pub closed: bool,
}

impl Shared {
    fn new(basis: Basis, held: LogPosition, suspect: Option<PathBuf>) -> Self {
        let state = State {
            basis: Arc::new(basis),
            ended: 0,
            applied: held,
            durable: held,
            job: None,
            is_settling: false,
            failure: None,
            is_ending: false,
            is_closed: false,
        };
        let (news, work, done) = Default::default();
        Self { state: Mutex::new(state), news, work, done, suspect }
    }

    /// The rows as the last batch left them, and where that ended.
    pub(crate) fn rows(&self) -> (Rows, LogPosition) {
        let state = self.state.lock();
        (Rows { basis: Arc::clone(&state.basis), batch: state.ended }, state.applied)
    }

    /// Up to where the rows are on the disk.
    pub(crate) fn durable(&self) -> LogPosition {
        self.state.lock().durable
    }

    pub(crate) fn news(&self) -> News {
        self.state.lock().news()
    }

    /// Waits until something beyond log index `index` is applied, or the store is closed; at most so long.
    pub(crate) fn wait_beyond(&self, index: u64, within: Duration) -> News {
        let mut state = self.state.lock();
        let nothing_new = |state: &mut State| state.applied.index.0 <= index && !state.is_closed;
        self.news.wait_while_for(&mut state, nothing_new, within);
        state.news()
    }

    /// As [`Shared::wait_beyond`], until `deadline` or until `is_over`: whoever makes it so calls [`Shared::wake`].
    pub(crate) fn wait_beyond_until(
        &self,
        index: u64,
        deadline: Instant,
        is_over: impl Fn() -> bool,
    ) -> News {
        let mut state = self.state.lock();
        let goes_on = |state: &mut State| state.applied.index.0 <= index && !state.is_closed && !is_over();
        self.news.wait_while_until(&mut state, goes_on, deadline);
        state.news()
    }

    /// Those who wait look again whether it is over.
    pub(crate) fn wake(&self) {
        // Who has just looked holds this until it waits.
        drop(self.state.lock());
        self.news.notify_all();
    }

    fn freeze(&self, state: &mut State, sidecar: Vec<u8>) {
        let frozen = state.basis.frozen();
        let layer = Arc::clone(&state.basis.live);
        state.job = Some(Job { layer, batch: state.ended, position: state.applied, sidecar });
        state.basis = Arc::new(frozen);
        self.work.notify_all();
    }

    fn wait_until_settled(&self, state: &mut MutexGuard<'_, State>) {
        self.done.wait_while(state, |state| !state.is_idle() && state.failure.is_none());
    }

    /// The settler's next job; none if there will be none.
    pub(super) fn next_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        self.work.wait_while(&mut state, |state| state.job.is_none() && !state.is_ending);
        let job = state.job.take();
        state.is_settling = job.is_some();
        job
    }

    /// A job is done, and the rows up to `through` are in the base; or it failed.
    pub(super) fn settled(&self, base: Result<Base, StoreError>, through: LogPosition) {
        let mut state = self.state.lock();
        state.is_settling = false;
        match base {
            Ok(base) => {
                state.basis = Arc::new(state.basis.settled(base));
                state.durable = through;
            }
            Err(failure) => state.failure = Some(failure),
        }
        self.done.notify_all();
    }

    /// An error as ours. Damage is remembered for the next start.
    pub(crate) fn noted<T, E: Into<StoreError>>(&self, result: Result<T, E>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let error = error.into();
            if matches!(error, StoreError::Damaged { .. }) {
                self.raise_suspicion(&error);
            }
            error
        })
    }

    fn raise_suspicion(&self, why: &dyn fmt::Display) {
        log::error!("event store: {why}; it is looked through at the next start");
        let Some(path) = &self.suspect else { return };
        let written = File::create(path).and_then(|file| file.sync_all());
        if let Err(error) = written {
            log::error!("{}: {error}; let the next start look through the store", path.display());
        }
    }
}

impl State {
    fn news(&self) -> News {
        News { applied: self.applied.index.0, closed: self.is_closed }
    }
}

/// Damage shows as a panic within redb, too. Held while it works, this sees one pass: one that began meanwhile.
pub(crate) struct Watch<'a> {
    shared: &'a Shared,
    /// Somebody reads while a panic of his own unwinds.
    was_panicking: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn over(shared: &'a Shared) -> Self {
        Self { shared, was_panicking: thread::panicking() }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.was_panicking {
            self.shared.raise_suspicion(&"it panicked");
        }
    }
}
