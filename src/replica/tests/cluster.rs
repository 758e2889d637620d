//! A cluster on one thread. Messages travel in the order in which they were sent; a tick is one unit of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::log::SharedLog;
use crate::consensus::{RaftConfig, RoleName};
use crate::machine::{Codec, MachineError, SnapshotError, StateMachine, Typed};
use crate::metrics::ReplicaMetrics;
use crate::replica::{
    ApplyJob, Change, Event, FetchJob, Jobs, Notice, Proposal, Read, Replica, ReplicaConfig, ReplicaStatus,
    SaveJob, SnapshotNow, Transfer,
};
use crate::storage::SnapshotStore;
use crate::ticket::{
    ChangeError, Permit, ProposeError, ReadError, ReadTask, Reply, SnapshotNowError, StopCause, Ticket,
    TransferError,
};
use crate::types::{
    Append, Body, Boot, ChangeReceipt, Entry, EntryRun, GroupId, Incarnation, LogIndex, LogPosition,
    LogSlice, Membership, MembershipChange, Message, Moment, NodeId, Payload, PeerMessage, SnapshotMeta,
    SnapshotWriter, Term,
};
use crate::workers::{
    Applier, LogFetcher, LogJob, LogWriter, MoverConfig, MoverInput, SnapshotMover, SnapshotSaver,
    TestSnapshots,
};

mod callers;
mod links;

/// How long callers wait, in ticks.
pub(super) const PATIENCE: u64 = 1_000;

/// Remembers every command, and answers with its place and itself: no two answers are alike.
#[derive(Default)]
pub(super) struct Journal(pub(super) Vec<String>);

impl StateMachine for Journal {
    type Command = String;
    type Query = ();
    type Response = String;

    fn apply(&mut self, _at: LogPosition, command: String) -> String {
        self.0.push(command.clone());
        format!("{}: {command}", self.0.len())
    }

    fn query(&self, (): ()) -> String {
        self.0.join(", ")
    }

    /// One command per line: none of these tests has a command of two.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let lines = self.0.clone();
        Ok(Box::new(move |out| lines.iter().try_for_each(|line| writeln!(out, "{line}"))))
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> Result<(), MachineError> {
        let mut text = String::new();
        snapshot.read_to_string(&mut text)?;
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

pub(super) type Answer = Ticket<String, ProposeError>;
pub(super) type Seen = Ticket<String, ReadError>;
/// What an operator will be told.
pub(super) type Told<T, E> = Receiver<Result<T, E>>;
type Tune = fn(&mut ReplicaConfig);
type Lost = fn(u64, u64, &PeerMessage) -> bool;

pub(super) fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("not zero")
}

pub(super) fn body(message: &PeerMessage) -> Option<&Body> {
    match message {
        PeerMessage::Raft { message: Message { body, .. }, .. } => Some(body),
        _ => None,
    }
}

pub(super) fn is_append(message: &PeerMessage) -> bool {
    matches!(body(message), Some(Body::Append(_)))
}

pub(super) fn is_append_answer(message: &PeerMessage) -> bool {
    matches!(body(message), Some(Body::AppendAnswer(_)))
}

/// One node, which does not lead yet.
pub(super) fn one_node() -> Cluster {
    Cluster::of(1, |_| ())
}

/// Three nodes, all connected, none of which leads.
pub(super) fn three_nodes() -> Cluster {
    Cluster::of(3, |_| ())
}

/// The same with other settings.
pub(super) fn three_nodes_with(tune: Tune) -> Cluster {
    Cluster::of(3, tune)
}

/// Five nodes, all connected, none of which leads.
pub(super) fn five_nodes() -> Cluster {
    Cluster::of(5, |_| ())
}

/// The same with other settings.
pub(super) fn five_nodes_with(tune: Tune) -> Cluster {
    Cluster::of(5, tune)
}

/// What becomes of a message under way.
#[derive(Clone, Copy)]
pub(super) enum Transit {
    Deliver,
    Lose,
    /// It arrives, and will once more.
    Double,
    /// It arrives before what was sent earlier.
    Overtake,
}

pub(super) struct Cluster {
    nodes: BTreeMap<u64, Node>,
    now: Moment,
    boots: u64,
    tune: Tune,
    in_transit: VecDeque<(NodeId, NodeId, PeerMessage)>,
    /// Messages on these links are lost.
    cut: BTreeSet<(u64, u64)>,
    /// Nothing is even written on these links.
    unreachable: BTreeSet<(u64, u64)>,
    /// Messages of which this is true are lost.
    lossy: Option<Lost>,
}

pub(super) struct Node {
    pub(super) replica: Replica,
    disk: Disk,
    metrics: Arc<ReplicaMetrics>,
    pub(super) log: SharedLog,
    writer: LogWriter,
    applier: Applier,
    fetcher: LogFetcher,
    saver: SnapshotSaver,
    mover: SnapshotMover,
    writes: Vec<(GroupId, LogJob)>,
    pub(super) applies: Vec<ApplyJob>,
    pub(super) fetches: Vec<FetchJob>,
    pub(super) saves: Vec<SaveJob>,
    to_mover: Vec<MoverInput>,
    pub(super) notices: Vec<Notice>,
    pub(super) held: Held,
}

/// What survives a process.
#[derive(Clone)]
pub(super) struct Disk {
    incarnation: Incarnation,
    joined: bool,
    log: SharedLog,
    pub(super) snapshots: TestSnapshots,
}

/// Which workers do nothing for now.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each worker is held or not")]
pub(super) struct Held {
    pub(super) writer: bool,
    pub(super) applier: bool,
    pub(super) fetcher: bool,
    pub(super) saver: bool,
    pub(super) mover: bool,
}

impl Disk {
    fn founded(incarnation: Incarnation, founding: Entry) -> Self {
        let (log, snapshots) = (SharedLog::founded_with(founding), TestSnapshots::default());
        Self { incarnation, joined: false, log, snapshots }
    }

