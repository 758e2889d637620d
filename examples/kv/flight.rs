//! How much of one connection is under way: its reader waits here when it is too far ahead of its writer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::limits::IN_FLIGHT_BYTES_MAX;

/// Shared by the reader and the writer of a connection. Requests are numbered from 1 in the order of their arrival, and
/// answered in that order.
#[derive(Default)]
pub(crate) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    answered: u64,
    bytes: usize,
    over: bool,
}

impl Flight {
    /// Waits until `bytes` more may be under way; `false` if the writer is gone.
    pub(crate) fn admit(&self, bytes: usize) -> bool {
        let full = |state: &State| state.bytes > 0 && state.bytes.saturating_add(bytes) > IN_FLIGHT_BYTES_MAX;
        let mut state = self.wait_while(full);
        state.bytes += bytes;
        !state.over
    }

    /// Waits until request `number` is answered; `false` if the writer is gone.
    pub(crate) fn wait_for(&self, number: u64) -> bool {
        !self.wait_while(|state| state.answered < number).over
    }

    /// How many requests are answered.
    pub(crate) fn answered(&self) -> u64 {
        self.lock().answered
    }

    /// One more request is answered, and its bytes are free.
    pub(crate) fn land(&self, bytes: usize) {
        let mut state = self.lock();
        state.answered += 1;
        state.bytes -= bytes;
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing will be answered any more.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_one();
    }

    fn wait_while(&self, mut condition: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let waits = |state: &mut State| !state.over && condition(state);
        self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_reader_waits_for_room() {
        let flight = Arc::new(Flight::default());
        assert!(flight.admit(IN_FLIGHT_BYTES_MAX));

        let reader = thread::spawn({
            let flight = Arc::clone(&flight);
            move || flight.admit(1).then(|| flight.answered())
        });
        flight.land(IN_FLIGHT_BYTES_MAX);

        assert_eq!(reader.join().unwrap(), Some(1), "admitted, but not before the first was answered");
    }

    #[test]
    fn a_reader_waits_for_an_answer_no_longer_than_there_is_a_writer() {
        let flight = Arc::new(Flight::default());

        let reader = thread::spawn({
            let flight = Arc::clone(&flight);
            move || (flight.wait_for(1), flight.wait_for(2))
        });
        flight.land(0);
        flight.end();

        assert!(!reader.join().unwrap().1, "the second was never answered");
        assert!(!flight.admit(1));
    }

    #[test]
    fn one_request_is_admitted_whatever_its_size() {
        assert!(Flight::default().admit(usize::MAX));
    }
}
