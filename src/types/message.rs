//! What Raft replicas say to each other, without payloads. The bytes are in `wire`, the meaning in `consensus`.

use super::{Boot, LogIndex, LogPosition, LogSlice, NodeId, SnapshotMeta, Term};

/// What a replica must remember before it may speak: its term and whom it voted for in it (figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Who got this replica's vote in `term`.
    pub voted_for: Option<NodeId>,
}

/// A Raft message. `term` is the sender's, but for pre-votes: there it is the term the sender would campaign in, or
/// in a grant the term that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// See above.
    pub term: Term,
    /// What is said.
    pub body: Body,
}

/// The kinds of message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Would you vote for me? Changes nothing at the receiver (thesis §9.6).
    PreVote {
        /// The end of the asker's log.
        last: LogPosition,
    },
    /// Answer to [`Body::PreVote`].
    PreVoteAnswer {
        /// Whether the sender would vote so.
        granted: bool,
    },
    /// Vote for me (§5.2).
    Vote {
        /// The end of the candidate's log.
        last: LogPosition,
        /// The leader itself asked for this election (thesis §3.10): that it lives is no reason to refuse.
        transfer: bool,
    },
    /// Answer to [`Body::Vote`].
    VoteAnswer {
        /// Whether the vote was given.
        granted: bool,
    },
    /// Entries, or a probe if there are none (§5.3).
    Append(Append),
    /// Answer to [`Body::Append`].
    AppendAnswer(AppendAnswer),
    /// I lead; and confirm my round, so that I may answer reads (thesis §6.4).
    Heartbeat(Heartbeat),
    /// Answer to [`Body::Heartbeat`].
    HeartbeatAnswer(HeartbeatAnswer),
    /// From which index on may I read? Asked of the leader.
    ReadIndex {
        /// Chosen by the asker, echoed.
        id: ReadId,
    },
    /// Answer to [`Body::ReadIndex`].
    ReadIndexAnswer {
        /// As in the question.
        id: ReadId,
        /// Apply up to here, then read. `None`: not answered by me; ask whoever leads now.
        index: Option<LogIndex>,
    },
    /// What you need next has left my log: fetch this snapshot from me (§7). Repeated while nothing else helps; answered,
    /// once it is installed or not needed, by [`AppendAnswer::Accepted`].
    SnapshotOffer(SnapshotMeta),
    /// Your log is as good as mine: stand for election now (thesis §3.10).
    TimeoutNow,
}

/// Entries for a follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append {
    /// The entries and the position they follow.
    pub slice: LogSlice,
    /// The leader's commit index; the follower believes it only up to the last entry of `slice`.
    pub commit: LogIndex,
}

/// How a follower took an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendAnswer {
    /// All of it is in the log, durably, up to `matched`.
    Accepted {
        /// The last index known to equal the leader's log.
        matched: LogIndex,
    },
    /// The entry that the slice follows is not in the log.
    Rejected {
        /// The index of that entry: tells late answers from new ones.
        prev: LogIndex,
        /// The follower's last position at or before `prev` whose term does not exceed `prev`'s: the leader
        /// continues below it, and so skips a whole term per round trip (§5.3).
        hint: LogPosition,
    },
}

/// Numbers the rounds in which a leader confirms that it still leads. A late answer to an older round confirms nothing newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

/// A leader's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// The leader's commit index, never above what this follower is known to hold.
    pub commit: LogIndex,
    /// Echoed by the follower.
    pub round: Round,
}

/// A follower's answer to a [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeartbeatAnswer {
    /// The last index that equals the leader's log and is durable here.
    pub matched: LogIndex,
    /// As in the heartbeat.
    pub round: Round,
}

/// Names a follower's read at the leader, across restarts of the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadId {
    /// The process that asks.
    pub boot: Boot,
    /// Its count.
    pub request: u64,
}
