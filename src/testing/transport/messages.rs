//! What the nodes of the suite say to each other: messages that can be told apart, and told from altered ones.

use std::sync::Arc;

use bytes::Bytes;

use super::{CLUSTER, GROUP};
use crate::transport::LocalNode;
use crate::types::{
    Admin, AdminAnswer, AdminTask, Append, AppendAnswer, Body, Boot, Entry, EntryRun, Forward, ForwardAnswer,
    Forwarded, GroupId, Heartbeat, HeartbeatAnswer, Incarnation, LogIndex, LogPosition, LogSlice, Membership,
    MembershipChange, Message, NodeId, Origin, Payload, PeerMessage, ReadId, Refusal, Round, SnapshotChunk,
    SnapshotId, SnapshotMeta, SnapshotPull, Term,
};

pub(crate) fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("no node is called zero")
}

/// The data directory of node `id`, unless a scene says otherwise.
pub(crate) fn directory(id: u64) -> Incarnation {
    Incarnation(id * 1000)
}

pub(crate) fn local(node: u64) -> LocalNode {
    LocalNode { id: id(node), cluster: Some(CLUSTER), incarnation: directory(node) }
}

/// Node `node` as long as it waits to be added to a cluster.
pub(crate) fn joiner(node: u64) -> LocalNode {
    LocalNode { cluster: None, ..local(node) }
}

/// A message that can be told from others by its number.
pub(crate) fn numbered(number: u64) -> PeerMessage {
    let body = Body::Heartbeat(Heartbeat { commit: LogIndex(0), round: Round(number) });
    PeerMessage::Raft { message: Message { term: Term(1), body }, entries: Vec::new() }
}

/// A forward of `from`, told from others by its number.
pub(crate) fn forward(from: u64, number: u64, bytes: usize) -> PeerMessage {
    forward_of(from, number, Bytes::from(vec![7; bytes]))
}

pub(super) fn forward_of(from: u64, number: u64, command: Bytes) -> PeerMessage {
    let origin = Origin { node: id(from), incarnation: directory(from), boot: Boot(1), request: number };
    PeerMessage::Forward(Forward { term: Term(1), commands: vec![Forwarded { origin, command }] })
}

/// A chunk, told from others by its number.
pub(crate) fn chunk(number: u64, bytes: usize) -> PeerMessage {
    let bytes = Bytes::from(vec![number as u8; bytes]);
    PeerMessage::Chunk(SnapshotChunk { id: SnapshotId(1), offset: number, bytes })
}

/// What the inbox of a node was told, messages by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected(u64, Incarnation),
    Lost(u64),
    Message {
        from: u64,
        number: u64,
    },
    Forward {
        from: u64,
        number: u64,
    },
    Undelivered {
        to: u64,
        number: u64,
    },
    Chunk {
        from: u64,
        number: u64,
    },
    Adopted(crate::types::ClusterId),
    /// A message that is none of the numbered ones, in full: another kind, another group, or an altered one.
    Another {
        from: u64,
        text: String,
    },
}

pub(crate) fn connected(to: u64) -> Seen {
    Seen::Connected(to, directory(to))
}

/// A message that arrived. Those that are told by their numbers are so only if nothing else of them has changed.
pub(super) fn delivered(group: GroupId, from: u64, message: &PeerMessage) -> Seen {
    let text = || text(group, message);
    match message {
        PeerMessage::Raft { message: Message { body: Body::Heartbeat(heartbeat), .. }, .. }
            if text() == self::text(GROUP, &numbered(heartbeat.round.0)) =>
        {
            Seen::Message { from, number: heartbeat.round.0 }
        }
        PeerMessage::Forward(forward) if group == GROUP && number_of(forward).is_some() => {
            Seen::Forward { from, number: number_of(forward).unwrap_or_default() }
        }
        PeerMessage::Chunk(SnapshotChunk { id: SnapshotId(1), offset, bytes })
            if group == GROUP && bytes.iter().all(|byte| *byte == *offset as u8) =>
        {
            Seen::Chunk { from, number: *offset }
        }
        _ => Seen::Another { from, text: text() },
    }
}

/// A message that came back.
pub(super) fn undelivered(group: GroupId, to: u64, message: &PeerMessage) -> Seen {
    match message {
        PeerMessage::Forward(forward) if group == GROUP && number_of(forward).is_some() => {
            Seen::Undelivered { to, number: number_of(forward).unwrap_or_default() }
        }
        // Only forwards come back: whoever waits for a sign of this one does not find it.
        _ => Seen::Another { from: to, text: format!("came back: {}", text(group, message)) },
    }
}

