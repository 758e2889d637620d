//! The small worlds, by name: what may happen in each, and how often.

use quorate::types::{MembershipChange, Term};

use super::actions::id;
use super::mutants::Mutant;
use super::sights::Sight::{
    self, ChangeCommitted, LedInJoint, LogReplaced, OldEntryCommitted, ProposalCommitted, ReadAnswered,
    SnapshotInstalled, Succession, TookOver, WriteLost,
};
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
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    /// The first so many of the three nodes found the group; the others wait to be added.
    pub(crate) founders: u64,
    /// Whose election timer may fire.
    pub(crate) standing: &'static [usize],
    /// Who may crash.
    pub(crate) crashing: &'static [usize],
    /// The terms of the entries that each node has behind the founding one.
    pub(crate) past: [&'static [u64]; 3],
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
    /// Whether time passes by ticks alone, which come to all. Else it passes unseen, and ticks come to leaders, for heartbeats.
    pub(crate) time_is_told: bool,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    pub(crate) append_entries_max: usize,
    pub(crate) seed: u64,
    /// What a search must come across.
    pub(crate) sights: Vec<Sight>,
    pub(crate) mutant: Mutant,
}

/// Three founders, links of one message that may be lost, disks that are never late; more is said world by world.
pub(crate) fn rules(name: &'static str, budget: Budget, sights: &[Sight]) -> Rules {
    Rules {
        name,
        founders: 3,
        standing: &[0, 1, 2],
        crashing: &[0, 1, 2],
        past: [&[]; 3],
        alike: true,
        term_max: 2,
        budget,
        changes: Vec::new(),
        order: Order::Kept,
        link_messages: 1,
        loses: true,
        disks_are_instant: true,
        late_turns: false,
        time_is_told: false,
        pre_vote: false,
        check_quorum: false,
        append_entries_max: 8,
        seed: 1,
        sights: sights.to_vec(),
        mutant: Mutant::Nothing,
    }
}

