//! The file `identity`: whose directory this is, and whether its founding was completed.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `quor-dir` |
//! | 8 | 4 | format |
//! | 12 | 4 | 1: being founded, 2: founded; 3 and 4: the same for a storage that joins a cluster |
//! | 16 | 8 | node |
//! | 24 | 8 | cluster |
//! | 32 | 8 | incarnation |
//! | 40 | 4 | checksum of the bytes before (crc32c) |
//!
//! It is replaced as a whole: written under another name, synced, renamed, the directory synced. Until it says
//! *founded*, whatever else lies in the directory was never promised to anybody, and the directory counts as blank.

use std::path::Path;

use super::FORMAT;
use super::directory::{identity_path, identity_tmp_path};
use super::files::{Access, Files};
use crate::storage::{Identity, StorageError};
use crate::types::{ClusterId, Incarnation, LogIndex, NodeId};
use crate::wire::{Reader, WireError, Writer};

const MAGIC: &[u8; 8] = b"quor-dir";
const BYTES: usize = 44;

/// How far the founding went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was begun; nothing is promised.
    Founding,
    /// The first entries are durable.
    Founded,
}

/// Writes the identity, durable on return.
pub(super) fn write(
    files: &dyn Files,
    dir: &Path,
    identity: &Identity,
    stage: Stage,
) -> Result<(), StorageError> {
    let mut bytes = Vec::with_capacity(BYTES);
    Writer::new(&mut bytes)
        .bytes(MAGIC)
        .u32(FORMAT)
        .u32(match (stage, identity.joined) {
            (Stage::Founding, false) => 1,
            (Stage::Founded, false) => 2,
            (Stage::Founding, true) => 3,
            (Stage::Founded, true) => 4,
        })
        .u64(identity.node.get())
        .u64(identity.cluster.0)
        .u64(identity.incarnation.0);
    let checksum = crc32c::crc32c(&bytes);
    Writer::new(&mut bytes).u32(checksum);

    let (tmp, path) = (identity_tmp_path(dir), identity_path(dir));
    let file = files.create(&tmp).map_err(StorageError::io_or_full("create", &tmp))?;
    file.write_all_at(&bytes, 0).map_err(StorageError::io_or_full("write", &tmp))?;
    file.sync_data().map_err(StorageError::io_or_full("sync", &tmp))?;
    files.rename(&tmp, &path).map_err(StorageError::io_or_full("rename", &tmp))?;
    files.sync_dir(dir).map_err(StorageError::io("sync", dir))
}

/// Reads the identity of a directory that has one.
pub(super) fn read(files: &dyn Files, dir: &Path) -> Result<(Identity, Stage), StorageError> {
    let path = identity_path(dir);
    let file = files.open(&path, Access::Read).map_err(StorageError::io("open", &path))?;
    let length = file.len().map_err(StorageError::io("measure", &path))?;
    let mut bytes = vec![0; length.min(BYTES as u64) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(StorageError::io("read", &path))?;
    decode(&bytes, length, &path)
}

fn decode(bytes: &[u8], length: u64, path: &Path) -> Result<(Identity, Stage), StorageError> {
    let corrupt = |reason: &str| StorageError::Corrupt {
        segment: path.to_owned(),
        offset: 0,
        index: LogIndex::ZERO,
        reason: reason.to_owned(),
    };
    let mut reader = Reader::new(bytes);
    if !reader.bytes(MAGIC.len()).is_ok_and(|magic| magic == MAGIC) {
        return Err(corrupt("it does not begin as an identity does"));
    }
    match reader.u32() {
        Ok(FORMAT) => {}
        Ok(found) if found > FORMAT => {
            return Err(StorageError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
        }
        _ => return Err(corrupt("it has no format that was ever written")),
    }
    if length != BYTES as u64 {
        return Err(corrupt("it has the wrong length"));
    }
    fields(reader, crc32c::crc32c(&bytes[..BYTES - 4])).map_err(|error| corrupt(&error.to_string()))
}

fn fields(mut reader: Reader<&[u8]>, checksum: u32) -> Result<(Identity, Stage), WireError> {
    let stage = reader.u32()?;
    let (node, cluster, incarnation) = (reader.u64()?, reader.u64()?, reader.u64()?);
    if reader.u32()? != checksum {
        return Err(WireError::Invalid { what: "checksum" });
    }
    let (stage, joined) = match stage {
        1 => (Stage::Founding, false),
        2 => (Stage::Founded, false),
        3 => (Stage::Founding, true),
        4 => (Stage::Founded, true),
        _ => return Err(WireError::Invalid { what: "stage" }),
    };
    let node = NodeId::new(node).ok_or(WireError::Invalid { what: "node" })?;
    let (cluster, incarnation) = (ClusterId(cluster), Incarnation(incarnation));
    Ok((Identity { node, cluster, incarnation, joined }, stage))
}
