//! What will go wrong in a run, when, and how often: drawn from the seed before the run begins, so that a failed run can be
//! repeated with less of it.

use std::fmt;

use super::chance::Chance;
use super::plots::Plot;

pub(super) const MICROSECOND: u64 = 1_000;
pub(super) const MILLISECOND: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

/// A kind of thing that goes wrong, or of work besides commands. Each run turns a random half of them on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// Messages are lost.
    Loss,
    /// Messages come twice.
    Doubles,
    /// Messages overtake each other.
    Disorder,
    /// Messages take long.
    Delay,
    /// Links are cut, one way or both.
    Cut,
    /// Links are slow, one way or both, at once or more and more.
    Slow,
    /// Processes are killed; what they wrote stays with the system.
    Kill,
    /// Power fails: what was not synced is there or not, page by page, sector by sector.
    Power,
    /// Processes stand still.
    Pause,
    /// Syncs take long, or hang.
    SlowDisk,
    /// A sync is refused: the node stops and starts again.
    FailedSync,
    /// A disk has no room for a while.
    FullDisk,
    /// Bits rot while a node is down.
    Rot,
    /// A node comes back without its disk, is removed, and added again.
    Wipe,
    /// Operators change the membership.
    Change,
    /// Operators move the leadership.
    Transfer,
    /// Operators ask for snapshots.
    Snapshot,
    /// Clocks differ, within what leases allow for.
    Drift,
    /// Many commands come at once.
    Burst,
    /// Something waits for a certain moment, and strikes then.
    Ambush,
}

impl Fault {
    pub(super) const ALL: [Self; 20] = [
        Self::Loss,
        Self::Doubles,
        Self::Disorder,
        Self::Delay,
        Self::Cut,
        Self::Slow,
        Self::Kill,
        Self::Power,
        Self::Pause,
        Self::SlowDisk,
        Self::FailedSync,
        Self::FullDisk,
        Self::Rot,
        Self::Wipe,
        Self::Change,
        Self::Transfer,
        Self::Snapshot,
        Self::Drift,
        Self::Burst,
        Self::Ambush,
    ];

    /// Whether it befalls one node, rather than the network or the group.
    pub(super) fn is_at_one_node(self) -> bool {
        let is_elsewhere = matches!(
            self,
            Self::Loss | Self::Doubles | Self::Disorder | Self::Delay | Self::Cut | Self::Slow | Self::Ambush
        );
        !is_elsewhere
    }

    /// How much time passes between two of them, at the rate at which they come most.
    fn interval(self) -> u64 {
        match self {
            Self::Kill
            | Self::Power
            | Self::Pause
            | Self::Cut
            | Self::Transfer
            | Self::Snapshot
            | Self::Change
            | Self::SlowDisk => 2 * SECOND,
            Self::Loss
            | Self::Doubles
            | Self::Disorder
            | Self::Delay
            | Self::FailedSync
            | Self::FullDisk
            | Self::Ambush => 4 * SECOND,
            Self::Rot | Self::Wipe | Self::Slow | Self::Burst => 8 * SECOND,
            Self::Drift => 20 * SECOND,
        }
    }
}

/// What a run is rich in. A little of everything finds less than much of a few things that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    Elections,
    Leases,
    Disks,
    Snapshots,
    Members,
    /// Links that are slow, some of them one way.
    Molasses,
    /// Faults that wait for their moment.
    Ambushes,
    /// One plot, time and again, and a little else.
    Plots,
}

impl Weather {
    const ALL: [Self; 9] = [
        Self::Fair,
        Self::Elections,
        Self::Leases,
        Self::Disks,
        Self::Snapshots,
        Self::Members,
        Self::Molasses,
        Self::Ambushes,
        Self::Plots,
    ];

