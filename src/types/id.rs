//! Who is who: nodes, groups, clusters, data directories, processes.

use std::fmt;
use std::num::NonZeroU64;

/// Names a host: one process and its data directory. The same in all groups of that host; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// `None` for zero, which no node may be called.
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a number, never zero.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One Raft group. Many groups may share a host's threads, log and socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group that `Node::start` opens.
    pub const MAIN: Self = Self(1);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a cluster: a hash of its first membership and its name, so that unequal founding lists refuse each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Drawn at random when a data directory is made. A node that comes back with another one lost its disk, and with
/// it every promise it made.
///
/// The uppermost bit is not drawn: it says how the directory began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    const JOINED: u64 = 1 << 63;

    /// That of a founding member, made of a random number.
    pub(crate) fn of_founder(random: u64) -> Self {
        Self(random & !Self::JOINED)
    }

    /// That of a node that joins a cluster which is there already, made of a random number.
    pub(crate) fn of_joiner(random: u64) -> Self {
        Self(random | Self::JOINED)
    }

    /// Whether the directory began empty. A node on such a one votes and leads only once a membership names it, while one
    /// that founds a cluster, if only for the second time, does so at once.
    pub(crate) fn has_joined(self) -> bool {
        self.0 & Self::JOINED != 0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Drawn at random when a process starts: tells requests of this run from those of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Boot(pub u64);
