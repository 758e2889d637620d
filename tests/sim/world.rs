//! The world: a clock, a heap of what will happen, and what happens then. One thread, and no order that the seed does not
//! decide.
//!
//! Its chapters: `links` (connections and frames), `callers` (who wants what, and what they are told), `clients` (those who use
//! sessions), `bursts` (many who want something at once), `faults` (what goes wrong), `ambush` (what waits for its moment),
//! `operators` (changes of the membership, and the care for lost nodes).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::chance::Chance;
use super::law::Broken;
use super::ledger::Ledger;
use super::network::{Frame, Link, Network};
use super::plan::{MICROSECOND, MILLISECOND, Plan, SECOND};
use super::process::{ELECTION, Host, Outcome, Process, Refused, TICK, Worker};
use super::shape::Await;
use super::trace::{Trace, What};
use crate::consensus::RoleName;
use crate::replica::Event;
use crate::runtime::{cluster_id, founding_entry};
use crate::ticket::StopCause;
use crate::types::{Body, ClusterId, Entry, LogIndex, Membership, NodeId, Payload, PeerMessage, Term};
pub(super) use callers::Operation;
use callers::{Answer, Caller};
use clients::Client;
use operators::Operators;

mod ambush;
mod bursts;
mod callers;
mod clients;
mod faults;
mod links;
mod operators;

/// After the last fault the cluster has so long to agree.
const AGREES_WITHIN: u64 = 120 * ELECTION;
/// No queue of a process holds more.
const QUEUE_MAX: usize = 2_000;

pub(super) type Judged = Result<(), Broken>;

/// Something that will happen. What concerns a process names its life: if that is over, it does not happen.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Tick(NodeId, u64),
    Turn(NodeId, u64),
    Work(NodeId, u64, Worker),
    Deliver(Frame, u64),
    Dial(Link),
    Silence(Link),
    Lost { node: NodeId, life: u64, peer: NodeId },
    Start(NodeId),
    Ask(usize),
    Client(usize),
    Act(usize),
    Strike(usize, NodeId),
    Undo(usize),
    Operate,
    Look,
}

/// A leadership under one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leading {
    term: Term,
    membership: LogIndex,
    since: u64,
}

struct Happening {
    at: u64,
    /// Of what happens at one moment, what was planned first happens first.
    order: u64,
    next: Next,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Happening {}

impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) virtual_nanos: u64,
    pub(super) crashes: u64,
    pub(super) elections: u64,
    pub(super) commits: u64,
    pub(super) answers: u64,
    pub(super) reads: u64,
    pub(super) unknown: u64,
    /// Answers that were given again, and commands that came to nothing because their session had expired or was full.
    pub(super) repeats: u64,
    pub(super) expired: u64,
    pub(super) full: u64,
    pub(super) changes: u64,
    pub(super) transfers: u64,
    pub(super) snapshots: u64,
    pub(super) installs: u64,
    pub(super) lost_disks: u64,
    pub(super) messages: u64,
    /// Two runs of one seed end with the same.
    pub(super) digest: u64,
}

impl Tally {
    /// What this run and another one did together.
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.virtual_nanos += other.virtual_nanos;
        self.crashes += other.crashes;
        self.elections += other.elections;
        self.commits += other.commits;
        self.answers += other.answers;
        self.reads += other.reads;
        self.unknown += other.unknown;
        self.repeats += other.repeats;
        self.expired += other.expired;
        self.full += other.full;
        self.changes += other.changes;
        self.transfers += other.transfers;
        self.snapshots += other.snapshots;
        self.installs += other.installs;
        self.lost_disks += other.lost_disks;
        self.messages += other.messages;
        self.digest ^= other.digest;
    }
}

