//! Operators' wishes on their way to the leader, and the leader's answers.
//!
//! A wish: request 8, then
//!
//! | first byte | then |
//! |---|---|
//! | 0: change | 0, or 1 and the index of the configuration that is expected 8; the change |
//! | 1: transfer | 0, or 1 and the node 8 |
//!
//! A change:
//!
//! | first byte | then |
//! |---|---|
//! | 0: add a learner | id 8, address |
//! | 1: promote, 2: demote, 3: remove | id 8 |
//! | 4: replace | old 8, new 8, address |
//! | 5: readdress | id 8, address |
//! | 6: set | the voters, then the learners: count 1, for each in the order of their ids: id 8, address |
//!
//! An answer: request 8, then
//!
//! | first byte | then |
//! |---|---|
//! | 0: changed | position, membership ([`super::entry`]) |
//! | 1: change refused | reason ([`refused`]) |
//! | 2: transferred | node 8 |
//! | 3: transfer refused | reason ([`refused`]) |
//! | 4: unknown | nothing |
//!
//! An address is a length of 2, at most 256, and its bytes in UTF-8. A list has at most 64 members.

mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::refused::{
    decode_change_refused, decode_transfer_refused, encode_change_refused, encode_transfer_refused,
};
use super::cursor::{WireError, Writer};
use super::entry::{decode_membership, encode_membership};
use super::fields::{
    Reader, read_address, read_index, read_node, read_position, write_address, write_position,
};
use crate::types::{
    Admin, AdminAnswer, AdminTask, ChangeReceipt, LogIndex, Membership, MembershipChange, NodeId,
};

pub(super) const ADMIN: u8 = 17;
pub(super) const ADMIN_ANSWER: u8 = 18;

const CHANGE: u8 = 0;
const TRANSFER: u8 = 1;

const ADD_LEARNER: u8 = 0;
const PROMOTE: u8 = 1;
const DEMOTE: u8 = 2;
const REMOVE: u8 = 3;
const REPLACE: u8 = 4;
const READDRESS: u8 = 5;
const SET: u8 = 6;

const CHANGED: u8 = 0;
const CHANGE_REFUSED: u8 = 1;
const TRANSFERRED: u8 = 2;
const TRANSFER_REFUSED: u8 = 3;
const UNKNOWN: u8 = 4;

type Addresses = BTreeMap<NodeId, String>;

/// Whether every list and every address of a wish is within the limits that a receiver holds it to.
pub(super) fn is_within_limits(admin: &Admin) -> bool {
    let fits = |address: &String| address.len() <= Membership::ADDRESS_BYTES_MAX;
    let all_fit = |list: &Addresses| list.len() <= Membership::MEMBERS_MAX && list.values().all(fits);
    let AdminTask::Change { change, .. } = &admin.task else { return true };
    match change {
        MembershipChange::AddLearner { address, .. }
        | MembershipChange::Replace { address, .. }
        | MembershipChange::Readdress { address, .. } => fits(address),
        MembershipChange::Set { voters, learners } => all_fit(voters) && all_fit(learners),
        MembershipChange::Promote { .. }
        | MembershipChange::Demote { .. }
        | MembershipChange::Remove { .. } => true,
    }
}

pub(super) fn encode_admin(admin: &Admin, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(admin.request);
    match &admin.task {
        AdminTask::Change { change, expected } => {
            writer.u8(CHANGE).bool(expected.is_some());
            if let Some(LogIndex(expected)) = expected {
                writer.u64(*expected);
            }
            encode_change(change, &mut writer);
        }
        AdminTask::Transfer { to } => {
            writer.u8(TRANSFER).bool(to.is_some());
            if let Some(to) = to {
                writer.u64(to.get());
            }
        }
    }
}

pub(super) fn decode_admin(reader: &mut Reader) -> Result<Admin, WireError> {
    let request = reader.u64()?;
    let task = match reader.u8()? {
        CHANGE => {
            let is_expected = reader.bool("expected configuration")?;
            let expected = is_expected.then(|| read_index(reader)).transpose()?;
            AdminTask::Change { change: decode_change(reader)?, expected }
        }
        TRANSFER => {
            let is_named = reader.bool("successor")?;
            AdminTask::Transfer { to: is_named.then(|| read_node(reader, "successor")).transpose()? }
        }
        _ => return Err(WireError::Invalid { what: "wish of an operator" }),
    };
    Ok(Admin { request, task })
}