    fn empty(incarnation: Incarnation) -> Self {
        let (log, snapshots) = (SharedLog::empty(), TestSnapshots::default());
        Self { incarnation, joined: true, log, snapshots }
    }

    /// The newest snapshot from which the log goes on, and the state machine as it was then.
    fn restore(&self) -> (Option<SnapshotMeta>, Journal) {
        let recovered = self.log.recover();
        let mut journal = Journal::default();
        let mut snapshots = self.snapshots.clone();
        let goes_on = |snapshot: &SnapshotMeta| {
            let position = snapshot.position;
            recovered.starts_after == position
                || recovered.entries.iter().any(|entry| entry.position == position)
        };
        let newest = snapshots.list(GroupId::MAIN).expect("a store in memory").into_iter().find(goes_on);
        assert!(
            newest.is_some() || recovered.starts_after == LogPosition::ZERO,
            "the log goes on from nowhere"
        );
        if let Some(snapshot) = &newest {
            let mut source = snapshots.open(GroupId::MAIN, snapshot.id).expect("a snapshot that is listed");
            journal.restore(&mut *source).expect("a good snapshot");
        }
        (newest, journal)
    }
}

impl Cluster {
    fn of(count: u64, tune: Tune) -> Self {
        let members = (1..=count).map(|number| (id(number), format!("host:{number}")));
        let founding = Entry {
            position: LogPosition::new(Term::ZERO, LogIndex(1)),
            payload: Payload::Membership(Arc::new(Membership::founding(members).unwrap())),
        };
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            now: Moment(0),
            boots: 0,
            tune,
            in_transit: VecDeque::new(),
            cut: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            lossy: None,
        };
        for number in 1..=count {
            cluster.start(number, Disk::founded(Incarnation(number), founding.clone()));
        }
        cluster.settle();
        cluster
    }

    fn start(&mut self, number: u64, disk: Disk) {
        self.boots += 1;
        let mut raft = RaftConfig::new(id(number));
        (raft.pre_vote, raft.check_quorum) = (false, false);
        (raft.incarnation, raft.joined) = (Some(disk.incarnation), disk.joined);
        let check =
            Box::new(|command: &[u8]| std::str::from_utf8(command).is_ok_and(|text| text != "malformed"));
        let boot = Boot(self.boots << 32);
        let mut config = ReplicaConfig::new(raft, disk.incarnation, boot, check);
        (self.tune)(&mut config);
        let mover = MoverConfig {
            bytes_per_second: None,
            ask_again_after: Duration::from_nanos(3),
            give_up_after: Duration::from_nanos(60),
        };
        let metrics = Arc::clone(&config.metrics);
        let (snapshot, journal) = disk.restore();
        let applied = snapshot.as_ref().map_or(LogPosition::ZERO, |snapshot| snapshot.position);
        let (log, snapshots) = (disk.log.clone(), || Box::new(disk.snapshots.clone()));
        let node = Node {
            replica: Replica::new(config, log.recover(), snapshot, applied)
                .expect("a log that was written here"),
            writer: LogWriter::new(Box::new(log.clone())),
            applier: Applier::new(Box::new(Typed(journal)), snapshots(), applied),
            fetcher: LogFetcher::new(Box::new(log.clone())),
            saver: SnapshotSaver::new(snapshots()),
            mover: SnapshotMover::new(mover, snapshots(), snapshots()),
            log,
            disk,
            metrics,
            writes: Vec::new(),
            applies: Vec::new(),
            fetches: Vec::new(),
            saves: Vec::new(),
            to_mover: Vec::new(),
            notices: Vec::new(),
            held: Held::default(),
        };
        self.nodes.insert(number, node);
    }

