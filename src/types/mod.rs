//! Plain data that every room speaks of: ids, positions, entries, membership, messages.
//!
//! Nothing here does I/O, knows a clock or takes a lock. A type that can be wrong is judged once, where it
//! is made ([`LogSlice::new`], [`Membership::founding`]), and trusted from then on.

mod change;
mod client_message;
mod entry;
mod id;
mod membership;
mod message;
mod moment;
mod peer_message;
mod position;
mod session;
mod snapshot;

pub use change::{ChangeReceipt, ChangeRefused, MembershipChange, TransferRefused};
pub use client_message::{
    ClientAnswer, ClientCall, ClientRefused, ClientRequest, ClientStatus, ServerMessage,
};
pub use entry::{Entry, EntryKind, EntryMeta, EntryRun, LogSlice, MalformedSlice, Origin, Payload};
pub use id::{Boot, ClusterId, GroupId, Incarnation, NodeId};
pub use membership::{Member, Membership, MembershipError};
pub use message::{
    Append, AppendAnswer, Body, HardState, Heartbeat, HeartbeatAnswer, Message, ReadId, Round,
};
pub use moment::Moment;
pub use peer_message::{
    Admin, AdminAnswer, AdminTask, Forward, ForwardAnswer, Forwarded, PeerMessage, Refusal,
};
pub use position::{LogIndex, LogPosition, LogSpan, Term};
pub use session::{SessionId, SessionTag};
pub use snapshot::{SnapshotChunk, SnapshotId, SnapshotMeta, SnapshotPull, SnapshotWriter};
