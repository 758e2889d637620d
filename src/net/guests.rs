//! Clients come to the same address as peers, and are told from them by the first byte they say. They are no concern of this
//! loop: their sockets are handed to whoever serves them, on another thread, so that no flood of theirs delays a heartbeat.

use std::net::SocketAddr;

use mio::net::TcpStream;

use crate::wire::client_hello::ClientReason;

/// A connection that turned out to be a client's.
#[derive(Debug)]
pub(crate) struct Guest {
    /// No loop's any more.
    pub(crate) socket: TcpStream,
    /// Whence it came.
    pub(crate) from: SocketAddr,
    /// What it said so far: the beginning of a hello, at least one byte.
    pub(crate) said: Box<[u8]>,
}

/// Who serves clients. Never blocks.
pub(crate) trait Guests: Send {
    /// Why one more may not come now, if it may not.
    fn refusal(&self) -> Option<ClientReason>;

    /// Takes over one that may come.
    fn arrive(&self, guest: Guest);
}

/// Nobody serves clients here.
#[derive(Debug)]
pub(crate) struct NoGuests;

impl Guests for NoGuests {
    fn refusal(&self) -> Option<ClientReason> {
        Some(ClientReason::NoServer)
    }

    fn arrive(&self, guest: Guest) {
        drop(guest);
    }
}
