//! The other end of a proposal's ticket: bytes in, the caller's type out.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::slot::Slot;
use super::ticket::HasSlot;
use super::{Permit, ProposeError, StopCause, Ticket};

/// Fills a proposal's ticket exactly once. Dropped unfilled, it answers that the node stopped.
/// As long as it lives the request counts as in flight.
pub(crate) struct Reply {
    /// Its end and its place in flight, until it is answered.
    open: Option<(Arc<dyn Fill>, Permit)>,
}

impl Reply {
    /// Both ends of one proposal. `decode` turns the response's bytes into what the caller wants to see.
    pub(crate) fn pair<T: Send + 'static>(
        permit: Permit,
        deadline: Instant,
        decode: fn(&[u8]) -> Result<T, ProposeError>,
    ) -> (Self, Ticket<T, ProposeError>) {
        let end = Arc::new(Decoding { slot: Slot::new(), decode });
        (Self { open: Some((Arc::clone(&end) as Arc<dyn Fill>, permit)) }, Ticket::new(end, deadline))
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

    /// The response, as the state machine gave it.
    pub(crate) fn answer(mut self, response: &Bytes) {
        self.finish(|end| end.answer(response));
    }

    /// The request failed.
    pub(crate) fn fail(mut self, error: ProposeError) {
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

    fn finish(&mut self, how: impl FnOnce(&dyn Fill)) {
        if let Some((end, permit)) = self.open.take() {
            // Whoever hears the answer may ask again at once, and must find room.
            drop(permit);
            how(&*end);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(cause) = self.open.as_ref().map(|(_, permit)| permit.drop_cause()) {
            self.finish(|end| end.stop(&cause));
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

/// A slot whose type the runtime does not know.
trait Fill: Send + Sync {
    fn take(&self) -> bool;
    fn put_back(&self);
    fn answer(&self, response: &[u8]);
    fn fail(&self, error: ProposeError);
    fn expire(&self);
    fn stop(&self, cause: &StopCause);
}

struct Decoding<T> {
    slot: Slot<T, ProposeError>,
    decode: fn(&[u8]) -> Result<T, ProposeError>,
}

impl<T: Send> HasSlot<T, ProposeError> for Decoding<T> {
    fn slot(&self) -> &Slot<T, ProposeError> {
        &self.slot
    }
}

impl<T: Send> Fill for Decoding<T> {
    fn take(&self) -> bool {
        self.slot.take()
    }

    fn put_back(&self) {
        self.slot.put_back();
    }

    fn answer(&self, response: &[u8]) {
        // The caller's own code: its panic goes on in its caller, as that of a read does.
        let decode = self.decode;
        self.slot.fill(catch_unwind(|| decode(response)));
    }

    fn fail(&self, error: ProposeError) {
        self.slot.fill(Ok(Err(error)));
    }

    fn expire(&self) {
        self.slot.expire();
    }

    fn stop(&self, cause: &StopCause) {
        self.slot.stop(cause);
    }
}
