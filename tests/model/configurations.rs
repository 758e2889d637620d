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
    pub(crate) fn new(name: &'static str, budget: Budget, sights: &[Sight]) -> Self {
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
            sights: sights.to_vec(),
            mutant: Mutant::Nothing,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

pub(crate) const NOTHING: Budget = Budget {
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

/// The worlds that `cargo test --test model` visits: some seconds each, also in a debug build.
pub(crate) fn small() -> Vec<Rules> {
    use Sight::{
        ChangeCommitted, LedInJoint, LogReplaced, OldEntryCommitted, ProposalCommitted, ReadAnswered,
        SnapshotInstalled, Succession, TookOver, WriteLost,
    };
    vec![
        Rules::new("elections", Budget { timeouts: 2, duplicates: 1, ..NOTHING }, &[Succession])
            .with(|rules| (rules.order, rules.link_messages) = (Order::Any, 1)),
        Rules::new("pre-votes", Budget { timeouts: 2, ticks: 2, ..NOTHING }, &[Succession]).with(|rules| {
            (rules.pre_vote, rules.check_quorum, rules.all_tick) = (true, true, true);
            (rules.standing, rules.link_messages) = (&[0, 1], 1);
        }),
        Rules::new("replication", Budget { timeouts: 2, proposals: 1, ..NOTHING }, &[Succession, LogReplaced, ProposalCommitted, OldEntryCommitted])
            .with(|rules| (rules.standing, rules.link_messages) = (&[0, 1], 1)),
        Rules::new("disks", Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[Succession, WriteLost]).with(|rules| {
            rules.disks_are_instant = false;
            (rules.standing, rules.crashing, rules.link_messages) = (&[0, 1], &[2], 1);
        }),
        Rules::new("turns", Budget { timeouts: 1, proposals: 1, ..NOTHING }, &[ProposalCommitted]).with(|rules| {
            (rules.disks_are_instant, rules.late_turns, rules.link_messages) = (false, true, 1);
        }),
        Rules::new("reads", Budget { timeouts: 2, reads: 1, ..NOTHING }, &[Succession, ReadAnswered])
            .with(|rules| (rules.standing, rules.link_messages) = (&[0, 1], 1)),
        Rules::new("snapshots", Budget { timeouts: 2, snapshots: 1, ..NOTHING }, &[Succession, SnapshotInstalled])
            .with(|rules| (rules.standing, rules.link_messages) = (&[0, 1], 1)),
        Rules::new("transfer", Budget { timeouts: 1, transfers: 1, ..NOTHING }, &[Succession, TookOver]),
        Rules::new("removal", Budget { timeouts: 2, changes: 1, ..NOTHING }, &[Succession, ChangeCommitted, LedInJoint]).with(|rules| {
            (rules.standing, rules.link_messages) = (&[0, 1], 1);
            rules.changes = vec![MembershipChange::Remove { id: id(2) }];
        }),
        Rules::new("growth", Budget { timeouts: 2, changes: 2, ..NOTHING }, &[Succession, ChangeCommitted, LedInJoint]).with(|rules| {
            rules.founders = 2;
            (rules.standing, rules.link_messages) = (&[0, 1], 1);
            let learner = MembershipChange::AddLearner { id: id(2), address: address(2) };
            rules.changes = vec![learner, MembershipChange::Promote { id: id(2) }];
        }),
    ]
}

/// Worlds that take a release build, and minutes.
pub(crate) fn large() -> Vec<Rules> {
    let mut large: Vec<_> = small();
    for rules in &mut large {
        rules.link_messages += 1;
    }
    large.push(figure_8());
    large
}

/// §5.4.2: one entry in a message, so that an old one arrives without the one that opens its leader's term.
pub(crate) fn figure_8() -> Rules {
    Rules::new("figure-8", Budget { timeouts: 4, ..NOTHING }, &[]).with(|rules| {
        (rules.standing, rules.term_max) = (&[0, 1], 4);
        (rules.append_entries_max, rules.link_messages) = (1, 1);
    })
}
