//! What comes: bytes become frames, frames become requests; a bounded amount of each connection's per turn.
//!
//! All connections share one buffer. What one of them keeps beyond its turn, of a request that has not arrived whole, is
//! counted; where too much is kept already a connection is not read, and waits its turn to be *granted* the room for one
//! request. What is granted is given back when the request is whole, or when the connection is closed for being slow: so there
//! is always somebody who gets on.

use std::mem::take;

use mio::Token;

use super::super::connection::{Connection, Stage};
use super::Hall;
use super::ending::Ending;
use crate::net::{LENT_BYTES, Next, Taken};
use crate::wire::frame::{self, CLIENT_VERSION};

/// How much is read from one connection before it is the next one's turn.
const READ_BYTES_PER_TURN: usize = 256 << 10;
/// How much one read brings at most, and a request that is no larger is kept in.
const READ_BYTES_MAX: usize = LENT_BYTES;

impl Hall {
    /// Reads from each connection that has something for us.
    pub(super) fn read_all(&mut self) {
        let mut tokens = take(&mut self.to_read);
        tokens.sort_unstable();
        tokens.dedup();
        for &token in &tokens {
            self.read(token);
        }
        tokens.clear();
        // Its allocation serves the next turn, unless this one has put something down already.
        if self.to_read.is_empty() {
            self.to_read = tokens;
        }
    }

    fn read(&mut self, token: Token) {
        let Some(mut connection) = self.connections.take(token) else { return };
        connection.inflow.borrow(take(&mut self.buffer));
        let read = self.read_on(token, &mut connection);
        self.buffer = connection.inflow.give_back();
        self.recount(&mut connection);
        match read {
            Ok(()) => {
                if self.may_read(token, &mut connection) {
                    self.to_read.push(token);
                }
                self.settle(token, connection);
                self.feed_the_starved();
            }
            Err(ending) => self.end(token, connection, &ending),
        }
    }

    fn read_on(&mut self, token: Token, connection: &mut Connection) -> Result<(), Ending> {
        let mut budget = READ_BYTES_PER_TURN;
        // What it said before it came to us, or what found no room before.
        self.digest(token, connection)?;
        while budget > 0 && self.may_read(token, connection) {
            match connection.read()? {
                Taken::Nothing => break,
                Taken::End if connection.is_standing() => {
                    connection.has_ended = true;
                    break;
                }
                Taken::End => return Err(Ending::Over),
                Taken::Bytes { count, .. } => {
                    self.metrics.bytes_received.add(count as u64);
                    budget = budget.saturating_sub(count);
                    self.digest(token, connection)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what is whole among the bytes that were read.
    fn digest(&mut self, token: Token, connection: &mut Connection) -> Result<(), Ending> {
        if connection.stage == Stage::AwaitingHello {
            self.receive_hello(token, connection)?;
        }
        connection.wanted_bytes = 0;
        while connection.is_standing() {
            let mut frames = connection.inflow.whole_frames();
            while let Some(length) = frame::announced_len(CLIENT_VERSION, &frames, usize::MAX)? {
                self.give_back_the_grant(connection);
                self.take_request(token, connection, frames.split_to(length))?;
            }
            let room = match connection.granted_bytes {
                0 => self.limits.arriving_bytes_max.saturating_sub(self.arriving_beside(connection)),
                granted => granted,
            };
            match connection.inflow.next_frame_within(room)? {
                Next::Frame(frame) => {
                    self.give_back_the_grant(connection);
                    self.take_request(token, connection, frame)?;
                }
                Next::Nothing => return Ok(()),
                // What was granted before its length was known is too little: it waits for more, and holds nothing meanwhile.
                Next::NoRoom(length) => {
                    self.give_back_the_grant(connection);
                    connection.wanted_bytes = length;
                    return Ok(());
                }
            }
        }
        if matches!(connection.stage, Stage::Parting { .. }) {
            connection.inflow.discard();
        }
        Ok(())
    }

    /// Whether a read is of use and has room. Who lacks nothing but room is remembered.
    fn may_read(&mut self, token: Token, connection: &mut Connection) -> bool {
        if !connection.readable {
            return false;
        }
        if matches!(connection.stage, Stage::Parting { .. }) {
            return true;
        }
        if connection.outbox.waiting_bytes() > self.limits.unread_bytes_max / 4 {
            return false;
        }
        let has_room = self.arriving_beside(connection) <= self.limits.arriving_bytes_max;
        if connection.wanted_bytes == 0 && (connection.granted_bytes > 0 || has_room) {
            return true;
        }
        if !connection.is_starved {
            connection.is_starved = true;
            self.starved.push_back(token);
        }
        false
    }

    /// What is kept for the requests of all others that have not arrived whole.
    fn arriving_beside(&self, connection: &Connection) -> usize {
        self.totals.granted + self.totals.kept - connection.granted_bytes - connection.kept_bytes
    }

    /// Counts what a connection keeps, now that its buffer is given back.
    fn recount(&mut self, connection: &mut Connection) {
        let held = connection.inflow.held_bytes();
        if held == 0 {
            self.give_back_the_grant(connection);
        } else if connection.granted_bytes == 0 && connection.inflow.is_within_a_large_frame() {
            self.grant(connection, held);
        }
        let kept = if connection.granted_bytes > 0 { 0 } else { held };
        self.totals.kept = self.totals.kept - connection.kept_bytes + kept;
        connection.kept_bytes = kept;
        if held == 0 || !connection.is_standing() {
            connection.arriving_since = None;
        } else if connection.arriving_since.is_none() {
            connection.arriving_since = Some(self.now);
            self.due_by(self.now + self.limits.stall_time);
        }
    }

    fn grant(&mut self, connection: &mut Connection, bytes: usize) {
        connection.granted_bytes += bytes;
        self.totals.granted += bytes;
    }

    pub(super) fn give_back_the_grant(&mut self, connection: &mut Connection) {
        self.totals.granted -= take(&mut connection.granted_bytes);
    }

    /// Grants room to those who waited longest, as far as there is any, and to one at least. What they did not say
    /// meanwhile is our own doing.
    pub(super) fn feed_the_starved(&mut self) {
        while let Some(&token) = self.starved.front() {
            if let Some(mut connection) = self.connections.take(token) {
                let wanted = connection.wanted_bytes.max(READ_BYTES_MAX);
                let granted = self.totals.granted;
                let is_granted = granted == 0 || granted + wanted <= self.limits.arriving_bytes_max;
                if is_granted {
                    self.grant(&mut connection, wanted);
                    connection.is_starved = false;
                    connection.arriving_since = connection.arriving_since.map(|_| self.now);
                    self.to_read.push(token);
                }
                self.connections.put(token, connection);
                if !is_granted {
                    return;
                }
            }
            self.starved.pop_front();
        }
    }
}
