//! A snapshot's file that is there: its head and its end are judged when it is opened, the rest when it is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::direct::Direct;
use super::format::{END_BYTES, End, Flaw, HEAD_UNIT_BYTES, Head, Layout, Part, fold, judge_block};
use super::name::SnapshotName;
use super::shared::Snapshots;
use crate::storage::StorageError;
use crate::storage::disk::files::{Access, DataFile, Files};
use crate::types::SnapshotMeta;

/// An open snapshot whose head and end are whole.
pub(super) struct Whole {
    pub(super) path: PathBuf,
    file: Arc<dyn DataFile>,
    /// The way past the page cache, if that is the better one.
    direct: Option<Direct>,
    pub(super) head: Head,
    pub(super) layout: Layout,
    /// What the head's checksum makes the checksum of the checksums begin with.
    pub(super) checksums_begin: u32,
    /// What it must be in the end.
    pub(super) checksums_end: u32,
}

impl Whole {
    /// Opens the file of that name. Fails with [`StorageError::BadSnapshot`] if head or end are not whole, or not those
    /// of a snapshot of this name and cluster.
    pub(super) fn open(shared: &Snapshots, name: SnapshotName) -> Result<Self, StorageError> {
        let path = name.path(&shared.dir);
        let file = match shared.files.open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::NoSuchSnapshot { id: name.id });
            }
            opened => opened.map_err(shared.io_or_full("open", &path))?,
        };
        let length = file.len().map_err(StorageError::io("measure", &path))?;
        let (head, head_bytes, checksum) = read_head(&*file, length, &path)?;
        let flaw = |flaw: Flaw| flaw.of(&path);
        if head.cluster != shared.cluster()? {
            return Err(flaw(Flaw::bad(24, format!("it belongs to cluster {}", head.cluster))));
        }
        if (head.group, head.position.index, head.id) != (name.group, name.index, name.id) {
            return Err(flaw(Flaw::bad(32, "it holds another snapshot under this name")));
        }
        let layout = Layout::new(head_bytes, length).map_err(flaw)?;
        let end = read(&*file, layout.end_offset(), END_BYTES, &path)?;
        let checksums_end = End::judge(head.id, layout, &end).map_err(flaw)?;
        let checksums_begin = fold(0, checksum);
        Ok(Self { path, file, direct: None, head, layout, checksums_begin, checksums_end })
    }

    /// Opens the file of that name to read all of it.
    pub(super) fn open_to_read(shared: &Snapshots, name: SnapshotName) -> Result<Self, StorageError> {
        let whole = Self::open(shared, name)?;
        let is_uncached = shared.is_uncached(name.id);
        let direct = is_uncached.then(|| Direct::open(&*shared.files, &whole.path)).flatten();
        Ok(Self { direct, ..whole })
    }

    pub(super) fn meta(&self) -> SnapshotMeta {
        self.head.meta(self.layout.bytes())
    }

    /// Judges the parts that `bytes`, which stand at `offset`, consist of.
    pub(super) fn judge_parts(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let (part, start, end) = self.layout.part(at);
            assert!(start == at, "a part is judged from its middle on");
            let (bytes, behind) = rest.split_at((end - start) as usize);
            self.judge_part(part, bytes, start).map_err(|flaw| flaw.of(&self.path))?;
            (rest, at) = (behind, end);
        }
        Ok(())
    }

    fn judge_part(&self, part: Part, bytes: &[u8], offset: u64) -> Result<(), Flaw> {
        match part {
            Part::Head if Head::decode(bytes)?.0 == self.head => Ok(()),
            Part::Head => Err(Flaw::bad(offset, "its head has changed")),
            Part::Block(number) => judge_block(self.head.id, number, bytes, offset).map(|_| ()),
            Part::End => End::judge(self.head.id, self.layout, bytes).map(|_| ()),
        }
    }

    /// Fills `bytes` from `offset` on; from whole pages of memory it may spare the page cache.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), StorageError> {
        // Whatever stands in the way of that, the other way tells, if it stands there too.
        let read = self.direct.as_ref().and_then(|direct| direct.read(bytes, offset).ok()).unwrap_or(0);
        read_into(&*self.file, &mut bytes[read..], offset + read as u64, &self.path)
    }
}

/// The head of the file at `path`, which is there.
pub(super) fn head(files: &dyn Files, path: &Path) -> Result<Head, StorageError> {
    let file = files.open(path, Access::Read).map_err(StorageError::io("open", path))?;
    let length = file.len().map_err(StorageError::io("measure", path))?;
    read_head(&*file, length, path).map(|(head, _, _)| head)
}

/// The head of a file of `length` bytes, how long it is, and its checksum.
fn read_head(file: &dyn DataFile, length: u64, path: &Path) -> Result<(Head, usize, u32), StorageError> {
    let flaw = |flaw: Flaw| flaw.of(path);
    let require = |bytes: usize| {
        if bytes as u64 <= length { Ok(()) } else { Err(flaw(Flaw::bad(length, "it ends within its head"))) }
    };
    require(HEAD_UNIT_BYTES)?;
    let head_bytes = Head::length(&read(file, 0, HEAD_UNIT_BYTES, path)?).map_err(flaw)?;
    require(head_bytes)?;
    let (head, checksum) = Head::decode(&read(file, 0, head_bytes, path)?).map_err(flaw)?;
    Ok((head, head_bytes, checksum))
}

fn read(file: &dyn DataFile, offset: u64, bytes: usize, path: &Path) -> Result<Vec<u8>, StorageError> {
    let mut read = vec![0; bytes];
    read_into(file, &mut read, offset, path)?;
    Ok(read)
}

/// What the disk does not give back has rotted like any other: it costs the node this snapshot, and nothing else.
fn read_into(file: &dyn DataFile, bytes: &mut [u8], offset: u64, path: &Path) -> Result<(), StorageError> {
    let lost = |error: io::Error| Flaw::bad(offset, format!("it cannot be read: {error}")).of(path);
    file.read_exact_at(bytes, offset).map_err(lost)
}