impl Rules {
    /// The term that all have reached before the beginning.
    pub(crate) fn past_term(&self) -> Term {
        Term(self.past.iter().copied().flatten().copied().max().unwrap_or(0))
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

/// The worlds that `cargo test --test model` visits.
pub(crate) fn small() -> Vec<Rules> {
    vec![
        rules("elections", Budget { timeouts: 2, ..NOTHING }, &[Succession]).with(|rules| {
            (rules.standing, rules.order, rules.link_messages, rules.loses) = (&[0, 1], Order::Any, 2, false);
        }),
        rules("pre-votes", Budget { timeouts: 2, ..NOTHING }, &[Succession])
            .with(|rules| (rules.standing, rules.pre_vote, rules.check_quorum) = (&[0, 1], true, true)),
        rules("replication", Budget { timeouts: 2, proposals: 1, ..NOTHING }, REPLICATED)
            .with(|rules| (rules.standing, rules.loses) = (&[0, 1], false)),
        rules("votes on disks", Budget { timeouts: 2, crashes: 1, ..NOTHING }, &[WriteLost])
            .with(|rules| (rules.standing, rules.term_max, rules.disks_are_instant) = (&[0, 1], 1, false)),
        rules("entries on disks", Budget { timeouts: 1, proposals: 1, crashes: 1, ..NOTHING }, ON_DISKS)
            .with(|rules| (rules.standing, rules.disks_are_instant) = (&[0], false)),
        rules("turns", Budget { timeouts: 1, proposals: 1, ..NOTHING }, &[ProposalCommitted])
            .with(|rules| (rules.disks_are_instant, rules.late_turns) = (false, true)),
        rules("reads", Budget { timeouts: 1, reads: 1, ..NOTHING }, &[ReadAnswered])
            .with(|rules| (rules.standing, rules.link_messages) = (&[0], 2)),
        rules("snapshots", Budget { timeouts: 2, snapshots: 1, ..NOTHING }, &[Succession, SnapshotInstalled])
            .with(|rules| (rules.standing, rules.loses) = (&[0, 1], false)),
        rules("transfer", Budget { timeouts: 1, transfers: 1, ..NOTHING }, &[Succession, TookOver]),
        rules("removal", Budget { timeouts: 2, changes: 1, ..NOTHING }, &[Succession, ChangeCommitted])
            .with(|rules| (rules.standing, rules.loses, rules.changes) = (&[0, 1], false, vec![remove(2)])),
        rules("growth", Budget { timeouts: 2, changes: 2, ..NOTHING }, CHANGED)
            .with(|rules| (rules.founders, rules.standing, rules.changes) = (2, &[0, 1], grow())),
    ]
}

/// The worlds that `QUORATE_MODEL=large cargo test --release --test model` visits.
pub(crate) fn large() -> Vec<Rules> {
    vec![
        rules("elections with a duplicate", Budget { timeouts: 2, duplicates: 1, ..NOTHING }, &[Succession])
            .with(|rules| (rules.standing, rules.order, rules.link_messages) = (&[0, 1], Order::Any, 2)),
        rules("pre-votes with a tick", Budget { timeouts: 2, ticks: 1, ..NOTHING }, &[]).with(|rules| {
            (rules.standing, rules.pre_vote, rules.check_quorum) = (&[0, 1], true, true);
            rules.time_is_told = true;
        }),
        rules("replication on long links", Budget { timeouts: 2, proposals: 1, ..NOTHING }, REPLICATED)
            .with(|rules| (rules.standing, rules.link_messages) = (&[0, 1], 2)),
        rules(
            "replication with a crash",
            Budget { timeouts: 2, proposals: 1, crashes: 1, ..NOTHING },
            REPLICATED,
        )
        .with(|rules| (rules.standing, rules.crashing) = (&[0, 1], &[2])),
        rules(
            "successions on disks",
            Budget { timeouts: 2, crashes: 1, ..NOTHING },
            &[Succession, WriteLost],
        )
        .with(|rules| {
            (rules.standing, rules.crashing) = (&[0, 1], &[2]);
            (rules.disks_are_instant, rules.loses) = (false, false);
        }),
        rules(
            "reads that are lost",
            Budget { timeouts: 2, reads: 1, ..NOTHING },
            &[Succession, ReadAnswered],
        )
        .with(|rules| rules.standing = &[0, 1]),
        rules(
            "snapshots with a crash",
            Budget { timeouts: 2, snapshots: 1, crashes: 1, ..NOTHING },
            INSTALLED,
        )
        .with(|rules| (rules.standing, rules.crashing) = (&[0, 1], &[2])),
        rules("transfer and timeout", Budget { timeouts: 2, transfers: 1, ..NOTHING }, &[TookOver])
            .with(|rules| rules.standing = &[0, 1]),
        rules("removal of anybody", Budget { timeouts: 2, changes: 1, ..NOTHING }, CHANGED).with(|rules| {
            (rules.standing, rules.alike) = (&[0, 1], false);
            rules.changes = vec![remove(0), remove(1), remove(2)];
        }),
        rules("growth with a crash", Budget { timeouts: 2, changes: 2, crashes: 1, ..NOTHING }, CHANGED)
            .with(|rules| (rules.founders, rules.standing, rules.changes) = (2, &[0, 1], grow())),
        rules("replacement", Budget { timeouts: 2, changes: 2, ..NOTHING }, CHANGED).with(|rules| {
            (rules.founders, rules.standing, rules.alike) = (2, &[0, 1], false);
            rules.changes =
                vec![learn(), MembershipChange::Replace { old: id(1), new: id(2), address: address(2) }];
        }),
        figure_8(),
    ]
}

/// Figure 8 from its beginning, in a group of three. One entry in a message, so that an old one arrives without the one that
/// opens its leader's term.
pub(crate) fn figure_8() -> Rules {
    rules("figure 8", Budget { timeouts: 4, ..NOTHING }, &[OldEntryCommitted, LogReplaced])
        .with(|rules| (rules.standing, rules.term_max, rules.append_entries_max) = (&[0, 1], 4, 1))
}

/// The same from its step (b) on: the first node has led in term 1, the second in term 2, and nobody else has their entries.
pub(crate) fn figure_8_from_b() -> Rules {
    figure_8().with(|rules| {
        (rules.name, rules.budget.timeouts, rules.alike) = ("figure 8 from (b)", 2, false);
        rules.past = [&[1], &[2], &[]];
    })
}

const REPLICATED: &[Sight] = &[Succession, LogReplaced, ProposalCommitted, OldEntryCommitted];
const ON_DISKS: &[Sight] = &[ProposalCommitted, WriteLost];
const INSTALLED: &[Sight] = &[Succession, SnapshotInstalled];
const CHANGED: &[Sight] = &[Succession, ChangeCommitted, LedInJoint];

fn remove(place: usize) -> MembershipChange {
    MembershipChange::Remove { id: id(place) }
}

fn learn() -> MembershipChange {
    MembershipChange::AddLearner { id: id(2), address: address(2) }
}

/// The third node learns, and then votes.
fn grow() -> Vec<MembershipChange> {
    vec![learn(), MembershipChange::Promote { id: id(2) }]
}
