//! The one byte form of what an entry carries, in the log and on the wire.
//!
//! The length stands outside: in the record or the frame that holds the payload. All numbers are little endian.
//!
//! | first byte | then |
//! |---|---|
//! | 0: command | the command, to the end |
//! | 1: command of another node's caller | node 8, incarnation 8, boot 8, request 8, the command, to the end |
//! | 2: no-op | nothing |
//! | 3: membership | version 1 (= 1), members 1, then for each in the order of their ids: id 8, roles 1, incarnation 8 if the roles say so, address length 2, address |
//!
//! Roles are bits: 1 votes, 2 votes in the configuration that a joint one leaves, 4 learns, 8 its incarnation is known, 16 learns
//! once a joint configuration is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::cursor::{Buffer, Reader, WireError, Writer};
use crate::types::{Boot, EntryKind, Incarnation, Member, Membership, NodeId, Origin, Payload};

const COMMAND: u8 = 0;
const FOREIGN_COMMAND: u8 = 1;
const NOOP: u8 = 2;
const MEMBERSHIP: u8 = 3;

const ORIGIN_BYTES: usize = 32;
const MEMBERSHIP_VERSION: u8 = 1;

const VOTER: u8 = 1;
const OUTGOING: u8 = 2;
const LEARNER: u8 = 4;
const INCARNATION_KNOWN: u8 = 8;
const LEARNER_NEXT: u8 = 16;

const _: () = assert!(Membership::MEMBERS_MAX <= u8::MAX as usize, "the number of members is one byte");
const _: () = assert!(Membership::ADDRESS_BYTES_MAX <= u16::MAX as usize, "a length is two bytes");

/// Appends the byte form of `payload`, [`payload_len`] bytes.
pub(crate) fn encode_payload(payload: &Payload, out: &mut Vec<u8>) {
    match payload {
        Payload::Normal { origin: None, command } => {
            Writer::new(out).u8(COMMAND).bytes(command);
        }
        Payload::Normal { origin: Some(origin), command } => {
            Writer::new(out)
                .u8(FOREIGN_COMMAND)
                .u64(origin.node.get())
                .u64(origin.incarnation.0)
                .u64(origin.boot.0)
                .u64(origin.request)
                .bytes(command);
        }
        Payload::Noop => out.push(NOOP),
        Payload::Membership(membership) => {
            out.push(MEMBERSHIP);
            encode_membership(membership, out);
        }
    }
}

/// How many bytes [`encode_payload`] appends.
pub(crate) fn payload_len(payload: &Payload) -> usize {
    match payload {
        Payload::Normal { origin: None, command } => 1 + command.len(),
        Payload::Normal { origin: Some(_), command } => 1 + ORIGIN_BYTES + command.len(),
        Payload::Noop => 1,
        Payload::Membership(membership) => 1 + membership_len(membership),
    }
}

/// Reads a payload that takes up all of `bytes`. A command stays a slice of them.
pub(crate) fn decode_payload(bytes: Bytes) -> Result<Payload, WireError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        COMMAND => Ok(Payload::Normal { origin: None, command: reader.into_rest() }),
        FOREIGN_COMMAND => {
            let origin = Box::new(decode_origin(&mut reader)?);
            Ok(Payload::Normal { origin: Some(origin), command: reader.into_rest() })
        }
        NOOP => reader.finish("no-op").map(|()| Payload::Noop),
        MEMBERSHIP => {
            let membership = decode_membership(&mut reader)?;
            reader.finish("membership")?;
            Ok(Payload::Membership(Arc::new(membership)))
        }
        _ => Err(WireError::Invalid { what: "kind of entry" }),
    }
}

/// What consensus must know of the payload in `bytes`, and the size that flow control counts: as
/// [`decode_payload`] and [`Entry::meta`](crate::types::Entry::meta), without an allocation for a command.
pub(crate) fn decode_kind(bytes: &[u8]) -> Result<(EntryKind, u32), WireError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        COMMAND => Ok((EntryKind::Normal, reader.remaining() as u32)),
        FOREIGN_COMMAND => {
            decode_origin(&mut reader)?;
            Ok((EntryKind::Normal, reader.remaining() as u32))
        }
        NOOP => reader.finish("no-op").map(|()| (EntryKind::Noop, 0)),
        MEMBERSHIP => {
            let membership = Arc::new(decode_membership(&mut reader)?);
            reader.finish("membership")?;
            let bytes = membership.approximate_bytes();
            Ok((EntryKind::Membership(membership), bytes))
        }
        _ => Err(WireError::Invalid { what: "kind of entry" }),
    }
}

