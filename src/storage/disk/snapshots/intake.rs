//! Takes the file of a snapshot from another node.
//!
//! Nothing reaches the file that was not judged, part by part. So what stands in it after a crash is good up to the
//! first part that is not; a transfer that was broken off goes on from there. What another process has received is
//! written once more on the way: a sync that failed may have left it in the page cache alone. Its space is reserved ahead, so that a
//! full disk is found before anything is sent.

use std::io;
use std::sync::Arc;

use super::draft::Draft;
use super::format::{
    BLOCK_BYTES, END_BYTES, End, Flaw, HEAD_UNIT_BYTES, Head, Layout, Part, fold, judge_block,
};
use super::name::{SnapshotName, Stage};
use super::shared::Snapshots;
use crate::planted::{Bug, planted};
use crate::storage::disk::files::DataFile;
use crate::storage::{SnapshotIntake, StorageError};
use crate::types::{ClusterId, GroupId, SnapshotMeta};

/// How much of what was received before is read at once.
const READ_BYTES: usize = 4 * BLOCK_BYTES;

/// A snapshot being received.
pub(super) struct Intake {
    draft: Draft,
    judge: Judge,
    /// The bytes of a part that is not complete yet.
    held: Vec<u8>,
    /// It has its name already: the node went down between this and what should have followed.
    is_published: bool,
    has_failed: bool,
    /// What was received makes room on a full disk; and after a failed write or sync nothing of it is believed.
    gives_up: bool,
}

impl Intake {
    pub(super) fn begin(
        shared: &Arc<Snapshots>,
        group: GroupId,
        meta: &SnapshotMeta,
    ) -> Result<Self, StorageError> {
        let name = SnapshotName { group, index: meta.position.index, id: meta.id, stage: Stage::Receiving };
        if meta.bytes < (HEAD_UNIT_BYTES + END_BYTES) as u64 {
            let flaw = Flaw::bad(meta.bytes, format!("no snapshot is {} bytes long", meta.bytes));
            return Err(flaw.of(&name.path(&shared.dir)));
        }
        let cluster = shared.cluster()?;
        remove_others(shared, name)?;
        let expected = || Judge::new(cluster, group, meta);
        let whole = name.with_stage(Stage::Whole);
        if let Some(mut intake) = Self::resume(shared, whole, expected())?
            && intake.judge.is_complete()
        {
            intake.is_published = true;
            return Ok(intake);
        }
        let intake = match Self::resume(shared, name, expected())? {
            Some(intake) => intake,
            None => Self::new(Draft::create(shared, name)?, expected()),
        };
        intake.reserve(meta.bytes)
    }

    fn new(draft: Draft, judge: Judge) -> Self {
        let (held, is_published, has_failed, gives_up) = (Vec::new(), false, false, false);
        Self { draft, judge, held, is_published, has_failed, gives_up }
    }

    /// Goes on with the file of that name, behind what is good of it; `None` if there is none.
    fn resume(
        shared: &Arc<Snapshots>,
        name: SnapshotName,
        mut judge: Judge,
    ) -> Result<Option<Self>, StorageError> {
        let Some(mut draft) = Draft::open(shared, name)? else {
            return Ok(None);
        };
        let length = draft.file().len().map_err(StorageError::io("measure", &draft.path))?;
        let is_sure = name.stage == Stage::Whole || draft.is_sure();
        if planted(Bug::ResumesUnjudged) {
            judge.good = length.min(judge.expected.bytes);
        } else {
            judge.read(draft.file(), length, is_sure).map_err(shared.io_or_full("write", &draft.path))?;
        }
        if name.stage != Stage::Whole {
            draft.go_on_at(judge.good);
        }
        Ok(Some(Self::new(draft, judge)))
    }

