//! What a user holds: a typed handle on a client's thread.

use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Poll;

use super::courier::{Beginning, Courier, WAKER};
use super::end::End;
use super::error::named;
use super::inbox::{Inbox, Submitted};
use super::routing::{Ask, Routing, Settings};
use super::{ClientConfig, ClientError, ClientReadError, ConnectError};
use crate::machine::{Codec, StateMachine};
use crate::net::{LoopWaker, clock};
use crate::sync::Mutex;
use crate::ticket::{
    CallError, Gate, Reply, StopCause, Ticket, enter_runtime_thread, on_runtime_thread, panic_message,
};
use crate::types::{ClientAnswer, ClientStatus, ClusterId, NodeId};
use crate::wire::greeting::Secret;

/// Longer than any process runs, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// A caller waits so much longer than its deadline for the client's thread to say what became of the call: it knows more.
const GRACE: Duration = Duration::from_secs(1);

/// A connection with a cluster from another process, for a state machine of the type `S`.
///
/// It finds the leader and follows it; what it sends is repeated on other nodes when one fails, until the deadline. Commands
/// take effect once, however often they are sent: they are numbered in a session, which is opened for the first of them.
/// Commands that are under way at the same time may take effect in any order.
///
/// Cheap to clone and usable from many threads: one thread and at most one connection with each node serve all clones. When
/// the last clone is dropped, what is still under way is answered [`ClientError::Stopped`], and the connections are closed.
///
/// ```no_run
/// # use quorate::{Client, LogPosition, MachineError, SnapshotError, SnapshotWriter, StateMachine};
/// # #[derive(Default)]
/// # struct Counter(i64);
/// # impl StateMachine for Counter {
/// #     type Command = i64;
/// #     type Query = ();
/// #     type Response = i64;
/// #     fn apply(&mut self, _at: LogPosition, add: i64) -> i64 { self.0 += add; self.0 }
/// #     fn query(&self, (): ()) -> i64 { self.0 }
/// #     fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> { unimplemented!() }
/// #     fn restore(&mut self, _: &mut dyn std::io::Read) -> Result<(), MachineError> { unimplemented!() }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::<Counter>::connect(["10.0.0.1:7001", "10.0.0.2:7001", "10.0.0.3:7001"])?;
/// let total = client.propose(5)?; // committed and applied, once
/// let now = client.query(())?; //    linearizable
/// # Ok(()) }
/// ```
pub struct Client<S> {
    line: Arc<Line>,
    machine: PhantomData<fn() -> S>,
}

