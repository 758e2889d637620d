//! Records: what a batch is made of.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | checksum (crc32c, salted) of all that follows |
//! | 4 | 4 | length of the body |
//! | 8 | 1 | kind |
//! | 9 | 8 | group; 0 if the record is nobody's |
//! | 17 | | the body |
//!
//! | kind | body |
//! |---|---|
//! | 1 entry | term 8, index 8, payload (its form stands in `wire::entry`) |
//! | 2 hard state | term 8, vote 8 (0: none) |
//! | 3 restatement | term 8, vote 8, starts after: term 8, index 8, last entry: term 8, index 8, compacted 1, then the membership at the start if compacted |
//! | 4 seal | number of the next segment 8, its salt 8 |
//! | 5 witness | nothing |

use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};

use super::salt::Salt;
use crate::planted::{Bug, planted};
use crate::types::{Entry, GroupId, HardState, LogIndex, LogPosition, Membership, NodeId, Payload, Term};
use crate::wire::{self, Reader, WireError, Writer};

/// How long a record's head is.
pub(super) const HEAD_BYTES: usize = 17;

/// What an entry's record takes beyond its encoded payload.
pub(super) const ENTRY_FIXED_BYTES: usize = HEAD_BYTES + 16;

const ENTRY: u8 = 1;
const HARD_STATE: u8 = 2;
const RESTATEMENT: u8 = 3;
const SEAL: u8 = 4;
const WITNESS: u8 = 5;

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// An entry. It drops everything of its group at and after its index.
    Entry { position: LogPosition, payload: &'a [u8] },
    /// A term and vote.
    HardState(HardState),
    /// All that is known of a group but its entries.
    Restatement(Restatement),
    /// This segment is full, or cut here: the log goes on in that one.
    Seal { next_number: u64, next_salt: u64 },
    /// Nothing: the header of its batch says what was durable.
    Witness,
}

/// All that is known of a group but its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restatement {
    /// The term and vote.
    pub(super) hard_state: HardState,
    /// The position before the first entry that is still needed.
    pub(super) starts_after: LogPosition,
    /// The configuration there; `None` exactly if the log is not compacted.
    pub(super) membership: Option<Arc<Membership>>,
    /// The last entry; `starts_after` if there is none.
    pub(super) last: LogPosition,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) checksum: u32,
    pub(super) body_bytes: u32,
    kind: u8,
    pub(super) group: GroupId,
}

impl Head {
    /// Reads a head; whether it is true, its checksum says.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            checksum: reader.u32()?,
            body_bytes: reader.u32()?,
            kind: reader.u8()?,
            group: GroupId(reader.u64()?),
        })
    }

    /// Whether this is the record of an entry.
    pub(super) fn is_entry(&self) -> bool {
        self.kind == ENTRY
    }

    /// Whether `record`, head and body, is what was written.
    pub(super) fn verifies(&self, record: &[u8], salt: Salt) -> bool {
        salt.checksum(&record[4..]) == self.checksum
    }

    /// What the record with this head and `body` says.
    pub(super) fn decode<'a>(&self, body: &'a [u8]) -> Result<Record<'a>, WireError> {
        let mut reader = Reader::new(body);
        match self.kind {
            ENTRY => {
                let position = position(&mut reader)?;
                Ok(Record::Entry { position, payload: reader.into_rest() })
            }
            HARD_STATE => {
                let hard_state = hard_state(&mut reader)?;
                reader.finish("hard state").map(|()| Record::HardState(hard_state))
            }
            RESTATEMENT => restatement(reader).map(Record::Restatement),
            SEAL => {
                let seal = Record::Seal { next_number: reader.u64()?, next_salt: reader.u64()? };
                reader.finish("seal").map(|()| seal)
            }
            WITNESS => reader.finish("witness").map(|()| Record::Witness),
            _ => Err(WireError::Invalid { what: "kind of record" }),
        }
    }
}

fn position(reader: &mut Reader<&[u8]>) -> Result<LogPosition, WireError> {
    Ok(LogPosition::new(Term(reader.u64()?), LogIndex(reader.u64()?)))
}

fn hard_state(reader: &mut Reader<&[u8]>) -> Result<HardState, WireError> {
    Ok(HardState { term: Term(reader.u64()?), voted_for: NodeId::new(reader.u64()?) })
}

