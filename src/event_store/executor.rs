//! Commands on aggregates: load what the aggregate is, decide, append what that raises; and again if others were faster.
//!
//! What was folded stays in a cache, so that a command usually reads nothing. The sequence that is expected tells whether
//! the cache was behind: then the conflict brings the events that were missed, or the aggregate is loaded anew. A command that
//! refuses, or raises nothing, has its sequence compared as well: nobody is refused for what is not so any more.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::command::judge_id;
use super::decision::{Decision, Made, Unloaded, fold};
use super::projection::{Cache, Folded};
use super::{
    AggregateId, Append, AppendError, Appended, Command, Conflict, Consistency, EventStore, Events,
    ExecuteError, Projection, QueryError, Snapshot, View,
};
use crate::runtime::{later, until};

/// Executes commands on aggregates of one kind: those whose projection is a `T`.
///
/// ```no_run
/// use quorate::event_store::{AggregateId, Event, EventStore, Executor, NewEvent, Projection};
/// use quorate::{Codec, DecodeError};
///
/// #[derive(Clone, Default)]
/// struct Stock(u64);
///
/// impl Projection for Stock {
///     fn initial(_: &AggregateId) -> Self {
///         Self::default()
///     }
///
///     fn fold(&mut self, event: &Event) -> Result<(), DecodeError> {
///         match event.event_type.as_str() {
///             "received" => self.0 += event.value::<u64>()?,
///             "sold" => self.0 -= event.value::<u64>()?,
///             _ => {}
///         }
///         Ok(())
///     }
/// }
///
/// impl Codec for Stock {
///     fn encode(&self, out: &mut Vec<u8>) {
///         self.0.encode(out);
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
///         u64::decode(bytes).map(Self)
///     }
/// }
///
/// # fn sell(store: &EventStore, pears: &AggregateId) -> Result<(), Box<dyn std::error::Error>> {
/// let stock = Executor::<Stock>::new(store);
/// stock.execute(pears, |decision| {
///     if decision.state().0 < 3 {
///         return Err("too few");
///     }
///     decision.raise(NewEvent::of("sold", &3_u64));
///     Ok(())
/// })?;
/// # Ok(()) }
/// ```
pub struct Executor<T> {
    store: EventStore,
    cache: Mutex<Cache<T>>,
    retries_max: u32,
    snapshot_ratio: Option<f64>,
}

/// What became of a try.
enum Tried<R> {
    Done(R),
    Conflict(Conflict),
}

impl<R> Tried<R> {
    fn map<S>(self, done: impl FnOnce(R) -> S) -> Tried<S> {
        match self {
            Self::Done(result) => Tried::Done(done(result)),
            Self::Conflict(conflict) => Tried::Conflict(conflict),
        }
    }
}

/// As many bytes of events are in memory while an aggregate is loaded.
const PAGE_BYTES: usize = 1 << 20;

impl<T: Projection> Executor<T> {
    /// How many aggregates are cached.
    pub const CACHED: usize = 128;
    /// How often a command is tried again.
    pub const RETRIES: u32 = 16;

    /// On the aggregates of `store`.
    pub fn new(store: &EventStore) -> Self {
        Self {
            store: store.clone(),
            cache: Mutex::new(Cache::of(Self::CACHED)),
            retries_max: Self::RETRIES,
            snapshot_ratio: Some(1.0),
        }
    }

    /// So many aggregates are cached. Default: [`Executor::CACHED`]. On a store that archives, none is: an id may have begun
    /// another life.
    #[must_use]
    pub fn cached(self, aggregates_max: usize) -> Self {
        Self { cache: Mutex::new(Cache::of(aggregates_max)), ..self }
    }

    /// A command is tried again so many times if others are faster. Default: [`Executor::RETRIES`].
    #[must_use]
    pub fn retries(self, retries_max: u32) -> Self {
        Self { retries_max, ..self }
    }

    /// An aggregate that is loaded with events behind its snapshot gets a new snapshot if it has none, or if those events have
    /// more than `ratio` times its bytes; never if that is `None`. Default: 1. On a store that archives none is saved: it
    /// might bring an aggregate back that was archived meanwhile.
    #[must_use]
    pub fn snapshot_ratio(self, ratio: impl Into<Option<f64>>) -> Self {
        Self { snapshot_ratio: ratio.into(), ..self }
    }

