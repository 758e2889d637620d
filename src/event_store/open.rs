//! Opening a store: whose it is, whether it is whole, and what becomes of one that is not.
//!
//! ```text
//! events.redb            the database
//! events.redb.new        one that is being made; it gets its name when it is whole
//! events.redb.damaged    one that was set aside; only the last
//! suspect                empty; there if damage was met: the next start looks through the whole database
//! ```
//!
//! redb verifies the checksum of a page only where it must, so damage may be found at any time: by an error, a row that is
//! none, or a panic within it.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError};

use super::agreement;
use super::error::{OpenError, StoreError};
use super::rows::{self, Look};
use super::tables::{FORMAT, Table};
use crate::machine::Held;

/// Where the store is, and what it may take up.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// The store's own directory. Not the node's: that takes no foreign files.
    pub dir: PathBuf,
    /// How much memory the database uses for its pages, in bytes.
    pub cache_bytes: usize,
    /// How many bytes of rows are collected before they are brought to the disk. At most four times as much is in memory,
    /// and twice as much is applied again after a crash.
    pub layer_bytes: u64,
    /// Whether to look through the whole store when it is opened, also if nothing is suspected.
    pub verify: bool,
}

impl MachineOptions {
    /// A store in `dir`, with 64 MiB of memory for pages, and 32 MiB of rows brought to the disk at a time.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), cache_bytes: 64 << 20, layer_bytes: 32 << 20, verify: false }
    }
}

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
    let is_suspect = suspect.try_exists().map_err(io)?;
    let is_verified = options.verify || is_suspect;
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder.set_check_integrity_on_open(is_verified);
    let path = dir.join(DATABASE);
    if !path.try_exists().map_err(io)? {
        make(&builder, dir, &path)?;
    }
    let (database, held) = match begin(&builder, &path, is_verified) {
        Err(Refusal::Damaged(reason)) => {
            set_aside(dir, &path, &reason).map_err(io)?;
            make(&builder, dir, &path)?;
            begin(&builder, &path, false).map_err(|refusal| refusal.named(dir))?
        }
        opened => opened.map_err(|refusal| refusal.named(dir))?,
    };
    if is_suspect {
        fs::remove_file(&suspect).map_err(io)?;
    }
    Ok(Opened { database, held, suspect })
}

/// Makes a blank database at `path`: it is there as a whole, or not at all.
fn make(builder: &Builder, dir: &Path, path: &Path) -> Result<(), OpenError> {
    let io = |error: std::io::Error| OpenError::Io { dir: dir.to_owned(), reason: error.to_string() };
    let new = dir.join(NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    drop(begin(builder, &new, false).map_err(|refusal| refusal.named(dir))?);
    fs::rename(&new, path).and_then(|()| File::open(dir)?.sync_all()).map_err(io)
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
        let held = rows::begin(&database)?.map_err(Refusal::Newer)?;
        if is_verified {
            look_through(&database)?;
        }
        Ok((database, held))
    }));
    found.unwrap_or_else(|_| Err(Refusal::Damaged("redb panicked over it".to_owned())))
}

/// redb has verified the checksums of all pages; what stands on them are rows that agree, or they are not.
fn look_through(database: &Database) -> Result<(), StoreError> {
    let rows = Look::at(database)?;
    for table in Table::ALL {
        for row in rows.each(table)? {
            let (key, value) = row?;
            table.judge(&key, &value)?;
        }
    }
    agreement::judge(&rows)
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
const NEW: &str = "events.redb.new";
const DAMAGED: &str = "events.redb.damaged";
const SUSPECT: &str = "suspect";
