//! Nodes over a storage and a network in memory, and a state machine that adds up.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::transport::{Inbox, LocalNode, MemoryNetwork, SendJob, Transport, TransportError, Wake};
use quorate::types::NodeId;
use quorate::{Codec, Config, DecodeError, LogPosition, Node, Parts, StateMachine};

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
}
