//! A node in motion: reached by its handles, stopped once.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;

use super::ShutdownError;
use super::channels::{Control, Look, Request, ToEngine, answer};
use super::clock::later;
use super::threads::Stopper;
use super::view::{Facts, View};
use crate::machine::SessionBounds;
use crate::metrics::Metrics;
use crate::replica::ReplicaStatus;
use crate::ticket::{Outcome, Permit, ProposeError, ReadError, StopCause, on_runtime_thread};
use crate::types::{ClusterId, NodeId};

/// A running node, whatever its state machine's type.
pub(super) struct Running {
    pub(super) id: NodeId,
    /// Its cluster, once it belongs to one.
    pub(super) cluster: Arc<OnceLock<ClusterId>>,
    pub(super) call_timeout: Duration,
    pub(super) election_timeout: Duration,
    pub(super) forwarding: bool,
    pub(super) command_bytes_max: usize,
    /// Of the sessions that are opened here.
    pub(super) session_bounds: SessionBounds,
    pub(super) metrics: Metrics,
    pub(super) stopper: Stopper,
    /// Held for as long as there are callers: no end of the engine's inputs is ever the last one.
    pub(super) to_engine: ToEngine,
    pub(super) view: Arc<View>,
    /// Heard when all threads are gone.
    pub(super) all_gone: Receiver<()>,
    pub(super) handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Running {
    /// Whether a command of `bytes` may be replicated.
    pub(super) fn judge_length(&self, bytes: usize) -> Result<(), ProposeError> {
        let limit = self.command_bytes_max;
        if bytes <= limit { Ok(()) } else { Err(ProposeError::TooLarge { bytes, limit }) }
    }

    /// Lets a command of `bytes` through the gate, or says why not.
    pub(super) fn admit_command(&self, bytes: usize) -> Result<Permit, ProposeError> {
        if let Some(cause) = self.stop_cause() {
            return Err(ProposeError::Stopped { cause, outcome: Outcome::NotApplied });
        }
        self.stopper.gate.enter(bytes).ok_or_else(|| {
            self.metrics.runtime.refused_at_the_door.increment();
            ProposeError::Busy
        })
    }

    /// Lets a read through the gate, or says why not.
    pub(super) fn admit_read(&self) -> Result<Permit, ReadError> {
        if let Some(cause) = self.stop_cause() {
            return Err(ReadError::Stopped { cause });
        }
        self.stopper.gate.enter(0).ok_or_else(|| {
            self.metrics.runtime.refused_at_the_door.increment();
            ReadError::Busy
        })
    }

    /// A caller whose deadline came before its request was taken learns whether it was for want of a leader.
    pub(super) fn explain(&self, error: ProposeError) -> ProposeError {
        let no_leader = error == ProposeError::DeadlinePassed && self.view.leader().is_none();
        if no_leader { ProposeError::NoLeader } else { error }
    }

    /// The same for reads.
    pub(super) fn explain_read(&self, error: ReadError) -> ReadError {
        let no_leader = error == ReadError::DeadlinePassed && self.view.leader().is_none();
        if no_leader { ReadError::NoLeader } else { error }
    }

    /// Hands a request to the engine. If the engine is gone the request is dropped, and says so to its caller.
    pub(super) fn request(&self, request: Request) {
        let _ = self.to_engine.requests.send(request);
    }

    /// Tells the engine something beside its requests; `false` if it is gone, and what was told with it.
    pub(super) fn control(&self, control: Control) -> bool {
        self.to_engine.control.send(control).is_ok()
    }

    /// The end through which requests reach the engine, for callbacks.
    pub(super) fn requests(&self) -> Sender<Request> {
        self.to_engine.requests.clone()
    }

    /// The replica as it is. An engine that has ended, or ends now, drops the question: then as it was at the end. So on
    /// a thread of the node, which must not wait for another.
    pub(super) fn status(&self) -> ReplicaStatus {
        let (answer, answered) = answer();
        if on_runtime_thread() {
            drop(answer);
        } else {
            // A caller who does not wait any more needs no answer.
            self.control(Control::Status(Look(Box::new(move |status| _ = answer.try_send(status)))));
        }
        answered.recv().unwrap_or_else(|_| self.view.last_status())
    }

    pub(super) fn stop_cause(&self) -> Option<StopCause> {
        self.stopper.gate.stop_cause().cloned()
    }

    /// Waits until the facts are `enough`. `None` when they were not in time.
    pub(super) fn wait_until(
        &self,
        within: Duration,
        enough: impl Fn(&Facts) -> bool,
    ) -> Result<Option<Facts>, ReadError> {
        if on_runtime_thread() {
            return Err(ReadError::WouldDeadlock);
        }
        let facts = self.view.wait_until(later(within), &enough);
        match facts {
            Some(facts) if !enough(&facts) => {
                Err(ReadError::Stopped { cause: self.stop_cause().unwrap_or(StopCause::Shutdown) })
            }
            facts => Ok(facts),
        }
    }

    /// Stops the node and waits until it is down, at most `within`. A leader hands over first, so that the others need not
    /// find out.
    pub(super) fn shutdown(&self, within: Duration) -> Result<(), ShutdownError> {
        let deadline = later(within);
        if !on_runtime_thread() && self.stop_cause().is_none() && self.view.leader() == Some(self.id) {
            self.step_aside(within.min(self.election_timeout));
        }
        self.stopper.stop(StopCause::Shutdown);
        if on_runtime_thread() {
            return Err(ShutdownError::WouldDeadlock);
        }
        if self.all_gone.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            return Err(ShutdownError::StillRunning { within });
        }
        self.join();
        Ok(())
    }

    /// Threads catch their own panics: a join gives nothing to look at.
    fn join(&self) {
        for handle in self.handles.lock().drain(..) {
            let _ = handle.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop(StopCause::Shutdown);
        if !on_runtime_thread() {
            self.join();
        }
    }
}
