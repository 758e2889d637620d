//! The world around the nodes: a network that may do anything with a message but change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate::consensus::{Outgoing, RaftConfig, RoleName};
use quorate::types::{
    Body, Incarnation, LogIndex, Membership, MembershipChange, Message, NodeId, SnapshotId,
};

use super::history::History;
use super::node::{Node, Turn};
use super::random::Random;

/// Steps between two comparisons of all logs with each other.
const CHECK_ALL_EVERY: u32 = 16;

fn address(id: NodeId) -> String {
    format!("host-{id}:7000")
}

/// How bad this walk is, in percent; drawn per seed, so that some walks are calm and some are not.
struct Weather {
    lose: u64,
    double: u64,
    crash: u64,
    cut: u64,
    tick: u64,
    /// How often snapshots are taken.
    snapshot: u64,
}

pub(crate) struct World {
    pub(crate) history: History,
    random: Random,
    weather: Weather,
    configs: Vec<RaftConfig>,
    nodes: Vec<Node>,
    /// Under way: from, to, what.
    network: Vec<(NodeId, NodeId, Message)>,
    /// `cut[from][to]`: nothing passes that way now.
    cut: Vec<Vec<bool>>,
    /// Entries that a compacted log keeps before the snapshot.
    trailing: u64,
    /// Whether the membership changes in this walk, and leadership is handed over.
    changes: bool,
    proposed: u32,
    crashes: usize,
    compactions: usize,
    installs: usize,
    steps: u32,
}

impl World {
    /// A group of `count` founders, and `joiners` who wait to be added.
    pub(crate) fn new(count: u64, joiners: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let ids: Vec<_> = (1..=count + joiners).map(|id| NodeId::new(id).expect("not zero")).collect();
        let founders = Arc::new(
            Membership::founding(ids[..count as usize].iter().map(|&id| (id, address(id))))
                .expect("good members"),
        );
        let (pre_vote, check_quorum) = (random.percent(70), random.percent(70));
        // Without either, nothing keeps a node that was removed from disturbing for ever (thesis §4.2.3).
        let check_quorum = check_quorum || (joiners > 0 && !pre_vote);
        let limits = (random.within(1..6) as usize, random.within(1..200), random.within(1..5) as usize);
        let config = |&id: &NodeId| RaftConfig {
            election_ticks: 10,
            heartbeat_ticks: 2,
            append_entries_max: limits.0,
            append_bytes_max: limits.1,
            in_flight_messages_max: limits.2,
            in_flight_bytes_max: 2 * limits.1,
            pre_vote,
            check_quorum,
            promote_lag_bytes_max: 100,
            incarnation: Some(Incarnation(id.get())),
            // One who comes later, or a founder that begins with nothing, not even the founding entry.
            joined: id.get() > count || (joiners == 0 && id.get() == 3 && seed.is_multiple_of(3)),
            seed: seed * 10 + id.get(),
            ..RaftConfig::new(id)
        };
        let configs: Vec<_> = ids.iter().map(config).collect();
        // A change takes several round trips: most of the walks that have any are calm enough for some of them to end.
        let calm = if joiners > 0 && random.percent(70) { 4 } else { 1 };
        let weather = Weather {
            lose: random.within(0..30) / calm,
            double: random.within(0..20) / calm,
            crash: random.within(0..3) / calm,
            cut: random.within(0..3) / calm,
            tick: random.within(5..30),
            snapshot: random.within(0..25),
        };
        let trailing = random.within(0..8);
        let start = |config: &RaftConfig| {
            if config.joined { Node::joining(config.clone()) } else { Node::new(config.clone(), &founders) }
        };
        let nodes = configs.iter().map(start).collect();
        let cut = vec![vec![false; ids.len()]; ids.len()];
        let history = History::default();
        Self {
            history,
            random,
            weather,
            configs,
            nodes,
            network: Vec::new(),
            cut,
            trailing,
            changes: joiners > 0,
            proposed: 0,
            crashes: 0,
            compactions: 0,
            installs: 0,
            steps: 0,
        }
    }

    pub(crate) fn crashes(&self) -> usize {
        self.crashes
    }

    pub(crate) fn compactions(&self) -> usize {
        self.compactions
    }

    /// How often a snapshot took the place of a log.
    pub(crate) fn installs(&self) -> usize {
        self.installs
    }

