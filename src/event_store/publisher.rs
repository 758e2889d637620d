//! Tells a callback of every event, in the order of the log: one thread for each node.
//!
//! The thread first waits until its node is ready: what is applied before that, a node that starts or joins only catches
//! up with, and it is not told. From there on it reads from the disk what was applied, so that a slow callback costs a place
//! in the log and no memory. What is removed from the store before the thread comes to it, is told as missed.
//!
//! A process that ends without [`EventStore::shutdown`](super::EventStore::shutdown) tells nothing more, and the next one
//! begins when it is ready: each event is told at most once. Who must not miss any subscribes from a position that it keeps.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Event, EventMachine, Filter, Gap, Position, Reader, Recorded, RecordedPage, StoreError};
use crate::runtime::{Node, later};
use crate::ticket::{ReadError, on_runtime_thread, panic_message};

/// Hears of every event that is committed, on the node whose [`Options::publisher`](super::Options::publisher) it is. Any
/// `FnMut(&[Event])` is one, and so is a [`Dispatcher`](super::Dispatcher).
///
/// It runs on a thread of its own and may take its time, or call the store. A panic is logged, and it is told of the next
/// events.
pub trait Publisher: Send + 'static {
    /// The events of one append, in their order, after this node has applied them. [`Event::raised`] is false: they were read
    /// from the store, wherever they were raised.
    fn publish(&mut self, events: &[Event]);

    /// Events were committed and removed again, by a snapshot that trims or an archive, before this came to them.
    fn missed(&mut self, gap: &Gap) {
        log::warn!(
            "events of {} up to {} were removed before they were published",
            gap.aggregate,
            gap.position
        );
    }
}

impl<F: FnMut(&[Event]) + Send + 'static> Publisher for F {
    fn publish(&mut self, events: &[Event]) {
        self(events);
    }
}

/// How many bytes of events are read at once.
const PAGE_BYTES: usize = 256 << 10;
/// So long a node is given to find its leader, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// A node with too much in flight is asked again after so long.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The thread, and what others may wait for.
pub(super) struct Publishing {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    facts: Mutex<Facts>,
    changed: Condvar,
    /// Nobody waits for more.
    abandoned: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Facts {
    /// The node was ready once.
    is_ready: bool,
    /// All events up to this log index are told.
    told: u64,
    /// Nothing more is told.
    ended: bool,
}

/// However the thread ends, those who wait for it learn it.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.change(|facts| facts.ended = true);
    }
}

