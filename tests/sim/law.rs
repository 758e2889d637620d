//! The laws, and what it takes to understand that one was broken.

use std::fmt;
use std::sync::Arc;

use crate::types::{HardState, LogIndex, LogPosition, Membership, NodeId, Term};

use super::machine::{CommandId, Done};

/// A law that was broken, and the facts. Nodes are named by their ids.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Broken {
    /// §5.2: a term has one leader at most.
    TwoLeaders { term: Term, first: NodeId, second: NodeId },
    /// §5.2: a node gives one vote per term, also across crashes.
    VotedTwice { voter: NodeId, term: Term, first: NodeId, second: NodeId },
    /// Figure 2: terms never fall while a process runs, nor below what it had made durable.
    TermWentBack { node: NodeId, was: Term, is: Term },
    /// Figure 2: the commit index never falls while a process runs.
    CommitWentBack { node: NodeId, was: LogIndex, is: LogIndex },
    /// §5.3: equal positions mean equal entries and equal logs before them.
    LogsDiffer { node: NodeId, at: LogPosition, was: String, is: String },
    /// §5.4: what is committed stays, and is in the log of every later leader.
    CommittedLost { leader: NodeId, term: Term, committed: LogPosition },
    /// §5.4: nor does anybody drop it who had it for good, be it to write it anew, and has heard of the term in which it was
    /// committed.
    CommittedDropped { node: NodeId, term: Term, committed: LogPosition },
    /// §5.4: an index is committed with one entry only.
    CommittedTwice { node: NodeId, was: LogPosition, is: LogPosition },
    /// §5.3, §5.4: an entry is committed only when a majority of the configuration in force holds it durably.
    NotOnMajority {
        leader: NodeId,
        committed: LogPosition,
        membership: Arc<Membership>,
        holders: Vec<NodeId>,
    },
    /// §5.4.3: state machines apply the committed entries, each once per process, in order.
    AppliedDiffers { node: NodeId, at: LogPosition, expected: Option<CommandId>, applied: CommandId },
    /// Equal pasts make equal states.
    StatesDiffer { node: NodeId, at: LogPosition, expected: Done, is: Done },
    /// Equal pasts make equal tables of sessions, through snapshots and restarts.
    SessionsDiffer { node: NodeId, at: LogPosition, expected: String, is: String },
    /// A session's answer is kept until the session has it.
    AnswerLost { caller: usize, command: CommandId },
    /// A promise leaves only when it is durable.
    SentBeforeDurable { node: NodeId, message: String, durable: HardState, last: LogPosition },
    /// §6: one change of the configuration at a time, and every two in succession share a majority.
    TwoChanges { node: NodeId, first: LogIndex, second: LogIndex },
    /// Thesis §6.2: who hears no majority leads no more.
    LeadsUnheard { node: NodeId, term: Term },
    /// Whoever becomes a voter has its data directory in the configuration that makes it one: before that it gives no vote.
    UnnamedVoter { node: NodeId, at: LogPosition, voter: NodeId },
    /// §6: whatever majority decides after a change has met those who decided before it.
    Disjoint { node: NodeId, was: Arc<Membership>, is: Arc<Membership> },
    /// §6: the configuration in force is the latest one in the log or in the snapshot in front of it.
    WrongMembership { node: NodeId, index: LogIndex, was: Arc<Membership>, is: Arc<Membership> },
    /// What comes back from the disk is what was written.
    RecoveredWrong { node: NodeId, what: String },
    /// A directory that nothing has damaged can be opened.
    CannotStart { node: NodeId, error: String },
    /// A caller was told something else than what happened.
    WrongAnswer { caller: usize, command: CommandId, told: Done, is: Option<Done> },
    /// A command was applied though its caller was told that it never would be.
    AppliedAfterAll { caller: usize, command: CommandId, at: LogPosition, told: String },
    /// A command took effect before its caller began.
    BeforeItsTime { caller: usize, command: CommandId, at: LogIndex, committed: LogIndex },
    /// A command was applied twice.
    AppliedTwice { command: CommandId, first: LogPosition, second: LogPosition },
    /// §8: a read sees everything that was committed when it began.
    StaleRead { caller: usize, saw: LogIndex, committed: LogIndex },
    /// A read saw a value that never stood there at that point.
    WrongValue { caller: usize, key: u8, at: LogIndex, saw: u64, was: u64 },
    /// No queue grows beyond its bound.
    QueueTooLong { node: NodeId, queue: &'static str, length: usize },
    /// Our own assertion, or a panic that should not be.
    Panicked { node: NodeId, message: String },
    /// A worker stopped its node though nothing was wrong with the disk.
    Stopped { node: NodeId, cause: String },
    /// When all faults are gone the cluster serves within a bounded time.
    NotLive { what: String },
    /// The recorded history has no order that explains it.
    NotLinearizable { what: String },
}

impl Broken {
    /// The law's name alone.
    pub(super) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
