//! One client's connection: its socket, what waits on both sides of it, and what is under way.
//!
//! ```text
//! AwaitingHello ──► Standing ──► Parting
//!        └── refused ──────────────┘
//! ```

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::Token;
use mio::net::TcpStream;

use crate::net::{ByteQueue, Inflow, Taken, Written};
use crate::wire::frame::CLIENT_VERSION;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not said what it wants.
    AwaitingHello,
    /// Frames flow.
    Standing,
    /// We say no more once all is written. What comes is not heeded; we wait for the other side's end, since a socket that is
    /// closed with something unread in it takes what we said last along.
    Parting { since: Instant, has_said_all: bool },
}

/// See the top of this file.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the kernel said last, and where it waits: each goes its own way"
)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) stage: Stage,
    pub(super) inflow: Inflow,
    pub(super) outbox: ByteQueue,
    /// The kernel may have more for us: it says so only once, so it is remembered here until a read says otherwise.
    pub(super) readable: bool,
    /// The other side will say no more after what is there: read on to the end.
    pub(super) ending: bool,
    /// The other side has said all it will: once that is answered, we are done.
    pub(super) has_ended: bool,
    /// The kernel may take more from us.
    pub(super) writable: bool,
    /// It is among those that are written to in this turn.
    pub(super) is_to_be_written: bool,
    /// What is under way.
    pub(super) requests: usize,
    pub(super) request_bytes: usize,
    /// The room that was granted for a request that has not arrived whole.
    pub(super) granted_bytes: usize,
    /// What its inflow keeps without that.
    pub(super) kept_bytes: usize,
    /// How much room must be granted before it can be read on: that of a large request that has begun.
    pub(super) wanted_bytes: usize,
    /// It waits to be granted room.
    pub(super) is_starved: bool,
    /// Since when the request that has not arrived whole is on its way.
    pub(super) arriving_since: Option<Instant>,
    /// Since when the socket has taken nothing of what waits.
    pub(super) unread_since: Option<Instant>,
    pub(super) opened_at: Instant,
    /// It came when all connections were taken: it will be told so.
    pub(super) is_one_too_many: bool,
    /// When a request or an answer last passed.
    pub(super) active_at: Instant,
}

impl Connection {
    /// It has said the beginning of something.
    pub(super) fn new(
        socket: TcpStream,
        from: SocketAddr,
        said: Box<[u8]>,
        frame_bytes_max: usize,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            from,
            stage: Stage::AwaitingHello,
            inflow: Inflow::borrowing(CLIENT_VERSION, frame_bytes_max, said),
            outbox: ByteQueue::default(),
            // There is something to read at once: what it has said already.
            readable: true,
            ending: false,
            has_ended: false,
            writable: true,
            is_to_be_written: false,
            requests: 0,
            request_bytes: 0,
            granted_bytes: 0,
            kept_bytes: 0,
            wanted_bytes: 0,
            is_starved: false,
            arriving_since: None,
            unread_since: None,
            opened_at: now,
            is_one_too_many: false,
            active_at: now,
        }
    }

    pub(super) fn is_standing(&self) -> bool {
        self.stage == Stage::Standing
    }

    /// Whether nothing is under way and nothing waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.requests == 0 && self.outbox.is_empty()
    }

    /// One read, which may not be the last that is possible. Its inflow has borrowed a buffer.
    pub(super) fn read(&mut self) -> io::Result<Taken> {
        let taken = self.inflow.read_from(&mut self.socket)?;
        self.readable = match taken {
            // A read that was not filled has emptied the socket; what comes later is announced again. But an end that
            // was announced together with the bytes is not.
            Taken::Bytes { all, .. } => !all || self.ending,
            Taken::Nothing | Taken::End => false,
        };
        Ok(taken)
    }

    /// One write, if the kernel takes it.
    pub(super) fn write(&mut self, now: Instant) -> io::Result<Written> {
        if !self.writable {
            return Ok(Written { bytes: 0, blocked: true });
        }
        let written = self.outbox.write_to(&mut self.socket)?;
        self.writable = !written.blocked;
        if self.outbox.is_empty() {
            self.unread_since = None;
        } else if written.bytes > 0 || self.unread_since.is_none() {
            self.unread_since = Some(now);
        }
        Ok(written)
    }

    /// Puts it among those that are written to in this turn, once.
    pub(super) fn mark_to_be_written(&mut self, token: Token, to_write: &mut Vec<Token>) {
        if !std::mem::replace(&mut self.is_to_be_written, true) {
            to_write.push(token);
        }
    }

    /// All that was to be said is written: if we say no more, the other side is let know, once.
    pub(super) fn fall_silent(&mut self) {
        if let Stage::Parting { has_said_all: has_said_all @ false, .. } = &mut self.stage {
            *has_said_all = true;
            // It fails only if the connection is broken, which a read will tell.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}
