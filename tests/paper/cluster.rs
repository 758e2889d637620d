//! Several replicas with instant disks and a network that loses only what a scene tells it to.

use std::collections::BTreeSet;

use quorate::consensus::{Outgoing, Raft, ReadReady, RoleName};
use quorate::types::{Body, NodeId};

use crate::fixture::{NOW, Past, node, persist};

pub(crate) struct Cluster {
    rafts: Vec<Raft>,
    /// Nodes that nobody hears and that hear nobody.
    down: BTreeSet<NodeId>,
    /// One way: nothing passes.
    cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) reads: Vec<(NodeId, ReadReady)>,
    pub(crate) reads_lost: usize,
    /// Appends that were delivered.
    pub(crate) appends: usize,
    /// Snapshots that took the place of a log.
    pub(crate) installs: usize,
}

impl Cluster {
    pub(crate) fn of(pasts: impl IntoIterator<Item = Past>) -> Self {
        let rafts = pasts.into_iter().map(Past::start).collect();
        Self {
            rafts,
            down: BTreeSet::new(),
            cut: BTreeSet::new(),
            reads: Vec::new(),
            reads_lost: 0,
            appends: 0,
            installs: 0,
        }
    }

    pub(crate) fn raft(&mut self, id: u64) -> &mut Raft {
        self.rafts.iter_mut().find(|raft| raft.id() == node(id)).expect("a known node")
    }

    pub(crate) fn down(&mut self, ids: &[u64]) {
        self.down.extend(ids.iter().copied().map(node));
    }

    pub(crate) fn up(&mut self, ids: &[u64]) {
        for &id in ids {
            self.down.remove(&node(id));
        }
    }

    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((node(from), node(to)));
    }

    /// A node starts again from its durable past; here everything is durable.
    pub(crate) fn replace(&mut self, past: Past) {
        let raft = past.start();
        let place = self.rafts.iter().position(|old| old.id() == raft.id()).expect("a known node");
        self.rafts[place] = raft;
    }

    /// Campaigns with `id` and lets everyone talk until they are quiet.
    pub(crate) fn elect(&mut self, id: u64) {
        self.raft(id).campaign();
        self.settle();
        assert_eq!(self.raft(id).role(), RoleName::Leader, "node {id} was not elected");
    }

    pub(crate) fn tick_all(&mut self, ticks: u32) {
        for _ in 0..ticks {
            for raft in &mut self.rafts {
                raft.tick(1);
            }
            self.settle();
        }
    }

    /// Delivers, in order, until nobody has anything to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut sent = Vec::new();
            for place in 0..self.rafts.len() {
                sent.extend(self.turn(place));
            }
            if sent.is_empty() {
                return;
            }
            for (from, outgoing) in sent {
                self.deliver(from, outgoing);
            }
        }
        panic!("the cluster never stops talking");
    }

    /// The one node that leads in the highest term, if any.
    pub(crate) fn leader(&self) -> Option<u64> {
        let leaders = self.rafts.iter().filter(|raft| raft.role() == RoleName::Leader);
        leaders.max_by_key(|raft| raft.term()).map(|raft| raft.id().get())
    }

    fn turn(&mut self, place: usize) -> Vec<(NodeId, Outgoing)> {
        let raft = &mut self.rafts[place];
        if !raft.has_ready() {
            return Vec::new();
        }
        let ready = raft.ready(NOW);
        persist(raft, &ready);
        let id = raft.id();
        // What is to be fetched arrives at once.
        if let Some((from, snapshot)) = &ready.receive
            && !self.down.contains(&id)
            && !self.down.contains(from)
        {
            self.installs += usize::from(raft.snapshot_received(snapshot));
        }
        self.reads.extend(ready.reads.iter().map(|&read| (id, read)));
        self.reads_lost += ready.reads_lost.len();
        let done =
            ready.send.into_iter().chain(ready.send_when_durable).map(|sent| (id, sent)).collect::<Vec<_>>();
        if done.is_empty() { self.turn(place) } else { done }
    }

    fn deliver(&mut self, from: NodeId, Outgoing { to, message }: Outgoing) {
        if self.down.contains(&from) || self.down.contains(&to) || self.cut.contains(&(from, to)) {
            return;
        }
        self.appends += usize::from(matches!(message.body, Body::Append(_)));
        if let Some(raft) = self.rafts.iter_mut().find(|raft| raft.id() == to) {
            raft.step(from, message);
        }
    }
}