    fn reserve(mut self, bytes: u64) -> Result<Self, StorageError> {
        let shared = Arc::clone(&self.draft.shared);
        match self.draft.allocate(bytes) {
            Ok(()) => {
                self.draft.go_past_the_cache();
                Ok(self)
            }
            Err(error) if is_impossible_length(&error) => {
                self.gives_up = true;
                Err(Flaw::bad(0, format!("no file can have the {bytes} bytes announced"))
                    .of(&self.draft.path))
            }
            Err(error) => {
                self.gives_up = true;
                Err(shared.io_or_full("allocate", &self.draft.path)(error))
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let announced = self.judge.expected.bytes;
        if self.offset().checked_add(bytes.len() as u64).is_none_or(|end| end > announced) {
            let flaw = Flaw::bad(announced, "there are more bytes than were announced");
            return Err(flaw.of(&self.draft.path));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.held.is_empty() {
                let (parts, verdict) = self.judge.parts(rest);
                self.append(&rest[..parts])?;
                verdict.map_err(|flaw| flaw.of(&self.draft.path))?;
                rest = &rest[parts..];
            }
            if !rest.is_empty() {
                rest = self.hold(rest)?;
            }
        }
        Ok(())
    }

    /// Takes as much as the part needs that is being held; gives what is left.
    fn hold<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], StorageError> {
        let needed = self.judge.needed(&self.held).map_err(|flaw| flaw.of(&self.draft.path))?;
        let (taken, rest) = bytes.split_at(bytes.len().min(needed - self.held.len()));
        self.held.extend_from_slice(taken);
        let mut held = std::mem::take(&mut self.held);
        let (parts, verdict) = self.judge.parts(&held);
        verdict.map_err(|flaw| flaw.of(&self.draft.path))?;
        if parts > 0 {
            self.append(&held)?;
            held.clear();
        }
        self.held = held;
        Ok(rest)
    }

    /// Writes what was judged.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.draft.shared);
        self.draft.append(bytes).map_err(shared.io_or_full("write", &self.draft.path))?;
        shared.metrics.snapshot_bytes_received.add(bytes.len() as u64);
        Ok(())
    }

    /// Does what may fail: after an error nothing more is taken.
    fn guarded(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.has_failed {
            let failed = io::Error::other("what came before failed");
            return Err(StorageError::io("receive", &self.draft.path)(failed));
        }
        let done = act(self);
        self.has_failed = done.is_err();
        let is_the_senders =
            |error| matches!(error, &StorageError::BadSnapshot { .. } | &StorageError::NewerFormat { .. });
        self.gives_up = done.as_ref().is_err_and(|error| !is_the_senders(error));
        done
    }

    fn complete(&mut self) -> Result<(), StorageError> {
        if !self.judge.is_complete() {
            return Err(Flaw::bad(self.judge.good, "it ends too early").of(&self.draft.path));
        }
        if self.is_published {
            // Its name may not have been durable yet.
            return self.draft.shared.sync_dir();
        }
        self.draft.publish()?;
        self.draft.shared.metrics.snapshots_received.increment();
        Ok(())
    }
}

impl SnapshotIntake for Intake {
    fn offset(&self) -> u64 {
        self.judge.good + self.held.len() as u64
    }

    fn piece_end(&self, offset: u64, bytes_max: u64) -> u64 {
        self.judge.last_part_end(offset, offset.saturating_add(bytes_max))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.guarded(|intake| intake.take(bytes))
    }

    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StorageError> {
        self.guarded(Self::complete)?;
        Ok(self.judge.expected.clone())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        if self.gives_up && !self.is_published {
            self.draft.discard();
        }
    }
}

/// What was received of other snapshots of the group is worth nothing any more.
fn remove_others(shared: &Snapshots, current: SnapshotName) -> Result<(), StorageError> {
    for name in shared.names()? {
        if name.group == current.group && name.stage == Stage::Receiving && name != current {
            shared.remove(&name.path(&shared.dir))?;
        }
    }
    Ok(())
}

fn is_impossible_length(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput)
}

/// Judges a file from front to back.
struct Judge {
    expected: SnapshotMeta,
    head: Head,
    /// How long the head must be.
    head_bytes: u64,
    /// Known once the head was judged.
    layout: Option<Layout>,
    /// Everything before it is good.
    good: u64,
    checksums: u32,
}

