//! §5.2: Election Safety, not for some schedules but for all of a small world: three nodes, a few timeouts each, and votes
//! that arrive in any order, late, or never.
//!
//! `QUORATE_SEARCH=2,1,1 cargo test --release --test paper exhaustive` searches a world with so many timeouts of the three
//! nodes, which takes longer.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::rc::Rc;

use quorate::consensus::{Outgoing, Raft, RoleName};
use quorate::types::{Body, HardState, NodeId, Term};

use crate::fixture::*;

/// One moment of the small world.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    rafts: [Rc<Raft>; 3],
    /// How many timeouts each node has before it.
    timeouts: [u8; 3],
    /// What was sent and has not arrived, always in the same order; it may arrive at any time, or never.
    under_way: Vec<(NodeId, Outgoing)>,
    /// Who led when.
    leaders: BTreeMap<Term, NodeId>,
}

/// What the search found.
#[derive(Default)]
struct Found {
    worlds: usize,
    /// With two terms that had a leader each.
    with_two_terms: usize,
    /// With two leaders in one term: never, unless a law is broken.
    with_two_leaders: usize,
}

impl World {
    fn new(timeouts: [u8; 3], pre_vote: bool) -> Self {
        let start = |id| replica(id, 3).with(|config| config.pre_vote = pre_vote).start().into();
        Self { rafts: [1, 2, 3].map(start), timeouts, under_way: Vec::new(), leaders: BTreeMap::new() }
    }

    /// Everything that may happen next.
    fn next(&self) -> Vec<World> {
        let waiting = (0..3).filter(|&place| self.timeouts[place] > 0);
        let timed_out = waiting.map(|place| {
            let mut world = self.clone();
            world.timeouts[place] -= 1;
            Rc::make_mut(&mut world.rafts[place]).campaign();
            world.after_a_step_of(place)
        });
        let arrived = (0..self.under_way.len()).map(|nth| {
            let mut world = self.clone();
            let (from, sent) = world.under_way.remove(nth);
            let place = place_of(sent.to);
            Rc::make_mut(&mut world.rafts[place]).step(from, sent.message);
            world.after_a_step_of(place)
        });
        timed_out.chain(arrived).collect()
    }

    fn after_a_step_of(mut self, place: usize) -> Self {
        let raft = Rc::make_mut(&mut self.rafts[place]);
        if raft.role() == RoleName::Leader {
            self.leaders.entry(raft.term()).or_insert(raft.id());
        }
        // Of a leader's messages this world has none: an election must be safe without them.
        let sent = persist_all(raft).into_iter().filter(|sent| is_of_an_election(&sent.message.body));
        let from = raft.id();
        self.under_way.extend(sent.map(|sent| (from, sent)));
        if raft.role() == RoleName::Leader {
            self.leaders.entry(raft.term()).or_insert(from);
        }
        let rafts = &self.rafts;
        self.under_way.retain(|(_, sent)| !is_too_late(&rafts[place_of(sent.to)], sent));
        let order = BuildHasherDefault::<DefaultHasher>::default();
        self.under_way.sort_by_key(|sent| order.hash_one(sent));
        self
    }

    fn has_two_leaders_in_one_term(&self) -> bool {
        self.rafts.iter().any(|raft| {
            raft.role() == RoleName::Leader
                && self.leaders.get(&raft.term()).is_some_and(|&first| first != raft.id())
        })
    }
}

fn place_of(id: NodeId) -> usize {
    id.get() as usize - 1
}

fn is_of_an_election(body: &Body) -> bool {
    matches!(
        body,
        Body::Vote { .. } | Body::VoteAnswer { .. } | Body::PreVote { .. } | Body::PreVoteAnswer { .. }
    )
}

/// An answer of a term that has passed for good says nothing, now or later.
fn is_too_late(to: &Raft, sent: &Outgoing) -> bool {
    matches!(sent.message.body, Body::VoteAnswer { .. }) && sent.message.term < to.term()
}

/// Visits every world that can follow from `first`; `also` adds what may happen besides.
fn search(first: World, also: impl Fn(&World) -> Vec<World>) -> Found {
    let mut found = Found::default();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut seen = HashSet::from([hasher.hash_one(&first)]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        found.worlds += 1;
        found.with_two_terms += usize::from(world.leaders.len() > 1);
        if world.has_two_leaders_in_one_term() {
            found.with_two_leaders += 1;
            return found;
        }
        let next = world.next().into_iter().chain(also(&world));
        open.extend(next.filter(|world| seen.insert(hasher.hash_one(world))));
    }
    found
}

/// How many timeouts the three nodes have, and whether they ask for pre-votes first.
fn worlds() -> Vec<([u8; 3], bool)> {
    let Ok(asked) = std::env::var("QUORATE_SEARCH") else {
        return vec![([1, 1, 1], false), ([2, 1, 0], false), ([1, 1, 0], true)];
    };
    let numbers: Vec<u8> = asked.split(',').map_while(|number| number.parse().ok()).collect();
    let timeouts = numbers.try_into().expect("QUORATE_SEARCH is three numbers, like 2,1,1");
    vec![(timeouts, false), (timeouts, true)]
}

#[test]
fn no_schedule_of_a_small_world_has_two_leaders_in_one_term() {
    for (timeouts, pre_vote) in worlds() {
        let found = search(World::new(timeouts, pre_vote), |_| Vec::new());
        println!("{timeouts:?}, pre-votes {pre_vote}: {} worlds", found.worlds);

        assert_eq!(found.with_two_leaders, 0);
        assert!(found.worlds > 1_000, "only {} worlds", found.worlds);
        assert!(found.with_two_terms > 0, "nobody was ever succeeded");
    }
}

/// The same search where node 3 may come back from a crash without its vote: so it would be seen.
#[test]
fn a_voter_that_forgets_its_vote_gives_one_term_two_leaders() {
    let forget = |world: &World| {
        let mut forgetful = world.clone();
        let HardState { term, .. } = world.rafts[2].hard_state();
        forgetful.rafts[2] = replica(3, 3).in_term(term.0).start().into();
        vec![forgetful]
    };

    let found = search(World::new([1, 1, 0], false), forget);

    assert_eq!(found.with_two_leaders, 1);
}
