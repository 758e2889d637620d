//! Opening a store: whose it is, whether it is whole, and what becomes of one that is not.
//!
//! ```text
//! events.redb            the database
//! events.redb.damaged    one that was set aside; only the last
//! suspect                empty; there if damage was met: the next start looks through the whole database
//! ```
//!
//! redb verifies the checksum of a page only where it must, so damage may be found at any time: by an error, a row that is
//! none, or a panic within it.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase};

use super::cursor::Reader;
use super::error::{OpenError, StoreError};
use super::machine::{MachineOptions, commit, write_held};
use super::tables::{ALL, FORMAT, META};
use super::view::read_held;
use crate::machine::Held;
use crate::types::LogPosition;

/// A store that is whole, as far as was looked.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) held: Held,
    /// Where damage is noted.
    pub(super) suspect: PathBuf,
}

/// Opens the store in the options' directory.
pub(super) fn open(options: &MachineOptions) -> Result<Opened, OpenError> {
    let dir = &options.dir;
    let io = |error: std::io::Error| OpenError::Io { dir: dir.clone(), reason: error.to_string() };
    fs::create_dir_all(dir).map_err(io)?;
    let suspect = dir.join(SUSPECT);
    let is_verified = options.verify || suspect.try_exists().map_err(io)?;
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder.set_check_integrity_on_open(is_verified);
    let path = dir.join(DATABASE);
    let is_new = !path.try_exists().map_err(io)?;
    let (database, held) = match begin(&builder, &path, is_verified) {
        Err(Refusal::Damaged(reason)) => {
            set_aside(dir, &path, &reason).map_err(io)?;
            begin(&builder, &path, false).map_err(|refusal| refusal.named(dir))?
        }
        opened => opened.map_err(|refusal| refusal.named(dir))?,
    };
    if is_verified && !options.verify {
        fs::remove_file(&suspect).map_err(io)?;
    }
    if is_new {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    }
    Ok(Opened { database, held, suspect })
}

/// A damaged database is kept for whoever wants to look into it, and out of the way.
fn set_aside(dir: &Path, path: &Path, reason: &str) -> std::io::Result<()> {
    log::error!("{}: {reason}; it is set aside, and built anew from the log or a snapshot", path.display());
    fs::rename(path, dir.join(DAMAGED))?;
    File::open(dir)?.sync_all()
}

/// Opens a database or begins one, and finds out what it holds.
fn begin(builder: &Builder, path: &Path, is_verified: bool) -> Result<(Database, Held), Refusal> {
    let found = catch_unwind(AssertUnwindSafe(|| {
        let database = builder.create(path)?;
        let held = prepare(&database)?;
        if is_verified {
            look_through(&database)?;
        }
        Ok((database, held))
    }));
    found.unwrap_or_else(|_| Err(Refusal::Damaged("redb panicked over it".to_owned())))
}

/// Makes a blank database ours; judges what is not blank.
pub(super) fn prepare(database: &Database) -> Result<Held, Refusal> {
    let store = database.begin_read().map_err(StoreError::from)?;
    if store.list_tables().map_err(StoreError::from)?.next().is_some() {
        return judge(&store);
    }
    drop(store);
    let store = database.begin_write().map_err(StoreError::from)?;
    store
        .open_table(META)
        .map_err(StoreError::from)?
        .insert("format", FORMAT.to_be_bytes().as_slice())
        .map_err(StoreError::from)?;
    for (table, _) in ALL {
        store.open_table(table).map_err(StoreError::from)?;
    }
    write_held(&store, LogPosition::ZERO, &[])?;
    commit(store, true)?;
    Ok(Held { position: LogPosition::ZERO, sidecar: Vec::new() })
}

fn judge(store: &ReadTransaction) -> Result<Held, Refusal> {
    let meta = store.open_table(META).map_err(StoreError::from)?;
    let format = meta.get("format").map_err(StoreError::from)?;
    let format = format.ok_or_else(|| Refusal::Damaged("it has no format".to_owned()))?;
    let format = Reader::new(Bytes::copy_from_slice(format.value())).u32().map_err(StoreError::from)?;
    if format > FORMAT {
        return Err(Refusal::Newer(format));
    }
    for (table, _) in ALL {
        store.open_table(table).map_err(StoreError::from)?;
    }
    let (position, sidecar) = read_held(store)?;
    Ok(Held { position, sidecar })
}

/// redb has verified the checksums of all pages; what stands on them are rows, or they are not.
fn look_through(database: &Database) -> Result<(), StoreError> {
    let store = database.begin_read()?;
    for (table, judge) in ALL {
        let rows = store.open_table(table)?;
        for row in rows.range::<&[u8]>(..)? {
            let (key, value) = row?;
            judge(key.value(), value.value())?;
        }
    }
    Ok(())
}

/// Why a database was not opened.
#[derive(Debug)]
pub(super) enum Refusal {
    Damaged(String),
    Newer(u32),
    InUse,
    Io(String),
}

impl Refusal {
    fn named(self, dir: &Path) -> OpenError {
        let dir = dir.to_owned();
        match self {
            Self::InUse => OpenError::InUse { dir },
            Self::Newer(found) => OpenError::Newer { dir, found, known: FORMAT },
            Self::Io(reason) | Self::Damaged(reason) => OpenError::Io { dir, reason },
        }
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::Storage(error) => StoreError::from(error).into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Disk { reason } => Self::Io(reason),
            other => Self::Damaged(other.to_string()),
        }
    }
}

const DATABASE: &str = "events.redb";
const DAMAGED: &str = "events.redb.damaged";
const SUSPECT: &str = "suspect";
