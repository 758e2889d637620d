//! Why a storage refuses, and what the operator can do.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::types::{ClusterId, LogIndex, NodeId, SnapshotId};

/// Why a storage could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused. After a failed write or sync nothing that was not durable before is believed.
    #[error("cannot {operation} {}: {source}; {}", path.display(), advice(source.kind()))]
    Io {
        /// What was tried, as a verb: "sync", "create".
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No space is left for what must be written. Nothing was written; it can be tried again when there is room.
    #[error("the disk is full: cannot {operation} {}; free some space", path.display())]
    DiskFull {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The process or the machine has no file descriptor left. Nothing was written; it can be tried again when some are
    /// closed.
    #[error("no file descriptor is left: {operation} {}; close some, or raise the limit", path.display())]
    NoDescriptor {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// What was durable once cannot be read back. The node would forget a promise, so it does not start.
    #[error(
        "{} is corrupt at byte {offset} (about entry {index}): {reason}. Restore this data directory from its disk, \
         or remove the node from the cluster and add it again with an empty directory",
        segment.display()
    )]
    Corrupt {
        /// The damaged file.
        segment: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The last entry known to be good before it.
        index: LogIndex,
        /// What is wrong there.
        reason: String,
    },
    /// A snapshot is not what it was when it was written, or not the one that was announced.
    #[error("the snapshot {} is damaged at byte {offset}: {reason}", path.display())]
    BadSnapshot {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Asked for a snapshot that is not kept (any more).
    #[error("there is no snapshot {id} of this group")]
    NoSuchSnapshot {
        /// The snapshot asked for.
        id: SnapshotId,
    },
    /// The limits that were configured contradict each other.
    #[error("the log cannot be configured so: {reason}")]
    Limits {
        /// Which limit, and what it must be.
        reason: String,
    },
    /// Another node has the directory open, in this process or another one.
    #[error(
        "{} is in use by another node or process: a data directory serves one node at a time; stop the other one, or \
         choose another directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} holds {found:?}, which quorate did not write: give the node an empty directory", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first file that does not belong.
        found: String,
    },
    /// The directory belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}: check the node's id and directory", path.display())]
    WrongNode {
        /// The directory.
        path: PathBuf,
        /// Who opens it.
        expected: NodeId,
        /// Whose it is.
        found: NodeId,
    },
    /// The directory belongs to another cluster.
    #[error(
        "{} belongs to cluster {found}, not to {expected}: the founding list and the cluster name must be those the \
         directory was made with",
        path.display()
    )]
    WrongCluster {
        /// The directory.
        path: PathBuf,
        /// The cluster of the given founding list.
        expected: ClusterId,
        /// The cluster of the directory.
        found: ClusterId,
    },
    /// A newer version of quorate wrote the directory.
    #[error("{} has format {found}, this version reads up to {known}: use a newer version", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// An earlier error was final; nothing is tried after it.
    #[error("the log failed before and takes nothing more: restart the node")]
    Poisoned,
    /// Asked for entries that the log does not hold.
    #[error("the log holds no entry {index} of this group")]
    NoSuchEntry {
        /// The first one missing.
        index: LogIndex,
    },
}

impl StorageError {
    /// Whether the same call may succeed later, nothing having been written: only where something has run out.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::NoDescriptor { .. })
    }

    /// For `map_err`: `operation` on `path` failed.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// As [`StorageError::io`], where a full disk, or the want of a file descriptor, leaves everything as it was and may be tried again.
    pub(crate) fn io_or_full(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { operation, path: path.to_owned() }
            }
            _ if matches!(Errno::from_io_error(&source), Some(Errno::MFILE | Errno::NFILE)) => {
                Self::NoDescriptor { operation, path: path.to_owned() }
            }
            _ => Self::Io { operation, path: path.to_owned(), source },
        }
    }
}

/// What the operator can do about an error of the operating system.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "this user must be able to read and write there"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "check the path of the data directory",
        _ => "check the disk and its file system",
    }
}