    pub(super) fn node(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).expect("a node of this cluster")
    }

    pub(super) fn status(&self, number: u64) -> ReplicaStatus {
        self.nodes[&number].replica.status()
    }

    pub(super) fn metrics(&self, number: u64) -> &ReplicaMetrics {
        &self.nodes[&number].metrics
    }

    /// The process ends without a word and starts again on the same log.
    pub(super) fn restart(&mut self, number: u64) {
        let crashed = self.nodes.remove(&number).expect("a node of this cluster");
        self.in_transit.retain(|(from, to, _)| *from != id(number) && *to != id(number));
        self.start(number, crashed.disk);
        for other in self.numbers().into_iter().filter(|&other| other != number) {
            self.handle(other, Event::PeerLost { peer: id(number) });
        }
    }

    /// The process ends, and starts again on an empty directory; everybody sees the new one.
    pub(super) fn wipe(&mut self, number: u64) {
        let wiped = self.nodes.remove(&number).expect("a node of this cluster");
        self.in_transit.retain(|(from, to, _)| *from != id(number) && *to != id(number));
        let founding = wiped.log.entries().swap_remove(0);
        let incarnation = Incarnation(number * 11);
        self.start(number, Disk::founded(incarnation, founding));
        for other in self.numbers().into_iter().filter(|&other| other != number) {
            self.handle(other, Event::PeerLost { peer: id(number) });
            self.handle(other, Event::PeerConnected { peer: id(number), incarnation });
        }
    }

    /// A node starts on an empty directory, or on another one than before, and waits to be added; everybody sees it.
    pub(super) fn join(&mut self, number: u64, incarnation: u64) {
        self.nodes.remove(&number);
        self.in_transit.retain(|(from, to, _)| *from != id(number) && *to != id(number));
        let incarnation = Incarnation::of_joiner(incarnation);
        self.start(number, Disk::empty(incarnation));
        for other in self.numbers().into_iter().filter(|&other| other != number) {
            self.handle(other, Event::PeerLost { peer: id(number) });
            self.handle(other, Event::PeerConnected { peer: id(number), incarnation });
            let theirs = self.nodes[&other].disk.incarnation;
            self.handle(number, Event::PeerConnected { peer: id(other), incarnation: theirs });
        }
        self.settle();
    }

    /// The process ends for good.
    pub(super) fn kill(&mut self, number: u64) {
        self.nodes.remove(&number).expect("a node of this cluster");
        for other in self.numbers() {
            self.handle(other, Event::PeerLost { peer: id(number) });
        }
    }

    /// Node 1 sends `entries`, the first ones of its log, to another node.
    pub(super) fn send_log(&mut self, to: u64, entries: &[Entry], term: Term) {
        let metas = entries.iter().map(Entry::meta).collect();
        let slice = LogSlice::new(LogPosition::ZERO, metas).expect("the beginning of a log");
        let message = Message { term, body: Body::Append(Append { slice, commit: LogIndex(1) }) };
        let entries = EntryRun::new(entries.into()).into_iter().collect();
        let message = PeerMessage::Raft { message, entries };
        self.handle(to, Event::Message { from: id(1), message });
        self.settle();
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn stop(&mut self, number: u64, cause: &StopCause) {
        self.nodes.remove(&number).expect("a node of this cluster").replica.stop(cause);
    }

    /// Everybody shows everybody else its data directory.
    pub(super) fn connect_all(&mut self) {
        for number in self.numbers() {
            for other in self.numbers().into_iter().filter(|&other| other != number) {
                let incarnation = self.nodes[&other].disk.incarnation;
                self.handle(number, Event::PeerConnected { peer: id(other), incarnation });
            }
        }
        self.settle();
    }

    /// `number` and everybody else show each other their data directories.
    pub(super) fn reconnect(&mut self, number: u64) {
        let own = self.nodes[&number].disk.incarnation;
        for other in self.numbers().into_iter().filter(|&other| other != number) {
            let theirs = self.nodes[&other].disk.incarnation;
            self.handle(other, Event::PeerConnected { peer: id(number), incarnation: own });
            self.handle(number, Event::PeerConnected { peer: id(other), incarnation: theirs });
        }
    }

    /// How many snapshots were installed on the nodes as they are.
    pub(super) fn installs(&self) -> usize {
        let notices = self.nodes.values().flat_map(|node| &node.notices);
        notices.filter(|notice| matches!(notice, Notice::SnapshotInstalled { .. })).count()
    }

    pub(super) fn handle(&mut self, number: u64, event: Event) {
        let now = self.now;
        self.node(number).replica.handle(event, now);
    }

    /// Time passes at one node alone.
    pub(super) fn tick(&mut self, number: u64, ticks: u32) {
        self.pass_time(number, ticks);
        self.settle();
    }

    /// The same, and nothing follows from it yet.
    pub(super) fn pass_time(&mut self, number: u64, ticks: u32) {
        self.now = Moment(self.now.0 + u64::from(ticks));
        self.handle(number, Event::Tick { ticks });
    }

    /// Time passes at all nodes together.
    pub(super) fn ticks(&mut self, count: u64) {
        for _ in 0..count {
            for number in self.numbers() {
                self.pass_time(number, 1);
            }
            self.settle();
        }
    }

    /// One heartbeat of `leader`.
    pub(super) fn heartbeat(&mut self, leader: u64) {
        self.tick(leader, 1);
    }

    /// Time passes, above all at `number`, until it leads: the others must have forgotten the leader before.
    pub(super) fn elect(&mut self, number: u64) {
        for _ in 0..5 {
            for other in self.numbers() {
                if other != number && self.status(other).role != RoleName::Leader {
                    self.handle(other, Event::Tick { ticks: 10 });
                }
            }
            self.tick(number, 20);
            if self.status(number).role == RoleName::Leader {
                return;
            }
        }
        panic!("node {number} was not elected");
    }

    /// The snapshots of `number`.
    pub(super) fn snapshots(&self, number: u64) -> TestSnapshots {
        self.nodes[&number].disk.snapshots.clone()
    }

    /// What the state machine of `number` holds now.
    pub(super) fn journal(&self, number: u64) -> String {
        let machine = self.nodes[&number].applier.machine();
        machine.as_any().downcast_ref::<Journal>().expect("the machine of these tests").query(())
    }

    /// The log reader of `number`, which is held, does one job.
    pub(super) fn fetch_one(&mut self, number: u64) {
        let node = self.node(number);
        let job = node.fetches.remove(0);
        let fetched = node.fetcher.turn(GroupId::MAIN, job).expect("the log can be read");
        self.handle(number, Event::Fetched(fetched));
        self.settle();
    }

    /// Goes on until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = self.deliver();
            for number in self.numbers() {
                busy |= self.turn(number);
            }
            if !busy {
                return;
            }
        }
        panic!("the cluster never comes to rest");
    }

    /// One turn of one node and its workers; `false` if there was nothing to do.
    pub(super) fn turn(&mut self, number: u64) -> bool {
        let now = self.now;
        let node = self.node(number);
        let jobs = node.replica.turn(now);
        let mut busy = !jobs.is_empty();
        let Jobs { send, write, fetch, apply, release, save, receive, peers: _, notices } = jobs;
        let mut leaving: Vec<_> = send;
        node.writes.extend(write.map(|job| (GroupId::MAIN, LogJob::Write(job))));
        node.writes.extend(release.map(|job| (GroupId::MAIN, LogJob::Release(job))));
        node.fetches.extend(fetch);
        node.applies.extend(apply);
        node.saves.extend(save);
        node.to_mover.extend(receive.map(MoverInput::Receive));
        node.notices.extend(notices);
        for event in node.work(&mut leaving, now) {
            busy = true;
            node.replica.handle(event, now);
        }
        self.in_transit.extend(leaving.into_iter().map(|(to, message)| (id(number), to, message)));
        busy
    }
}

