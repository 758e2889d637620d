//! Real nodes and threads over a network in memory that can be cut: what happens to callers on the wrong side.

use std::io::Read;
use std::time::Duration;

use quorate::storage::memory::MemoryLog;
use quorate::transport::MemoryNetwork;
use quorate::types::NodeId;
use quorate::{
    Config, LogPosition, MachineError, Node, Outcome, Parts, ProposeError, ReadError, Role, SnapshotError,
    SnapshotWriter, StateMachine,
};

const LONG: Duration = Duration::from_secs(60);

/// Keeps every command, and echoes it: another command's answer shows at once.
#[derive(Default)]
struct Journal(Vec<String>);

impl StateMachine for Journal {
    type Command = String;
    type Query = ();
    type Response = String;

    fn apply(&mut self, _at: LogPosition, command: String) -> String {
        self.0.push(command.clone());
        command
    }

    fn query(&self, (): ()) -> String {
        self.0.join(",")
    }

    /// One command per line: none of these tests has a command of two.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let lines = self.0.clone();
        Ok(Box::new(move |out| lines.iter().try_for_each(|line| writeln!(out, "{line}"))))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut text = String::new();
        snapshot.read_to_string(&mut text)?;
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

fn three_nodes(network: &MemoryNetwork) -> Vec<Node<Journal>> {
    let members = [1, 2, 3].map(|id| (id, format!("node-{id}:1")));
    let start = |id: u64| {
        let config = Config::new(id, "unused", format!("node-{id}:1"))
            .heartbeat_interval(Duration::from_millis(20))
            .election_timeout(Duration::from_millis(200))
            .call_timeout(LONG)
            .bootstrap(members.clone());
        let parts = Parts::new(Box::new(MemoryLog::new()), Box::new(network.transport(node_id(id))));
        Node::start_with(config, Journal::default(), parts).expect("the node starts")
    };
    (1..=3).map(start).collect()
}

fn node_id(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// The node among `nodes` that leads and knows it, once there is one.
fn leader<'a>(nodes: &[&'a Node<Journal>]) -> &'a Node<Journal> {
    loop {
        for node in nodes {
            node.wait_for_leader(LONG).expect("a leader is elected");
            if node.status().role == Role::Leader {
                return node;
            }
        }
    }
}

fn all(nodes: &[Node<Journal>]) -> Vec<&Node<Journal>> {
    nodes.iter().collect()
}

#[test]
fn what_a_deposed_leader_was_told_is_never_answered_with_success() {
    let network = MemoryNetwork::new();
    let nodes = three_nodes(&network);
    let old = leader(&all(&nodes));
    old.propose("agreed".to_owned()).expect("acknowledged");
    let old_id = old.status().id;

    network.isolate(node_id(old_id));
    let overwritten: Vec<_> = (0..100).map(|number| old.submit(format!("lost {number}"))).collect();
    let others: Vec<_> = nodes.iter().filter(|node| node.status().id != old_id).collect();
    let new = leader(&others);
    let kept: Vec<_> = (0..100).map(|number| new.submit(format!("kept {number}"))).collect();
    for (number, ticket) in kept.into_iter().enumerate() {
        assert_eq!(ticket.wait(), Ok(format!("kept {number}")));
    }
    network.heal_all();

    for ticket in overwritten {
        let refused = ticket.wait().expect_err("another leader's entry stands in its place");
        assert_eq!((refused.clone(), refused.outcome()), (ProposeError::Superseded, Outcome::NotApplied));
    }
    let journal = old.read(|journal| journal.0.clone()).expect("it follows now");
    assert_eq!(journal.len(), 101);
    assert!(journal.iter().all(|text| !text.starts_with("lost")));
}

#[test]
fn a_leader_that_is_cut_off_serves_no_stale_read() {
    let network = MemoryNetwork::new();
    let nodes = three_nodes(&network);
    let old = leader(&all(&nodes));
    let old_id = old.status().id;
    old.propose("seen by all".to_owned()).expect("acknowledged");

    network.isolate(node_id(old_id));
    let stale = old.submit_read_within(|journal| journal.0.len(), Duration::from_secs(2));
    let others: Vec<_> = nodes.iter().filter(|node| node.status().id != old_id).collect();
    leader(&others).propose("not seen by it".to_owned()).expect("two are enough");

    match stale.wait() {
        Err(ReadError::DeadlinePassed | ReadError::NoLeader) => {}
        answer => panic!("read without a majority: {answer:?}"),
    }
    network.heal_all();
    assert_eq!(old.query(()), Ok("seen by all,not seen by it".to_owned()));
}

#[test]
fn a_follower_that_is_cut_off_disturbs_nobody_when_it_returns() {
    let network = MemoryNetwork::new();
    let nodes = three_nodes(&network);
    let leading = leader(&all(&nodes));
    let term = leading.status().term;
    let away = nodes.iter().find(|node| node.status().role != Role::Leader).expect("a follower");

    network.isolate(node_id(away.status().id));
    while away.status().role != Role::PreCandidate {
        std::thread::yield_now();
    }
    leading.propose("without it".to_owned()).expect("two are enough");
    network.heal_all();

    assert_eq!(away.query(()), Ok("without it".to_owned()));
    assert_eq!(leading.status().term, term, "the returning node raised the term");
    assert_eq!(leading.status().role, Role::Leader);
}
