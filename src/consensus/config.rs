//! What a replica is told once, when it starts.

use super::RestoreError;
use crate::types::{Incarnation, NodeId};

/// The settings of one replica. Time is counted in ticks; the host decides how long one is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RaftConfig {
    /// Who this replica is.
    pub id: NodeId,
    /// Ticks without a leader until an election: each replica waits a random time, uniform in
    /// `election_ticks..2 * election_ticks`. Also how long a leader may hear no quorum (see `check_quorum`).
    pub election_ticks: u32,
    /// Ticks between two heartbeats of a leader; less than `election_ticks`, a tenth is usual.
    pub heartbeat_ticks: u32,
    /// Entries in one append, at most.
    pub append_entries_max: usize,
    /// Bytes of payload in one append, at most; a larger entry travels alone.
    pub append_bytes_max: u64,
    /// Appends under way to one peer and not yet acknowledged, at most.
    pub in_flight_messages_max: usize,
    /// Their bytes of payload together, at most; a larger entry travels alone.
    pub in_flight_bytes_max: u64,
    /// Ask whether an election could be won before raising the term (thesis §9.6). All members should agree.
    pub pre_vote: bool,
    /// A leader that hears no quorum for `election_ticks` steps down, and one that hears it ignores candidates (thesis §6.2).
    pub check_quorum: bool,
    /// Leases for reads: for how many nanoseconds after the send of a round of heartbeats that a quorum answered nobody else
    /// can have been elected, drift of the clocks included. `None`: every read waits for a round of its own. Needs
    /// `check_quorum` and `pre_vote`, and the same setting on all members.
    pub lease: Option<u64>,
    /// How much later than others this replica stands for election, in units of `election_ticks`: 0 is the most willing.
    /// It lengthens its own timeout and never changes a vote.
    pub reluctance: u32,
    /// How many bytes of the log a learner may lack when it is promoted.
    pub promote_lag_bytes_max: u64,
    /// This replica's data directory, where the host tells them apart: a membership that names another one for this
    /// replica says that its promises are lost.
    pub incarnation: Option<Incarnation>,
    /// Its log began empty, in a group that was there already: it gives no vote before a membership names it and, where
    /// known, its data directory.
    pub joined: bool,
    /// The source of this replica's random timeouts; give each member another one.
    pub seed: u64,
}

impl RaftConfig {
    /// Settings that suit a tick of 10 to 100 ms.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            append_entries_max: 8192,
            append_bytes_max: 1 << 20,
            in_flight_messages_max: 64,
            in_flight_bytes_max: 16 << 20,
            pre_vote: true,
            check_quorum: true,
            lease: None,
            reluctance: 0,
            promote_lag_bytes_max: 4 << 20,
            incarnation: None,
            joined: false,
            seed: id.get(),
        }
    }

    /// Limits are checked against each other once, here.
    pub(super) fn judge(&self) -> Result<(), RestoreError> {
        let refuse = |reason| Err(RestoreError::BadConfig { reason });
        if self.heartbeat_ticks == 0 {
            return refuse("heartbeat_ticks must be at least 1");
        }
        if self.heartbeat_ticks >= self.election_ticks {
            return refuse("heartbeat_ticks must be below election_ticks, or followers never hear in time");
        }
        if self.election_ticks > u32::MAX / 4 {
            return refuse("election_ticks is too large");
        }
        if self.append_entries_max == 0 || self.in_flight_messages_max == 0 {
            return refuse("append_entries_max and in_flight_messages_max must be at least 1");
        }
        if self.lease.is_some() && !(self.check_quorum && self.pre_vote) {
            return refuse(
                "leases need check_quorum and pre_vote, or another leader may be elected meanwhile",
            );
        }
        Ok(())
    }
}