    /// Executes a command: `decide` is shown the aggregate and raises events, or refuses; what it raised is appended, all or
    /// nothing. If others were faster it is asked again, with what they did. It may be asked several times: what it does
    /// outside of its decision belongs into [`Decision::on_success`].
    ///
    /// Blocks at most for the node's call timeout.
    pub fn execute<'c, R, E>(
        &self,
        id: &AggregateId,
        decide: impl FnMut(&mut Decision<'c, T>) -> Result<R, E>,
    ) -> Result<R, ExecuteError<E>> {
        self.execute_within(id, self.store.call_timeout(), decide)
    }

    /// As [`Executor::execute`], with a deadline of its own.
    pub fn execute_within<'c, R, E>(
        &self,
        id: &AggregateId,
        within: Duration,
        mut decide: impl FnMut(&mut Decision<'c, T>) -> Result<R, E>,
    ) -> Result<R, ExecuteError<E>> {
        let deadline = later(within);
        let mut known = self.known(id, deadline)?;
        let mut tries = 1;
        loop {
            let mut decision = Decision::new(id, &known, self.store.now());
            let decided = decide(&mut decision);
            let last = match self.settle(decision, decided, deadline)? {
                Tried::Done(result) => return Ok(result),
                Tried::Conflict(conflict) => conflict,
            };
            if tries > self.retries_max {
                return Err(ExecuteError::RetriesExceeded { tries, last });
            }
            tries += 1;
            known = self.catch_up(id, known, &last, deadline)?;
        }
    }

    /// The aggregate as it is now; what it is before anything happened to it, if there is none.
    pub fn get(&self, id: &AggregateId) -> Result<Arc<T>, ExecuteError<std::convert::Infallible>> {
        let deadline = later(self.store.call_timeout());
        let Some(known) = self.cache.lock().get(id) else { return Ok(self.load(id, deadline)?.state) };
        match self.append(Append::to(id, known.sequence), deadline)? {
            Tried::Done(_) => Ok(known.state),
            Tried::Conflict(conflict) => Ok(self.catch_up(id, known, &conflict, deadline)?.state),
        }
    }

    /// Appends what was decided. A refusal, or an event that does not fold, stands if the aggregate is what it was decided
    /// upon.
    fn settle<R, E>(
        &self,
        decision: Decision<'_, T>,
        decided: Result<R, E>,
        deadline: Instant,
    ) -> Result<Tried<R>, ExecuteError<E>> {
        let id = decision.aggregate().clone();
        match decided {
            Ok(result) => {
                let expected = decision.expected();
                let made = match decision.into_made() {
                    Ok(made) => made,
                    // It may fold onto what is there now.
                    Err(unfolded) => match self.append(Append::to(&id, expected), deadline)? {
                        Tried::Done(_) => return Err(unfolded.into()),
                        Tried::Conflict(conflict) => return Ok(Tried::Conflict(conflict)),
                    },
                };
                let Made { append, state, events, callbacks } = made;
                let tried = self.append(append, deadline)?;
                Ok(tried.map(|appended| {
                    let sequence = appended.next[0];
                    self.keep(&id, &Folded { state: Arc::clone(&state), sequence });
                    callbacks.run(&state, &events);
                    result
                }))
            }
            Err(refused) => match self.append(Append::to(&id, decision.expected()), deadline)? {
                Tried::Done(_) => Err(ExecuteError::Command(refused)),
                Tried::Conflict(conflict) => Ok(Tried::Conflict(conflict)),
            },
        }
    }

    fn append<E>(&self, append: Append, deadline: Instant) -> Result<Tried<Appended>, ExecuteError<E>> {
        match self.store.append_within(append, until(deadline)) {
            Ok(appended) => Ok(Tried::Done(appended)),
            Err(AppendError::Conflict(conflict)) => Ok(Tried::Conflict(conflict)),
            Err(error) => Err(ExecuteError::Append(error)),
        }
    }

    fn known(&self, id: &AggregateId, deadline: Instant) -> Result<Folded<T>, Unloaded> {
        let known = self.cache.lock().get(id);
        known.map_or_else(|| self.load(id, deadline), Ok)
    }

    /// Folds what a conflict brings, if that is all that was missed; else loads.
    fn catch_up(
        &self,
        id: &AggregateId,
        known: Folded<T>,
        conflict: &Conflict,
        deadline: Instant,
    ) -> Result<Folded<T>, Unloaded> {
        if conflict.expected != known.sequence || !conflict.is_foldable() {
            // What the cache holds may be no part of what is there.
            self.cache.lock().forget(id);
            return self.load(id, deadline);
        }
        let mut state = Arc::unwrap_or_clone(known.state);
        conflict.events.iter().try_for_each(|event| fold(&mut state, event))?;
        let folded = Folded { state: Arc::new(state), sequence: conflict.actual };
        self.keep(id, &folded);
        Ok(folded)
    }

