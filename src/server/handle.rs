//! What a user holds: a node that serves clients too.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use mio::Poll;

use super::ServerConfig;
use super::desk::{Desk, Door};
use super::hall::{Beginning, Hall, WAKER};
use super::limits::{FOREVER, Limits};
use super::service::concerns_clients;
use crate::machine::StateMachine;
use crate::net::{LoopWaker, clock};
use crate::runtime::{Node, ShutdownError, StartError};
use crate::sync::Mutex;
use crate::ticket::{StopCause, enter_runtime_thread, on_runtime_thread, panic_message};
use crate::wire::greeting::Secret;

/// How long clients have to read their last answers when a server is dropped.
const DROPPED_WITHIN: Duration = Duration::from_secs(1);

/// A running node that serves clients of other processes, on the same address as its peers.
///
/// Cheap to clone. When the last clone is dropped clients are told no more, and the node stops unless clones of it
/// ([`Server::node`]) are held elsewhere. [`Server::shutdown`] answers what is under way before, and hands leadership over.
///
/// A process that does nothing else runs one until it stops:
///
/// ```no_run
/// # use quorate::{Config, LogPosition, MachineError, Server, ServerError, SnapshotError, SnapshotWriter, StateMachine};
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
/// # fn main() -> Result<(), ServerError> {
/// let founders = [(1, "10.0.0.1:7001"), (2, "10.0.0.2:7001"), (3, "10.0.0.3:7001")];
/// let config = Config::new(1, "/var/lib/counter", "0.0.0.0:7001").bootstrap(founders);
/// Server::run(config, Counter::default())
/// # }
/// ```
pub struct Server<S: StateMachine> {
    parts: Arc<ServerParts<S>>,
}

/// Why [`Server::run`] returned before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its node stopped.
    #[error("the node stopped: {0}")]
    Stopped(StopCause),
}

struct ServerParts<S: StateMachine> {
    node: Node<S>,
    address: SocketAddr,
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<S: StateMachine> Server<S> {
    /// Starts a node as [`Node::start`] does, and serves clients. A plain [`Config`](crate::Config) will do; a
    /// [`ServerConfig`] sets the limits.
    pub fn start(config: impl Into<ServerConfig>, machine: S) -> Result<Self, StartError> {
        let config = config.into();
        let limits = Limits::of(&config);
        let refused = |source| StartError::System { what: "an event loop", source };
        let poll = Poll::new().map_err(refused)?;
        let waker = LoopWaker::new(poll.registry(), WAKER).map_err(refused)?;
        let desk = Desk::new(Arc::new(waker), limits.connections_max);
        let token = Secret::new(config.node.shared_token().unwrap_or_default().to_vec());
        let (node, address) = Node::start_serving(config.node, machine, Box::new(Door(Arc::clone(&desk))))?;
        watch(&node, &desk);
        let beginning = Beginning {
            poll,
            desk: Arc::clone(&desk),
            service: Box::new(node.clone()),
            node: node.id(),
            token,
            limits,
            metrics: node.metrics().server,
        };
        let thread = Builder::new()
            .name(format!("quorate-{}-clients", node.id()))
            .spawn(move || serve(beginning))
            .map_err(|source| StartError::System { what: "a thread", source })?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { parts: Arc::new(ServerParts { node, address, desk, thread }) })
    }

    /// Starts one, and blocks until its node stops. It heeds no signals: a process that is to hand leadership over at its end
    /// uses [`Server::start`] and [`Server::shutdown`].
    pub fn run(config: impl Into<ServerConfig>, machine: S) -> Result<(), ServerError> {
        match Self::start(config, machine)?.wait() {
            Ok(StopCause::Shutdown) | Err(_) => Ok(()),
            Ok(cause) => Err(ServerError::Stopped(cause)),
        }
    }

    /// The node: all that it can do, this process can do too.
    pub fn node(&self) -> &Node<S> {
        &self.parts.node
    }

    /// Where peers and clients are served.
    pub fn local_addr(&self) -> SocketAddr {
        self.parts.address
    }

    /// Blocks until the node has stopped and clients are served no more, and says why it stopped.
    pub fn wait(&self) -> Result<StopCause, ShutdownError> {
        if on_runtime_thread() {
            return Err(ShutdownError::WouldDeadlock);
        }
        let cause = self.parts.node.wait_stopped();
        self.parts.desk.wait_ended(None);
        Ok(cause)
    }

    /// Stops: clients are let in no more and what they ask is refused; what is under way is answered; then the node stops as
    /// by [`Node::shutdown`], and what it could not answer before is answered by that. Waits for all that, at most `within`;
    /// may be called again, and from several threads.
    pub fn shutdown(&self, within: Duration) -> Result<(), ShutdownError> {
        let (node, desk) = (&self.parts.node, &self.parts.desk);
        let begun = clock::now();
        let deadline = begun + within.min(FOREVER);
        desk.close(deadline);
        if on_runtime_thread() {
            return node.shutdown(within);
        }
        desk.wait_ended(Some(begun + within.min(FOREVER) / 2));
        let is_down = node.shutdown(left_until(deadline)).is_ok() && desk.wait_ended(Some(deadline));
        if is_down { Ok(()) } else { Err(ShutdownError::StillRunning { within }) }
    }
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(clock::now())
}

/// Has the clients' thread hear of what clients are told, and of the node's end.
fn watch<S: StateMachine>(node: &Node<S>, desk: &Arc<Desk>) {
    struct Ear(Arc<Desk>);
    impl Drop for Ear {
        fn drop(&mut self) {
            self.0.put(|tray| tray.node_ended = true);
        }
    }
    let ear = Ear(Arc::clone(desk));
    node.watch(move |event| {
        let Ear(desk) = &ear;
        if concerns_clients(event) {
            desk.put(|tray| tray.has_changed = true);
        }
        desk.is_served()
    });
}

/// The clients' thread. If it fails the node stops: a server that serves nobody must not look alive.
fn serve(beginning: Beginning) {
    struct Ends(Arc<Desk>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.thread_ends();
        }
    }
    enter_runtime_thread();
    let _ends = Ends(Arc::clone(&beginning.desk));
    let mut hall = Hall::new(beginning);
    let cause = match catch_unwind(AssertUnwindSafe(|| hall.run())) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => StopCause::Transport(format!("the clients' event loop failed: {error}").into()),
        Err(panic) => {
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            StopCause::Panicked { thread, message: panic_message(&*panic).into() }
        }
    };
    // First the stop: the logger is the user's, and may panic.
    hall.fail(cause.clone());
    log::error!("the node stops: {cause}");
}

impl<S: StateMachine> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<S: StateMachine> std::fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("node", &self.parts.node).finish_non_exhaustive()
    }
}

impl<S: StateMachine> Drop for ServerParts<S> {
    fn drop(&mut self) {
        self.desk.close(clock::now() + DROPPED_WITHIN);
        if let Some(thread) = self.thread.lock().take()
            && !on_runtime_thread()
        {
            // It catches its own panics: a join gives nothing to look at.
            let _ = thread.join();
        }
    }
}
