//! What a user holds: a node whose machine is the event store, and the verbs that change it.
//!
//! A change is judged here, becomes a command, and goes through the log; its answer comes back when this node has applied
//! it. Asking stands in [`queries`](super::queries), following in [`subscription`](super::subscription).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::archives::Claims;
use super::options::{Clock, Indexer};
use super::publisher::Publishing;
use super::{
    AggregateId, Append, AppendError, Appended, Command, Conflict, Consistency, EventMachine, Index, Options,
    Position, QueryError, Reader, Response, SaveError, StoreStartError, Timestamp,
};
use crate::runtime::{Config, Node, Parts, Role, ShutdownError, StartError, later, until};
use crate::ticket::{ReadError, StopCause};

/// A running event store: one member of a cluster, with its copy of all aggregates on its disk.
///
/// Cheap to clone and usable from many threads. When the last clone is dropped the node stops, as any
/// [`Node`] does; [`EventStore::shutdown`] also hands leadership over and lets the publisher finish.
///
/// Every change blocks until it is durable on a majority and applied on this node, whichever node of the cluster that is;
/// at most for the configured call timeout. What failed says whether it took effect (`outcome()` of its error).
///
/// ```no_run
/// use quorate::Config;
/// use quorate::event_store::{AggregateId, Append, EventStore, Filter, NewEvent, Options, Position};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let founders = [(1, "10.0.0.1:7001"), (2, "10.0.0.2:7001"), (3, "10.0.0.3:7001")];
/// let config = Config::new(1, "/var/lib/orders", "0.0.0.0:7001").bootstrap(founders);
/// let store = EventStore::start(config, Options::default())?;
///
/// let order = AggregateId::new(["order", "42"])?;
/// let placed = NewEvent::of("placed", &"3 pears".to_owned());
/// store.append(Append::to(&order, 0).events([placed]).status("placed").label("customer", "7"))?;
///
/// let events = store.load_events(&order, 0)?.events; // linearizable, on any node
/// let waiting = store.with_status("placed")?;
/// for item in store.subscribe(Position::START, Filter::prefix(AggregateId::new(["order"])?))? {
///     let delivered = item?; // what was, then what comes
///     println!("{}: {:?}", delivered.position, delivered.event);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct EventStore {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node<EventMachine>,
    reader: Reader,
    call_timeout: Duration,
    trims: bool,
    archiving: bool,
    indexer: Option<Indexer>,
    clock: Clock,
    publishing: Publishing,
    claims: Arc<Claims>,
}

/// How many entries of the log stay in memory, unless [`Config::tail_entries_max`] says otherwise.
const TAIL_ENTRIES: u64 = 20_480;

impl EventStore {
    /// Opens the store on the disk and starts its node. Returns when that serves; it need not know a leader by then:
    /// [`EventStore::ready`] waits for that.
    pub fn start(config: Config, options: Options) -> Result<Self, StoreStartError> {
        Self::launch(config, options, Node::start)
    }

    /// As [`EventStore::start`], with a log and a network of your own.
    pub fn start_with(config: Config, options: Options, parts: Parts) -> Result<Self, StoreStartError> {
        Self::launch(config, options, |config, machine| Node::start_with(config, machine, parts))
    }

    fn launch(
        mut config: Config,
        options: Options,
        start: impl FnOnce(Config, EventMachine) -> Result<Node<EventMachine>, StartError>,
    ) -> Result<Self, StoreStartError> {
        config.validate().map_err(StartError::from)?;
        config.tail_entries_max.get_or_insert(TAIL_ENTRIES);
        let machine = EventMachine::open(&options.machine(&config.dir)?)?;
        let reader = machine.reader();
        Self::over(start(config, machine)?, reader, options)
    }