    fn keep(&self, id: &AggregateId, folded: &Folded<T>) {
        if !self.store.archives() {
            self.cache.lock().put(id, folded.clone());
        }
    }

    /// From the snapshot and the events behind it, a page of them at a time.
    fn load(&self, id: &AggregateId, deadline: Instant) -> Result<Folded<T>, Unloaded> {
        judge_id(id).map_err(QueryError::from)?;
        let view = self.store.reading(Consistency::Linearizable).within(until(deadline)).view()?;
        let Snapshot { data, sequence, events } = view.snapshot(id, PAGE_BYTES).map_err(QueryError::from)?;
        let snapshot_bytes = (sequence > 0 || !data.is_empty()).then_some(data.len());
        let saved = snapshot_bytes.map_or_else(|| Ok(T::initial(id)), |_| T::decode(&data));
        let folded = match saved {
            Ok(mut state) => {
                let behind = fold_on(&view, id, &mut state, events)?;
                let sequence = behind.next.unwrap_or(sequence);
                let folded = Folded { state: Arc::new(state), sequence };
                self.save_if_worth_it(id, &folded, snapshot_bytes, behind.bytes);
                folded
            }
            Err(error) => load_from_the_start(&view, id, Unloaded::Snapshot { sequence, error })?,
        };
        self.keep(id, &folded);
        Ok(folded)
    }

    /// Nobody waits for it, and nothing depends on it: what is proposed next from this thread comes behind it.
    fn save_if_worth_it(
        &self,
        id: &AggregateId,
        folded: &Folded<T>,
        snapshot_bytes: Option<usize>,
        events_bytes: usize,
    ) {
        let outweighs =
            |ratio: f64| snapshot_bytes.is_none_or(|bytes| events_bytes as f64 > bytes as f64 * ratio);
        if events_bytes == 0 || self.store.archives() || !self.snapshot_ratio.is_some_and(outweighs) {
            return;
        }
        let mut data = Vec::new();
        folded.state.encode(&mut data);
        match Command::save_snapshot(id, data, folded.sequence, self.store.trims()) {
            Ok(command) => self.store.node().submit(command).on_done(|saved| {
                if let Err(error) = saved {
                    log::info!("a snapshot was not saved: {error}");
                }
            }),
            Err(invalid) => log::warn!("no snapshot of {id} is saved: {invalid}"),
        }
    }
}

/// The events that were folded.
#[derive(Default)]
struct Behind {
    count: u64,
    /// What they take up.
    bytes: usize,
    /// The sequence behind the last of them.
    next: Option<u64>,
}

/// Folds `events`, and those behind them.
fn fold_on<T: Projection>(
    view: &View,
    id: &AggregateId,
    state: &mut T,
    mut events: Events,
) -> Result<Behind, Unloaded> {
    let mut behind = Behind::default();
    loop {
        for event in &events.events {
            fold(state, event)?;
            behind.count += 1;
            behind.bytes += event.event_type.len() + event.data.len();
            behind.next = Some(event.sequence + 1);
        }
        let Some(more_from) = events.more_from else { return Ok(behind) };
        events = view.events(id, more_from, PAGE_BYTES).map_err(QueryError::from)?;
    }
}

/// A snapshot that is none of this projection is done without if all events are there, from the first on.
fn load_from_the_start<T: Projection>(
    view: &View,
    id: &AggregateId,
    refused: Unloaded,
) -> Result<Folded<T>, Unloaded> {
    let known = view.aggregate(id).map_err(QueryError::from)?.unwrap_or_default();
    if known.base_sequence > 0 {
        return Err(refused);
    }
    let mut state = T::initial(id);
    let events = view.events(id, 0, PAGE_BYTES).map_err(QueryError::from)?;
    let folded = fold_on(view, id, &mut state, events)?;
    // A snapshot that ran ahead holds what no event tells.
    let sequence = known.sequence;
    if folded.count == sequence { Ok(Folded { state: Arc::new(state), sequence }) } else { Err(refused) }
}

impl<T> fmt::Debug for Executor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("store", &self.store).finish_non_exhaustive()
    }
}
