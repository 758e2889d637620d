//! Three nodes of this same program as child processes, under a directory of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::client::{Answer, Client};
use super::super::serve::STOPS_WITH_STDIN;
use super::poll;

/// Below the range from which systems take ports for outgoing connections: a node that starts again finds its own free.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// The child processes. Dropped, it leaves nothing behind.
pub(crate) struct Cluster {
    directory: PathBuf,
    nodes: Vec<Node>,
    /// The founding list, as `--cluster` wants it.
    members: String,
}

struct Node {
    raft: String,
    redis: String,
    process: Option<Child>,
}

impl Cluster {
    /// Finds room for nodes 1 to `count`. None of them runs yet.
    pub(crate) fn prepare(count: u64) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("quorate-kv-{}", std::process::id()));
        let mut ports = free_ports(count as usize * 2)?.into_iter().map(|port| format!("127.0.0.1:{port}"));
        let mut nodes = Vec::new();
        while let (Some(raft), Some(redis)) = (ports.next(), ports.next()) {
            nodes.push(Node { raft, redis, process: None });
        }
        let members = (1..=count).zip(&nodes).map(|(id, node)| format!("{id}={}", node.raft));
        let members = members.collect::<Vec<_>>().join(",");
        fs::create_dir(&directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        Ok(Self { directory, nodes, members })
    }

    /// Starts a node and waits until it says that it is ready.
    pub(crate) fn start(&mut self, id: u64) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|error| format!("who am I? {error}"))?;
        let node = &mut self.nodes[id as usize - 1];
        let mut process = Command::new(program)
            .args(["serve", "--id", &id.to_string(), "--raft", &node.raft, "--redis", &node.redis])
            .args(["--cluster", &self.members, "--data"])
            .arg(self.directory.join(id.to_string()))
            .env(STOPS_WITH_STDIN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node {id} does not start: {error}"))?;
        let stdout = process.stdout.take();
        node.process = Some(process);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        if line == "ready\n" {
            Ok(())
        } else {
            Err(format!("node {id} did not start; its reason stands above"))
        }
    }

    /// SIGKILL: the process has no last word.
    pub(crate) fn kill(&mut self, id: u64) -> Result<(), String> {
        let process = self.nodes[id as usize - 1].process.take();
        let mut process = process.ok_or_else(|| format!("node {id} does not run"))?;
        process
            .kill()
            .and_then(|()| process.wait())
            .map_err(|error| format!("cannot kill node {id}: {error}"))?;
        Ok(())
    }

    /// Ends the nodes and removes their directories.
    pub(crate) fn remove(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }

    /// The same nodes as their clients see them.
    pub(crate) fn view(&self) -> View {
        View { addresses: self.nodes.iter().map(|node| node.redis.clone()).collect() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What can be known of the nodes over their Redis ports.
pub(crate) struct View {
    addresses: Vec<String>,
}

impl View {
    /// Where the nodes take clients, in the order of their ids.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Waits until a node says that it leads.
    pub(crate) fn wait_for_leader(&self, within: Duration) -> Result<u64, String> {
        let leader = || {
            (1..)
                .zip(&self.addresses)
                .find(|(_, address)| status(address).is_some_and(|status| status["role"] == "leader"))
        };
        poll(within, || leader().map(|(id, _)| id)).ok_or_else(|| format!("no leader within {within:?}"))
    }

    /// Waits until a node has applied what was committed anywhere when it was asked.
    pub(crate) fn wait_until_caught_up(&self, id: u64, within: Duration) -> Result<(), String> {
        let commits = self.addresses.iter().filter_map(|address| status(address)?["commit"].as_u64());
        let goal = commits.max().unwrap_or_default();
        let address = &self.addresses[id as usize - 1];
        let has_caught_up = || status(address)?["applied"].as_u64().filter(|&applied| applied >= goal);
        let caught_up = poll(within, has_caught_up);
        caught_up.map(|_| ()).ok_or_else(|| format!("node {id} has not caught up within {within:?}"))
    }
}

/// What a node says about itself, if it answers.
fn status(address: &str) -> Option<Value> {
    match Client::connect(address).ok()?.call(&[b"RAFT", b"STATUS"]) {
        Ok(Answer::Bulk(json)) => serde_json::from_slice(&json).ok(),
        _ => None,
    }
}

/// Ports on which nobody listens now. They are held until all are found, so that no two are the same.
fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let first = PORTS.start + (std::process::id().wrapping_mul(37) % 15_000) as u16;
    let free = (first..PORTS.end).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let held: Vec<_> = free.take(count).collect();
    let ports = held.iter().map(|listener| listener.local_addr().map(|address| address.port()));
    let ports: Vec<_> = ports.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if ports.len() == count { Ok(ports) } else { Err("not enough free ports on 127.0.0.1".into()) }
}
