//! The nodes of the example `remote_client`, each in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate::{Client, ClientConfig};

use crate::counter::Counter;
use crate::scene::LONG;

/// The example as cargo built it.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
    let program = profile.join("examples").join("remote_client");
    assert!(
        program.exists(),
        "{} is not built: run `cargo build --example remote_client`",
        program.display()
    );
    program
}

/// Three nodes.
pub(crate) struct Processes {
    addresses: Vec<String>,
    nodes: Vec<Option<Child>>,
    directory: tempfile::TempDir,
}

impl Processes {
    pub(crate) fn start() -> Self {
        let addresses = free_addresses();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut processes = Self { addresses, nodes: vec![None, None, None], directory };
        for id in 1..=3 {
            processes.start_node(id);
        }
        processes
    }

    /// Starts a node that does not run, and waits until it says that it is ready.
    pub(crate) fn start_node(&mut self, id: u64) {
        let mut node = Command::new(program())
            .args(["serve", &id.to_string()])
            .arg(self.directory.path().join(id.to_string()))
            .args(&self.addresses)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = node.stdout.take().expect("stdout is a pipe");
        let before = self.nodes[id as usize - 1].replace(node);
        assert!(before.is_none(), "node {id} runs already");
        let line = BufReader::new(stdout).lines().next();
        assert_eq!(line.and_then(Result::ok).as_deref(), Some("ready"), "node {id}");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: u64) {
        let mut node = self.nodes[id as usize - 1].take().expect("the node runs");
        node.kill().expect("a child can be killed");
        node.wait().expect("a killed child ends");
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn signal(&self, id: u64, name: &str) {
        let process = self.nodes[id as usize - 1].as_ref().expect("the node runs").id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
        assert!(sent.expect("there is a shell").success());
    }

    pub(crate) fn client(&self) -> Client<Counter> {
        let config = ClientConfig::new(&self.addresses).call_timeout(LONG * 10).connect_within(LONG);
        Client::connect_with(config).expect("the nodes are there")
    }

    /// Who leads, as those say who run.
    pub(crate) fn leader(&self, client: &Client<Counter>) -> u64 {
        let runs = |id: u64| self.nodes[id as usize - 1].is_some();
        eventually("one of those leads that run", || {
            let leader = client.status().ok()?.leader?;
            (runs(leader) && client.status_of(leader).ok()?.leader? == leader).then_some(leader)
        })
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// Asks again until there is an answer. Other processes announce nothing, so that asking is all one can do.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Three addresses on which nobody listens, below the range from which systems take ports for outgoing connections: a node
/// that is down keeps its own.
fn free_addresses() -> Vec<String> {
    let first = 31_000 + (std::process::id() % 100) as u16 * 10;
    let free = (first..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.take(3).map(|port| format!("127.0.0.1:{port}")).collect()
}
