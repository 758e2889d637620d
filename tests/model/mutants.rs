//! Hosts, disks and networks that break one rule each. A law that no mutant can break would prove nothing.

use std::sync::Arc;

use quorate::types::{
    Append, Body, EntryKind, EntryMeta, HardState, LogIndex, LogPosition, LogSlice, Membership, Message,
};

use super::disk::Disk;

/// What is wrong in this world. The replica itself is always the real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing is.
    #[default]
    Nothing,
    /// A crash takes the vote from the disk, not the term.
    ForgetsItsVote,
    /// A crash takes term and vote.
    ForgetsItsTerm,
    /// What should leave behind a write leaves before it.
    SpeaksBeforeItIsDurable,
    /// A write is reported durable when it begins.
    ReportsBeforeItIsDurable,
    /// More is reported durable than was written.
    ReportsWhatItNeverGot,
    /// A crash takes the last durable entry.
    LosesItsLastEntry,
    /// A crash takes all snapshots, not what the log begins behind.
    LosesItsSnapshots,
    /// The disk overwrites an entry in its place and keeps what stood behind it.
    KeepsOverwrittenEntries,
    /// The log's end is taken for applied as soon as it is appended.
    AppliesWhatIsAppended,
    /// A leader answers reads without asking whether it still leads.
    AnswersReadsAtOnce,
    /// A crash ends with an entry of the host's own: the last configuration once more.
    WritesItsOwnConfiguration,
    /// The network changes entries that it delivers twice.
    AltersEntries,
    /// An entry of an older term is taken for committed when a majority holds it.
    CountsOldTerms,
}

impl Mutant {
    /// What the crash does to the disk.
    pub(crate) fn damage(self, disk: &mut Disk) {
        match self {
            Self::ForgetsItsVote => disk.hard_state.voted_for = None,
            Self::ForgetsItsTerm => {
                disk.hard_state = HardState { term: disk.last().term, voted_for: None };
            }
            Self::LosesItsLastEntry if disk.entries.len() > 1 => drop(disk.entries.pop()),
            Self::LosesItsSnapshots => disk.snapshots.clear(),
            Self::WritesItsOwnConfiguration => append_configuration(disk),
            _ => {}
        }
    }

    /// What the network makes of a message that it delivers twice.
    pub(crate) fn alter(self, message: Message) -> Message {
        match (self, message) {
            (Self::AltersEntries, Message { term, body: Body::Append(append) }) => {
                Message { term, body: Body::Append(altered(&append)) }
            }
            (_, message) => message,
        }
    }
}

fn append_configuration(disk: &mut Disk) {
    let last_membership = |entry: &EntryMeta| match &entry.kind {
        EntryKind::Membership(membership) => Some(Arc::clone(membership)),
        _ => None,
    };
    let Some(membership) = disk.entries.iter().rev().find_map(last_membership) else {
        return;
    };
    let last = disk.last();
    let position = LogPosition::new(last.term, last.index.next());
    let kind = EntryKind::Membership(readdressed(&membership));
    disk.entries.push(EntryMeta { position, bytes: 0, kind });
}

fn readdressed(membership: &Membership) -> Arc<Membership> {
    let members = membership.members().map(|(id, _)| (id, format!("elsewhere-{id}:7000")));
    Arc::new(Membership::founding(members).expect("good members"))
}

fn altered(append: &Append) -> Append {
    let longer = |entry: &EntryMeta| EntryMeta { bytes: entry.bytes + 100, ..entry.clone() };
    let entries = append.slice.entries().iter().map(longer).collect();
    let slice = LogSlice::new(append.slice.prev(), entries).expect("the positions are the same");
    Append { slice, commit: append.commit.min(LogIndex(1)) }
}