impl Node {
    fn work(&mut self, leaving: &mut Vec<(NodeId, PeerMessage)>, now: Moment) -> Vec<Event> {
        let mut done = Vec::new();
        if !self.held.writer && !self.writes.is_empty() {
            let written = self.writer.turn(std::mem::take(&mut self.writes)).expect("the log takes writes");
            done.extend(written.persisted.into_iter().map(|(_, persisted)| Event::Persisted(persisted)));
            leaving.extend(written.send.into_iter().map(|(_, to, message)| (to, message)));
        }
        if !self.held.fetcher {
            for job in std::mem::take(&mut self.fetches) {
                let fetched = self.fetcher.turn(GroupId::MAIN, job).expect("the log can be read");
                done.push(Event::Fetched(fetched));
            }
        }
        if !self.held.applier {
            let applied = self.applier.turn(std::mem::take(&mut self.applies)).expect("commands decode");
            done.extend(applied);
        }
        if !self.held.saver {
            for job in std::mem::take(&mut self.saves) {
                done.extend(self.saver.turn(job).map(Event::Saved));
            }
        }
        if !self.held.mover {
            for input in std::mem::take(&mut self.to_mover) {
                let moves = self.mover.handle(input, now);
                leaving.extend(moves.send);
                done.extend(moves.events);
            }
            if self.mover.next_tick().is_some_and(|due| due <= now) {
                let moves = self.mover.tick(now);
                leaving.extend(moves.send);
                done.extend(moves.events);
            }
        }
        done
    }
}

/// A deadline that has passed as soon as anybody looks.
#[expect(clippy::disallowed_methods, reason = "a ticket's own deadline, for which no test waits")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
