//! What time brings: the end of connections that say nothing, or not enough, or do not listen.

use std::time::{Duration, Instant};

use super::super::connection::{Connection, Stage};
use super::Hall;
use super::ending::{Ending, LINGER};

/// Connections are looked at no more often than this, however their times are spread.
const INTERVAL_MIN: Duration = Duration::from_millis(20);

impl Hall {
    /// Ends what is due, and finds out when to look again.
    pub(super) fn look_after_connections(&mut self) {
        let mut overdue = Vec::new();
        let mut next: Option<Instant> = self.close_by;
        for (token, connection) in self.connections.iter() {
            let Some((at, ending)) = self.end_of(connection) else { continue };
            if at <= self.now {
                overdue.push((token, ending));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        self.due_at = next.map(|at| at.max(self.now + INTERVAL_MIN));
        for (token, ending) in overdue {
            if let Some(connection) = self.connections.take(token) {
                self.end(token, connection, &ending);
            }
        }
    }

    /// When a connection is given up if nothing happens on it, and why. `None` while it waits for us.
    fn end_of(&self, connection: &Connection) -> Option<(Instant, Ending)> {
        let limits = &self.limits;
        let stalled = connection.arriving_since.filter(|_| !connection.is_starved);
        let unread = connection.unread_since;
        Some(match connection.stage {
            Stage::AwaitingHello => {
                (connection.opened_at + limits.handshake_time, Ending::Dawdling(limits.handshake_time))
            }
            Stage::Parting { since, .. } => (since + LINGER, Ending::Over),
            Stage::Standing => match (unread, stalled) {
                (Some(since), _) => (since + limits.stall_time, Ending::ReadsNothing(limits.stall_time)),
                (None, Some(since)) => (since + limits.stall_time, Ending::Stalled(limits.stall_time)),
                (None, None) if connection.is_quiet() => {
                    (connection.active_at + limits.idle_time, Ending::Idle(limits.idle_time))
                }
                (None, None) => return None,
            },
        })
    }
}
