//! The snapshot saver: writes pictures of the state machine out while that goes on, and removes what is too old.
//!
//! A snapshot that fails harms nobody: the log stays as long as it is, nothing of the file is left, and another is taken
//! later. So nothing here stops the node.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::GROUP;
use super::progress::Progress;
use crate::replica::{SaveJob, Saved};
use crate::storage::{SnapshotSink, SnapshotStore};
use crate::ticket::panic_message;
use crate::types::{LogPosition, Membership, SnapshotMeta, SnapshotWriter};

/// Writes the snapshots of one group.
pub(crate) struct SnapshotSaver {
    snapshots: Box<dyn SnapshotStore>,
}

impl SnapshotSaver {
    pub(crate) fn new(snapshots: Box<dyn SnapshotStore>) -> Self {
        Self { snapshots }
    }

    /// Does one job, which may take as long as the state is large. Only a picture is completed.
    pub(crate) fn turn(&mut self, job: SaveJob) -> Option<Saved> {
        match job {
            SaveJob::Picture { position, membership, writer } => {
                let outcome = self.save(position, &membership, writer);
                if let Ok(snapshot) = &outcome {
                    log::info!("snapshot of entry {position} is written, {} bytes", snapshot.bytes);
                }
                Some(Saved { outcome })
            }
            SaveJob::Prune { log_starts_after } => {
                if let Err(error) = self.snapshots.prune(GROUP, log_starts_after) {
                    log::warn!("old snapshots are not removed yet: {error}");
                }
                None
            }
        }
    }

    /// Until `finish` returns the store shows nothing of it; dropped before, it leaves nothing.
    fn save(
        &mut self,
        position: LogPosition,
        membership: &Arc<Membership>,
        writer: SnapshotWriter,
    ) -> Result<SnapshotMeta, String> {
        let mut sink =
            self.snapshots.create(GROUP, position, membership).map_err(|error| error.to_string())?;
        let progress = Progress::new(format!("snapshot of entry {position} is being written"), 0);
        let mut out = Counted { sink: &mut *sink, progress, failed: None };
        match catch_unwind(AssertUnwindSafe(|| writer(&mut out))) {
            Ok(written) => written.map_err(|error| error.to_string())?,
            Err(panic) => return Err(format!("the state machine panicked: {}", panic_message(&*panic))),
        }
        if let Some(reason) = out.failed {
            return Err(reason);
        }
        sink.finish().map_err(|error| error.to_string())
    }
}

/// Passes everything on, and counts it.
struct Counted<'a> {
    sink: &'a mut dyn SnapshotSink,
    progress: Progress,
    /// Why a write failed, should the writer pass over it: what it wrote then has a hole.
    failed: Option<String>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.sink.write(bytes).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(error.to_string());
            }
        })?;
        self.progress.add(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
