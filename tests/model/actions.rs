//! All that may happen next, and what a world becomes by it.

use quorate::consensus::{RaftConfig, ReadReady};
use quorate::types::{Boot, NodeId, ReadId};

use super::configurations::Rules;
use super::host::{Given, NOW, Node};
use super::laws::{Law, Laws};
use super::mutants::Mutant;
use super::network::Place;
use super::shared::Shared;
use super::world::{Step, World};

/// One thing that happens. Nodes are counted from zero here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The election timer of a node fires.
    Timeout(usize),
    /// A tick: a leader sends heartbeats.
    Tick(usize),
    /// The replica's turn ends, where turns are not ended after every input.
    Turn(usize),
    /// The first write that is under way becomes durable.
    Persist(usize),
    Deliver(Place),
    /// Arrives, and will arrive again.
    Duplicate(Place),
    Drop(Place),
    Propose(usize),
    Read(usize),
    /// A snapshot is saved and the log shortened.
    Snapshot(usize),
    /// A snapshot was fetched from another node.
    Fetch(usize),
    /// The change of this number is asked of a node.
    Change(usize, usize),
    /// Leadership is to go from the one to the other.
    Transfer(usize, usize),
    /// Of what is under way to the disk the first parts survive.
    Crash(usize, usize),
}

impl World {
    /// Everything that may happen next, always in the same order.
    pub(crate) fn actions(&self, rules: &Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        for place in 0..3 {
            self.actions_of(place, rules, &mut actions);
        }
        for place in self.network.arriving(rules.order) {
            actions.push(Action::Deliver(place));
            if self.left.duplicates > 0 {
                actions.push(Action::Duplicate(place));
            }
            // What is lost for want of a place is lost when that is needed.
            if rules.loses && self.network.is_in_the_way(place, rules.order) {
                actions.push(Action::Drop(place));
            }
        }
        actions
    }

    fn actions_of(&self, place: usize, rules: &Rules, actions: &mut Vec<Action>) {
        let (node, left) = (&self.nodes[place], &self.left);
        let others = (0..3).filter(|&other| other != place);
        if self.may_time_out(place, rules) {
            actions.push(Action::Timeout(place));
        }
        if left.ticks > 0 && (node.leads() || rules.time_is_told) {
            actions.push(Action::Tick(place));
        }
        if rules.late_turns && node.raft.has_ready() {
            actions.push(Action::Turn(place));
        }
        if !node.writes.is_empty() {
            actions.push(Action::Persist(place));
        }
        if left.proposals > 0 && node.leads() {
            actions.push(Action::Propose(place));
        }
        if left.reads > 0 && node.raft.leader().is_some() {
            actions.push(Action::Read(place));
        }
        if left.snapshots > 0 {
            actions.push(Action::Snapshot(place));
        }
        if node.fetching.is_some() {
            actions.push(Action::Fetch(place));
        }
        if left.changes > 0 && node.leads() {
            actions.extend((0..rules.changes.len()).map(|nth| Action::Change(place, nth)));
        }
        if left.transfers > 0 && node.leads() {
            actions.extend(others.map(|other| Action::Transfer(place, other)));
        }
        if left.crashes > 0 && rules.crashing.contains(&place) {
            actions.extend((0..=node.pieces_under_way()).map(|survivors| Action::Crash(place, survivors)));
        }
    }

    /// As long as all nodes are alike, it is enough to look at what begins with the first of them.
    fn may_time_out(&self, place: usize, rules: &Rules) -> bool {
        let are_all_alike = rules.alike && self.left.timeouts == rules.budget.timeouts;
        let node = &self.nodes[place];
        self.left.timeouts > 0
            && rules.standing.contains(&place)
            && !node.leads()
            && node.raft.term().0 < rules.term_max
            && (!are_all_alike || place == rules.standing[0])
    }

