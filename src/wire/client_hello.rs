//! The handshake of a client: it says which cluster it wants, if it knows, and what it knows that a stranger does not; the
//! node says who it is, or why not.
//!
//! Its outer form, texts and optional fields are those of every handshake ([`super::greeting`]); a hello's magic is
//! `\xF3quorate`, an answer's `\xF4quorate`. So the first byte on a connection tells a client from a node.
//!
//! A hello's body: lowest and highest version of the clients' protocol 1 each; 0, or 1 and the cluster 8; token (a text).
//! An answer's: 1, version 1, cluster 8, node 8, longest frame that the node takes 4; or 0, reason 1. There is no optional
//! field yet.

use super::cursor::{WireError, Writer};
use super::frame::CLIENT_VERSION;
use super::greeting::{
    BODY_BYTES_MAX, Secret, TOKEN_BYTES_MAX, announced_len, for_each_field, open, read_node, seal, write_text,
};
use crate::types::{ClusterId, NodeId};

/// Opens a hello of a client.
const HELLO_MAGIC: [u8; 8] = *b"\xF3quorate";
/// Opens the answer.
const ANSWER_MAGIC: [u8; 8] = *b"\xF4quorate";
/// The versions of the clients' protocol that this build speaks.
pub(crate) const CLIENT_VERSIONS: (u8, u8) = (CLIENT_VERSION, CLIENT_VERSION);

const _: () = assert!(13 + TOKEN_BYTES_MAX <= BODY_BYTES_MAX, "every hello fits");

/// Who comes, and where it means to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The protocol versions it speaks, from the lowest to the highest.
    pub(crate) versions: (u8, u8),
    /// The cluster it belongs to; `None`: whichever it finds, and learns from the answer.
    pub(crate) cluster: Option<ClusterId>,
    /// What it knows and a stranger does not.
    pub(crate) token: Secret,
}

/// What the node says to a [`ClientHello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientWelcome {
    /// Frames may follow.
    Accepted {
        /// Their version.
        version: u8,
        /// The node's cluster.
        cluster: ClusterId,
        /// The node.
        node: NodeId,
        /// The longest frame that the node takes, header included.
        frame_bytes_max: u32,
    },
    /// Nothing may follow.
    Refused(ClientReason),
}

/// Why a node will not talk to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientReason {
    /// The hello makes no sense.
    #[error("the hello is malformed")]
    Malformed,
    /// The ranges of versions do not overlap.
    #[error("no protocol version in common: upgrade the older of the two")]
    NoCommonVersion,
    /// The tokens differ.
    #[error("the token is wrong: a client must be given that of the cluster")]
    WrongToken,
    /// The node belongs to another cluster.
    #[error("the node belongs to another cluster")]
    OtherCluster,
    /// The node waits to be added to a cluster.
    #[error("the node belongs to no cluster yet")]
    NoCluster,
    /// Only nodes are served there.
    #[error("the node serves no clients: it was started without a server")]
    NoServer,
    /// All connections that the node has for clients are taken.
    #[error("the node has no connection left for another client")]
    TooMany,
    /// The node stops.
    #[error("the node stops")]
    Stopping,
    /// A reason of a later version.
    #[error("a reason that only a later version knows ({0})")]
    Unknown(u8),
}

impl ClientReason {
    fn code(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::NoCommonVersion => 2,
            Self::WrongToken => 3,
            Self::OtherCluster => 4,
            Self::NoCluster => 5,
            Self::NoServer => 6,
            Self::TooMany => 7,
            Self::Stopping => 8,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Malformed,
            2 => Self::NoCommonVersion,
            3 => Self::WrongToken,
            4 => Self::OtherCluster,
            5 => Self::NoCluster,
            6 => Self::NoServer,
            7 => Self::TooMany,
            8 => Self::Stopping,
            code => Self::Unknown(code),
        }
    }
}

impl ClientHello {
    /// Whether whoever begins with `first` may be a client, and is no node.
    pub(crate) fn begins_with(first: u8) -> bool {
        first == HELLO_MAGIC[0]
    }

    /// Appends the byte form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        seal(HELLO_MAGIC, out, |out| {
            let mut writer = Writer::new(out);
            writer.u8(self.versions.0).u8(self.versions.1).bool(self.cluster.is_some());
            if let Some(cluster) = self.cluster {
                writer.u64(cluster.0);
            }
            write_text(&mut writer, self.token.bytes());
        });
    }

    /// How long the hello is that starts with `bytes`; `None` while too little is there to say.
    pub(crate) fn announced_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        announced_len(HELLO_MAGIC, bytes)
    }

    /// Reads one whole hello.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = open(bytes)?;
        let versions = (reader.u8()?, reader.u8()?);
        let is_cluster_named = reader.bool("cluster of a client")?;
        let cluster = is_cluster_named.then(|| reader.u64().map(ClusterId)).transpose()?;
        let token = Secret::read(&mut reader)?;
        for_each_field(reader, |_, _| Ok(()))?;
        Ok(Self { versions, cluster, token })
    }

    /// The latest version that both speak.
    pub(crate) fn common_version(&self) -> Option<u8> {
        let latest = CLIENT_VERSIONS.1.min(self.versions.1);
        (latest >= CLIENT_VERSIONS.0.max(self.versions.0)).then_some(latest)
    }
}

