//! Why an operator's wish was refused. Each reason comes back as the variant it was: what a leader says to a follower's
//! operator is what it would say to its own.
//!
//! | reason | change refused | transfer refused | membership invalid |
//! |---|---|---|---|
//! | 0 | not leader | not leader | no voters |
//! | 1 | not ready | not a voter: node 8 | duplicate: node 8 |
//! | 2 | in progress: index 8 | leads already: node 8 | shared address: address |
//! | 3 | changed: index 8 | in progress: node 8 | voter and learner: node 8 |
//! | 4 | unknown node: node 8 | nobody | no role: node 8 |
//! | 5 | already a member: node 8 | | no address: node 8 |
//! | 6 | not a learner: node 8 | | bad address: node 8, address |
//! | 7 | not a voter: node 8 | | too many: count 8 |
//! | 8 | lags: node 8, bytes 8, limit 8 | | |
//! | 9 | would lose quorum: connected 8, needed 8 | | |
//! | 10 | no change | | |
//! | 11 | invalid: the last column | | |
//! | 12 | transferring | | |
//! | 13 | unknown directory: node 8, index 8 | | |
//!
//! An address that was refused because it is too long is cut to 256 bytes: it is shown to a person, and never dialled.

use super::super::cursor::{WireError, Writer};
use super::super::fields::{Reader, beginning, read_address, read_index, read_node, write_address};
use crate::types::{ChangeRefused, Membership, MembershipError, NodeId, TransferRefused};

pub(super) fn encode_change_refused(refused: &ChangeRefused, writer: &mut Writer<'_>) {
    match refused {
        ChangeRefused::NotLeader => writer.u8(0),
        ChangeRefused::NotReady => writer.u8(1),
        ChangeRefused::InProgress { at } => writer.u8(2).u64(at.0),
        ChangeRefused::Changed { current } => writer.u8(3).u64(current.0),
        ChangeRefused::UnknownNode(id) => writer.u8(4).u64(id.get()),
        ChangeRefused::AlreadyMember(id) => writer.u8(5).u64(id.get()),
        ChangeRefused::NotALearner(id) => writer.u8(6).u64(id.get()),
        ChangeRefused::NotAVoter(id) => writer.u8(7).u64(id.get()),
        ChangeRefused::Lags { id, lag_bytes, limit } => {
            writer.u8(8).u64(id.get()).u64(*lag_bytes).u64(*limit)
        }
        ChangeRefused::WouldLoseQuorum { connected, needed } => writer.u8(9).u64(*connected).u64(*needed),
        ChangeRefused::NoChange => writer.u8(10),
        ChangeRefused::Invalid(error) => encode_invalid(error, writer.u8(11)),
        ChangeRefused::Transferring => writer.u8(12),
        ChangeRefused::UnknownDirectory { id, since } => writer.u8(13).u64(id.get()).u64(since.0),
    };
}

pub(super) fn decode_change_refused(reader: &mut Reader) -> Result<ChangeRefused, WireError> {
    Ok(match reader.u8()? {
        0 => ChangeRefused::NotLeader,
        1 => ChangeRefused::NotReady,
        2 => ChangeRefused::InProgress { at: read_index(reader)? },
        3 => ChangeRefused::Changed { current: read_index(reader)? },
        4 => ChangeRefused::UnknownNode(node(reader)?),
        5 => ChangeRefused::AlreadyMember(node(reader)?),
        6 => ChangeRefused::NotALearner(node(reader)?),
        7 => ChangeRefused::NotAVoter(node(reader)?),
        8 => ChangeRefused::Lags { id: node(reader)?, lag_bytes: reader.u64()?, limit: reader.u64()? },
        9 => ChangeRefused::WouldLoseQuorum { connected: reader.u64()?, needed: reader.u64()? },
        10 => ChangeRefused::NoChange,
        11 => ChangeRefused::Invalid(decode_invalid(reader)?),
        12 => ChangeRefused::Transferring,
        13 => ChangeRefused::UnknownDirectory { id: node(reader)?, since: read_index(reader)? },
        _ => return Err(WireError::Invalid { what: "reason of a refused change" }),
    })
}

pub(super) fn encode_transfer_refused(refused: &TransferRefused, writer: &mut Writer<'_>) {
    match refused {
        TransferRefused::NotLeader => writer.u8(0),
        TransferRefused::NotAVoter(id) => writer.u8(1).u64(id.get()),
        TransferRefused::LeadsAlready(id) => writer.u8(2).u64(id.get()),
        TransferRefused::InProgress { to } => writer.u8(3).u64(to.get()),
        TransferRefused::Nobody => writer.u8(4),
    };
}

pub(super) fn decode_transfer_refused(reader: &mut Reader) -> Result<TransferRefused, WireError> {
    Ok(match reader.u8()? {
        0 => TransferRefused::NotLeader,
        1 => TransferRefused::NotAVoter(node(reader)?),
        2 => TransferRefused::LeadsAlready(node(reader)?),
        3 => TransferRefused::InProgress { to: node(reader)? },
        4 => TransferRefused::Nobody,
        _ => return Err(WireError::Invalid { what: "reason of a refused transfer" }),
    })
}

fn encode_invalid<'w, 'o>(error: &MembershipError, writer: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
    match error {
        MembershipError::NoVoters => writer.u8(0),
        MembershipError::Duplicate(id) => writer.u8(1).u64(id.get()),
        MembershipError::SharedAddress(address) => write_shown(writer.u8(2), address),
        MembershipError::VoterAndLearner(id) => writer.u8(3).u64(id.get()),
        MembershipError::NoRole(id) => writer.u8(4).u64(id.get()),
        MembershipError::NoAddress(id) => writer.u8(5).u64(id.get()),
        MembershipError::BadAddress { id, address } => write_shown(writer.u8(6).u64(id.get()), address),
        MembershipError::TooMany(count) => writer.u8(7).u64(*count as u64),
    }
}

fn decode_invalid(reader: &mut Reader) -> Result<MembershipError, WireError> {
    Ok(match reader.u8()? {
        0 => MembershipError::NoVoters,
        1 => MembershipError::Duplicate(node(reader)?),
        2 => MembershipError::SharedAddress(read_address(reader)?),
        3 => MembershipError::VoterAndLearner(node(reader)?),
        4 => MembershipError::NoRole(node(reader)?),
        5 => MembershipError::NoAddress(node(reader)?),
        6 => MembershipError::BadAddress { id: node(reader)?, address: read_address(reader)? },
        7 => MembershipError::TooMany(read_size(reader)?),
        _ => return Err(WireError::Invalid { what: "reason of an invalid membership" }),
    })
}

fn node(reader: &mut Reader) -> Result<NodeId, WireError> {
    read_node(reader, "node of a refusal")
}

fn read_size(reader: &mut Reader) -> Result<usize, WireError> {
    usize::try_from(reader.u64()?).map_err(|_| WireError::Invalid { what: "number of members" })
}

fn write_shown<'w, 'o>(writer: &'w mut Writer<'o>, address: &str) -> &'w mut Writer<'o> {
    write_address(writer, beginning(address, Membership::ADDRESS_BYTES_MAX));
    writer
}
