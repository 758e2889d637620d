//! The other end of a connection, in the hands of a test: it says exactly what the test wants said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;

use super::harness::{CLUSTER, GROUP, PATIENCE, directory, id};
use crate::types::PeerMessage;
use crate::wire::client_hello::ClientWelcome;
use crate::wire::frame::{self, PROTOCOL_VERSION};
use crate::wire::greeting::Secret;
use crate::wire::hello::{Answer, Hello, Lane, Reason};
use crate::wire::peer;

/// One connection.
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    pub(super) fn dial(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Takes the next call on `listener` as node `node`, who is called.
    pub(super) fn answer(listener: &TcpListener, node: u64) -> Self {
        Self::answer_as(listener, node, node)
    }

    /// As [`Raw::answer`], and the call is for the bulk lane.
    pub(super) fn answer_bulk(listener: &TcpListener, node: u64) -> Self {
        Self::answer_on(listener, Lane::Bulk, node, node)
    }

    /// Takes the next call on `listener`, which is for `called`, as node `node` would, but accepts it all the same.
    pub(super) fn answer_as(listener: &TcpListener, called: u64, node: u64) -> Self {
        Self::answer_on(listener, Lane::Ordinary, called, node)
    }

    /// Takes the next call on `listener`, and refuses it.
    pub(super) fn refuse(listener: &TcpListener, reason: Reason) {
        let mut raw = Self::over(listener.accept().unwrap().0);
        raw.read_greeting(Hello::announced_len);
        let mut out = Vec::new();
        Answer::Refused(reason).encode(&mut out);
        raw.write(&out);
    }

    fn answer_on(listener: &TcpListener, lane: Lane, called: u64, node: u64) -> Self {
        let mut raw = Self::over(listener.accept().unwrap().0);
        let bytes = raw.read_greeting(Hello::announced_len);
        let hello = Hello::decode(&bytes).unwrap();
        assert_eq!((hello.destination, hello.lane), (id(called), lane));
        let answer = Answer::Accepted {
            version: PROTOCOL_VERSION,
            cluster: CLUSTER,
            node: id(node),
            incarnation: directory(node),
        };
        let mut out = Vec::new();
        answer.encode(&mut out);
        raw.write(&out);
        raw
    }

    /// Dials node 1 as node `node`, and is accepted.
    pub(super) fn peer(address: SocketAddr, node: u64) -> Self {
        let mut raw = Self::dial(address);
        raw.write(&encoded(&hello(node)));
        assert!(matches!(raw.read_answer(), Answer::Accepted { .. }));
        raw
    }

    /// Dials node 1 as node `node` for its bulk lane, and is accepted.
    pub(super) fn bulk(address: SocketAddr, node: u64) -> Self {
        let mut raw = Self::dial(address);
        raw.write(&encoded(&Hello { lane: Lane::Bulk, ..hello(node) }));
        assert!(matches!(raw.read_answer(), Answer::Accepted { .. }));
        raw
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(super) fn send(&mut self, message: &PeerMessage) {
        self.write(&sealed(message));
    }

    pub(super) fn read_answer(&mut self) -> Answer {
        let bytes = self.read_greeting(Answer::announced_len);
        Answer::decode(&bytes).unwrap()
    }

    pub(super) fn read_welcome(&mut self) -> ClientWelcome {
        let bytes = self.read_greeting(ClientWelcome::announced_len);
        ClientWelcome::decode(&bytes).unwrap()
    }

    /// The next message, without the pings before it.
    pub(super) fn read_message(&mut self) -> PeerMessage {
        loop {
            let mut bytes = vec![0; frame::HEADER_BYTES];
            self.0.read_exact(&mut bytes).unwrap();
            bytes.resize(frame::announced_len(PROTOCOL_VERSION, &bytes, usize::MAX).unwrap().unwrap(), 0);
            self.0.read_exact(&mut bytes[frame::HEADER_BYTES..]).unwrap();
            if let Some(message) =
                peer::decode(frame::open(PROTOCOL_VERSION, Bytes::from(bytes)).unwrap()).unwrap()
            {
                return message;
            }
        }
    }

    /// Waits until the other side has closed the connection, in whatever manner.
    pub(super) fn wait_for_end(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert!(error.kind() == std::io::ErrorKind::ConnectionReset, "not closed: {error}");
        }
    }

    fn read_greeting<E: std::fmt::Debug>(
        &mut self,
        announced_len: impl Fn(&[u8]) -> Result<Option<usize>, E>,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        while announced_len(&bytes).unwrap().is_none_or(|length| bytes.len() < length) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        bytes
    }
}

/// What node `node` says to node 1.
pub(super) fn hello(node: u64) -> Hello {
    Hello {
        versions: (PROTOCOL_VERSION, PROTOCOL_VERSION),
        cluster: CLUSTER,
        node: id(node),
        destination: id(1),
        incarnation: directory(node),
        address: "raw.example:1".into(),
        token: Secret::default(),
        lane: Lane::Ordinary,
    }
}

pub(super) fn encoded(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    hello.encode(&mut out);
    out
}

pub(super) fn sealed(message: &PeerMessage) -> Vec<u8> {
    let mut out = Vec::new();
    peer::encode(GROUP, message, &mut out);
    out
}