impl ClientWelcome {
    /// Appends the byte form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        seal(ANSWER_MAGIC, out, |out| {
            let mut writer = Writer::new(out);
            match *self {
                Self::Accepted { version, cluster, node, frame_bytes_max } => {
                    writer.bool(true).u8(version).u64(cluster.0).u64(node.get()).u32(frame_bytes_max);
                }
                Self::Refused(reason) => {
                    writer.bool(false).u8(reason.code());
                }
            }
        });
    }

    /// How long the answer is that starts with `bytes`; `None` while too little is there to say.
    pub(crate) fn announced_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        announced_len(ANSWER_MAGIC, bytes)
    }

    /// Reads one whole answer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = open(bytes)?;
        let welcome = if reader.bool("answer to a client's hello")? {
            Self::Accepted {
                version: reader.u8()?,
                cluster: ClusterId(reader.u64()?),
                node: read_node(&mut reader)?,
                frame_bytes_max: reader.u32()?,
            }
        } else {
            Self::Refused(ClientReason::from_code(reader.u8()?))
        };
        for_each_field(reader, |_, _| Ok(()))?;
        Ok(welcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::greeting::PREFIX_BYTES;
    use crate::wire::hello::Hello;

    fn hello() -> ClientHello {
        ClientHello { versions: (1, 3), cluster: Some(ClusterId(11)), token: Secret::new(b"sesame".to_vec()) }
    }

    fn encoded(hello: &ClientHello) -> Vec<u8> {
        let mut out = Vec::new();
        hello.encode(&mut out);
        out
    }

    fn welcomes() -> Vec<ClientWelcome> {
        let accepted = ClientWelcome::Accepted {
            version: 1,
            cluster: ClusterId(11),
            node: NodeId::new(2).unwrap(),
            frame_bytes_max: 1 << 20,
        };
        let refused = [1, 2, 3, 4, 5, 6, 7, 8, 77].map(ClientReason::from_code).map(ClientWelcome::Refused);
        std::iter::once(accepted).chain(refused).collect()
    }

    #[test]
    fn a_hello_and_every_answer_come_back_as_they_were() {
        for cluster in [Some(ClusterId(11)), None] {
            let hello = ClientHello { cluster, ..hello() };
            let bytes = encoded(&hello);
            assert_eq!(ClientHello::announced_len(&bytes), Ok(Some(bytes.len())));
            assert_eq!(ClientHello::decode(&bytes), Ok(hello));
        }

        for welcome in welcomes() {
            let mut bytes = Vec::new();
            welcome.encode(&mut bytes);
            assert_eq!(ClientWelcome::announced_len(&bytes), Ok(Some(bytes.len())));
            assert_eq!(ClientWelcome::decode(&bytes), Ok(welcome));
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_must_be_whole() {
        let with_tail = |tail: &[u8]| {
            let mut body = encoded(&hello()).split_off(PREFIX_BYTES);
            body.extend_from_slice(tail);
            let mut out = Vec::new();
            seal(HELLO_MAGIC, &mut out, |out| out.extend_from_slice(&body));
            ClientHello::decode(&out)
        };

        assert_eq!(with_tail(&[9, 0, 3, 0, 1, 2, 3, 8, 0, 0, 0]), Ok(hello()));
        assert!(with_tail(&[9, 0, 3, 0, 1, 2]).is_err());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_passes() {
        let mut welcome = Vec::new();
        welcomes()[0].encode(&mut welcome);
        for cut in 0..encoded(&hello()).len() {
            assert!(ClientHello::decode(&encoded(&hello())[..cut]).is_err(), "cut at {cut}");
        }
        let judge = |bytes: &[u8]| ClientHello::decode(bytes).map(drop);
        check_flips(&encoded(&hello()), ClientHello::announced_len, judge);
        let judge = |bytes: &[u8]| ClientWelcome::decode(bytes).map(drop);
        check_flips(&welcome, ClientWelcome::announced_len, judge);
    }

    fn check_flips(
        good: &[u8],
        announced_len: impl Fn(&[u8]) -> Result<Option<usize>, WireError>,
        decode: impl Fn(&[u8]) -> Result<(), WireError>,
    ) {
        for bit in 0..good.len() * 8 {
            let mut flipped = good.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_whole = announced_len(&flipped) == Ok(Some(flipped.len()));
            assert!(!is_whole || decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_client_and_a_node_are_told_apart_by_the_first_byte() {
        let client = encoded(&hello());

        assert!(ClientHello::begins_with(client[0]));
        assert!(Hello::announced_len(&client[..1]).is_err());
        assert!(!ClientHello::begins_with(b'\xF1'), "a node");
        assert!(!ClientHello::begins_with(b'G'), "a browser");
    }

    #[test]
    fn the_latest_version_that_both_speak_is_taken() {
        let speaks = |lowest, highest| ClientHello { versions: (lowest, highest), ..hello() };

        assert_eq!(speaks(1, 1).common_version(), Some(1));
        assert_eq!(speaks(0, 9).common_version(), Some(1));
        assert_eq!(speaks(2, 9).common_version(), None);
        assert_eq!(speaks(0, 0).common_version(), None);
        assert_eq!(speaks(9, 0).common_version(), None);
    }

    proptest::proptest! {
        /// With the checksum made good: what a hostile stranger could send.
        #[test]
        fn garbage_in_a_hello_or_an_answer_never_panics(
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        ) {
            let sealed = |magic| {
                let mut out = Vec::new();
                seal(magic, &mut out, |out| out.extend_from_slice(&body));
                out
            };
            if let Ok(hello) = ClientHello::decode(&sealed(HELLO_MAGIC)) {
                proptest::prop_assert_eq!(ClientHello::decode(&encoded(&hello)), Ok(hello));
            }
            let _ = ClientWelcome::decode(&sealed(ANSWER_MAGIC));
        }
    }
}
