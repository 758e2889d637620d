//! What a command decides: shown the aggregate, it raises events and says what they mean for the indexes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::projection::Folded;
use super::{AggregateId, Append, Event, ExecuteError, NewEvent, Projection, QueryError, Timestamp};
use crate::machine::DecodeError;
use crate::ticket::panic_message;

/// An aggregate, and what a command does to it: shown to the command by [`Executor::execute`](super::Executor::execute).
pub struct Decision<'c, T> {
    id: AggregateId,
    expected: u64,
    now: Timestamp,
    state: Arc<T>,
    events: Vec<Event>,
    append: Append,
    callbacks: Callbacks<'c, T>,
    failure: Option<Unloaded>,
}

/// What is run when events are persisted.
pub(super) struct Callbacks<'c, T>(Vec<Callback<'c, T>>);

type Callback<'c, T> = Box<dyn FnOnce(&T, &[Event]) + 'c>;

/// A decision that was made.
pub(super) struct Made<'c, T> {
    pub(super) append: Append,
    /// The aggregate with the events.
    pub(super) state: Arc<T>,
    pub(super) events: Vec<Event>,
    pub(super) callbacks: Callbacks<'c, T>,
}

impl<'c, T: Projection> Decision<'c, T> {
    pub(super) fn new(id: &AggregateId, known: &Folded<T>, now: Timestamp) -> Self {
        Self {
            id: id.clone(),
            expected: known.sequence,
            now,
            state: Arc::clone(&known.state),
            events: Vec::new(),
            append: Append::to(id, known.sequence),
            callbacks: Callbacks(Vec::new()),
            failure: None,
        }
    }

    /// The aggregate, with the events that were raised so far.
    pub fn state(&self) -> &T {
        &self.state
    }

    /// Which aggregate it is.
    pub fn aggregate(&self) -> &AggregateId {
        &self.id
    }

    /// The sequence that the next event gets.
    pub fn sequence(&self) -> u64 {
        self.expected + self.events.len() as u64
    }

    /// Something happens: [`Decision::state`] shows it at once, and it is appended when the decision is made.
    pub fn raise(&mut self, event: NewEvent) {
        let NewEvent { timestamp, event_type, data } = event;
        let event = Event {
            timestamp: timestamp.unwrap_or(self.now),
            sequence: self.sequence(),
            aggregate: self.id.clone(),
            event_type,
            data,
            raised: true,
        };
        if self.failure.is_none() {
            self.failure = fold(Arc::make_mut(&mut self.state), &event).err();
        }
        self.events.push(event);
    }

    /// The aggregate has this status from now on; none if it is empty.
    pub fn status(&mut self, status: impl Into<String>) {
        self.append = self.append.clone().status(status);
    }

    /// The aggregate has this label from now on; not any more if the value is empty.
    pub fn label(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.append = self.append.clone().label(name, value);
    }

    /// Runs `callback` once what is raised is persisted, with the aggregate and the events as they are then; never if it is
    /// not, nor if it is unknown whether it is. On the thread that executes the command; a panic is logged and changes nothing.
    pub fn on_success(&mut self, callback: impl FnOnce(&T, &[Event]) + 'c) {
        self.callbacks.0.push(Box::new(callback));
    }

    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    pub(super) fn into_made(self) -> Result<Made<'c, T>, Unloaded> {
        let Self { state, events, append, callbacks, failure, .. } = self;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Made { append: append.events(&events), state, events, callbacks }),
        }
    }
}

impl<T> Callbacks<'_, T> {
    pub(super) fn run(self, state: &T, events: &[Event]) {
        for callback in self.0 {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(state, events))) {
                log::error!("a callback of a command panicked: {}", panic_message(&*panic));
            }
        }
    }
}

/// Why an aggregate could not be had, whatever the command.
#[derive(Debug)]
pub(super) enum Unloaded {
    Query(QueryError),
    Fold { sequence: u64, event_type: String, error: DecodeError },
    Snapshot { sequence: u64, error: DecodeError },
}

/// Folds an event, or says which one does not.
pub(super) fn fold<T: Projection>(state: &mut T, event: &Event) -> Result<(), Unloaded> {
    let (sequence, event_type) = (event.sequence, &event.event_type);
    state.fold(event).map_err(|error| Unloaded::Fold { sequence, event_type: event_type.clone(), error })
}

impl From<QueryError> for Unloaded {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl<E> From<Unloaded> for ExecuteError<E> {
    fn from(unloaded: Unloaded) -> Self {
        match unloaded {
            Unloaded::Query(error) => Self::Load(error),
            Unloaded::Fold { sequence, event_type, error } => Self::Fold { sequence, event_type, error },
            Unloaded::Snapshot { sequence, error } => Self::Snapshot { sequence, error },
        }
    }
}

impl<T> std::fmt::Debug for Decision<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, expected, events, .. } = self;
        f.debug_struct("Decision")
            .field("aggregate", id)
            .field("expected", expected)
            .field("events", events)
            .finish_non_exhaustive()
    }
}
