//! What a user holds: a typed handle on a running node. What operators ask of it stands in
//! [`administration`](super::administration).

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::channels::Request;
use super::clock::{deadline_after, later};
use super::config::Judged;
use super::launch::launch;
use super::running::Running;
use super::{Config, Parts, ShutdownError, StartError, Status};
use crate::machine::{Sessions, StateMachine, is_entry_of};
use crate::metrics::Metrics;
use crate::replica::Read;
use crate::ticket::{CallError, ProposeError, ReadError, ReadTask, StopCause, Ticket, on_runtime_thread};
use crate::types::{LogIndex, LogPosition};

/// A running node: one member of a cluster, with its threads, its log and its copy of the state machine `S`.
///
/// Cheap to clone and usable from many threads. When the last clone is dropped the node stops, and its data directory is
/// free when the drop returns (unless that happens on a thread of the node itself, which only gives the signal).
/// [`Node::shutdown`] also hands leadership over before it stops.
pub struct Node<S> {
    running: Arc<Running>,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> Node<S> {
    /// Starts a node on its data directory and its address. Returns when it serves; it need not know a leader by then.
    ///
    /// Everything that the configuration and the directory can be judged by is judged before anything is written, but for
    /// the directory itself and its lock.
    pub fn start(mut config: Config, machine: S) -> Result<Self, StartError> {
        let judged = config.validate()?;
        let parts = Parts::on_disk_and_tcp(&mut config, &judged)?;
        Self::launch(&config, &judged, machine, parts)
    }

    /// Starts a node on a storage and a transport of your own.
    #[expect(clippy::needless_pass_by_value, reason = "a configuration serves one start")]
    pub fn start_with(config: Config, machine: S, parts: Parts) -> Result<Self, StartError> {
        let judged = config.validate()?;
        Self::launch(&config, &judged, machine, parts)
    }

    pub(super) fn launch(
        config: &Config,
        judged: &Judged,
        machine: S,
        parts: Parts,
    ) -> Result<Self, StartError> {
        let command_bytes_max = config.command_bytes_max;
        let is_entry = move |entry: &[u8]| is_entry_of::<S>(entry, command_bytes_max);
        let applied = machine.applied().map_or(LogPosition::ZERO, |held| held.position);
        let sessions =
            Sessions::new(machine).map_err(|error| StartError::Sidecar { applied, reason: error.reason })?;
        let running = launch(config, judged, Box::new(sessions), Box::new(is_entry), parts)?;
        Ok(Self { running: Arc::new(running), machine: PhantomData })
    }

    /// Replicates a command and applies it. Blocks until it is durable on a majority, committed, and applied on this node;
    /// at most for the configured call timeout.
    pub fn propose(&self, command: S::Command) -> Result<S::Response, ProposeError> {
        self.propose_within(command, self.running.call_timeout)
    }

    /// As [`Node::propose`], with a deadline of its own.
    pub fn propose_within(&self, command: S::Command, within: Duration) -> Result<S::Response, ProposeError> {
        if on_runtime_thread() {
            return Err(ProposeError::WouldDeadlock);
        }
        self.submit_within(command, within).wait().map_err(|error| self.running.explain(error))
    }

    /// As [`Node::propose`], but returns at once: one thread can keep thousands in flight. Commands submitted by one
    /// thread take effect in the order in which they were submitted. Never blocks; a refusal arrives in the ticket.
    pub fn submit(&self, command: S::Command) -> Ticket<S::Response, ProposeError> {
        self.submit_within(command, self.running.call_timeout)
    }

    /// As [`Node::submit`], with a deadline of its own.
    #[expect(clippy::needless_pass_by_value, reason = "a command is handed over")]
    pub fn submit_within(&self, command: S::Command, within: Duration) -> Ticket<S::Response, ProposeError> {
        self.submit_plain(&command, within)
    }

    /// Reads the state machine, linearizably, on any node: `read` sees every write that finished before this call began.
    ///
    /// # Panics
    /// If `read` panics: the panic goes on here, and nowhere else.
    pub fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<R, ReadError> {
        self.read_within(read, self.running.call_timeout)
    }

    /// As [`Node::read`], with a deadline of its own.
    pub fn read_within<R: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> R + Send + 'static,
        within: Duration,
    ) -> Result<R, ReadError> {
        if on_runtime_thread() {
            return Err(ReadError::WouldDeadlock);
        }
        self.submit_read_within(read, within).wait().map_err(|error| self.running.explain_read(error))
    }

    /// As [`Node::read`], but returns at once.
    pub fn submit_read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Ticket<R, ReadError> {
        self.submit_read_within(read, self.running.call_timeout)
    }

