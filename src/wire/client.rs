//! What clients and nodes say to each other, as the bodies of frames ([`super::frame`]), whose group is 1.
//!
//! A client's requests, each of which begins with its id 8 and how long the node may take, in nanoseconds 8:
//!
//! | kind | request | then |
//! |---|---|---|
//! | 1 | propose | the command, to the end |
//! | 2 | propose within a session | session 8, sequence 8, answered below 8 (at most the sequence), the command, to the end |
//! | 3 | open a session | nothing |
//! | 4 | close a session | session 8 |
//! | 5 | query | local 1, the query, to the end |
//! | 6 | status | nothing |
//!
//! A node's messages; but for the first they begin with the id 8 of the request that they answer:
//!
//! | kind | message | then |
//! |---|---|---|
//! | 65 | cluster | 0, or 1 and the leader 8; members: count 1, for each in the order of their ids: id 8, address |
//! | 66 | response | the response, to the end |
//! | 67 | session opened | session 8 |
//! | 68 | session closed | nothing |
//! | 69 | status | node 8, term 8, 0, or 1 and the leader 8, commit 8, applied 8, the voters, then the learners: count 1, each 8 |
//! | 70 | refused | the reason ([`super::client_refused`]) |
//!
//! An address is a length of 2, at most 256, and its bytes in UTF-8. A list has at most 64 members. Commands, queries and
//! responses stay slices of the frame. The longest frame that a node takes stands in its answer to the hello; the longest
//! that a client takes is [`MESSAGE_BYTES_MAX`].

use std::time::Duration;

use super::client_refused::{REFUSED_BYTES_MAX, decode_refused, encode_refused};
use super::cursor::{WireError, Writer};
use super::fields::{Reader, read_address, read_node, write_address};
use super::frame::{self, CLIENT_VERSION, Frame, FrameError, HEADER_BYTES};
use crate::types::{
    ClientAnswer, ClientCall, ClientRefused, ClientRequest, ClientStatus, GroupId, Membership, NodeId,
    ServerMessage, SessionId, SessionTag,
};

const PROPOSE: u8 = 1;
const PROPOSE_IN_SESSION: u8 = 2;
const OPEN_SESSION: u8 = 3;
const CLOSE_SESSION: u8 = 4;
const QUERY: u8 = 5;
const STATUS: u8 = 6;

const CLUSTER: u8 = 65;
const RESPONSE: u8 = 66;
const SESSION_OPENED: u8 = 67;
const SESSION_CLOSED: u8 = 68;
const STATUS_ANSWER: u8 = 69;
const REFUSED: u8 = 70;

/// Id and time.
const REQUEST_PREFIX_BYTES: usize = 16;
const TAG_BYTES: usize = 24;
const ID_BYTES: usize = 8;
/// All but the lists.
const STATUS_HEAD_BYTES_MAX: usize = 8 + 8 + 9 + 8 + 8 + 1 + 1;

/// The most that a request takes beside its command or query, the frame's header included.
pub(crate) const REQUEST_HEAD_BYTES_MAX: usize = HEADER_BYTES + REQUEST_PREFIX_BYTES + TAG_BYTES;
/// The longest frame that a client takes, header included.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// What stands before a response.
pub(crate) const RESPONSE_HEAD_BYTES: usize = HEADER_BYTES + ID_BYTES;
/// The longest response that fits one.
pub(crate) const RESPONSE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - RESPONSE_HEAD_BYTES;

/// Appends `request` as one frame of [`request_len`] bytes.
pub(crate) fn encode_request(request: &ClientRequest, out: &mut Vec<u8>) {
    let ClientRequest { id, within, call } = request;
    out.reserve(request_len(request));
    seal(request_kind(call), out, |writer| {
        writer.u64(*id).u64(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX));
        match call {
            ClientCall::Propose { session, command } => {
                if let Some(SessionTag { session, sequence, answered_below }) = session {
                    writer.u64(session.0).u64(*sequence).u64(*answered_below);
                }
                writer.bytes(command);
            }
            ClientCall::CloseSession(session) => {
                writer.u64(session.0);
            }
            ClientCall::Query { query, local } => {
                writer.bool(*local).bytes(query);
            }
            ClientCall::OpenSession | ClientCall::Status => {}
        }
    });
}

/// How many bytes [`encode_request`] appends.
pub(crate) fn request_len(request: &ClientRequest) -> usize {
    HEADER_BYTES
        + REQUEST_PREFIX_BYTES
        + match &request.call {
            ClientCall::Propose { session: None, command } => command.len(),
            ClientCall::Propose { session: Some(_), command } => TAG_BYTES + command.len(),
            ClientCall::CloseSession(_) => 8,
            ClientCall::Query { query, .. } => 1 + query.len(),
            ClientCall::OpenSession | ClientCall::Status => 0,
        }
}

/// Whether a node would take `request`, its length as a frame aside: for those who test what we write.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_request_within_limits(request: &ClientRequest) -> bool {
    match &request.call {
        ClientCall::Propose { session: Some(tag), .. } => is_tag_sound(*tag),
        _ => true,
    }
}

