//! A read on its way to the state machine: the caller's closure, with the type hidden.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::slot::Slot;
use super::{Permit, ReadError, StopCause, Ticket};

/// A caller's read. Dropped before it ran, it answers that the node stopped.
pub(crate) struct ReadTask {
    /// The closure and its place in flight, until it is answered.
    open: Option<(Box<dyn Task>, Permit)>,
}

impl ReadTask {
    /// Both ends of one read of a state machine of type `S`.
    pub(crate) fn pair<S: 'static, R: Send + 'static>(
        permit: Permit,
        deadline: Instant,
        read: impl FnOnce(&S) -> R + Send + 'static,
    ) -> (Self, Ticket<R, ReadError>) {
        let slot = Arc::new(Slot::new());
        let closure = Closure { read, slot: Arc::clone(&slot), machine: std::marker::PhantomData::<fn(&S)> };
        (Self { open: Some((Box::new(closure), permit)) }, Ticket::new(slot, deadline))
    }

    /// Reads. A panic of the closure is caught here and goes on in its caller alone.
    ///
    /// # Panics
    /// If `machine` is not of the type the read was made for.
    pub(crate) fn run(mut self, machine: &dyn Any) {
        if let Some((task, permit)) = self.open.take() {
            // Whoever hears the answer may ask again at once, and must find room.
            drop(permit);
            task.run(machine);
        }
    }

    /// The read failed.
    pub(crate) fn fail(mut self, error: ReadError) {
        if let Some((task, permit)) = self.open.take() {
            drop(permit);
            task.fail(error);
        }
    }

    /// The node stops. Whoever hears so finds the gate shut.
    pub(crate) fn stop(self, cause: &StopCause) {
        if let Some((_, permit)) = &self.open {
            permit.shut_gate(cause);
        }
        self.fail(ReadError::Stopped { cause: cause.clone() });
    }
}

impl Drop for ReadTask {
    fn drop(&mut self) {
        if let Some((task, permit)) = self.open.take() {
            let cause = permit.drop_cause();
            drop(permit);
            task.fail(ReadError::Stopped { cause });
        }
    }
}

impl std::fmt::Debug for ReadTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadTask")
    }
}

trait Task: Send {
    fn run(self: Box<Self>, machine: &dyn Any);
    fn fail(self: Box<Self>, error: ReadError);
}

struct Closure<S, R, F> {
    read: F,
    slot: Arc<Slot<R, ReadError>>,
    machine: std::marker::PhantomData<fn(&S)>,
}

impl<S: 'static, R: Send, F: FnOnce(&S) -> R + Send> Task for Closure<S, R, F> {
    fn run(self: Box<Self>, machine: &dyn Any) {
        let machine = machine.downcast_ref::<S>().expect("a node's reads are typed by its machine");
        let read = self.read;
        self.slot.fill(catch_unwind(AssertUnwindSafe(|| read(machine))).map(Ok));
    }

    fn fail(self: Box<Self>, error: ReadError) {
        self.slot.fill(Ok(Err(error)));
    }
}