    /// As [`Node::submit_read`], with a deadline of its own.
    pub fn submit_read_within<R: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> R + Send + 'static,
        within: Duration,
    ) -> Ticket<R, ReadError> {
        let (deadline, instant) = deadline_after(within);
        let permit = match self.running.admit_read() {
            Ok(permit) => permit,
            Err(error) => return Ticket::refused(error, instant),
        };
        let (task, ticket) = ReadTask::pair(permit, instant, read);
        self.running.request(Request::Read(Read { task, deadline }));
        ticket
    }

    /// Asks the state machine, linearizably: [`StateMachine::query`] behind [`Node::read`].
    pub fn query(&self, query: S::Query) -> Result<S::Response, ReadError> {
        self.read(move |machine| machine.query(query))
    }

    /// As [`Node::query`], but returns at once.
    pub fn submit_query(&self, query: S::Query) -> Ticket<S::Response, ReadError> {
        self.submit_read(move |machine| machine.query(query))
    }

    /// Reads this node's copy of the state machine as it is, asking nobody: it may be old, for as long as this node has
    /// been cut off.
    ///
    /// # Panics
    /// As [`Node::read`].
    pub fn read_local<R: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<R, ReadError> {
        if on_runtime_thread() {
            return Err(ReadError::WouldDeadlock);
        }
        let instant = later(self.running.call_timeout);
        let permit = self.running.admit_read()?;
        let (task, ticket) = ReadTask::pair(permit, instant, read);
        self.running.request(Request::ReadLocal(task));
        ticket.wait()
    }

    /// Reads that also see the effect of a request that is still under way.
    pub fn after<'a, T: Send + 'static, E: CallError>(
        &'a self,
        ticket: &'a Ticket<T, E>,
    ) -> After<'a, S, T, E> {
        After { node: self, ticket }
    }

    /// The node as it is. Never waits for the disk, the network or the state machine.
    pub fn status(&self) -> Status {
        Status::of(&self.running.status(), self.running.stop_cause())
    }

    /// What the node has counted since it started.
    pub fn metrics(&self) -> Metrics {
        self.running.metrics.clone()
    }

    /// Waits until a leader is known, and names it.
    pub fn wait_for_leader(&self, within: Duration) -> Result<u64, ReadError> {
        let facts = self.running.wait_until(within, |facts| facts.leader.is_some())?;
        facts.and_then(|facts| facts.leader).map(crate::types::NodeId::get).ok_or(ReadError::NoLeader)
    }

    /// Waits until this node has applied the entry `index`.
    pub fn wait_applied(&self, index: u64, within: Duration) -> Result<(), ReadError> {
        let facts = self.running.wait_until(within, |facts| facts.applied >= LogIndex(index))?;
        facts.map(|_| ()).ok_or(ReadError::DeadlinePassed)
    }

    /// Stops the node: callers who wait get `Stopped`, what is written is synced, threads end. A leader hands over first,
    /// which takes at most an election timeout. Waits for all that, at most `within`; may be called again, and from several
    /// threads.
    pub fn shutdown(&self, within: Duration) -> Result<(), ShutdownError> {
        self.running.shutdown(within)
    }

    /// How long a call blocks that names no deadline.
    #[cfg(feature = "event-store")]
    pub(crate) fn call_timeout(&self) -> Duration {
        self.running.call_timeout
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// Why the node stopped, if it did.
    pub fn stop_cause(&self) -> Option<StopCause> {
        self.running.stop_cause()
    }
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        Self { running: Arc::clone(&self.running), machine: PhantomData }
    }
}

impl<S> std::fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.running.id).finish_non_exhaustive()
    }
}

/// Reads behind a request that is still under way: made by [`Node::after`].
pub struct After<'a, S, T, E> {
    node: &'a Node<S>,
    ticket: &'a Ticket<T, E>,
}

impl<S: StateMachine, T: Send + 'static, E: CallError> After<'_, S, T, E> {
    /// As [`Node::submit_read`]; the read starts when the request before it is answered, whatever the answer.
    pub fn submit_read<R: Send + 'static>(
        self,
        read: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Ticket<R, ReadError> {
        let running = &self.node.running;
        let (deadline, instant) = deadline_after(running.call_timeout);
        let permit = match running.admit_read() {
            Ok(permit) => permit,
            Err(error) => return Ticket::refused(error, instant),
        };
        let (task, ticket) = ReadTask::pair(permit, instant, read);
        let requests = running.requests();
        self.ticket.then(move || _ = requests.send(Request::Read(Read { task, deadline })));
        ticket
    }

    /// As [`Node::submit_query`], likewise.
    pub fn submit_query(self, query: S::Query) -> Ticket<S::Response, ReadError> {
        self.submit_read(move |machine| machine.query(query))
    }
}