/// The callers' end of the client's thread.
struct Line {
    inbox: Arc<Inbox>,
    gate: Arc<Gate>,
    call_timeout: Duration,
    cluster: Arc<OnceLock<ClusterId>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<S: StateMachine> Client<S> {
    /// A client of the cluster to which these nodes, `host:port`, belong. Blocks until one of them answers, at most for 10 s.
    pub fn connect(addresses: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConnectError> {
        Self::connect_with(ClientConfig::new(addresses))
    }

    /// A client that is configured. Blocks until a node answers, at most for [`ClientConfig::connect_within`].
    pub fn connect_with(config: ClientConfig) -> Result<Self, ConnectError> {
        config.judge()?;
        if on_runtime_thread() {
            return Err(ConnectError::WouldDeadlock);
        }
        let within = config.connect_within;
        let client = Self { line: Arc::new(Line::new(config)?), machine: PhantomData };
        let contact = client.line.submit_read(Ask::Contact, 0, within, |_| Ok(()));
        match contact.wait() {
            Ok(()) => Ok(client),
            Err(ClientReadError::Unreachable { tried }) => Err(ConnectError::Unreachable { tried }),
            Err(ClientReadError::Stopped { cause }) => Err(ConnectError::Stopped(cause)),
            Err(other) => Err(ConnectError::Unreachable { tried: other.to_string().into() }),
        }
    }

    /// Has the cluster replicate and apply a command, once. Blocks until it is committed and applied on the node that
    /// answers; at most for the configured call timeout.
    pub fn propose(&self, command: S::Command) -> Result<S::Response, ClientError> {
        self.propose_within(command, self.line.call_timeout)
    }

    /// As [`Client::propose`], with a deadline of its own.
    pub fn propose_within(&self, command: S::Command, within: Duration) -> Result<S::Response, ClientError> {
        if on_runtime_thread() {
            return Err(ClientError::WouldDeadlock);
        }
        self.submit_within(command, within).wait()
    }

    /// As [`Client::propose`], but returns at once: one thread can keep thousands in flight. Never blocks; a refusal arrives in
    /// the ticket.
    pub fn submit(&self, command: S::Command) -> Ticket<S::Response, ClientError> {
        self.submit_within(command, self.line.call_timeout)
    }

    /// As [`Client::submit`], with a deadline of its own.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub fn submit_within(&self, command: S::Command, within: Duration) -> Ticket<S::Response, ClientError> {
        let command = encoded(&command);
        let bytes = command.len();
        self.line.submit(Ask::Propose(command), bytes, within, End::Command, ClientError::Busy, |answer| {
            decoded::<S::Response>(answer).map_err(|reason| ClientError::BadResponse { reason })
        })
    }

    /// Asks the state machine, linearizably: the answer sees every command that was answered before this call began.
    pub fn query(&self, query: S::Query) -> Result<S::Response, ClientReadError> {
        self.query_within(query, self.line.call_timeout)
    }

    /// As [`Client::query`], with a deadline of its own.
    pub fn query_within(&self, query: S::Query, within: Duration) -> Result<S::Response, ClientReadError> {
        if on_runtime_thread() {
            return Err(ClientReadError::WouldDeadlock);
        }
        self.submit_query_within(query, within).wait()
    }

    /// As [`Client::query`], but returns at once. Never blocks; a refusal arrives in the ticket.
    pub fn submit_query(&self, query: S::Query) -> Ticket<S::Response, ClientReadError> {
        self.submit_query_within(query, self.line.call_timeout)
    }

    /// As [`Client::submit_query`], with a deadline of its own.
    #[expect(clippy::needless_pass_by_value, reason = "a query is handed over")]
    pub fn submit_query_within(
        &self,
        query: S::Query,
        within: Duration,
    ) -> Ticket<S::Response, ClientReadError> {
        let query = encoded(&query);
        let bytes = query.len();
        self.line.submit_read(Ask::Query(query), bytes, within, response::<S>)
    }

    /// Asks the copy of the state machine that some node has, as it is: it may be old.
    pub fn query_local(&self, query: S::Query) -> Result<S::Response, ClientReadError> {
        self.query_copy(query, None)
    }

    /// Asks the copy of the state machine that this node has, as it is.
    pub fn query_local_on(&self, node: u64, query: S::Query) -> Result<S::Response, ClientReadError> {
        self.query_copy(query, Some(named(node)?))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a query is handed over")]
    fn query_copy(&self, query: S::Query, node: Option<NodeId>) -> Result<S::Response, ClientReadError> {
        let query = encoded(&query);
        let bytes = query.len();
        self.line.read(Ask::Local { query, node }, bytes, response::<S>)
    }

    /// How some node is: whoever answers first.
    pub fn status(&self) -> Result<ClientStatus, ClientReadError> {
        self.line.read(Ask::Status(None), 0, status)
    }

    /// How this node is.
    pub fn status_of(&self, node: u64) -> Result<ClientStatus, ClientReadError> {
        self.line.read(Ask::Status(Some(named(node)?)), 0, status)
    }

    /// What names the cluster: to be given to [`ClientConfig::cluster`] by those who come later and want no other.
    pub fn cluster(&self) -> ClusterId {
        *self.line.cluster.get().expect("a client that is connected has met a node")
    }
}

impl Line {
    /// Starts the client's thread.
    fn new(config: ClientConfig) -> Result<Self, ConnectError> {
        let refused = |what| move |source| ConnectError::System { what, source };
        let poll = Poll::new().map_err(refused("an event loop"))?;
        let waker = Arc::new(LoopWaker::new(poll.registry(), WAKER).map_err(refused("an event loop"))?);
        let inbox = Arc::new(Inbox::new(Arc::clone(&waker)));
        let gate = Arc::new(Gate::new(config.in_flight_requests_max, config.in_flight_bytes_max));
        let settings = Settings {
            spread_reads: config.spread_reads,
            silence: config.silence_timeout.min(FOREVER),
            connect: config.dial_timeout.min(FOREVER),
            seed: random().map_err(refused("randomness"))?,
        };
        let cluster = Arc::new(OnceLock::new());
        let routing = Routing::new(settings, config.cluster, config.addresses, clock::now());
        let token = Secret::new(config.token.unwrap_or_default());
        let beginning = Beginning {
            poll,
            waker,
            inbox: Arc::clone(&inbox),
            routing,
            token,
            cluster: Arc::clone(&cluster),
        };
        let thread = Builder::new().name("quorate-client".into()).spawn({
            let (gate, inbox) = (Arc::clone(&gate), Arc::clone(&inbox));
            move || serve(beginning, &inbox, &gate)
        });
        let thread = Mutex::new(Some(thread.map_err(refused("a thread"))?));
        Ok(Self { inbox, gate, call_timeout: config.call_timeout, cluster, thread })
    }

    fn read<T: Send + 'static>(
        &self,
        ask: Ask,
        bytes: usize,
        decode: fn(&ClientAnswer) -> Result<T, ClientReadError>,
    ) -> Result<T, ClientReadError> {
        if on_runtime_thread() {
            return Err(ClientReadError::WouldDeadlock);
        }
        self.submit_read(ask, bytes, self.call_timeout, decode).wait()
    }

    fn submit_read<T: Send + 'static>(
        &self,
        ask: Ask,
        bytes: usize,
        within: Duration,
        decode: fn(&ClientAnswer) -> Result<T, ClientReadError>,
    ) -> Ticket<T, ClientReadError> {
        self.submit(ask, bytes, within, End::Read, ClientReadError::Busy, decode)
    }

