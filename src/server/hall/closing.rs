//! How the whole comes to its end: nobody new is let in, what comes is refused, what is under way is answered, and who was
//! answered is let read it.

use std::time::{Duration, Instant};

use super::super::connection::Stage;
use super::Hall;
use super::ending::Ending;

/// How long clients have to read their last answers when the node stops by itself.
const AFTER_THE_NODE: Duration = Duration::from_secs(1);

impl Hall {
    /// Ends all by `deadline`, and sooner if all is answered.
    pub(super) fn close(&mut self, deadline: Instant) {
        let deadline = self.close_by.map_or(deadline, |by| by.min(deadline));
        self.close_by = Some(deadline);
        self.due_by(deadline);
        for token in self.connections.tokens() {
            let Some(connection) = self.connections.take(token) else { continue };
            if connection.stage == Stage::AwaitingHello {
                self.end(token, connection, &Ending::Over);
            } else {
                self.settle(token, connection);
            }
        }
    }

    /// The node has stopped: what it was asked is answered, or will be soon.
    pub(super) fn close_soon(&mut self) {
        self.desk.shut();
        self.close(self.now + AFTER_THE_NODE);
    }

    pub(super) fn is_over(&self) -> bool {
        self.close_by.is_some_and(|by| self.connections.is_empty() || by <= self.now)
    }

    /// Whoever is still there has had its time.
    pub(super) fn end_all(&mut self) {
        for token in self.connections.tokens() {
            if let Some(connection) = self.connections.take(token) {
                self.end(token, connection, &Ending::Over);
            }
        }
    }
}
