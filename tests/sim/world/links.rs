//! Connections: who talks to whom, and what arrives.

use super::super::network::{Frame, Link, open};
use super::super::plan::{MILLISECOND, SECOND};
use super::super::process::ELECTION;
use super::super::trace::{Said, What};
use super::{Next, World};
use crate::planted::{Bug, planted};
use crate::replica::{Event, PeersJob};
use crate::types::{NodeId, PeerMessage};
use crate::workers::MoverInput;

/// After so long without a sign of life a connection is given up.
const SILENCE: u64 = 4 * ELECTION;

impl World {
    /// Somebody new runs at `node`: whoever knows it, or is known to it, tries to reach it.
    pub(super) fn dial_everybody(&mut self, node: NodeId) {
        let others: Vec<NodeId> = self.hosts.keys().copied().filter(|other| *other != node).collect();
        for other in others {
            let soon = self.schedule.within(MILLISECOND..50 * MILLISECOND);
            self.plan_in(soon, Next::Dial((node.min(other), node.max(other))));
        }
    }

    /// A connection comes to stand, or is tried again as long as somebody wants it.
    pub(super) fn dial(&mut self, link: Link) {
        let (one, other) = link;
        let both_run = self.processes.contains_key(&one) && self.processes.contains_key(&other);
        if !both_run || self.network.stands(link) || !(self.knows(one, other) || self.knows(other, one)) {
            // Whoever starts, or hears of a new peer, dials anew.
            return;
        }
        let is_paused = |node| self.paused_until(node).is_some();
        let is_cut = self.network.is_cut(link) || self.network.is_cut((other, one));
        if is_cut || is_paused(one) || is_paused(other) || !self.may_talk(one, other) {
            let later = self.schedule.within(200 * MILLISECOND..SECOND);
            self.plan_in(later, Next::Dial(link));
            return;
        }
        self.network.connect(link);
        for (node, peer) in [(one, other), (other, one)] {
            let (cluster, incarnation) = {
                let peer = &self.processes[&peer];
                (peer.cluster, peer.incarnation)
            };
            let process = self.processes.get_mut(&node).expect("it runs");
            if let (None, Some(cluster)) = (process.cluster, cluster) {
                process.adopt(node, cluster);
            }
            self.note(node, || format!("is connected to {peer}"));
            self.handle(node, Event::PeerConnected { peer, incarnation });
            self.begin_work(node);
        }
    }

    fn knows(&self, node: NodeId, peer: NodeId) -> bool {
        let process = &self.processes[&node];
        process.cluster.is_some()
            && process.peers.as_ref().is_some_and(|peers| peers.membership.contains(peer))
    }

    /// As two hellos would be judged.
    fn may_talk(&self, one: NodeId, other: NodeId) -> bool {
        let (here, there) = (&self.processes[&one], &self.processes[&other]);
        let one_cluster = match (here.cluster, there.cluster) {
            (Some(here), Some(there)) => here == there,
            (here, there) => here.is_some() || there.is_some(),
        };
        one_cluster && !self.contradicts(one, other) && !self.contradicts(other, one)
    }

    /// Whether `node` knows `peer` by another data directory, and may insist.
    fn contradicts(&self, node: NodeId, peer: NodeId) -> bool {
        let shown = self.processes[&peer].incarnation;
        let Some(PeersJob { membership, is_newest }) = &self.processes[&node].peers else { return false };
        let known = membership.member(peer).and_then(|member| member.incarnation);
        let demanded = known.filter(|_| *is_newest || !shown.has_joined());
        demanded.is_some_and(|demanded| demanded != shown) && !planted(Bug::HearsTheWiped)
    }

    /// `node` has other peers from now on.
    pub(super) fn meet(&mut self, node: NodeId, peers: PeersJob) {
        let process = self.processes.get_mut(&node).expect("it runs");
        process.peers = Some(peers);
        let others: Vec<NodeId> = self.hosts.keys().copied().filter(|other| *other != node).collect();
        for other in others {
            let link = (node.min(other), node.max(other));
            if !self.processes.contains_key(&other) {
                continue;
            }
            if !self.network.stands(link) {
                self.plan_in(MILLISECOND, Next::Dial(link));
            } else if !self.may_talk(node, other) || !(self.knows(node, other) || self.knows(other, node)) {
                self.lose(link);
            }
        }
    }

