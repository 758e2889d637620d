//! Reads a log back: one straight line over its segments, from the oldest to the newest.
//!
//! Every batch is judged by its header, its chain and its records, and believed as a whole or not at all. The first one
//! that cannot be believed is a hole. What a hole means is decided by one rule:
//!
//! **A hole is corruption exactly if something valid says that the log was durable beyond it.** In all segments but the
//! newest the header of the next one says so. In the newest any valid batch behind the hole does: it was not written
//! before everything in front of it was synced. Otherwise the hole was being written when power failed, nobody was
//! promised anything of it, and the log ends before it: torn if a header stands there, clean if nothing of ours does.
//! A disk may also have put a batch where it does not belong. If it belongs where the log ends, it is missed there; if it
//! stands further in front too, nothing is lost, but the log goes on in another segment: it must not grow up to that batch.
//!
//! So all that was ever written is scanned, not only the part that is valid. An unreadable sector is an error, never an
//! end. The limit: rot in the newest batch before anything was written behind it looks like a tear; the witness that
//! [`settle`](crate::storage::Storage::settle) writes makes that time short. And a tail that is lost to its very end, witness
//! and all, as on a disk whose syncs lie, leaves nothing that could give the loss away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::appender::SEAL_BYTES;
use super::batch::{BLOCK_BYTES, BatchHeader, Fault, HEADER_BYTES};
use super::directory::segment_path;
use super::files::{Access, DataFile, Files};
use super::header::{End, SegmentHeader};
use super::index::Location;
use super::record::{HEAD_BYTES, Record};
use super::replay::{Replay, Replayed};
use super::source::{Source, Window};
use crate::planted::{Bug, planted};
use crate::storage::{Identity, StorageError};
use crate::types::{GroupId, LogIndex};

/// How much of a segment is read at once.
const READ_BYTES: usize = 1 << 20;

/// A segment, and how far it was read.
pub(super) struct Scanned {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DataFile>,
    pub(super) header: SegmentHeader,
    /// Where its valid batches end: before the seal, if there is one.
    pub(super) end: End,
    /// Where the last of them starts; their end, if there is none.
    pub(super) last_batch: u64,
    /// What stands there.
    pub(super) ending: Ending,
    /// How many batches are valid, the seal not counted.
    pub(super) batches: u64,
    /// How many records they have.
    pub(super) records: u64,
    /// Whether the last batch is a witness: then nothing before it can be lost unnoticed.
    pub(super) is_settled: bool,
}

/// What stands where the valid batches of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing of ours.
    Clean,
    /// A batch that was being written when power failed, or something else behind which nothing may be written.
    Torn,
    /// A seal that names the next segment.
    Sealed,
    /// The next segment's header names this place, but no seal stands here.
    Cut,
}

