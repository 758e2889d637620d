//! What a caller holds while its request is under way.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;

use super::on_runtime_thread;
use super::slot::{Answer, CallError, Slot};

/// A request under way. Dropping it does not cancel the request.
///
/// A ticket outlives its node: when the node stops, it answers `Stopped`.
#[must_use = "a ticket dropped unseen tells nobody whether the request succeeded"]
pub struct Ticket<T, E> {
    slot: Arc<dyn HasSlot<T, E>>,
    deadline: Instant,
}

/// Lets a slot live inside whatever fills it, in one allocation.
pub(crate) trait HasSlot<T, E>: Send + Sync {
    fn slot(&self) -> &Slot<T, E>;
}

impl<T: Send, E: Send> HasSlot<T, E> for Slot<T, E> {
    fn slot(&self) -> &Self {
        self
    }
}

impl<T: Send + 'static, E: CallError> Ticket<T, E> {
    pub(crate) fn new(slot: Arc<dyn HasSlot<T, E>>, deadline: Instant) -> Self {
        Self { slot, deadline }
    }

    /// A ticket that is answered already: the request was refused at the door.
    pub(crate) fn refused(error: E, deadline: Instant) -> Self {
        let slot = Slot::new();
        slot.fill(Ok(Err(error)));
        Self::new(Arc::new(slot), deadline)
    }

    /// Blocks until the answer is there, at most until the request's own deadline.
    ///
    /// # Panics
    /// If the request was a read whose closure panicked, or the response's own decoding did: the panic goes on here.
    pub fn wait(self) -> Result<T, E> {
        let deadline = self.deadline;
        match self.wait_until(deadline) {
            Ok(answer) => answer,
            Err(late) => open(late.slot.slot().give_up()),
        }
    }

    /// Blocks until the answer is there, at most until `instant`; gives the ticket back if it is not there yet. On a
    /// thread of the runtime, which must not block, the request is taken back if it still can be.
    ///
    /// # Panics
    /// As [`Ticket::wait`].
    pub fn wait_until(self, instant: Instant) -> Result<Result<T, E>, Self> {
        if on_runtime_thread() && !self.is_done() {
            return Ok(open(self.slot.slot().refuse_to_wait()));
        }
        self.slot.slot().wait_until(instant).map(open).ok_or(self)
    }

    /// The answer if it is there already, else the ticket.
    ///
    /// # Panics
    /// As [`Ticket::wait`].
    pub fn try_wait(self) -> Result<Result<T, E>, Self> {
        self.slot.slot().try_take().map(open).ok_or(self)
    }

    /// Whether the answer is there.
    pub fn is_done(&self) -> bool {
        self.slot.slot().is_done()
    }

    /// Runs `callback` with the answer, on a thread of the runtime (at once and here if the answer is there already).
    /// It must not block; if it panics, that is logged and stops nobody.
    ///
    /// It is called when the request's fate is known, or when the deadline passes before that, give or take a tick. Once the
    /// command or the read is with the state machine its fate is known, and a state machine that is slow is waited for.
    pub fn on_done(self, callback: impl FnOnce(Result<T, E>) + Send + 'static) {
        let slot = Arc::clone(&self.slot);
        self.then(move || {
            if let Some(answer) = slot.slot().try_take() {
                callback(answer.unwrap_or_else(|panic| Err(E::panicked(panic_message(&*panic)))));
            }
        });
    }

    /// Runs `next` once the answer is there, and leaves the answer where it is.
    pub(crate) fn then(&self, next: impl FnOnce() + Send + 'static) {
        self.slot.slot().when_done(Box::new(next));
    }
}

impl<T, E> std::fmt::Debug for Ticket<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// A panic of the caller's own closure goes on in its caller.
fn open<T, E>(answer: Answer<T, E>) -> Result<T, E> {
    answer.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What a panic said, as far as it can be known.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