/// The number of a forward that is as [`forward`] made it.
fn number_of(forward: &Forward) -> Option<u64> {
    let [Forwarded { origin, command }] = &forward.commands[..] else { return None };
    let is_whole = forward.term == Term(1) && command.iter().all(|byte| *byte == 7);
    let is_whole = is_whole && (origin.boot, origin.incarnation) == (Boot(1), directory(origin.node.get()));
    is_whole.then_some(origin.request)
}

/// A message in full. How the entries of an append are cut into runs is the transport's own business.
pub(super) fn text(group: GroupId, message: &PeerMessage) -> String {
    match message {
        PeerMessage::Raft { message, entries } => {
            let entries: Vec<_> = entries.iter().flat_map(EntryRun::entries).collect();
            format!("group {group}: {message:?} with {entries:?}")
        }
        other => format!("group {group}: {other:?}"),
    }
}

/// One message of every kind.
pub(super) fn of_every_kind() -> Vec<PeerMessage> {
    let raft = |body| PeerMessage::Raft { message: Message { term: Term(7), body }, entries: Vec::new() };
    let last = LogPosition::new(Term(6), LogIndex(50));
    let read = ReadId { boot: Boot(3), request: 4 };
    let pull = SnapshotPull { id: SnapshotId(5), offset: 4096, bytes: 1 << 20 };
    let change = MembershipChange::AddLearner { id: id(4), address: "d:4".to_owned() };
    let forwarded = [3, 0, 20_000].map(|bytes| {
        let origin = Origin { node: id(1), incarnation: directory(1), boot: Boot(1), request: bytes };
        Forwarded { origin, command: (0..bytes).map(|byte| byte as u8).collect() }
    });
    let accepted = AppendAnswer::Accepted { matched: LogIndex(9) };
    let rejected = AppendAnswer::Rejected { prev: LogIndex(9), hint: last };
    let answer = |outcome| PeerMessage::ForwardAnswer(ForwardAnswer { requests: vec![1, 2], outcome });
    let offer =
        SnapshotMeta { id: SnapshotId(5), position: last, membership: membership(), bytes: 1_000_000 };
    vec![
        raft(Body::PreVote { last }),
        raft(Body::PreVoteAnswer { granted: true }),
        raft(Body::Vote { last, transfer: true }),
        raft(Body::VoteAnswer { granted: false }),
        append(last),
        raft(Body::AppendAnswer(accepted)),
        raft(Body::AppendAnswer(rejected)),
        raft(Body::HeartbeatAnswer(HeartbeatAnswer { matched: LogIndex(9), round: Round(8) })),
        raft(Body::ReadIndex { id: read }),
        raft(Body::ReadIndexAnswer { id: read, index: Some(LogIndex(11)) }),
        raft(Body::ReadIndexAnswer { id: read, index: None }),
        raft(Body::SnapshotOffer(offer)),
        raft(Body::TimeoutNow),
        PeerMessage::Forward(Forward { term: Term(7), commands: forwarded.into() }),
        answer(Ok(last)),
        answer(Err(Refusal::Busy)),
        PeerMessage::Pull(pull),
        PeerMessage::Admin(Admin { request: 1, task: AdminTask::Change { change, expected: None } }),
        PeerMessage::Admin(Admin { request: 2, task: AdminTask::Transfer { to: Some(id(3)) } }),
        PeerMessage::AdminAnswer(AdminAnswer::Transfer { request: 2, outcome: Ok(id(3)) }),
        PeerMessage::AdminAnswer(AdminAnswer::Unknown { request: 3 }),
    ]
}

fn membership() -> Arc<Membership> {
    let members = [(1, "a:1"), (2, "b:2"), (3, "c:3")];
    let members = members.map(|(node, address)| (id(node), address.to_owned()));
    Arc::new(Membership::founding(members).expect("three members"))
}

/// An append whose entries carry every kind of payload, in two runs.
fn append(prev: LogPosition) -> PeerMessage {
    let origin = Origin { node: id(2), incarnation: directory(2), boot: Boot(9), request: 10 };
    let payloads = [
        Payload::Noop,
        Payload::Normal { origin: None, command: Bytes::from(vec![1; 5000]) },
        Payload::Normal { origin: Some(Box::new(origin)), command: Bytes::new() },
        Payload::Membership(membership()),
    ];
    let entry = |(payload, index)| Entry { position: LogPosition::new(Term(7), LogIndex(index)), payload };
    let entries: Vec<_> = payloads.into_iter().zip(prev.index.0 + 1..).map(entry).collect();
    let slice = LogSlice::new(prev, entries.iter().map(Entry::meta).collect()).expect("a slice of a log");
    let body = Body::Append(Append { slice, commit: LogIndex(40) });
    let runs = entries.chunks(3).filter_map(|run| EntryRun::new(run.into())).collect();
    PeerMessage::Raft { message: Message { term: Term(7), body }, entries: runs }
}
