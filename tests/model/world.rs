//! One moment of a small world: three nodes, what is under way between them, and what has happened.

use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use quorate::types::{Body, EntryKind, Membership, Term};

use super::actions::id;
use super::configurations::{Budget, Rules};
use super::disk::Disk;
use super::history::{Committed, History};
use super::host::{Given, Node, founding, is_membership};
use super::laws::{Law, Laws, broken_by, goes_back};
use super::network::Network;
use super::shared::Shared;
use super::sights::{Sight, Sights};

#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    pub(crate) nodes: [Shared<Node>; 3],
    pub(crate) network: Network,
    pub(crate) history: Shared<History>,
    /// What may still happen.
    pub(crate) left: Budget,
}

/// A step from one world to the next: to one of several, if links are left with more than they hold.
pub(crate) struct Step {
    pub(crate) worlds: Vec<World>,
    pub(crate) broken: Laws,
    pub(crate) sights: Sights,
}

impl Step {
    pub(crate) fn of(world: World) -> Self {
        Self { worlds: vec![world], broken: Laws::default(), sights: Sights::default() }
    }
}

impl World {
    /// The founders have their founding entry, the others wait to be added. Nobody leads.
    pub(crate) fn new(rules: &Rules) -> Self {
        let members = (0..rules.founders as usize).map(|place| (id(place), address(place)));
        let founding = founding(Membership::founding(members).expect("good members"));
        let nodes = [0, 1, 2].map(|place| {
            let is_founder = (place as u64) < rules.founders;
            let disk = if is_founder { Disk::founded(founding.clone()) } else { Disk::default() };
            let disk = disk.with_past(rules.past[place], rules.past_term());
            let mut node = Node::start(rules.config(place), disk).expect("a good beginning");
            node.turn(rules.mutant, &mut Given::default());
            node.forget_counts(rules.time_is_told);
            node
        });
        let governing = Arc::clone(nodes[0].raft.membership());
        let committed = vec![Committed { entry: founding, in_term: Term::ZERO, governing }];
        Self {
            nodes: nodes.map(Shared::new),
            network: Network::default(),
            history: Shared::new(History { committed, ..History::default() }),
            left: rules.budget,
        }
    }

    /// The end of a step of the node at `place`: its turn, its messages, and the judgement.
    pub(crate) fn settle(
        mut self,
        place: usize,
        mut node: Node,
        mut given: Given,
        crashed: bool,
        rules: &Rules,
    ) -> Step {
        if !rules.late_turns {
            node.turn(rules.mutant, &mut given);
        }
        while rules.disks_are_instant && (!node.writes.is_empty() || node.raft.has_ready()) {
            node.persist(rules.mutant, &mut given);
            node.turn(rules.mutant, &mut given);
        }
        node.forget_counts(rules.time_is_told);
        let (mut history, mut broken) = ((*self.history).clone(), Laws::default());
        let before = &self.nodes[place];
        for outgoing in &given.sent {
            history.spoke(&node, outgoing, &mut broken);
        }
        if goes_back(before, &node, history.promised[place], crashed) {
            broken.add(Law::NothingGoesBack);
        }
        let began_to_lead = history.saw_leader(&node, &mut broken);
        history.saw_commit(&node, rules.mutant, &mut broken);
        history.applied(&given.applied, &mut broken);
        let read_answered = history.reads_answered(&given.reads, &mut broken);
        let sights =
            self.sights(place, &node, &given, &history, Happened { began_to_lead, read_answered, crashed });

        for outgoing in given.sent {
            let to = outgoing.to.get() as usize - 1;
            self.network.send(place, to, outgoing.message, rules);
        }
        self.network.forget_old_answers(place, node.disk.hard_state.term);
        self.nodes[place] = Shared::new(node);
        self.history = Shared::new(history);
        let broken = broken.or(broken_by(&self.nodes, place, &self.history.committed));
        let networks = mem::take(&mut self.network).thinned(place, rules.link_messages);
        let worlds = networks.into_iter().map(|network| Self { network, ..self.clone() }).collect();
        Step { worlds, broken, sights }
    }

    /// What is worth mentioning in a step from the node that stands here to `node`.
    fn sights(
        &self,
        place: usize,
        node: &Node,
        given: &Given,
        history: &History,
        happened: Happened,
    ) -> Sights {
        let (before, mut sights) = (&self.nodes[place], Sights::default());
        let news = &history.committed[self.history.committed.len()..];
        let is_proposal = |committed: &Committed| committed.entry.kind == EntryKind::Normal;
        let is_old = |committed: &Committed| committed.entry.position.term < committed.in_term;
        let is_transfer = |body: &Body| matches!(body, Body::Vote { transfer: true, .. });
        let last = before.raft.last();
        let is_replaced = node.raft.term_at(last.index) != Some(last.term) && !given.restored;
        sights.add_if(happened.began_to_lead && history.leaders.len() > 1, Sight::Succession);
        sights.add_if(happened.began_to_lead && node.raft.membership().is_joint(), Sight::LedInJoint);
        sights.add_if(news.iter().any(is_proposal), Sight::ProposalCommitted);
        sights.add_if(news.iter().any(is_old), Sight::OldEntryCommitted);
        sights.add_if(news.iter().any(|committed| is_membership(&committed.entry)), Sight::ChangeCommitted);
        sights.add_if(!happened.crashed && is_replaced, Sight::LogReplaced);
        sights.add_if(happened.crashed && before.pieces_under_way() > 0, Sight::WriteLost);
        sights.add_if(given.restored, Sight::SnapshotInstalled);
        sights.add_if(happened.read_answered, Sight::ReadAnswered);
        sights.add_if(given.sent.iter().any(|sent| is_transfer(&sent.message.body)), Sight::TookOver);
        sights
    }
}

/// What a step has brought about.
#[derive(Clone, Copy)]
struct Happened {
    began_to_lead: bool,
    read_answered: bool,
    crashed: bool,
}

/// Where the node at this place is reached.
pub(crate) fn address(place: usize) -> String {
    format!("host-{}:7000", place + 1)
}
