//! What peers say: anything at all, or what a member in good faith answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::consensus::{Outgoing, Raft};
use crate::fuzzing::input::Input;
use crate::types::{
    Append, AppendAnswer, Body, Boot, EntryKind, EntryMeta, Heartbeat, HeartbeatAnswer, LogIndex,
    LogPosition, LogSlice, Member, Membership, MembershipChange, Message, NodeId, ReadId, Round, SnapshotId,
    SnapshotMeta, Term,
};

/// Members have the ids from 1 on; the last ones wait to be added.
pub(in crate::fuzzing) const NODES: usize = 5;

const ENTRIES_MAX: usize = 5;

pub(in crate::fuzzing) fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

pub(in crate::fuzzing) fn any_node(input: &mut Input<'_>) -> NodeId {
    node(1 + input.below(NODES) as u64)
}

pub(in crate::fuzzing) fn address(id: NodeId) -> String {
    format!("host-{id}:7000")
}

/// What a peer can know of the replica that it writes to.
pub(in crate::fuzzing) struct Known {
    pub(in crate::fuzzing) term: Term,
    pub(in crate::fuzzing) commit: LogIndex,
    pub(in crate::fuzzing) first: LogIndex,
    pub(in crate::fuzzing) last: LogPosition,
    pub(in crate::fuzzing) membership: Arc<Membership>,
    /// Of some of its entries.
    pub(in crate::fuzzing) terms: BTreeMap<LogIndex, Term>,
}

impl Known {
    pub(super) fn of(raft: &Raft) -> Self {
        let (first, last) = (raft.first_index(), raft.last());
        let indexes = (first.prev().0.max(last.index.0.saturating_sub(16))..=last.index.0).map(LogIndex);
        Self {
            term: raft.term(),
            commit: raft.commit(),
            first,
            last,
            membership: Arc::clone(raft.membership()),
            terms: indexes.filter_map(|index| Some((index, raft.term_at(index)?))).collect(),
        }
    }
}

/// A message of anybody, near what its receiver knows or far from it. `None` if no wire could carry it.
pub(in crate::fuzzing) fn any_message(input: &mut Input<'_>, known: &Known) -> Option<Message> {
    let term = Term(input.near(known.term.0));
    let body = match input.below(12) {
        0 => Body::PreVote { last: any_position(input, known) },
        1 => Body::PreVoteAnswer { granted: input.bool() },
        2 => Body::Vote { last: any_position(input, known), transfer: input.bool() },
        3 => Body::VoteAnswer { granted: input.bool() },
        4 => Body::Append(any_append(input, known)?),
        5 if input.bool() => Body::AppendAnswer(AppendAnswer::Accepted { matched: any_index(input, known) }),
        5 => {
            let (prev, hint) = (any_index(input, known), any_position(input, known));
            Body::AppendAnswer(AppendAnswer::Rejected { prev, hint })
        }
        6 => Body::Heartbeat(Heartbeat { commit: any_index(input, known), round: any_round(input) }),
        7 => {
            let (matched, round) = (any_index(input, known), any_round(input));
            Body::HeartbeatAnswer(HeartbeatAnswer { matched, round })
        }
        8 => Body::ReadIndex { id: any_read(input) },
        9 => {
            let (id, is_answered) = (any_read(input), input.bool());
            Body::ReadIndexAnswer { id, index: is_answered.then(|| any_index(input, known)) }
        }
        10 => Body::SnapshotOffer(any_snapshot(input, known)?),
        _ => Body::TimeoutNow,
    };
    Some(Message { term, body })
}

/// More entries behind those that are there, as its leader would send them.
pub(in crate::fuzzing) fn next_entries(input: &mut Input<'_>, known: &Known) -> Option<Message> {
    let term = known.term.max(Term(1));
    let entries = any_entries(input, known.last, term)?;
    let commit = LogIndex(known.last.index.0.saturating_sub(u64::from(input.u8() % 4)));
    let slice = LogSlice::new(known.last, entries).ok()?;
    Some(Message { term, body: Body::Append(Append { slice, commit }) })
}

/// What a member in good faith would say to that.
pub(super) fn answer_to(sent: &Outgoing) -> Option<Message> {
    let Message { term, body } = &sent.message;
    let answer = match body {
        Body::PreVote { .. } => Body::PreVoteAnswer { granted: true },
        Body::Vote { .. } => Body::VoteAnswer { granted: true },
        Body::Append(append) => {
            Body::AppendAnswer(AppendAnswer::Accepted { matched: append.slice.last().index })
        }
        Body::Heartbeat(heartbeat) => {
            Body::HeartbeatAnswer(HeartbeatAnswer { matched: heartbeat.commit, round: heartbeat.round })
        }
        Body::ReadIndex { id } => Body::ReadIndexAnswer { id: *id, index: Some(LogIndex(1)) },
        Body::SnapshotOffer(snapshot) => {
            Body::AppendAnswer(AppendAnswer::Accepted { matched: snapshot.position.index })
        }
        Body::TimeoutNow => {
            let last = LogPosition::new(*term, LogIndex(u64::MAX / 4));
            return Some(Message { term: term.next()?, body: Body::Vote { last, transfer: true } });
        }
        _ => return None,
    };
    Some(Message { term: *term, body: answer })
}