    /// The store of a node that runs already, with what reads its machine ([`EventMachine::reader`], taken before the node
    /// was started): for a machine that was opened elsewhere. Where the store is, and what it takes up, was said there.
    pub fn over(node: Node<EventMachine>, reader: Reader, options: Options) -> Result<Self, StoreStartError> {
        let Options { trims, archiving, indexer, publisher, clock, .. } = options;
        let publishing = Publishing::start(&node, &reader, publisher).map_err(StoreStartError::Thread)?;
        let (call_timeout, claims) = (node.call_timeout(), Arc::new(Claims::new(reader.clone())));
        let inner =
            Inner { node, reader, call_timeout, trims, archiving, indexer, clock, publishing, claims };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Appends events to an aggregate, and says for the indexes what the append says, if the aggregate is at the sequence
    /// that is expected. Else nothing is written, and the [`Conflict`] brings the events in between.
    ///
    /// An append of nothing only compares the sequence, linearizably.
    pub fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_within(append, self.inner.call_timeout)
    }

    /// As [`EventStore::append`], with a deadline of its own.
    pub fn append_within(&self, append: Append, within: Duration) -> Result<Appended, AppendError> {
        self.append_all_within([append], within)
    }

    /// Appends to several aggregates at once: if each is at the sequence that is expected, all of it is written; else
    /// nothing is. One of which nothing is said must only be there.
    pub fn append_all(&self, appends: impl IntoIterator<Item = Append>) -> Result<Appended, AppendError> {
        self.append_all_within(appends, self.inner.call_timeout)
    }

    /// As [`EventStore::append_all`], with a deadline of its own.
    pub fn append_all_within(
        &self,
        appends: impl IntoIterator<Item = Append>,
        within: Duration,
    ) -> Result<Appended, AppendError> {
        let (deadline, now) = (later(within), self.now());
        let appends: Vec<_> = appends.into_iter().map(|append| self.indexed(append, now)).collect();
        let is_check = appends.iter().all(Append::is_check);
        let expected: Vec<_> =
            appends.iter().map(|append| (append.aggregate().clone(), append.expected())).collect();
        let command = Command::append_all(appends, now)?;
        if is_check {
            return self.check_all(expected, deadline);
        }
        if self.seems_late(&expected)
            && let Err(AppendError::Conflict(conflict)) = self.check_all(expected, deadline)
        {
            return Err(AppendError::Conflict(conflict));
        }
        match self.inner.node.propose_within(command, until(deadline))? {
            Response::Appended(appended) => Ok(appended),
            Response::Conflict(conflict) => Err(AppendError::Conflict(conflict)),
            Response::Refused(refused) => Err(AppendError::Refused(refused)),
            Response::Failed { reason } => Err(AppendError::Failed { reason }),
            other => unreachable!("an append is not answered {other:?}"),
        }
    }

    /// Whether this node knows an aggregate to be beyond its expected sequence: then most likely it is, and a conflict need
    /// not go through the log. But it is this node that may be late, and the aggregate in another life: the leader has the
    /// last word.
    fn seems_late(&self, expected: &[(AggregateId, u64)]) -> bool {
        let Ok(view) = self.inner.reader.view() else { return false };
        let is_beyond = |(id, expected): &(AggregateId, u64)| {
            let known = view.aggregate(id).ok().flatten();
            known.is_some_and(|known| known.sequence > *expected)
        };
        expected.iter().any(is_beyond)
    }

    /// Nothing is to be written: a picture of now says as much as an entry of the log would.
    fn check_all(
        &self,
        expected: Vec<(AggregateId, u64)>,
        deadline: Instant,
    ) -> Result<Appended, AppendError> {
        let compare = || {
            let view = self.reading(Consistency::Linearizable).within(until(deadline)).view()?;
            for (id, expected) in &expected {
                if let Err(conflict) = view.check(id, *expected)? {
                    return Ok(Err(conflict));
                }
            }
            Ok(Ok(Position::behind(view.applied())))
        };
        let compared: Result<Result<Position, Conflict>, QueryError> = compare();
        let position = compared.map_err(AppendError::Check)?.map_err(AppendError::Conflict)?;
        Ok(Appended { position, next: expected.into_iter().map(|(_, expected)| expected).collect() })
    }

    /// With what the indexer makes of its events.
    fn indexed(&self, append: Append, now: Timestamp) -> Append {
        let Some(indexer) = &self.inner.indexer else { return append };
        let mut index = Index::new();
        append.raised(now).for_each(|event| index.merge(indexer(&event)));
        append.index_below(index)
    }

