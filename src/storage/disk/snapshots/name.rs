//! How snapshots' files are called.
//!
//! `<group, 10 digits>-<index, 20 digits>-<id, 16 hexadecimal digits>.<how far it is>`: sorted by name, they are sorted
//! by group and position.

use std::path::{Path, PathBuf};

use crate::types::{GroupId, LogIndex, SnapshotId};

/// What a file name says of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::storage::disk) struct SnapshotName {
    pub(in crate::storage::disk) group: GroupId,
    pub(in crate::storage::disk) index: LogIndex,
    pub(in crate::storage::disk) id: SnapshotId,
    pub(in crate::storage::disk) stage: Stage,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::storage::disk) enum Stage {
    /// It is there.
    Whole,
    /// Another node's is being received; what is good of it is kept.
    Receiving,
    /// This node's own is being written; worth nothing once its writer is gone.
    Writing,
}

impl Stage {
    const ALL: [(Self, &str); 3] =
        [(Self::Whole, "snapshot"), (Self::Receiving, "receiving"), (Self::Writing, "writing")];

    fn extension(self) -> &'static str {
        let known = Self::ALL.iter().find(|(stage, _)| *stage == self);
        known.map(|(_, extension)| *extension).expect("every stage has an extension")
    }
}

impl SnapshotName {
    /// Only names as we write them.
    pub(in crate::storage::disk) fn parse(name: &str) -> Option<Self> {
        let (stem, extension) = name.split_once('.')?;
        let (stage, _) = *Stage::ALL.iter().find(|(_, known)| *known == extension)?;
        let mut parts = stem.split('-');
        let group = GroupId(parts.next()?.parse().ok()?);
        let index = LogIndex(parts.next()?.parse().ok()?);
        let id = SnapshotId(u64::from_str_radix(parts.next()?, 16).ok()?);
        let parsed = Self { group, index, id, stage };
        (parsed.file_name() == name).then_some(parsed)
    }

    /// The same snapshot when it is further, or was less far.
    pub(in crate::storage::disk) fn with_stage(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    fn file_name(self) -> String {
        let Self { group, index, id, stage } = self;
        format!("{:010}-{:020}-{id}.{}", group.0, index.0, stage.extension())
    }

    pub(in crate::storage::disk) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_they_are_written_are_ours() {
        let name = SnapshotName {
            group: GroupId(1),
            index: LogIndex(42),
            id: SnapshotId(0xab),
            stage: Stage::Receiving,
        };
        assert_eq!(name.file_name(), "0000000001-00000000000000000042-00000000000000ab.receiving");
        assert_eq!(SnapshotName::parse(&name.file_name()), Some(name));
        for foreign in [
            "0000000001-00000000000000000042-00000000000000ab",
            "0000000001-00000000000000000042-00000000000000AB.snapshot",
            "1-00000000000000000042-00000000000000ab.snapshot",
            "0000000001-42-00000000000000ab.snapshot",
            "0000000001-00000000000000000042-ab.snapshot",
            "0000000001-00000000000000000042-00000000000000ab-1.snapshot",
            "0000000001-00000000000000000042-00000000000000ab.snapshot.bak",
            "+000000001-00000000000000000042-00000000000000ab.snapshot",
        ] {
            assert_eq!(SnapshotName::parse(foreign), None, "{foreign}");
        }
    }
}
