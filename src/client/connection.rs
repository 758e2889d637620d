//! One connection as the kernel sees it: its socket, and what waits on both sides of it.
//!
//! ```text
//! Resolving ──► Connecting ──► Greeting ──► Open
//! ```

use std::collections::VecDeque;
use std::io;

use mio::net::TcpStream;

use super::routing::LinkId;
use crate::net::{ByteQueue, Inflow, Taken};
use crate::types::ClientRequest;
use crate::wire::client::{self, MESSAGE_BYTES_MAX};
use crate::wire::frame::CLIENT_VERSION;

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its name is being looked up.
    Resolving,
    /// We dialled, and wait for TCP.
    Connecting(TcpStream),
    /// We said hello, and wait for the answer.
    Greeting(TcpStream),
    /// Frames flow.
    Open(TcpStream),
}

/// See the top of this file.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the kernel said last, and where it waits: each goes its own way"
)]
pub(super) struct Connection {
    pub(super) address: String,
    pub(super) stage: Stage,
    pub(super) inflow: Inflow,
    pub(super) outbox: ByteQueue,
    /// Where each request ends that has not left whole, among all that was ever queued.
    ends: VecDeque<u64>,
    /// How many have.
    requests_written: u64,
    /// The kernel may have more for us: it says so only once, so it is remembered here until a read says otherwise.
    pub(super) readable: bool,
    /// The other side will say no more after what is there: read on to the end.
    pub(super) ending: bool,
    /// The kernel may take more from us.
    pub(super) writable: bool,
    /// It is among those that are written to in this turn.
    pub(super) is_to_be_written: bool,
}

impl Connection {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            stage: Stage::Resolving,
            inflow: Inflow::new(CLIENT_VERSION, MESSAGE_BYTES_MAX),
            outbox: ByteQueue::default(),
            ends: VecDeque::new(),
            requests_written: 0,
            readable: false,
            ending: false,
            writable: false,
            is_to_be_written: false,
        }
    }

    pub(super) fn socket(&mut self) -> Option<&mut TcpStream> {
        match &mut self.stage {
            Stage::Resolving => None,
            Stage::Connecting(socket) | Stage::Greeting(socket) | Stage::Open(socket) => Some(socket),
        }
    }

    /// Whether TCP has connected by now; an error if it never will.
    pub(super) fn has_connected(&self) -> io::Result<bool> {
        let Stage::Connecting(socket) = &self.stage else { return Ok(false) };
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// TCP stands.
    pub(super) fn greet(&mut self) -> io::Result<()> {
        let Stage::Connecting(socket) = std::mem::replace(&mut self.stage, Stage::Resolving) else {
            unreachable!("it was connecting")
        };
        socket.set_nodelay(true)?;
        self.writable = true;
        self.stage = Stage::Greeting(socket);
        Ok(())
    }

    /// The node has answered the hello: frames may flow.
    pub(super) fn open(&mut self) {
        let Stage::Greeting(socket) = std::mem::replace(&mut self.stage, Stage::Resolving) else {
            unreachable!("it was greeted")
        };
        self.inflow.widen();
        self.stage = Stage::Open(socket);
    }

    /// Queues a request.
    pub(super) fn push(&mut self, request: &ClientRequest) {
        self.outbox.append(client::request_len(request), |out| client::encode_request(request, out));
        self.ends.push_back(self.outbox.queued_to());
    }

    /// One read, which may not be the last that is possible.
    pub(super) fn read(&mut self) -> io::Result<Taken> {
        let (Stage::Greeting(socket) | Stage::Open(socket)) = &mut self.stage else {
            return Ok(Taken::Nothing);
        };
        let taken = self.inflow.read_from(socket)?;
        self.readable = match taken {
            // A read that was not filled has emptied the socket; what comes later is announced again. But an end that
            // was announced together with the bytes is not.
            Taken::Bytes { all, .. } => !all || self.ending,
            Taken::Nothing | Taken::End => false,
        };
        Ok(taken)
    }

    /// One write of what waits, if the kernel takes it; whether more can be written at once.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        let (Stage::Greeting(socket) | Stage::Open(socket)) = &mut self.stage else { return Ok(false) };
        if !self.writable || self.outbox.is_empty() {
            return Ok(false);
        }
        let written = self.outbox.write_to(socket)?;
        self.writable = !written.blocked;
        while self.ends.front().is_some_and(|end| *end <= self.outbox.written_to()) {
            self.ends.pop_front();
            self.requests_written += 1;
        }
        Ok(!written.blocked && !self.outbox.is_empty())
    }

    /// Puts it among those that are written to in this turn, once.
    pub(super) fn mark_to_be_written(&mut self, link: LinkId, to_write: &mut Vec<LinkId>) {
        if !std::mem::replace(&mut self.is_to_be_written, true) {
            to_write.push(link);
        }
    }

    /// How many requests have left whole. Of the others a node has nothing that it could take for a request.
    pub(super) fn requests_written(&self) -> u64 {
        self.requests_written
    }
}
