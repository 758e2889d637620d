//! One connection as far as it matters to whom it is for and what is on it; its bytes are elsewhere.

use std::time::{Duration, Instant};

use super::endpoints::EndpointId;
use super::owed::{Owed, To};
use crate::types::NodeId;
use crate::wire::client::REQUEST_HEAD_BYTES_MAX;

/// How many requests of one connection are unanswered at most, and what they take; and how many there may be from the oldest
/// that is. Beyond it, requests wait here. A node with its default limits takes somewhat more: it refuses none for its number.
const COUNT_MAX: usize = 1000;
const BYTES_MAX: usize = 6 << 20;
const SPAN_MAX: usize = 65_536;

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) endpoint: EndpointId,
    pub(super) stage: Stage,
    /// It is to be closed, and of no use any more: why.
    pub(super) condemned: Option<Condemned>,
}

/// Why we close a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condemned {
    /// It said or did what no node would, or nothing at all.
    Failed(String),
    /// We will not talk to it, or it not to us: only a person can change why.
    Refused(String),
    /// There is another connection with the same node.
    Double,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is being dialled, or has not said who it is.
    Greeting {
        /// How long we wait for that.
        until: Instant,
    },
    /// It has said who it is, and has yet to say who belongs to the cluster.
    Welcomed { until: Instant, node: NodeId, frame_bytes_max: u32 },
    /// Requests may be sent.
    Standing(Box<Standing>),
}

/// A connection on which requests and answers flow.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) node: NodeId,
    pub(super) since: Instant,
    /// The longest frame that the node takes.
    pub(super) frame_bytes_max: u32,
    /// Who leads, as this node said last, and when that was among all that was said.
    pub(super) leader: Option<NodeId>,
    pub(super) told: u64,
    /// Who belongs to the cluster, as this node said last.
    pub(super) members: Vec<(NodeId, String)>,
    pub(super) owed: Owed,
    /// Something of use was answered here.
    pub(super) answered: bool,
    /// How many bytes of requests may be unanswered. One request may be larger.
    pub(super) bytes_max: usize,
    /// Nothing was heard since, although something is owed.
    pub(super) quiet_since: Instant,
    /// When to look next whether it lives.
    pub(super) look_at: Instant,
    /// A sign of life is asked for.
    pub(super) is_asked: bool,
    /// Another node says that it leads now, and this one led: it may be gone without a word.
    pub(super) is_suspect: bool,
}

impl Standing {
    /// A connection with this node, on which nothing was said yet.
    pub(super) fn new(node: NodeId, frame_bytes_max: u32, now: Instant) -> Self {
        Self {
            node,
            since: now,
            frame_bytes_max,
            leader: None,
            told: 0,
            members: Vec::new(),
            owed: Owed::default(),
            answered: false,
            bytes_max: BYTES_MAX,
            quiet_since: now,
            look_at: now,
            is_asked: false,
            is_suspect: false,
        }
    }

    /// Whether one more request may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.owed.count() < COUNT_MAX && self.owed.bytes() < self.bytes_max && self.owed.span() < SPAN_MAX
    }

    /// A request of so many bytes is sent: its id.
    pub(super) fn push(
        &mut self,
        to: To,
        bytes: usize,
        now: Instant,
        within: Duration,
        silence: Duration,
    ) -> u64 {
        if self.owed.is_empty() {
            (self.quiet_since, self.look_at) = (now, now + silence / 3);
        }
        self.owed.push(to, bytes + REQUEST_HEAD_BYTES_MAX, now + within + silence)
    }

    /// How it lives, when `silence` is what we put up with while answers are owed.
    pub(super) fn look(&mut self, now: Instant, silence: Duration) -> Life {
        let interval = silence / 3;
        self.look_at = now + interval;
        let quiet = now.saturating_duration_since(self.quiet_since);
        let limit = if self.is_suspect { interval * 2 } else { silence };
        if self.owed.is_empty() {
            Life::Lives
        } else if self.owed.is_late(now) {
            Life::Late
        } else if quiet >= limit {
            Life::Silent
        } else if quiet >= interval && !self.is_asked {
            Life::Quiet
        } else {
            Life::Lives
        }
    }
}

/// What can be said of the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Nothing is wrong.
    Lives,
    /// Nothing was heard for a while: ask.
    Quiet,
    /// Nothing was heard for too long.
    Silent,
    /// Something is heard, but not what is owed.
    Late,
}

impl Link {
    pub(super) fn new(endpoint: EndpointId, until: Instant) -> Self {
        Self { endpoint, stage: Stage::Greeting { until }, condemned: None }
    }

    /// What it is once requests may be sent, unless it is to be closed.
    pub(super) fn standing(&self) -> Option<&Standing> {
        match &self.stage {
            Stage::Standing(standing) if self.condemned.is_none() => Some(standing),
            _ => None,
        }
    }

    pub(super) fn standing_mut(&mut self) -> Option<&mut Standing> {
        match &mut self.stage {
            Stage::Standing(standing) if self.condemned.is_none() => Some(standing),
            _ => None,
        }
    }

    /// Who is at its other end, if it has said so.
    pub(super) fn node(&self) -> Option<NodeId> {
        match &self.stage {
            Stage::Greeting { .. } => None,
            Stage::Welcomed { node, .. } => Some(*node),
            Stage::Standing(standing) => Some(standing.node),
        }
    }

    /// When to look after it next.
    pub(super) fn look_at(&self) -> Option<Instant> {
        match &self.stage {
            _ if self.condemned.is_some() => None,
            Stage::Greeting { until } | Stage::Welcomed { until, .. } => Some(*until),
            Stage::Standing(standing) if standing.owed.is_empty() => None,
            Stage::Standing(standing) => Some(standing.look_at),
        }
    }
}
