//! One replica with its workers, on a log in memory, among peers of which any may lie.
//!
//! What a peer says comes as the body of a frame, as off a wire, or made to fit what the replica knows. Whatever it is, the
//! replica and its workers go on; and when the node stops, everybody who waits is told.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::engine::incarnation_of;
use super::engine::messages::{Known, NODES, address, any_change, any_message, any_node, next_entries, node};
use super::input::Input;
use crate::consensus::RaftConfig;
use crate::machine::{MachineError, SnapshotError, StateMachine, Typed};
use crate::replica::{
    ApplyJob, Change, Event, FetchJob, Jobs, Proposal, Read as ReadEvent, Replica, ReplicaConfig, SaveJob,
    SnapshotNow, Transfer,
};
use crate::storage::memory::MemoryLog;
use crate::storage::{Identity, Storage};
use crate::ticket::{Permit, ReadTask, Reply, StopCause};
use crate::types::{
    Append, Body, Boot, ClusterId, Entry, EntryKind, EntryRun, Forward, Forwarded, GroupId, LogIndex,
    LogPosition, LogSlice, Membership, Message, Moment, NodeId, Origin, Payload, PeerMessage, SnapshotWriter,
    Term,
};
use crate::wire::frame::Frame;
use crate::wire::peer;
use crate::workers::{
    Applier, LogFetcher, LogJob, LogWriter, MoverConfig, MoverInput, SnapshotMover, SnapshotSaver,
};

/// Longer walks say nothing new.
const EVENTS_MAX: usize = 400;
/// No payload is longer that is made here.
const COMMAND_BYTES_MAX: u32 = 300;
/// So long callers wait, in ticks.
const PATIENCE: u64 = 200;

/// Any events in any order.
///
/// One byte of settings, then events, each a byte and what it needs.
pub fn replica(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut scene = Scene::new(&mut input);
    for _ in 0..EVENTS_MAX {
        if input.is_empty() || scene.has_stopped {
            break;
        }
        scene.event(&mut input);
    }
    scene.stop();
}

/// A state machine that takes anything.
#[derive(Default)]
struct Pile(Vec<u8>);

impl StateMachine for Pile {
    type Command = Bytes;
    type Query = ();
    type Response = Bytes;

    fn apply(&mut self, _at: LogPosition, command: Bytes) -> Bytes {
        self.0.extend(command.iter().take(8));
        command
    }

    fn query(&self, (): ()) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let pile = self.0.clone();
        Ok(Box::new(move |out| out.write_all(&pile)))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        self.0.clear();
        io::copy(snapshot, &mut self.0)?;
        Ok(())
    }
}

struct Scene {
    replica: Replica,
    writer: LogWriter,
    applier: Applier,
    fetcher: LogFetcher,
    saver: SnapshotSaver,
    mover: SnapshotMover,
    writes: Vec<(GroupId, LogJob)>,
    applies: Vec<ApplyJob>,
    fetches: Vec<FetchJob>,
    saves: Vec<SaveJob>,
    to_mover: Vec<MoverInput>,
    now: Moment,
    asked: usize,
    /// How many were told something.
    told: Arc<AtomicUsize>,
    has_stopped: bool,
}

impl Scene {
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.u8();
        let is_set = |bit: u8| flags >> bit & 1 == 1;
        let mut raft = RaftConfig::new(node(1));
        (raft.election_ticks, raft.append_entries_max) = (4, 3);
        (raft.pre_vote, raft.check_quorum) = (is_set(0), is_set(1));
        (raft.joined, raft.incarnation) = (is_set(2), Some(incarnation_of(node(1))));
        let mut config = ReplicaConfig::new(raft, incarnation_of(node(1)), Boot(1), Box::new(|_| true));
        (config.tail_bytes_max, config.apply_bytes_in_flight_max) = (500, 700);
        (config.snapshot_entries, config.trailing_entries) = (12, 3);
        (config.command_bytes_max, config.proposals_max, config.reads_max) = (1 << 10, 16, 8);
        (config.forwarding, config.auto_promote) = (!is_set(3), is_set(4));