    /// What always goes wrong in it.
    fn faults(self) -> &'static [Fault] {
        match self {
            Self::Fair | Self::Plots => &[],
            Self::Elections => &[Fault::Cut, Fault::Loss, Fault::Disorder, Fault::Delay, Fault::Kill],
            Self::Leases => &[Fault::Cut, Fault::Delay, Fault::Transfer, Fault::Drift, Fault::Kill],
            Self::Disks => &[Fault::Power, Fault::FailedSync, Fault::Kill, Fault::Rot],
            Self::Snapshots => &[Fault::Cut, Fault::Power, Fault::Change, Fault::Snapshot],
            Self::Members => &[Fault::Change, Fault::Wipe, Fault::Cut, Fault::Transfer],
            Self::Molasses => &[Fault::Slow, Fault::Cut, Fault::Transfer, Fault::Burst],
            Self::Ambushes => &[Fault::Ambush, Fault::Cut, Fault::Transfer, Fault::Snapshot, Fault::Burst],
        }
    }

    /// How often what is not usual in it is there all the same.
    fn has_else(self, stream: &mut Chance) -> bool {
        match self {
            Self::Plots => stream.within(0..8) == 0,
            _ => stream.coin(),
        }
    }

    /// What suits it.
    fn bring(self, plan: &mut Plan, chance: &mut Chance) {
        match self {
            Self::Fair | Self::Plots => {}
            Self::Elections => {
                plan.append_entries_max = chance.spread(1..8) as usize;
                plan.think = chance.spread(MILLISECOND..30 * MILLISECOND);
            }
            Self::Leases | Self::Molasses => plan.think = chance.spread(MILLISECOND..30 * MILLISECOND),
            Self::Disks => {
                plan.large = 20;
                plan.snapshot_entries = chance.spread(8..500);
                plan.think = chance.spread(MILLISECOND..30 * MILLISECOND);
            }
            Self::Snapshots => {
                plan.snapshot_entries = chance.spread(8..64);
                plan.trailing_entries = chance.spread(1..8);
                plan.ballast = 3_000;
                plan.bandwidth = chance.spread(200_000..4_000_000);
            }
            Self::Members => plan.spare_nodes = chance.within(1..4),
            Self::Ambushes => {
                plan.think = chance.spread(MILLISECOND..30 * MILLISECOND);
                plan.snapshot_entries = chance.spread(8..200);
                plan.trailing_entries = chance.spread(1..16);
            }
        }
    }
}

/// How reads are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// By a round of heartbeats each.
    Rounds,
    /// By a lease, with clocks that differ by less than it allows for.
    Lease,
}

/// One thing that goes wrong. Nodes are named by their place, not by their id: whoever stands there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) at: u64,
    pub(super) fault: Fault,
    /// Which node or link.
    pub(super) place: u64,
    /// For how long, in nanoseconds.
    pub(super) lasts: u64,
    /// Whatever else has to be chosen.
    pub(super) choice: u64,
}

/// A whole run before it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) nodes: u64,
    /// Nodes that are there beside the founders, and not members.
    pub(super) spare_nodes: u64,
    pub(super) callers: usize,
    /// How many registers they use.
    pub(super) keys: u8,
    /// Nanoseconds between an answer and the next request, on average.
    pub(super) think: u64,
    /// When faults end.
    pub(super) ends: u64,
    pub(super) reads: Reads,
    pub(super) forwarding: bool,
    pub(super) snapshot_entries: u64,
    pub(super) trailing_entries: u64,
    /// Bytes of a snapshot per command.
    pub(super) ballast: usize,
    /// Parts of a million that are lost, come twice, are late, while that fault is on.
    pub(super) noise: u32,
    pub(super) latency: u64,
    /// Bytes per second of each link.
    pub(super) bandwidth: u64,
    pub(super) sync: u64,
    /// Candidates ask first, and leaders that hear no majority step down.
    pub(super) calm: bool,
    /// How many of a hundred commands are large.
    pub(super) large: u64,
    pub(super) append_entries_max: usize,
    /// Callers who use sessions.
    pub(super) clients: usize,
    /// How many sessions may stand, how much one may have unanswered, and how many bytes all answers may take: if these are few,
    /// the commands that are known may be few too.
    pub(super) sessions_max: u32,
    pub(super) unanswered_max: u32,
    pub(super) answers_bytes_max: u64,
    /// Whether state machines keep their state on disk.
    pub(super) on_disk: bool,
    pub(super) acts: Vec<Act>,
}

