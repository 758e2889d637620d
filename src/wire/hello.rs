//! The handshake: who dials says who it is and whom it wants; who was dialled says who it is, or why not.
//!
//! Its outer form, texts and optional fields are those of every handshake ([`super::greeting`]); a hello's magic is
//! `\xF1quorate`, an answer's `\xF2quorate`. A hello's body: lowest and highest protocol version 1 each, cluster 8, node 8,
//! destination 8, incarnation 8, address (a text), token (a text). An answer's: 1, version 1, cluster 8, node 8,
//! incarnation 8; or 0, reason 1. There is one optional field:
//!
//! | tag | in | bytes | what |
//! |---|---|---|---|
//! | 1 | hello | 1 | the lane: 0 ordinary, as if the field were not there; 1 bulk, which carries chunks of snapshots alone |

use super::cursor::{WireError, Writer};
use super::greeting::{
    BODY_BYTES_MAX, Secret, TOKEN_BYTES_MAX, announced_len, for_each_field, open, read_node, read_text, seal,
    write_text,
};
use crate::types::{ClusterId, Incarnation, Membership, NodeId};

/// Opens a hello of one node to another. Clients have a magic of their own, on the same port.
const HELLO_MAGIC: [u8; 8] = *b"\xF1quorate";
/// Opens the answer.
const ANSWER_MAGIC: [u8; 8] = *b"\xF2quorate";

const _: () = assert!(
    38 + Membership::ADDRESS_BYTES_MAX + TOKEN_BYTES_MAX + LANE_FIELD_BYTES <= BODY_BYTES_MAX,
    "every hello fits"
);

/// The tag of the field that says the lane.
const LANE_TAG: u16 = 1;
/// What that field takes.
const LANE_FIELD_BYTES: usize = 5;

/// What a connection carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Everything but chunks of snapshots.
    #[default]
    Ordinary,
    /// Chunks of snapshots, and nothing else: so nothing else ever waits behind them.
    Bulk,
}

/// Who dials, and whom it means to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The protocol versions it speaks, from the lowest to the highest.
    pub(crate) versions: (u8, u8),
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Its id.
    pub(crate) node: NodeId,
    /// The node it expects at the address it dialled.
    pub(crate) destination: NodeId,
    /// Its data directory.
    pub(crate) incarnation: Incarnation,
    /// Where others reach it.
    pub(crate) address: String,
    /// What it knows and a stranger does not.
    pub(crate) token: Secret,
    /// What it will send on this connection.
    pub(crate) lane: Lane,
}

/// What the other side says to a [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Frames may follow, of this version.
    Accepted { version: u8, cluster: ClusterId, node: NodeId, incarnation: Incarnation },
    /// Nothing may follow.
    Refused(Reason),
}

/// Why a node will not talk to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// The hello makes no sense.
    #[error("the hello is malformed")]
    Malformed,
    /// The ranges of versions do not overlap.
    #[error("no protocol version in common: upgrade the older of the two")]
    NoCommonVersion,
    /// The tokens differ.
    #[error("the token is wrong: all nodes of a cluster must be given the same one")]
    WrongToken,
    /// The node belongs to another cluster.
    #[error("the node belongs to another cluster: were both started with the same list of founding nodes?")]
    OtherCluster,
    /// The hello is for another node than the one that answers at this address.
    #[error("another node is reached at this address: check the addresses of the members")]
    WrongDestination,
    /// The node has another data directory than the one the cluster knows it by.
    #[error("this node's data directory was replaced: remove it from the cluster and add it again")]
    ContradictingIncarnation,
    /// A reason of a later version.
    #[error("a reason that only a later version knows ({0})")]
    Unknown(u8),
}

/// Both, in the order in which they have their turn.
pub(crate) const LANES: [Lane; 2] = [Lane::Ordinary, Lane::Bulk];

impl Lane {
    fn from_field(bytes: &[u8]) -> Result<Self, WireError> {
        match bytes {
            [0] => Ok(Self::Ordinary),
            [1] => Ok(Self::Bulk),
            _ => Err(WireError::Invalid { what: "lane" }),
        }
    }
}

impl Reason {
    fn code(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::NoCommonVersion => 2,
            Self::WrongToken => 3,
            Self::OtherCluster => 4,
            Self::WrongDestination => 5,
            Self::ContradictingIncarnation => 6,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Malformed,
            2 => Self::NoCommonVersion,
            3 => Self::WrongToken,
            4 => Self::OtherCluster,
            5 => Self::WrongDestination,
            6 => Self::ContradictingIncarnation,
            code => Self::Unknown(code),
        }
    }
}

impl Hello {
    /// Appends the byte form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        seal(HELLO_MAGIC, out, |out| {
            let mut writer = Writer::new(out);
            writer.u8(self.versions.0).u8(self.versions.1);
            writer.u64(self.cluster.0).u64(self.node.get()).u64(self.destination.get());
            writer.u64(self.incarnation.0);
            write_text(&mut writer, self.address.as_bytes());
            write_text(&mut writer, self.token.bytes());
            if self.lane == Lane::Bulk {
                writer.u16(LANE_TAG).u16(1).u8(1);
            }
        });
    }

    /// How long the hello is that starts with `bytes`; `None` while too little is there to say.
    pub(crate) fn announced_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        announced_len(HELLO_MAGIC, bytes)
    }

    /// Reads one whole hello.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = open(bytes)?;
        let mut hello = Self {
            versions: (reader.u8()?, reader.u8()?),
            cluster: ClusterId(reader.u64()?),
            node: read_node(&mut reader)?,
            destination: read_node(&mut reader)?,
            incarnation: Incarnation(reader.u64()?),
            address: str::from_utf8(read_text(&mut reader, "address", Membership::ADDRESS_BYTES_MAX)?)
                .map_err(|_| WireError::Invalid { what: "address" })?
                .to_owned(),
            token: Secret::read(&mut reader)?,
            lane: Lane::Ordinary,
        };
        for_each_field(reader, |tag, bytes| {
            if tag == LANE_TAG {
                hello.lane = Lane::from_field(bytes)?;
            }
            Ok(())
        })?;
        Ok(hello)
    }
}

