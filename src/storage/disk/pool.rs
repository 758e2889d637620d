//! Spares: files that will become segments, prepared ahead so that no write waits for it.
//!
//! A spare is allocated, so that a full disk is found here and not in the middle of a write, and filled with zeros, so
//! that a sync of the log needs no metadata: 1 MiB at a time, each synced, because one large fill would stall the
//! writer's syncs. It becomes a segment by a rename, and a released segment becomes a spare again by another. Whatever
//! it holds then does not parse: the next segment has another salt.
//!
//! The writer takes a ready spare. If there is none it makes a small segment itself, which is quick, and the large one
//! comes later. Removing and refilling is the upkeep thread's business; the two share one small lock, held for no I/O.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::directory::{segment_path, spare_path};
use super::files::{DataFile, Files, Lock};
use super::index::Shared;
use super::segment::Segment;
use crate::storage::{StorageError, Upkeep};

/// How much is filled with zeros at once.
const FILL_BYTES: u64 = 1 << 20;

/// How long a segment is that the writer has to make itself.
const SMALL_SEGMENT_BYTES: u64 = 4 << 20;

/// How many spares are kept when segments are released; further ones are removed.
const SPARES_MAX: usize = 2;

/// A file that can become a segment.
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DataFile>,
    pub(super) length: u64,
}

/// The spares of a log, shared by the writer and the upkeep.
pub(super) struct Pool {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: Vec<Spare>,
    /// Released, oldest first: they become spares in this order when their readers have let go.
    retired: VecDeque<Arc<Segment>>,
    /// The writer will need a spare before long.
    is_wanted: bool,
    /// The number that the next new spare is named by.
    next_number: u64,
}

impl Pool {
    /// A pool whose new spares are named from `next_number` on.
    pub(super) fn new(files: Arc<dyn Files>, dir: PathBuf, segment_bytes: u64, next_number: u64) -> Self {
        let state = Mutex::new(State { next_number, ..State::default() });
        Self { files, dir, segment_bytes, state }
    }

    /// A spare that was found in the directory, or is finished.
    pub(super) fn add(&self, spare: Spare) {
        self.state.lock().ready.push(spare);
    }

    /// Before long the writer will take a spare. Called by the writer, once per segment.
    pub(super) fn want(&self) {
        self.state.lock().is_wanted = true;
    }

    /// Segments that no group needs any more, oldest first.
    pub(super) fn retire(&self, segments: Vec<Arc<Segment>>) {
        self.state.lock().retired.extend(segments);
    }

    /// A ready spare of at least `bytes`.
    pub(super) fn take(&self, bytes: u64) -> Option<Spare> {
        let mut state = self.state.lock();
        state.is_wanted = false;
        let fitting = state.ready.iter().position(|spare| spare.length >= bytes)?;
        Some(state.ready.swap_remove(fitting))
    }

    /// Starts a spare of `length`.
    pub(super) fn start(&self, length: u64) -> Result<Unfinished, StorageError> {
        let number = {
            let mut state = self.state.lock();
            state.next_number += 1;
            state.next_number - 1
        };
        let path = spare_path(&self.dir, number);
        let file = self.files.create(&path).map_err(StorageError::io_or_full("create", &path))?;
        Ok(Unfinished { spare: Spare { path, file, length }, is_allocated: false, filled: 0 })
    }

    /// How long a segment is that the writer makes itself, with room for `bytes`.
    pub(super) fn small_segment_bytes(&self, bytes: u64) -> u64 {
        SMALL_SEGMENT_BYTES.max(bytes.next_multiple_of(FILL_BYTES)).min(self.segment_bytes)
    }

    fn wants_spare(&self) -> bool {
        let state = self.state.lock();
        state.is_wanted && state.ready.is_empty()
    }

    /// The oldest released segment, if nobody reads it any more; and whether it is to become a spare.
    fn next_retired(&self) -> Option<(Arc<Segment>, bool)> {
        let mut state = self.state.lock();
        // The index has dropped it, so no new reader can come: alone here is alone for good.
        if Arc::strong_count(state.retired.front()?) > 1 {
            return None;
        }
        let segment = state.retired.pop_front()?;
        let keep = state.ready.len() < SPARES_MAX && segment.length == self.segment_bytes;
        Some((segment, keep))
    }

    fn recycle(&self, segment: &Segment, keep: bool) -> Result<(), StorageError> {
        let from = segment_path(&self.dir, segment.number);
        if !keep {
            self.files.remove(&from).map_err(StorageError::io("remove", &from))?;
            return self.files.sync_dir(&self.dir).map_err(StorageError::io("sync", &self.dir));
        }
        let to = {
            let mut state = self.state.lock();
            state.next_number += 1;
            spare_path(&self.dir, state.next_number - 1)
        };
        self.files.rename(&from, &to).map_err(StorageError::io("rename", &from))?;
        // Before its content changes, nobody may find it under its old name after a crash.
        self.files.sync_dir(&self.dir).map_err(StorageError::io("sync", &self.dir))?;
        self.add(Spare { path: to, file: Arc::clone(&segment.file), length: segment.length });
        Ok(())
    }
}

/// A spare in the making.
pub(super) struct Unfinished {
    spare: Spare,
    is_allocated: bool,
    filled: u64,
}

impl Unfinished {
    /// Does one step; `true` once the spare is ready. A step that found the disk full can be done again.
    pub(super) fn step(&mut self) -> Result<bool, StorageError> {
        let Spare { path, file, length } = &self.spare;
        if !self.is_allocated {
            file.allocate(*length).map_err(StorageError::io_or_full("allocate", path))?;
            self.is_allocated = true;
        }
        let count = FILL_BYTES.min(length - self.filled);
        let zeros = vec![0; count as usize];
        file.write_all_at(&zeros, self.filled).map_err(StorageError::io_or_full("fill", path))?;
        file.sync_data().map_err(StorageError::io_or_full("sync", path))?;
        self.filled += count;
        Ok(self.filled == *length)
    }

    /// The spare, once it is ready.
    pub(super) fn into_spare(self) -> Spare {
        assert!(self.filled == self.spare.length, "a spare was taken before it was finished");
        self.spare
    }
}

/// The upkeep of a log on disk: recycles what was released, and keeps a spare ready.
pub(super) struct DiskUpkeep {
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    unfinished: Option<Unfinished>,
    /// It may outlive the log: until it is gone too, nobody else may take over the spare that it fills.
    _lock: Lock,
}

impl DiskUpkeep {
    pub(super) fn new(pool: Arc<Pool>, shared: Arc<Shared>, lock: Lock) -> Self {
        Self { pool, shared, unfinished: None, _lock: lock }
    }

    fn prepare(&mut self) -> Result<(), StorageError> {
        let mut unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => self.pool.start(self.pool.segment_bytes)?,
        };
        match unfinished.step() {
            Ok(true) => self.pool.add(unfinished.into_spare()),
            Ok(false) => self.unfinished = Some(unfinished),
            Err(full) if full.is_recoverable() => {
                self.unfinished = Some(unfinished);
                return Err(full);
            }
            // What a failed sync leaves behind is not believed: the file is given up.
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Upkeep for DiskUpkeep {
    fn turn(&mut self) -> Result<bool, StorageError> {
        if self.shared.is_poisoned() {
            return Err(StorageError::Poisoned);
        }
        if let Some((segment, keep)) = self.pool.next_retired() {
            self.pool.recycle(&segment, keep)?;
            return Ok(true);
        }
        if self.unfinished.is_some() || self.pool.wants_spare() {
            self.prepare()?;
            return Ok(self.unfinished.is_some());
        }
        Ok(false)
    }
}
