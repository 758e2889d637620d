//! The traits that a log on disk or in memory fulfils. Their common contract stands at [`super`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StorageError;
use crate::types::{
    ClusterId, Entry, EntryMeta, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition,
    Membership, NodeId,
};

/// Whose storage this is. Written once, when it is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node whose promises are kept here.
    pub node: NodeId,
    /// The cluster it made them in.
    pub cluster: ClusterId,
    /// Drawn at random when the storage was founded.
    pub incarnation: Incarnation,
}

/// Everything that one group had made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last term and vote.
    pub hard_state: HardState,
    /// The position before the first entry; [`LogPosition::ZERO`] unless the log was compacted.
    pub starts_after: LogPosition,
    /// The configuration at `starts_after`; `None` exactly if the log is not compacted.
    pub membership: Option<Arc<Membership>>,
    /// The log, without payloads.
    pub entries: Vec<EntryMeta>,
}

/// What one group writes in one batch: term and vote first, then the entries.
#[derive(Clone, Debug)]
pub struct GroupWrite {
    /// Whose write this is.
    pub group: GroupId,
    /// The new term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// Consecutive entries; whatever was written before at or after the first of them is replaced.
    pub entries: Vec<EntryRun>,
}

/// A durable log of many groups, owned by the one thread that writes it.
pub trait Storage: Send {
    /// Whose storage this is; `None` until it is founded.
    fn identity(&self) -> Option<Identity>;

    /// Makes the storage this node's, with the first entry of each group. Durable on return, and all or nothing: after a
    /// crash it is either founded or as blank as before.
    ///
    /// # Panics
    /// If it is founded already.
    fn found(&mut self, identity: Identity, groups: &[(GroupId, Entry)]) -> Result<(), StorageError>;

    /// What each group had made durable when the storage was opened or founded. Taken once; empty if not founded.
    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered>;

    /// Appends, and makes durable, the writes of many groups in their order. One sync for all of them.
    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError>;

    /// Called when no write has come for a while and before a clean stop: leaves the log in a state in which a later
    /// loss of its end is recognised as one. Durable on return. Cheap if nothing was written since.
    fn settle(&mut self) -> Result<(), StorageError>;

    /// The largest [`Entry`] payload that [`Storage::write`] takes, in bytes.
    fn entry_bytes_max(&self) -> u32;

    /// Releases the entries of `group` up to and including `through`: they may be deleted, and are not read again.
    /// `membership` is the configuration in force at `through`.
    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError>;

    /// A second pair of eyes, for another thread: reads entries that were durable when it is asked.
    fn reader(&self) -> Box<dyn LogReader>;

    /// Work that must not delay a write (such as preparing space ahead), for another thread; `None` if there is none.
    fn upkeep(&self) -> Option<Box<dyn Upkeep>>;
}

/// Reads a log that somebody else writes.
pub trait LogReader: Send {
    /// The entries from `first` on, at most through `last`, as many as fit into `bytes_max` but at least one.
    ///
    /// The caller asks for durable entries only. They may be replaced meanwhile: whoever needs certain entries compares
    /// their positions.
    fn read(
        &mut self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError>;
}

/// Work on the storage that runs beside its writer.
pub trait Upkeep: Send {
    /// Does one small step. `true` if another one waits. After `false` it is called again once a write has made new work.
    fn turn(&mut self) -> Result<bool, StorageError>;
}
