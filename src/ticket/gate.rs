//! The gate that callers pass: what is in flight is counted there, and beyond the limit it is shut.

use std::sync::{Arc, OnceLock};

use super::StopCause;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Counts requests and their bytes from the call to the answer.
#[derive(Debug)]
pub(crate) struct Gate {
    requests: AtomicU64,
    bytes: AtomicU64,
    requests_max: u64,
    bytes_max: u64,
    stopped: OnceLock<StopCause>,
}

/// One request's place behind the gate; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
}

impl Gate {
    pub(crate) fn new(requests_max: u64, bytes_max: u64) -> Self {
        Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            requests_max,
            bytes_max,
            stopped: OnceLock::new(),
        }
    }

    /// Lets a request in, if there is room. A request larger than the whole limit passes when it is alone.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let bytes = bytes as u64;
        let requests_before = self.requests.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The permit gives back what was counted, also when it is refused here.
        let permit = Permit { gate: Arc::clone(self), bytes };
        let has_room = requests_before < self.requests_max
            && (bytes_before == 0 || bytes_before + bytes <= self.bytes_max);
        has_room.then_some(permit)
    }

    /// The node stopped: requests that are dropped from now on say so. The first cause counts.
    pub(crate) fn stop(&self, cause: StopCause) {
        let _ = self.stopped.set(cause);
    }

    /// Why the node stopped, if it did.
    pub(crate) fn stop_cause(&self) -> Option<&StopCause> {
        self.stopped.get()
    }
}

impl Permit {
    /// A place behind a gate that nobody else uses.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn free() -> Self {
        Arc::new(Gate::new(u64::MAX, u64::MAX)).enter(0).expect("the gate is open")
    }

    /// The node stops: nobody else is let in.
    pub(super) fn shut_gate(&self, cause: &StopCause) {
        self.gate.stop(cause.clone());
    }

    /// What to tell the caller of a request that is dropped unanswered.
    pub(super) fn drop_cause(&self) -> StopCause {
        if let Some(cause) = self.gate.stop_cause() {
            return cause.clone();
        }
        let current = std::thread::current();
        if std::thread::panicking() {
            let thread = current.name().unwrap_or("unnamed").to_owned();
            return StopCause::Panicked { thread, message: "while it held the request".into() };
        }
        StopCause::Shutdown
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.requests.fetch_sub(1, Ordering::Relaxed);
        self.gate.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_limits_the_gate_is_shut_until_somebody_leaves() {
        let gate = Arc::new(Gate::new(2, 100));

        let first = gate.enter(60).expect("there is room");
        assert!(gate.enter(41).is_none(), "too many bytes");
        let second = gate.enter(40).expect("there is room");
        assert!(gate.enter(0).is_none(), "too many requests");
        drop(first);
        let third = gate.enter(60).expect("there is room again");
        drop((second, third));
    }

    #[test]
    fn a_request_above_the_limit_passes_alone() {
        let gate = Arc::new(Gate::new(2, 100));

        let large = gate.enter(1000).expect("nobody else is there");
        assert!(gate.enter(1).is_none());
        drop(large);
        assert!(gate.enter(1).is_some());
    }
}
