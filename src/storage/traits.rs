//! The traits that a log on disk or in memory fulfils. Their common contract stands at [`super`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::StorageError;
use crate::types::{
    ClusterId, Entry, EntryMeta, EntryRun, GroupId, HardState, Incarnation, LogIndex, LogPosition,
    Membership, NodeId, SnapshotId, SnapshotMeta,
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
    /// Whether it joined a cluster that was there already, instead of founding one: its log began empty.
    pub joined: bool,
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

/// What one group writes in one batch: term and vote first, then where the log starts anew, then the entries.
#[derive(Clone, Debug)]
pub struct GroupWrite {
    /// Whose write this is.
    pub group: GroupId,
    /// The new term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// A snapshot was installed: the log is empty, and its next entry follows this position, at which this configuration
    /// was in force. All entries that were written before are gone.
    pub restart: Option<(LogPosition, Arc<Membership>)>,
    /// Consecutive entries; whatever was written before at or after the first of them is replaced.
    pub entries: Vec<EntryRun>,
}

/// A durable log of many groups, owned by the one thread that writes it.
pub trait Storage: Send {
    /// Whose storage this is; `None` until it is founded.
    fn identity(&self) -> Option<Identity>;

    /// Makes the storage this node's, with the first entry of each group (`None` in a storage that joins: that log begins
    /// empty). Durable on return, and all or nothing: after a crash it is either founded or as blank as before.
    ///
    /// # Panics
    /// If it is founded already.
    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError>;

    /// What each group had made durable when the storage was opened or founded. Taken once; empty if not founded.
    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered>;

    /// Appends, and makes durable, the writes of many groups in their order. One sync for all of them.
    ///
    /// After an error that [is recoverable](StorageError::is_recoverable) nothing was written, and the same call may be
    /// made again; any other one is final.
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

    /// The snapshots that are kept beside the log; several handles may be used at once, from several threads.
    fn snapshots(&self) -> Box<dyn SnapshotStore>;

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
    ///
    /// It returns a recoverable error as long as the disk is too full for the reserve that a node needs to step aside:
    /// called again later, it says whether there is room again.
    fn turn(&mut self) -> Result<bool, StorageError>;
}

/// The snapshots of a host's groups, kept beside its log.
///
/// A snapshot is there as a whole or not at all, also after a crash. What is read back is checked block by block: content
/// that has rotted is an error, never a wrong answer.
pub trait SnapshotStore: Send {
    /// The snapshots of `group` whose heads and ends are whole, newest position first. Their content is judged when it
    /// is read.
    fn list(&mut self, group: GroupId) -> Result<Vec<SnapshotMeta>, StorageError>;

    /// Begins a snapshot of this node's own state machine at `position`.
    fn create(
        &mut self,
        group: GroupId,
        position: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<Box<dyn SnapshotSink>, StorageError>;

    /// The content of a snapshot, checked as it is read. [`StorageError::NoSuchSnapshot`] if it is not kept (any more).
    fn open(&mut self, group: GroupId, id: SnapshotId) -> Result<Box<dyn SnapshotSource>, StorageError>;

    /// A piece of a snapshot's file as it is, for another node, which checks it: at most `bytes_max` from `offset` on, and
    /// fewer only at the end of the file, or if more than 1 MiB is asked for. `None` if this snapshot is not held (any
    /// more); [`StorageError::BadSnapshot`] if what would be sent has rotted.
    ///
    /// A snapshot that this handle has begun to give away stays readable through it, also when it is pruned, until its
    /// last piece was asked for or the handle is dropped.
    fn piece(
        &mut self,
        group: GroupId,
        id: SnapshotId,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, StorageError>;

    /// Begins, or goes on with, receiving the file of a snapshot that another node holds. What was received of the very
    /// same snapshot before, also before a crash, is kept as far as it is good; what was received of any other is removed.
    fn receive(
        &mut self,
        group: GroupId,
        snapshot: &SnapshotMeta,
    ) -> Result<Box<dyn SnapshotIntake>, StorageError>;

    /// Removes what nobody needs: every snapshot older than the newest that `log_starts_after` does not reach back to, what
    /// was begun and never finished, and of those that it reaches all but a few, among them the oldest and the newest.
    /// Snapshots that somebody reads stay readable to them.
    fn prune(&mut self, group: GroupId, log_starts_after: LogIndex) -> Result<(), StorageError>;
}

/// Takes the content of a snapshot that is being written. Dropped without [`SnapshotSink::finish`] it leaves nothing.
pub trait SnapshotSink: Write + Send {
    /// Completes the snapshot: durable, and listed, on return.
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StorageError>;
}

/// The content of a snapshot. A damaged block is a read error of the kind `InvalidData`.
pub trait SnapshotSource: Read + Send {
    /// Why the last read failed, if it did: the file by name, and where in it.
    fn error(&mut self) -> Option<StorageError>;
}

/// Takes the file of a snapshot from another node, in order.
pub trait SnapshotIntake: Send {
    /// Where in the file the next bytes are expected: behind those that are there and good, and those that were taken
    /// of a part which is not complete yet. A part is judged before it reaches the file; what is incomplete is held in
    /// memory, and lost with this intake: the next one expects it again.
    fn offset(&self) -> u64;

    /// Where a piece best ends that begins at `offset` and has at most `bytes_max`: of one that ends with a part nothing
    /// has to be held until the rest is there. Any other is taken as well.
    fn piece_end(&self, offset: u64, bytes_max: u64) -> u64 {
        offset.saturating_add(bytes_max)
    }

    /// The next bytes of the file, which nobody has judged on their way. Damaged ones are an error
    /// ([`StorageError::BadSnapshot`]) after which nothing but dropping makes sense; what was good before stays. On a full disk ([`StorageError::DiskFull`]), and if the disk
    /// fails, everything that was received is removed when the intake is dropped.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// The file is complete: judges it as a whole, and makes it durable and listed.
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StorageError>;
}
