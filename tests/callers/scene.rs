//! Nodes over a storage and a network in memory, and a state machine that adds up.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use crossbeam_channel::Receiver;

use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::storage::{
    GroupWrite, Identity, LogReader, Recovered, SnapshotStore, Storage, StorageError, Upkeep,
};
use quorate::transport::{Inbox, LocalNode, MemoryNetwork, SendJob, Transport, TransportError, Wake};
use quorate::types::{Entry, GroupId, Membership, NodeId};
use quorate::{
    Codec, Config, DecodeError, LogPosition, MachineError, Node, Parts, SnapshotError, SnapshotWriter,
    StateMachine,
};

/// Long enough for any machine; tests wait for events, not for this.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Adds up.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) total: u64,
}

impl StateMachine for Sum {
    type Command = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, command: u64) -> u64 {
        self.total += command;
        self.total
    }

    fn query(&self, (): ()) -> u64 {
        self.total
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.total;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        self.total = u64::from_le_bytes(total);
        Ok(())
    }
}

/// Node 1 of `size`.
pub(crate) fn config(size: u64) -> Config {
    Config::new(1, "(memory)", "127.0.0.1:1").bootstrap(members(size))
}

fn members(size: u64) -> Vec<(u64, String)> {
    (1..=size).map(|id| (id, format!("127.0.0.1:{id}"))).collect()
}

pub(crate) fn storage() -> MemoryLog {
    MemoryLog::open(&MemoryDisk::new()).expect("a blank disk")
}

fn transport() -> impl Transport {
    MemoryNetwork::new().transport(NodeId::new(1).expect("not zero"))
}

pub(crate) fn parts() -> Parts {
    Parts::new(Box::new(storage()), Box::new(transport()))
}

/// A node that is a cluster by itself.
pub(crate) fn alone() -> Node<Sum> {
    let node = Node::start_with(config(1), Sum::default(), parts()).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");
    node
}

/// A node whose two peers are not there. Its calls wait for a second.
pub(crate) fn leaderless() -> Node<Sum> {
    let config = config(3).call_timeout(Duration::from_secs(1));
    Node::start_with(config, Sum::default(), parts()).expect("the node starts")
}

/// A state machine with a bug.
pub(crate) struct Fragile;

impl StateMachine for Fragile {
    type Command = u64;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, command: u64) {
        assert!(command != 13, "thirteen");
    }

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A transport that ends at once.
struct Deaf(Arc<dyn Wake>);

pub(crate) fn deaf() -> Box<dyn Transport> {
    Box::new(Deaf(transport().waker()))
}

impl Transport for Deaf {
    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.0)
    }

    fn run(
        self: Box<Self>,
        _local: LocalNode,
        _jobs: Receiver<SendJob>,
        _inbox: Arc<dyn Inbox>,
    ) -> Result<(), TransportError> {
        Ok(())
    }
}

/// A command whose byte form is not read back.
pub(crate) struct Mumbled;

impl Codec for Mumbled {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0);
    }

    fn decode(_bytes: &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::new("cannot be understood"))
    }
}

/// A state machine with a bug in its codec.
pub(crate) struct Mumbler;

impl StateMachine for Mumbler {
    type Command = Mumbled;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, _command: Mumbled) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }
}

/// Counts the bytes it is given.
#[derive(Default)]
pub(crate) struct Bin(u64);

impl Bin {
    pub(crate) fn bytes(&self) -> u64 {
        self.0
    }
}

impl StateMachine for Bin {
    type Command = Vec<u8>;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, command: Vec<u8>) -> u64 {
        self.0 += command.len() as u64;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.0;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        self.0 = u64::from_le_bytes(total);
        Ok(())
    }
}

/// A state machine that does not return from its first command until somebody allows it.
pub(crate) struct Stubborn {
    entered: Option<mpsc::SyncSender<()>>,
    leave: Receiver<()>,
}

/// What a [`Stubborn`] machine waits for.
pub(crate) struct StandStill {
    entered: mpsc::Receiver<()>,
    leave: crossbeam_channel::Sender<()>,
}

impl Stubborn {
    pub(crate) fn new() -> (Self, StandStill) {
        let (entering, entered) = mpsc::sync_channel(1);
        let (leave, leaving) = crossbeam_channel::bounded(1);
        (Self { entered: Some(entering), leave: leaving }, StandStill { entered, leave })
    }
}

impl StandStill {
    /// Waits until the machine has begun.
    pub(crate) fn await_the_first(&self) {
        self.entered.recv_timeout(LONG).expect("it is being applied");
    }