    /// What two walks of one seed must have in common: everything.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{:?}", self.nodes.iter().map(|node| &node.raft).collect::<Vec<_>>())
    }

    /// One thing happens at one node, and most often its turn ends after it.
    pub(crate) fn step(&mut self) {
        let chosen = self.random.index(self.nodes.len());
        if self.random.percent(self.weather.crash) {
            self.crash(chosen);
        } else if self.random.percent(self.weather.cut) {
            self.cut_or_mend(chosen);
        } else if self.random.percent(self.weather.tick) {
            let ticks = if self.random.percent(2) { 100 } else { self.random.within(1..4) as u32 };
            self.nodes[chosen].raft.tick(ticks);
        } else if self.random.percent(self.weather.snapshot) {
            self.work_on_snapshots(chosen);
        } else {
            self.work(chosen);
        }
        if self.random.percent(70) {
            self.turn(chosen);
        }
        self.check(chosen);
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_ALL_EVERY) {
            self.history.check_all(&self.nodes);
        }
    }

    /// What nodes do all day.
    fn work(&mut self, node: usize) {
        match self.random.within(0..100) {
            0..15 => {
                let count = self.random.within(1..4) as usize;
                let released = self.nodes[node].sync(count);
                self.post(node, released);
            }
            15..30 => drop(self.propose(node)),
            30..38 => drop(self.read(node)),
            40..50 if self.changes => self.reconfigure(self.leader().unwrap_or(node)),
            38..40 => {
                let peer = self.configs[self.random.index(self.configs.len())].id;
                self.nodes[node].raft.peer_lost(peer);
            }
            40..50 => (0..self.nodes.len()).for_each(|node| self.fetch(node)),
            _ => (0..self.nodes.len()).for_each(|_| self.deliver()),
        }
    }

    fn work_on_snapshots(&mut self, node: usize) {
        match self.random.within(0..10) {
            0 => self.nodes[node].store_state(),
            1 => {
                let peer = self.configs[self.random.index(self.configs.len())].id;
                self.nodes[node].raft.snapshot_stalled(peer);
            }
            _ => {
                let id = SnapshotId(self.random.next());
                if self.nodes[node].save_snapshot(id) {
                    self.compactions += usize::from(self.nodes[node].compact(self.trailing));
                }
            }
        }
    }

    /// Moves a piece of the snapshot that the node fetches, if it fetches one and reaches its source.
    fn fetch(&mut self, node: usize) {
        let Some((from, id)) = self.nodes[node].fetches() else {
            return;
        };
        let source = from.get() as usize - 1;
        if !self.cut[source][node] && !self.cut[node][source] {
            let snapshot = self.nodes[source].serve(id);
            self.nodes[node].take_piece(snapshot);
        }
    }

    /// The faults stop. A leader must emerge, everything proposed then must be applied everywhere, reads must be answered.
    pub(crate) fn heal_and_finish(&mut self) {
        self.weather = Weather { lose: 0, double: 0, crash: 0, cut: 0, tick: 0, snapshot: 0 };
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
        self.nodes.iter_mut().for_each(|node| node.raft.set_impaired(false));
        self.calm(60);
        let leader = self.leader().expect("a leader emerges when the faults stop");
        let target = self.propose(leader).expect("the leader takes proposals");
        let members: Vec<_> = self.members(leader);
        let reader = members[self.random.index(members.len())];
        let answered = self.history.reads();
        assert!(self.read(reader), "everyone knows the leader");
        self.calm(40);
        self.history.check_all(&self.nodes);
        assert!(self.history.reads() > answered, "a read is answered when the faults have stopped");
        let membership = self.nodes[leader].raft.membership();
        assert!(!membership.is_joint(), "a joint configuration is left when the faults stop");
        assert!(membership.voters().contains(&self.nodes[leader].raft.id()), "who leads is no voter");
        for node in members.iter().map(|&member| &self.nodes[member]) {
            assert_eq!(node.raft.membership(), membership);
            assert!(node.state().through.index >= target, "node {} did not catch up", node.raft.id());
            assert_eq!(node.raft.last(), self.nodes[leader].raft.last());
        }
    }

    /// Everybody ticks, syncs and hears everybody, `ticks` times.
    fn calm(&mut self, ticks: u32) {
        for _ in 0..ticks {
            for node in 0..self.nodes.len() {
                self.nodes[node].raft.tick(1);
                self.turn(node);
            }
            self.settle();
        }
    }

    /// Until nothing is under way any more, on the disks or between the nodes.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let busy = |node: &Node| {
                node.writes_under_way() > 0 || node.raft.has_ready() || node.fetches().is_some()
            };
            if self.network.is_empty() && !self.nodes.iter().any(busy) {
                return;
            }
            while !self.network.is_empty() {
                let (from, to, message) = self.network.remove(0);
                self.nodes[to.get() as usize - 1].receive(from, message);
            }
            for node in 0..self.nodes.len() {
                self.fetch(node);
                self.turn(node);
                let count = self.nodes[node].writes_under_way();
                let released = self.nodes[node].sync(count);
                self.post(node, released);
                self.turn(node);
                self.check(node);
            }
        }
        panic!("the nodes never stop talking");
    }

    fn leader(&self) -> Option<usize> {
        let leaders = (0..self.nodes.len()).filter(|&node| self.nodes[node].raft.role() == RoleName::Leader);
        leaders.max_by_key(|&node| self.nodes[node].raft.term())
    }

    fn members(&self, node: usize) -> Vec<usize> {
        let members = self.nodes[node].raft.membership().members();
        members.map(|(id, _)| id.get() as usize - 1).collect()
    }

    /// What an operator may ask, sensible or not, and what a host may say.
    fn reconfigure(&mut self, node: usize) {
        let mut any = || self.configs[self.random.index(self.configs.len())].id;
        let (id, new) = (any(), any());
        let change = match self.random.within(0..16) {
            0..3 => MembershipChange::AddLearner { id, address: address(id) },
            3..6 => MembershipChange::Promote { id },
            6 => MembershipChange::Demote { id },
            7 => MembershipChange::Remove { id },
            8 => MembershipChange::Replace { old: id, new, address: address(new) },
            9 => {
                let mut some = |chance| {
                    let ids =
                        self.configs.iter().filter(|_| self.random.percent(chance)).map(|config| config.id);
                    ids.map(|id| (id, address(id))).collect::<BTreeMap<_, _>>()
                };
                let voters = some(60);
                let mut learners = some(30);
                learners.retain(|id, _| !voters.contains_key(id));
                MembershipChange::Set { voters, learners }
            }
            10 => {
                let to = self.random.percent(50).then_some(id);
                drop(self.nodes[node].raft.transfer_leadership(to));
                return;
            }
            11 => {
                let impaired = self.random.percent(20);
                self.nodes[node].raft.set_impaired(impaired);
                return;
            }
            _ => {
                self.propose_incarnations(node);
                return;
            }
        };
        self.nodes[node].change_membership(&change);
    }

    fn crash(&mut self, node: usize) {
        let survivors = self.random.index(self.nodes[node].writes_under_way() + 1);
        let config = RaftConfig { seed: self.random.next(), ..self.configs[node].clone() };
        self.nodes[node].crash(config, survivors);
        self.history.crashed(self.configs[node].id);
        self.history.check_vote_survived(self.configs[node].id, self.nodes[node].hard_state());
        self.crashes += 1;
    }

    fn cut_or_mend(&mut self, node: usize) {
        if self.random.percent(50) {
            self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
            return;
        }
        let one_way = self.random.percent(30);
        let all = self.random.percent(50);
        let other = self.random.index(self.nodes.len());
        for peer in (0..self.nodes.len()).filter(|&peer| all || peer == other) {
            self.cut[node][peer] = true;
            self.cut[peer][node] |= !one_way;
        }
    }

    /// As a host does with what it learns from hellos.
    fn propose_incarnations(&mut self, node: usize) -> Option<LogIndex> {
        let learnt = self.configs.iter().map(|config| (config.id, Incarnation(config.id.get())));
        let membership = (**self.nodes[node].raft.membership()).clone().with_incarnations(learnt);
        self.nodes[node].propose_membership(membership)
    }

    fn propose(&mut self, node: usize) -> Option<LogIndex> {
        if self.random.percent(5) {
            return self.propose_incarnations(node);
        }
        let count = self.random.within(1..5) as u32;
        let sizes: Vec<_> = (1..=count).map(|nth| self.proposed + nth).collect();
        self.proposed += count;
        self.nodes[node].propose(&sizes).map(|span| span.last.index)
    }

    fn read(&mut self, node: usize) -> bool {
        let id = self.nodes[node].read();
        if let Some(id) = id {
            self.history.read_began(id);
        }
        id.is_some()
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let place = if self.random.percent(70) { 0 } else { self.random.index(self.network.len()) };
        let (from, to, message) = if self.random.percent(self.weather.double) {
            self.network[place].clone()
        } else {
            self.network.remove(place)
        };
        let (source, target) = (from.get() as usize - 1, to.get() as usize - 1);
        if self.cut[source][target] || self.random.percent(self.weather.lose) {
            return;
        }
        self.nodes[target].receive(from, message);
        if self.random.percent(70) {
            self.turn(target);
        }
        self.check(target);
    }

    fn turn(&mut self, node: usize) {
        let before = self.nodes[node].state().through.index;
        let Turn { send, applied, reads, reads_lost } = self.nodes[node].turn();
        let after = self.nodes[node].state().through.index;
        self.installs += usize::from(after.distance_from(before) > applied.len() as u64);
        self.check(node);
        self.history.applied(&applied);
        self.history.check_state(&self.nodes[node]);
        for read in reads {
            self.history.read_answered(read.id, read.index);
        }
        for id in reads_lost {
            self.history.read_lost(id);
        }
        self.post(node, send);
    }

    fn post(&mut self, node: usize, messages: Vec<Outgoing>) {
        let from = self.configs[node].id;
        for Outgoing { to, message } in messages {
            assert_ne!(to, from, "a node talks to itself");
            match message.body {
                Body::Vote { .. } => self.history.voted(from, message.term, from),
                Body::VoteAnswer { granted: true } => self.history.voted(from, message.term, to),
                _ => {}
            }
            self.network.push((from, to, message));
        }
    }

    fn check(&mut self, node: usize) {
        let subject = &self.nodes[node];
        let others: Vec<_> = self.nodes.iter().filter(|other| other.raft.id() != subject.raft.id()).collect();
        self.history.check(subject, &others);
    }
}
