//! Clusters of real nodes in this process: real disks, real sockets, real threads.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use quorate::types::{LogIndex, Term};
use quorate::{Config, LogPosition, MachineError, Node, Role, SnapshotError, SnapshotWriter, StateMachine};

/// Long enough for any machine; tests wait for events, not for this.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Keeps every applied command, so that tests can compare histories.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) lines: Vec<(LogPosition, String)>,
    /// How many commands it was given since this process started it.
    pub(crate) applied_here: usize,
}

impl Journal {
    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|(_, text)| text.clone()).collect()
    }
}

impl StateMachine for Journal {
    type Command = String;
    type Query = ();
    type Response = String;

    /// Echoes the command: an answer that belongs to another command shows at once.
    fn apply(&mut self, at: LogPosition, command: String) -> String {
        self.lines.push((at, command.clone()));
        self.applied_here += 1;
        command
    }

    fn query(&self, (): ()) -> String {
        self.texts().join(",")
    }

    /// One command per line, behind its term and index: none of these tests has a command of two lines.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let lines = self.lines.clone();
        Ok(Box::new(move |out| {
            lines.iter().try_for_each(|(at, text)| writeln!(out, "{} {} {text}", at.term, at.index))
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut text = String::new();
        snapshot.read_to_string(&mut text)?;
        let lines: Option<_> = text.lines().map(line_of).collect();
        self.lines = lines.ok_or_else(|| MachineError { reason: "no journal looks like this".to_owned() })?;
        Ok(())
    }
}

fn line_of(line: &str) -> Option<(LogPosition, String)> {
    let mut parts = line.splitn(3, ' ');
    let (term, index, text) = (parts.next()?, parts.next()?, parts.next()?);
    let position = LogPosition::new(Term(term.parse().ok()?), LogIndex(index.parse().ok()?));
    Some((position, text.to_owned()))
}

/// Some nodes, each with a directory and a port that it keeps over restarts.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    founders: Vec<(u64, String)>,
    /// Where each node listens, founder or not.
    members: Vec<(u64, String)>,
    nodes: BTreeMap<u64, Node<Journal>>,
    tune: fn(Config) -> Config,
}

impl Cluster {
    /// `size` nodes, all of them started.
    pub(crate) fn of(size: u64) -> Self {
        Self::tuned(size, |config| config)
    }

    /// As [`Cluster::of`], with settings of its own.
    pub(crate) fn tuned(size: u64, tune: fn(Config) -> Config) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets: Vec<_> = (1..=size).map(|id| (id, socket_of_ones_own())).collect();
        let founders: Vec<_> = sockets
            .iter()
            .map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()))
            .collect();
        let members = founders.clone();
        let mut cluster = Self { directory, founders, members, nodes: BTreeMap::new(), tune };
        for (id, socket) in sockets {
            let config = cluster.config(id).listener(socket);
            cluster.nodes.insert(id, Node::start(config, Journal::default()).expect("the node starts"));
        }
        cluster
    }

    pub(crate) fn directory_of(&self, id: u64) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    pub(crate) fn address_of(&self, id: u64) -> &str {
        &self.members.iter().find(|(member, _)| *member == id).expect("a member").1
    }

    fn config(&self, id: u64) -> Config {
        let config = Config::new(id, self.directory_of(id), self.address_of(id));
        let founds = self.founders.iter().any(|(founder, _)| *founder == id);
        let config = if founds { config.bootstrap(self.founders.clone()) } else { config.join() };
        (self.tune)(config.segment_bytes(4 << 20).command_bytes_max(512 << 10).call_timeout(LONG))
    }

    pub(crate) fn node(&self, id: u64) -> &Node<Journal> {
        &self.nodes[&id]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u64, &Node<Journal>)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// Stops a node; its directory and port stay.
    pub(crate) fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("the node runs");
        node.shutdown(LONG).expect("a clean stop");
    }

    pub(crate) fn restart(&mut self, id: u64) {
        let node = Node::start(self.config(id), Journal::default()).expect("the node starts again");
        self.nodes.insert(id, node);
    }

    /// Starts a node that waits to be added, on an empty directory and a port of its own.
    pub(crate) fn start_joiner(&mut self, id: u64) -> &str {
        self.move_to_another_port(id);
        self.address_of(id)
    }

    /// Starts a node, which is down, on another port than before.
    pub(crate) fn move_to_another_port(&mut self, id: u64) {
        let socket = socket_of_ones_own();
        let address = socket.local_addr().expect("bound").to_string();
        self.members.retain(|(member, _)| *member != id);
        self.members.push((id, address));
        let config = self.config(id).listener(socket);
        self.nodes.insert(id, Node::start(config, Journal::default()).expect("the node starts"));
    }

    /// Starts a node, which is down and wiped, as one that waits to be added, whatever it was before.
    pub(crate) fn rejoin(&mut self, id: u64) {
        self.founders.retain(|(founder, _)| *founder != id);
        self.restart(id);
    }

    /// Deletes what a node, which is down, has stored.
    pub(crate) fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.directory_of(id)).expect("it is down");
    }

    /// The node that leads and knows it, once there is one.
    pub(crate) fn leader(&self) -> u64 {
        self.leader_but(0)
    }

    /// The same, asking everybody but one.
    pub(crate) fn leader_but(&self, excluded: u64) -> u64 {
        loop {
            for (id, node) in self.nodes.iter().filter(|(id, _)| **id != excluded) {
                node.wait_for_leader(LONG).expect("a leader is elected");
                if node.status().role == Role::Leader {
                    return *id;
                }
            }
        }
    }

    pub(crate) fn follower(&self) -> u64 {
        let leader = self.leader();
        *self.nodes.keys().find(|id| **id != leader).expect("a follower")
    }

    /// Waits until `id` knows every member's data directory: from then on the leader has nothing of its own to append.
    pub(crate) fn wait_until_acquainted(&self, id: u64) {
        let node = self.node(id);
        loop {
            let status = node.status();
            if status.recognises_all {
                return;
            }
            node.wait_applied(status.applied + 1, LONG).expect("the leader tells what it learns");
        }
    }

    /// What every running node has applied up to the same entry: all that is committed now, and whatever one of them
    /// applied while the others were asked. A command whose caller was told `Unknown` may come that late.
    pub(crate) fn histories(&self) -> Vec<Vec<(LogPosition, String)>> {
        let read =
            |node: &Node<Journal>| node.read(|journal| journal.lines.clone()).expect("a linearizable read");
        let ends = self.nodes.values().filter_map(|node| read(node).last().map(|(at, _)| *at));
        let end = ends.max().unwrap_or(LogPosition::ZERO);
        let history = |node: &Node<Journal>| {
            node.wait_applied(end.index.0, LONG).expect("it is committed");
            let lines = node.read_local(|journal| journal.lines.clone()).expect("it runs");
            lines.into_iter().take_while(|(at, _)| *at <= end).collect()
        };
        self.nodes.values().map(history).collect()
    }

    /// Asserts that all running nodes applied the same commands at the same positions, and gives their texts.
    pub(crate) fn agreed_texts(&self) -> Vec<String> {
        let histories = self.histories();
        for history in &histories {
            assert_eq!(*history, histories[0], "replicas differ");
        }
        histories[0].iter().map(|(_, text)| text.clone()).collect()
    }
}

/// A socket on a port that the kernel gives to no outgoing connection: a node that restarts finds it free again.
fn socket_of_ones_own() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    (0..20_000)
        .map(|_| 10_000 + start.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)) % 20_000)
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .expect("a free port")
}
