//! What can go wrong with the store's own disk.

use std::io;
use std::path::PathBuf;

use crate::machine::{DecodeError, MachineError};

/// Why the store could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another node of this one, has it open.
    #[error("{}: the store is in use by another process or node; stop that, or choose another directory", dir.display())]
    InUse {
        /// Where the store is.
        dir: PathBuf,
    },
    /// A later version of quorate wrote it.
    #[error("{}: the store has format {found}, and this version knows {known}", dir.display())]
    Newer {
        /// Where the store is.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one we know.
        known: u32,
    },
    /// The operating system failed.
    #[error("{}: {reason}", dir.display())]
    Io {
        /// Where the store is.
        dir: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// Why the store could not be read, or not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What stands on the disk is not what was written there. The next start looks through the whole store, and builds it
    /// anew from the log or a snapshot if it must.
    #[error("the store is damaged: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// The node has stopped.
    #[error("the store is closed")]
    Closed,
    /// The disk failed.
    #[error("the store's disk failed: {reason}")]
    Disk {
        /// What it said.
        reason: String,
    },
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

fn is_damage(kind: io::ErrorKind) -> bool {
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

impl From<StoreError> for MachineError {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}
