//! What the choice of an act says: a number of which each kind of fault reads its own bits.

use super::plan::MILLISECOND;

/// Which links are cut, or slow. The first four bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// All of the node that is struck.
    Alone,
    /// It hears nobody.
    Deaf,
    /// Nobody hears it.
    Dumb,
    /// All between two sides; who stands where, the bits from the eighth on say.
    Sides,
    /// Each hears its neighbours only.
    Ring,
    /// Two sides, and one node between them.
    Bridge,
    /// Between the node that is struck and whoever leads.
    FromTheLeader,
    /// One side hears the other, and not the other way round.
    OneWay,
    /// All.
    Everybody,
}

impl Shape {
    const ALL: [Self; 9] = [
        Self::Alone,
        Self::Deaf,
        Self::Dumb,
        Self::Sides,
        Self::Ring,
        Self::Bridge,
        Self::FromTheLeader,
        Self::OneWay,
        Self::Everybody,
    ];

    pub(super) fn of(choice: u64) -> Self {
        Self::ALL[(choice & 15) as usize % Self::ALL.len()]
    }

    pub(super) fn choice(self) -> u64 {
        self as u64
    }

    /// With the nodes at these places on the one side.
    pub(super) fn choice_of(self, places: [u64; 2]) -> u64 {
        places.iter().fold(self.choice(), |choice, place| choice | 1 << (8 + place))
    }

    /// Slow, by up to `steps` times [`STEP`].
    pub(super) fn slow(self, pace: Pace, steps: u64) -> u64 {
        self.choice() | (pace as u64) << 4 | steps << 48
    }
}

/// Which side the node at `place` is on.
pub(super) fn side(choice: u64, place: u64) -> u64 {
    (choice >> (8 + place)) & 1
}

/// By how much a slow link is late, at least.
const STEP: u64 = 50 * MILLISECOND;

/// How a link becomes slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Late,
    /// A message is late by so much of the time since it began: a quarter, a half, all of it.
    Slower,
    EverSlower,
    Stalling,
}

/// How late what is sent on a slow link arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowness {
    since: u64,
    most: u64,
    pace: Pace,
}

impl Slowness {
    pub(super) fn of(choice: u64, since: u64) -> Self {
        let pace = [Pace::Late, Pace::Slower, Pace::EverSlower, Pace::Stalling][(choice >> 4 & 3) as usize];
        Self { since, most: STEP * (1 + (choice >> 48 & 63)), pace }
    }

    pub(super) fn at(self, now: u64) -> u64 {
        let passed = now - self.since;
        match self.pace {
            Pace::Late => self.most,
            Pace::Slower => self.most.min(passed / 4),
            Pace::EverSlower => self.most.min(passed / 2),
            Pace::Stalling => self.most.min(passed),
        }
    }
}

/// For what an ambush waits. The first three bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Await {
    /// Somebody was elected.
    Elected,
    /// A leader tells another to stand for election.
    Told,
    /// Somebody has received a snapshot.
    Received,
    /// Somebody drops entries from its log.
    Truncated,
    /// Somebody writes a joint configuration.
    Joint,
    /// Somebody gives its vote.
    Voted,
    /// Somebody has taken a snapshot.
    Saved,
    /// A leader offers a snapshot.
    Offered,
}

impl Await {
    const ALL: [Self; 8] = [
        Self::Elected,
        Self::Told,
        Self::Received,
        Self::Truncated,
        Self::Joint,
        Self::Voted,
        Self::Saved,
        Self::Offered,
    ];

    pub(super) fn of(choice: u64) -> Self {
        Self::ALL[(choice & 7) as usize]
    }

    pub(super) fn choice(self, blow: Blow, operations: u64) -> u64 {
        self as u64 | (blow as u64) << 3 | operations << 8
    }
}

/// What an ambush does to the node where that happens. The next three bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    Kill,
    /// Its power fails in one of the next operations of its disk: in which, the bits from the eighth on say.
    Power,
    /// It hears nobody.
    Deaf,
    /// Nobody hears it.
    Dumb,
    /// Both.
    Alone,
    /// Only one hears it: who led before it, if somebody did.
    DumbButToOne,
    /// It stands still.
    Pause,
    /// Not it, but whoever leads is killed.
    KillTheLeader,
}

impl Blow {
    const ALL: [Self; 8] = [
        Self::Kill,
        Self::Power,
        Self::Deaf,
        Self::Dumb,
        Self::Alone,
        Self::DumbButToOne,
        Self::Pause,
        Self::KillTheLeader,
    ];

    pub(super) fn of(choice: u64) -> Self {
        Self::ALL[(choice >> 3 & 7) as usize]
    }
}

/// After how many operations of the disk power fails.
pub(super) fn operations(choice: u64) -> u64 {
    choice >> 8 & 31
}

/// Which file rots. The seventh and eighth bit; where in it, the bits from the eighth on say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rot {
    Segment,
    Snapshot,
    /// The segment that is written.
    Newest,
}

impl Rot {
    pub(super) fn of(choice: u64) -> Self {
        [Self::Segment, Self::Snapshot, Self::Newest, Self::Snapshot][(choice >> 6 & 3) as usize]
    }

    pub(super) fn choice(self, place: u64) -> u64 {
        (self as u64) << 6 | place << 8 | place & 7
    }
}
