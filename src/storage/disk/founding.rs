//! Founding: all or nothing. Until its last step the directory counts as blank.

use std::sync::Arc;

use super::appender::{Appender, segment_bytes_for};
use super::batch::BLOCK_BYTES;
use super::directory::{Directory, segment_path};
use super::header::End;
use super::identity::{self, Stage};
use super::log::DiskLog;
use super::record::{RESTATEMENT_BYTES, Restatement, entry_bytes};
use crate::storage::{Identity, Recovered, StorageError};
use crate::types::{Entry, GroupId, HardState, LogPosition};

impl DiskLog {
    /// Makes the log `identity`'s, with the first entry of each group.
    pub(super) fn found_all(
        &mut self,
        identity: &Identity,
        groups: &[(GroupId, Option<Entry>)],
    ) -> Result<(), StorageError> {
        let (files, dir) = (Arc::clone(&self.files), self.config.dir.clone());
        identity::write(&*files, &dir, identity, Stage::Founding)?;
        self.found_segment(groups)?;
        identity::write(&*files, &dir, identity, Stage::Founded)?;
        self.recovered =
            groups.iter().map(|(group, entry)| (*group, founding_state(entry.as_ref()))).collect();
        Ok(())
    }

    /// Everything of the founding but the mark that it is complete.
    fn found_segment(&mut self, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        let leftovers = Directory::list(&*self.files, &self.config.dir)?.segments;
        for number in leftovers {
            let path = segment_path(&self.config.dir, number);
            self.files.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
        self.groups = groups.iter().map(|&(group, _)| (group, Restatement::default())).collect();
        let opening_bytes = (groups.len() * RESTATEMENT_BYTES) as u64;
        let spare = self.spare(segment_bytes_for(opening_bytes, BLOCK_BYTES))?;
        let first = self.name_segment(spare, 1, End::default())?;
        let end = End { offset: BLOCK_BYTES, chain: 0 };
        self.publish(Arc::clone(&first));
        self.pool.keep_reserve();
        self.appender = Some(Appender::new(first, end, Arc::clone(&self.metrics)));
        self.open_segment()?;
        for (group, entry) in groups {
            let Some(entry) = entry else { continue };
            self.make_room(entry_bytes(&entry.payload) as u64)?;
            self.entry(*group, entry);
        }
        self.flush()?;
        self.appender().witness()
    }
}

fn founding_state(entry: Option<&Entry>) -> Recovered {
    Recovered {
        hard_state: HardState::default(),
        starts_after: LogPosition::ZERO,
        membership: None,
        entries: entry.map(Entry::meta).into_iter().collect(),
    }
}
