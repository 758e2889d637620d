//! How a connection ends.

use std::io;
use std::time::Duration;

use mio::Token;

use super::super::connection::{Connection, Stage};
use super::Hall;
use crate::wire::WireError;
use crate::wire::frame::FrameError;

/// How long we wait for the other side's end once we have said all.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// Both have said what they had to say, or we have.
    Over,
    /// The network's doing, or the other side's.
    Broken(io::Error),
    /// It sent what no client would send.
    Malformed(FrameError),
    /// So many bytes wait that it does not read.
    NeverReads { unread: usize },
    /// It has read nothing for so long.
    ReadsNothing(Duration),
    /// A request has been on its way for so long.
    Stalled(Duration),
    /// It did not say in time what it wants.
    Dawdling(Duration),
    /// Nothing was asked for so long.
    Idle(Duration),
    /// Room was needed, and it had not said what it wants.
    Crowded,
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<FrameError> for Ending {
    fn from(error: FrameError) -> Self {
        Self::Malformed(error)
    }
}

impl From<WireError> for Ending {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.into())
    }
}

impl Hall {
    /// We say no more once what waits is written.
    pub(super) fn part(&mut self, connection: &mut Connection) {
        connection.stage = Stage::Parting { since: self.now, has_said_all: false };
        self.due_by(self.now + LINGER);
    }

    /// Puts a connection back into its place; or on its way out, if all is said.
    pub(super) fn settle(&mut self, token: Token, mut connection: Box<Connection>) {
        if connection.is_quiet() {
            if connection.has_ended {
                return self.end(token, connection, &Ending::Over);
            }
            if self.close_by.is_some() && connection.is_standing() {
                self.part(&mut connection);
            }
            connection.fall_silent();
            self.put_aside(&mut connection);
            self.due_by(connection.active_at + self.limits.idle_time);
        }
        self.connections.put(token, connection);
    }

    /// Closes a connection that was taken out of its place. What is under way for it stays counted until it is answered.
    pub(super) fn end(&mut self, token: Token, mut connection: Box<Connection>, ending: &Ending) {
        self.put_aside(&mut connection);
        // Closing the socket would do; this fails only for one that the kernel has let go of already.
        let _ = self.poll.registry().deregister(&mut connection.socket);
        self.totals.unread -= connection.outbox.waiting_bytes();
        self.totals.kept -= connection.kept_bytes;
        self.give_back_the_grant(&mut connection);
        self.connections.give_up(token);
        self.desk.connection_ended();
        self.metrics.connections.set(self.desk.connections() as u64);
        self.count(ending);
        self.log_ending(&connection, ending);
        self.feed_the_starved();
    }

    fn count(&self, ending: &Ending) {
        self.metrics.disconnects.increment();
        match ending {
            Ending::Malformed(_) => self.metrics.malformed.increment(),
            Ending::NeverReads { .. } | Ending::ReadsNothing(_) => self.metrics.cut_off.increment(),
            Ending::Stalled(_) | Ending::Dawdling(_) | Ending::Idle(_) => self.metrics.timed_out.increment(),
            Ending::Over | Ending::Broken(_) | Ending::Crowded => {}
        }
    }

    fn log_ending(&mut self, connection: &Connection, ending: &Ending) {
        let from = connection.from;
        let (is_its_fault, why) = match ending {
            Ending::Over => (false, "all is said".to_owned()),
            Ending::Broken(error) => (false, error.to_string()),
            Ending::Idle(time) => (false, format!("nothing was asked for {time:?}")),
            Ending::Malformed(error) => (true, error.to_string()),
            Ending::NeverReads { unread } => (true, format!("it leaves {unread} bytes of answers unread")),
            Ending::ReadsNothing(time) => (true, format!("it has read nothing for {time:?}")),
            Ending::Stalled(time) => (true, format!("a request did not arrive whole within {time:?}")),
            Ending::Dawdling(time) => (true, format!("no handshake within {time:?}")),
            Ending::Crowded => (true, "too many connections, and it had not said what it wants".to_owned()),
        };
        if !is_its_fault {
            log::debug!("the connection of the client from {from} ended: {why}");
        } else if let Some(left_out) = self.log.pass(self.now) {
            log::warn!("closed the connection of the client from {from}: {why}{left_out}");
        }
    }
}
