//! Looks at the directory of a stopped node, and changes nothing.
//!
//! It reads as recovery does, verifies every checksum on the way, and reports what stands there instead of going on
//! with it: also of a log that a node would refuse.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FORMAT;
use super::directory::{Directory, lock_path};
use super::files::{Access, Files, Lock, RealFiles};
use super::identity::{self, Stage};
use super::record::Record;
use super::recovery::{Ending, Scan, Scanned};
use super::snapshots::{self, SnapshotReport, Snapshots};
use crate::storage::{Identity, StorageError};
use crate::types::{EntryKind, GroupId, HardState, LogIndex, LogPosition};
use crate::wire::decode_kind;

/// What stands in a data directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The directory.
    pub dir: PathBuf,
    /// The format that it is read as.
    pub format: u32,
    /// Whose it is; `None` if it was never founded.
    pub identity: Option<Identity>,
    /// Its segments, oldest first, as far as they were read.
    pub segments: Vec<SegmentReport>,
    /// How many spare files lie beside them.
    pub spares: usize,
    /// Its groups, in the order of their ids.
    pub groups: Vec<GroupReport>,
    /// Its snapshots, in the order of their groups and positions.
    pub snapshots: Vec<SnapshotReport>,
    /// How it ends.
    pub end: LogEnd,
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its number, from 1 on.
    pub number: u64,
    /// How long the file is.
    pub bytes: u64,
    /// Where its valid batches end.
    pub valid_bytes: u64,
    /// How many batches they are.
    pub batches: u64,
    /// How many records are in them.
    pub records: u64,
    /// What stands behind them.
    pub state: SegmentState,
}

/// What stands where the valid batches of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Nothing: batches are added there.
    Open,
    /// A batch that was being written when power failed.
    Torn,
    /// The record that names the next segment.
    Sealed,
    /// Something that the header of the next segment cuts off.
    Cut,
}

/// One group of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReport {
    /// Which one.
    pub group: GroupId,
    /// Its term and vote.
    pub hard_state: HardState,
    /// The position before its first entry.
    pub starts_after: LogPosition,
    /// Its first entry; above the last if there is none.
    pub first: LogIndex,
    /// Its last entry; `starts_after` if there is none.
    pub last: LogPosition,
}

/// How a log ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogEnd {
    /// It was never founded.
    Blank,
    /// With a whole batch. If it is settled, a loss of anything in it is noticed.
    Clean {
        /// Whether the last batch is a witness.
        settled: bool,
    },
    /// With a batch that was being written when power failed: the next start cuts it off.
    Torn {
        /// In which segment.
        segment: u64,
        /// Where it starts.
        offset: u64,
    },
    /// What was durable is damaged: a node does not start with it.
    Corrupt(StorageError),
}

/// One record, for a listing. Its text says what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordReport {
    /// In which segment it stands.
    pub segment: u64,
    /// Where.
    pub offset: u64,
    /// Whose it is; `None` if it is nobody's.
    pub group: Option<GroupId>,
    /// What it holds.
    pub what: String,
}

/// Reads the whole log in `dir`, which no node may have open, and writes nothing.
pub fn inspect(dir: &Path) -> Result<Report, StorageError> {
    inspect_records(dir, &mut |_| {})
}

/// As [`inspect`], telling `seen` of every valid record in order.
pub fn inspect_records(dir: &Path, seen: &mut dyn FnMut(RecordReport)) -> Result<Report, StorageError> {
    let files = RealFiles::default();
    let directory = Directory::list(&files, dir)?;
    let lock = share_lock(&files, dir, &directory)?;
    let founded = if directory.has_identity { Some(identity::read(&files, dir)?) } else { None };
    let Some((identity, Stage::Founded)) = founded else {
        return Ok(Report::blank(dir, &directory));
    };
    let mut scan = Scan::new(Access::Read);
    let read =
        scan.read(&files, dir, &identity, &directory.segments, &mut |segment, offset, group, record| {
            seen(RecordReport::new(segment, offset, group, record));
        });
    let mut report = Report::of(dir, &directory, identity, scan, read);
    let snapshots = Snapshots::new(Arc::new(files), dir.to_owned(), Arc::default(), Arc::new(lock));
    snapshots.belong_to(identity.cluster);
    report.snapshots = snapshots::report(&snapshots, &directory.snapshots);
    Ok(report)
}

/// Keeps nodes out while the log is read; a directory that was never locked has none.
fn share_lock(files: &dyn Files, dir: &Path, directory: &Directory) -> Result<Option<Lock>, StorageError> {
    if !directory.has_lock {
        return Ok(None);
    }
    let path = lock_path(dir);
    let lock = files.lock(&path, Access::Read).map_err(StorageError::io("lock", &path))?;
    lock.map(Some).ok_or_else(|| StorageError::Locked { path: dir.to_owned() })
}

impl Report {
    fn blank(dir: &Path, directory: &Directory) -> Self {
        Self {
            dir: dir.to_owned(),
            format: FORMAT,
            identity: None,
            segments: Vec::new(),
            spares: directory.spares.len(),
            groups: Vec::new(),
            snapshots: Vec::new(),
            end: LogEnd::Blank,
        }
    }

