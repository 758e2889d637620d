//! A store of snapshots in memory that keeps the contract of real ones, and can be broken.
//!
//! A file is a row of blocks, each behind its length and checksum, and ends with an empty one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::storage::{SnapshotIntake, SnapshotSink, SnapshotSource, SnapshotStore, StorageError};
use crate::types::{GroupId, LogIndex, LogPosition, Membership, SnapshotId, SnapshotMeta};

const HEAD_BYTES: usize = 8;
const BLOCK_BYTES: usize = 1000;

/// No two stores ever give the same, as none do that draw theirs at random.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct TestSnapshots(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    files: BTreeMap<SnapshotId, (SnapshotMeta, Vec<u8>)>,
    /// What was received of a snapshot, and is good.
    partial: Option<(SnapshotMeta, Vec<u8>)>,
    /// How many bytes a file may have at most.
    room: Option<usize>,
    /// How many sinks and intakes are open.
    open: usize,
    pruned: Vec<LogIndex>,
    prune_fails: bool,
    /// Where intakes say that a piece best ends, which has the one offset and at most so many bytes.
    piece_end: Option<fn(u64, u64) -> u64>,
}

impl TestSnapshots {
    /// Holds one snapshot with this content.
    pub(crate) fn holding(content: &[u8], position: LogPosition) -> (Self, SnapshotMeta) {
        let mut store = Self::default();
        let mut sink = store.create(GroupId::MAIN, position, &super::membership()).expect("there is room");
        sink.write_all(content).expect("there is room");
        let snapshot = sink.finish().expect("there is room");
        (store, snapshot)
    }

    /// From now on a file has at most so many bytes.
    pub(crate) fn set_room(&self, bytes: Option<usize>) {
        self.0.lock().room = bytes;
    }

    /// Flips a bit of a file.
    pub(crate) fn rot(&self, id: SnapshotId, offset: usize) {
        self.0.lock().files.get_mut(&id).expect("a snapshot that is held").1[offset] ^= 1;
    }

    pub(crate) fn remove(&self, id: SnapshotId) {
        self.0.lock().files.remove(&id);
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, id: SnapshotId) -> Option<Vec<u8>> {
        self.0.lock().files.get(&id).map(|(_, file)| file.clone())
    }

    /// What is there of a snapshot that is not complete.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.0.lock().partial.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// How many files are being written.
    pub(crate) fn open_files(&self) -> usize {
        self.0.lock().open
    }

    pub(crate) fn set_piece_end(&self, piece_end: fn(u64, u64) -> u64) {
        self.0.lock().piece_end = Some(piece_end);
    }

    pub(crate) fn set_prune_fails(&self) {
        self.0.lock().prune_fails = true;
    }

    pub(crate) fn pruned(&self) -> Vec<LogIndex> {
        self.0.lock().pruned.clone()
    }

    fn check_room(&self, bytes: usize) -> Result<(), StorageError> {
        if self.0.lock().room.is_some_and(|room| bytes > room) {
            return Err(StorageError::DiskFull { operation: "write", path: path() });
        }
        Ok(())
    }
}

fn path() -> PathBuf {
    PathBuf::from("(test snapshot)")
}

fn damaged(offset: usize, reason: &str) -> StorageError {
    StorageError::BadSnapshot { path: path(), offset: offset as u64, reason: reason.to_owned() }
}