impl Publishing {
    /// Starts the thread; without a publisher it only waits until the node is ready.
    pub(super) fn start(
        node: &Node<EventMachine>,
        reader: &Reader,
        publisher: Option<Box<dyn Publisher>>,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (told, node, reader) = (Arc::clone(&shared), node.clone(), reader.clone());
        let name = format!("quorate-{}-publish", node.status().id);
        let thread = Builder::new().name(name).spawn(move || {
            let _ending = Ending(&told);
            run(node, &reader, publisher, &told);
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.shared.facts.lock().is_ready
    }

    /// Whether the node was ready before the deadline. Also comes back if that will never be.
    pub(super) fn await_ready(&self, deadline: Instant) -> Result<bool, ReadError> {
        if on_runtime_thread() && !self.is_ready() {
            return Err(ReadError::WouldDeadlock);
        }
        Ok(self.shared.wait_until(deadline, |facts| facts.is_ready || facts.ended).is_ready)
    }

    /// Waits until all that is applied now is told, unless the node is not ready, and nothing is to be told.
    pub(super) fn drain(&self, reader: &Reader, deadline: Instant) {
        let through = reader.news().applied;
        if !on_runtime_thread() && !self.is_on_its_own_thread() {
            self.shared.wait_until(deadline, |facts| !facts.is_ready || facts.ended || facts.told >= through);
        }
    }

    /// Waits until the thread, whose node has stopped, has ended too; `false` if it has not in time.
    pub(super) fn end(&self, reader: &Reader, deadline: Instant) -> bool {
        self.shared.abandon(reader);
        if self.is_on_its_own_thread() {
            return true; // it ends when it returns
        }
        let has_ended = self.shared.wait_until(deadline, |facts| facts.ended).ended;
        if has_ended {
            self.join();
        }
        has_ended
    }

    /// Ends the thread after the call that it is in.
    pub(super) fn abandon(&self, reader: &Reader) {
        self.shared.abandon(reader);
        if !on_runtime_thread() && !self.is_on_its_own_thread() {
            self.join();
        }
    }

    fn is_on_its_own_thread(&self) -> bool {
        let thread = self.thread.lock();
        thread.as_ref().is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    /// It catches the panics of its publisher: a join gives nothing to look at.
    fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock());
        self.changed.notify_all();
    }

    fn wait_until(&self, deadline: Instant, enough: impl Fn(&Facts) -> bool) -> Facts {
        let mut facts = self.facts.lock();
        self.changed.wait_while_until(&mut facts, |facts| !enough(facts), deadline);
        *facts
    }

    fn abandon(&self, reader: &Reader) {
        self.abandoned.store(true, Ordering::SeqCst);
        self.change(|_| ());
        reader.wake();
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }
}

fn run(
    node: Node<EventMachine>,
    reader: &Reader,
    publisher: Option<Box<dyn Publisher>>,
    shared: &Arc<Shared>,
) {
    if !await_the_leader(&node, shared) {
        return;
    }
    // Its handles alone decide how long the node lives.
    drop(node);
    let ready_at = reader.news().applied;
    shared.change(|facts| (facts.is_ready, facts.told) = (true, ready_at));
    let Some(publisher) = publisher else { return };
    let told = Telling { publisher, batch: Vec::new() };
    match told.follow(reader, Position::behind(ready_at), shared) {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => log::error!("nothing more is published: {error}"),
    }
}

/// Asks until a read of this node has been confirmed by its leader: then it has applied all that was committed when it
/// asked. `false` if the node stops, or nobody waits any more.
fn await_the_leader(node: &Node<EventMachine>, shared: &Arc<Shared>) -> bool {
    loop {
        let answer = Arc::new(Mutex::new(None));
        let (slot, told) = (Arc::clone(&answer), Arc::clone(shared));
        node.submit_read_within(|_| (), PATIENCE).on_done(move |read| {
            *slot.lock() = Some(read);
            told.change(|_| ());
        });
        let forever = later(Duration::MAX);
        shared.wait_until(forever, |_| answer.lock().is_some() || shared.is_abandoned());
        let answer = answer.lock().take();
        match answer {
            _ if shared.is_abandoned() => return false,
            Some(Ok(())) => return true,
            Some(Err(ReadError::Stopped { .. })) => return false,
            Some(Err(ReadError::Busy)) => {
                shared.wait_until(later(BUSY_PAUSE), |_| shared.is_abandoned());
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// A publisher, and the events that came with one append as far as they are read.
struct Telling {
    publisher: Box<dyn Publisher>,
    batch: Vec<(Position, Event)>,
}

impl Telling {
    fn follow(mut self, reader: &Reader, mut from: Position, shared: &Shared) -> Result<(), StoreError> {
        while !shared.is_abandoned() {
            let RecordedPage { items, next, is_end } =
                reader.view()?.recorded(from, &Filter::all(), PAGE_BYTES)?;
            for item in items {
                self.take(item);
                if shared.is_abandoned() {
                    return Ok(());
                }
            }
            from = next;
            if is_end {
                self.tell();
            }
            let unfinished = self.batch.first().map_or(from, |(position, _)| *position);
            let told = unfinished.index.saturating_sub(1);
            shared.change(|facts| facts.told = told);
            if is_end {
                reader.wait_beyond_until(told, later(Duration::MAX), || shared.is_abandoned());
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Recorded) {
        let index = item.position().index;
        if self.batch.first().is_some_and(|(position, _)| position.index != index) {
            self.tell();
        }
        match item {
            Recorded::Event { position, event } => self.batch.push((position, event)),
            Recorded::Gap(gap) => survive(|| self.publisher.missed(&gap)),
        }
    }

    fn tell(&mut self) {
        let events: Vec<_> = self.batch.drain(..).map(|(_, event)| event).collect();
        if !events.is_empty() {
            survive(|| self.publisher.publish(&events));
        }
    }
}

fn survive(publish: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(publish)) {
        log::error!("a publisher panicked: {}", panic_message(&*panic));
    }
}
