//! The small worlds, by name: what may happen in each, and how often.

use quorate::types::MembershipChange;

use super::actions::id;
use super::mutants::Mutant;
use super::sights::Sight;
use super::world::address;

/// In which order the messages of one link arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// In that in which they were sent, as on one connection.
    Kept,
    /// In any.
    Any,
}

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) timeouts: u8,
    pub(crate) ticks: u8,
    pub(crate) proposals: u8,
    pub(crate) reads: u8,
    pub(crate) duplicates: u8,
    pub(crate) crashes: u8,
    pub(crate) snapshots: u8,
    pub(crate) changes: u8,
    pub(crate) transfers: u8,
}

/// The rules of a small world.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    /// The first so many of the three nodes found the group; the others wait to be added.
    pub(crate) founders: u64,
    /// Whose election timer may fire.
    pub(crate) standing: &'static [usize],
    /// Who may crash.
    pub(crate) crashing: &'static [usize],
    /// Whether all that stand are alike at first, so that the first timeout may be that of the first.
    pub(crate) alike: bool,
    /// Nobody campaigns from this term on.
    pub(crate) term_max: u64,
    pub(crate) budget: Budget,
    pub(crate) changes: Vec<MembershipChange>,
    pub(crate) order: Order,
    /// What a link holds at most; more is lost.
    pub(crate) link_messages: usize,
    /// Whether messages are lost otherwise.
    pub(crate) loses: bool,
    /// Whether writes are durable at once.
    pub(crate) disks_are_instant: bool,
    /// Whether several inputs may come together in one turn.
    pub(crate) late_turns: bool,
    /// Whether ticks come to all, or to leaders alone.
    pub(crate) all_tick: bool,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    pub(crate) append_entries_max: usize,
    pub(crate) seed: u64,
    /// What a search must come across.
    pub(crate) sights: Vec<Sight>,
    pub(crate) mutant: Mutant,
}

impl Rules {
    fn new(name: &'static str, budget: Budget) -> Self {
        Self {
            name,
            founders: 3,
            standing: &[0, 1, 2],
            crashing: &[0, 1, 2],
            alike: true,
            term_max: 2,
            budget,
            changes: Vec::new(),
            order: Order::Kept,
            link_messages: 2,
            loses: true,
            disks_are_instant: true,
            late_turns: false,
            all_tick: false,
            pre_vote: false,
            check_quorum: false,
            append_entries_max: 8,
            seed: 1,
            sights: Vec::new(),
            mutant: Mutant::Nothing,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

const NOTHING: Budget = Budget {
    timeouts: 0,
    ticks: 0,
    proposals: 0,
    reads: 0,
    duplicates: 0,
    crashes: 0,
    snapshots: 0,
    changes: 0,
    transfers: 0,
};

pub(crate) fn by_name(name: &str) -> Option<Rules> {
    all().into_iter().find(|rules| rules.name == name)
}

pub(crate) fn all() -> Vec<Rules> {
    vec![
        Rules::new("replication", Budget { timeouts: 2, proposals: 1, ..NOTHING }),
        Rules::new("elections", Budget { timeouts: 3, duplicates: 1, ..NOTHING })
            .with(|rules| { rules.order = Order::Any; rules.term_max = 3; rules.link_messages = 3 }),
        Rules::new("disks", Budget { timeouts: 2, crashes: 1, ..NOTHING }).with(|rules| rules.disks_are_instant = false),
        Rules::new("reads", Budget { timeouts: 2, reads: 1, ..NOTHING }),
        Rules::new("snapshots", Budget { timeouts: 2, snapshots: 1, ..NOTHING }),
        Rules::new("transfer", Budget { timeouts: 1, transfers: 1, ..NOTHING }),
        Rules::new("removal", Budget { timeouts: 2, changes: 1, ..NOTHING })
            .with(|rules| rules.changes = vec![MembershipChange::Remove { id: id(2) }]),
        Rules::new("growth", Budget { timeouts: 1, changes: 2, ..NOTHING }).with(|rules| {
            rules.founders = 2;
            rules.standing = &[0, 1];
            rules.changes = vec![MembershipChange::AddLearner { id: id(2), address: address(2) }, MembershipChange::Promote { id: id(2) }];
        }),
        Rules::new("figure-8", Budget { timeouts: 4, ..NOTHING }).with(|rules| {
            rules.standing = &[0, 1];
            rules.term_max = 4;
            rules.append_entries_max = 1;
            rules.link_messages = 1;
        }),
    ]
}
