//! Opening a directory: judged first, locked, read, and only then written.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::appender::{Appender, segment_bytes_for};
use super::batch::BLOCK_BYTES;
use super::config::DiskConfig;
use super::directory::{Directory, identity_path, lock_path, spare_path};
use super::files::{Access, Files, Lock, RealFiles};
use super::identity::{self, Stage};
use super::log::DiskLog;
use super::pool::{Pool, Spare};
use super::recovery::{Ending, Recovery, Scanned, recover};
use super::segment::Segment;
use super::snapshots::{self, Snapshots};
use crate::storage::{Identity, StorageError};
use crate::types::LogIndex;

impl DiskLog {
    /// Opens the log in the directory of `config`; blank if it was never founded.
    pub fn open(config: DiskConfig) -> Result<Self, StorageError> {
        Self::open_on(Arc::new(RealFiles::default()), config)
    }

    /// The same on any file system.
    pub(crate) fn open_on(files: Arc<dyn Files>, config: DiskConfig) -> Result<Self, StorageError> {
        config.check()?;
        files.create_dir(&config.dir).map_err(StorageError::io("create", &config.dir))?;
        // Judged before the lock, which may be the first thing that is written here, and again under it.
        judge(&*files, &config)?;
        let lock = lock(&*files, &config)?;
        let (directory, identity) = judge(&*files, &config)?;

        let mut log = Self::blank(files, config, &directory, lock);
        let recovery = match &identity {
            Some(identity) => Some(recover(&*log.files, &log.config.dir, identity, &directory.segments)?),
            None => None,
        };
        log.collect_spares(&directory)?;
        snapshots::remove_unwritten(&*log.files, &log.config.dir, &directory.snapshots)?;
        log.identity = identity;
        if let Some(identity) = identity {
            log.snapshots.belong_to(identity.cluster);
        }
        if let Some(recovery) = recovery {
            log.resume(recovery)?;
        }
        Ok(log)
    }

    fn blank(files: Arc<dyn Files>, config: DiskConfig, directory: &Directory, lock: Lock) -> Self {
        let next_spare = directory.spares.last().map_or(1, |last| last + 1);
        let pool = Pool::new(Arc::clone(&files), config.dir.clone(), config.segment_bytes, next_spare);
        let metrics = Arc::default();
        let dir = config.dir.clone();
        let snapshots = Snapshots::new(Arc::clone(&files), dir, Arc::clone(&metrics), Arc::clone(&lock));
        Self {
            config,
            files,
            shared: Arc::default(),
            pool: Arc::new(pool),
            metrics,
            identity: None,
            appender: None,
            groups: std::collections::BTreeMap::new(),
            recovered: std::collections::BTreeMap::new(),
            unpublished: Vec::new(),
            restarted: std::collections::BTreeMap::new(),
            reserved: Vec::new(),
            snapshots: Arc::new(snapshots),
            has_upkeep: AtomicBool::new(false),
            lock,
        }
    }

