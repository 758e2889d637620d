//! Spares: files that will become segments, prepared ahead so that no write waits for it.
//!
//! A spare is allocated, so that a full disk is found here and not in the middle of a write, and filled with zeros, so
//! that a sync of the log needs no metadata: 1 MiB at a time, each synced, because one large fill would stall the
//! writer's syncs. It becomes a segment by a rename, and a released segment becomes a spare again by another. Whatever
//! it holds then does not parse: the next segment has another salt.
//!
//! One spare is always in reserve, a small one if no other is there: on a full disk the log can still take what the
//! node needs to step aside. A large one comes when the current segment is used far enough. While the reserve cannot be
//! made the upkeep says so, and again and again, until there is room.
//!
//! The writer takes a ready spare, the large one first. If there is none it makes a small segment itself, which is
//! quick, and the large one comes later. Removing and refilling is the upkeep thread's business; the two share one
//! small lock, held for no I/O.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::directory::{segment_path, spare_path};
use super::files::{DataFile, Files, Lock};
use super::index::Shared;
use super::segment::Segment;
use crate::metrics::StorageMetrics;
use crate::planted::{Bug, planted};
use crate::storage::{StorageError, Upkeep};

/// How much is filled with zeros at once.
const FILL_BYTES: u64 = 1 << 20;

/// How long the spare is that is made first, and the segment that the writer has to make itself.
const SMALL_SEGMENT_BYTES: u64 = 4 << 20;

/// How many spares of full length are kept when segments are released; further ones are removed.
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
    /// The log is founded: from now on one spare is always in reserve.
    keeps_reserve: bool,
    /// The writer will need a large spare before long.
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

    /// There is a log now: one spare must always be ready.
    pub(super) fn keep_reserve(&self) {
        self.state.lock().keeps_reserve = true;
    }

    /// Before long the writer will take a spare. Called by the writer, once per segment.
    pub(super) fn want(&self) {
        self.state.lock().is_wanted = true;
    }

    /// Segments that no group needs any more, oldest first.
    pub(super) fn retire(&self, segments: Vec<Arc<Segment>>) {
        self.state.lock().retired.extend(segments);
    }

    /// A ready spare of at least `bytes`: one of full length, if there is one.
    pub(super) fn take(&self, bytes: u64) -> Option<Spare> {
        let mut state = self.state.lock();
        state.is_wanted = false;
        let fitting = |(_, spare): &(usize, &Spare)| spare.length >= bytes;
        let longest = state.ready.iter().enumerate().filter(fitting).max_by_key(|(_, spare)| spare.length);
        let (at, _) = longest?;
        Some(state.ready.swap_remove(at))
    }

    /// A ready spare of full length.
    pub(super) fn take_full(&self) -> Option<Spare> {
        let mut state = self.state.lock();
        let at = state.ready.iter().position(|spare| spare.length == self.segment_bytes)?;
        Some(state.ready.swap_remove(at))
    }

    /// Makes a spare of `length` at once.
    pub(super) fn make(&self, length: u64) -> Result<Spare, StorageError> {
        let mut unfinished = self.start(length)?;
        loop {
            match unfinished.step() {
                Ok(true) => return Ok(unfinished.into_spare()),
                Ok(false) => {}
                Err(error) => {
                    self.discard(&unfinished);
                    return Err(error);
                }
            }
        }
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

    /// Gives back what a spare took that could not be finished: on a full disk every block counts. An error leaves a
    /// file that the next start removes.
    fn discard(&self, unfinished: &Unfinished) {
        let _ = self.files.remove(&unfinished.spare.path);
    }

    /// Whether a spare found in the directory is one that is made ahead.
    pub(super) fn is_of_use(&self, length: u64) -> bool {
        length == self.segment_bytes || length == self.small_segment_bytes(0)
    }

    /// The length of the spare that is missing; the reserve comes first.
    fn wanted_bytes(&self) -> Option<u64> {
        let state = self.state.lock();
        if state.keeps_reserve && state.ready.is_empty() {
            return Some(self.small_segment_bytes(0));
        }
        let has_full = self.full_spares(&state) > 0;
        (state.is_wanted && !(has_full && state.ready.len() > 1)).then_some(self.segment_bytes)
    }

    fn full_spares(&self, state: &State) -> usize {
        state.ready.iter().filter(|spare| spare.length == self.segment_bytes).count()
    }

    /// The oldest released segment, if nobody reads it any more; and whether it is to become a spare.
    fn next_retired(&self) -> Option<(Arc<Segment>, bool)> {
        let mut state = self.state.lock();
        // The index has dropped it, so no new reader can come: alone here is alone for good.
        if Arc::strong_count(state.retired.front()?) > 1 {
            return None;
        }
        let segment = state.retired.pop_front()?;
        let keep = self.full_spares(&state) < SPARES_MAX && segment.length == self.segment_bytes;
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
        if !planted(Bug::RecyclesUnsynced) {
            self.files.sync_dir(&self.dir).map_err(StorageError::io("sync", &self.dir))?;
        }
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
    /// Does one step; `true` once the spare is ready.
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
    metrics: Arc<StorageMetrics>,
    unfinished: Option<Unfinished>,
    /// It may outlive the log: until it is gone too, nobody else may take over the spare that it fills.
    _lock: Lock,
}

impl DiskUpkeep {
    pub(super) fn new(
        pool: Arc<Pool>,
        shared: Arc<Shared>,
        metrics: Arc<StorageMetrics>,
        lock: Lock,
    ) -> Self {
        Self { pool, shared, metrics, unfinished: None, _lock: lock }
    }

    fn prepare(&mut self, bytes: u64) -> Result<(), StorageError> {
        let mut unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => self.pool.start(bytes)?,
        };
        match unfinished.step() {
            Ok(true) => self.pool.add(unfinished.into_spare()),
            Ok(false) => self.unfinished = Some(unfinished),
            // On a full disk the space is given back; and what a failed sync leaves behind is not believed.
            Err(error) => {
                self.pool.discard(&unfinished);
                return Err(error);
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool, StorageError> {
        if let Some((segment, keep)) = self.pool.next_retired() {
            self.pool.recycle(&segment, keep)?;
            return Ok(true);
        }
        let unfinished = self.unfinished.as_ref().map(|unfinished| unfinished.spare.length);
        let Some(bytes) = unfinished.or_else(|| self.pool.wanted_bytes()) else {
            return Ok(false);
        };
        self.prepare(bytes)?;
        Ok(self.unfinished.is_some() || self.pool.wanted_bytes().is_some())
    }
}

impl Upkeep for DiskUpkeep {
    fn turn(&mut self) -> Result<bool, StorageError> {
        if self.shared.is_poisoned() {
            return Err(StorageError::Poisoned);
        }
        self.step().inspect_err(|error| {
            if matches!(error, StorageError::DiskFull { .. }) {
                self.metrics.disk_full.increment();
            }
        })
    }
}