    pub(crate) fn end(&self) {
        self.leave.send(()).expect("it waits");
    }
}

impl StateMachine for Stubborn {
    type Command = Vec<u8>;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, _command: Vec<u8>) {
        if let Some(entered) = self.entered.take() {
            entered.send(()).expect("the test listens");
            self.leave.recv().expect("somebody allows it");
        }
    }

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A state machine whose picture takes for ever to write out, and which does not mind errors.
pub(crate) struct Endless(mpsc::SyncSender<()>);

impl Endless {
    /// And where it says that it has begun to write.
    pub(crate) fn watched() -> (Self, mpsc::Receiver<()>) {
        let (begun, writing) = mpsc::sync_channel(1);
        (Self(begun), writing)
    }
}

impl StateMachine for Endless {
    type Command = u64;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, _command: u64) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let begun = self.0.clone();
        Ok(Box::new(move |out| {
            while out.write_all(&[0]).is_ok() {
                let _ = begun.try_send(());
                std::thread::yield_now();
            }
            Ok(())
        }))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }
}

/// A log in memory whose writes can be made to hang, or to find no room.
struct Troubled {
    log: MemoryLog,
    disk: Disk,
}

/// What becomes of the writes of a [`Troubled`] log.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<(Mutex<Trouble>, Condvar)>);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    Nothing,
    Hangs,
    Full,
}

impl Disk {
    pub(crate) fn hang(&self) {
        self.change(Trouble::Hangs);
    }

    pub(crate) fn fill(&self) {
        self.change(Trouble::Full);
    }

    pub(crate) fn recover(&self) {
        self.change(Trouble::Nothing);
    }

    fn change(&self, trouble: Trouble) {
        *self.0.0.lock().expect("no panic") = trouble;
        self.0.1.notify_all();
    }

    fn take_a_write(&self) -> Result<(), StorageError> {
        let trouble = self.0.0.lock().expect("no panic");
        let hangs = |trouble: &mut Trouble| *trouble == Trouble::Hangs;
        match *self.0.1.wait_while(trouble, hangs).expect("no panic") {
            Trouble::Full => Err(StorageError::DiskFull { operation: "extend", path: "(memory)".into() }),
            _ => Ok(()),
        }
    }
}

impl Storage for Troubled {
    fn identity(&self) -> Option<Identity> {
        self.log.identity()
    }

    fn found(&mut self, identity: Identity, groups: &[(GroupId, Option<Entry>)]) -> Result<(), StorageError> {
        self.log.found(identity, groups)
    }

    fn recovered(&mut self) -> BTreeMap<GroupId, Recovered> {
        self.log.recovered()
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), StorageError> {
        self.disk.take_a_write()?;
        self.log.write(writes)
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.log.settle()
    }

    fn entry_bytes_max(&self) -> u32 {
        self.log.entry_bytes_max()
    }

    fn release(
        &mut self,
        group: GroupId,
        through: LogPosition,
        membership: &Arc<Membership>,
    ) -> Result<(), StorageError> {
        self.log.release(group, through, membership)
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.log.reader()
    }

    fn snapshots(&self) -> Box<dyn SnapshotStore> {
        self.log.snapshots()
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        self.log.upkeep()
    }
}

/// Three nodes of which the first leads, with at most `in_flight` bytes in flight; its disk can hang, or fill up.
pub(crate) fn three_of_which_the_first_has_a_troubled_disk(in_flight: u64) -> ([Node<Bin>; 3], Disk) {
    let (network, disk) = (MemoryNetwork::new(), Disk::default());
    let start = |id: u64| {
        // The others do not stand for election while the test runs.
        let patience = if id == 1 { Duration::from_millis(500) } else { LONG };
        let config = Config::new(id, "(memory)", "127.0.0.1:1")
            .bootstrap(members(3))
            .election_timeout(patience)
            .call_timeout(Duration::from_secs(5))
            .in_flight_bytes_max(in_flight)
            .command_bytes_max(in_flight as usize)
            .tail_bytes_max(in_flight);
        let log: Box<dyn Storage> = match id {
            1 => Box::new(Troubled { log: storage(), disk: disk.clone() }),
            _ => Box::new(storage()),
        };
        let transport = network.transport(NodeId::new(id).expect("not zero"));
        Node::start_with(config, Bin::default(), Parts::new(log, Box::new(transport))).expect("it starts")
    };
    let nodes = [1, 2, 3].map(start);
    nodes[0].wait_for_leader(LONG).expect("the first is elected");
    (nodes, disk)
}