/// Everything.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: u64,
    heap: BinaryHeap<Reverse<Happening>>,
    planned: u64,
    hosts: BTreeMap<NodeId, Host>,
    processes: BTreeMap<NodeId, Process>,
    /// How many processes each host has had.
    lives: BTreeMap<NodeId, u64>,
    /// Nodes that stand still, and until when.
    paused: BTreeMap<NodeId, u64>,
    /// How many times as long a sync takes, and until when.
    slow_disks: BTreeMap<NodeId, (u64, u64)>,
    turn_planned: BTreeMap<NodeId, bool>,
    network: Network,
    callers: Vec<Caller>,
    clients: Vec<Client>,
    operators: Operators,
    mailbox: Arc<Mutex<Vec<Answer>>>,
    /// How many commands have come in bursts.
    bursts: u64,
    pub(super) ledger: Ledger,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    founding: (ClusterId, Entry),
    schedule: Chance,
    wire: Chance,
    disk: Chance,
    /// Whom each fault that lasts has struck, and which links it has cut.
    struck: BTreeMap<usize, NodeId>,
    cuts: BTreeMap<usize, Vec<Link>>,
    /// The acts that wait for their moment.
    in_wait: Vec<usize>,
    /// Who led before whoever was elected last, and that one.
    led_before: Option<NodeId>,
    leads: Option<NodeId>,
    /// Since when a node can have missed somebody, by a clock of one speed: see `wait_anew`.
    awake_since: BTreeMap<NodeId, u64>,
    /// When a node has heard another last.
    heard: BTreeMap<Link, u64>,
    /// Since when a node leads in its term with its configuration, all being well.
    leading: BTreeMap<NodeId, Leading>,
    is_over: bool,
    is_done: bool,
    /// Until then something may come late that was held up before the faults ended.
    late_until: u64,
    pub(super) history: Vec<Operation>,
    /// Where something happened last.
    last: Option<NodeId>,
}

impl World {
    pub(super) fn new(plan: &Plan, traced: bool) -> Self {
        let id = |number| NodeId::new(number).expect("not zero");
        let founders = (1..=plan.nodes).map(|number| (id(number), format!("host:{number}")));
        let founders = Membership::founding(founders).expect("a good list");
        let founding = (cluster_id("simulated", &founders), founding_entry(founders));
        let all = 1..=plan.nodes + plan.spare_nodes;
        let hosts =
            all.clone().map(|number| (id(number), Host::new(id(number), plan.seed, number > plan.nodes)));
        let mut world = Self {
            now: 0,
            heap: BinaryHeap::new(),
            planned: 0,
            hosts: hosts.collect(),
            processes: BTreeMap::new(),
            lives: all.clone().map(|number| (id(number), 0)).collect(),
            paused: BTreeMap::new(),
            slow_disks: BTreeMap::new(),
            turn_planned: BTreeMap::new(),
            network: Network::default(),
            callers: (0..plan.callers).map(|place| Caller::new(plan.seed, place)).collect(),
            clients: (0..plan.clients).map(|place| Client::new(plan.seed, plan.callers + place)).collect(),
            operators: Operators::new(plan.seed),
            mailbox: Arc::default(),
            bursts: 0,
            ledger: Ledger::default(),
            trace: Trace::new(traced),
            tally: Tally::default(),
            founding,
            schedule: Chance::stream(plan.seed, "schedule"),
            wire: Chance::stream(plan.seed, "wire"),
            disk: Chance::stream(plan.seed, "disk"),
            struck: BTreeMap::new(),
            cuts: BTreeMap::new(),
            in_wait: Vec::new(),
            led_before: None,
            leads: None,
            awake_since: BTreeMap::new(),
            heard: BTreeMap::new(),
            leading: BTreeMap::new(),
            is_over: false,
            is_done: false,
            late_until: 0,
            history: Vec::new(),
            last: None,
            plan: plan.clone(),
        };
        for number in all {
            world.plan_in(0, Next::Start(id(number)));
        }
        for place in 0..plan.callers {
            world.plan_in(ELECTION, Next::Ask(place));
        }
        for place in 0..plan.clients {
            world.plan_in(ELECTION, Next::Client(place));
        }
        for (place, act) in plan.acts.iter().enumerate() {
            world.plan_in(act.at, Next::Act(place));
        }
        world.plan_in(SECOND, Next::Operate);
        world.plan_in(plan.ends, Next::Look);
        world
    }

    fn plan_in(&mut self, nanos: u64, next: Next) {
        self.plan_at(self.now + nanos, next);
    }

    fn plan_at(&mut self, at: u64, next: Next) {
        self.planned += 1;
        self.heap.push(Reverse(Happening { at, order: self.planned, next }));
    }

    /// Until everybody agrees at the end, or a law is broken.
    pub(super) fn run(&mut self) -> Judged {
        while !self.is_done {
            let Some(Reverse(Happening { at, next, .. })) = self.heap.pop() else {
                return Err(Broken::NotLive { what: "nothing happens any more".to_owned() });
            };
            self.now = at;
            self.tally.events += 1;
            self.happen(next)?;
            self.hear_answers()?;
        }
        self.tally.virtual_nanos = self.now;
        self.tally.elections = self.ledger.elections;
        self.tally.commits = self.ledger.committed().0;
        self.tally.messages = self.network.sent;
        self.tally.digest = self.ledger.digest() ^ self.planned;
        Ok(())
    }

