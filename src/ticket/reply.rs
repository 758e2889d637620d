//! The other end of a ticket: bytes in, the caller's type out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::slot::{CallError, Slot};
use super::ticket::HasSlot;
use super::{Permit, ProposeError, StopCause, Ticket};

/// Fills a ticket exactly once: that of a proposal, whose answer is bytes, or of another call. Dropped unfilled, it answers
/// that the node stopped. As long as it lives the request counts as in flight.
pub(crate) struct Reply<E = ProposeError, A: ?Sized = [u8]> {
    /// Its end and its place in flight, until it is answered.
    open: Option<(Arc<dyn Fill<E, A>>, Permit)>,
}

impl<E: CallError, A: ?Sized + 'static> Reply<E, A> {
    /// Both ends of one call. `decode` turns the answer into what the caller wants to see.
    pub(crate) fn pair<T: Send + 'static>(
        permit: Permit,
        deadline: Instant,
        decode: fn(&A) -> Result<T, E>,
    ) -> (Self, Ticket<T, E>) {
        let end = Arc::new(Decoding { slot: Slot::new(), decode });
        (Self { open: Some((Arc::clone(&end) as Arc<dyn Fill<E, A>>, permit)) }, Ticket::new(end, deadline))
    }

    /// The engine takes the request: from here on it may take effect. `false` if its caller took it back before.
    pub(crate) fn take(&self) -> bool {
        self.open.as_ref().is_some_and(|(end, _)| end.take())
    }

    /// The request certainly went nowhere: its caller may take it back again.
    pub(crate) fn put_back(&self) {
        if let Some((end, _)) = &self.open {
            end.put_back();
        }
    }

    /// The answer, as it came; of a proposal the response, as the state machine gave it.
    pub(crate) fn answer(mut self, answer: &A) {
        self.finish(|end| end.answer(answer));
    }

    /// The request failed.
    pub(crate) fn fail(mut self, error: E) {
        self.finish(|end| end.fail(error));
    }

    /// The request's deadline has passed.
    pub(crate) fn expire(mut self) {
        self.finish(|end| end.expire());
    }

    /// The node stops. Whoever hears so finds the gate shut.
    pub(crate) fn stop(mut self, cause: &StopCause) {
        if let Some((_, permit)) = &self.open {
            permit.shut_gate(cause);
        }
        self.finish(|end| end.stop(cause));
    }
}

impl<E, A: ?Sized> Reply<E, A> {
    fn finish(&mut self, how: impl FnOnce(&dyn Fill<E, A>)) {
        if let Some((end, permit)) = self.open.take() {
            // Whoever hears the answer may ask again at once, and must find room.
            drop(permit);
            how(&*end);
        }
    }
}

impl<E, A: ?Sized> Drop for Reply<E, A> {
    fn drop(&mut self) {
        if let Some(cause) = self.open.as_ref().map(|(_, permit)| permit.drop_cause()) {
            self.finish(|end| end.stop(&cause));
        }
    }
}

impl<E, A: ?Sized> std::fmt::Debug for Reply<E, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

/// A slot whose type the runtime does not know.
trait Fill<E, A: ?Sized>: Send + Sync {
    fn take(&self) -> bool;
    fn put_back(&self);
    fn answer(&self, answer: &A);
    fn fail(&self, error: E);
    fn expire(&self);
    fn stop(&self, cause: &StopCause);
}

struct Decoding<T, E, A: ?Sized> {
    slot: Slot<T, E>,
    decode: fn(&A) -> Result<T, E>,
}

impl<T: Send, E: CallError, A: ?Sized> HasSlot<T, E> for Decoding<T, E, A> {
    fn slot(&self) -> &Slot<T, E> {
        &self.slot
    }
}

impl<T: Send, E: CallError, A: ?Sized> Fill<E, A> for Decoding<T, E, A> {
    fn take(&self) -> bool {
        self.slot.take()
    }

    fn put_back(&self) {
        self.slot.put_back();
    }

    fn answer(&self, answer: &A) {
        // The caller's own code: its panic goes on in its caller, as that of a read does.
        let decode = self.decode;
        self.slot.fill(catch_unwind(AssertUnwindSafe(|| decode(answer))));
    }

    fn fail(&self, error: E) {
        self.slot.fill(Ok(Err(error)));
    }

    fn expire(&self) {
        self.slot.expire();
    }

    fn stop(&self, cause: &StopCause) {
        self.slot.stop(cause);
    }
}