fn encode_change(change: &MembershipChange, writer: &mut Writer<'_>) {
    let mut one = |kind: u8, ids: &[NodeId], address: Option<&str>| {
        writer.u8(kind);
        for id in ids {
            writer.u64(id.get());
        }
        if let Some(address) = address {
            write_address(writer, address);
        }
    };
    match change {
        MembershipChange::AddLearner { id, address } => one(ADD_LEARNER, &[*id], Some(address)),
        MembershipChange::Promote { id } => one(PROMOTE, &[*id], None),
        MembershipChange::Demote { id } => one(DEMOTE, &[*id], None),
        MembershipChange::Remove { id } => one(REMOVE, &[*id], None),
        MembershipChange::Replace { old, new, address } => one(REPLACE, &[*old, *new], Some(address)),
        MembershipChange::Readdress { id, address } => one(READDRESS, &[*id], Some(address)),
        MembershipChange::Set { voters, learners } => {
            writer.u8(SET);
            encode_addresses(voters, writer);
            encode_addresses(learners, writer);
        }
    }
}

fn decode_change(reader: &mut Reader) -> Result<MembershipChange, WireError> {
    let kind = reader.u8()?;
    if kind == SET {
        return Ok(MembershipChange::Set {
            voters: decode_addresses(reader)?,
            learners: decode_addresses(reader)?,
        });
    }
    let id = read_node(reader, "node of a change")?;
    Ok(match kind {
        ADD_LEARNER => MembershipChange::AddLearner { id, address: read_address(reader)? },
        PROMOTE => MembershipChange::Promote { id },
        DEMOTE => MembershipChange::Demote { id },
        REMOVE => MembershipChange::Remove { id },
        REPLACE => {
            let new = read_node(reader, "node of a change")?;
            MembershipChange::Replace { old: id, new, address: read_address(reader)? }
        }
        READDRESS => MembershipChange::Readdress { id, address: read_address(reader)? },
        _ => return Err(WireError::Invalid { what: "kind of change" }),
    })
}

fn encode_addresses(list: &Addresses, writer: &mut Writer<'_>) {
    assert!(list.len() <= Membership::MEMBERS_MAX, "a change is judged before it is sent");
    writer.u8(list.len() as u8);
    for (id, address) in list {
        writer.u64(id.get());
        write_address(writer, address);
    }
}

fn decode_addresses(reader: &mut Reader) -> Result<Addresses, WireError> {
    let (count, max) = (usize::from(reader.u8()?), Membership::MEMBERS_MAX);
    if count > max {
        return Err(WireError::TooLong { what: "list of members", length: count as u64, max: max as u64 });
    }
    let mut list = Addresses::new();
    for _ in 0..count {
        let id = read_node(reader, "id of a member")?;
        if list.last_key_value().is_some_and(|(&last, _)| last >= id) {
            return Err(WireError::Invalid { what: "order of the members" });
        }
        list.insert(id, read_address(reader)?);
    }
    Ok(list)
}

pub(super) fn encode_answer(answer: &AdminAnswer, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    match answer {
        AdminAnswer::Change { request, outcome: Ok(receipt) } => {
            writer.u64(*request).u8(CHANGED);
            write_position(&mut writer, receipt.position);
            encode_membership(&receipt.membership, out);
        }
        AdminAnswer::Change { request, outcome: Err(refused) } => {
            encode_change_refused(refused, writer.u64(*request).u8(CHANGE_REFUSED));
        }
        AdminAnswer::Transfer { request, outcome: Ok(to) } => {
            writer.u64(*request).u8(TRANSFERRED).u64(to.get());
        }
        AdminAnswer::Transfer { request, outcome: Err(refused) } => {
            encode_transfer_refused(refused, writer.u64(*request).u8(TRANSFER_REFUSED));
        }
        AdminAnswer::Unknown { request } => {
            writer.u64(*request).u8(UNKNOWN);
        }
    }
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<AdminAnswer, WireError> {
    let request = reader.u64()?;
    Ok(match reader.u8()? {
        CHANGED => {
            let position = read_position(reader)?;
            let membership = Arc::new(decode_membership(reader)?);
            AdminAnswer::Change { request, outcome: Ok(ChangeReceipt { position, membership }) }
        }
        CHANGE_REFUSED => AdminAnswer::Change { request, outcome: Err(decode_change_refused(reader)?) },
        TRANSFERRED => AdminAnswer::Transfer { request, outcome: Ok(read_node(reader, "successor")?) },
        TRANSFER_REFUSED => AdminAnswer::Transfer { request, outcome: Err(decode_transfer_refused(reader)?) },
        UNKNOWN => AdminAnswer::Unknown { request },
        _ => return Err(WireError::Invalid { what: "answer to an operator" }),
    })
}