/// What a client's frame asks for.
pub(crate) fn decode_request(frame: Frame) -> Result<ClientRequest, FrameError> {
    let kind = frame.kind;
    let mut reader = open(frame)?;
    let (id, within) = (reader.u64()?, Duration::from_nanos(reader.u64()?));
    let call = match kind {
        PROPOSE => return Ok(ClientRequest { id, within, call: propose(None, reader) }),
        PROPOSE_IN_SESSION => {
            let tag = read_tag(&mut reader)?;
            return Ok(ClientRequest { id, within, call: propose(Some(tag), reader) });
        }
        QUERY => {
            let local = reader.bool("locality of a query")?;
            let call = ClientCall::Query { query: reader.into_rest(), local };
            return Ok(ClientRequest { id, within, call });
        }
        OPEN_SESSION => ClientCall::OpenSession,
        CLOSE_SESSION => ClientCall::CloseSession(SessionId(reader.u64()?)),
        STATUS => ClientCall::Status,
        _ => return Err(WireError::Invalid { what: "kind of request" }.into()),
    };
    reader.finish("end of a request")?;
    Ok(ClientRequest { id, within, call })
}

fn propose(session: Option<SessionTag>, reader: Reader) -> ClientCall {
    ClientCall::Propose { session, command: reader.into_rest() }
}

fn read_tag(reader: &mut Reader) -> Result<SessionTag, WireError> {
    let tag = SessionTag {
        session: SessionId(reader.u64()?),
        sequence: reader.u64()?,
        answered_below: reader.u64()?,
    };
    if is_tag_sound(tag) { Ok(tag) } else { Err(WireError::Invalid { what: "sequence of a session" }) }
}

fn is_tag_sound(tag: SessionTag) -> bool {
    tag.answered_below <= tag.sequence
}

fn request_kind(call: &ClientCall) -> u8 {
    match call {
        ClientCall::Propose { session: None, .. } => PROPOSE,
        ClientCall::Propose { session: Some(_), .. } => PROPOSE_IN_SESSION,
        ClientCall::OpenSession => OPEN_SESSION,
        ClientCall::CloseSession(_) => CLOSE_SESSION,
        ClientCall::Query { .. } => QUERY,
        ClientCall::Status => STATUS,
    }
}

/// Appends `message` as one frame of at most [`message_len`] bytes.
pub(crate) fn encode_message(message: &ServerMessage, out: &mut Vec<u8>) {
    out.reserve(message_len(message));
    seal(message_kind(message), out, |writer| match message {
        ServerMessage::Cluster { leader, members } => {
            write_leader(leader.map(NodeId::get), writer);
            writer.u8(listed(members.len()));
            for (id, address) in members {
                write_address(writer.u64(id.get()), address);
            }
        }
        ServerMessage::Reply { id, outcome } => {
            writer.u64(*id);
            match outcome {
                Ok(ClientAnswer::Response(response)) => {
                    writer.bytes(response);
                }
                Ok(ClientAnswer::SessionOpened(session)) => {
                    writer.u64(session.0);
                }
                Ok(ClientAnswer::SessionClosed) => {}
                Ok(ClientAnswer::Status(status)) => encode_status(status, writer),
                Err(refused) => encode_refused(refused, writer),
            }
        }
    });
}

/// Appends the frame of a response without the response itself, which must follow it: so it need not be copied.
pub(crate) fn encode_response_head(id: u64, response: &[u8], out: &mut Vec<u8>) {
    frame::seal_before(CLIENT_VERSION, RESPONSE, GroupId::MAIN, response, out, |out| {
        Writer::new(out).u64(id);
    });
}

/// How many bytes [`encode_message`] appends at most. Exact for the messages that can be long.
pub(crate) fn message_len(message: &ServerMessage) -> usize {
    HEADER_BYTES
        + match message {
            ServerMessage::Cluster { members, .. } => {
                10 + members.iter().map(|(_, address)| 10 + address.len()).sum::<usize>()
            }
            ServerMessage::Reply { outcome, .. } => ID_BYTES + outcome_len_max(outcome),
        }
}

fn outcome_len_max(outcome: &Result<ClientAnswer, ClientRefused>) -> usize {
    match outcome {
        Ok(ClientAnswer::Response(response)) => response.len(),
        Ok(ClientAnswer::SessionOpened(_)) => 8,
        Ok(ClientAnswer::SessionClosed) => 0,
        Ok(ClientAnswer::Status(status)) => {
            STATUS_HEAD_BYTES_MAX + 8 * (status.voters.len() + status.learners.len())
        }
        Err(_) => REFUSED_BYTES_MAX,
    }
}

/// Whether a client would take `message`: for those who test what we write.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_message_within_limits(message: &ServerMessage) -> bool {
    let fits = |address: &String| address.len() <= Membership::ADDRESS_BYTES_MAX;
    let is_short = |list: &[u64]| list.len() <= Membership::MEMBERS_MAX;
    match message {
        ServerMessage::Cluster { members, .. } => {
            members.len() <= Membership::MEMBERS_MAX
                && members.iter().all(|(_, address)| fits(address))
                && members.is_sorted_by(|(earlier, _), (later, _)| earlier < later)
        }
        ServerMessage::Reply { outcome: Ok(ClientAnswer::Response(response)), .. } => {
            response.len() <= RESPONSE_BYTES_MAX
        }
        ServerMessage::Reply { outcome: Ok(ClientAnswer::Status(status)), .. } => {
            is_short(&status.voters) && is_short(&status.learners)
        }
        ServerMessage::Reply { outcome: Err(refused), .. } => {
            super::client_refused::is_within_limits(refused)
        }
        ServerMessage::Reply { .. } => true,
    }
}

