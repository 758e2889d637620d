//! A log in memory that survives the replica which writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use crate::types::{Entry, EntryRun, GroupId, HardState, LogIndex, LogPosition, Membership};

/// One group's log. Its clones share it.
#[derive(Clone)]
pub(crate) struct SharedLog(Arc<Mutex<Contents>>);

struct Contents {
    hard_state: HardState,
    starts_after: LogPosition,
    membership: Option<Arc<Membership>>,
    entries: Vec<Entry>,
    writes: usize,
    fails: bool,
}

impl SharedLog {
    pub(crate) fn founded_with(founding: Entry) -> Self {
        Self::of(vec![founding])
    }

    /// The log of a node that waits to be added to a group.
    pub(crate) fn empty() -> Self {
        Self::of(Vec::new())
    }

    fn of(entries: Vec<Entry>) -> Self {
        Self(Arc::new(Mutex::new(Contents {
            hard_state: HardState::default(),
            starts_after: LogPosition::ZERO,
            membership: None,
            entries,
            writes: 0,
            fails: false,
        })))
    }

    pub(crate) fn recover(&self) -> Recovered {
        let contents = self.0.lock();
        Recovered {
            hard_state: contents.hard_state,
            starts_after: contents.starts_after,
            membership: contents.membership.clone(),
            entries: contents.entries.iter().map(Entry::meta).collect(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.clone()
    }

    pub(crate) fn writes(&self) -> usize {
        self.0.lock().writes
    }

    /// From now on every write fails.
    pub(crate) fn fail(&self) {
        self.0.lock().fails = true;
    }
}

impl Storage for SharedLog {
    fn identity(&self) -> Option<Identity> {
        None
    }

    fn found(
        &mut self,
        _identity: Identity,
        _groups: &[(GroupId, Option<Entry>)],
    ) -> Result<(), StorageError> {
        unreachable!("founded when made")
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        BTreeMap::from([(GroupId::MAIN, self.recover())])
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        let mut contents = self.0.lock();
        if contents.fails {
            return Err(StorageError::Poisoned);
        }
        contents.writes += 1;
        for write in writes {
            contents.hard_state = write.hard_state.unwrap_or(contents.hard_state);
            if let Some((position, membership)) = &write.restart {
                contents.entries.clear();
                (contents.starts_after, contents.membership) = (*position, Some(Arc::clone(membership)));
            }
            for entry in write.entries.iter().flat_map(EntryRun::entries) {
                assert!(
                    entry.position.index > contents.starts_after.index,
                    "an entry is written after its release"
                );
                let place = entry.position.index.prev().distance_from(contents.starts_after.index) as usize;
                assert!(place <= contents.entries.len(), "a write leaves a gap in the log");
                contents.entries.truncate(place);
                contents.entries.push(entry.clone());
            }
        }
        Ok(())
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        unreachable!("the nodes of these tests have a store of their own")
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn entry_bytes_max(&self) -> u32 {
        u32::MAX
    }

    fn release(
        &mut self,
        _: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        let mut contents = self.0.lock();
        let released = through.index.distance_from(contents.starts_after.index) as usize;
        if released > 0 {
            assert!(released <= contents.entries.len(), "more is released than the log holds");
            assert_eq!(contents.entries[released - 1].position, through, "another entry is released");
            contents.entries.drain(..released);
            (contents.starts_after, contents.membership) = (through, Some(Arc::clone(membership)));
        }
        Ok(())
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(self.clone())
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        None
    }
}

impl LogReader for SharedLog {
    fn read(
        &mut self,
        _group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let contents = self.0.lock();
        if first <= contents.starts_after.index {
            return Err(StorageError::NoSuchEntry { index: first });
        }
        let mut bytes = 0;
        let from_first = contents.entries.iter().skip_while(|entry| entry.position.index < first);
        let wanted = from_first.take_while(|entry| {
            bytes += u64::from(entry.payload.bytes());
            entry.position.index == first || (entry.position.index <= last && bytes <= bytes_max)
        });
        let entries: Vec<_> = wanted.cloned().collect();
        if entries.is_empty() { Err(StorageError::NoSuchEntry { index: first }) } else { Ok(entries) }
    }
}
