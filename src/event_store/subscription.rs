//! Subscriptions: all committed events in the order of the log, from any place in it, then as they come.
//!
//! A subscriber reads from the disk of its node, as fast as it likes, and waits there when it has come to the end. It keeps
//! the position itself that [`Subscription::next_position`] names, together with what it made of the events: after a restart, on
//! any node, it goes on from there, and has seen each event exactly once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{
    Event, EventStore, Filter, Gap, Invalid, Position, Reader, Recorded, RecordedPage, StoreError,
    SubscriptionError,
};
use crate::runtime::{later, until};
use crate::ticket::on_runtime_thread;

/// How many bytes of events are read at once.
const PAGE_BYTES: usize = 256 << 10;

/// An event, and where it stands among all events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Where it stands.
    pub position: Position,
    /// The event.
    pub event: Event,
}

/// The events of a store from a position on: made by [`EventStore::subscribe`].
///
/// As an iterator it waits for the next event. It ends when it is closed; when its node stops, or the store cannot be read,
/// the last item says so. Where events were removed before it came to them, an item says that too
/// ([`SubscriptionError::Gap`]), and the next one is what follows.
///
/// It keeps no node running.
pub struct Subscription {
    reader: Reader,
    filter: Filter,
    /// Read already, and not handed out.
    ahead: VecDeque<Recorded>,
    /// Where to read on.
    next: Position,
    /// Where to go on behind what was handed out.
    position: Position,
    closed: Arc<AtomicBool>,
    /// The iterator has said why it ends.
    has_ended: bool,
}

/// Closes a [`Subscription`], from any thread.
#[derive(Clone)]
pub struct Closer {
    reader: Reader,
    closed: Arc<AtomicBool>,
}

impl EventStore {
    /// All events that `filter` wants from position `from` on: those that are there, then those that come. The events are
    /// those that this node has applied: a node that is cut off has nothing new to tell until it is back.
    pub fn subscribe(&self, from: Position, filter: Filter) -> Result<Subscription, Invalid> {
        filter.judge()?;
        Ok(Subscription {
            reader: self.reader().clone(),
            filter,
            ahead: VecDeque::new(),
            next: from,
            position: from,
            closed: Arc::default(),
            has_ended: false,
        })
    }
}

impl Subscription {
    /// The next event, if one comes in time. Who wants few of many events may get none in time that is there already: the
    /// next call goes on where this one was.
    pub fn next_within(&mut self, within: Duration) -> Result<Option<Delivered>, SubscriptionError> {
        self.next_until(later(within))
    }

    /// Where to go on after what was handed out: to be kept, and given to [`EventStore::subscribe`] when the time comes.
    pub fn next_position(&self) -> Position {
        self.position
    }

    /// What closes it while somebody waits for the next event.
    pub fn closer(&self) -> Closer {
        Closer { reader: self.reader.clone(), closed: Arc::clone(&self.closed) }
    }

    fn next_until(&mut self, deadline: Instant) -> Result<Option<Delivered>, SubscriptionError> {
        loop {
            if self.is_closed() {
                return Err(SubscriptionError::Closed);
            }
            if let Some(item) = self.ahead.pop_front() {
                let at_hand = self.ahead.is_empty();
                self.position = if at_hand { self.next } else { item.position().next() };
                return delivered(item).map(Some).map_err(SubscriptionError::Gap);
            }
            // Before what was there in time is read: who comes late looks once all the same.
            let is_late = until(deadline).is_zero();
            let is_end = self.read_on()?;
            if self.ahead.is_empty() && (is_late || is_end && !self.wait(deadline)?) {
                return Ok(None);
            }
        }
    }

    /// Reads a page; `true` if there is nothing more for now.
    fn read_on(&mut self) -> Result<bool, SubscriptionError> {
        let page = self.reader.view().and_then(|view| view.recorded(self.next, &self.filter, PAGE_BYTES));
        let RecordedPage { items, next, is_end } = page.map_err(|error| match error {
            StoreError::Closed => SubscriptionError::Closed,
            error => SubscriptionError::Store(error),
        })?;
        self.next = next;
        self.ahead = items.into();
        if self.ahead.is_empty() {
            // Who wants few events need not look through all that lie between them again.
            self.position = next;
        }
        Ok(is_end && self.ahead.is_empty())
    }

    /// Whether there may be more before the deadline.
    fn wait(&self, deadline: Instant) -> Result<bool, SubscriptionError> {
        let seen = self.next.index.saturating_sub(1);
        if on_runtime_thread() {
            return Err(SubscriptionError::WouldDeadlock);
        }
        let news = self.reader.wait_beyond_until(seen, deadline, || self.is_closed());
        Ok(news.applied > seen || news.closed || self.is_closed() || !until(deadline).is_zero())
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Iterator for Subscription {
    type Item = Result<Delivered, SubscriptionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let item = self.next_until(later(Duration::MAX)).transpose()?;
        self.has_ended = !matches!(item, Ok(_) | Err(SubscriptionError::Gap(_)));
        // What was taken is handed out, also if it is closed meanwhile: its place lies behind that already.
        (!self.has_ended || !self.is_closed()).then_some(item)
    }
}

impl Closer {
    /// Nothing more is handed out, and who waits for the next event goes on at once.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.reader.wake();
    }
}

fn delivered(item: Recorded) -> Result<Delivered, Gap> {
    match item {
        Recorded::Event { position, event } => Ok(Delivered { position, event }),
        Recorded::Gap(gap) => Err(gap),
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}