    /// Takes over the spares that are whole; others were in the making, and are removed.
    fn collect_spares(&self, directory: &Directory) -> Result<(), StorageError> {
        for &number in &directory.spares {
            let path = spare_path(&self.config.dir, number);
            let file = self.files.open(&path, Access::Write).map_err(StorageError::io("open", &path))?;
            let length = file.len().map_err(StorageError::io("measure", &path))?;
            if self.pool.is_of_use(length) {
                self.pool.add(Spare { path, file, length });
            } else {
                self.files.remove(&path).map_err(StorageError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Goes on where the recovered log ends.
    fn resume(&mut self, recovery: Recovery) -> Result<(), StorageError> {
        let Recovery { mut segments, groups } = recovery;
        // What was read may have come from the page cache alone. The last batch, the seal in front of its segment, and
        // the names are all that a crash of the process can have left behind unsynced.
        segments.last().expect("a recovered log has a segment").write_last_batch_again()?;
        for segment in segments.iter().rev().take(2) {
            segment.file.sync_data().map_err(StorageError::io("sync", &segment.path))?;
        }
        self.files.sync_dir(&self.config.dir).map_err(StorageError::io("sync", &self.config.dir))?;

        for (group, replayed) in groups {
            self.groups.insert(group, replayed.restatement);
            self.recovered.insert(group, replayed.recovered);
            self.shared.index.write().groups.insert(group, replayed.index);
        }
        let newest = segments.pop().expect("a recovered log has a segment");
        for segment in &segments {
            self.publish(Arc::new(cold(segment)));
        }
        match (newest.ending, segments.last()) {
            (Ending::Clean, Some(before)) if newest.batches == 0 => {
                self.complete_rotation(before, &newest)?;
            }
            (Ending::Clean, _) => self.append_to(hot(&newest)?, &newest),
            // Nothing is written behind a cut: the header of the next segment makes it.
            (Ending::Torn | Ending::Sealed | Ending::Cut, _) => {
                self.append_to(cold(&newest), &newest);
                self.rotate(BLOCK_BYTES)?;
            }
        }
        self.retire_unneeded();
        self.pool.keep_reserve();
        Ok(())
    }

    /// The newest segment has its name and header but no batch: the rotation stopped there, and goes on from there.
    fn complete_rotation(&mut self, before: &Scanned, newest: &Scanned) -> Result<(), StorageError> {
        self.append_to(cold(before), before);
        let next = Arc::new(hot(newest)?);
        if next.length < segment_bytes_for(self.opening_bytes(), 0) {
            let reason = "it has no room for what opens it".to_owned();
            let (segment, index) = (newest.path.clone(), LogIndex::ZERO);
            return Err(StorageError::Corrupt { segment, offset: BLOCK_BYTES, index, reason });
        }
        // Also if a seal is there: it may stand in the page cache alone.
        self.seal(&next)?;
        self.enter(next)
    }

    fn append_to(&mut self, segment: Segment, scanned: &Scanned) {
        let segment = Arc::new(segment);
        let mut appender = Appender::new(Arc::clone(&segment), scanned.end, Arc::clone(&self.metrics));
        appender.is_settled = scanned.is_settled;
        self.appender = Some(appender);
        self.publish(segment);
    }
}

fn judge(files: &dyn Files, config: &DiskConfig) -> Result<(Directory, Option<Identity>), StorageError> {
    let directory = Directory::list(files, &config.dir)?;
    if !directory.has_identity {
        if directory.segments.is_empty() {
            snapshots::judge(files, &config.dir, &directory.snapshots, None)?;
            return Ok((directory, None));
        }
        let reason = "it is missing, but there are segments of a log".to_owned();
        let segment = identity_path(&config.dir);
        return Err(StorageError::Corrupt { segment, offset: 0, index: LogIndex::ZERO, reason });
    }
    let (identity, stage) = identity::read(files, &config.dir)?;
    if stage == Stage::Founding {
        snapshots::judge(files, &config.dir, &directory.snapshots, None)?;
        return Ok((directory, None));
    }
    if identity.node != config.node {
        let path = config.dir.clone();
        return Err(StorageError::WrongNode { path, expected: config.node, found: identity.node });
    }
    snapshots::judge(files, &config.dir, &directory.snapshots, Some(identity.cluster))?;
    Ok((directory, Some(identity)))
}

fn lock(files: &dyn Files, config: &DiskConfig) -> Result<Lock, StorageError> {
    let path = lock_path(&config.dir);
    files
        .lock(&path, Access::Write)
        .map_err(StorageError::io("lock", &path))?
        .ok_or_else(|| StorageError::Locked { path: config.dir.clone() })
}

/// A segment of which this process wrote nothing.
fn cold(scanned: &Scanned) -> Segment {
    Segment {
        number: scanned.header.number,
        salt: scanned.header.salt,
        length: scanned.header.length,
        path: scanned.path.clone(),
        file: Arc::clone(&scanned.file),
        hot_from: u64::MAX,
        map: None,
    }
}

/// A segment that goes on at its end.
fn hot(scanned: &Scanned) -> Result<Segment, StorageError> {
    let length = scanned.header.length;
    let map = scanned.file.map(length).map_err(StorageError::io("map", &scanned.path))?;
    Ok(Segment { hot_from: scanned.end.offset, map, ..cold(scanned) })
}
