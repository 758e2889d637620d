//! Commands that a node hands to the leader, and the leader's answers. The table stands at [`super::peer`].

use super::cursor::{WireError, Writer};
use super::fields::{Reader, read_count, read_node, read_position, write_position};
use crate::types::{Boot, Forward, ForwardAnswer, Forwarded, Incarnation, Origin, Refusal, Term};

pub(super) const FORWARD: u8 = 11;
pub(super) const FORWARD_ANSWER: u8 = 12;

const APPENDED: u8 = 0;
const NOT_LEADER: u8 = 1;
const BUSY: u8 = 2;
const MALFORMED: u8 = 3;

/// Term and count.
const FORWARD_HEAD_BYTES: usize = 12;
/// Origin and length, before each command.
const FORWARDED_HEAD_BYTES: usize = 36;
/// Outcome and count.
const ANSWER_HEAD_BYTES_MAX: usize = 21;

/// How many bytes [`encode`] appends.
pub(super) fn body_len(forward: &Forward) -> usize {
    let command_len = |forwarded: &Forwarded| FORWARDED_HEAD_BYTES + forwarded.command.len();
    FORWARD_HEAD_BYTES + forward.commands.iter().map(command_len).sum::<usize>()
}

/// How many bytes [`encode_answer`] appends at most.
pub(super) fn answer_len(answer: &ForwardAnswer) -> usize {
    ANSWER_HEAD_BYTES_MAX + 8 * answer.requests.len()
}

pub(super) fn encode(forward: &Forward, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.u64(forward.term.0).u32(forward.commands.len() as u32);
    for Forwarded { origin, command } in &forward.commands {
        writer
            .u64(origin.node.get())
            .u64(origin.incarnation.0)
            .u64(origin.boot.0)
            .u64(origin.request)
            .string(command);
    }
}

pub(super) fn encode_answer(answer: &ForwardAnswer, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    match answer.outcome {
        Ok(first) => {
            writer.u8(APPENDED);
            write_position(&mut writer, first);
        }
        Err(refusal) => {
            writer.u8(match refusal {
                Refusal::NotLeader => NOT_LEADER,
                Refusal::Busy => BUSY,
                Refusal::Malformed => MALFORMED,
            });
        }
    }
    writer.u32(answer.requests.len() as u32);
    for &request in &answer.requests {
        writer.u64(request);
    }
}

pub(super) fn decode(reader: &mut Reader) -> Result<Forward, WireError> {
    let term = Term(reader.u64()?);
    let count = read_count(reader, "list of commands", FORWARDED_HEAD_BYTES)?;
    let mut commands = Vec::with_capacity(count);
    for _ in 0..count {
        let origin = Origin {
            node: read_node(reader, "node of an origin")?,
            incarnation: Incarnation(reader.u64()?),
            boot: Boot(reader.u64()?),
            request: reader.u64()?,
        };
        commands.push(Forwarded { origin, command: reader.string("command", u32::MAX)? });
    }
    Ok(Forward { term, commands })
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<ForwardAnswer, WireError> {
    let outcome = match reader.u8()? {
        APPENDED => Ok(read_position(reader)?),
        NOT_LEADER => Err(Refusal::NotLeader),
        BUSY => Err(Refusal::Busy),
        MALFORMED => Err(Refusal::Malformed),
        _ => return Err(WireError::Invalid { what: "answer to a forward" }),
    };
    let count = read_count(reader, "list of requests", 8)?;
    // The index of each is the first one's and its place: none may lie beyond the last index.
    if outcome.is_ok_and(|first| first.index.0.checked_add(count as u64).is_none()) {
        return Err(WireError::Invalid { what: "position of a forward" });
    }
    let requests = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
    Ok(ForwardAnswer { requests, outcome })
}