fn decode_origin<B: Buffer>(reader: &mut Reader<B>) -> Result<Origin, WireError> {
    Ok(Origin {
        node: NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what: "node of an origin" })?,
        incarnation: Incarnation(reader.u64()?),
        boot: Boot(reader.u64()?),
        request: reader.u64()?,
    })
}

/// Appends the byte form of `membership`, which says itself where it ends.
pub(crate) fn encode_membership(membership: &Membership, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u8(MEMBERSHIP_VERSION).u8(membership.members().count() as u8);
    for (id, member) in membership.members() {
        writer.u64(id.get()).u8(roles(membership, id, member));
        if let Some(incarnation) = member.incarnation {
            writer.u64(incarnation.0);
        }
        writer.u16(member.address.len() as u16).bytes(member.address.as_bytes());
    }
}

fn roles(membership: &Membership, id: NodeId, member: &Member) -> u8 {
    let bit = |role: u8, list: &[NodeId]| if list.contains(&id) { role } else { 0 };
    bit(VOTER, membership.voters())
        | bit(OUTGOING, membership.outgoing())
        | bit(LEARNER, membership.learners())
        | bit(LEARNER_NEXT, membership.learners_next())
        | if member.incarnation.is_some() { INCARNATION_KNOWN } else { 0 }
}

/// How many bytes [`encode_membership`] appends.
pub(super) fn membership_len(membership: &Membership) -> usize {
    let member_len = |member: &Member| 11 + member.address.len() + member.incarnation.map_or(0, |_| 8);
    2 + membership.members().map(|(_, member)| member_len(member)).sum::<usize>()
}

/// Reads one membership from the front, and leaves what follows it.
pub(crate) fn decode_membership<B: Buffer>(reader: &mut Reader<B>) -> Result<Membership, WireError> {
    if reader.u8()? != MEMBERSHIP_VERSION {
        return Err(WireError::Invalid { what: "version of a membership" });
    }
    let count = reader.u8()?;
    if usize::from(count) > Membership::MEMBERS_MAX {
        let (length, max) = (u64::from(count), Membership::MEMBERS_MAX as u64);
        return Err(WireError::TooLong { what: "list of members", length, max });
    }
    let (mut voters, mut outgoing, mut learners) = (Vec::new(), Vec::new(), Vec::new());
    let mut learners_next = Vec::new();
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let (id, roles, member) = decode_member(reader)?;
        if members.last_key_value().is_some_and(|(&last, _)| last >= id) {
            return Err(WireError::Invalid { what: "order of the members" });
        }
        let lists = [
            (VOTER, &mut voters),
            (OUTGOING, &mut outgoing),
            (LEARNER, &mut learners),
            (LEARNER_NEXT, &mut learners_next),
        ];
        for (_, list) in lists.into_iter().filter(|(role, _)| roles & role != 0) {
            list.push(id);
        }
        members.insert(id, member);
    }
    Membership::new(voters, outgoing, learners, members)
        .and_then(|membership| membership.with_learners_next(learners_next))
        .map_err(|_| WireError::Invalid { what: "membership" })
}

