//! One node: its disk and its clock, which outlive processes, and the process that runs there now. A process is the real
//! replica, the real workers and the real log; only its threads are missing. What a thread would do next is done when the
//! world says so.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::image::{Image, SharedImage, Witness};
use super::machine::{Registers, Tape};
use super::plan::{Fault, MILLISECOND, Plan, Reads, SECOND};
use super::shelf::SharedShelf;
use crate::consensus::RaftConfig;
use crate::machine::{Model, Sessions, is_entry_of};
use crate::replica::{ApplyJob, Event, FetchJob, Jobs, PeersJob, Replica, ReplicaConfig, SaveJob};
use crate::runtime::{TickCounter, restore_from};
use crate::storage::disk::files::Files;
use crate::storage::disk::simulated::SimulatedDisk;
use crate::storage::disk::simulated::faulty::{self, FaultyDisk, What};
use crate::storage::disk::simulated::losses::Cache;
use crate::storage::disk::{DiskConfig, DiskLog};
use crate::storage::{Identity, Recovered, Storage, Upkeep};
use crate::ticket::StopCause;
use crate::types::{
    Boot, ClusterId, Entry, GroupId, HardState, Incarnation, LogPosition, Moment, NodeId, PeerMessage,
};
use crate::workers::{
    Applier, LogFetcher, LogJob, LogWriter, MoverConfig, MoverInput, SnapshotMover, SnapshotSaver,
};

pub(super) const TICK: u64 = 50 * MILLISECOND;
pub(super) const ELECTION_TICKS: u32 = 20;
const HEARTBEAT_TICKS: u32 = 2;
/// As many as are counted at once after a pause.
const TICKS_AT_ONCE: u32 = 5;
/// By how many percent clocks may run fast or slow under leases.
pub(super) const DRIFT_PERCENT: u64 = 10;
pub(super) const ELECTION: u64 = TICK * ELECTION_TICKS as u64;

/// What outlives a process.
pub(super) struct Host {
    pub(super) id: NodeId,
    pub(super) disk: SimulatedDisk,
    pub(super) image: SharedImage,
    /// What its state machine stores, if that keeps its state on disk.
    pub(super) shelf: SharedShelf,
    /// What stood on the disk that was lost: what it had acknowledged was durable.
    pub(super) former: Option<Image>,
    /// The clock of the machine: it shows `clock_at` at `clock_since`, and runs at that many parts of a million of the
    /// world's.
    clock_at: u64,
    clock_since: u64,
    clock_ppm: u64,
    /// It waits to be added, should its directory be empty.
    pub(super) joins: bool,
    /// After so many syncs more one is refused, and its pages count as clean from then on.
    sync_fails: Arc<Mutex<Option<(u64, Cache)>>>,
}

/// What runs there.
pub(super) struct Process {
    pub(super) replica: Replica,
    pub(super) incarnation: Incarnation,
    /// What its state machine held when it started.
    pub(super) began: LogPosition,
    /// `None` while it waits to be added.
    pub(super) cluster: Option<ClusterId>,
    pub(super) peers: Option<PeersJob>,
    pub(super) tape: Tape,
    writer: LogWriter,
    applier: Applier,
    fetcher: LogFetcher,
    saver: SnapshotSaver,
    mover: SnapshotMover,
    upkeep: Option<Box<dyn Upkeep>>,
    queues: Queues,
    ticks: TickCounter,
    full: [bool; 2],
}

/// What waits for each worker.
#[derive(Default)]
struct Queues {
    log: Vec<(GroupId, LogJob)>,
    /// What the log writer has begun with.
    writing: Vec<(GroupId, LogJob)>,
    applies: Vec<ApplyJob>,
    fetches: Vec<FetchJob>,
    saves: Vec<SaveJob>,
    moves: Vec<MoverInput>,
    busy: [bool; 5],
}

/// Who does what the engine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worker {
    Writer,
    Applier,
    Fetcher,
    Saver,
    Mover,
}

impl Worker {
    pub(super) const ALL: [Self; 5] = [Self::Writer, Self::Applier, Self::Fetcher, Self::Saver, Self::Mover];
}

/// What a worker or the engine has done.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) events: Vec<Event>,
    pub(super) send: Vec<(NodeId, PeerMessage)>,
}

impl Host {
    pub(super) fn new(id: NodeId, seed: u64, joins: bool) -> Self {
        let disk = SimulatedDisk::default();
        disk.seed(seed ^ id.get());
        let clock_at = id.get() * SECOND;
        Self {
            id,
            disk,
            image: SharedImage::default(),
            shelf: SharedShelf::default(),
            former: None,
            clock_at,
            clock_since: 0,
            clock_ppm: 1_000_000,
            joins,
            sync_fails: Arc::default(),
        }
    }

