//! What waits leaves: one vectored write on each connection for which something waits.

use std::mem::take;

use mio::Token;

use super::super::connection::Connection;
use super::Hall;
use super::ending::Ending;
use crate::net::Written;

/// How many blocks are kept for connections that need one: of 64 KiB each.
const SPARE_BLOCKS_MAX: usize = 16;

impl Hall {
    pub(super) fn write_all(&mut self) {
        let mut tokens = take(&mut self.to_write);
        for &token in &tokens {
            self.write(token);
        }
        tokens.clear();
        // Its allocation serves the next turn, unless this one has put something down already.
        if self.to_write.is_empty() {
            self.to_write = tokens;
        }
    }

    fn write(&mut self, token: Token) {
        let Some(mut connection) = self.connections.take(token) else { return };
        connection.is_to_be_written = false;
        match self.write_once(&mut connection) {
            Err(ending) => self.end(token, connection, &ending),
            Ok(written) => {
                if connection.outbox.is_empty() {
                    connection.active_at = self.now;
                } else if !written.blocked {
                    connection.mark_to_be_written(token, &mut self.to_write);
                } else {
                    self.due_by(self.now + self.limits.stall_time);
                }
                // It may not have been read because it did not read.
                if connection.readable {
                    self.to_read.push(token);
                }
                self.settle(token, connection);
            }
        }
    }

    /// Writes until all is written or the kernel takes no more.
    pub(super) fn flush(&mut self, connection: &mut Connection) -> Result<(), Ending> {
        while !connection.outbox.is_empty() && !self.write_once(connection)?.blocked {}
        Ok(())
    }

    fn write_once(&mut self, connection: &mut Connection) -> Result<Written, Ending> {
        if connection.outbox.is_empty() {
            return Ok(Written { bytes: 0, blocked: false });
        }
        let written = connection.write(self.now)?;
        self.totals.unread -= written.bytes;
        self.metrics.bytes_sent.add(written.bytes as u64);
        self.metrics.socket_writes.add(u64::from(written.bytes > 0));
        Ok(written)
    }

    /// Keeps a connection's spare block for whoever needs one next.
    pub(super) fn put_aside(&mut self, connection: &mut Connection) {
        if let Some(block) = connection.outbox.rest()
            && self.spare_blocks.len() < SPARE_BLOCKS_MAX
        {
            self.spare_blocks.push(block);
        }
    }

    /// If all together leave too much unread, whoever leaves most goes.
    pub(super) fn cut_off_hoarders(&mut self) {
        while self.totals.unread > self.limits.unread_bytes_total_max {
            let hoarder = self.connections.iter().max_by_key(|(_, one)| one.outbox.waiting_bytes());
            let Some(token) = hoarder.map(|(token, _)| token) else { return };
            let Some(connection) = self.connections.take(token) else { return };
            let unread = connection.outbox.waiting_bytes();
            self.end(token, connection, &Ending::NeverReads { unread });
        }
    }
}
