//! How the loop comes to its end: what is queued is written, who was spoken to is let read it all, then all ends.
//!
//! A socket that is closed while something lies in it unread resets the connection, and what the other side had not read
//! yet is lost with it. So we only say that we have finished, and let the other side close: it does when it has read to the
//! end.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::Token;

use super::super::clock;
use super::super::connection::{Connection, Side};
use super::end::Ending;
use super::{Delivery, Network};
use crate::wire::hello::Lane;

/// How far the loop is on its way to its end. From [`Closing::Draining`] on nobody is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It turns as ever.
    No,
    /// Nothing more will be queued: once all is written, there is nothing to sleep for.
    Draining,
    /// All is written, and the others read it.
    Parting,
}

impl Network {
    /// Writes what waits and lets the others read it, for at most `within`, then ends all connections.
    pub(crate) fn close(&mut self, within: Duration, delivery: &dyn Delivery) -> io::Result<()> {
        let deadline = clock::now() + within;
        self.closing = Closing::Draining;
        self.turn_until(deadline, Self::is_drained, delivery)?;
        self.closing = Closing::Parting;
        for connection in self.connections.values().filter(|one| carries_our_messages(one)) {
            // It fails only if the connection is broken, which a read will tell.
            let _ = connection.socket.shutdown(Shutdown::Write);
        }
        self.turn_until(deadline, Self::has_parted, delivery)?;
        let tokens: Vec<Token> = self.connections.keys().copied().collect();
        for token in tokens {
            self.end(token, &Ending::Closing, delivery);
        }
        Ok(())
    }

    fn turn_until(
        &mut self,
        deadline: Instant,
        is_done: impl Fn(&Self) -> bool,
        delivery: &dyn Delivery,
    ) -> io::Result<()> {
        while !is_done(self) && clock::now() < deadline {
            self.due_by(deadline);
            self.turn(|| false, delivery)?;
        }
        Ok(())
    }

    /// Whether nothing waits to be written on any connection that stands. Chunks are not waited for: whoever still needs
    /// them will ask another node.
    pub(super) fn is_drained(&self) -> bool {
        let waits = |one: &Connection| {
            one.lane == Lane::Ordinary && one.standing().is_some() && !one.outbox.is_empty()
        };
        !self.connections.values().any(waits)
    }

    fn has_parted(&self) -> bool {
        !self.connections.values().any(carries_our_messages)
    }
}

/// Whether it is one on which a peer reads what we say.
fn carries_our_messages(connection: &Connection) -> bool {
    connection.lane == Lane::Ordinary
        && connection.standing().is_some()
        && matches!(connection.side, Side::Dialled(_))
}