impl Scanned {
    /// Writes the last batch once more, as it was read. All before it is durable; it may stand in the page cache alone,
    /// and after a failed sync as clean, so that no other sync would bring it to the disk.
    pub(super) fn write_last_batch_again(&self) -> Result<(), StorageError> {
        let mut at = self.last_batch;
        let mut piece = Vec::new();
        while at < self.end.offset {
            piece.resize((self.end.offset - at).min(READ_BYTES as u64) as usize, 0);
            self.file.read_exact_at(&mut piece, at).map_err(StorageError::io("read", &self.path))?;
            self.file.write_all_at(&piece, at).map_err(StorageError::io("write", &self.path))?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// A log that can be gone on with.
pub(super) struct Recovery {
    pub(super) segments: Vec<Scanned>,
    pub(super) groups: BTreeMap<GroupId, Replayed>,
}

/// Reads the segments `numbers` of the log in `dir`, or says why it must not be used.
pub(super) fn recover(
    files: &dyn Files,
    dir: &Path,
    identity: &Identity,
    numbers: &[u64],
) -> Result<Recovery, StorageError> {
    let mut scan = Scan::new(Access::Write);
    scan.read(files, dir, identity, numbers, &mut |_, _, _, _| {})?;
    scan.finish()
}

/// Sees every valid record, in order: its segment, its offset there, its group, and what it says.
pub(super) type Visitor<'a> = &'a mut dyn FnMut(&Scanned, u64, GroupId, &Record<'_>);

/// What a log says, as far as it has been read.
pub(super) struct Scan {
    access: Access,
    pub(super) segments: Vec<Scanned>,
    pub(super) replay: Replay,
}

impl Scan {
    /// Nothing yet. With [`Access::Write`] the log can be gone on with.
    pub(super) fn new(access: Access) -> Self {
        Self { access, segments: Vec::new(), replay: Replay::default() }
    }

    /// Reads the segments `numbers`. After an error all that is valid before it stands here.
    pub(super) fn read(
        &mut self,
        files: &dyn Files,
        dir: &Path,
        identity: &Identity,
        numbers: &[u64],
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        require_consecutive(dir, numbers)?;
        let opened: Vec<Scanned> = numbers
            .iter()
            .map(|&number| open(files, dir, identity, number, self.access))
            .collect::<Result<_, _>>()?;
        let followers: Vec<SegmentHeader> = opened.iter().skip(1).map(|segment| segment.header).collect();
        let mut followers = followers.iter();
        for mut segment in opened {
            let read = self.segment(&mut segment, followers.next(), visitor);
            self.segments.push(segment);
            read?;
        }
        Ok(())
    }

    /// The end of the line: every group must be whole.
    pub(super) fn finish(self) -> Result<Recovery, StorageError> {
        if let Some(first) = self.segments.first()
            && self.segments.iter().all(|segment| segment.batches == 0)
        {
            // Without its first batch no segment is ever alone: the founding syncs it, and a rotation keeps the one before.
            return Err(self.corrupt(first, BLOCK_BYTES, "nothing valid stands in the log".to_owned()));
        }
        let Self { segments, replay, .. } = self;
        let index = replay.last_index;
        let groups = replay.finish().map_err(|reason| {
            let segment = segments.first().map(|segment| segment.path.clone()).unwrap_or_default();
            StorageError::Corrupt { segment, offset: BLOCK_BYTES, index, reason }
        })?;
        Ok(Recovery { segments, groups })
    }

    /// Reads a segment batch by batch: up to where its follower's header says it ends, or up to the first hole.
    fn segment(
        &mut self,
        segment: &mut Scanned,
        follower: Option<&SegmentHeader>,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        self.require_follows(segment)?;
        let (file, path) = (Arc::clone(&segment.file), segment.path.clone());
        let mut window = Window::new(file.as_ref(), &path, segment.header.length, READ_BYTES);
        loop {
            let at = segment.end.offset;
            let found = self.judge(segment, &mut window)?;
            if follower.is_some_and(|follower| follower.follows.offset == at) {
                segment.ending =
                    if matches!(found, Found::Seal { .. }) { Ending::Sealed } else { Ending::Cut };
            }
            match (found, follower) {
                (Found::Seal { number, salt }, Some(next))
                    if (number, salt) != (next.number, next.salt.value) =>
                {
                    let reason = format!("its seal does not name the segment {} that is there", next.number);
                    return Err(self.corrupt(segment, at, reason));
                }
                (_, Some(next)) if next.follows.offset == at => return Ok(()),
                (Found::Batch(header), _) => self.batch(segment, &header, &mut window, visitor)?,
                (Found::Seal { .. } | Found::Nothing | Found::Torn { .. }, Some(next)) => {
                    let reason = format!("segment {} follows its byte {}", next.number, next.follows.offset);
                    return Err(self.corrupt(segment, at, reason));
                }
                (Found::Seal { number, .. }, None) => {
                    let reason = format!("segment {number}, which follows it, is missing");
                    return Err(self.corrupt(segment, at, reason));
                }
                (Found::Nothing, None) => {
                    let is_blank =
                        self.require_never_durable(segment, &mut window, "nothing valid stands here")?;
                    segment.ending = if is_blank { Ending::Clean } else { Ending::Torn };
                    return Ok(());
                }
                (Found::Torn { reason }, None) => {
                    segment.ending = Ending::Torn;
                    return self.require_never_durable(segment, &mut window, reason).map(drop);
                }
            }
        }
    }

    /// The header of every segment names the end of the one before.
    fn require_follows(&self, segment: &Scanned) -> Result<(), StorageError> {
        let follows = segment.header.follows;
        let end = match self.segments.last() {
            Some(before) => before.end,
            None if segment.header.number == 1 => End::default(),
            None => return Ok(()),
        };
        if follows == end {
            return Ok(());
        }
        let reason = format!("it does not follow what segment {} holds", segment.header.number - 1);
        Err(self.corrupt(segment, 0, reason))
    }

    /// What stands where the valid batches of the segment end by now.
    fn judge(&self, segment: &Scanned, window: &mut Window<'_>) -> Result<Found, StorageError> {
        let (at, salt) = (segment.end.offset, segment.header.salt);
        if at >= segment.header.length {
            return Ok(Found::Nothing);
        }
        let Some(header) = BatchHeader::parse(window.bytes(at, HEADER_BYTES)?, salt) else {
            return Ok(Found::Nothing);
        };
        let impossible = |reason: &str| Err(self.corrupt(segment, at, reason.to_owned()));
        if header.synced_upto != at {
            return impossible("a batch of another place stands here");
        }
        if header.chain != segment.end.chain {
            return impossible("the batch does not follow the one in front of it");
        }
        if (header.length as usize) < HEADER_BYTES || header.next_offset(at) > segment.header.length {
            return impossible("the length of the batch is impossible");
        }
        match header.verify(window, at, salt) {
            Ok(()) => {}
            Err(Fault::Unreadable(error)) => return Err(error),
            Err(Fault::Broken { reason, .. }) => return Ok(Found::Torn { reason }),
        }
        match self.first_record(segment, &header, window)? {
            Some(Found::Seal { number, salt }) => Ok(Found::Seal { number, salt }),
            _ if header.next_offset(at) + SEAL_BYTES > segment.header.length => {
                impossible("the batch leaves no room for the seal")
            }
            _ => Ok(Found::Batch(header)),
        }
    }

    fn first_record(
        &self,
        segment: &Scanned,
        header: &BatchHeader,
        window: &mut Window<'_>,
    ) -> Result<Option<Found>, StorageError> {
        let mut records = header.records(segment.end.offset);
        let Some(place) = records.next(window).map_err(|fault| self.fault(segment, fault))? else {
            return Ok(None);
        };
        let record = window.bytes(place.offset, place.bytes())?;
        Ok(match place.head.decode(&record[HEAD_BYTES..]) {
            Ok(Record::Seal { next_number: number, next_salt: salt }) => Some(Found::Seal { number, salt }),
            _ => None,
        })
    }

    /// Takes the records of a batch that was found good.
    fn batch(
        &mut self,
        segment: &mut Scanned,
        header: &BatchHeader,
        window: &mut Window<'_>,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        let at = segment.end.offset;
        let location = Location::new(segment.header.number, at);
        let is_opening = at == BLOCK_BYTES;
        let mut records = header.records(at);
        let mut is_witness = false;
        while let Some(place) = records.next(window).map_err(|fault| self.fault(segment, fault))? {
            let bytes = window.bytes(place.offset, place.bytes())?;
            let group = place.head.group;
            let record = place
                .head
                .decode(&bytes[HEAD_BYTES..])
                .map_err(|error| self.corrupt(segment, place.offset, error.to_string()))?;
            visitor(segment, place.offset, group, &record);
            is_witness = matches!(record, Record::Witness);
            self.replay
                .record(group, record, location, is_opening)
                .map_err(|reason| self.corrupt(segment, place.offset, reason))?;
        }
        if is_opening {
            self.replay
                .segment_is_open(header.records)
                .map_err(|reason| self.corrupt(segment, at, reason))?;
        }
        segment.end = End { offset: header.next_offset(at), chain: header.checksum };
        segment.last_batch = at;
        segment.batches += 1;
        segment.records += u64::from(header.records);
        segment.is_settled = is_witness;
        Ok(())
    }

    /// Nothing behind the end of the newest segment may say that the log was durable beyond it, or belong where it ends.
    /// A batch of an earlier place is one that the disk has put there by mistake: it takes nothing away, but the log must
    /// not grow up to it. Whether there is none of those either.
    fn require_never_durable(
        &self,
        segment: &Scanned,
        window: &mut Window<'_>,
        what: &str,
    ) -> Result<bool, StorageError> {
        let (end, mut is_blank) = (segment.end.offset, true);
        for at in (end + BLOCK_BYTES..segment.header.length).step_by(BLOCK_BYTES as usize) {
            let Some(header) = BatchHeader::parse(window.bytes(at, HEADER_BYTES)?, segment.header.salt)
            else {
                continue;
            };
            let refuse =
                |why| Err(self.corrupt(segment, end, format!("{what}, but the batch at byte {at} {why}")));
            if header.synced_upto > end {
                if !planted(Bug::CutsTheAcknowledged) {
                    return refuse("was written when this was durable");
                }
            } else if header.synced_upto == end || segment.batches == 0 {
                // Without a batch of its own the segment has no earlier place.
                return refuse("belongs here");
            } else {
                is_blank = false;
            }
        }
        Ok(is_blank)
    }

    fn fault(&self, segment: &Scanned, fault: Fault) -> StorageError {
        match fault {
            Fault::Unreadable(error) => error,
            Fault::Broken { offset, reason } => self.corrupt(segment, offset, reason.to_owned()),
        }
    }

    fn corrupt(&self, segment: &Scanned, offset: u64, reason: String) -> StorageError {
        let index = self.replay.last_index;
        StorageError::Corrupt { segment: segment.path.clone(), offset, index, reason }
    }
}

/// What stands at a place where a batch may start.
enum Found {
    /// A whole batch.
    Batch(BatchHeader),
    /// The end of the segment.
    Seal { number: u64, salt: u64 },
    /// The header of a batch whose records are not all there.
    Torn { reason: &'static str },
    /// No batch.
    Nothing,
}

fn require_consecutive(dir: &Path, numbers: &[u64]) -> Result<(), StorageError> {
    let missing = match numbers {
        [] | [0, ..] => Some(1),
        _ => numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]).map(|pair| pair[0] + 1),
    };
    let Some(missing) = missing else { return Ok(()) };
    let reason = "the segment is missing".to_owned();
    let segment = segment_path(dir, missing);
    Err(StorageError::Corrupt { segment, offset: 0, index: LogIndex::ZERO, reason })
}

fn open(
    files: &dyn Files,
    dir: &Path,
    identity: &Identity,
    number: u64,
    access: Access,
) -> Result<Scanned, StorageError> {
    let path = segment_path(dir, number);
    let file = files.open(&path, access).map_err(StorageError::io("open", &path))?;
    let length = file.len().map_err(StorageError::io("measure", &path))?;
    let mut block = vec![0; length.min(BLOCK_BYTES) as usize];
    file.read_exact_at(&mut block, 0).map_err(StorageError::io("read", &path))?;
    let header = SegmentHeader::decode(&block, &path, identity, number, length)?;
    let end = End { offset: BLOCK_BYTES, chain: header.follows.chain };
    Ok(Scanned {
        path,
        file,
        header,
        end,
        last_batch: end.offset,
        ending: Ending::Clean,
        batches: 0,
        records: 0,
        is_settled: false,
    })
}
