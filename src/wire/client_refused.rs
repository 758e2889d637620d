//! Why a client's request came to nothing, as the end of a frame.
//!
//! | reason | then |
//! |---|---|
//! | 0: not leader | 0, or 1 and the leader: id 8, address (length 2, at most 256; UTF-8) |
//! | 1: no leader | nothing |
//! | 2: deadline passed | nothing |
//! | 3: busy | nothing |
//! | 4: disk full | nothing |
//! | 5: too large | how long 8, how long it may be 8 |
//! | 6: malformed | nothing |
//! | 7: superseded | nothing |
//! | 8: unknown | nothing |
//! | 9: session expired | nothing |
//! | 10: answer forgotten | nothing |
//! | 11: session full | nothing |
//! | 12: panicked | what it said: length 2, at most 1024; UTF-8 |
//! | 13: stopped | nothing |
//!
//! What a panic said is cut where it is longer: it is shown to a person.

use super::cursor::{WireError, Writer};
use super::fields::{Reader, beginning, read_address, read_node, write_address};
use crate::types::{ClientRefused, Membership, NodeId};

/// The most that is told of what a panic said.
const PANIC_BYTES_MAX: usize = 1024;

/// The longest form.
pub(super) const REFUSED_BYTES_MAX: usize = 3 + PANIC_BYTES_MAX;

const _: () = assert!(12 + Membership::ADDRESS_BYTES_MAX <= REFUSED_BYTES_MAX, "every reason fits");

/// Whether a receiver would take it.
#[cfg(any(test, fuzzing))]
pub(super) fn is_within_limits(refused: &ClientRefused) -> bool {
    match refused {
        ClientRefused::NotLeader { leader: Some((_, address)) } => {
            address.len() <= Membership::ADDRESS_BYTES_MAX
        }
        _ => true,
    }
}

pub(super) fn encode_refused(refused: &ClientRefused, writer: &mut Writer<'_>) {
    match refused {
        ClientRefused::NotLeader { leader } => {
            writer.u8(0).bool(leader.is_some());
            if let Some((id, address)) = leader {
                write_address(writer.u64(id.get()), address);
            }
            writer
        }
        ClientRefused::NoLeader => writer.u8(1),
        ClientRefused::DeadlinePassed => writer.u8(2),
        ClientRefused::Busy => writer.u8(3),
        ClientRefused::DiskFull => writer.u8(4),
        ClientRefused::TooLarge { bytes, limit } => writer.u8(5).u64(*bytes).u64(*limit),
        ClientRefused::Malformed => writer.u8(6),
        ClientRefused::Superseded => writer.u8(7),
        ClientRefused::Unknown => writer.u8(8),
        ClientRefused::SessionExpired => writer.u8(9),
        ClientRefused::AnswerForgotten => writer.u8(10),
        ClientRefused::SessionFull => writer.u8(11),
        ClientRefused::Panicked { message } => {
            let message = beginning(message, PANIC_BYTES_MAX);
            writer.u8(12).u16(message.len() as u16).bytes(message.as_bytes())
        }
        ClientRefused::Stopped => writer.u8(13),
    };
}

pub(super) fn decode_refused(reader: &mut Reader) -> Result<ClientRefused, WireError> {
    Ok(match reader.u8()? {
        0 => {
            let is_named = reader.bool("leader of a refusal")?;
            ClientRefused::NotLeader { leader: is_named.then(|| read_member(reader)).transpose()? }
        }
        1 => ClientRefused::NoLeader,
        2 => ClientRefused::DeadlinePassed,
        3 => ClientRefused::Busy,
        4 => ClientRefused::DiskFull,
        5 => ClientRefused::TooLarge { bytes: reader.u64()?, limit: reader.u64()? },
        6 => ClientRefused::Malformed,
        7 => ClientRefused::Superseded,
        8 => ClientRefused::Unknown,
        9 => ClientRefused::SessionExpired,
        10 => ClientRefused::AnswerForgotten,
        11 => ClientRefused::SessionFull,
        12 => ClientRefused::Panicked { message: read_message(reader)? },
        13 => ClientRefused::Stopped,
        _ => return Err(WireError::Invalid { what: "reason of a refusal" }),
    })
}

/// Id 8, address.
fn read_member(reader: &mut Reader) -> Result<(NodeId, String), WireError> {
    Ok((read_node(reader, "node of a refusal")?, read_address(reader)?))
}

fn read_message(reader: &mut Reader) -> Result<String, WireError> {
    const WHAT: &str = "message of a panic";
    let length = usize::from(reader.u16()?);
    if length > PANIC_BYTES_MAX {
        return Err(WireError::TooLong { what: WHAT, length: length as u64, max: PANIC_BYTES_MAX as u64 });
    }
    let message = reader.bytes(length)?;
    Ok(str::from_utf8(&message).map_err(|_| WireError::Invalid { what: WHAT })?.to_owned())
}
