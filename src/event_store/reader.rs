//! The part of the machine that other threads hold: pictures of the last batch, and the news that there is another one.
//!
//! The machine alone owns the database. When it goes, the database is closed under whoever still holds a picture: what they
//! read then is [`StoreError::Closed`].

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use redb::{Database, ReadableDatabase, WriteTransaction};

use super::error::StoreError;
use super::view::View;
use crate::machine::DecodeError;

/// Reads the store of this node, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// What there is to know without reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The log index of the last batch that was applied.
    pub applied: u64,
    /// The machine is gone: nothing comes any more.
    pub closed: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The store as the last batch left it on this node: it may be behind others.
    pub fn view(&self) -> Result<View, StoreError> {
        Shared::view(&self.shared)
    }

    /// What there is to know now.
    pub fn news(&self) -> News {
        *self.shared.news.lock()
    }

    /// Waits until something beyond log index `index` is applied, or the machine is gone; at most so long.
    pub fn wait_beyond(&self, index: u64, within: Duration) -> News {
        let mut news = self.shared.news.lock();
        let nothing_new = |news: &mut News| news.applied <= index && !news.closed;
        self.shared.changed.wait_while_for(&mut news, nothing_new, within);
        *news
    }

    /// As [`Reader::wait_beyond`], until `deadline` or until `is_over`: whoever makes it so calls [`Reader::wake`].
    pub(super) fn wait_beyond_until(
        &self,
        index: u64,
        deadline: Instant,
        is_over: impl Fn() -> bool,
    ) -> News {
        let mut news = self.shared.news.lock();
        let goes_on = |news: &mut News| news.applied <= index && !news.closed && !is_over();
        self.shared.changed.wait_while_until(&mut news, goes_on, deadline);
        *news
    }

    /// Those who wait look again whether it is over.
    pub(super) fn wake(&self) {
        // Who has just looked holds this until it waits.
        drop(self.shared.news.lock());
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("news", &self.news()).finish_non_exhaustive()
    }
}

/// What the machine and its readers share.
pub(super) struct Shared {
    database: RwLock<Option<Database>>,
    news: Mutex<News>,
    changed: Condvar,
    /// The file that says that the database must be looked through; none where nothing outlives the process.
    suspect: Option<PathBuf>,
}

impl Shared {
    pub(super) fn new(database: Database, applied: u64, suspect: Option<PathBuf>) -> Arc<Self> {
        let news = Mutex::new(News { applied, closed: false });
        Arc::new(Self { database: RwLock::new(Some(database)), news, changed: Condvar::new(), suspect })
    }

    pub(super) fn view(self: &Arc<Self>) -> Result<View, StoreError> {
        let _watch = Watch(self);
        let database = self.database.read();
        let transaction = database.as_ref().ok_or(StoreError::Closed)?.begin_read();
        Ok(View::new(Arc::clone(self), self.noted(transaction)?))
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let database = self.database.read();
        self.noted(database.as_ref().ok_or(StoreError::Closed)?.begin_write())
    }

    /// Everything through `applied` is committed.
    pub(super) fn announce(&self, applied: u64) {
        self.news.lock().applied = applied;
        self.changed.notify_all();
    }

    /// Takes the database from all who read it, and makes it durable.
    pub(super) fn close(&self) {
        let database = self.database.write().take();
        if let Some(Err(error)) = database.map(Database::close) {
            log::error!(
                "the event store was not closed cleanly: {error}; what is missing comes again from the log"
            );
        }
        self.news.lock().closed = true;
        self.changed.notify_all();
    }

    /// An error of redb as ours. Damage is remembered for the next start.
    pub(super) fn noted<T, E: Into<StoreError>>(&self, result: Result<T, E>) -> Result<T, StoreError> {
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

/// Damage shows as a panic within redb, too. Held while it works, this sees one pass.
pub(super) struct Watch<'a>(pub(super) &'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise_suspicion(&"it panicked");
        }
    }
}

/// Bytes that are missing, or are no database, are damage, and no failure of the disk.
impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        let reason = error.to_string();
        match error {
            redb::Error::DatabaseClosed => Self::Closed,
            redb::Error::Io(error) if !is_damage(error.kind()) => Self::Disk { reason },
            redb::Error::PreviousIo | redb::Error::Backend(_) => Self::Disk { reason },
            _ => Self::Damaged { reason },
        }
    }
}

pub(super) fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

macro_rules! errors_of_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

errors_of_redb!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);

impl From<DecodeError> for StoreError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged { reason: error.reason }
    }
}
