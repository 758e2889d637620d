//! What a replica is told once, when it starts.

use std::sync::Arc;

use crate::consensus::RaftConfig;
use crate::metrics::ReplicaMetrics;
use crate::types::{Boot, Incarnation};

/// Decides whether bytes are a command of the state machine.
pub(crate) type CheckCommand = Box<dyn Fn(&[u8]) -> bool + Send>;

/// The settings of one replica.
pub(crate) struct ReplicaConfig {
    /// Who this is to Raft, and how it behaves.
    pub(crate) raft: RaftConfig,
    /// Its data directory.
    pub(crate) incarnation: Incarnation,
    /// Its process, drawn at random: tells its requests from those of an earlier run.
    pub(crate) boot: Boot,
    /// Whether a follower hands proposals to its leader; else it refuses them and names the leader.
    pub(crate) forwarding: bool,
    /// The largest command that is taken.
    pub(crate) command_bytes_max: usize,
    /// How many proposals may wait or be in flight, and how many entries may wait for their commit.
    pub(crate) proposals_max: usize,
    /// How many bytes these may have together.
    pub(crate) proposals_bytes_max: u64,
    /// How many reads may wait.
    pub(crate) reads_max: usize,
    /// How many bytes of recent entries are kept in memory for the peers.
    pub(crate) tail_bytes_max: u64,
    /// And how many of them, however few bytes they have.
    pub(crate) tail_entries_max: u64,
    /// How many bytes of entries may be handed to the state machine and not yet be applied.
    pub(crate) apply_bytes_in_flight_max: u64,
    /// A snapshot is taken after so many entries since the last one; 0: never for their number.
    pub(crate) snapshot_entries: u64,
    /// A snapshot is taken after so many bytes of entries since the last one, and not before they are as many as that one
    /// has; 0: never for their size.
    pub(crate) snapshot_bytes: u64,
    /// So many entries before the newest snapshot stay in the log for slow followers.
    pub(crate) trailing_entries: u64,
    /// Whether the state machine keeps its state on disk: then the log also stays above what that has made durable.
    pub(crate) machine_on_disk: bool,
    /// Whether a leader makes voters of learners that have caught up.
    pub(crate) auto_promote: bool,
    /// After so many ticks without progress a peer that is being sent a snapshot counts as stalled.
    pub(crate) stall_ticks: u32,
    /// Whether bytes that another node forwards are a command: what does not decode is not appended.
    pub(crate) check_command: CheckCommand,
    /// Where it counts.
    pub(crate) metrics: Arc<ReplicaMetrics>,
}

impl ReplicaConfig {
    /// Settings with every limit at its default.
    pub(crate) fn new(
        raft: RaftConfig,
        incarnation: Incarnation,
        boot: Boot,
        check_command: CheckCommand,
    ) -> Self {
        let stall_ticks = raft.election_ticks.saturating_mul(10);
        Self {
            raft,
            incarnation,
            boot,
            forwarding: true,
            command_bytes_max: 1 << 20,
            proposals_max: 1 << 16,
            proposals_bytes_max: 64 << 20,
            reads_max: 1 << 16,
            tail_bytes_max: 64 << 20,
            tail_entries_max: u64::MAX,
            apply_bytes_in_flight_max: 16 << 20,
            snapshot_entries: 1_000_000,
            snapshot_bytes: 256 << 20,
            trailing_entries: 10_000,
            machine_on_disk: false,
            auto_promote: false,
            stall_ticks,
            check_command,
            metrics: Arc::default(),
        }
    }

    /// # Panics
    /// If two limits contradict each other: whoever fills the settings judges what a user gave.
    pub(super) fn assert_consistent(&self) {
        let largest = self.command_bytes_max as u64;
        assert!(largest <= self.proposals_bytes_max, "the largest command exceeds what may be in flight");
        assert!(u32::try_from(largest).is_ok(), "a command's size is counted in 32 bits");
        assert!(self.proposals_max > 0 && self.reads_max > 0, "nothing could ever be proposed or read");
    }
}
