//! What the events of an aggregate amount to, and a cache of that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{AggregateId, Event};
use crate::machine::{Codec, DecodeError};

/// What the events of an aggregate amount to: folded from them, one by one. Its byte form is what an
/// [`Executor`](super::Executor) saves as a snapshot.
pub trait Projection: Codec + Clone + Sync {
    /// The aggregate before anything has happened to it.
    fn initial(id: &AggregateId) -> Self;

    /// What it is after `event`. An error says that the event is not understood: passing over a type of events is no error.
    fn fold(&mut self, event: &Event) -> Result<(), DecodeError>;
}

/// An aggregate up to a sequence.
#[derive(Debug)]
pub(super) struct Folded<T> {
    pub(super) state: Arc<T>,
    /// The sequence of the first event that is not folded.
    pub(super) sequence: u64,
}

impl<T> Clone for Folded<T> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), sequence: self.sequence }
    }
}

/// The aggregates that were needed last.
#[derive(Debug)]
pub(super) struct Cache<T> {
    held: HashMap<AggregateId, (Folded<T>, u64)>,
    /// By when they were needed.
    by_age: BTreeMap<u64, AggregateId>,
    uses: u64,
    max: usize,
}

impl<T> Cache<T> {
    pub(super) fn of(max: usize) -> Self {
        Self { held: HashMap::new(), by_age: BTreeMap::new(), uses: 0, max }
    }

    pub(super) fn get(&mut self, id: &AggregateId) -> Option<Folded<T>> {
        let (folded, age) = self.held.get_mut(id)?;
        self.uses += 1;
        self.by_age.remove(age);
        self.by_age.insert(self.uses, id.clone());
        *age = self.uses;
        Some(folded.clone())
    }

    /// Keeps an aggregate, unless more of it is known.
    pub(super) fn put(&mut self, id: &AggregateId, folded: Folded<T>) {
        let known = self.held.get(id);
        if self.max == 0 || known.is_some_and(|(known, _)| known.sequence > folded.sequence) {
            return;
        }
        self.uses += 1;
        if let Some((_, age)) = self.held.insert(id.clone(), (folded, self.uses)) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.uses, id.clone());
        if self.held.len() > self.max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.held.remove(&oldest);
        }
    }

    pub(super) fn forget(&mut self, id: &AggregateId) {
        if let Some((_, age)) = self.held.remove(id) {
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AggregateId {
        AggregateId::new([name]).unwrap()
    }

    fn folded(sequence: u64) -> Folded<()> {
        Folded { state: Arc::new(()), sequence }
    }

    fn sequences(cache: &mut Cache<()>, names: &[&str]) -> Vec<Option<u64>> {
        names.iter().map(|name| cache.get(&id(name)).map(|folded| folded.sequence)).collect()
    }

    #[test]
    fn what_was_not_needed_for_longest_makes_room() {
        let mut cache = Cache::of(2);
        cache.put(&id("a"), folded(1));
        cache.put(&id("b"), folded(2));
        assert!(cache.get(&id("a")).is_some());

        cache.put(&id("c"), folded(3));

        assert_eq!(sequences(&mut cache, &["a", "b", "c"]), [Some(1), None, Some(3)]);
        assert_eq!(cache.by_age.len(), cache.held.len());
    }

    #[test]
    fn less_of_an_aggregate_never_takes_the_place_of_more() {
        let mut cache = Cache::of(2);
        cache.put(&id("a"), folded(5));
        cache.put(&id("a"), folded(4));
        assert_eq!(sequences(&mut cache, &["a"]), [Some(5)]);

        cache.forget(&id("a"));
        cache.put(&id("a"), folded(4));
        assert_eq!(sequences(&mut cache, &["a"]), [Some(4)]);
    }

    #[test]
    fn a_cache_of_none_keeps_nothing() {
        let mut cache = Cache::of(0);
        cache.put(&id("a"), folded(1));
        assert_eq!(sequences(&mut cache, &["a"]), [None]);
    }
}