/// What a node's frame says.
pub(crate) fn decode_message(frame: Frame) -> Result<ServerMessage, FrameError> {
    let kind = frame.kind;
    let mut reader = open(frame)?;
    if kind == CLUSTER {
        let message = decode_cluster(&mut reader)?;
        reader.finish("end of a message")?;
        return Ok(message);
    }
    let id = reader.u64()?;
    let outcome = match kind {
        RESPONSE => {
            let response = ClientAnswer::Response(reader.into_rest());
            return Ok(ServerMessage::Reply { id, outcome: Ok(response) });
        }
        SESSION_OPENED => Ok(ClientAnswer::SessionOpened(SessionId(reader.u64()?))),
        SESSION_CLOSED => Ok(ClientAnswer::SessionClosed),
        STATUS_ANSWER => Ok(ClientAnswer::Status(decode_status(&mut reader)?)),
        REFUSED => Err(decode_refused(&mut reader)?),
        _ => return Err(WireError::Invalid { what: "kind of message" }.into()),
    };
    reader.finish("end of a message")?;
    Ok(ServerMessage::Reply { id, outcome })
}

fn decode_cluster(reader: &mut Reader) -> Result<ServerMessage, WireError> {
    let leader = read_leader(reader)?;
    let mut members: Vec<(NodeId, String)> = Vec::new();
    for _ in 0..read_listed(reader)? {
        let id = read_node(reader, "id of a member")?;
        if members.last().is_some_and(|(last, _)| *last >= id) {
            return Err(WireError::Invalid { what: "order of the members" });
        }
        members.push((id, read_address(reader)?));
    }
    Ok(ServerMessage::Cluster { leader, members })
}

fn encode_status(status: &ClientStatus, writer: &mut Writer<'_>) {
    writer.u64(status.node).u64(status.term);
    write_leader(status.leader, writer);
    writer.u64(status.commit).u64(status.applied);
    for list in [&status.voters, &status.learners] {
        writer.u8(listed(list.len()));
        for &id in list {
            writer.u64(id);
        }
    }
}

fn decode_status(reader: &mut Reader) -> Result<ClientStatus, WireError> {
    Ok(ClientStatus {
        node: read_node(reader, "node of a status")?.get(),
        term: reader.u64()?,
        leader: read_leader(reader)?.map(NodeId::get),
        commit: reader.u64()?,
        applied: reader.u64()?,
        voters: read_nodes(reader)?,
        learners: read_nodes(reader)?,
    })
}

fn read_nodes(reader: &mut Reader) -> Result<Vec<u64>, WireError> {
    (0..read_listed(reader)?).map(|_| Ok(read_node(reader, "node of a list")?.get())).collect()
}

/// Zero, or one and eight bytes.
fn write_leader(leader: Option<u64>, writer: &mut Writer<'_>) {
    writer.bool(leader.is_some());
    if let Some(leader) = leader {
        writer.u64(leader);
    }
}

fn read_leader(reader: &mut Reader) -> Result<Option<NodeId>, WireError> {
    let is_known = reader.bool("leader")?;
    is_known.then(|| read_node(reader, "leader")).transpose()
}

fn listed(count: usize) -> u8 {
    assert!(count <= Membership::MEMBERS_MAX, "a list of members is judged before it is sent");
    count as u8
}

fn read_listed(reader: &mut Reader) -> Result<usize, WireError> {
    let (count, max) = (usize::from(reader.u8()?), Membership::MEMBERS_MAX);
    if count > max {
        return Err(WireError::TooLong { what: "list of members", length: count as u64, max: max as u64 });
    }
    Ok(count)
}

fn message_kind(message: &ServerMessage) -> u8 {
    match message {
        ServerMessage::Cluster { .. } => CLUSTER,
        ServerMessage::Reply { outcome, .. } => match outcome {
            Ok(ClientAnswer::Response(_)) => RESPONSE,
            Ok(ClientAnswer::SessionOpened(_)) => SESSION_OPENED,
            Ok(ClientAnswer::SessionClosed) => SESSION_CLOSED,
            Ok(ClientAnswer::Status(_)) => STATUS_ANSWER,
            Err(_) => REFUSED,
        },
    }
}

fn seal(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Writer<'_>)) {
    frame::seal(CLIENT_VERSION, kind, GroupId::MAIN, out, |out| body(&mut Writer::new(out)));
}

fn open(frame: Frame) -> Result<Reader, WireError> {
    match frame.group {
        GroupId::MAIN => Ok(Reader::new(frame.body)),
        _ => Err(WireError::Invalid { what: "group" }),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
pub(crate) mod tests;
