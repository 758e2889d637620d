//! Plots: faults that make sense together alone, one shortly behind the other. What chance brings about once in ten thousand
//! runs they bring about in every tenth, and leave enough to chance to find what nobody thought of.

use super::chance::Chance;
use super::plan::{Act, Fault, MICROSECOND, MILLISECOND, Plan, SECOND};
use super::shape::{Await, Blow, Pace, Rot, Shape};

/// What is plotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// The leader and one voter do not hear each other. The voter between them starts anew, and the leader hears nobody for a
    /// while: is the other elected while the leader relies on what the one between had promised?
    ForgottenPromise,
    /// What comes to the leader comes ever later, and then nothing leaves it any more: how old is what it relies on?
    LateAnswers,
    /// What comes to the leader comes late, and it hands over.
    LateHandover,
    /// A voter misses what is committed. Of those who have it one comes back without its disk, as the founder that it once
    /// was, and another goes down.
    WipedWitness,
    /// A leader that is cut off takes many commands; when it is back it gets a snapshot instead, and falls.
    LongTail,
    /// Figure 8: what a leader could give to few, its successor truncates here and not there, and is gone too.
    FewHaveIt,
    /// Some stand for election, and hear of their votes late.
    LateVotes,
    /// Much is written, and of the segment that it went to a byte rots in front of what was durable.
    RottenHead,
}

impl Plot {
    pub(super) const ALL: [Self; 8] = [
        Self::ForgottenPromise,
        Self::LateAnswers,
        Self::LateHandover,
        Self::WipedWitness,
        Self::LongTail,
        Self::FewHaveIt,
        Self::LateVotes,
        Self::RottenHead,
    ];

    /// Whether it is about leases.
    pub(super) fn needs_leases(self) -> bool {
        matches!(self, Self::ForgottenPromise | Self::LateAnswers | Self::LateHandover)
    }

    /// What suits it, and the thing itself, time and again.
    pub(super) fn bring(self, plan: &mut Plan, chance: &mut Chance) {
        (plan.nodes, plan.spare_nodes) = (if self == Self::FewHaveIt { 5 } else { 3 }, 0);
        plan.callers = chance.within(3..9) as usize;
        plan.think = chance.spread(MILLISECOND..20 * MILLISECOND);
        plan.latency = chance.spread(100 * MICROSECOND..5 * MILLISECOND);
        plan.sync = chance.spread(100 * MICROSECOND..5 * MILLISECOND);
        match self {
            Self::LongTail => {
                plan.snapshot_entries = chance.spread(8..32);
                plan.trailing_entries = chance.spread(1..4);
            }
            Self::FewHaveIt | Self::LateVotes => plan.calm = false,
            Self::RottenHead => plan.large = 20,
            _ => {}
        }
        let mut at = chance.within(SECOND..3 * SECOND);
        while at < plan.ends {
            let mut scene = Scene { at, nodes: plan.nodes, chance, acts: Vec::new() };
            self.play(&mut scene);
            plan.acts.extend(scene.acts.into_iter().filter(|act| act.at < plan.ends));
            at += chance.within(5 * SECOND..9 * SECOND);
        }
    }

    fn play(self, scene: &mut Scene<'_>) {
        let [one, other, third] = scene.three_nodes();
        match self {
            Self::ForgottenPromise => {
                scene.add(0, 4_000, Fault::Cut, one, Shape::FromTheLeader.choice());
                let restarts = scene.between(1_100, 3_500);
                let back = scene.between(1, 60);
                scene.add(restarts, 900, Fault::Cut, LEADER, Shape::Deaf.choice());
                scene.add(restarts, back, Fault::Kill, other, 0);
            }
            Self::LateAnswers => {
                let (late, mute) = (scene.between(20, 63), scene.between(1_500, 5_000));
                scene.add(0, 8_000, Fault::Slow, LEADER, Shape::Deaf.slow(Pace::EverSlower, late));
                scene.add(mute, 4_000, Fault::Cut, LEADER, Shape::Dumb.choice());
            }
            Self::LateHandover => {
                let (late, goes) = (scene.between(1, 8), scene.between(500, 1_500));
                scene.add(0, 4_000, Fault::Slow, LEADER, Shape::Deaf.slow(Pace::Late, late));
                scene.add(goes, 1, Fault::Transfer, LEADER, 0);
            }
            Self::WipedWitness => {
                let back = scene.between(1_500, 3_000);
                let (wiped, down) = (scene.between(900, 1_300), scene.between(0, 300));
                scene.add(0, back, Fault::Cut, one, Shape::Alone.choice());
                scene.add(back - wiped, 1, Fault::Wipe, other, 0);
                scene.add(back - down, 6_000, Fault::Kill, third, 0);
            }
            Self::LongTail => {
                let (lasts, many) = (scene.between(500, 4_000), scene.between(0, 8));
                let operations = scene.between(0, 32);
                scene.add(0, lasts, Fault::Cut, LEADER, Shape::Alone.choice());
                scene.add(1, 1, Fault::Burst, LEADER, many);
                scene.add(lasts, 200, Fault::Ambush, LEADER, Await::Received.choice(Blow::Power, operations));
            }
            Self::FewHaveIt => {
                let (lasts, few) = (scene.between(2_500, 5_000), scene.between(0, 3));
                scene.add(
                    0,
                    lasts,
                    Fault::Cut,
                    one,
                    Shape::OneWay.choice_of([one, other].map(Place::number)),
                );
                scene.add(5, 1, Fault::Burst, LEADER, few);
                scene.add(6, 4_000, Fault::Ambush, LEADER, Await::Elected.choice(Blow::DumbButToOne, 0));
            }
            Self::LateVotes => {
                let late = scene.between(8, 24);
                scene.add(0, 8_000, Fault::Slow, one, Shape::Everybody.slow(Pace::Late, late));
                scene.add(1, 3_000, Fault::Cut, LEADER, Shape::Dumb.choice());
            }
            Self::RottenHead => {
                let (rots, byte) = (scene.between(20, 900), scene.between(0, 1 << 20));
                scene.add(0, 1, Fault::Burst, LEADER, byte);
                scene.add(rots, 100, Fault::Rot, one, Rot::Newest.choice(byte));
            }
        }
    }
}

/// Whoever leads when it happens.
const LEADER: Place = Place(None);

/// A node by its place, or the leader.
#[derive(Clone, Copy)]
struct Place(Option<u64>);

impl Place {
    fn number(self) -> u64 {
        self.0.unwrap_or(0)
    }

    /// As acts name it.
    fn of_act(self) -> u64 {
        self.0.map_or(0, |place| place << 1 | 1)
    }
}

/// One time that it is played.
struct Scene<'a> {
    at: u64,
    nodes: u64,
    chance: &'a mut Chance,
    acts: Vec<Act>,
}

impl Scene<'_> {
    /// A number of `least..most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.chance.within(least..most)
    }

    /// The places of three founders.
    fn three_nodes(&mut self) -> [Place; 3] {
        let first = self.chance.within(0..self.nodes);
        let second = (first + self.chance.within(1..self.nodes)) % self.nodes;
        let third = (0..self.nodes).find(|place| *place != first && *place != second);
        [Some(first), Some(second), third].map(Place)
    }

    /// `after` so many milliseconds, and for so many.
    fn add(&mut self, after: u64, lasts: u64, fault: Fault, place: Place, choice: u64) {
        let (at, lasts) = (self.at + after * MILLISECOND, lasts * MILLISECOND);
        self.acts.push(Act { at, fault, place: place.of_act(), lasts, choice });
    }
}