fn any_append(input: &mut Input<'_>, known: &Known) -> Option<Append> {
    let prev = any_position(input, known);
    let entries = any_entries(input, prev, prev.term)?;
    let slice = LogSlice::new(prev, entries).ok()?;
    Some(Append { slice, commit: any_index(input, known) })
}

fn any_entries(input: &mut Input<'_>, prev: LogPosition, least: Term) -> Option<Vec<EntryMeta>> {
    let mut term = prev.term.max(least);
    let mut entries = Vec::new();
    for nth in 1..=input.below(ENTRIES_MAX) as u64 {
        let step = input.u8();
        term = Term(term.0.checked_add(u64::from(step >> 6 & 1))?);
        let index = LogIndex(prev.index.0.checked_add(nth)?);
        let (kind, bytes) = match step % 8 {
            0 => (EntryKind::Noop, 0),
            1 => {
                let membership = any_membership(input)?;
                let bytes = membership.approximate_bytes();
                (EntryKind::Membership(Arc::new(membership)), bytes)
            }
            2 => (EntryKind::Normal, input.u32()),
            _ => (EntryKind::Normal, u32::from(step)),
        };
        entries.push(EntryMeta { position: LogPosition::new(term, index), bytes, kind });
    }
    Some(entries)
}

/// Any configuration that can be read from a wire.
fn any_membership(input: &mut Input<'_>) -> Option<Membership> {
    let (voters, outgoing, learners) = (chosen(input.u8()), chosen(input.u8()), chosen(input.u8()));
    let votes = |id: &NodeId| voters.contains(id) || outgoing.contains(id);
    let learners: Vec<_> = learners.into_iter().filter(|id| !votes(id)).collect();
    let incarnations = input.u8();
    let member = |&id: &NodeId| {
        let is_known = incarnations >> (id.get() % 8) & 1 == 1;
        (id, Member { address: address(id), incarnation: is_known.then(|| super::incarnation_of(id)) })
    };
    let members = voters.iter().chain(&outgoing).chain(&learners).map(member).collect();
    let next: Vec<_> =
        chosen(input.u8()).into_iter().filter(|id| outgoing.contains(id) && !voters.contains(id)).collect();
    Membership::new(voters, outgoing, learners, members).ok()?.with_learners_next(next).ok()
}

fn chosen(bits: u8) -> Vec<NodeId> {
    (0..NODES as u64).filter(|nth| bits >> nth & 1 == 1).map(|nth| node(1 + nth)).collect()
}

fn any_snapshot(input: &mut Input<'_>, known: &Known) -> Option<SnapshotMeta> {
    let position = any_position(input, known);
    let membership = match input.bool() {
        true => Arc::new(any_membership(input)?),
        false if known.membership.voters().is_empty() => return None,
        false => Arc::clone(&known.membership),
    };
    Some(SnapshotMeta { id: SnapshotId(u64::from(input.u8())), position, membership, bytes: 1 })
}

fn any_index(input: &mut Input<'_>, known: &Known) -> LogIndex {
    let origin = match input.below(4) {
        0 => known.commit,
        1 => known.first,
        _ => known.last.index,
    };
    LogIndex(input.near(origin.0))
}

/// One that is in the log, or near one that is.
fn any_position(input: &mut Input<'_>, known: &Known) -> LogPosition {
    let index = any_index(input, known);
    let known = known.terms.get(&index).copied().unwrap_or(known.last.term);
    LogPosition::new(if input.below(4) == 0 { Term(input.near(known.0)) } else { known }, index)
}

fn any_round(input: &mut Input<'_>) -> Round {
    Round(input.near(4))
}

fn any_read(input: &mut Input<'_>) -> ReadId {
    ReadId { boot: Boot(u64::from(input.u8() % 4)), request: u64::from(input.u8() % 16) }
}

/// What an operator may ask, sensible or not.
pub(in crate::fuzzing) fn any_change(input: &mut Input<'_>) -> MembershipChange {
    let (id, new) = (any_node(input), any_node(input));
    match input.below(8) {
        0 | 1 => MembershipChange::AddLearner { id, address: address(id) },
        2 => MembershipChange::Promote { id },
        3 => MembershipChange::Demote { id },
        4 => MembershipChange::Remove { id },
        5 => MembershipChange::Replace { old: id, new, address: address(new) },
        6 => MembershipChange::Readdress { id, address: format!("other-{id}:7000") },
        _ => {
            let list =
                |bits| chosen(bits).into_iter().map(|id| (id, address(id))).collect::<BTreeMap<_, _>>();
            MembershipChange::Set { voters: list(input.u8()), learners: list(input.u8()) }
        }
    }
}