impl Judge {
    fn new(cluster: ClusterId, group: GroupId, expected: &SnapshotMeta) -> Self {
        let SnapshotMeta { id, position, ref membership, .. } = *expected;
        let head = Head { cluster, group, id, position, membership: Arc::clone(membership) };
        let head_bytes = head.encode().0.len() as u64;
        Self { expected: expected.clone(), head, head_bytes, layout: None, good: 0, checksums: 0 }
    }

    /// The last end of a part behind `offset` and up to `limit`; `limit` if there is none.
    fn last_part_end(&self, offset: u64, limit: u64) -> u64 {
        if limit >= self.expected.bytes {
            return self.expected.bytes.max(offset);
        }
        let blocks = limit.checked_sub(self.head_bytes).map(|blocks| blocks / BLOCK_BYTES as u64);
        let end = blocks.map(|blocks| self.head_bytes + blocks * BLOCK_BYTES as u64);
        end.filter(|end| *end > offset).unwrap_or(limit)
    }

    fn is_complete(&self) -> bool {
        self.good == self.expected.bytes
    }

    /// How long the part behind what is good must be to be judged. It begins with `begin`; of the head only its first
    /// unit says how long it is.
    fn needed(&self, begin: &[u8]) -> Result<usize, Flaw> {
        match self.layout {
            Some(layout) => {
                let (_, start, end) = layout.part(self.good);
                Ok((end - start) as usize)
            }
            None if begin.len() < HEAD_UNIT_BYTES => Ok(HEAD_UNIT_BYTES),
            None => Head::length(begin),
        }
    }

    /// Judges the whole parts in front of `bytes`, which follow what is good: how many bytes of them are good, and what
    /// is wrong behind those.
    fn parts(&mut self, bytes: &[u8]) -> (usize, Result<(), Flaw>) {
        let mut taken = 0;
        while !self.is_complete() {
            let rest = &bytes[taken..];
            let part = match self.needed(rest) {
                Ok(needed) if needed <= rest.len() => &rest[..needed],
                Ok(_) => break,
                Err(flaw) => return (taken, Err(flaw)),
            };
            match self.part(part) {
                Ok(()) => taken += part.len(),
                Err(flaw) => return (taken, Err(flaw)),
            }
        }
        (taken, Ok(()))
    }

    fn part(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let Some(layout) = self.layout else {
            return self.head(bytes);
        };
        let (id, at) = (self.head.id, self.good);
        match layout.part(at).0 {
            Part::Block(number) => self.checksums = fold(self.checksums, judge_block(id, number, bytes, at)?),
            _ if End::judge(id, layout, bytes)? != self.checksums => {
                return Err(Flaw::bad(at, "its blocks are not those that were written"));
            }
            _ => {}
        }
        self.good += bytes.len() as u64;
        Ok(())
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let (head, checksum) = Head::decode(bytes)?;
        if head.cluster != self.head.cluster {
            return Err(Flaw::bad(24, format!("it belongs to cluster {}", head.cluster)));
        }
        if head != self.head {
            return Err(Flaw::bad(32, "it is not the snapshot that was announced"));
        }
        self.layout = Some(Layout::new(bytes.len(), self.expected.bytes)?);
        self.checksums = fold(0, checksum);
        self.good = bytes.len() as u64;
        Ok(())
    }

    /// Judges what was received before, as far as it is good; and makes that durable, unless it surely is.
    fn read(&mut self, file: &dyn DataFile, length: u64, is_sure: bool) -> io::Result<()> {
        let mut piece = vec![0; READ_BYTES];
        loop {
            let left = length.min(self.expected.bytes).saturating_sub(self.good);
            piece.truncate(left.min(READ_BYTES as u64) as usize);
            // What cannot be read is received again.
            let at = self.good;
            if piece.is_empty() || file.read_exact_at(&mut piece, at).is_err() {
                return Ok(());
            }
            let (parts, verdict) = self.parts(&piece);
            if !is_sure && parts > 0 {
                file.write_all_at(&piece[..parts], at)?;
                file.sync_data()?;
            }
            if parts == 0 || verdict.is_err() {
                return Ok(());
            }
        }
    }
}

const _: () = assert!(READ_BYTES > BLOCK_BYTES && BLOCK_BYTES > END_BYTES, "a piece holds every part");