    /// What its clock shows.
    pub(super) fn clock(&self, now: u64) -> Moment {
        let passed = u128::from(now - self.clock_since) * u128::from(self.clock_ppm) / 1_000_000;
        Moment(self.clock_at + passed as u64)
    }

    /// From now on its clock runs at another speed.
    pub(super) fn set_clock(&mut self, ppm: u64, now: u64) {
        (self.clock_at, self.clock_since, self.clock_ppm) = (self.clock(now).0, now, ppm);
    }

    /// How long a duration of its clock takes in the world.
    pub(super) fn in_world(&self, nanos: u64) -> u64 {
        (u128::from(nanos) * 1_000_000 / u128::from(self.clock_ppm)) as u64 + 1
    }

    /// A sync will be refused, and what it should have written is lost: the cache keeps it, or forgets it too.
    pub(super) fn refuse_sync_after(&self, syncs: u64, cache: Cache) {
        *self.sync_fails.lock() = Some((syncs, cache));
    }

    /// The sync that was to be refused will not be.
    pub(super) fn refuse_no_sync(&self) {
        *self.sync_fails.lock() = None;
    }

    /// The disk as the log sees it. That some syncs fail costs time at every operation: only where it is planned.
    fn files(&self, plan: &Plan) -> Arc<dyn Files> {
        if !plan.acts.iter().any(|act| act.fault == Fault::FailedSync) {
            return Arc::new(self.disk.clone());
        }
        let sync_fails = Arc::clone(&self.sync_fails);
        Arc::new(FaultyDisk::new(&self.disk, move |operation, _| {
            let mut sync_fails = sync_fails.lock();
            let (syncs, cache) = sync_fails.as_mut().filter(|_| operation.what == What::Sync)?;
            if *syncs > 0 {
                *syncs -= 1;
                return None;
            }
            let cache = *cache;
            *sync_fails = None;
            Some(faulty::Fault::LostSync(cache))
        }))
    }

    /// The disk is replaced by an empty one.
    pub(super) fn wipe(&mut self, seed: u64, joins: bool) {
        self.disk = SimulatedDisk::default();
        self.disk.seed(seed);
        self.shelf = SharedShelf::default();
        let lost = std::mem::take(&mut self.image);
        self.former = Some(lost.lock().clone());
        self.joins = joins;
    }

