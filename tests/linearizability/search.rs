//! The search for an order. See the head of `mod.rs` for its idea.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;

use super::{Fate, OperationOf, Spec};

/// A history that takes more than this many configurations is left undecided, rather than to wait for ever.
pub(super) const VISITED_MAX: usize = 2_000_000;

/// How a search ended.
pub(super) enum Found {
    /// There is an order.
    Order,
    /// There is none. The longest beginning of one, as places in the history.
    Stuck(Vec<usize>),
    /// It took too long to find out.
    Undecided,
}

/// Looks for an order of the operations on one key; says also how many configurations were visited.
pub(super) fn search<S: Spec, K>(history: &[&OperationOf<S, K>], visited_max: usize) -> (Found, usize) {
    Search::<S, K>::new(history).run(visited_max)
}

/// A set of small numbers.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bits(Box<[u64]>);

impl Bits {
    fn none(of: usize) -> Self {
        Self(vec![0; of.div_ceil(64)].into())
    }

    fn has(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    fn with(&self, number: usize) -> Self {
        let mut bits = self.clone();
        bits.0[number / 64] |= 1 << (number % 64);
        bits
    }

    fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine & !theirs == 0)
    }
}

/// Where a search stands: what is done, and what came of it.
struct Config<T> {
    /// Of the operations with an answer.
    done: Bits,
    done_count: usize,
    /// The first of them that is not done.
    first: usize,
    /// Of those without.
    used: Bits,
    state: T,
    /// The last step on the way here.
    step: Option<usize>,
}

/// What was found on from one configuration that was further than all before it.
///
/// One that uses more operations without an answer waits until all with fewer have led nowhere: for none of these is it
/// visited again. And all that is found here comes to its end before the search goes back to what was found earlier, since
/// who came far is mostly right.
struct Reach<T>(VecDeque<Layer<T>>);

/// Configurations that use the same number of operations without an answer.
struct Layer<T> {
    open: Vec<Config<T>>,
    /// They led nowhere by operations with an answer alone.
    stuck: Vec<Config<T>>,
}

/// Where a configuration leads.
enum Next<T> {
    /// Nothing is missed by going there alone; or by going nowhere, if it was visited before.
    Sure(Option<Config<T>>),
    Choice(Vec<Config<T>>),
}

enum Task<T> {
    GoOn(Config<T>),
    UseUnknown(Config<T>),
}

impl<T> Reach<T> {
    fn of(config: Config<T>) -> Self {
        Self(VecDeque::from([Layer { open: vec![config], stuck: Vec::new() }]))
    }

    fn take(&mut self) -> Option<Task<T>> {
        loop {
            let layer = self.0.front_mut()?;
            let task = layer.open.pop().map(Task::GoOn).or_else(|| layer.stuck.pop().map(Task::UseUnknown));
            if task.is_some() {
                return task;
            }
            self.0.pop_front();
        }
    }

    /// Adds to the layer that is at work, or the next one.
    fn layer(&mut self, ahead: usize) -> &mut Layer<T> {
        while self.0.len() <= ahead {
            self.0.push_back(Layer { open: Vec::new(), stuck: Vec::new() });
        }
        &mut self.0[ahead]
    }
}

