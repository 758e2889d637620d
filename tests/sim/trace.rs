//! What happened, for people: kept only when somebody is going to look.

use std::fmt;

use super::plan::SECOND;
use crate::types::NodeId;

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
    /// A message arrived.
    Message { from: NodeId, to: NodeId, sent_at: u64, text: String },
    /// Something happened elsewhere: a caller, the network, a law.
    World(String),
}

/// The lines of a run, oldest first.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) is_on: bool,
    pub(super) lines: Vec<Line>,
}

impl Trace {
    pub(super) fn add(&mut self, at: u64, what: impl FnOnce() -> What) {
        if self.is_on {
            self.lines.push(Line { at, what: what() });
        }
    }

    /// The last lines.
    pub(super) fn tail(&self, count: usize) -> &[Line] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / SECOND as f64;
        match &self.what {
            What::Node(node, text) => write!(f, "{seconds:>12.6}  {node}  {text}"),
            What::Message { from, to, text, .. } => write!(f, "{seconds:>12.6}  {from} → {to}  {text}"),
            What::World(text) => write!(f, "{seconds:>12.6}  -  {text}"),
        }
    }
}
