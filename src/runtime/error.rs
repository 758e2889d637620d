//! Why a node does not start, or does not stop.

use std::io;
use std::time::Duration;

use crate::storage::StorageError;
use crate::transport::TransportError;
use crate::types::{LogPosition, Membership, MembershipError, NodeId};

use super::Config;

/// What is wrong with a [`Config`]. Nothing was written, opened or bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Zero is nobody's id.
    #[error("0 is no node id: number the nodes from 1")]
    ZeroId,
    /// No data directory.
    #[error("the data directory is empty: name one")]
    EmptyDirectory,
    /// An address that cannot be listened on.
    #[error("cannot listen on {0:?}: expected host:port with a port of 1 to 65535")]
    BadListenAddress(String),
    /// The list of first members is bad.
    #[error("the bootstrap list is unusable: {0}")]
    Membership(#[from] MembershipError),
    /// This node is not among the first members.
    #[error("node {0} is not in the bootstrap list: every founding node is listed, this one too")]
    NotAFounder(NodeId),
    /// Heartbeats faster than a tick can be.
    #[error("a heartbeat interval of {0:?} is too short: at least 2 ms")]
    ShortHeartbeat(Duration),
    /// The election timeout and the heartbeat interval do not fit.
    #[error(
        "an election timeout of {election_timeout:?} does not fit heartbeats every {heartbeat_interval:?}: at least \
         three times as long, at most an hour"
    )]
    ElectionTimeout {
        /// As configured.
        election_timeout: Duration,
        /// As configured.
        heartbeat_interval: Duration,
    },
    /// No command would pass, or one that nothing can carry.
    #[error("a largest command of {0} bytes is out of range: 1 to {limit}", limit = Config::COMMAND_BYTES_LIMIT)]
    CommandBytesMax(usize),
    /// Segments that hold too little or too much.
    #[error(
        "segments of {bytes} bytes are out of range: at least {least} (four of the largest entry), at most 1 GiB"
    )]
    SegmentBytes {
        /// As configured.
        bytes: u64,
        /// The least that would do.
        least: u64,
    },
    /// A node founds a cluster or joins one.
    #[error("join() and bootstrap() contradict each other: a node founds a cluster or is added to one")]
    JoinAndBootstrap,
    /// Too reluctant to ever be elected.
    #[error("an election reluctance of {0} is too much: at most 10 timeouts")]
    Reluctance(u32),
    /// Snapshots would never arrive.
    #[error(
        "{bytes_per_second} bytes of snapshots per second are too few: at least 65536, or 0 for no limit"
    )]
    SlowSnapshots {
        /// As configured.
        bytes_per_second: u64,
    },
    /// A lease would end before it could serve a read.
    #[error(
        "an election timeout of {election_timeout:?} leaves no lease with clocks that drift by {drift_percent}%: wait \
         longer with elections, send heartbeats more often, or read without leases"
    )]
    NoLease {
        /// As configured.
        drift_percent: u32,
        /// As configured.
        election_timeout: Duration,
    },
    /// No request would pass.
    #[error("nothing may be in flight: allow at least one request and one byte")]
    NothingInFlight,
    /// No session could stand, or more than a node can keep.
    #[error("{0} sessions are out of range: 1 to 1,000,000")]
    SessionsMax(u32),
    /// Too few recent entries would stay in memory.
    #[error("a tail of {0} entries is too short: at least {least}", least = Config::TAIL_ENTRIES_MIN)]
    TailEntries(u64),
    /// The token is empty or too long.
    #[error("a token has 1 to 256 bytes")]
    BadToken,
    /// The cluster's name is too long.
    #[error("a cluster name has at most 256 bytes")]
    LongClusterName,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is bad. Nothing was written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used, or its log cannot be trusted.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The address cannot be served.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The directory is blank and nobody said who founds the cluster.
    #[error(
        "the data directory holds no cluster, and neither a bootstrap list is given nor shall the node join: list the \
         first members, or join"
    )]
    NoCluster,
    /// The log begins behind a snapshot, and none is there.
    #[error(
        "the log begins after entry {starts_after}, and no snapshot reaches it: restore the data directory, or remove \
         this node and add it again with an empty one"
    )]
    SnapshotMissing {
        /// The last entry before the log.
        starts_after: LogPosition,
    },
    /// The state machine does not take a snapshot that is whole.
    #[error("the state machine refuses the snapshot of entry {position}: {reason}")]
    Restore {
        /// The last entry in it.
        position: LogPosition,
        /// What the state machine says.
        reason: String,
    },
    /// A state machine on disk holds what the log does not: one of them is not the other's, or the log was lost.
    #[error(
        "the state machine holds entry {applied}, and the log reaches from {starts_after} to {last}: they do not belong \
         together; restore both from one moment, or remove this node and add it again with empty ones"
    )]
    AppliedOutsideLog {
        /// What the state machine holds.
        applied: LogPosition,
        /// The last entry before the log.
        starts_after: LogPosition,
        /// The log's last entry.
        last: LogPosition,
    },
    /// A state machine on disk does not give back the sidecar that it was given with its position.
    #[error(
        "the state machine holds entry {applied}, but not what belongs to it: {reason}; remove this node and add it again \
         with empty directories"
    )]
    Sidecar {
        /// What the state machine holds.
        applied: LogPosition,
        /// What is wrong with the sidecar.
        reason: String,
    },
    /// The log holds something that no Raft log can.
    #[error("the log is no Raft log: {0}; restore the data directory, or remove this node and add it again")]
    Log(String),
    /// The operating system gave no thread or no randomness.
    #[error("the operating system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// Why a node is not down yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// It is stopping, but some thread is still at work: a slow disk, or a slow `apply`.
    #[error(
        "the node is stopping, but not down after {within:?}: a disk or a state machine is slow; call again to wait on"
    )]
    StillRunning {
        /// How long the call waited.
        within: Duration,
    },
    /// Called on a thread of the node, which would wait for itself. The node is stopping.
    #[error("called on a thread of the node, which would wait for itself; the node is stopping")]
    WouldDeadlock,
}

const _: () = assert!(Membership::ADDRESS_BYTES_MAX == 256, "the texts above say 256");
