//! A client in the hands of a test. It knows the protocol from its description alone, byte by byte, and shares no code with
//! what it speaks to.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::scene::LONG;

/// The kinds of requests.
pub(crate) const PROPOSE: u8 = 1;
pub(crate) const PROPOSE_IN_SESSION: u8 = 2;
pub(crate) const OPEN_SESSION: u8 = 3;
pub(crate) const CLOSE_SESSION: u8 = 4;
pub(crate) const QUERY: u8 = 5;
pub(crate) const STATUS: u8 = 6;

/// The reasons for which a hello is refused.
pub(crate) const NO_COMMON_VERSION: u8 = 2;
pub(crate) const WRONG_TOKEN: u8 = 3;
pub(crate) const OTHER_CLUSTER: u8 = 4;
pub(crate) const NO_CLUSTER: u8 = 5;
pub(crate) const NO_SERVER: u8 = 6;
pub(crate) const TOO_MANY: u8 = 7;

/// The reasons for which a request comes to nothing.
pub(crate) const NOT_LEADER: u8 = 0;
pub(crate) const NO_LEADER: u8 = 1;
pub(crate) const DEADLINE_PASSED: u8 = 2;
pub(crate) const BUSY: u8 = 3;
pub(crate) const TOO_LARGE: u8 = 5;
pub(crate) const MALFORMED: u8 = 6;
pub(crate) const UNKNOWN: u8 = 8;
pub(crate) const SESSION_EXPIRED: u8 = 9;
pub(crate) const ANSWER_FORGOTTEN: u8 = 10;
pub(crate) const PANICKED: u8 = 12;
pub(crate) const STOPPED: u8 = 13;

/// What a client says first.
pub(crate) struct Hello {
    pub(crate) versions: (u8, u8),
    pub(crate) cluster: Option<u64>,
    pub(crate) token: &'static str,
    /// Behind all that this version knows.
    pub(crate) tail: &'static [u8],
}

impl Default for Hello {
    fn default() -> Self {
        Self { versions: (1, 1), cluster: None, token: "", tail: b"" }
    }
}

impl Hello {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = vec![self.versions.0, self.versions.1, u8::from(self.cluster.is_some())];
        if let Some(cluster) = self.cluster {
            body.extend(cluster.to_le_bytes());
        }
        body.extend((self.token.len() as u16).to_le_bytes());
        body.extend(self.token.as_bytes());
        body.extend(self.tail);
        let mut hello = b"\xF3quorate".to_vec();
        hello.extend((body.len() as u16).to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&hello), &body);
        hello.extend(sum.to_le_bytes());
        hello.extend(body);
        hello
    }
}

/// What the node says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    Accepted { version: u8, cluster: u64, node: u64, frame_bytes_max: u32 },
    Refused(u8),
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Cluster { leader: Option<u64>, members: BTreeMap<u64, String> },
    Response { id: u64, text: String },
    SessionOpened { id: u64, session: u64 },
    SessionClosed { id: u64 },
    Status { id: u64, node: u64, leader: Option<u64>, voters: Vec<u64> },
    Refused { id: u64, reason: u8, rest: Vec<u8> },
}

impl Said {
    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Self::Cluster { .. } => None,
            Self::Response { id, .. }
            | Self::SessionOpened { id, .. }
            | Self::SessionClosed { id }
            | Self::Status { id, .. }
            | Self::Refused { id, .. } => Some(*id),
        }
    }
}

/// A frame of the clients' protocol.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend([1, kind]);
    frame.extend(1_u64.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend(sum.to_le_bytes());
    frame.extend(body);
    frame
}

/// A request that may take as long as a test does.
pub(crate) fn request(kind: u8, id: u64, rest: &[u8]) -> Vec<u8> {
    request_within(kind, id, LONG, rest)
}

pub(crate) fn request_within(kind: u8, id: u64, within: Duration, rest: &[u8]) -> Vec<u8> {
    let nanos = within.as_nanos() as u64;
    frame(kind, &[&id.to_le_bytes()[..], &nanos.to_le_bytes(), rest].concat())
}

pub(crate) fn propose(id: u64, command: &str) -> Vec<u8> {
    request(PROPOSE, id, command.as_bytes())
}

pub(crate) fn query(id: u64, query: &str) -> Vec<u8> {
    request(QUERY, id, &[&[0], query.as_bytes()].concat())
}

