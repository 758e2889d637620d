//! The replica itself: events in, one turn, jobs out.
//!
//! Its chapters: `peers` (what the other members say and who they are), `commands` (proposals and forwards on their way into
//! the log), `wishes` (operators' changes and transfers), `snapshotting` (snapshots taken and installed, the log
//! compacted), `carry_out` (what consensus asks for), `watch` (what can be seen from outside).

use super::admin::Wishes;
use super::applying::Applying;
use super::changes::Changes;
use super::cold::ColdAppends;
use super::forwards::{Forwards, Me};
use super::handover::Handovers;
use super::incarnations::Incarnations;
use super::pending::Pending;
use super::reads::Reads;
use super::repeats::Repeats;
use super::snapshots::Snapshots;
use super::stages::Stages;
use super::tail::Tail;
use super::transfers::{Fetching, Serving};
use super::waiting::Waiting;
use super::{Event, Fetched, Jobs, Notice, PeersJob, Persisted, Read, ReplicaConfig};
use crate::consensus::{Raft, RestoreError, Restored, RoleName};
use crate::storage::Recovered;
use crate::ticket::{ReadError, StopCause};
use crate::types::{Forward, LogIndex, LogPosition, Moment, NodeId, Payload, SnapshotMeta, Term};
use commands::Load;
use watch::Seen;

mod carry_out;
mod commands;
mod peers;
mod snapshotting;
mod watch;
mod wishes;

/// A follower's read that got no answer for so many heartbeats is asked again: messages get lost.
const READ_LOST_AFTER_HEARTBEATS: u64 = 4;

/// One group's replica, without threads, channels or a clock.
pub(crate) struct Replica {
    raft: Raft,
    config: ReplicaConfig,
    /// Ends where the log of `raft` ends.
    pub(super) tail: Tail,
    applying: Applying,
    waiting: Waiting,
    pending: Pending,
    forwards: Forwards,
    reads: Reads,
    pub(super) cold: ColdAppends,
    snapshots: Snapshots,
    fetching: Fetching,
    serving: Serving,
    wishes: Wishes,
    changes: Changes,
    handovers: Handovers,
    incarnations: Incarnations,
    stages: Stages,
    repeats: Repeats,
    /// The leader could not be reached: commands wait for the next tick.
    holds_forwards: bool,
    /// Other nodes' forwards that came in this turn.
    forwarded: Vec<(NodeId, Forward)>,
    /// The payloads of the entries that this turn appends; empty between turns, kept for its memory.
    batch: Vec<Payload>,
    /// What the events of this turn led to already, apart from consensus.
    begun: Jobs,
    /// The peers that the host was told of last.
    announced: Option<PeersJob>,
    seen: Seen,
    disk_full: bool,
    /// What is in this leader's log and not applied, as it was measured last.
    log_load: Load,
    /// Up to here the state machine would hold its state after a crash.
    durable: LogIndex,
    /// The state machine is to take over the snapshot that ends here.
    restoring: Option<LogIndex>,
    ticks: u64,
    fetches: u64,
}

impl Replica {
    /// A replica that continues where `recovered` ends. `snapshot` is the newest durable one, and `applied` what the state
    /// machine holds, that snapshot restored: the log behind it is applied again.
    ///
    /// # Panics
    /// If limits of `config` contradict each other.
    pub(crate) fn new(
        config: ReplicaConfig,
        recovered: Recovered,
        snapshot: Option<SnapshotMeta>,
        applied: LogPosition,
    ) -> Result<Self, RestoreError> {
        config.assert_consistent();
        let Recovered { hard_state, starts_after, membership, entries } = recovered;
        let was_member = watch::names(&config, membership.as_deref(), &entries);
        let restored = Restored { hard_state, starts_after, membership, entries, snapshot, applied };
        let mut raft = Raft::new(config.raft.clone(), restored)?;
        if raft.membership().voters() == [raft.id()] {
            // Nobody else could lead: there is nobody to wait for.
            raft.campaign();
        }
        let me = Me { node: raft.id(), incarnation: config.incarnation, boot: config.boot };
        let mut incarnations = Incarnations::new(me.node, me.incarnation);
        incarnations.judge(raft.membership());
        let newest = raft.snapshot().cloned();
        let covered = newest.as_ref().map_or(LogIndex::ZERO, |newest| newest.position.index);
        let bytes_since = raft.bytes_between(covered, applied.index);
        let thresholds = (config.snapshot_entries, config.snapshot_bytes);
        Ok(Self {
            tail: Tail::new(raft.last().index, config.tail_bytes_max).of_entries(config.tail_entries_max),
            applying: Applying::new(applied.index, config.apply_bytes_in_flight_max),
            waiting: Waiting::new(),
            pending: Pending::new(),
            forwards: Forwards::new(me),
            reads: Reads::new(me.boot),
            // Consensus keeps no more in flight; beyond that comes a probe.
            cold: ColdAppends::new(config.raft.in_flight_messages_max.saturating_add(1)),
            snapshots: Snapshots::new(thresholds, newest.as_ref(), bytes_since),
            fetching: Fetching::default(),
            serving: Serving::default(),
            wishes: Wishes::new(me.boot),
            changes: Changes::new(),
            handovers: Handovers::new(),
            incarnations,
            stages: Stages::default(),
            repeats: Repeats::default(),
            holds_forwards: false,
            forwarded: Vec::new(),
            batch: Vec::new(),
            begun: Jobs::default(),
            announced: None,
            seen: Seen::new(&raft, was_member),
            disk_full: false,
            log_load: Load::default(),
            durable: if config.machine_on_disk { applied.index } else { LogIndex::ZERO },
            restoring: None,
            ticks: 0,
            fetches: 0,
            raft,
            config,
        })
    }

