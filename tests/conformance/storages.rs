//! Storages that are wrong on purpose, each in one way, over the log in memory.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore,
    Storage, StorageError, Upkeep,
};
use quorate::testing::storage::{Stand, verify};
use quorate::types::{Entry, EntryRun, GroupId, LogIndex, LogPosition, Membership, SnapshotId, SnapshotMeta};

use crate::require_caught;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    ForgetsTheVote,
    KeepsWhatWasReplaced,
    AnswersBeforeItIsDurable,
    ResurrectsWhatWasReleased,
    KeepsTheLogOverARestart,
    MixesGroups,
    ReadsWithAHole,
    GivesNothingThatDoesNotFit,
    ListsWhatIsNotFinished,
    GivesHalfAPiece,
    PrunesWhatTheLogReaches,
    TakesWhatIsDamaged,
    ForgetsWhoItReceivesFrom,
}

use Wrong::*;

#[test]
fn each_wrong_storage_is_caught_by_the_clause_it_breaks() {
    for (wrong, clause) in [
        (ForgetsTheVote, "Term and vote are those that were written last"),
        (KeepsWhatWasReplaced, "Entries written at or after an index that was written before"),
        (AnswersBeforeItIsDurable, "When power fails every write that returned `Ok` is there"),
        (ResurrectsWhatWasReleased, "Released entries are gone, also after a restart"),
        (KeepsTheLogOverARestart, "A log that began anew holds nothing"),
        (MixesGroups, "Several groups share one storage"),
        (ReadsWithAHole, "What a reader gives follows without a gap"),
        (GivesNothingThatDoesNotFit, "A reader gives as many entries as fit"),
        (ListsWhatIsNotFinished, "A snapshot that is not finished was never there"),
        (GivesHalfAPiece, "Pieces of a snapshot's file"),
        (PrunesWhatTheLogReaches, "Pruning removes what is older"),
        (TakesWhatIsDamaged, "No byte changes on the way"),
        (ForgetsWhoItReceivesFrom, "A file that is not the snapshot announced"),
    ] {
        let make = || WrongStand { wrong, disk: MemoryDisk::new(), pending: Pending::default() };
        require_caught(verify(make), clause);
    }
}

#[test]
fn the_wrapper_itself_breaks_nothing() {
    struct Right(MemoryDisk);
    impl Stand for Right {
        fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
            Ok(Box::new(Over { inner: MemoryLog::open(&self.0)?, shared: Shared::default(), wrong: None }))
        }
    }
    assert_eq!(verify(|| Right(MemoryDisk::new())), Ok(()));
}

/// What was answered and not written.
type Pending = Arc<Mutex<Vec<GroupWrite>>>;

struct WrongStand {
    wrong: Wrong,
    disk: MemoryDisk,
    pending: Pending,
}

impl Stand for WrongStand {
    fn open(&mut self) -> Result<Box<dyn Storage>, StorageError> {
        let shared = Shared { pending: Arc::clone(&self.pending), released: Arc::default() };
        Ok(Box::new(Over { inner: MemoryLog::open(&self.disk)?, shared, wrong: Some(self.wrong) }))
    }

    fn crash(&mut self, storage: Box<dyn Storage>) {
        self.pending.lock().clear();
        self.disk.break_down();
        drop(storage);
    }
}

#[derive(Clone, Default)]
struct Shared {
    pending: Pending,
    released: Arc<Mutex<BTreeMap<GroupId, LogIndex>>>,
}

/// A log in memory with something wrong on top.
struct Over {
    inner: MemoryLog,
    shared: Shared,
    wrong: Option<Wrong>,
}

impl Over {
    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let pending = take(&mut *self.shared.pending.lock());
        if pending.is_empty() { Ok(()) } else { self.inner.write(&pending) }
    }

    fn twisted(&self, write: &GroupWrite) -> GroupWrite {
        let mut write = write.clone();
        if self.is(ForgetsTheVote)
            && let Some(hard_state) = &mut write.hard_state
        {
            hard_state.voted_for = None;
        }
        if self.is(KeepsTheLogOverARestart) && write.entries.is_empty() {
            write.restart = write.restart.filter(|(position, _)| position.index.0 > 40);
        }
        if self.is(MixesGroups) && write.hard_state.is_some() {
            write.group = GroupId::MAIN;
        }
        write
    }

    /// The entries of `write`'s group that it would replace, behind its own last one.
    fn replaced(&self, write: &GroupWrite) -> Option<EntryRun> {
        let last = write.entries.last()?.last().index;
        let behind = self.inner.reader().read(write.group, last.next(), LogIndex(u64::MAX), u64::MAX).ok()?;
        EntryRun::new(behind.into())
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.flush();
        }
    }
}

