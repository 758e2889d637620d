//! Several replicas with instant disks and a network that loses only what a scene tells it to.

use std::collections::{BTreeMap, BTreeSet};

use quorate::consensus::{Outgoing, Raft, RaftConfig, ReadReady, RoleName};
use quorate::types::{Body, LogPosition, MembershipChange, NodeId, Term};

use crate::fixture::{NOW, Past, node, persist, restored_of};

pub(crate) struct Cluster {
    rafts: Vec<Raft>,
    configs: Vec<RaftConfig>,
    /// Nodes that nobody hears and that hear nobody.
    down: BTreeSet<NodeId>,
    /// One way: nothing passes.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// No append arrives.
    appends_are_lost: bool,
    pub(crate) reads: Vec<(NodeId, ReadReady)>,
    pub(crate) reads_lost: usize,
    /// Appends that were delivered.
    pub(crate) appends: usize,
    /// Snapshots that took the place of a log.
    pub(crate) installs: usize,
    /// All leaders there ever were.
    leaders: BTreeMap<Term, NodeId>,
}

impl Cluster {
    pub(crate) fn of(pasts: impl IntoIterator<Item = Past>) -> Self {
        let pasts: Vec<_> = pasts.into_iter().collect();
        let configs = pasts.iter().map(|past| past.config.clone()).collect();
        Self {
            rafts: pasts.into_iter().map(Past::start).collect(),
            configs,
            down: BTreeSet::new(),
            cut: BTreeSet::new(),
            appends_are_lost: false,
            reads: Vec::new(),
            reads_lost: 0,
            appends: 0,
            installs: 0,
            leaders: BTreeMap::new(),
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

    /// Nothing passes between the two sides.
    pub(crate) fn split(&mut self, one: &[u64], other: &[u64]) {
        for (&a, &b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.cut_one_way(a, b);
            self.cut_one_way(b, a);
        }
    }

    pub(crate) fn mend(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((node(from), node(to)));
    }

    /// From now on no append arrives, or all do again; votes pass.
    pub(crate) fn lose_appends(&mut self, lost: bool) {
        self.appends_are_lost = lost;
    }

    /// A node starts again from its durable past; here everything is durable.
    pub(crate) fn replace(&mut self, past: Past) {
        let raft = past.start();
        let place = self.rafts.iter().position(|old| old.id() == raft.id()).expect("a known node");
        self.rafts[place] = raft;
    }

    /// A node crashes and starts again from what it has on disk. Its state machine keeps all that it applied.
    pub(crate) fn restart(&mut self, id: u64) {
        let place = self.rafts.iter().position(|raft| raft.id() == node(id)).expect("a known node");
        let restored = restored_of(&self.rafts[place]);
        let mut raft = Raft::new(self.configs[place].clone(), restored).expect("a good past");
        assert_eq!(raft.ready(NOW).apply, None, "nothing is applied twice");
        self.rafts[place] = raft;
    }

    /// Campaigns with `id` and lets everyone talk until they are quiet.
    pub(crate) fn elect(&mut self, id: u64) {
        self.raft(id).campaign();
        self.settle();
        assert_eq!(self.raft(id).role(), RoleName::Leader, "node {id} was not elected");
    }

    /// Begins a change at the leader and lets everyone talk.
    pub(crate) fn change(&mut self, change: &MembershipChange) -> LogPosition {
        let leader = self.leader().expect("a leader");
        let position = self.raft(leader).change_membership(change, None).expect("a change that may begin");
        self.settle();
        position
    }

    pub(crate) fn tick_all(&mut self, ticks: u32) {
        for _ in 0..ticks {
            for raft in &mut self.rafts {
                raft.tick(1);
            }
            self.settle();
        }
    }

    /// Delivers only so many messages; the next ones are lost. Whether there were as many.
    pub(crate) fn settle_for(&mut self, mut messages: usize) -> bool {
        loop {
            let sent: Vec<_> = (0..self.rafts.len()).flat_map(|place| self.turn(place)).collect();
            if sent.is_empty() {
                return false;
            }
            for (from, outgoing) in sent {
                if messages == 0 {
                    return true;
                }
                messages -= 1;
                self.deliver(from, outgoing);
            }
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
        if raft.role() == RoleName::Leader {
            let first = *self.leaders.entry(raft.term()).or_insert(raft.id());
            assert_eq!(first, raft.id(), "two leaders in term {} (§5.2)", raft.term());
        }
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
        let is_append = matches!(message.body, Body::Append(_));
        if is_append && self.appends_are_lost {
            return;
        }
        self.appends += usize::from(is_append);
        if let Some(raft) = self.rafts.iter_mut().find(|raft| raft.id() == to) {
            raft.step(from, message);
        }
    }
}