    fn happen(&mut self, next: Next) -> Judged {
        if let Some(until) = self.waits_for_somebody_paused(&next) {
            self.plan_at(until, next);
            return Ok(());
        }
        if let Next::Tick(node, _) | Next::Turn(node, _) | Next::Work(node, ..) | Next::Start(node) = &next {
            self.last = Some(*node);
        }
        match next {
            Next::Tick(node, life) if self.lives(node, life) => return self.tick(node),
            Next::Turn(node, life) if self.lives(node, life) => return self.turn(node),
            Next::Work(node, life, worker) if self.lives(node, life) => return self.work(node, worker),
            Next::Lost { node, life, peer } if self.lives(node, life) => self.hears_of_loss(node, peer),
            Next::Tick(..) | Next::Turn(..) | Next::Work(..) | Next::Lost { .. } => {}
            Next::Deliver(frame, sent_at) => self.deliver(frame, sent_at),
            Next::Dial(link) => self.dial(link),
            Next::Silence(link) => self.notice_silence(link),
            Next::Start(node) => return self.start(node),
            Next::Ask(caller) => self.ask(caller),
            Next::Client(place) => self.let_client(place),
            Next::Act(place) => self.act(place),
            Next::Strike(place, node) => self.strike(place, node),
            Next::Undo(place) => self.undo(place),
            Next::Operate => self.operate(),
            Next::Look => return self.look(),
        }
        Ok(())
    }

    fn waits_for_somebody_paused(&self, next: &Next) -> Option<u64> {
        if self.paused.is_empty() {
            return None;
        }
        let (Next::Tick(node, _) | Next::Turn(node, _) | Next::Work(node, _, _) | Next::Lost { node, .. }) =
            next
        else {
            let Next::Deliver(Frame { link: (_, to), .. }, _) = next else { return None };
            return self.paused_until(*to);
        };
        self.paused_until(*node)
    }

    fn paused_until(&self, node: NodeId) -> Option<u64> {
        self.paused.get(&node).copied().filter(|until| *until > self.now)
    }

    /// Where something happened last: if it was a panic, the one to ask.
    pub(super) fn last_node(&self) -> Option<NodeId> {
        self.last
    }

    fn lives(&self, node: NodeId, life: u64) -> bool {
        self.lives[&node] == life && self.processes.contains_key(&node)
    }

    fn life(&self, node: NodeId) -> u64 {
        self.lives[&node]
    }

    fn note(&mut self, node: NodeId, text: impl FnOnce() -> String) {
        self.trace.add(self.now, || What::Node(node, text()));
    }

    /// Something to do at `node`: its engine takes its turn soon, with all that comes until then.
    fn handle(&mut self, node: NodeId, event: Event) {
        let clock = self.hosts[&node].clock(self.now);
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.replica.handle(event, clock);
        if !std::mem::replace(self.turn_planned.entry(node).or_default(), true) {
            let soon = self.schedule.within(5 * MICROSECOND..200 * MICROSECOND);
            let life = self.life(node);
            self.plan_in(soon, Next::Turn(node, life));
        }
    }

    fn turn(&mut self, node: NodeId) -> Judged {
        self.turn_planned.insert(node, false);
        let clock = self.hosts[&node].clock(self.now);
        let Some(process) = self.processes.get_mut(&node) else { return Ok(()) };
        let (send, peers) = process.turn(clock);
        self.trace.look_at(self.now, node, process.replica.raft());
        self.look_at(node)?;
        if let Some(peers) = peers {
            self.meet(node, peers);
        }
        self.send_all(node, send)?;
        self.begin_work(node);
        Ok(())
    }

    fn look_at(&mut self, node: NodeId) -> Judged {
        let (hosts, process) = (&self.hosts, &self.processes[&node]);
        let image_of = |id: NodeId, judge: &mut dyn FnMut(&super::image::Image) -> bool| {
            hosts.get(&id).is_some_and(|host| {
                judge(&host.image.lock()) || host.former.as_ref().is_some_and(&mut *judge)
            })
        };
        let elections = self.ledger.elections;
        self.ledger.look_at(process.replica.raft(), &image_of)?;
        for (queue, length) in process.waiting() {
            if length > QUEUE_MAX {
                return Err(Broken::QueueTooLong { node, queue, length });
            }
        }
        if self.ledger.elections > elections {
            self.led_before = self.leads.replace(node);
            self.came(Await::Elected, node);
        }
        Ok(())
    }

