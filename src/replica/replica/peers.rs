//! The other members: what they say, whether they are there, and whether they are who they were.

use std::sync::Arc;

use super::Replica;
use crate::consensus::RoleName;
use crate::planted::{Bug, planted};
use crate::replica::{Jobs, Notice, PeersJob};
use crate::types::{
    Body, Entry, EntryKind, EntryMeta, EntryRun, Incarnation, LogIndex, LogPosition, LogSpan, Message,
    NodeId, Payload, PeerMessage,
};

impl Replica {
    pub(super) fn received(&mut self, from: NodeId, message: PeerMessage) {
        if self.incarnations.contradicts(from)
            && !(self.incarnations.may_lead(from) && is_of_leader(&message))
            && !planted(Bug::HearsTheWiped)
        {
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
            PeerMessage::Admin(admin) => self.asked_by_peer(from, admin),
            PeerMessage::AdminAnswer(answer) => self.answered_by_peer(from, answer),
            // Snapshots go past the engine.
            PeerMessage::Pull(_) | PeerMessage::Chunk(_) => self.config.metrics.refused_messages.increment(),
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
        if planted(Bug::DeniesTruncated) && span.first <= self.tail.last() {
            self.pending.covered_by(LogPosition::new(self.raft.term(), span.first.prev()));
        }
        self.tail.truncate_from(span.first);
        self.incarnations.replaced_from(span.first);
        let taken = entries.iter().filter_map(|run| run.slice(span.first, span.last.index));
        self.tail.extend(taken);
    }

    /// Entries that consensus itself appended, having neither callers nor payloads, join the tail.
    pub(super) fn fill_own_entries(&mut self) {
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

    pub(super) fn peer_connected(&mut self, peer: NodeId, incarnation: Incarnation) {
        // A new connection is a new start, also for a transport that did not notice the end of the last one.
        self.cold.forget(peer);
        self.raft.peer_lost(peer);
        self.begun.notices.push(Notice::PeerConnected { peer });
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

    pub(super) fn peer_lost(&mut self, peer: NodeId) {
        if self.incarnations.is_connected(peer) {
            self.begun.notices.push(Notice::PeerLost { peer });
        }
        self.stages.peer_lost(peer);
        self.incarnations.lost(peer, self.raft.membership());
        self.cold.forget(peer);
        self.raft.peer_lost(peer);
    }

    /// A leader that cannot be reached now is not tried again before the next tick. By then the forwards behind this one
    /// have come back too, or have left.
    pub(super) fn undelivered(&mut self, to: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Forward(forward) => {
                self.holds_forwards = true;
                self.forwards.undelivered(to, forward);
            }
            PeerMessage::Admin(admin) => self.not_asked(to, admin.request),
            _ => {}
        }
    }

    /// Whether this replica leads, and no configuration is on its way.
    pub(super) fn may_change_membership(&self) -> bool {
        let raft = &self.raft;
        raft.role() == RoleName::Leader
            && raft.has_committed_in_term()
            && raft.membership_index() <= raft.commit()
            && !raft.membership().is_joint()
            && raft.transferring_to().is_none()
    }

    /// A leader that may append has its group remember the data directories it learnt.
    pub(super) fn propose_incarnations(&mut self) {
        if !self.may_change_membership() {
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

    pub(super) fn announce_membership(&mut self, jobs: &mut Jobs) {
        let (membership, is_newest) = (self.raft.membership(), self.raft.role() == RoleName::Leader);
        let known = self.announced.as_ref();
        let is_known = known.is_some_and(|known| Arc::ptr_eq(&known.membership, membership));
        if is_known && known.is_some_and(|known| known.is_newest == is_newest) {
            return;
        }
        self.incarnations.judge(membership);
        let peers = PeersJob { membership: Arc::clone(membership), is_newest };
        self.announced = Some(peers.clone());
        jobs.peers = Some(peers);
        if !is_known && self.keeps_silent() {
            log::error!(
                "this node has another data directory than its group knows: it lost what it promised and keeps \
                 silent; remove it from the group and add it again"
            );
        }
    }

    /// Whether this node's own log says that its data directory is not the one that its group knows. A node that joined
    /// finds its former self in the log it is sent: it goes on, and consensus keeps it from voting.
    pub(super) fn keeps_silent(&self) -> bool {
        !self.config.raft.joined && self.incarnations.contradicts(self.raft.id())
    }

    /// Who does not know the membership yet would hear this node, and count it: so it says nothing.
    pub(super) fn keep_silent_if_wiped(&self, jobs: &mut Jobs) {
        if self.keeps_silent() {
            jobs.send.clear();
            jobs.write.iter_mut().for_each(|write| write.send_when_durable.clear());
        }
    }

    pub(super) fn leader_other_than(&self, refused: NodeId) -> Option<(NodeId, String)> {
        self.leader_and_address().filter(|(leader, _)| *leader != refused)
    }

    pub(super) fn leader_and_address(&self) -> Option<(NodeId, String)> {
        let leader = self.raft.leader()?;
        let member = self.raft.membership().member(leader)?;
        Some((leader, member.address.clone()))
    }
}

/// Whether a leader speaks so. It may have been elected by a membership that is newer than the one by which its data
/// directory is judged here: a node that was removed and added again leads with another one than its former self had, and
/// from whom else should one learn that?
fn is_of_leader(message: &PeerMessage) -> bool {
    let PeerMessage::Raft { message, .. } = message else { return false };
    matches!(message.body, Body::Append(_) | Body::Heartbeat(_) | Body::SnapshotOffer(_))
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