fn restatement(mut reader: Reader<&[u8]>) -> Result<Restatement, WireError> {
    let (hard_state, starts_after, last) =
        (hard_state(&mut reader)?, position(&mut reader)?, position(&mut reader)?);
    let membership = if reader.bool("mark of a compacted log")? {
        Some(Arc::new(wire::decode_membership(&mut reader)?))
    } else {
        None
    };
    reader.finish("restatement")?;
    Ok(Restatement { hard_state, starts_after, membership, last })
}

/// How many bytes the record of an entry with `payload` takes.
pub(super) fn entry_bytes(payload: &Payload) -> usize {
    ENTRY_FIXED_BYTES + wire::payload_len(payload)
}

/// How many bytes the record of a hard state takes.
pub(super) const HARD_STATE_BYTES: usize = HEAD_BYTES + 16;

/// How many bytes the record of a restatement takes whose log is not compacted.
pub(super) const RESTATEMENT_BYTES: usize = HEAD_BYTES + 49;

/// No restatement is longer: 64 members with the longest addresses.
pub(super) const RESTATEMENT_BYTES_MAX: u64 = 20 << 10;

const _: () = assert!(
    RESTATEMENT_BYTES + 2 + Membership::MEMBERS_MAX * (19 + Membership::ADDRESS_BYTES_MAX)
        <= RESTATEMENT_BYTES_MAX as usize,
    "a restatement holds every membership"
);

/// Appends the record of an entry; returns its checksum, as all the following do.
pub(super) fn encode_entry(group: GroupId, entry: &Entry, salt: Salt, out: &mut Vec<u8>) -> u32 {
    encode(ENTRY, group, salt, out, |out| {
        Writer::new(out).u64(entry.position.term.0).u64(entry.position.index.0);
        wire::encode_payload(&entry.payload, out);
    })
}

/// Appends the record of a term and vote.
pub(super) fn encode_hard_state(group: GroupId, state: HardState, salt: Salt, out: &mut Vec<u8>) -> u32 {
    encode(HARD_STATE, group, salt, out, |out| write_hard_state(state, out))
}

/// Appends the record of a restatement.
pub(super) fn encode_restatement(
    group: GroupId,
    restated: &Restatement,
    salt: Salt,
    out: &mut Vec<u8>,
) -> u32 {
    encode(RESTATEMENT, group, salt, out, |out| {
        let forgets = planted(Bug::ForgetsToRestate);
        write_hard_state(if forgets { HardState::default() } else { restated.hard_state }, out);
        let mut writer = Writer::new(out);
        for position in [restated.starts_after, restated.last] {
            writer.u64(position.term.0).u64(position.index.0);
        }
        writer.bool(restated.membership.is_some());
        if let Some(membership) = &restated.membership {
            wire::encode_membership(membership, out);
        }
    })
}

/// Appends the record that ends a segment.
pub(super) fn encode_seal(next_number: u64, next_salt: u64, salt: Salt, out: &mut Vec<u8>) -> u32 {
    encode(SEAL, GroupId(0), salt, out, |out| {
        Writer::new(out).u64(next_number).u64(next_salt);
    })
}

/// Appends the record that says nothing.
pub(super) fn encode_witness(salt: Salt, out: &mut Vec<u8>) -> u32 {
    encode(WITNESS, GroupId(0), salt, out, |_| {})
}

fn write_hard_state(state: HardState, out: &mut Vec<u8>) {
    let vote = state.voted_for.filter(|_| !planted(Bug::ForgetsVotes));
    Writer::new(out).u64(state.term.0).u64(vote.map_or(0, NodeId::get));
}

fn encode(kind: u8, group: GroupId, salt: Salt, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> u32 {
    let start = out.len();
    Writer::new(out).u32(0).u32(0).u8(kind).u64(group.0);
    body(out);
    let record = &mut out[start..];
    let body_bytes = u32::try_from(record.len() - HEAD_BYTES).expect("a record fits its segment");
    LittleEndian::write_u32(&mut record[4..8], body_bytes);
    let checksum = salt.checksum(&record[4..]);
    LittleEndian::write_u32(&mut record[..4], checksum);
    checksum
}
