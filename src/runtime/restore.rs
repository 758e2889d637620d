//! The state machine's state at the start: from the newest snapshot that its log reaches, or as it is on its disk.
//!
//! A damaged snapshot is passed over if an older one, or the log from its beginning, leads to the same state. A machine
//! that has taken in half a snapshot is good for nothing but another whole one: where the log alone is the way back, a
//! snapshot is read through before the machine sees it.
//!
//! Only the snapshot that was restored counts as one from then on: the log is dropped behind it, and never behind a damaged
//! newer one. Otherwise the way back that was taken this time would be gone the next.

use std::io;
use std::io::Read;
use std::path::Path;

use super::StartError;
use crate::machine::{Machine, MachineError};
use crate::storage::{Recovered, SnapshotSource, SnapshotStore, StorageError};
use crate::types::{GroupId, LogPosition, SnapshotMeta};

/// How often a long restore says how far it is, in bytes.
const REPORT_EVERY_BYTES: u64 = 256 << 20;

/// Where a replica begins.
pub(crate) struct Beginning {
    /// The snapshot behind which the log may be dropped: the one that was restored, or the newest, if the machine's own
    /// disk made that unnecessary.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// What the state machine holds.
    pub(crate) applied: LogPosition,
    /// Whether the machine keeps its state on its own disk.
    pub(crate) on_disk: bool,
}

/// Brings `machine` to a state behind which the log can be applied, with the snapshots in `store`.
pub(crate) fn restore_from(
    store: &mut dyn SnapshotStore,
    recovered: &Recovered,
    machine: &mut dyn Machine,
) -> Result<Beginning, StartError> {
    let mut snapshots = store.list(GroupId::MAIN)?;
    snapshots.retain(|snapshot| belongs_to(snapshot, recovered));
    let held = machine.applied().map(|held| held.position);
    let on_disk = held.is_some();
    let (snapshot, applied) = match held {
        Some(held) if held.index >= recovered.starts_after.index => {
            (snapshots.into_iter().next(), judge_held(held, recovered)?)
        }
        _ => {
            let restored = restore_newest(store, snapshots, recovered.starts_after, machine)?;
            let applied = restored.as_ref().map_or(LogPosition::ZERO, |restored| restored.position);
            (restored, applied)
        }
    };
    Ok(Beginning { snapshot, applied, on_disk })
}

/// Whether the log continues a snapshot: it begins right behind it, or holds its last entry.
fn belongs_to(snapshot: &SnapshotMeta, recovered: &Recovered) -> bool {
    holds(recovered, snapshot.position)
}

fn holds(recovered: &Recovered, position: LogPosition) -> bool {
    let entry = recovered.entries.first().and_then(|first| {
        let at = position.index.0.checked_sub(first.position.index.0)?;
        recovered.entries.get(usize::try_from(at).ok()?)
    });
    position == recovered.starts_after || entry.is_some_and(|entry| entry.position == position)
}

/// A machine on disk whose state lies within the log goes on from there. One that is ahead of the log is not its machine.
fn judge_held(held: LogPosition, recovered: &Recovered) -> Result<LogPosition, StartError> {
    if holds(recovered, held) {
        return Ok(held);
    }
    let starts_after = recovered.starts_after;
    let last = recovered.entries.last().map_or(starts_after, |entry| entry.position);
    Err(StartError::AppliedOutsideLog { applied: held, starts_after, last })
}

/// Restores the newest that is good; `None` if the log from its beginning takes their place.
fn restore_newest(
    store: &mut dyn SnapshotStore,
    snapshots: Vec<SnapshotMeta>,
    starts_after: LogPosition,
    machine: &mut dyn Machine,
) -> Result<Option<SnapshotMeta>, StartError> {
    let log_is_whole = starts_after == LogPosition::ZERO;
    let mut damage = None;
    for snapshot in snapshots {
        let checked = if log_is_whole { read_through(store, &snapshot) } else { Ok(()) };
        let restored = match checked {
            Ok(()) => restore_one(store, &snapshot, machine),
            Err(error) => Err(StartError::Storage(error)),
        };
        match restored {
            Ok(()) => return Ok(Some(snapshot)),
            Err(StartError::Storage(error)) => {
                log::error!("{error}; an older one, or the log, takes its place if it can");
                damage.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if log_is_whole {
        return Ok(None);
    }
    Err(damage.map_or(StartError::SnapshotMissing { starts_after }, StartError::Storage))
}

fn restore_one(
    store: &mut dyn SnapshotStore,
    snapshot: &SnapshotMeta,
    machine: &mut dyn Machine,
) -> Result<(), StartError> {
    let SnapshotMeta { id, position, bytes, .. } = snapshot;
    log::info!("restoring the snapshot of entry {position}, {bytes} bytes");
    let mut source = store.open(GroupId::MAIN, *id)?;
    let mut reported = Reported { source: &mut *source, read: 0, of: *bytes };
    let refused = |error: MachineError| StartError::Restore { position: *position, reason: error.reason };
    let restored = machine.restore(&mut reported);
    // A machine may swallow the error of a read, or dress it up: the source knows.
    if let Some(damage) = source.error() {
        return Err(damage.into());
    }
    restored.map_err(refused)?;
    machine.end_batch(*position).map_err(refused)?;
    log::info!("the snapshot of entry {position} is restored");
    Ok(())
}

/// Judges the whole content of a snapshot without using it.
fn read_through(store: &mut dyn SnapshotStore, snapshot: &SnapshotMeta) -> Result<(), StorageError> {
    let mut source = store.open(GroupId::MAIN, snapshot.id)?;
    let read = io::copy(&mut source, &mut io::sink());
    match (source.error(), read) {
        (Some(damage), _) => Err(damage),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => {
            let snapshot = format!("snapshot {}", snapshot.id);
            Err(StorageError::io("read", Path::new(&snapshot))(error))
        }
    }
}

/// Says how far a long restore is.
struct Reported<'a> {
    source: &'a mut dyn SnapshotSource,
    read: u64,
    of: u64,
}

impl Read for Reported<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        let before = self.read / REPORT_EVERY_BYTES;
        self.read += read as u64;
        if self.read / REPORT_EVERY_BYTES > before {
            log::info!("{} of {} bytes are restored", self.read, self.of);
        }
        Ok(read)
    }
}