    fn of(
        dir: &Path,
        directory: &Directory,
        identity: Identity,
        scan: Scan,
        read: Result<(), StorageError>,
    ) -> Self {
        let segments = scan.segments.iter().map(SegmentReport::new).collect();
        let groups = scan.replay.groups().map(|(group, known, first)| GroupReport {
            group,
            hard_state: known.hard_state,
            starts_after: known.starts_after,
            first,
            last: known.last,
        });
        let groups = groups.collect();
        let end = match read.and_then(|()| scan.finish()) {
            Err(error) => LogEnd::Corrupt(error),
            Ok(recovery) => recovery.segments.last().map_or(LogEnd::Blank, LogEnd::new),
        };
        let spares = directory.spares.len();
        Self {
            dir: dir.to_owned(),
            format: FORMAT,
            identity: Some(identity),
            segments,
            spares,
            groups,
            snapshots: Vec::new(),
            end,
        }
    }
}

impl LogEnd {
    fn new(newest: &Scanned) -> Self {
        match newest.ending {
            Ending::Torn => Self::Torn { segment: newest.header.number, offset: newest.end.offset },
            _ => Self::Clean { settled: newest.is_settled },
        }
    }
}

impl SegmentReport {
    fn new(scanned: &Scanned) -> Self {
        Self {
            number: scanned.header.number,
            bytes: scanned.header.length,
            valid_bytes: scanned.end.offset,
            batches: scanned.batches,
            records: scanned.records,
            state: match scanned.ending {
                Ending::Clean => SegmentState::Open,
                Ending::Torn => SegmentState::Torn,
                Ending::Sealed => SegmentState::Sealed,
                Ending::Cut => SegmentState::Cut,
            },
        }
    }
}

impl RecordReport {
    fn new(segment: &Scanned, offset: u64, group: GroupId, record: &Record<'_>) -> Self {
        let (group, what) = match record {
            Record::Entry { position, payload } => (Some(group), describe_entry(*position, payload)),
            Record::HardState(state) => (Some(group), describe_hard_state(*state)),
            Record::Restatement(known) => {
                let state = describe_hard_state(known.hard_state);
                (
                    Some(group),
                    format!(
                        "restated: {state}, starts after {}, ends with {}",
                        known.starts_after, known.last
                    ),
                )
            }
            Record::Seal { next_number, .. } => (None, format!("seal: segment {next_number} follows")),
            Record::Witness => (None, "witness".to_owned()),
        };
        Self { segment: segment.header.number, offset, group, what }
    }
}

fn describe_entry(position: LogPosition, payload: &[u8]) -> String {
    match decode_kind(payload) {
        Ok((EntryKind::Normal, bytes)) => format!("entry {position}: command of {bytes} bytes"),
        Ok((EntryKind::Noop, _)) => format!("entry {position}: no-op"),
        Ok((EntryKind::Membership(membership), _)) => {
            format!("entry {position}: membership of {} nodes", membership.members().count())
        }
        Err(error) => format!("entry {position}: unreadable, {error}"),
    }
}

fn describe_hard_state(state: HardState) -> String {
    match state.voted_for {
        Some(node) => format!("term {}, vote for {node}", state.term),
        None => format!("term {}, no vote", state.term),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "directory  {}", self.dir.display())?;
        let Some(Identity { node, cluster, incarnation, joined }) = self.identity else {
            return write!(f, "log        blank: it was never founded");
        };
        let how = if joined { "joined" } else { "founding member" };
        writeln!(f, "identity   node {node}, cluster {cluster}, incarnation {incarnation}, {how}")?;
        writeln!(f, "format     {}", self.format)?;
        for segment in &self.segments {
            writeln!(f, "segment    {segment}")?;
        }
        writeln!(f, "spares     {}", self.spares)?;
        for group in &self.groups {
            writeln!(f, "group      {group}")?;
        }
        for snapshot in &self.snapshots {
            writeln!(f, "snapshot   {snapshot}")?;
        }
        write!(f, "end        {}", self.end)
    }
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, bytes, valid_bytes, batches, records, state } = self;
        let state = match state {
            SegmentState::Open => "open",
            SegmentState::Torn => "torn",
            SegmentState::Sealed => "sealed",
            SegmentState::Cut => "cut",
        };
        write!(f, "{number}: {state}, {valid_bytes} of {bytes} bytes, {batches} batches, {records} records")
    }
}

impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, hard_state, first, last, .. } = self;
        write!(f, "{group}: {}, ", describe_hard_state(*hard_state))?;
        if *first > last.index {
            write!(f, "no entries after {last}")
        } else {
            write!(f, "entries {first} to {} (the last of term {})", last.index, last.term)
        }
    }
}

impl fmt::Display for LogEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => write!(f, "blank"),
            Self::Clean { settled: true } => write!(f, "clean, settled"),
            Self::Clean { settled: false } => write!(f, "clean, not settled"),
            Self::Torn { segment, offset } => {
                write!(f, "torn at byte {offset} of segment {segment}: the next start cuts it off")
            }
            Self::Corrupt(error) => write!(f, "corrupt: {error}"),
        }
    }
}

impl fmt::Display for RecordReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, group, what } = self;
        match group {
            Some(group) => write!(f, "{segment}:{offset} group {group}: {what}"),
            None => write!(f, "{segment}:{offset} {what}"),
        }
    }
}