impl Storage for Over {
    fn identity(&self) -> Option<Identity> {
        self.inner.identity()
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        self.inner.found(identity, groups)
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        self.inner.recovered()
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        self.flush()?;
        let mut twisted: Vec<_> = writes.iter().map(|write| self.twisted(write)).collect();
        if self.is(KeepsWhatWasReplaced) {
            for write in &mut twisted {
                write.entries.extend(self.replaced(write));
            }
        }
        if self.is(AnswersBeforeItIsDurable) {
            *self.shared.pending.lock() = twisted;
            return Ok(());
        }
        self.inner.write(&twisted)
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.inner.settle()
    }

    fn entry_bytes_max(&self) -> u32 {
        self.inner.entry_bytes_max()
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        if self.is(ResurrectsWhatWasReleased) {
            let mut released = self.shared.released.lock();
            let until = released.entry(group).or_default();
            *until = through.index.max(*until);
            return Ok(());
        }
        self.inner.release(group, through, membership)
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(OverReader { inner: self.inner.reader(), shared: self.shared.clone(), wrong: self.wrong })
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        Box::new(OverSnapshots { inner: self.inner.snapshots(), begun: Vec::new(), wrong: self.wrong })
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        self.inner.upkeep()
    }
}

struct OverReader {
    inner: Box<dyn LogReader>,
    shared: Shared,
    wrong: Option<Wrong>,
}

impl LogReader for OverReader {
    fn read(
        &mut self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        if self.shared.released.lock().get(&group).is_some_and(|through| first <= *through) {
            return Err(StorageError::NoSuchEntry { index: first });
        }
        let mut read = self.inner.read(group, first, last, bytes_max)?;
        if self.wrong == Some(ReadsWithAHole) && read.len() > 3 {
            read.remove(2);
        }
        if self.wrong == Some(GivesNothingThatDoesNotFit) {
            read.retain(|entry| u64::from(entry.payload.bytes()) <= bytes_max);
        }
        Ok(read)
    }
}

struct OverSnapshots {
    inner: Box<dyn SnapshotStore>,
    begun: Vec<SnapshotMeta>,
    wrong: Option<Wrong>,
}

impl SnapshotStore for OverSnapshots {
    fn list(&mut self, group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        let listed = self.inner.list(group)?;
        Ok(self.begun.iter().cloned().chain(listed).collect())
    }

    fn create(
        &mut self,
        group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError> {
        if self.wrong == Some(ListsWhatIsNotFinished) {
            let (id, membership) = (SnapshotId(position.index.0), Arc::clone(membership));
            self.begun.push(SnapshotMeta { id, position, membership, bytes: 0 });
        }
        self.inner.create(group, position, membership)
    }

    fn open(&mut self, group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError> {
        self.inner.open(group, id)
    }

    fn piece(
        &mut self,
        group: GroupId,
        id: SnapshotId,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        let bytes_max = if self.wrong == Some(GivesHalfAPiece) { bytes_max.div_ceil(2) } else { bytes_max };
        self.inner.piece(group, id, offset, bytes_max)
    }

    fn receive(
        &mut self,
        group: GroupId,
        snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError> {
        let inner = self.inner.receive(group, snapshot);
        match self.wrong {
            Some(wrong @ (TakesWhatIsDamaged | ForgetsWhoItReceivesFrom)) => {
                let (meta, offset) = (snapshot.clone(), inner.as_ref().map_or(0, |inner| inner.offset()));
                Ok(Box::new(Gullible { inner: inner.ok(), wrong, meta, offset }))
            }
            _ => inner,
        }
    }

    fn prune(&mut self, group: GroupId, log_starts_after: LogIndex) -> Result<(), StorageError> {
        let all = self.wrong == Some(PrunesWhatTheLogReaches);
        self.inner.prune(group, if all { LogIndex(u64::MAX) } else { log_starts_after })
    }
}

/// Believes whatever comes: damaged bytes, or what was announced.
struct Gullible {
    inner: Option<Box<dyn SnapshotIntake>>,
    wrong: Wrong,
    meta: SnapshotMeta,
    offset: u64,
}

impl SnapshotIntake for Gullible {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.offset += bytes.len() as u64;
        let written = self.inner.as_mut().map_or(Ok(()), |inner| inner.write(bytes));
        if self.wrong == ForgetsWhoItReceivesFrom && self.meta.bytes == self.offset {
            written?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        let finished = self.inner.map(SnapshotIntake::finish);
        finished.and_then(Result::ok).map_or(Ok(self.meta), Ok)
    }
}