    fn submit<T: Send + 'static, E: CallError>(
        &self,
        ask: Ask,
        bytes: usize,
        within: Duration,
        end: fn(Reply<E, ClientAnswer>) -> End,
        busy: E,
        decode: fn(&ClientAnswer) -> Result<T, E>,
    ) -> Ticket<T, E> {
        let deadline = later(within);
        let Some(permit) = self.gate.enter(bytes) else { return Ticket::refused(busy, deadline) };
        let (reply, ticket) = Reply::pair(permit, deadline + GRACE, decode);
        self.inbox.put(Submitted { ask, end: end(reply), deadline });
        ticket
    }
}

/// The client's thread.
fn serve(beginning: Beginning, inbox: &Inbox, gate: &Gate) {
    enter_runtime_thread();
    let mut courier = Courier::new(beginning);
    let cause = match catch_unwind(AssertUnwindSafe(|| courier.run())) {
        Ok(Ok(())) => StopCause::Shutdown,
        Ok(Err(error)) => StopCause::Transport(format!("the client's event loop failed: {error}").into()),
        Err(panic) => {
            StopCause::Panicked { thread: "quorate-client".into(), message: panic_message(&*panic).into() }
        }
    };
    // Whoever hears that it is over finds it over.
    gate.stop(cause.clone());
    inbox.end(&cause);
    courier.stop(&cause);
    if cause != StopCause::Shutdown {
        log::error!("a client stops: {cause}");
    }
}

fn later(within: Duration) -> Instant {
    clock::now() + within.min(FOREVER)
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    // So few bytes come at once, or not at all.
    assert_eq!(filled, bytes.len(), "the kernel gives up to 256 random bytes whole");
    Ok(u64::from_le_bytes(bytes))
}

fn encoded(what: &impl Codec) -> Bytes {
    let mut bytes = Vec::new();
    what.encode(&mut bytes);
    Bytes::from(bytes)
}

fn decoded<R: Codec>(answer: &ClientAnswer) -> Result<R, String> {
    match answer {
        ClientAnswer::Response(bytes) => R::decode(bytes).map_err(|error| error.reason),
        other => Err(format!("no response, but {other:?}")),
    }
}

fn response<S: StateMachine>(answer: &ClientAnswer) -> Result<S::Response, ClientReadError> {
    decoded(answer).map_err(|reason| ClientReadError::BadResponse { reason })
}

fn status(answer: &ClientAnswer) -> Result<ClientStatus, ClientReadError> {
    match answer {
        ClientAnswer::Status(status) => Ok(status.clone()),
        other => Err(ClientReadError::BadResponse { reason: format!("no status, but {other:?}") }),
    }
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { line: Arc::clone(&self.line), machine: PhantomData }
    }
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("cluster", &self.line.cluster.get()).finish_non_exhaustive()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(thread) = self.thread.lock().take()
            && !on_runtime_thread()
        {
            // It catches its own panics: a join gives nothing to look at.
            let _ = thread.join();
        }
    }
}