    /// Opens the log and starts on it, as `Node::start` does.
    pub(super) fn start(
        &mut self,
        plan: &Plan,
        founding: (ClusterId, &Entry),
        seed: u64,
        now: u64,
    ) -> Result<Process, Refused> {
        let config = DiskConfig::new("/node", self.id).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
        let log = DiskLog::open_on(self.files(plan), config).map_err(Refused::of)?;
        let mut log = Witness { log, image: Arc::clone(&self.image) };
        let identity = match log.identity() {
            Some(identity) => Some(identity),
            None if self.joins => None,
            None => {
                let incarnation = Incarnation::of_founder(seed);
                let identity = Identity { node: self.id, cluster: founding.0, incarnation, joined: false };
                log.found(identity, &[(GroupId::MAIN, Some(founding.1.clone()))]).map_err(Refused::of)?;
                Some(identity)
            }
        };
        let recovered = log.recovered().remove(&GroupId::MAIN).unwrap_or_else(nothing);
        if self.image.lock().founded || identity.is_some() {
            self.image.lock().reconcile(&recovered).map_err(Refused::Wrong)?;
        }
        let tape = Tape::default();
        let registers = if plan.on_disk {
            Registers::on(&self.shelf, Arc::clone(&tape), plan.ballast)
        } else {
            Registers::new(Arc::clone(&tape), plan.ballast)
        };
        let mut machine = Sessions::new(registers).map_err(Refused::of)?;
        let began = restore_from(&mut *log.snapshots(), &recovered, &mut machine).map_err(Refused::of)?;
        let incarnation =
            identity.map_or_else(|| Incarnation::of_joiner(seed), |identity| identity.incarnation);
        let joined = identity.is_none_or(|identity| identity.joined);
        let mut config = replica_config(plan, self.id, incarnation, joined, seed);
        config.machine_on_disk = began.on_disk;
        let replica = Replica::new(config, recovered, began.snapshot, began.applied).map_err(Refused::of)?;
        Ok(self.assemble(replica, log, machine, began.applied, (incarnation, identity), tape, now))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a process")]
    fn assemble(
        &self,
        replica: Replica,
        log: Witness,
        machine: Sessions<Registers>,
        applied: LogPosition,
        (incarnation, identity): (Incarnation, Option<Identity>),
        tape: Tape,
        now: u64,
    ) -> Process {
        let mover = MoverConfig {
            bytes_per_second: None,
            ask_again_after: Duration::from_nanos(ELECTION),
            give_up_after: Duration::from_nanos(20 * ELECTION),
        };
        Process {
            replica,
            incarnation,
            began: applied,
            cluster: identity.map(|identity| identity.cluster),
            peers: None,
            tape,
            applier: Applier::new(Box::new(machine), log.snapshots(), applied),
            fetcher: LogFetcher::new(log.reader()),
            saver: SnapshotSaver::new(log.snapshots()),
            mover: SnapshotMover::new(mover, log.snapshots(), log.snapshots()),
            upkeep: log.upkeep(),
            writer: LogWriter::new(Box::new(log)),
            queues: Queues::default(),
            ticks: TickCounter::new(Duration::from_nanos(TICK), TICKS_AT_ONCE, self.clock(now)),
            full: [false; 2],
        }
    }
}

/// Why a process did not start.
#[derive(Debug)]
pub(super) enum Refused {
    /// By the words of the code.
    Named(String),
    /// What came back from the disk is not what was written.
    Wrong(String),
}

impl Refused {
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    fn of(error: impl ToString) -> Self {
        Self::Named(error.to_string())
    }
}

fn nothing() -> Recovered {
    Recovered {
        hard_state: HardState::default(),
        starts_after: LogPosition::ZERO,
        membership: None,
        entries: Vec::new(),
    }
}

fn replica_config(
    plan: &Plan,
    id: NodeId,
    incarnation: Incarnation,
    joined: bool,
    seed: u64,
) -> ReplicaConfig {
    let mut raft = RaftConfig::new(id);
    (raft.heartbeat_ticks, raft.election_ticks) = (HEARTBEAT_TICKS, ELECTION_TICKS);
    (raft.pre_vote, raft.check_quorum) = (plan.calm, plan.calm);
    raft.append_entries_max = plan.append_entries_max;
    raft.append_bytes_max = 4 << 10;
    raft.in_flight_messages_max = 8;
    raft.in_flight_bytes_max = 16 << 10;
    (raft.incarnation, raft.joined, raft.seed) = (Some(incarnation), joined, seed);
    if plan.reads == Reads::Lease {
        // What the runtime derives: a follower that may count so many ticks at once elects nobody for the others.
        let quiet = TICK * u64::from(ELECTION_TICKS - TICKS_AT_ONCE - 1);
        raft.lease = Some(quiet * (100 - DRIFT_PERCENT) / (100 + DRIFT_PERCENT));
    }
    let check = Box::new(|entry: &[u8]| is_entry_of::<Registers>(entry, 1 << 20));
    let mut config = ReplicaConfig::new(raft, incarnation, Boot(seed), check);
    config.forwarding = plan.forwarding;
    config.snapshot_entries = plan.snapshot_entries;
    config.trailing_entries = plan.trailing_entries;
    config.tail_bytes_max = 8 << 10;
    config.apply_bytes_in_flight_max = 8 << 10;
    config.proposals_max = 256;
    config.reads_max = 256;
    config
}

impl Process {
    /// The engine's turn: its jobs wait for their workers.
    pub(super) fn turn(&mut self, clock: Moment) -> (Vec<(NodeId, PeerMessage)>, Option<PeersJob>) {
        let jobs = self.replica.turn(clock);
        let Jobs { send, write, fetch, apply, release, save, receive, peers, notices: _ } = jobs;
        let group = GroupId::MAIN;
        self.queues.log.extend(write.map(|job| (group, LogJob::Write(job))));
        self.queues.log.extend(release.map(|job| (group, LogJob::Release(job))));
        self.queues.fetches.extend(fetch);
        self.queues.applies.extend(apply);
        self.queues.saves.extend(save);
        self.queues.moves.extend(receive.map(MoverInput::Receive));
        (send, peers)
    }

    /// A hello named the cluster to which it shall belong.
    pub(super) fn adopt(&mut self, id: NodeId, cluster: ClusterId) {
        self.cluster = Some(cluster);
        let identity = Identity { node: id, cluster, incarnation: self.incarnation, joined: true };
        self.queues.log.push((GroupId::MAIN, LogJob::Found(identity)));
    }