    /// Saves `data` as the snapshot of an aggregate: what its events before `sequence` amount to. `false` if a newer one is
    /// there, which stays. With [`Options::trim`] those events go.
    ///
    /// A snapshot may run ahead of the events: then the next append must expect its sequence.
    pub fn save_snapshot(
        &self,
        id: &AggregateId,
        data: impl Into<Bytes>,
        sequence: u64,
    ) -> Result<bool, SaveError> {
        self.save_snapshot_within(id, data, sequence, self.inner.call_timeout)
    }

    /// As [`EventStore::save_snapshot`], with a deadline of its own.
    pub fn save_snapshot_within(
        &self,
        id: &AggregateId,
        data: impl Into<Bytes>,
        sequence: u64,
        within: Duration,
    ) -> Result<bool, SaveError> {
        let command = Command::save_snapshot(id, data, sequence, self.inner.trims)?;
        match self.inner.node.propose_within(command, within)? {
            Response::Saved { is_newest } => Ok(is_newest),
            Response::Failed { reason } => Err(SaveError::Failed { reason }),
            other => unreachable!("a snapshot is not answered {other:?}"),
        }
    }

    /// Waits until this node has found its leader and caught up with it: with all that was committed when it asked. Once it
    /// was ready it stays so. From then on its publisher hears of every event.
    pub fn ready(&self, within: Duration) -> Result<(), ReadError> {
        if self.inner.publishing.await_ready(later(within))? {
            return Ok(());
        }
        Err(match (self.stop_cause(), self.leader()) {
            (Some(cause), _) => ReadError::Stopped { cause },
            (None, None) => ReadError::NoLeader,
            (None, Some(_)) => ReadError::DeadlinePassed,
        })
    }

    /// Whether this node was ready once.
    pub fn is_ready(&self) -> bool {
        self.inner.publishing.is_ready()
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<u64> {
        self.inner.node.status().leader
    }

    /// What this node is in its cluster. One that asks whether it would be elected counts as a candidate.
    pub fn state(&self) -> Role {
        match self.inner.node.status().role {
            Role::PreCandidate => Role::Candidate,
            role => role,
        }
    }

    /// Why the node stopped, if it did.
    pub fn stop_cause(&self) -> Option<StopCause> {
        self.inner.node.stop_cause()
    }

    /// The node: for its status, its metrics, its members. It takes [`Command`]s and [`Query`](super::Query)s as well, also
    /// by the thousand ([`Node::submit`]).
    pub fn node(&self) -> &Node<EventMachine> {
        &self.inner.node
    }

    /// Stops the store: the publisher is told of all that was applied when this was called, a leader hands over, and the
    /// node stops as by [`Node::shutdown`]. Then every call is refused by name, subscriptions end, and the directories are free.
    /// Waits for all that, at most `within`; may be called again, and from several threads.
    pub fn shutdown(&self, within: Duration) -> Result<(), ShutdownError> {
        let deadline = later(within);
        self.inner.publishing.drain(&self.inner.reader, deadline);
        self.inner.node.shutdown(until(deadline))?;
        if self.inner.publishing.end(&self.inner.reader, deadline) {
            Ok(())
        } else {
            Err(ShutdownError::StillRunning { within })
        }
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    pub(super) fn call_timeout(&self) -> Duration {
        self.inner.call_timeout
    }

    pub(super) fn trims(&self) -> bool {
        self.inner.trims
    }

    pub(super) fn archives(&self) -> bool {
        self.inner.archiving
    }

    pub(super) fn claims(&self) -> &Arc<Claims> {
        &self.inner.claims
    }

    /// The time for events that have none.
    pub(super) fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }
}

impl Drop for Inner {
    /// The publisher is not waited for but for the call it is in: who wants it to finish shuts the store down. The node
    /// stops after this, as any field does.
    fn drop(&mut self) {
        self.publishing.abandon(&self.reader);
    }
}

impl fmt::Debug for EventStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStore").field("node", &self.inner.node).finish_non_exhaustive()
    }
}