impl Answer {
    /// Appends the byte form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        seal(ANSWER_MAGIC, out, |out| {
            let mut writer = Writer::new(out);
            match *self {
                Self::Accepted { version, cluster, node, incarnation } => {
                    writer.bool(true).u8(version).u64(cluster.0).u64(node.get()).u64(incarnation.0);
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
        let answer = if reader.bool("answer to a hello")? {
            Self::Accepted {
                version: reader.u8()?,
                cluster: ClusterId(reader.u64()?),
                node: read_node(&mut reader)?,
                incarnation: Incarnation(reader.u64()?),
            }
        } else {
            Self::Refused(Reason::from_code(reader.u8()?))
        };
        for_each_field(reader, |_, _| Ok(()))?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::greeting::PREFIX_BYTES;

    fn hello() -> Hello {
        Hello {
            versions: (1, 3),
            cluster: ClusterId(11),
            node: NodeId::new(1).unwrap(),
            destination: NodeId::new(2).unwrap(),
            incarnation: Incarnation(33),
            address: "one.example:7001".into(),
            token: Secret::new(b"sesame".to_vec()),
            lane: Lane::Ordinary,
        }
    }

    fn encoded(hello: &Hello) -> Vec<u8> {
        let mut out = Vec::new();
        hello.encode(&mut out);
        out
    }

    fn answers() -> Vec<Answer> {
        let accepted = Answer::Accepted {
            version: 1,
            cluster: ClusterId(11),
            node: NodeId::new(2).unwrap(),
            incarnation: Incarnation(44),
        };
        let refused = [1, 2, 3, 4, 5, 6, 77].map(|code| Answer::Refused(Reason::from_code(code)));
        std::iter::once(accepted).chain(refused).collect()
    }

    #[test]
    fn a_hello_and_every_answer_come_back_as_they_were() {
        for lane in [Lane::Ordinary, Lane::Bulk] {
            let hello = Hello { lane, ..hello() };
            let bytes = encoded(&hello);
            assert_eq!(Hello::announced_len(&bytes), Ok(Some(bytes.len())));
            assert_eq!(Hello::decode(&bytes), Ok(hello));
        }

        for answer in answers() {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            assert_eq!(Answer::announced_len(&bytes), Ok(Some(bytes.len())));
            assert_eq!(Answer::decode(&bytes), Ok(answer));
        }
    }

    #[test]
    fn optional_fields_are_read_or_skipped_and_must_be_whole() {
        let with_tail = |tail: &[u8]| {
            let mut body = encoded(&hello()).split_off(PREFIX_BYTES);
            body.extend_from_slice(tail);
            let mut out = Vec::new();
            seal(HELLO_MAGIC, &mut out, |out| out.extend_from_slice(&body));
            Hello::decode(&out)
        };

        assert_eq!(with_tail(&[9, 0, 3, 0, 1, 2, 3, 8, 0, 0, 0]), Ok(hello()));
        assert!(with_tail(&[9, 0, 3, 0, 1, 2]).is_err());
        assert_eq!(with_tail(&[9, 0, 0, 0, 1, 0, 1, 0, 1]), Ok(Hello { lane: Lane::Bulk, ..hello() }));
        assert_eq!(with_tail(&[1, 0, 1, 0, 0]), Ok(hello()));
        for no_lane in [&[1, 0, 1, 0, 2][..], &[1, 0, 0, 0], &[1, 0, 2, 0, 1, 1]] {
            assert!(with_tail(no_lane).is_err(), "{no_lane:?}");
        }
    }

    #[test]
    fn no_cut_and_no_flipped_bit_passes() {
        let good = encoded(&hello());
        for cut in 0..good.len() {
            assert!(Hello::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let whole = Hello::announced_len(&flipped) == Ok(Some(flipped.len()));
            assert!(!whole || Hello::decode(&flipped).is_err(), "bit {bit}");
        }
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
            if let Ok(hello) = Hello::decode(&sealed(HELLO_MAGIC)) {
                proptest::prop_assert_eq!(Hello::decode(&encoded(&hello)), Ok(hello));
            }
            let _ = Answer::decode(&sealed(ANSWER_MAGIC));
        }
    }

    #[test]
    fn a_stranger_is_known_by_its_first_byte() {
        assert!(Hello::announced_len(b"G").is_err());
        assert!(Answer::announced_len(&encoded(&hello())).is_err(), "our own hello is no answer");
        assert_eq!(Hello::announced_len(&HELLO_MAGIC[..5]), Ok(None));
    }

    #[test]
    fn a_long_hello_is_refused_before_it_is_read() {
        let mut bytes = HELLO_MAGIC.to_vec();
        Writer::new(&mut bytes).u16(BODY_BYTES_MAX as u16 + 1);

        assert!(matches!(Hello::announced_len(&bytes), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn a_token_does_not_show_where_a_hello_is_printed() {
        let shown = format!("{:?}", hello());

        assert!(!shown.contains("sesame") && !shown.contains("115, 101"), "{shown}");
        assert!(shown.contains("one.example:7001"), "all else does: {shown}");
    }
}