impl Plan {
    /// What the seed stands for.
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::stream(seed, "plan");
        let weather = *chance.pick(&Weather::ALL).unwrap_or(&Weather::Fair);
        let mut plotting = Chance::stream(seed, "plot");
        let plot = plotting.pick(&Plot::ALL).copied().filter(|_| weather == Weather::Plots);
        Self::drawn(seed, weather, plot, (chance, plotting))
    }

    /// What the seed would stand for were `plot` its plot.
    pub(super) fn of_plot(seed: u64, plot: Plot) -> Self {
        let streams = (Chance::stream(seed, "plan"), Chance::stream(seed, "plot"));
        Self::drawn(seed, Weather::Plots, Some(plot), streams)
    }

    fn drawn(
        seed: u64,
        weather: Weather,
        plot: Option<Plot>,
        (mut chance, mut plotting): (Chance, Chance),
    ) -> Self {
        let nodes = *chance.pick(&[1, 3, 3, 3, 3, 3, 3, 4, 5, 5, 7]).unwrap_or(&3);
        let leases = weather == Weather::Leases || chance.within(0..4) == 0;
        let leases = plot.map_or(leases, Plot::needs_leases);
        let mut plan = Self {
            seed,
            nodes,
            spare_nodes: if nodes == 1 { 2 } else { chance.within(0..3) },
            callers: chance.within(1..9) as usize,
            keys: chance.within(1..6) as u8,
            think: chance.spread(MILLISECOND..200 * MILLISECOND),
            ends: chance.spread(5 * SECOND..40 * SECOND),
            reads: if leases { Reads::Lease } else { Reads::Rounds },
            calm: leases || chance.coin(),
            large: [0, 2, 20][chance.below(3)],
            bandwidth: chance.spread(500_000..100_000_000),
            forwarding: chance.within(0..4) != 0,
            snapshot_entries: chance.spread(8..1_000),
            trailing_entries: chance.spread(1..100),
            ballast: [0, 0, 50, 3_000][chance.below(4)],
            noise: chance.spread(10_000..500_000) as u32,
            latency: chance.spread(100 * MICROSECOND..20 * MILLISECOND),
            sync: chance.spread(100 * MICROSECOND..20 * MILLISECOND),
            append_entries_max: chance.spread(1..64) as usize,
            clients: 0,
            sessions_max: 1,
            unanswered_max: 1,
            answers_bytes_max: 1 << 24,
            on_disk: false,
            acts: Vec::new(),
        };
        weather.bring(&mut plan, &mut chance);
        plan.bring_clients(&mut Chance::stream(seed, "clients"));
        if let Some(plot) = plot {
            plot.bring(&mut plan, &mut plotting);
        }
        for fault in Fault::ALL {
            let mut stream = Chance::stream(seed, &format!("{fault:?}"));
            let is_usual = weather.faults().contains(&fault);
            if is_usual || weather.has_else(&mut stream) {
                plan.schedule(fault, is_usual, &mut stream);
            }
        }
        plan.acts.sort_by_key(|act| act.at);
        plan
    }

    /// In some runs there are callers who use sessions; in some of these, state machines on disk.
    fn bring_clients(&mut self, chance: &mut Chance) {
        if chance.within(0..3) != 0 {
            return;
        }
        self.clients = chance.within(1..5) as usize;
        self.sessions_max = chance.within(1..2 * self.clients as u64 + 2) as u32;
        self.unanswered_max = chance.within(2..8) as u32;
        self.answers_bytes_max = [1 << 24, 1 << 24, 1 << 24, 120][chance.below(4)];
        self.on_disk = chance.coin();
    }

    /// In weather that has it usually, it comes more often.
    fn schedule(&mut self, fault: Fault, is_usual: bool, stream: &mut Chance) {
        let interval = if is_usual {
            fault.interval() * stream.spread(1..4) / 2
        } else {
            fault.interval() * stream.spread(1..8)
        };
        let mut at = 0;
        loop {
            at += stream.within(1..2 * interval);
            if at >= self.ends {
                return;
            }
            let lasts = match fault {
                Fault::Slow => stream.within(SECOND..8 * SECOND),
                _ => stream.spread(MILLISECOND..8 * SECOND),
            };
            self.acts.push(Act { at, fault, place: stream.next(), lasts, choice: stream.next() });
        }
    }

    /// The same without some of what goes wrong.
    pub(super) fn with_acts(&self, acts: Vec<Act>) -> Self {
        Self { acts, ..self.clone() }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, fault, place, lasts, choice } = self;
        let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
        write!(
            f,
            "{:>10.6} s  {fault:?} at place {}, for {:.3} s, choice {choice:#x}",
            seconds(*at),
            place % 100,
            seconds(*lasts)
        )
    }
}
