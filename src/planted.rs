//! Bugs, planted on purpose, that the tests' net must catch. Outside the library's own test build there are none.
//!
//! Each stands in the real code where it would have been made, as one more condition: `term >= self.term() ||
//! planted(Bug::…)`. In every build but that of the library's own tests [`planted`] is a constant `false`, so that nothing
//! of it is left. There it asks a switch of its own thread, and a test sets that with `plant`: it holds as long as the
//! value that comes back.
//!
//! Every bug says which rule it breaks, and in brackets who is expected to notice: a law of the simulator, or an assertion
//! of the code itself, which may come first. Those of leases can be seen only where leases are on.

#[cfg(test)]
use std::cell::Cell;

/// The enum, and the list of all its variants in the tests' build.
macro_rules! bugs {
    ($($(#[doc = $sentence:literal])+ $bug:ident,)+) => {
        /// What can be broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[doc = $sentence])+ $bug,)+
        }

        #[cfg(test)]
        impl Bug {
            /// Every one of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$bug,)+];
        }
    };
}

bugs! {
    // Elections.
    /// A request of an older term is granted in the voter's own: §5.1, a stale request is rejected (`VotedTwice`).
    VotesInOldTerms,
    /// A vote is free although it was given: §5.2, one vote per term (`VotedTwice`; an assertion if it was the own
    /// one).
    VotesTwice,
    /// A candidate counts votes that were given to it in an older term: §5.1 (`TwoLeaders`).
    CountsLateVotes,
    /// The disk gets the term without the vote: §5.2, it survives a crash (`RecoveredWrong`, `VotedTwice`).
    ForgetsVotes,
    /// A voter compares how long logs are and not their last terms: §5.4.1 (`CommittedLost`).
    ComparesIndexAlone,
    /// A vote, like whatever names a new term, leaves before it is on disk: §5.2 (`SentBeforeDurable`).
    AnswersVotesBeforeSync,
    /// A message names a term that is not on disk: after a crash the term goes back, §5.1 (`SentBeforeDurable`).
    RevealsUnsyncedTerms,

    // Replication and commit.
    /// An entry of an older term commits by counting: §5.4.2, Figure 8 (`CommittedLost`).
    CommitsOldTerms,
    /// A leader counts what its own disk does not hold yet: thesis §10.2.1 (`NotOnMajority`).
    CountsUnsyncedLog,
    /// A follower accepts an append before it is on disk: §5.3 (`SentBeforeDurable`, `NotOnMajority`).
    AnswersBeforeSync,
    /// A heartbeat's answer claims what is not on disk: §5.3 (`SentBeforeDurable`, `NotOnMajority`).
    HeartbeatClaimsUnsynced,
    /// The write of an entry that was overwritten since proves the entry in its place (`NotOnMajority`).
    CountsOverwrittenWrites,
    /// A heartbeat tells more than the follower is known to match, and is believed: §5.3 (an assertion: committed an
    /// entry that may not be the leader's; `AppliedDiffers`).
    CommitsUnverified,
    /// A follower drops matching entries with all behind them, to append them again: §5.3 (`NotOnMajority`,
    /// `CommittedLost`).
    DeletesMatching,
    /// The same, even below what is committed: §5.4 (an assertion: committed an entry the log does not hold).
    TruncatesCommitted,
    /// Entries are appended behind one that the leader's log does not have: §5.3 (`LogsDiffer`; an assertion if
    /// the term
    /// falls).
    AppendsBehindMismatch,
    /// A probe that is lost is never sent again: the follower gets nothing any more (`NotLive`).
    ProbesOnce,
    /// Appends that are lost stay in flight for ever: the follower never gets them (`NotLive`).
    LostAppendsStayInFlight,
    /// A leader that hears no quorum leads on: thesis §6.2. Seen where it is heard and hears nobody (`NotLive`).
    NeverStepsDown,

    // Reads.
    /// A leader answers a read without asking whether it still leads: thesis §6.4 (`StaleRead`).
    ReadsWithoutRound,
    /// A new leader answers reads before it knows what is committed: thesis §6.4 (`StaleRead`).
    ReadsBeforeNoop,
    /// A read is confirmed by answers to a round that was sent before it came: thesis §6.4 (`StaleRead`).
    ReadsJoinOlderRounds,
    /// A read does not wait until the state machine holds its index: thesis §6.4 (`StaleRead`).
    ReadsBeforeApply,
    /// A question that was lost is asked again under the same id: a late answer confirms younger reads (`StaleRead`).
    ReusesReadIds,
    /// A lease counts from about when an answer came, not from when its round was sent: thesis §6.4.1, leases
    /// (`StaleRead`).
    LeaseFromReceipt,
    /// A lease holds although a successor was told to stand for election: thesis §6.4.1 (`StaleRead`).
    LeaseOutlivesTransfer,
    /// A voter that restarts hears candidates although a lease may rest on it: thesis §6.4.1 (`StaleRead`).
    ForgetsPromises,

    // Membership.
    /// A joint configuration decides by its incoming half: §6 (`NotOnMajority`, `TwoLeaders`).
    CountsOneHalf,
    /// The joint configuration is left before it is committed: §6 (`TwoChanges`).
    LeavesJointEarly,
    /// A joint configuration that is committed is never left: §6 (an assertion that says so; `NotLive`).
    NeverLeavesJoint,
    /// A configuration counts from its commit on, so that who was removed decides and who came does not: §6
    /// (`NotOnMajority`, `TwoLeaders`).
    ConfigAtCommit,
    /// Learners are counted like voters: thesis §4.2.1 (`NotOnMajority`; seen with two learners, or an even number
    /// of voters).
    CountsLearners,
    /// A second change begins while one is not committed: thesis §4.1 (`TwoChanges`; an assertion if the first is
    /// joint).
    ChangesAtOnce,
    /// A node becomes a voter before the group knows its data directory, until when it gives no vote (`UnnamedVoter`,
    /// `NotLive`).
    MakesVotersOfStrangers,
    /// A node that came back without what it promised is heard as if nothing had happened, at the door and behind it
    /// (`CommittedLost`).
    HearsTheWiped,

    // Snapshots.
    /// The configuration of the old log stays in force behind an installed snapshot: §7 (`LogsDiffer`, `TwoLeaders`).
    KeepsConfigBehindSnapshot,
    /// A snapshot names the latest configuration, not that of its last entry: §7 (`LogsDiffer`, `TwoLeaders`).
    SnapshotNamesLatestConfig,
    /// The log keeps what lies behind the position of an installed snapshot: §7 (`RecoveredWrong`).
    RestartKeepsTail,
    /// The log is dropped beyond the newest snapshot, up to what was applied: §7 (`CannotStart`, `NotLive`;
    /// assertions).
    CompactsBeyondSnapshot,
    /// A picture holds more than its position says, so that entries are applied again behind it (`AppliedTwice`,
    /// `StatesDiffer`).
    PicturesHoldMore,
    /// What was received of a snapshot before is gone on with unjudged (`CannotStart`, `Stopped`).
    ResumesUnjudged,
    /// A snapshot gets its name before its content is on disk, and the log goes (`CannotStart`, `Stopped`).
    NamesSnapshotUnsynced,
    /// The log before a snapshot goes before the snapshot's name is on disk (`CannotStart`).
    ReleasesBeforeSnapshotIsNamed,
    /// A block of a snapshot is not compared with its checksum (`StatesDiffer`; seen where files rot).
    BelievesRottenBlocks,

    // Callers.
    /// A forward that arrives twice is appended twice (`AppliedTwice`).
    AppendsForwardsTwice,
    /// A forward of an older term is appended after its caller was told that it never will be (`AppliedAfterAll`).
    TakesLateForwards,
    /// Each process numbers its forwards from zero, and takes the entries of the one before for its own (`WrongAnswer`).
    IgnoresBoots,
    /// A superseded caller is answered with the entry in its place (`WrongAnswer`; an assertion where two wait for
    /// one place).
    AnswersSuperseded,
    /// At its deadline a caller is told that its command was not applied: it may commit yet (`AppliedAfterAll`).
    DeniesAtDeadline,
    /// Callers of truncated entries are told that they were not applied: a later leader may bring them back
    /// (`AppliedAfterAll`).
    DeniesTruncated,
    /// The first command of a batch is skipped where nobody waits for it (`StatesDiffer`, `AppliedDiffers`).
    SkipsCommands,

    // Sessions.
    /// A snapshot is written without the sessions: thesis §6.3 (`SessionsDiffer`).
    SnapshotsForgetSessions,
    /// A machine on disk is opened without the sessions that it stored (`SessionsDiffer`).
    ForgetsSidecars,
    /// A command of a session that has gone is executed as the first of a new one (`AppliedDiffers`, `AppliedTwice`).
    RevivesSessions,
    /// A command that its session has done with is executed again (`AppliedDiffers`, `AppliedTwice`).
    ExecutesTheAcknowledged,
    /// A session counts as used only where somebody waits for the answer (`SessionsDiffer`).
    CountsLocalUse,
    /// Answers are kept only where somebody waits for them (`SessionsDiffer`).
    KeepsAwaitedAnswers,

    // The log on disk.
    /// Segments share one salt: what a recycled file held before parses (`CannotStart`).
    SharesSalts,
    /// A write returns without a sync (`RecoveredWrong`, `NotOnMajority`).
    WritesUnsynced,
    /// A sync that failed is tried again and believed (`RecoveredWrong`; seen where a failed sync drops its pages).
    RetriesFailedSyncs,
    /// The directory is not synced after a segment got its name (`CannotStart`).
    NamesSegmentUnsynced,
    /// The directory is not synced before a released segment is used again (`CannotStart`).
    RecyclesUnsynced,
    /// The records of a torn batch are believed, since its header is whole (`RecoveredWrong`, `CannotStart`).
    BelievesTornBatches,
    /// Damage in front of what was durable is cut like a torn end (`RecoveredWrong`; seen where files rot).
    CutsTheAcknowledged,
    /// A new segment does not restate term and vote: they go with the old ones (`RecoveredWrong`, `VotedTwice`).
    ForgetsToRestate,
    /// A release keeps the configuration of the one before (`CannotStart`).
    ReleaseKeepsOldConfig,
    /// Whatever is released, all segments but the newest go (`CannotStart`; an assertion if they are read).
    ReleasesNeededSegments,
}

/// Whether `bug` is there. It is not.
#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Whether `bug` is there, in this thread and now.
#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(test)]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// From now on `bug` is there, in this thread, until what is returned is dropped.
///
/// # Panics
/// If another one is there: which of them would have been caught?
#[cfg(test)]
pub(crate) fn plant(bug: Bug) -> Planted {
    let before = PLANTED.replace(Some(bug));
    assert!(before.is_none(), "one bug at a time: {before:?} is there");
    Planted(())
}

/// A bug is there as long as this is.
#[cfg(test)]
#[must_use = "the bug goes when this is dropped"]
pub(crate) struct Planted(());

#[cfg(test)]
impl Drop for Planted {
    fn drop(&mut self) {
        PLANTED.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bug_that_is_planted_is_there_alone_and_goes_with_its_guard() {
        for &bug in Bug::ALL {
            let guard = plant(bug);
            let there: Vec<_> = Bug::ALL.iter().copied().filter(|&other| planted(other)).collect();
            assert_eq!(there, [bug]);

            drop(guard);
            assert!(!planted(bug));
        }
    }

    #[test]
    fn other_threads_have_none() {
        let _planted = plant(Bug::VotesTwice);

        let there = std::thread::spawn(|| planted(Bug::VotesTwice));

        assert!(!there.join().unwrap());
    }

    #[test]
    #[should_panic(expected = "one bug at a time: Some(VotesTwice) is there")]
    fn two_at_once_are_refused() {
        let _first = plant(Bug::VotesTwice);
        let _second = plant(Bug::ForgetsVotes);
    }
}