fn decode_member<B: Buffer>(reader: &mut Reader<B>) -> Result<(NodeId, u8, Member), WireError> {
    let id = NodeId::new(reader.u64()?).ok_or(WireError::Invalid { what: "id of a member" })?;
    let roles = reader.u8()?;
    if roles & !(VOTER | OUTGOING | LEARNER | LEARNER_NEXT | INCARNATION_KNOWN) != 0 {
        return Err(WireError::Invalid { what: "role of a member" });
    }
    let incarnation = if roles & INCARNATION_KNOWN == 0 { None } else { Some(Incarnation(reader.u64()?)) };
    let length = reader.u16()?;
    if usize::from(length) > Membership::ADDRESS_BYTES_MAX {
        let max = Membership::ADDRESS_BYTES_MAX as u64;
        return Err(WireError::TooLong { what: "address of a member", length: u64::from(length), max });
    }
    let address = reader.bytes(usize::from(length))?;
    let address = str::from_utf8(address.as_ref())
        .map_err(|_| WireError::Invalid { what: "address of a member" })?
        .to_owned();
    Ok((id, roles, Member { address, incarnation }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, LogPosition};

    fn id(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    fn member(address: &str, incarnation: Option<u64>) -> Member {
        Member { address: address.to_owned(), incarnation: incarnation.map(Incarnation) }
    }

    fn joint_membership() -> Membership {
        let members = [
            (id(1), member("one:7001", Some(11))),
            (id(2), member("two:7002", None)),
            (id(3), member("[::1]:7003", Some(33))),
        ];
        let joint = Membership::new(vec![id(1)], vec![id(1), id(2)], vec![id(3)], members.into()).unwrap();
        joint.with_learners_next(vec![id(2)]).unwrap()
    }

    fn origin() -> Origin {
        Origin { node: id(9), incarnation: Incarnation(8), boot: Boot(7), request: 6 }
    }

    fn payloads() -> Vec<Payload> {
        vec![
            Payload::Noop,
            Payload::Normal { origin: None, command: Bytes::new() },
            Payload::Normal { origin: None, command: Bytes::from_static(b"set a 1") },
            Payload::Normal { origin: Some(Box::new(origin())), command: Bytes::from_static(b"set b 2") },
            Payload::Membership(Arc::new(joint_membership())),
        ]
    }

    fn kind_of(payload: &Payload) -> (EntryKind, u32) {
        let meta = Entry { position: LogPosition::ZERO, payload: payload.clone() }.meta();
        (meta.kind, meta.bytes)
    }

    fn encoded(payload: &Payload) -> Vec<u8> {
        let mut out = Vec::new();
        encode_payload(payload, &mut out);
        out
    }

    #[test]
    fn every_payload_comes_back_as_it_was_and_has_the_length_foretold() {
        for payload in payloads() {
            let bytes = encoded(&payload);

            assert_eq!(bytes.len(), payload_len(&payload), "{payload:?}");
            assert_eq!(decode_kind(&bytes), Ok(kind_of(&payload)));
            assert_eq!(decode_payload(Bytes::from(bytes)), Ok(payload));
        }
    }

    #[test]
    fn a_command_is_not_copied_out_of_its_buffer() {
        let bytes = Bytes::from(encoded(&payloads()[2]));

        let Ok(Payload::Normal { command, .. }) = decode_payload(bytes.clone()) else {
            panic!("a command");
        };

        assert_eq!(command.as_ptr(), bytes[1..].as_ptr());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_of_a_membership_passes_for_the_same() {
        let payload = &payloads()[4];
        let good = encoded(payload);
        for cut in 0..good.len() {
            assert!(decode_payload(Bytes::copy_from_slice(&good[..cut])).is_err(), "cut at {cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode_payload(Bytes::from(flipped)).as_ref(), Ok(payload), "bit {bit}");
        }
    }

    #[test]
    fn a_membership_beyond_the_limits_is_refused_before_it_is_read() {
        let too_many = [MEMBERSHIP, MEMBERSHIP_VERSION, 65];
        assert!(matches!(
            decode_payload(Bytes::copy_from_slice(&too_many)),
            Err(WireError::TooLong { what: "list of members", length: 65, max: 64 })
        ));

        let mut long_address = vec![MEMBERSHIP, MEMBERSHIP_VERSION, 1];
        Writer::new(&mut long_address).u64(1).u8(VOTER).u16(257);
        assert!(matches!(
            decode_payload(Bytes::from(long_address)),
            Err(WireError::TooLong { what: "address of a member", length: 257, max: 256 })
        ));
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        for bytes in [&[][..], &[4], &[NOOP, 0], &[FOREIGN_COMMAND, 1, 2], &[MEMBERSHIP, 2, 0]] {
            assert!(decode_payload(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