/// One connection.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        stream.set_write_timeout(Some(LONG)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    /// Comes as anybody may, and hears of the cluster.
    pub(crate) fn client(address: SocketAddr) -> Self {
        let mut raw = Self::dial(address);
        raw.write(&Hello::default().bytes());
        assert!(matches!(raw.read_welcome(), Welcome::Accepted { .. }));
        assert!(matches!(raw.read(), Said::Cluster { .. }), "the first message of each connection");
        raw
    }

    /// What becomes of a hello that is refused.
    pub(crate) fn refusal(address: SocketAddr, hello: &Hello) -> Welcome {
        let mut raw = Self::dial(address);
        raw.write(&hello.bytes());
        let welcome = raw.read_welcome();
        raw.wait_for_end();
        welcome
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the node reads");
    }

    pub(crate) fn read_welcome(&mut self) -> Welcome {
        let mut head = [0; 14];
        self.0.read_exact(&mut head).expect("an answer to the hello");
        assert_eq!(&head[..8], b"\xF4quorate");
        let mut body = vec![0; usize::from(u16::from_le_bytes([head[8], head[9]]))];
        self.0.read_exact(&mut body).expect("all of the answer");
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..10]), &body);
        assert_eq!(head[10..], sum.to_le_bytes());
        let mut fields = Fields(&body);
        match fields.number::<1>() {
            1 => Welcome::Accepted {
                version: fields.number::<1>() as u8,
                cluster: fields.number::<8>(),
                node: fields.number::<8>(),
                frame_bytes_max: fields.number::<4>() as u32,
            },
            _ => Welcome::Refused(fields.number::<1>() as u8),
        }
    }

    /// The next message.
    pub(crate) fn read(&mut self) -> Said {
        self.try_read().expect("the node says something")
    }

    /// The next message; `None` at the end of all.
    pub(crate) fn try_read(&mut self) -> Option<Said> {
        let mut head = [0; 18];
        match self.0.read_exact(&mut head) {
            Err(error) if [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind()) => {
                return None;
            }
            read => read.expect("a message, or the end"),
        }
        let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize];
        self.0.read_exact(&mut body).expect("all of the message");
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..14]), &body);
        assert_eq!(head[14..], sum.to_le_bytes());
        assert_eq!((head[4], head[6]), (1, 1), "version and group");
        Some(said(head[5], Fields(&body)))
    }

    /// Word of the cluster, which must come next: who leads, and who belongs to it.
    pub(crate) fn read_cluster(&mut self) -> (Option<u64>, BTreeMap<u64, String>) {
        match self.read() {
            Said::Cluster { leader, members } => (leader, members),
            other => panic!("no word of the cluster: {other:?}"),
        }
    }

    /// Waits until it is told that `leader` leads, which must not have been told yet.
    pub(crate) fn wait_for_leader(&mut self, leader: u64) {
        while self.read_cluster().0 != Some(leader) {}
    }

    /// The answer to the next request that is answered, past word of the cluster.
    pub(crate) fn read_answer(&mut self) -> Said {
        loop {
            let said = self.read();
            if said.id().is_some() {
                return said;
            }
        }
    }

    /// The answers to the next `count` requests that are answered, by their ids.
    pub(crate) fn read_answers(&mut self, count: usize) -> BTreeMap<u64, Said> {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let said = self.read_answer();
            let before = answers.insert(said.id().expect("an answer"), said);
            assert_eq!(before, None, "answered twice");
        }
        answers
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Said {
        self.write(request);
        self.read_answer()
    }

    /// Asks, and waits for the response.
    pub(crate) fn text(&mut self, request: &[u8]) -> String {
        match self.ask(request) {
            Said::Response { text, .. } => text,
            other => panic!("not a response: {other:?}"),
        }
    }

    /// Waits until the other side has closed the connection, in whatever manner.
    pub(crate) fn wait_for_end(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert!(error.kind() == ErrorKind::ConnectionReset, "not closed: {error}");
        }
    }
}

fn said(kind: u8, mut fields: Fields<'_>) -> Said {
    match kind {
        65 => {
            let leader = fields.leader();
            let count = fields.number::<1>();
            Said::Cluster { leader, members: (0..count).map(|_| fields.member()).collect() }
        }
        66 => {
            let id = fields.number::<8>();
            Said::Response { id, text: String::from_utf8(fields.0.to_vec()).expect("a text") }
        }
        67 => Said::SessionOpened { id: fields.number::<8>(), session: fields.number::<8>() },
        68 => Said::SessionClosed { id: fields.number::<8>() },
        69 => {
            let (id, node, _term) = (fields.number::<8>(), fields.number::<8>(), fields.number::<8>());
            let leader = fields.leader();
            let (_commit, _applied) = (fields.number::<8>(), fields.number::<8>());
            let count = fields.number::<1>();
            Said::Status { id, node, leader, voters: (0..count).map(|_| fields.number::<8>()).collect() }
        }
        70 => Said::Refused {
            id: fields.number::<8>(),
            reason: fields.number::<1>() as u8,
            rest: fields.0.to_vec(),
        },
        other => panic!("no such kind of message: {other}"),
    }
}

/// What is left to be read.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn number<const WIDTH: usize>(&mut self) -> u64 {
        let (front, rest) = self.0.split_at(WIDTH);
        self.0 = rest;
        front.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn leader(&mut self) -> Option<u64> {
        (self.number::<1>() == 1).then(|| self.number::<8>())
    }

    pub(crate) fn member(&mut self) -> (u64, String) {
        let (id, length) = (self.number::<8>(), self.number::<2>() as usize);
        let (address, rest) = self.0.split_at(length);
        self.0 = rest;
        (id, String::from_utf8(address.to_vec()).expect("an address"))
    }
}