    fn begin_work(&mut self, node: NodeId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        for worker in process.begin() {
            let takes = match worker {
                Worker::Writer => self.sync_takes(node),
                Worker::Saver => self.schedule.within(MILLISECOND..200 * MILLISECOND),
                Worker::Applier => self.schedule.within(5 * MICROSECOND..2 * MILLISECOND),
                Worker::Fetcher | Worker::Mover => self.schedule.within(5 * MICROSECOND..MILLISECOND),
            };
            let life = self.life(node);
            self.plan_in(takes, Next::Work(node, life, worker));
        }
    }

    fn sync_takes(&mut self, node: NodeId) -> u64 {
        let usual = self.plan.sync;
        let takes = self.schedule.within(usual / 2..usual * 2);
        match self.slow_disks.get(&node) {
            Some(&(factor, until)) if until > self.now => (takes * factor).min(until - self.now).max(takes),
            _ => takes,
        }
    }

    fn work(&mut self, node: NodeId, worker: Worker) -> Judged {
        let clock = self.hosts[&node].clock(self.now);
        let Some(process) = self.processes.get_mut(&node) else { return Ok(()) };
        let worked = process.work(worker, clock);
        self.judge_writes(node)?;
        self.judge_applied(node)?;
        self.judge_sessions(node, &worked)?;
        self.take_outcome(node, worked)
    }

    fn tick(&mut self, node: NodeId) -> Judged {
        let clock = self.hosts[&node].clock(self.now);
        let life = self.life(node);
        let interval = self.hosts[&node].in_world(TICK);
        self.plan_in(interval, Next::Tick(node, life));
        let Some(process) = self.processes.get_mut(&node) else { return Ok(()) };
        let ticked = process.tick(clock);
        self.judge_writes(node)?;
        self.take_outcome(node, ticked)?;
        self.require_quorum(node)
    }

    /// A leader that has heard no majority for long has stepped down (thesis §6.2).
    fn require_quorum(&mut self, node: NodeId) -> Judged {
        let Some(raft) = self.processes.get(&node).map(|process| process.replica.raft()) else {
            return Ok(());
        };
        if raft.role() != RoleName::Leader || !self.plan.calm {
            self.leading.remove(&node);
            return Ok(());
        }
        let (term, membership) = (raft.term(), raft.membership_index());
        let is = Leading { term, membership, since: self.now };
        let leading = self.leading.entry(node).or_insert(is);
        if (leading.term, leading.membership) != (term, membership) {
            *leading = is;
        }
        let patience = self.hosts[&node].in_world(3 * ELECTION);
        let long_ago = |since: u64| since + patience < self.now;
        let awake_since = self.awake_since.get(&node).copied().unwrap_or(0);
        let is_unheard = |peer: &NodeId| {
            let heard_at = self.heard.get(&(node, *peer)).copied().unwrap_or(0);
            *peer != node && long_ago(heard_at.max(awake_since))
        };
        for half in [raft.membership().voters(), raft.membership().outgoing()] {
            let unheard = half.iter().filter(|peer| is_unheard(peer)).count();
            if long_ago(leading.since) && !half.is_empty() && half.len() - unheard <= half.len() / 2 {
                return Err(Broken::LeadsUnheard { node, term });
            }
        }
        Ok(())
    }

    fn take_outcome(&mut self, node: NodeId, outcome: Result<Outcome, StopCause>) -> Judged {
        if self.hosts[&node].disk.is_off() {
            // Whoever noticed it, and whatever it made of it.
            self.fall(node, true);
            return Ok(());
        }
        match outcome {
            Ok(Outcome { events, send }) => {
                for event in events {
                    self.count(node, &event);
                    self.handle(node, event);
                }
                self.send_all(node, send)?;
                self.begin_work(node);
                Ok(())
            }
            Err(cause) => self.stopped(node, &cause),
        }
    }

