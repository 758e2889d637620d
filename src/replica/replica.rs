//! The replica itself: events in, one turn, jobs out.
//!
//! Its chapters: `commands` (proposals and forwards on their way into the log), `carry_out` (what consensus asks for).

use std::sync::Arc;

use super::applying::Applying;
use super::cold::ColdAppends;
use super::forwards::{Forwards, Me};
use super::incarnations::Incarnations;
use super::pending::Pending;
use super::reads::Reads;
use super::repeats::Repeats;
use super::tail::Tail;
use super::waiting::Waiting;
use super::{Event, Fetched, Jobs, PeerStatus, Persisted, Read, ReplicaConfig, ReplicaStatus};
use crate::consensus::{Raft, RestoreError, Restored, RoleName};
use crate::storage::Recovered;
use crate::ticket::{ReadError, StopCause};
use crate::types::{
    Body, Entry, EntryKind, EntryMeta, EntryRun, Forward, Incarnation, LogIndex, LogPosition, LogSpan,
    Membership, Message, Moment, NodeId, Payload, PeerMessage, SnapshotMeta, Term,
};

mod carry_out;
mod commands;

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
    incarnations: Incarnations,
    repeats: Repeats,
    /// The leader could not be reached: commands wait for the next tick.
    holds_forwards: bool,
    /// Other nodes' forwards that came in this turn.
    forwarded: Vec<(NodeId, Forward)>,
    /// The payloads of the entries that this turn appends; empty between turns, kept for its memory.
    batch: Vec<Payload>,
    /// Messages of this turn that are not from consensus.
    outbox: Vec<(NodeId, PeerMessage)>,
    /// The membership that the host was told last.
    announced: Option<Arc<Membership>>,
    last_seen: (Term, RoleName, Option<NodeId>),
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
        let restored = Restored { hard_state, starts_after, membership, entries, snapshot, applied };
        let mut raft = Raft::new(config.raft.clone(), restored)?;
        if raft.membership().voters() == [raft.id()] {
            // Nobody else could lead: there is nobody to wait for.
            raft.campaign();
        }
        let me = Me { node: raft.id(), incarnation: config.incarnation, boot: config.boot };
        let mut incarnations = Incarnations::new(me.node, me.incarnation);
        incarnations.judge(raft.membership());
        Ok(Self {
            tail: Tail::new(raft.last().index, config.tail_bytes_max),
            applying: Applying::new(applied.index, config.apply_bytes_in_flight_max),
            waiting: Waiting::new(),
            pending: Pending::new(),
            forwards: Forwards::new(me),
            reads: Reads::new(me.boot),
            // Consensus keeps no more in flight; beyond that comes a probe.
            cold: ColdAppends::new(config.raft.in_flight_messages_max.saturating_add(1)),
            incarnations,
            repeats: Repeats::default(),
            holds_forwards: false,
            forwarded: Vec::new(),
            batch: Vec::new(),
            outbox: Vec::new(),
            announced: None,
            last_seen: (raft.term(), raft.role(), raft.leader()),
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
            Event::Applied(applied) => self.applying.applied_through(applied.through),
            Event::Fetched(fetched) => self.fetched(fetched),
            Event::Message { from, message } => self.received(from, message),
            Event::PeerConnected { peer, incarnation } => self.peer_connected(peer, incarnation),
            Event::PeerLost { peer } => self.peer_lost(peer),
            Event::Undelivered { to, message } => self.undelivered(to, message),
            Event::Tick { ticks } => self.tick(ticks, now),
            Event::Propose(proposal) => self.propose(proposal),
            Event::Read(read) => self.read(read),
            _ => unimplemented!("contract"),
        }
        self.fill_own_entries();
    }

    /// All that follows from the events since the last turn. Without any there is nothing to do.
    pub(crate) fn turn(&mut self, now: Moment) -> Jobs {
        self.append_or_forward(now);
        self.reads.ask(&mut self.raft, self.ticks, now);
        self.propose_incarnations();
        let mut jobs = self.carry_out(now);
        self.announce_membership(&mut jobs);
        self.keep_silent_if_wiped(&mut jobs);
        self.count();
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

    /// What it looks like from outside.
    pub(crate) fn status(&self) -> ReplicaStatus {
        let raft = &self.raft;
        let peer = |id| {
            let progress = raft.progress(id);
            let matched = progress.as_ref().map(|progress| progress.matched);
            PeerStatus {
                id,
                connected: self.incarnations.is_connected(id),
                matched,
                state: progress.map(|progress| progress.state),
                lag_bytes: matched.map(|matched| raft.bytes_between(matched, raft.last().index)),
                snapshot_sent_bytes: 0,
                snapshot_bytes: 0,
            }
        };
        ReplicaStatus {
            id: raft.id(),
            role: raft.role(),
            term: raft.term(),
            leader: raft.leader(),
            commit: raft.commit(),
            applied: self.applying.applied(),
            first_index: raft.first_index(),
            last_index: raft.last().index,
            snapshot: LogIndex::ZERO,
            removed: false,
            disk_full: false,
            transferring_to: None,
            membership: Arc::clone(raft.membership()),
            peers: raft.membership().peers_of(raft.id()).map(peer).collect(),
        }
    }

    /// The node stops: every caller who waits here is told why.
    pub(crate) fn stop(self, cause: &StopCause) {
        self.waiting.stop(cause);
        self.pending.stop(cause);
        self.forwards.stop(cause);
        self.reads.stop(cause);
    }

    fn persisted(&mut self, done: Persisted) {
        self.config.metrics.persisted.increment();
        self.raft.persisted(done);
    }

    fn received(&mut self, from: NodeId, message: PeerMessage) {
        if self.incarnations.contradicts(from) {
            self.config.metrics.refused_messages.increment();
            return;
        }
        match message {
            PeerMessage::Raft { message, entries } => self.step(from, message, &entries),
            PeerMessage::Forward(forward) => {
                if self.repeats.is_first(from, &forward) {
                    self.forwarded.push((from, forward));
                }
            }
            PeerMessage::ForwardAnswer(answer) => {
                let leader = self.leader_other_than(from);
                self.forwards.answered(from, &answer, leader.as_ref());
            }
            _ => unimplemented!("contract"),
        }
    }

    fn step(&mut self, from: NodeId, message: Message, entries: &[EntryRun]) {
        if !carries_its_entries(&message, entries) {
            log::warn!("node {from} sent an append whose entries are not those it announces: dropped");
            self.config.metrics.refused_messages.increment();
            return;
        }
        if let Some(span) = self.raft.step(from, message) {
            self.replace_tail(span, entries);
        }
    }

    /// Of `entries`, exactly those of `span` are in the log now, and nothing behind them.
    fn replace_tail(&mut self, span: LogSpan, entries: &[EntryRun]) {
        self.tail.truncate_from(span.first);
        self.incarnations.replaced_from(span.first);
        let taken = entries.iter().filter_map(|run| run.slice(span.first, span.last.index));
        self.tail.extend(taken);
    }

    /// Entries that consensus itself appended, having neither callers nor payloads, join the tail.
    fn fill_own_entries(&mut self) {
        let (first, last) = (self.tail.last().next(), self.raft.last().index);
        if first > last {
            return;
        }
        let own = |index| {
            let meta = self.raft.meta(LogIndex(index)).expect("consensus knows the entries it appended");
            let payload = match meta.kind {
                EntryKind::Noop => Payload::Noop,
                EntryKind::Membership(membership) => Payload::Membership(membership),
                EntryKind::Normal => panic!("consensus appended a command that nobody proposed"),
            };
            Entry { position: meta.position, payload }
        };
        let run = EntryRun::new((first.0..=last.0).map(own).collect());
        self.tail.extend(run);
    }

    fn fetched(&mut self, fetched: Fetched) {
        if self.applying.awaits(fetched.id) {
            self.applying.take_fetched(fetched.entries, &self.raft);
        } else {
            self.cold.take_fetched(fetched.id, fetched.entries);
        }
    }

    fn peer_connected(&mut self, peer: NodeId, incarnation: Incarnation) {
        // A new connection is a new start, also for a transport that did not notice the end of the last one.
        self.cold.forget(peer);
        self.raft.peer_lost(peer);
        let is_another = self.incarnations.connected(peer, incarnation, self.raft.membership());
        if self.incarnations.contradicts(peer) {
            log::error!(
                "node {peer} came back with another data directory ({incarnation}): it lost what it promised and is \
                 not heard; remove it from the group and add it again"
            );
        } else if is_another {
            log::warn!("node {peer} came back with another data directory ({incarnation}): it begins anew");
            self.raft.peer_replaced(peer);
        }
    }

    fn peer_lost(&mut self, peer: NodeId) {
        self.incarnations.lost(peer, self.raft.membership());
        self.cold.forget(peer);
        self.raft.peer_lost(peer);
    }

    /// A leader that cannot be reached now is not tried again before the next tick. By then the forwards behind this one
    /// have come back too, or have left.
    fn undelivered(&mut self, to: NodeId, message: PeerMessage) {
        if let PeerMessage::Forward(forward) = message {
            self.holds_forwards = true;
            self.forwards.undelivered(to, forward);
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
        self.config.metrics.expired.add(expired);
        let lost_after = READ_LOST_AFTER_HEARTBEATS * u64::from(self.config.raft.heartbeat_ticks);
        if self.raft.role() != RoleName::Leader
            && let Some(lost) = self.ticks.checked_sub(lost_after)
        {
            self.reads.lost_since(lost);
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

    /// A leader that may append has its group remember the data directories it learnt.
    fn propose_incarnations(&mut self) {
        if self.raft.role() != RoleName::Leader || !self.raft.has_committed_in_term() {
            return;
        }
        let lacking = self.incarnations.to_propose(self.raft.membership(), self.raft.commit());
        if let Some(membership) = lacking
            && let Ok(position) = self.raft.propose_membership(membership)
        {
            self.incarnations.proposed_at(position.index);
            self.fill_own_entries();
        }
    }

    fn announce_membership(&mut self, jobs: &mut Jobs) {
        let membership = self.raft.membership();
        if self.announced.as_ref().is_some_and(|announced| Arc::ptr_eq(announced, membership)) {
            return;
        }
        self.incarnations.judge(membership);
        self.announced = Some(Arc::clone(membership));
        jobs.peers = Some(Arc::clone(membership));
        if self.is_wiped() {
            log::error!(
                "this node has another data directory than its group knows: it lost what it promised and keeps \
                 silent; remove it from the group and add it again"
            );
        }
    }

    /// Whether this node's own log says that its data directory is not the one that its group knows.
    fn is_wiped(&self) -> bool {
        self.incarnations.contradicts(self.raft.id())
    }

    /// Who does not know the membership yet would hear this node, and count it: so it says nothing.
    fn keep_silent_if_wiped(&self, jobs: &mut Jobs) {
        if self.is_wiped() {
            jobs.send.clear();
            jobs.write.iter_mut().for_each(|write| write.send_when_durable.clear());
        }
    }

    fn leader_other_than(&self, refused: NodeId) -> Option<(NodeId, String)> {
        self.leader_and_address().filter(|(leader, _)| *leader != refused)
    }

    fn leader_and_address(&self) -> Option<(NodeId, String)> {
        let leader = self.raft.leader()?;
        let member = self.raft.membership().member(leader)?;
        Some((leader, member.address.clone()))
    }

    fn count(&mut self) {
        let metrics = &self.config.metrics;
        metrics.commit.set(self.raft.commit().0);
        metrics.tail_bytes.set(self.tail.bytes());
        metrics.applied.set(self.applying.applied().0);
        let seen = (self.raft.term(), self.raft.role(), self.raft.leader());
        let (term, role, leader) = std::mem::replace(&mut self.last_seen, seen);
        let campaigns = |role| matches!(role, RoleName::Candidate);
        if campaigns(seen.1) && (!campaigns(role) || term != seen.0) {
            metrics.elections.increment();
        }
        if leader != seen.2 && seen.2.is_some() {
            metrics.leader_changes.increment();
        }
    }
}

/// Whether the payloads of an append are those of the entries it announces, so that consensus and the tail agree.
fn carries_its_entries(message: &Message, entries: &[EntryRun]) -> bool {
    let Body::Append(append) = &message.body else { return entries.is_empty() };
    let carried = entries.iter().flat_map(EntryRun::entries);
    let announced = append.slice.entries();
    entries.iter().map(|run| run.entries().len()).sum::<usize>() == announced.len()
        && carried.zip(announced).all(|(entry, meta)| is_same(entry, meta))
}

fn is_same(entry: &Entry, meta: &EntryMeta) -> bool {
    let same_kind = match (&entry.payload, &meta.kind) {
        (Payload::Normal { .. }, EntryKind::Normal) | (Payload::Noop, EntryKind::Noop) => true,
        (Payload::Membership(carried), EntryKind::Membership(announced)) => carried == announced,
        _ => false,
    };
    entry.position == meta.position && entry.payload.bytes() == meta.bytes && same_kind
}