    /// The world after `action`; `None` if it would change nothing.
    pub(crate) fn after(&self, action: Action, rules: &Rules) -> Option<Step> {
        let mut world = self.clone();
        let mut given = Given::default();
        let (place, mutant) = (action.place(), rules.mutant);
        let mut node = Node::clone(&self.nodes[place]);
        match action {
            Action::Timeout(_) => {
                world.left.timeouts -= 1;
                node.raft.campaign();
            }
            Action::Tick(_) => {
                world.left.ticks -= 1;
                node.raft.tick(1);
            }
            Action::Turn(_) => node.turn(mutant, &mut given),
            Action::Persist(_) => node.persist(mutant, &mut given),
            Action::Deliver(at) => {
                world.network.remove(at);
                node.raft.step(id(at.from), self.network.at(at).clone());
            }
            Action::Duplicate(at) => {
                world.left.duplicates -= 1;
                node.raft.step(id(at.from), mutant.alter(self.network.at(at).clone()));
            }
            Action::Drop(at) => {
                world.network.remove(at);
                return Some(Step::of(world));
            }
            Action::Propose(_) => {
                world.left.proposals -= 1;
                // Its size tells this proposal from all others.
                node.raft.propose([1 + u32::from(world.left.proposals)]).ok()?;
            }
            Action::Read(_) => {
                world.left.reads -= 1;
                world.read(&mut node, rules, &mut given)?;
            }
            Action::Snapshot(_) => {
                world.left.snapshots -= 1;
                node.take_snapshot().then_some(())?;
            }
            Action::Fetch(_) => {
                let (from, snapshot) = node.fetching.as_ref()?;
                let source = &self.nodes[from.get() as usize - 1];
                source.disk.snapshots.contains(snapshot).then_some(())?;
                node.fetched();
            }
            Action::Change(_, nth) => {
                world.left.changes -= 1;
                node.raft.change_membership(&rules.changes[nth], None).ok()?;
            }
            Action::Transfer(_, to) => {
                world.left.transfers -= 1;
                node.raft.transfer_leadership(Some(id(to))).ok()?;
            }
            Action::Crash(_, survivors) => {
                world.left.crashes -= 1;
                match node.crash(rules.config(place), survivors, mutant) {
                    Ok(restarted) => node = restarted,
                    Err(_) => return Some(Step { broken: Laws::only(Law::DisksRestore), ..Step::of(world) }),
                }
            }
        }
        Some(world.settle(place, node, given, matches!(action, Action::Crash(..)), rules))
    }

    fn read(&mut self, node: &mut Node, rules: &Rules, given: &mut Given) -> Option<()> {
        let id = ReadId { boot: Boot(1), request: self.left.reads.into() };
        if rules.mutant == Mutant::AnswersReadsAtOnce && node.leads() {
            given.reads.push(ReadReady { id, index: node.raft.commit() });
        } else {
            node.raft.read_index(id, NOW).ok()?;
        }
        let mut history = (*self.history).clone();
        history.read_began(id);
        self.history = Shared::new(history);
        Some(())
    }
}

impl Action {
    /// Whose step it is.
    fn place(self) -> usize {
        match self {
            Self::Timeout(place)
            | Self::Tick(place)
            | Self::Turn(place)
            | Self::Persist(place)
            | Self::Propose(place)
            | Self::Read(place)
            | Self::Snapshot(place)
            | Self::Fetch(place)
            | Self::Change(place, _)
            | Self::Transfer(place, _)
            | Self::Crash(place, _) => place,
            Self::Deliver(at) | Self::Duplicate(at) | Self::Drop(at) => at.to,
        }
    }
}

/// The id of the node at this place.
pub(crate) fn id(place: usize) -> NodeId {
    NodeId::new(place as u64 + 1).expect("not zero")
}

impl Rules {
    /// The settings of the node at this place.
    pub(crate) fn config(&self, place: usize) -> RaftConfig {
        RaftConfig {
            election_ticks: 2,
            heartbeat_ticks: 1,
            append_entries_max: self.append_entries_max,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            joined: place as u64 >= self.founders,
            seed: self.seed,
            ..RaftConfig::new(id(place))
        }
    }
}