    /// Who begins to work now: those who have something to do and are at rest.
    pub(super) fn begin(&mut self) -> Vec<Worker> {
        let Queues { log, writing, applies, fetches, saves, moves, busy } = &mut self.queues;
        let waits =
            [!log.is_empty(), !applies.is_empty(), !fetches.is_empty(), !saves.is_empty(), !moves.is_empty()];
        let mut beginning = Vec::new();
        for worker in Worker::ALL {
            if waits[worker as usize] && !busy[worker as usize] {
                busy[worker as usize] = true;
                beginning.push(worker);
            }
        }
        if beginning.contains(&Worker::Writer) {
            *writing = take(log);
        }
        beginning
    }

    /// Does all that it began with, or all that waits.
    pub(super) fn work(&mut self, worker: Worker, clock: Moment) -> Result<Outcome, StopCause> {
        let mut done = Outcome::default();
        self.queues.busy[worker as usize] = false;
        match worker {
            Worker::Writer => {
                let jobs = take(&mut self.queues.writing);
                self.write(jobs, &mut done)?;
            }
            Worker::Applier => done.events = self.applier.turn(take(&mut self.queues.applies))?,
            Worker::Fetcher => {
                for job in take(&mut self.queues.fetches) {
                    done.events.push(Event::Fetched(self.fetcher.turn(GroupId::MAIN, job)?));
                }
            }
            Worker::Saver => {
                for job in take(&mut self.queues.saves) {
                    done.events.extend(self.saver.turn(job).map(Event::Saved));
                }
            }
            Worker::Mover => {
                for input in take(&mut self.queues.moves) {
                    let moves = self.mover.handle(input, clock);
                    done.send.extend(moves.send);
                    done.events.extend(moves.events);
                }
            }
        }
        Ok(done)
    }

    fn write(&mut self, jobs: Vec<(GroupId, LogJob)>, done: &mut Outcome) -> Result<(), StopCause> {
        let written = self.writer.turn(jobs)?;
        done.send.extend(written.send.into_iter().map(|(_, to, message)| (to, message)));
        done.events.extend(written.persisted.into_iter().map(|(_, persisted)| Event::Persisted(persisted)));
        if let Some(is_full) = written.disk_full {
            done.events.extend(self.found_room(0, is_full));
        }
        Ok(())
    }

    /// What a thread does that nobody calls: counts time, tries again, looks after space.
    pub(super) fn tick(&mut self, clock: Moment) -> Result<Outcome, StopCause> {
        let mut done = Outcome::default();
        let ticks = self.ticks.elapsed(clock);
        if ticks > 0 {
            done.events.push(Event::Tick { ticks });
        }
        if self.mover.next_tick().is_some_and(|due| due <= clock) {
            let moves = self.mover.tick(clock);
            done.send.extend(moves.send);
            done.events.extend(moves.events);
        }
        if self.writer.is_full() && self.queues.writing.is_empty() {
            self.write(Vec::new(), &mut done)?;
        } else if self.queues.log.is_empty() && self.queues.writing.is_empty() {
            self.writer.settle()?;
        }
        self.keep_up(&mut done)?;
        Ok(done)
    }

    fn keep_up(&mut self, done: &mut Outcome) -> Result<(), StopCause> {
        let Some(upkeep) = &mut self.upkeep else { return Ok(()) };
        let is_full = loop {
            match upkeep.turn() {
                Ok(true) => {}
                Ok(false) => break false,
                Err(error) if error.is_recoverable() => break true,
                Err(error) => return Err(StopCause::Storage(error.to_string().into())),
            }
        };
        done.events.extend(self.found_room(1, is_full));
        Ok(())
    }

    /// The disk counts as full while the writer or the upkeep says so.
    fn found_room(&mut self, finder: usize, is_full: bool) -> Option<Event> {
        let before = self.full.contains(&true);
        self.full[finder] = is_full;
        let after = self.full.contains(&true);
        (before != after).then_some(Event::DiskFull(after))
    }

    pub(super) fn hear(&mut self, input: MoverInput) {
        self.queues.moves.push(input);
    }

    pub(super) fn machine(&self) -> &Registers {
        self.applier.machine().as_any().downcast_ref().expect("the machine of these tests")
    }

    /// The table of its sessions.
    pub(super) fn sessions(&self) -> Model {
        self.applier.machine().sessions()
    }

    /// How much waits for each worker.
    pub(super) fn waiting(&self) -> [(&'static str, usize); 5] {
        let Queues { log, applies, fetches, saves, moves, .. } = &self.queues;
        [
            ("log", log.len()),
            ("applies", applies.len()),
            ("fetches", fetches.len()),
            ("saves", saves.len()),
            ("moves", moves.len()),
        ]
    }
}