    /// The connection is gone: both ends hear it.
    pub(super) fn lose(&mut self, (one, other): Link) {
        if !self.network.lose((one, other)) {
            return;
        }
        for (node, peer) in [(one, other), (other, one)] {
            if self.processes.contains_key(&node) {
                let life = self.life(node);
                self.plan_in(MILLISECOND / 2, Next::Lost { node, life, peer });
            }
        }
        let later = self.schedule.within(50 * MILLISECOND..SECOND);
        self.plan_in(later, Next::Dial((one, other)));
    }

    /// The process at `node` ended. `silently`: with its whole machine, so that nobody is told.
    pub(super) fn hang_up(&mut self, node: NodeId, silently: bool) {
        let others: Vec<NodeId> = self.hosts.keys().copied().filter(|other| *other != node).collect();
        for other in others {
            let link = (node.min(other), node.max(other));
            if self.network.lose(link) && self.processes.contains_key(&other) {
                let life = self.life(other);
                let after = if silently { SILENCE } else { MILLISECOND };
                self.plan_in(after, Next::Lost { node: other, life, peer: node });
            }
        }
    }

    pub(super) fn hears_of_loss(&mut self, node: NodeId, peer: NodeId) {
        let link = (node.min(peer), node.max(peer));
        if self.network.stands(link) {
            // They have met again meanwhile: the word comes in front of that, as the transport tells it.
            let incarnation = self.processes.get(&peer).map(|process| process.incarnation);
            self.tell_loss(node, peer);
            if let Some(incarnation) = incarnation {
                self.handle(node, Event::PeerConnected { peer, incarnation });
            }
            return;
        }
        self.tell_loss(node, peer);
    }

    fn tell_loss(&mut self, node: NodeId, peer: NodeId) {
        self.note(node, || format!("has lost {peer}"));
        let process = self.processes.get_mut(&node).expect("it lives");
        process.hear(MoverInput::PeerLost(peer));
        self.handle(node, Event::PeerLost { peer });
        self.begin_work(node);
    }

    /// A link that has been cut for long is given up.
    pub(super) fn notice_silence(&mut self, link: Link) {
        if self.network.is_cut(link) || self.network.is_cut((link.1, link.0)) {
            self.lose(link);
        }
    }

    /// Nothing passes any more from one to the other.
    pub(super) fn cut(&mut self, link: Link) {
        self.network.cut(link);
        let (from, to) = link;
        self.trace.add(self.now, || What::World(format!("nothing passes from {from} to {to}")));
        self.plan_in(SILENCE, Next::Silence((from.min(to), from.max(to))));
    }

    pub(super) fn send(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        if !self.hosts.contains_key(&to) || from == to {
            return;
        }
        let speed = (self.plan.latency, self.plan.bandwidth);
        match self.network.send((from, to), &message, self.now, speed, &mut self.wire) {
            Some(arrivals) => {
                if arrivals.is_empty() {
                    let (sent_at, said) = (self.now, || Said::by(&message));
                    self.trace.add(sent_at, || What::Lost { from, to, sent_at, said: said() });
                }
                for (at, frame) in arrivals {
                    self.plan_at(at, Next::Deliver(frame, self.now));
                }
            }
            None if matches!(message, PeerMessage::Forward(_) | PeerMessage::Admin(_)) => {
                self.handle(from, Event::Undelivered { to, message });
            }
            None => {}
        }
    }

    pub(super) fn deliver(&mut self, frame: Frame, sent_at: u64) {
        let (from, to) = frame.link;
        if !self.network.delivers(&frame) {
            let said = || Said::by(&open(frame.bytes));
            self.trace.add(self.now, || What::Lost { from, to, sent_at, said: said() });
            return;
        }
        let message = open(frame.bytes);
        self.trace.add(self.now, || What::Message { from, to, sent_at, said: Said::by(&message) });
        self.heard.insert((to, from), self.now);
        let Some(process) = self.processes.get_mut(&to) else { return };
        match message {
            PeerMessage::Pull(pull) => process.hear(MoverInput::Pull { from, pull }),
            PeerMessage::Chunk(chunk) => process.hear(MoverInput::Chunk { from, chunk }),
            message => {
                self.handle(to, Event::Message { from, message });
                return;
            }
        }
        self.begin_work(to);
    }
}