fn block(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("blocks are short");
    [&length.to_le_bytes()[..], &crc32c::crc32c(payload).to_le_bytes(), payload].concat()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// The payload of the block at the beginning of `bytes`; `None` if more is needed.
fn first_block(bytes: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    if bytes.len() < HEAD_BYTES {
        return Ok(None);
    }
    let length = number(&bytes[..4]) as usize;
    if length > BLOCK_BYTES {
        return Err("no block is so long");
    }
    let Some(payload) = bytes.get(HEAD_BYTES..HEAD_BYTES + length) else { return Ok(None) };
    if crc32c::crc32c(payload) != number(&bytes[4..8]) {
        return Err("the checksum is wrong");
    }
    Ok(Some(payload))
}

impl SnapshotStore for TestSnapshots {
    fn list(&mut self, _group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError> {
        let mut all: Vec<_> = self.0.lock().files.values().map(|(meta, _)| meta.clone()).collect();
        all.sort_by_key(|meta| std::cmp::Reverse(meta.position));
        Ok(all)
    }

    fn create(
        &mut self,
        _group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError> {
        self.check_room(1)?;
        self.0.lock().open += 1;
        let id = SnapshotId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let meta = SnapshotMeta { id, position, membership: Arc::clone(membership), bytes: 0 };
        Ok(Box::new(Sink { store: self.clone(), meta, file: Vec::new() }))
    }

    fn open(&mut self, _group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError> {
        let file = self.file(id).ok_or_else(|| damaged(0, "there is no such file"))?;
        Ok(Box::new(Source { file, at: 0, given: 0, error: None }))
    }

    fn piece(
        &mut self,
        _group: GroupId,
        id: SnapshotId,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.0.lock().files.get(&id).map(|(_, file)| {
            let begin = offset.min(file.len());
            let end = (begin + bytes_max as usize).min(file.len());
            Bytes::copy_from_slice(&file[begin..end])
        }))
    }

    fn receive(
        &mut self,
        _group: GroupId,
        snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError> {
        let mut contents = self.0.lock();
        contents.open += 1;
        let kept = contents.partial.take().filter(|(meta, _)| meta == snapshot);
        let file = kept.map(|(_, bytes)| bytes).unwrap_or_default();
        contents.partial = Some((snapshot.clone(), file.clone()));
        let mut intake = Intake { store: self.clone(), meta: snapshot.clone(), file, checked: 0 };
        drop(contents);
        intake.check().expect("what was kept is good");
        Ok(Box::new(intake))
    }

    fn prune(&mut self, _group: GroupId, log_starts_after: LogIndex) -> Result<(), StorageError> {
        let mut contents = self.0.lock();
        if contents.prune_fails {
            return Err(StorageError::NoDescriptor { operation: "list", path: path() });
        }
        contents.pruned.push(log_starts_after);
        let newest = contents.files.values().map(|(snapshot, _)| snapshot.position).max();
        let is_needed =
            |position: LogPosition| Some(position) == newest || position.index >= log_starts_after;
        contents.files.retain(|_, (snapshot, _)| is_needed(snapshot.position));
        Ok(())
    }
}

struct Sink {
    store: TestSnapshots,
    meta: SnapshotMeta,
    file: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.store.check_room(self.file.len() + bytes.len()).map_err(io::Error::other)?;
        bytes.chunks(BLOCK_BYTES).for_each(|payload| self.file.extend(block(payload)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for Sink {
    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        self.store.check_room(self.file.len())?;
        let mut file = std::mem::take(&mut self.file);
        file.extend(block(b""));
        let meta = SnapshotMeta { bytes: file.len() as u64, ..self.meta.clone() };
        self.store.0.lock().files.insert(meta.id, (meta.clone(), file));
        Ok(meta)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.store.0.lock().open -= 1;
    }
}

struct Source {
    file: Vec<u8>,
    /// Where the block begins of which `given` bytes were read.
    at: usize,
    given: usize,
    error: Option<StorageError>,
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wrong = match first_block(&self.file[self.at..]) {
            Ok(Some([])) => return Ok(0),
            Ok(Some(payload)) => {
                let rest = &payload[self.given..];
                let count = rest.len().min(out.len());
                out[..count].copy_from_slice(&rest[..count]);
                self.given += count;
                if self.given == payload.len() {
                    (self.at, self.given) = (self.at + HEAD_BYTES + payload.len(), 0);
                }
                return Ok(count);
            }
            Ok(None) => "the end is missing",
            Err(wrong) => wrong,
        };
        self.error = Some(damaged(self.at, wrong));
        Err(io::Error::new(io::ErrorKind::InvalidData, wrong))
    }
}

impl SnapshotSource for Source {
    fn error(&mut self) -> Option<StorageError> {
        self.error.take()
    }
}

struct Intake {
    store: TestSnapshots,
    meta: SnapshotMeta,
    file: Vec<u8>,
    /// Up to here it consists of good blocks.
    checked: usize,
}

impl Intake {
    fn check(&mut self) -> Result<(), StorageError> {
        loop {
            match first_block(&self.file[self.checked..]) {
                Ok(None) => return Ok(()),
                Ok(Some(payload)) => self.checked += HEAD_BYTES + payload.len(),
                Err(reason) => {
                    self.file.truncate(self.checked);
                    self.keep();
                    return Err(damaged(self.checked, reason));
                }
            }
        }
    }

    fn keep(&self) {
        self.store.0.lock().partial = Some((self.meta.clone(), self.file.clone()));
    }
}

impl SnapshotIntake for Intake {
    fn offset(&self) -> u64 {
        self.file.len() as u64
    }

    fn piece_end(&self, offset: u64, bytes_max: u64) -> u64 {
        let piece_end = self.store.0.lock().piece_end;
        piece_end.map_or(offset + bytes_max, |piece_end| piece_end(offset, bytes_max))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.store.check_room(self.file.len() + bytes.len())?;
        self.file.extend_from_slice(bytes);
        self.check()?;
        self.keep();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        self.store.check_room(self.file.len())?;
        if self.checked != self.file.len() || self.file.len() as u64 != self.meta.bytes {
            return Err(damaged(self.checked, "it is not complete"));
        }
        let mut contents = self.store.0.lock();
        contents.partial = None;
        contents.files.insert(self.meta.id, (self.meta.clone(), self.file.clone()));
        Ok(self.meta.clone())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.store.0.lock().open -= 1;
    }
}
