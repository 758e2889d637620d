//! Visits every world that can follow from the first one, breadth first: whatever breaks a law is found by the shortest way
//! that there is, and the numbers are the same in every run.
//!
//! Of each world only a fingerprint is kept, with that of the world before it; the way to a broken law is found again by going
//! it. One level is shared out among the threads, and the next one begins when all of it is done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::hash::BuildHasherDefault;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::actions::Action;
use super::configurations::Rules;
use super::laws::{Law, Laws};
use super::shared::{AsItIs, fingerprint};
use super::sights::Sights;
use super::world::{Step, World};

/// So many worlds of a level a thread takes at once.
const SHARE: usize = 64;

/// Threads seldom want the same part of what is known.
const PARTS: usize = 64;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Different worlds.
    pub(crate) worlds: usize,
    /// Steps between them.
    pub(crate) steps: usize,
    /// How many steps the farthest is away.
    pub(crate) depth: usize,
    pub(crate) sights: Sights,
    /// The first world that breaks a law, if any does.
    pub(crate) broken: Option<Broken>,
}

/// Which of the worlds that may follow from an action.
type Nth = usize;

/// Which laws were broken, and how it came about.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) laws: Laws,
    pub(crate) way: Vec<(Action, Nth)>,
}

/// Visits all, or as many as it takes to break a law of `watched`.
pub(crate) fn search(rules: &Rules, watched: Laws) -> Found {
    search_within(usize::MAX, rules, watched)
}

/// The same, of what is no more than `depth` steps away.
pub(crate) fn search_within(depth: usize, rules: &Rules, watched: Laws) -> Found {
    let first = World::new(rules);
    let known = Known::default();
    known.is_new(fingerprint(&first), 0);
    let mut found = Found { worlds: 1, ..Found::default() };
    let mut level = vec![first];
    while !level.is_empty() && found.depth < depth {
        let next = follow(&level, rules, watched, &known);
        found.worlds += next.worlds.len();
        found.steps += next.steps;
        found.sights = found.sights.or(next.sights);
        if let Some((world, action, laws)) = next.broken {
            let mut way = known.way_to(world, rules);
            way.push((action, 0));
            found.depth += 1;
            found.broken = Some(Broken { laws, way });
            return found;
        }
        if found.worlds > 1 << 19 {
            println!("{} at depth {}: {} worlds", rules.name, found.depth, found.worlds);
        }
        found.depth += usize::from(!next.worlds.is_empty());
        level = next.worlds;
    }
    found
}

/// The way, as lines to read: each step, and what the nodes are after it.
pub(crate) fn tell(way: &[(Action, Nth)], rules: &Rules) -> String {
    let mut world = World::new(rules);
    let mut told = String::new();
    for &(action, nth) in way {
        let mut step = after(&world, action, rules).expect("a step that was taken before");
        writeln!(told, "{action:?} -> {:?}", step.broken).expect("a string takes all");
        world = step.worlds.swap_remove(nth);
        for node in &world.nodes {
            let (raft, disk) = (&node.raft, &node.disk);
            let (role, term, commit, last) = (raft.role(), raft.term(), raft.commit(), raft.last());
            let (durable, end) = (disk.hard_state.term, disk.last());
            writeln!(told, "    {role:?} in term {term}, log to {last}, committed {commit}; on disk: term {durable}, log to {end}")
                .expect("a string takes all");
        }
    }
    told
}

/// What follows from one level.
#[derive(Default)]
struct Next {
    worlds: Vec<World>,
    steps: usize,
    sights: Sights,
    /// The lowest fingerprint of a world from which a step breaks laws, so that it is always the same one.
    broken: Option<(u64, Action, Laws)>,
}

fn follow(level: &[World], rules: &Rules, watched: Laws, known: &Known) -> Next {
    let taken = AtomicUsize::new(0);
    let work = || {
        let mut next = Next::default();
        loop {
            let from = taken.fetch_add(SHARE, Ordering::Relaxed);
            let Some(rest) = level.get(from..).filter(|rest| !rest.is_empty()) else {
                return next;
            };
            for world in &rest[..SHARE.min(rest.len())] {
                next.follow(world, rules, watched, known);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(level.len().div_ceil(SHARE));
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        others.into_iter().fold(work(), |next, other| next.with(other.join().expect("a search that goes on")))
    })
}

impl Next {
    fn follow(&mut self, world: &World, rules: &Rules, watched: Laws, known: &Known) {
        let came_from = fingerprint(world);
        for action in world.actions(rules) {
            let Some(step) = after(world, action, rules) else {
                continue;
            };
            self.steps += 1;
            self.sights = self.sights.or(step.sights);
            let laws = step.broken.and(watched);
            if !laws.is_empty() && self.broken.is_none_or(|(first, ..)| came_from < first) {
                self.broken = Some((came_from, action, laws));
            }
            let are_new = |world: &World| known.is_new(fingerprint(world), came_from);
            self.worlds.extend(step.worlds.into_iter().filter(are_new));
        }
    }

    fn with(mut self, other: Self) -> Self {
        self.worlds.extend(other.worlds);
        let is_first = |theirs: &(u64, Action, Laws)| self.broken.is_none_or(|ours| theirs.0 < ours.0);
        Self {
            worlds: self.worlds,
            steps: self.steps + other.steps,
            sights: self.sights.or(other.sights),
            broken: other.broken.filter(is_first).or(self.broken),
        }
    }
}

/// A replica that finds its own invariants broken stops, and the world as it was before stays.
fn after(world: &World, action: Action, rules: &Rules) -> Option<Step> {
    catch_unwind(AssertUnwindSafe(|| world.after(action, rules)))
        .unwrap_or_else(|_| Some(Step { broken: Laws::only(Law::AssertionsHold), ..Step::of(world.clone()) }))
}

/// The fingerprints of all worlds that were seen, each with that of the one it was first reached from.
struct Known {
    parts: Vec<Mutex<HashMap<u64, u64, BuildHasherDefault<AsItIs>>>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl Known {
    fn is_new(&self, world: u64, came_from: u64) -> bool {
        let part = &self.parts[(world >> 32) as usize % PARTS];
        match part.lock().expect("nobody panics here").entry(world) {
            Entry::Vacant(place) => {
                place.insert(came_from);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    fn came_from(&self, world: u64) -> u64 {
        let part = self.parts[(world >> 32) as usize % PARTS].lock().expect("nobody panics here");
        part[&world]
    }

    /// The steps from the first world to this one: at each one, the step that leads to the next.
    fn way_to(&self, world: u64, rules: &Rules) -> Vec<(Action, Nth)> {
        let mut through = vec![world];
        while self.came_from(through[through.len() - 1]) != 0 {
            through.push(self.came_from(through[through.len() - 1]));
        }
        let mut here = World::new(rules);
        let mut way = Vec::new();
        for &there in through.iter().rev().skip(1) {
            let mut steps =
                here.actions(rules).into_iter().map(|action| (action, after(&here, action, rules)));
            let leads_there = |world: &World| fingerprint(world) == there;
            let (choice, world) = steps
                .find_map(|(action, step)| {
                    let worlds = step?.worlds;
                    let nth = worlds.iter().position(leads_there)?;
                    Some(((action, nth), worlds.into_iter().nth(nth)?))
                })
                .expect("the same steps lead to the same worlds");
            way.push(choice);
            here = world;
        }
        way
    }
}