    fn count(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Saved(saved) if saved.outcome.is_ok() => {
                self.tally.snapshots += 1;
                self.came(Await::Saved, node);
            }
            Event::Received(received) if received.outcome.is_ok() => {
                self.tally.installs += 1;
                self.came(Await::Received, node);
            }
            _ => {}
        }
    }

    /// What the log was given since the last time.
    fn judge_writes(&mut self, node: NodeId) -> Judged {
        let (written, dropped) = {
            let mut image = self.hosts[&node].image.lock();
            (std::mem::take(&mut image.written), std::mem::take(&mut image.dropped))
        };
        for (before, entry) in written {
            self.ledger.wrote(node, before, &entry)?;
            if matches!(&entry.payload, Payload::Membership(membership) if membership.is_joint()) {
                self.came(Await::Joint, node);
            }
        }
        if !dropped.is_empty() {
            self.came(Await::Truncated, node);
        }
        self.ledger.dropped(node, &dropped)
    }

    /// What the state machine was given since the last time.
    fn judge_applied(&mut self, node: NodeId) -> Judged {
        let Some(process) = self.processes.get(&node) else { return Ok(()) };
        let tape = std::mem::take(&mut *process.tape.lock());
        for (at, command, done) in tape {
            self.ledger.applied(node, at, command, done)?;
        }
        Ok(())
    }

    /// Whether the sessions are what they should be where a batch has just ended.
    fn judge_sessions(&self, node: NodeId, worked: &Result<Outcome, StopCause>) -> Judged {
        let ended = worked.iter().flat_map(|outcome| &outcome.events).filter_map(|event| match event {
            Event::Applied(applied) => Some(applied.through),
            _ => None,
        });
        let (Some(through), Some(process)) = (ended.last(), self.processes.get(&node)) else { return Ok(()) };
        self.ledger.judge_table(node, through, &process.sessions())
    }

    /// A process begins on whatever its disk holds.
    fn start(&mut self, node: NodeId) -> Judged {
        if self.processes.contains_key(&node) {
            return Ok(());
        }
        let seed = self.schedule.next();
        let host = self.hosts.get_mut(&node).expect("a host of this world");
        let founding = (self.founding.0, &self.founding.1);
        let process = match host.start(&self.plan, founding, seed, self.now) {
            Ok(process) => process,
            Err(refused) => return self.did_not_start(node, refused),
        };
        *self.lives.entry(node).or_default() += 1;
        let life = self.life(node);
        let term = process.replica.term();
        self.ledger.judge_table(node, process.began, &process.sessions())?;
        self.trace.add(self.now, || What::Starts { node, life, term });
        self.processes.insert(node, process);
        self.turn_planned.insert(node, false);
        let first = self.schedule.within(1..TICK);
        self.plan_in(first, Next::Tick(node, life));
        self.judge_writes(node)?;
        self.dial_everybody(node);
        self.turn(node)
    }

    fn did_not_start(&mut self, node: NodeId, refused: Refused) -> Judged {
        if self.hosts[&node].disk.is_off() {
            self.fall(node, true);
            return Ok(());
        }
        match refused {
            Refused::Wrong(what) => Err(Broken::RecoveredWrong { node, what }),
            Refused::Named(error) if self.operators.is_damaged(node) => {
                self.note(node, || format!("does not start: {error}"));
                self.lose_disk(node);
                Ok(())
            }
            Refused::Named(error) if error.contains("full") || error.contains("space") => {
                self.note(node, || format!("does not start: {error}"));
                self.plan_in(SECOND, Next::Start(node));
                Ok(())
            }
            Refused::Named(error) => Err(Broken::CannotStart { node, error }),
        }
    }

    /// A worker says that the node cannot go on.
    fn stopped(&mut self, node: NodeId, cause: &StopCause) -> Judged {
        self.note(node, || format!("stops: {cause}"));
        if !self.operators.expects_stop(node) {
            return Err(Broken::Stopped { node, cause: cause.to_string() });
        }
        let process = self.processes.remove(&node).expect("it ran");
        process.replica.stop(cause);
        self.hear_answers()?;
        self.is_gone(node, false);
        self.fall(node, false);
        Ok(())
    }

    fn send_all(&mut self, node: NodeId, messages: Vec<(NodeId, PeerMessage)>) -> Judged {
        for (to, message) in messages {
            if let PeerMessage::Raft { message, .. } = &message {
                let (host, process) = (&self.hosts[&node], &self.processes[&node]);
                self.ledger.sent((node, process.incarnation), to, message, &host.image.lock())?;
                match &message.body {
                    Body::TimeoutNow => self.came(Await::Told, node),
                    Body::VoteAnswer { granted: true } => self.came(Await::Voted, node),
                    Body::SnapshotOffer(_) => self.came(Await::Offered, node),
                    _ => {}
                }
            }
            self.send(node, to, message);
        }
        Ok(())
    }
}
