//! The names in a data directory, and whether they are ours.
//!
//! | name | what it is |
//! |---|---|
//! | `lock` | empty; locked while a process has the directory open |
//! | `identity` | whose directory this is |
//! | `identity.tmp` | an identity that was being written |
//! | `0000000001.log` … | the segments of the log |
//! | `spare-0000000001` … | files prepared to become segments; their content means nothing |
//! | `0000000001-00000000000000000042-….snapshot` | a snapshot: group, index, id (`snapshots/name.rs`) |
//! | … `.receiving`, `.writing` | one that is not complete |

use std::path::{Path, PathBuf};

use super::files::Files;
use super::snapshots::SnapshotName;
use crate::storage::StorageError;

/// What the names in a data directory say.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Whether somebody has locked it before.
    pub(super) has_lock: bool,
    /// Whether it says whose it is.
    pub(super) has_identity: bool,
    /// The numbers of its segments, sorted.
    pub(super) segments: Vec<u64>,
    /// The numbers of its spares, sorted.
    pub(super) spares: Vec<u64>,
    /// Its snapshots, complete or not.
    pub(super) snapshots: Vec<SnapshotName>,
}

impl Directory {
    /// Lists `dir`; refuses what is not ours.
    pub(super) fn list(files: &dyn Files, dir: &Path) -> Result<Self, StorageError> {
        let mut found = Self::default();
        for listed in files.list(dir).map_err(StorageError::io("list", dir))? {
            if !(listed.is_file && found.take(&listed.name)) && listed.name != FILE_SYSTEMS_OWN {
                return Err(StorageError::Foreign { path: dir.to_owned(), found: listed.name });
            }
        }
        found.segments.sort_unstable();
        found.spares.sort_unstable();
        found.snapshots.sort_unstable();
        Ok(found)
    }

    fn take(&mut self, name: &str) -> bool {
        match name {
            LOCK => self.has_lock = true,
            IDENTITY => self.has_identity = true,
            IDENTITY_BEING_WRITTEN => {}
            _ => {
                if let Some(number) = name.strip_suffix(".log").and_then(number) {
                    self.segments.push(number);
                } else if let Some(number) = name.strip_prefix("spare-").and_then(number) {
                    self.spares.push(number);
                } else if let Some(name) = SnapshotName::parse(name) {
                    self.snapshots.push(name);
                } else {
                    return false;
                }
            }
        }
        true
    }
}

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const IDENTITY_BEING_WRITTEN: &str = "identity.tmp";

/// Some file systems put this into the root of a disk.
const FILE_SYSTEMS_OWN: &str = "lost+found";

/// Only numbers as we write them: ten digits, or more without a leading zero.
fn number(digits: &str) -> Option<u64> {
    let number = digits.parse().ok()?;
    (digits == format!("{number:010}")).then_some(number)
}

/// The file that is locked.
pub(super) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK)
}

/// The file that says whose directory it is.
pub(super) fn identity_path(dir: &Path) -> PathBuf {
    dir.join(IDENTITY)
}

/// Where an identity is written before it gets its name.
pub(super) fn identity_tmp_path(dir: &Path) -> PathBuf {
    dir.join(IDENTITY_BEING_WRITTEN)
}

/// The segment with that number.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log"))
}

/// The spare with that number.
pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("spare-{number:010}"))
}
