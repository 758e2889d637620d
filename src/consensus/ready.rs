//! What one turn asks of its host.

use std::sync::Arc;

use crate::types::{
    EntryMeta, HardState, LogIndex, LogPosition, LogSpan, Membership, Message, NodeId, ReadId, SnapshotMeta,
};

/// All that one turn asks of its host, in the order in which the host does it.
///
/// # The host's contract
/// 1. `send` leaves at once. It promises nothing that is not durable already.
/// 2. If `write` is set, one write follows: `hard_state`, then `restart`, then the entries of `append`. A `restart` drops the
///    whole log: it begins anew after the position of a snapshot, which is durable already. Entries at or after
///    `append.first` that were written before are thereby dropped. Writes take effect in the order of their
///    [`WriteSeq`]; several may be made durable by one sync. The payloads of normal entries and memberships the host has
///    from its proposals and from the spans of [`Raft::step`](super::Raft::step). What consensus appends by itself, the
///    no-op of an election and the configuration that leaves a joint one, comes without either: the host makes these
///    from [`Raft::meta`](super::Raft::meta).
/// 3. `send_when_durable` travels with that write and leaves when it, and every write before it, is durable. Then the
///    host reports [`Persisted`]. A write may be empty: then it is a barrier behind the writes before it.
/// 4. `restore`, whose restart is durable by now, replaces the state of the state machine by that snapshot's. Then
///    `apply`, committed and durable here, goes to it in order, each index once per run of the process, beginning behind
///    [`Restored::applied`] or the snapshot.
/// 5. A read of `reads` is answered when the state machine holds everything up to its index.
///
/// `receive` belongs to no order: the host fetches that snapshot from that node in its own time, tells
/// [`Raft::snapshot_received`](super::Raft::snapshot_received) when all of it is durable, and drops what it was fetching before.
///
/// A failed write is final: the host reports nothing, sends nothing, and stops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// 1. Leaves at once: promises nothing durable.
    pub send: Vec<Outgoing>,
    /// 2. The number of this turn's write; `None` if there is nothing to write or to wait for.
    pub write: Option<WriteSeq>,
    /// Term and vote, first in that write.
    pub hard_state: Option<HardState>,
    /// Then, if a snapshot is installed, where the log begins anew.
    pub restart: Option<SnapshotMeta>,
    /// Then the entries.
    pub append: Option<LogSpan>,
    /// 3. Travels with that write.
    pub send_when_durable: Vec<Outgoing>,
    /// 4. Replaces the state of the state machine.
    pub restore: Option<SnapshotMeta>,
    /// Committed: for the state machine.
    pub apply: Option<LogSpan>,
    /// 5. Then the reads that waited for it.
    pub reads: Vec<ReadReady>,
    /// Reads that this replica cannot answer any more: it lost its leadership or its leader. The asker may ask again.
    pub reads_lost: Vec<ReadId>,
    /// A snapshot to fetch, and who holds it: the log that this replica needs next is gone there.
    pub receive: Option<(NodeId, SnapshotMeta)>,
}

/// A message and its destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outgoing {
    /// Who gets it.
    pub to: NodeId,
    /// What it says.
    pub message: Message,
}

/// A read whose index is known and confirmed by a quorum (thesis §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadReady {
    /// As given to `read_index`.
    pub id: ReadId,
    /// Apply up to here, then read.
    pub index: LogIndex,
}

/// Numbers the writes of one replica: each turn that writes takes the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteSeq(pub u64);

/// All writes up to `through` are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Persisted {
    /// The last write that is durable.
    pub through: WriteSeq,
}

/// What a replica finds when it starts: the durable past. The default is that of one that waits to be added to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The last durable term and vote.
    pub hard_state: HardState,
    /// The position before the first entry of the log ([`LogPosition::ZERO`] unless compacted).
    pub starts_after: LogPosition,
    /// The configuration at `starts_after`; `None` exactly if the log is not compacted: then entry 1 holds the first one.
    pub membership: Option<Arc<Membership>>,
    /// The entries of the log, all of them durable, without payloads. None at all, in a log that is not compacted, is the
    /// start of a replica that waits to be added to a group.
    pub entries: Vec<EntryMeta>,
    /// The newest durable snapshot whose last entry is in the log, or where it starts. Any other one is not used.
    pub snapshot: Option<SnapshotMeta>,
    /// What the state machine holds at the start, of its own or from a snapshot: all of it is committed.
    pub applied: LogPosition,
}
