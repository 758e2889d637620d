//! What happened, for people: kept only when somebody is going to look. A line says it in words; what a picture draws in its
//! own way is told apart.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::{Act, SECOND};
use crate::consensus::{Raft, RoleName};
use crate::types::{Body, LogIndex, NodeId, PeerMessage, Term};

/// One line of a run.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Something happened at a node.
    Node(NodeId, String),
    /// A process begins there, on what the disk holds.
    Starts { node: NodeId, life: u64, term: Term },
    /// The process there is gone, however it went.
    Ends(NodeId),
    /// It plays another part, or the same in another term.
    Role { node: NodeId, role: RoleName, term: Term },
    /// It knows that more is committed.
    Commits { node: NodeId, commit: LogIndex },
    /// A message arrived.
    Message { from: NodeId, to: NodeId, sent_at: u64, said: Said },
    /// A message never arrives: this is when that was clear.
    Lost { from: NodeId, to: NodeId, sent_at: u64, said: Said },
    /// Something goes wrong, as planned; if it is at one node, at this one.
    Fault { node: NodeId, act: Act },
    /// A caller wants something of a node.
    Asks { caller: usize, node: NodeId, text: String },
    /// A caller is told what came of it; `well` if it was done.
    Told { caller: usize, well: bool, text: String },
    /// Something happened elsewhere: an operator, the network.
    World(String),
}

/// What a message says, in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Heartbeat,
    Append,
    Vote,
    Snapshot,
    Other,
}

/// The lines of a run, oldest first.
#[derive(Debug, Default)]
pub(super) struct Trace {
    is_on: bool,
    pub(super) lines: Vec<Line>,
    /// What each process was when it was looked at last.
    seen: BTreeMap<NodeId, (RoleName, Term, LogIndex)>,
}

impl Trace {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    pub(super) fn add(&mut self, at: u64, what: impl FnOnce() -> What) {
        if self.is_on {
            self.lines.push(Line { at, what: what() });
        }
    }

    /// A node had its turn: what is new about it.
    pub(super) fn look_at(&mut self, at: u64, node: NodeId, raft: &Raft) {
        if !self.is_on {
            return;
        }
        let (role, term, commit) = (raft.role(), raft.term(), raft.commit());
        let before = self.seen.insert(node, (role, term, commit));
        if before.is_none_or(|before| (before.0, before.1) != (role, term)) {
            self.add(at, || What::Role { node, role, term });
        }
        if before.is_some_and(|before| before.2 != commit) {
            self.add(at, || What::Commits { node, commit });
        }
    }

    /// The process there is gone.
    pub(super) fn ends(&mut self, at: u64, node: NodeId) {
        if self.seen.remove(&node).is_some() {
            self.add(at, || What::Ends(node));
        }
    }

    /// The last lines.
    pub(super) fn tail(&self, count: usize) -> &[Line] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }

    /// When the last thing happened.
    pub(super) fn end(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.at)
    }
}

impl Said {
    pub(super) fn by(message: &PeerMessage) -> Self {
        match message {
            PeerMessage::Raft { message, .. } => {
                let (kind, text) = in_words(&message.body);
                Self { kind, text: format!("term {}: {text}", message.term) }
            }
            PeerMessage::Forward(forward) => other(format!("forwards {} commands", forward.commands.len())),
            PeerMessage::Chunk(chunk) => {
                let text = format!("{} bytes of a snapshot at {}", chunk.bytes.len(), chunk.offset);
                Self { kind: Kind::Snapshot, text }
            }
            PeerMessage::Pull(pull) => Self { kind: Kind::Snapshot, text: format!("{pull:?}") },
            message => other(format!("{message:?}")),
        }
    }
}

fn other(text: String) -> Said {
    Said { kind: Kind::Other, text }
}

fn in_words(body: &Body) -> (Kind, String) {
    match body {
        Body::Append(append) => {
            let (prev, count) = (append.slice.prev(), append.slice.entries().len());
            (Kind::Append, format!("append {count} after {prev}, commit {}", append.commit))
        }
        Body::AppendAnswer(answer) => (Kind::Append, format!("{answer:?}")),
        Body::Heartbeat(heartbeat) => {
            let (commit, round) = (heartbeat.commit, heartbeat.round.0);
            (Kind::Heartbeat, format!("heartbeat, round {round}, commit {commit}"))
        }
        Body::HeartbeatAnswer(answer) => {
            let (matched, round) = (answer.matched, answer.round.0);
            (Kind::Heartbeat, format!("confirms round {round}, has {matched}"))
        }
        Body::PreVote { last } => (Kind::Vote, format!("would you vote for me? I end with {last}")),
        Body::PreVoteAnswer { granted } => {
            (Kind::Vote, format!("I would{}", if *granted { "" } else { " not" }))
        }
        Body::Vote { last, transfer } => {
            let asked = if *transfer { ", the leader asked for it" } else { "" };
            (Kind::Vote, format!("vote for me, I end with {last}{asked}"))
        }
        Body::VoteAnswer { granted } => {
            (Kind::Vote, if *granted { "my vote is yours" } else { "no vote" }.to_owned())
        }
        Body::TimeoutNow => (Kind::Vote, "stand for election now".to_owned()),
        Body::SnapshotOffer(meta) => (Kind::Snapshot, format!("offers {meta:?}")),
        Body::ReadIndex { .. } | Body::ReadIndexAnswer { .. } => (Kind::Other, format!("{body:?}")),
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / SECOND as f64;
        write!(f, "{seconds:>12.6}  {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node, text) => write!(f, "{node}      {text}"),
            Self::Starts { node, life, term } => {
                write!(f, "{node}      starts for the {life}. time, in term {term}")
            }
            Self::Ends(node) => write!(f, "{node}      is down"),
            Self::Role { node, role, term } => write!(f, "{node}      {role:?} in term {term}"),
            Self::Commits { node, commit } => write!(f, "{node}      commits up to {commit}"),
            Self::Message { from, to, said, .. } => write!(f, "{from} → {to}  {}", said.text),
            Self::Lost { from, to, said, .. } => write!(f, "{from} ✗ {to}  lost: {}", said.text),
            Self::Fault { node, act } if act.fault.is_at_one_node() => {
                write!(f, "-      fault at {node}: {act}")
            }
            Self::Fault { act, .. } => write!(f, "-      fault: {act}"),
            Self::Asks { caller, node, text } => write!(f, "-      caller {caller} asks {node}: {text}"),
            Self::Told { caller, text, .. } => write!(f, "-      caller {caller} is told {text}"),
            Self::World(text) => write!(f, "-      {text}"),
        }
    }
}
