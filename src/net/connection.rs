//! One TCP connection: its socket, what waits on both sides of it, and how far it has come.
//!
//! ```text
//! dialled:   Connecting ──► Greeting ──► Standing
//! accepted:            AwaitingHello ──► Standing, or Refusing
//! ```

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use super::byte_queue::Written;
use super::inflow::{Inflow, Taken};
use super::outbox::Outbox;
use crate::types::{Incarnation, NodeId};
use crate::wire::frame::PROTOCOL_VERSION;
use crate::wire::hello::Lane;
use crate::wire::peer::CHUNK_FRAME_BYTES_MAX;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// We did, to reach this peer.
    Dialled(NodeId),
    /// Somebody did, from this address.
    Accepted(SocketAddr),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialled(id) => write!(f, "which we dialled as node {id}"),
            Self::Accepted(from) => write!(f, "which came from {from}"),
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// We dialled, and wait for TCP.
    Connecting,
    /// We said hello, and wait for the answer.
    Greeting,
    /// Somebody came, and has not said who it is.
    AwaitingHello,
    /// Frames flow.
    Standing(Standing),
    /// Our refusal is being written; then we close.
    Refusing,
}

/// Who the other side has proved to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) peer: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) since: Instant,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) side: Side,
    /// What it carries; of a stranger that is not known before its hello.
    pub(super) lane: Lane,
    pub(super) stage: Stage,
    pub(super) inflow: Inflow,
    pub(super) outbox: Outbox,
    /// The kernel may have more for us: it says so only once, so it is remembered here until a read says otherwise.
    pub(super) readable: bool,
    /// The other side will say no more after what is there: read on to the end.
    pub(super) ending: bool,
    /// The kernel may take more from us.
    pub(super) writable: bool,
    pub(super) opened_at: Instant,
    pub(super) heard_at: Instant,
    pub(super) spoke_at: Instant,
    /// When a chunk was last queued here.
    pub(super) used_at: Instant,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        side: Side,
        lane: Lane,
        frame_bytes_max: usize,
        queue_bytes_max: usize,
        now: Instant,
    ) -> Self {
        let stage = match side {
            Side::Dialled(_) => Stage::Connecting,
            Side::Accepted(_) => Stage::AwaitingHello,
        };
        Self {
            socket,
            side,
            lane,
            stage,
            inflow: Inflow::new(PROTOCOL_VERSION, frame_bytes_max),
            outbox: Outbox::new(queue_bytes_max),
            readable: false,
            ending: false,
            // Until the kernel says otherwise: a write that cannot be is no harm.
            writable: matches!(side, Side::Accepted(_)),
            opened_at: now,
            heard_at: now,
            spoke_at: now,
            used_at: now,
        }
    }

    /// Whether what arrives is of interest: not before TCP stands, and not after we have refused.
    pub(super) fn wants_to_read(&self) -> bool {
        self.readable && !matches!(self.stage, Stage::Connecting | Stage::Refusing)
    }

    /// Who the other side has proved to be, if it has.
    pub(super) fn standing(&self) -> Option<Standing> {
        match self.stage {
            Stage::Standing(standing) => Some(standing),
            _ => None,
        }
    }

    /// The handshake is over: frames may flow.
    pub(super) fn stand(&mut self, peer: NodeId, incarnation: Incarnation, now: Instant) {
        self.stage = Stage::Standing(Standing { peer, incarnation, since: now });
        match self.lane {
            Lane::Ordinary => self.inflow.widen(),
            Lane::Bulk => self.inflow.expect_large(CHUNK_FRAME_BYTES_MAX),
        }
    }

    /// Whether TCP has connected by now; an error if it never will.
    pub(super) fn has_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One read, which may not be the last that is possible.
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

    /// One write, if there is anything to write and the kernel takes it.
    pub(super) fn write(&mut self, now: Instant) -> io::Result<Written> {
        if !self.writable {
            return Ok(Written { bytes: 0, blocked: true });
        }
        let written = self.outbox.write_to(&mut self.socket)?;
        self.writable = !written.blocked;
        if written.bytes > 0 {
            self.spoke_at = now;
        }
        Ok(written)
    }
}