struct Search<'a, S: Spec, K> {
    /// The operations with an answer by the moment of their call, and their places in the history.
    known: Vec<(usize, &'a OperationOf<S, K>)>,
    /// Likewise those without.
    unknown: Vec<(usize, &'a OperationOf<S, K>)>,
    /// For each of those without, one of the same input that was called before it: where this one would do, that one does.
    twins: Vec<Option<usize>>,
    visited: HashMap<(Bits, S::State), Vec<Bits>>,
    visited_count: usize,
    /// All steps ever made, as places in the history, each with the one before it.
    steps: Vec<(Option<usize>, usize)>,
}

impl<'a, S: Spec, K> Search<'a, S, K> {
    fn new(history: &[&'a OperationOf<S, K>]) -> Self {
        let by_call = |wanted: fn(&Fate<S::Output>) -> bool| {
            let places = history.iter().copied().enumerate().filter(|(_, operation)| wanted(&operation.fate));
            let mut places: Vec<_> = places.collect();
            places.sort_by_key(|(_, operation)| operation.called);
            places
        };
        let known = by_call(|fate| matches!(fate, Fate::Known { .. }));
        let unknown = by_call(|fate| matches!(fate, Fate::Unknown));
        let twin = |at: usize| (0..at).rev().find(|&other| unknown[other].1.input == unknown[at].1.input);
        let twins = (0..unknown.len()).map(twin).collect();
        Self { known, unknown, twins, visited: HashMap::new(), visited_count: 0, steps: Vec::new() }
    }

    fn run(mut self, visited_max: usize) -> (Found, usize) {
        let start = self.start();
        let mut furthest = (start.done_count, start.step);
        let mut reaches = vec![Reach::of(start)];
        while let Some(reach) = reaches.last_mut() {
            if furthest.0 == self.known.len() {
                return (Found::Order, self.visited_count);
            }
            if self.visited_count > visited_max {
                return (Found::Undecided, self.visited_count);
            }
            match reach.take() {
                Some(Task::GoOn(config)) => {
                    let mut next = match self.next(&config) {
                        Next::Sure(next) => next.into_iter().collect(),
                        Next::Choice(next) => {
                            reach.layer(0).stuck.push(config);
                            next
                        }
                    };
                    let further = next.pop_if(|next| next.done_count > furthest.0);
                    reach.layer(0).open.append(&mut next);
                    if let Some(further) = further {
                        furthest = (further.done_count, further.step);
                        reaches.push(Reach::of(further));
                    }
                }
                Some(Task::UseUnknown(config)) => {
                    let mut next = self.next_by_unknown(&config);
                    reach.layer(1).open.append(&mut next);
                }
                None => drop(reaches.pop()),
            }
        }
        (Found::Stuck(self.way_to(furthest.1)), self.visited_count)
    }

    fn start(&self) -> Config<S::State> {
        Config {
            done: Bits::none(self.known.len()),
            done_count: 0,
            first: 0,
            used: Bits::none(self.unknown.len()),
            state: S::start(self.known.iter().filter_map(|(_, operation)| operation.output())),
            step: None,
        }
    }

    /// Where an operation with an answer leads that may come next; the likeliest last.
    fn next(&mut self, config: &Config<S::State>) -> Next<S::State> {
        let (mut allowed, _) = self.allowed(config);
        // Who returns first is tried first: mostly that is the order in which it was.
        allowed.sort_by_key(|&number| std::cmp::Reverse(self.known[number].1.returned()));
        let mut next: Vec<_> = allowed.into_iter().filter_map(|number| self.step(config, number)).collect();
        // One that changes nothing may as well come at once, whatever comes later.
        let reads = |number: usize| S::only_reads(&self.known[number].1.input, self.known[number].1.output());
        if let Some(at) = next.iter().position(|(number, _)| reads(*number)) {
            return Next::Sure(self.go(config, next.swap_remove(at)));
        }
        Next::Choice(next.into_iter().filter_map(|step| self.go(config, step)).collect())
    }

    fn step(&self, config: &Config<S::State>, number: usize) -> Option<(usize, S::State)> {
        let operation = self.known[number].1;
        Some((number, S::step(&config.state, &operation.input, operation.output())?))
    }

    /// Goes there, unless it was visited before.
    fn go(
        &mut self,
        config: &Config<S::State>,
        (number, state): (usize, S::State),
    ) -> Option<Config<S::State>> {
        let done = config.done.with(number);
        self.is_new(&done, &state, &config.used).then(|| {
            let first = (config.first..self.known.len()).find(|&number| !done.has(number));
            let first = first.unwrap_or(self.known.len());
            let step = Some(self.note_step(config, self.known[number].0));
            Config { done, done_count: config.done_count + 1, first, used: config.used.clone(), state, step }
        })
    }

    /// Where an operation without an answer leads. One that changes nothing may as well never have been.
    fn next_by_unknown(&mut self, config: &Config<S::State>) -> Vec<Config<S::State>> {
        let (_, deadline) = self.allowed(config);
        let mut configs = Vec::new();
        for number in 0..self.unknown.len() {
            let (place, operation) = self.unknown[number];
            if operation.called > deadline {
                break;
            }
            let waits_for_twin = self.twins[number].is_some_and(|twin| !config.used.has(twin));
            if waits_for_twin || config.used.has(number) {
                continue;
            }
            let next = S::step(&config.state, &operation.input, None);
            let Some(state) = next.filter(|next| *next != config.state) else { continue };
            let used = config.used.with(number);
            if self.is_new(&config.done, &state, &used) {
                let step = Some(self.note_step(config, place));
                let Config { done_count, first, .. } = *config;
                configs.push(Config { done: config.done.clone(), done_count, first, used, state, step });
            }
        }
        configs.reverse();
        configs
    }

    /// The operations with an answer that may come next, and the moment by which one of them has to: none may come behind
    /// one that was called when it had returned.
    fn allowed(&self, config: &Config<S::State>) -> (Vec<usize>, u64) {
        let mut allowed = Vec::new();
        let mut earliest_return = u64::MAX;
        for number in config.first..self.known.len() {
            let operation = self.known[number].1;
            if operation.called > earliest_return {
                break;
            }
            if !config.done.has(number) {
                earliest_return = earliest_return.min(operation.returned().expect("it has an answer"));
                allowed.push(number);
            }
        }
        (allowed, earliest_return)
    }

    /// Whether nothing like this, or better, was visited before.
    fn is_new(&mut self, done: &Bits, state: &S::State, used: &Bits) -> bool {
        let seen = self.visited.entry((done.clone(), state.clone())).or_default();
        let is_new = note_fewest(seen, used);
        self.visited_count += usize::from(is_new);
        is_new
    }

    fn note_step(&mut self, before: &Config<S::State>, place: usize) -> usize {
        self.steps.push((before.step, place));
        self.steps.len() - 1
    }

    fn way_to(&self, last: Option<usize>) -> Vec<usize> {
        let steps = std::iter::successors(last, |&step| self.steps[step].0);
        let mut way: Vec<_> = steps.map(|step| self.steps[step].1).collect();
        way.reverse();
        way
    }
}

/// Keeps of these sets those that contain no other; `false` if the new one does.
fn note_fewest(sets: &mut Vec<Bits>, new: &Bits) -> bool {
    if sets.iter().any(|set| set.is_subset_of(new)) {
        return false;
    }
    sets.retain(|set| !new.is_subset_of(set));
    sets.push(new.clone());
    true
}