    /// Something happened. What follows from it comes with the next [`Replica::turn`].
    pub(crate) fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Persisted(done) => self.persisted(done),
            Event::Applied(applied) => self.applied_by_machine(applied),
            Event::Fetched(fetched) => self.fetched(fetched),
            Event::Message { from, message } => self.received(from, message),
            Event::PeerConnected { peer, incarnation } => self.peer_connected(peer, incarnation),
            Event::PeerLost { peer } => self.peer_lost(peer),
            Event::Undelivered { to, message } => self.undelivered(to, message),
            Event::Tick { ticks } => self.tick(ticks, now),
            Event::Propose(proposal) => self.propose(proposal, now),
            Event::Read(read) => self.read(read),
            Event::Pictured(pictured) => self.pictured(pictured),
            Event::Saved(saved) => self.saved(saved),
            Event::Received(received) => self.snapshot_received(received),
            Event::Served(served) => self.serving.served(served.to, served.offset, self.ticks),
            Event::SnapshotNow(demand) => self.snapshot_now(demand),
            Event::DiskFull(full) => self.disk_is_full(full),
            Event::Change(change) => self.wish(change.into()),
            Event::Transfer(transfer) => self.wish(transfer.into()),
        }
        self.fill_own_entries();
    }

    /// All that follows from the events since the last turn. Without any there is nothing to do.
    pub(crate) fn turn(&mut self, now: Moment) -> Jobs {
        // Before any wish: whoever is made a voter must find its data directory in the log, or it gives no vote.
        self.propose_incarnations();
        self.fulfil_wishes();
        self.append_or_forward(now);
        self.reads.ask(&mut self.raft, self.ticks, now);
        self.stages.settle(&self.raft, now, &self.config.metrics);
        let mut jobs = self.carry_out(now);
        self.announce_membership(&mut jobs);
        self.keep_silent_if_wiped(&mut jobs);
        self.watch(&mut jobs);
        jobs
    }

    /// The latest term it has seen.
    pub(crate) fn term(&self) -> Term {
        self.raft.term()
    }

    /// Who leads, as far as it knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft.leader()
    }

    /// Up to here its state machine has applied the log.
    pub(crate) fn applied(&self) -> LogIndex {
        self.applying.applied()
    }

    /// The consensus within, for tests that look inside.
    #[cfg(test)]
    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The node stops: every caller who waits here is told why.
    pub(crate) fn stop(self, cause: &StopCause) {
        self.waiting.stop(cause);
        self.pending.stop(cause);
        self.forwards.stop(cause);
        self.reads.stop(cause);
        self.snapshots.stop(cause);
        self.wishes.stop(cause);
        self.changes.stop(cause);
        self.handovers.stop(cause);
    }

    fn persisted(&mut self, done: Persisted) {
        self.config.metrics.persisted.increment();
        self.raft.persisted(done);
    }

    fn fetched(&mut self, fetched: Fetched) {
        if self.applying.awaits(fetched.id) {
            self.applying.take_fetched(fetched.entries, &self.raft);
        } else {
            self.cold.take_fetched(fetched.id, fetched.entries);
        }
    }

    fn tick(&mut self, ticks: u32, now: Moment) {
        self.raft.tick(ticks);
        self.ticks += u64::from(ticks);
        self.take_back_forwards();
        self.holds_forwards = false;
        let leader_known = self.raft.leader().is_some();
        let unknown = self.pending.expire(now) + self.forwards.expire(now);
        let expired = unknown + self.waiting.expire(now) + self.reads.expire(now, leader_known);
        let operators = self.wishes.expire(now)
            + self.changes.expire(now)
            + self.handovers.expire(now)
            + self.snapshots.expire(now);
        self.config.metrics.expired.add(expired + operators);
        self.review_served();
        self.promote_learners();
        let lost_after = READ_LOST_AFTER_HEARTBEATS * u64::from(self.config.raft.heartbeat_ticks);
        if self.raft.role() != RoleName::Leader
            && let Some(lost) = self.ticks.checked_sub(lost_after)
        {
            self.reads.lost_since(lost);
        }
    }

    /// While there is no room for the log this node does not lead, and takes no commands of its own callers: it could not
    /// apply them. It goes on by itself when there is room again.
    fn disk_is_full(&mut self, full: bool) {
        if std::mem::replace(&mut self.disk_full, full) != full {
            log::warn!(
                "the log {}",
                if full { "has no room: this node steps aside" } else { "has room again" }
            );
            self.raft.set_impaired(full);
            self.begun.notices.push(Notice::DiskFull { full });
        }
    }

    fn read(&mut self, read: Read) {
        if self.reads.len() >= self.config.reads_max {
            self.config.metrics.busy.increment();
            read.task.fail(ReadError::Busy);
        } else {
            self.reads.push(read);
        }
    }
}
