//! What stands in the snapshots of a directory, every checksum verified.

use std::fmt;
use std::io;

use super::Stage;
use super::name::SnapshotName;
use super::shared::Snapshots;
use super::source::Source;
use super::whole::Whole;
use crate::storage::{SnapshotSource, StorageError};
use crate::types::{GroupId, LogIndex, LogPosition, SnapshotId};

/// One snapshot.
#[derive(Debug)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Of which group.
    pub group: GroupId,
    /// Which one.
    pub id: SnapshotId,
    /// The index of the last entry that it covers, by its name.
    pub index: LogIndex,
    /// What stands in it.
    pub state: SnapshotState,
}

/// What stands in a snapshot's file.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotState {
    /// What was written: every checksum is right.
    Whole {
        /// The last entry that it covers.
        position: LogPosition,
        /// How long the file is.
        bytes: u64,
    },
    /// It is not complete: being received or written.
    Unfinished,
    /// Something else than was written.
    Damaged(StorageError),
}

/// Reads all of the snapshots `names`.
pub(in crate::storage::disk) fn report(snapshots: &Snapshots, names: &[SnapshotName]) -> Vec<SnapshotReport> {
    let report = |name: &SnapshotName| {
        let SnapshotName { group, index, id, stage } = *name;
        let state = match stage {
            Stage::Whole => read(snapshots, *name).unwrap_or_else(SnapshotState::Damaged),
            Stage::Receiving | Stage::Writing => SnapshotState::Unfinished,
        };
        SnapshotReport { group, id, index, state }
    };
    names.iter().map(report).collect()
}

fn read(snapshots: &Snapshots, name: SnapshotName) -> Result<SnapshotState, StorageError> {
    let whole = Whole::open(snapshots, name)?;
    let (path, position, bytes) = (whole.path.clone(), whole.head.position, whole.layout.bytes());
    let mut source = Source::new(whole);
    match io::copy(&mut source, &mut io::sink()) {
        Ok(_) => Ok(SnapshotState::Whole { position, bytes }),
        Err(error) => Err(source.error().unwrap_or_else(|| StorageError::io("read", &path)(error))),
    }
}

impl fmt::Display for SnapshotReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, id, index, state } = self;
        write!(f, "{id} of group {group} ")?;
        match state {
            SnapshotState::Whole { position, bytes } => write!(f, "through {position}: whole, {bytes} bytes"),
            SnapshotState::Unfinished => write!(f, "through entry {index}: not complete"),
            SnapshotState::Damaged(error) => write!(f, "through entry {index}: {error}"),
        }
    }
}
