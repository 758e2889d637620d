//! Nodes with real threads, over a network and disks in memory: what is sent twice takes effect once.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Config, Node, NodeEvent, Parts, Role};
use crate::machine::{Held, MachineError, SnapshotError, StateMachine};
use crate::storage::memory::{MemoryDisk, MemoryLog};
use crate::ticket::{Outcome, ProposeError, ReadError, StopCause};
use crate::transport::{Fate, MemoryNetwork};
use crate::types::{LogPosition, NodeId, PeerMessage, SessionId, SessionTag, SnapshotWriter};

/// Long enough for any machine; tests wait for events, not for this.
const LONG: Duration = Duration::from_secs(60);

/// Adds up. Its answers tell how many commands it has had, so that one that is executed again shows.
struct Sum {
    state: State,
    /// What its disk holds, if it has one.
    disk: Option<Arc<Mutex<(State, Held)>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    total: u64,
    commands: u64,
}

impl StateMachine for Sum {
    type Command = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, add: u64) -> u64 {
        self.state.total += add;
        self.state.commands += 1;
        self.state.total << 32 | self.state.commands
    }

    fn query(&self, (): ()) -> u64 {
        self.state.total
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let State { total, commands } = self.state;
        Ok(Box::new(move |out| {
            [total, commands].iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut numbers = [[0; 8]; 2];
        numbers.iter_mut().try_for_each(|number| snapshot.read_exact(number))?;
        let [total, commands] = numbers.map(u64::from_le_bytes);
        self.state = State { total, commands };
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        self.disk.as_ref().map(|disk| disk.lock().1.clone())
    }

    fn end_batch(&mut self, position: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        if let Some(disk) = &self.disk {
            *disk.lock() = (self.state, Held { position, sidecar: sidecar.to_vec() });
        }
        Ok(())
    }
}

/// Where a machine keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    InMemory,
    OnDisk,
}

/// What of a node outlives its process.
struct Host {
    log: MemoryDisk,
    machine: Option<Arc<Mutex<(State, Held)>>>,
}

struct Cluster {
    network: MemoryNetwork,
    hosts: BTreeMap<u64, Host>,
    nodes: BTreeMap<u64, Node<Sum>>,
    tune: fn(Config) -> Config,
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("not zero")
}

impl Cluster {
    fn of(size: u64, keeps: Keeps) -> Self {
        Self::tuned(size, keeps, |config| config)
    }

    fn tuned(size: u64, keeps: Keeps, tune: fn(Config) -> Config) -> Self {
        let blank = || Held { position: LogPosition::ZERO, sidecar: Vec::new() };
        let host = |number| {
            let machine = (keeps == Keeps::OnDisk).then(|| Arc::new(Mutex::new((State::default(), blank()))));
            (number, Host { log: MemoryDisk::new(), machine })
        };
        let hosts = (1..=size).map(host).collect();
        let mut cluster = Self { network: MemoryNetwork::new(), hosts, nodes: BTreeMap::new(), tune };
        (1..=size).for_each(|number| cluster.start(number));
        cluster
    }

    fn start(&mut self, number: u64) {
        let host = &self.hosts[&number];
        let members = self.hosts.keys().map(|id| (*id, format!("127.0.0.1:{id}")));
        let config = Config::new(number, "(memory)", "127.0.0.1:1").bootstrap(members).call_timeout(LONG);
        let log = MemoryLog::open(&host.log).expect("nobody else has opened it");
        let parts = Parts::new(Box::new(log), Box::new(self.network.transport(id(number))));
        let state = host.machine.as_ref().map_or_else(State::default, |disk| disk.lock().0);
        let machine = Sum { state, disk: host.machine.clone() };
        let node = Node::start_with((self.tune)(config), machine, parts).expect("the node starts");
        self.nodes.insert(number, node);
    }

    fn restart(&mut self, number: u64) {
        self.nodes.remove(&number).expect("it runs").shutdown(LONG).expect("a clean stop");
        self.start(number);
    }

    fn node(&self, number: u64) -> &Node<Sum> {
        &self.nodes[&number]
    }

    fn leader(&self) -> u64 {
        let leads = |(_, node): &(&u64, &Node<Sum>)| node.status().role == Role::Leader;
        loop {
            self.node(1).wait_for_leader(LONG).expect("a leader is elected");
            if let Some((number, _)) = self.nodes.iter().find(leads) {
                return *number;
            }
        }
    }

    fn open_session(&self, number: u64) -> SessionId {
        self.node(number).submit_open_session(LONG).wait().expect("a session")
    }

    /// Command `sequence` of `session`, which adds one, asked of a node.
    fn send(&self, number: u64, session: SessionId, sequence: u64) -> Result<u64, ProposeError> {
        let tag = SessionTag { session, sequence, answered_below: 0 };
        let response = self.node(number).submit_tagged(tag, one(), LONG).wait()?;
        Ok(u64::from_le_bytes(response[..].try_into().expect("a number")))
    }

    /// What every node holds once it has applied all that is committed now.
    fn states(&self) -> Vec<State> {
        self.nodes.values().map(|node| node.read(|sum: &Sum| sum.state).expect("a read")).collect()
    }
}

fn one() -> Bytes {
    Bytes::copy_from_slice(&1_u64.to_le_bytes())
}

fn first_of(total: u64) -> u64 {
    total << 32 | total
}

fn a_command_sent_again_and_again_takes_effect_once(keeps: Keeps) {
    let mut cluster = Cluster::of(3, keeps);
    let session = cluster.open_session(1);
    let first = cluster.send(1, session, 0);
    assert_eq!(first, Ok(first_of(1)));

    // Asked of others, with another leader, behind snapshots and restarts.
    for number in [2, 3] {
        assert_eq!(cluster.send(number, session, 0), first);
    }
    let next = cluster.leader() % 3 + 1;
    cluster.node(1).transfer_leadership(Some(next)).expect("leadership moves");
    assert_eq!(cluster.send(1, session, 0), first);
    for number in 1..=3 {
        cluster.node(number).snapshot_now().expect("a snapshot");
        cluster.restart(number);
        for asked in 1..=3 {
            assert_eq!(cluster.send(asked, session, 0), first, "{number} was restarted, {asked} is asked");
        }
    }
    assert_eq!(cluster.send(2, session, 1), Ok(first_of(2)));
    assert_eq!(cluster.states(), [State { total: 2, commands: 2 }; 3]);
}

#[test]
fn a_command_sent_again_takes_effect_once_across_leaders_restarts_and_snapshots_in_memory() {
    a_command_sent_again_and_again_takes_effect_once(Keeps::InMemory);
}

#[test]
fn a_command_sent_again_takes_effect_once_across_leaders_restarts_and_snapshots_on_disk() {
    a_command_sent_again_and_again_takes_effect_once(Keeps::OnDisk);
}

#[test]
fn a_machine_on_disk_finds_its_sessions_without_any_snapshot_and_without_replay() {
    let mut cluster = Cluster::of(1, Keeps::OnDisk);
    let session = cluster.open_session(1);
    let first = cluster.send(1, session, 0);

    cluster.restart(1);

    let held = cluster.hosts[&1].machine.as_ref().expect("it has a disk").lock().1.position;
    assert_eq!(cluster.send(1, session, 0), first);
    assert!(held.index.0 > 1, "it went on from what it held");
    assert_eq!(cluster.states(), [State { total: 1, commands: 1 }]);
}

/// A follower's forward is carried out, and the answer of the leader and all that would tell the follower of the commit is
/// lost.
#[test]
fn a_command_whose_answer_was_lost_is_answered_when_it_is_sent_again() {
    let cluster = Cluster::of(3, Keeps::InMemory);
    let leader = cluster.leader();
    let asked = leader % 3 + 1;
    let session = cluster.open_session(asked);
    // From now on the one that is asked hears nobody; what it says arrives.
    for other in (1..=3).filter(|other| *other != asked) {
        cluster.network.cut(id(other), id(asked));
    }
    let tag = SessionTag { session, sequence: 0, answered_below: 0 };
    let unheard = cluster.node(asked).submit_tagged(tag, one(), LONG);
    let there = cluster.node(leader);
    let mut applied = there.status().applied;
    while there.read(|sum: &Sum| sum.state.commands).expect("a read") == 0 {
        applied += 1;
        there.wait_applied(applied, LONG).expect("the forward arrives");
    }
    assert!(!unheard.is_done());

    let by_another = cluster.send(leader, session, 0);
    cluster.network.heal_all();

    assert_eq!(by_another, Ok(first_of(1)));
    assert_eq!(cluster.send(asked, session, 0), by_another);
    let heard = unheard.wait();
    assert!(heard.is_ok() || heard == Err(ProposeError::Unknown), "{heard:?}");
    assert_eq!(cluster.states(), [State { total: 1, commands: 1 }; 3]);
}

#[test]
fn a_blocking_call_in_a_session_goes_on_under_the_next_leader() {
    let cluster = Cluster::tuned(3, Keeps::InMemory, |config| {
        config.election_timeout(Duration::from_millis(300)).heartbeat_interval(Duration::from_millis(50))
    });
    let leader = cluster.leader();
    let asked = leader % 3 + 1;
    let session = cluster.node(asked).session().expect("a session");
    // The leader takes forwards and tells nobody.
    let (leader, mut forwards) = (id(leader), 0);
    let (sender, arrived) = std::sync::mpsc::channel();
    cluster.network.filter(move |from, _, _, message| {
        if matches!(message, PeerMessage::Forward(_)) {
            forwards += 1;
            let _ = sender.send(forwards);
        }
        if from == leader && forwards > 0 { Fate::Drop } else { Fate::Deliver }
    });

    let calling = std::thread::spawn(move || session.propose_within(1, LONG));
    arrived.recv_timeout(LONG).expect("the command is forwarded");

    assert_eq!(calling.join().expect("no panic"), Ok(first_of(1)));
    cluster.network.clear_filter();
    assert_eq!(cluster.states(), [State { total: 1, commands: 1 }; 3]);
}

#[test]
fn a_session_that_was_dropped_is_closed() {
    let cluster = Cluster::of(1, Keeps::InMemory);
    let session = cluster.node(1).session().expect("a session");
    let (clone, id) = (session.clone(), session.id());
    drop(session);
    assert_eq!(cluster.send(1, id, 77), Ok(first_of(1)), "a clone is left");

    drop(clone);

    // Commands of one thread take effect in their order: the session is closed before this one.
    assert_eq!(cluster.send(1, id, 78), Err(ProposeError::SessionExpired));
    assert_eq!(ProposeError::SessionExpired.outcome(), Outcome::Unknown);
}

#[test]
fn bytes_that_are_no_command_and_tags_that_contradict_themselves_are_malformed() {
    let cluster = Cluster::of(1, Keeps::InMemory);
    let node = cluster.node(1);
    let session = cluster.open_session(1);
    let garbage = Bytes::from_static(b"abc");
    let good = SessionTag { session, sequence: 0, answered_below: 0 };
    let ahead = SessionTag { answered_below: 1, ..good };

    assert_eq!(node.submit_bytes(garbage.clone(), LONG).wait(), Err(ProposeError::Malformed));
    assert_eq!(node.submit_tagged(good, garbage.clone(), LONG).wait(), Err(ProposeError::Malformed));
    assert_eq!(node.submit_tagged(ahead, one(), LONG).wait(), Err(ProposeError::Malformed));
    for local in [false, true] {
        assert_eq!(node.submit_query_bytes(garbage.clone(), local, LONG).wait(), Err(ReadError::Malformed));
    }
    assert_eq!(cluster.states(), [State::default()]);
}

#[test]
fn commands_and_queries_pass_as_bytes() {
    let cluster = Cluster::of(1, Keeps::InMemory);
    let node = cluster.node(1);

    let response = node.submit_bytes(one(), LONG).wait();

    assert_eq!(response.as_deref(), Ok(&first_of(1).to_le_bytes()[..]));
    for local in [false, true] {
        let total = node.submit_query_bytes(Bytes::new(), local, LONG).wait();
        assert_eq!(total.as_deref(), Ok(&1_u64.to_le_bytes()[..]));
    }
}

#[test]
fn what_is_too_long_is_judged_without_its_envelope() {
    let cluster = Cluster::tuned(1, Keeps::InMemory, |config| config.command_bytes_max(7));
    let session = cluster.open_session(1);

    let refused = Err(ProposeError::TooLarge { bytes: 8, limit: 7 });

    assert_eq!(cluster.node(1).propose(1), refused);
    assert_eq!(cluster.send(1, session, 0), refused);
}

#[test]
fn a_session_of_a_node_that_stopped_says_so() {
    let cluster = Cluster::of(1, Keeps::InMemory);
    let session = cluster.node(1).session().expect("a session");
    let request = session.request(1).expect("few are open");
    cluster.node(1).shutdown(LONG).expect("a clean stop");

    let stopped = |outcome| ProposeError::Stopped { cause: StopCause::Shutdown, outcome };

    assert_eq!(session.propose(1), Err(stopped(Outcome::NotApplied)));
    drop(request.submit());
    assert_eq!(request.send(), Err(stopped(Outcome::Unknown)), "something was sent before");
}

/// Scenario K11: clients come and go, and none of them closes its session.
#[test]
fn more_sessions_than_may_stand_take_no_more_room_than_those_that_may() {
    const OPENED: u64 = 10_500;
    let mut cluster = Cluster::of(1, Keeps::InMemory);
    let node = cluster.node(1);
    let opening: Vec<_> = (0..OPENED).map(|_| node.submit_open_session(LONG)).collect();
    let sessions: Vec<_> = opening.into_iter().map(|ticket| ticket.wait().expect("a session")).collect();
    let sending: Vec<_> = sessions
        .iter()
        .map(|session| {
            let tag = SessionTag { session: *session, sequence: 0, answered_below: 0 };
            node.submit_tagged(tag, one(), LONG)
        })
        .collect();
    let answered: Vec<_> = sending.into_iter().map(|ticket| ticket.wait().map(|_| ())).collect();

    let (gone, stand) = answered.split_at(500);
    assert!(gone.iter().all(|answer| *answer == Err(ProposeError::SessionExpired)));
    assert!(stand.iter().all(|answer| *answer == Ok(())));
    let mut events = node.events();
    node.snapshot_now().expect("a snapshot");
    let saved = |event| match event {
        NodeEvent::SnapshotSaved { bytes, .. } => Some(bytes),
        _ => None,
    };
    let bytes = events.find_map(saved).expect("the node runs");
    let of_each = 8 + 8 + 8 + 4 + 8 + 4 + 9;
    assert!(bytes < 10_000 * of_each + 64_000, "{bytes} bytes");

    cluster.restart(1);

    let last = sessions[sessions.len() - 1];
    assert_eq!(cluster.send(1, last, 0), Ok(first_of(10_000)));
    assert_eq!(cluster.send(1, sessions[499], 0), Err(ProposeError::SessionExpired));
}
