//! What comes: bytes become frames, frames become requests; a bounded amount of each connection's per turn.
//!
//! All connections share one buffer. What a connection keeps beyond its turn, of a request that has not arrived whole, is
//! counted; where too much is kept already a connection waits until there is room, in the order in which they came.

use std::mem::take;

use mio::Token;

use super::super::connection::{Connection, Stage};
use super::Hall;
use super::ending::Ending;
use crate::net::{Next, Taken};

/// How much is read from one connection before it is the next one's turn.
const READ_BYTES_PER_TURN: usize = 256 << 10;

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
        while connection.is_standing() {
            let room = self.limits.arriving_bytes_max.saturating_sub(self.held_by_others(connection));
            connection.wanted_bytes = 0;
            match connection.inflow.next_frame_within(room)? {
                Next::Frame(frame) => self.take_request(token, connection, frame)?,
                Next::Nothing => return Ok(()),
                Next::NoRoom(length) => {
                    connection.wanted_bytes = length;
                    return Ok(());
                }
            }
        }
        if matches!(connection.stage, Stage::Parting { .. }) {
            connection.inflow.discard();
            connection.wanted_bytes = 0;
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
        // Room for a large request was set aside when it began.
        let needed = self.held_by_others(connection) + connection.wanted_bytes;
        if connection.inflow.is_within_a_large_frame() || needed <= self.limits.arriving_bytes_max {
            return true;
        }
        if !connection.is_starved {
            connection.is_starved = true;
            self.starved.push_back(token);
        }
        false
    }

    fn held_by_others(&self, connection: &Connection) -> usize {
        self.totals.arriving_bytes - connection.held_bytes
    }

    /// Counts what a connection keeps, now that its buffer is given back.
    fn recount(&mut self, connection: &mut Connection) {
        let held = connection.inflow.held_bytes();
        self.totals.arriving_bytes = self.held_by_others(connection) + held;
        connection.held_bytes = held;
        if held == 0 || !connection.is_standing() {
            connection.arriving_since = None;
        } else if connection.arriving_since.is_none() {
            connection.arriving_since = Some(self.now);
            self.due_by(self.now + self.limits.stall_time);
        }
    }

    /// Lets those read on who waited longest, as far as there is room. What they did not say meanwhile is our own doing.
    pub(super) fn feed_the_starved(&mut self) {
        let mut room = self.limits.arriving_bytes_max.saturating_sub(self.totals.arriving_bytes);
        while let Some(&token) = self.starved.front() {
            if let Some(connection) = self.connections.get_mut(token) {
                let Some(left) = room.checked_sub(connection.wanted_bytes.max(1)) else { return };
                room = left;
                connection.is_starved = false;
                connection.arriving_since = connection.arriving_since.map(|_| self.now);
                self.to_read.push(token);
            }
            self.starved.pop_front();
        }
    }
}