        let founders = if is_set(5) { 1 } else { 3 };
        let mut log = MemoryLog::new();
        let (incarnation, joined) = (incarnation_of(node(1)), is_set(2));
        let identity = Identity { node: node(1), cluster: ClusterId(5), incarnation, joined };
        let founding = (!joined).then(|| founding(founders));
        log.found(identity, &[(GroupId::MAIN, founding)]).expect("a blank log");
        let recovered = log.recovered().remove(&GroupId::MAIN).expect("it was founded");
        let mover = MoverConfig {
            bytes_per_second: None,
            ask_again_after: Duration::from_nanos(3),
            give_up_after: Duration::from_nanos(60),
        };
        Self {
            replica: Replica::new(config, recovered, None, LogPosition::ZERO).expect("a founded log"),
            applier: Applier::new(Box::new(Typed(Pile::default())), log.snapshots(), LogPosition::ZERO),
            fetcher: LogFetcher::new(log.reader()),
            saver: SnapshotSaver::new(log.snapshots()),
            mover: SnapshotMover::new(mover, log.snapshots(), log.snapshots()),
            writer: LogWriter::new(Box::new(log)),
            writes: Vec::new(),
            applies: Vec::new(),
            fetches: Vec::new(),
            saves: Vec::new(),
            to_mover: Vec::new(),
            now: Moment(1_000),
            asked: 0,
            told: Arc::default(),
            has_stopped: false,
        }
    }

    fn event(&mut self, input: &mut Input<'_>) {
        match input.below(20) {
            0 => self.tick(1),
            1 => self.tick(u32::from(input.u8())),
            2..=4 => self.turn(),
            5 => self.write(),
            6 => self.apply(),
            7 => self.fetch(),
            8 => self.save(),
            9 => self.all_work(),
            10..=12 => self.hear(input),
            13 => {
                if let Some(message) = next_entries(input, &self.known()) {
                    let from = self.replica.leader().unwrap_or(node(2));
                    self.receive_raft(from, message);
                }
            }
            14 => self.propose(input),
            15 => self.read(),
            16 => self.wish(input),
            17 => self.peer_comes_or_goes(input),
            18 => self.forward(input),
            _ => self.frame(input),
        }
    }

    fn known(&self) -> Known {
        let status = self.replica.status();
        let last = LogPosition::new(status.term, status.last_index);
        Known {
            term: status.term,
            commit: status.commit,
            first: status.first_index,
            last,
            membership: status.membership,
            terms: std::collections::BTreeMap::new(),
        }
    }

    fn tick(&mut self, ticks: u32) {
        self.now = Moment(self.now.0 + u64::from(ticks));
        self.handle(Event::Tick { ticks });
    }

    fn handle(&mut self, event: Event) {
        self.replica.handle(event, self.now);
    }

    /// A message that fits what the replica knows, or nearly.
    fn hear(&mut self, input: &mut Input<'_>) {
        let from = any_peer(input);
        if let Some(message) = any_message(input, &self.known()) {
            self.receive_raft(from, message);
        }
    }

    fn receive_raft(&mut self, from: NodeId, mut message: Message) {
        let mut entries = Vec::new();
        if let Body::Append(Append { slice, .. }) = &mut message.body {
            let carried: Vec<_> = slice.entries().iter().map(entry_of).collect();
            let metas = carried.iter().map(Entry::meta).collect();
            *slice = LogSlice::new(slice.prev(), metas).expect("the same positions");
            entries.extend(EntryRun::new(carried.into()));
        }
        self.receive(from, PeerMessage::Raft { message, entries });
    }

    /// A frame's body off the wire, whatever it says.
    fn frame(&mut self, input: &mut Input<'_>) {
        let (from, kind, length) = (any_peer(input), input.u8(), usize::from(input.u8()));
        let body = Bytes::copy_from_slice(input.bytes(length));
        if let Ok(Some(message)) = peer::decode(Frame { kind, group: GroupId::MAIN, body }) {
            self.receive(from, message);
        }
    }

    /// As the runtime hands it on: pieces of snapshots go past the engine, but for those who mistake the way.
    fn receive(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Pull(pull) => self.to_mover.push(MoverInput::Pull { from, pull }),
            PeerMessage::Chunk(chunk) => self.to_mover.push(MoverInput::Chunk { from, chunk }),
            message => self.handle(Event::Message { from, message }),
        }
    }

    fn forward(&mut self, input: &mut Input<'_>) {
        let from = any_peer(input);
        let term = Term(input.near(self.replica.term().0));
        let origin = Origin {
            node: any_node(input),
            incarnation: incarnation_of(from),
            boot: Boot(u64::from(input.u8() % 3)),
            request: u64::from(input.u8() % 16),
        };
        let commands = (0..input.below(4)).map(|nth| {
            let origin = Origin { request: origin.request + nth as u64, ..origin };
            Forwarded { origin, command: Bytes::copy_from_slice(input.bytes(3)) }
        });
        let forward = Forward { term, commands: commands.collect() };
        self.receive(from, PeerMessage::Forward(forward));
    }

    fn propose(&mut self, input: &mut Input<'_>) {
        let answer = self.answer();
        let (reply, ticket) =
            Reply::pair(Permit::free(), never(), |response| Ok(Bytes::copy_from_slice(response)));
        ticket.on_done(move |_| answer());
        let command = vec![7; usize::from(input.u8())].into();
        let deadline = Moment(self.now.0 + PATIENCE);
        self.handle(Event::Propose(Proposal { command, reply, deadline }));
    }

    fn read(&mut self) {
        let answer = self.answer();
        let (task, ticket) = ReadTask::pair(Permit::free(), never(), |pile: &Pile| pile.query(()));
        ticket.on_done(move |_| answer());
        let deadline = Moment(self.now.0 + PATIENCE);
        self.handle(Event::Read(ReadEvent { task, deadline }));
    }

    fn wish(&mut self, input: &mut Input<'_>) {
        let answer = self.answer();
        let deadline = Moment(self.now.0 + PATIENCE);
        let event = match input.below(4) {
            0 => {
                let to = input.bool().then(|| any_node(input));
                Event::Transfer(Transfer { to, answer: Box::new(move |_| answer()), deadline })
            }
            1 => Event::SnapshotNow(SnapshotNow { answer: Box::new(move |_| answer()), deadline }),
            _ => {
                let expected = (input.below(4) == 0).then(|| LogIndex(u64::from(input.u8())));
                let change = any_change(input);
                Event::Change(Change { change, expected, answer: Box::new(move |_| answer()), deadline })
            }
        };
        self.handle(event);
    }

    fn peer_comes_or_goes(&mut self, input: &mut Input<'_>) {
        let peer = any_peer(input);
        match input.below(8) {
            0 => {
                self.to_mover.push(MoverInput::PeerLost(peer));
                self.handle(Event::PeerLost { peer });
            }
            1 => self.handle(Event::DiskFull(input.bool())),
            2 => {
                let mut incarnation = incarnation_of(peer);
                incarnation.0 += u64::from(input.u8() % 2);
                self.handle(Event::PeerConnected { peer, incarnation });
            }
            _ => self.handle(Event::PeerConnected { peer, incarnation: incarnation_of(peer) }),
        }
    }

    /// Counts somebody who waits.
    fn answer(&mut self) -> impl FnOnce() + Send + 'static {
        self.asked += 1;
        let told = Arc::clone(&self.told);
        move || _ = told.fetch_add(1, Ordering::Relaxed)
    }

    fn turn(&mut self) {
        let jobs = self.replica.turn(self.now);
        let Jobs { send, write, fetch, apply, release, save, receive, peers: _, notices: _ } = jobs;
        assert!(send.iter().all(|(to, _)| *to != node(1)), "a node talks to itself");
        self.writes.extend(write.map(|job| (GroupId::MAIN, LogJob::Write(job))));
        self.writes.extend(release.map(|job| (GroupId::MAIN, LogJob::Release(job))));
        self.fetches.extend(fetch);
        self.applies.extend(apply);
        self.saves.extend(save);
        self.to_mover.extend(receive.map(MoverInput::Receive));
    }

    fn write(&mut self) {
        let written = self.writer.turn(std::mem::take(&mut self.writes)).expect("memory takes every write");
        for (_, persisted) in written.persisted {
            self.handle(Event::Persisted(persisted));
        }
    }

    fn apply(&mut self) {
        // A snapshot that a peer made is its own state; whatever it holds, it is restored.
        let applied = self.applier.turn(std::mem::take(&mut self.applies));
        let Ok(events) = applied else {
            self.has_stopped = true;
            return;
        };
        for event in events {
            self.handle(event);
        }
    }

    fn fetch(&mut self) {
        for job in std::mem::take(&mut self.fetches) {
            let fetched = self.fetcher.turn(GroupId::MAIN, job).expect("memory gives every entry back");
            self.handle(Event::Fetched(fetched));
        }
    }

    fn save(&mut self) {
        for job in std::mem::take(&mut self.saves) {
            if let Some(saved) = self.saver.turn(job) {
                self.handle(Event::Saved(saved));
            }
        }
        for input in std::mem::take(&mut self.to_mover) {
            let moves = self.mover.handle(input, self.now);
            moves.events.into_iter().for_each(|event| self.handle(event));
        }
        if self.mover.next_tick().is_some_and(|due| due <= self.now) {
            let moves = self.mover.tick(self.now);
            moves.events.into_iter().for_each(|event| self.handle(event));
        }
    }

    fn all_work(&mut self) {
        for _ in 0..3 {
            self.turn();
            self.write();
            self.apply();
            self.fetch();
            self.save();
        }
    }

    /// The node stops, and nobody is left waiting.
    fn stop(self) {
        let cause = StopCause::Shutdown;
        let Self { replica, applies, asked, told, .. } = self;
        for job in applies {
            job.stop(&cause);
        }
        replica.stop(&cause);
        assert_eq!(told.load(Ordering::Relaxed), asked, "somebody waits for ever, or is told twice");
    }
}

/// Members, and a stranger: no transport has a connection with oneself.
fn any_peer(input: &mut Input<'_>) -> NodeId {
    node(2 + input.below(NODES) as u64)
}

fn founding(founders: u64) -> Entry {
    let members = (1..=founders.min(NODES as u64)).map(|id| (node(id), address(node(id))));
    let membership = Membership::founding(members).expect("good members");
    let position = LogPosition::new(Term::ZERO, LogIndex(1));
    Entry { position, payload: Payload::Membership(Arc::new(membership)) }
}

fn entry_of(meta: &crate::types::EntryMeta) -> Entry {
    let payload = match &meta.kind {
        EntryKind::Noop => Payload::Noop,
        EntryKind::Membership(membership) => Payload::Membership(Arc::clone(membership)),
        EntryKind::Normal => {
            let command = vec![7; meta.bytes.min(COMMAND_BYTES_MAX) as usize].into();
            Payload::Normal { origin: None, command }
        }
    };
    Entry { position: meta.position, payload }
}

/// Nobody blocks here: no ticket is waited for.
#[expect(clippy::disallowed_methods, reason = "a ticket's own deadline, for which nobody waits")]
fn never() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
