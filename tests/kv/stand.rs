//! Nodes as processes, on ports and in a directory of their own.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::client::{Answer, Client};

/// Nothing here takes long; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program as cargo built it.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
    let program = profile.join("examples").join("kv");
    assert!(program.exists(), "{} is not built: run `cargo build --example kv`", program.display());
    program
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("the program starts"))
}

/// Waits for a process to end; gives what it said.
pub(crate) fn finish(process: Child) -> Output {
    let id = process.id();
    let (sender, output) = mpsc::channel();
    let waits = thread::spawn(move || sender.send(process.wait_with_output()));
    let output = output.recv_timeout(PATIENCE * 2).unwrap_or_else(|_| {
        signal("KILL", id);
        let _ = waits.join();
        panic!("process {id} does not end");
    });
    output.expect("the output can be read")
}

/// A cluster of nodes: those from 1 to n found it, others may join.
pub(crate) struct Stand {
    directory: TempDir,
    members: String,
    options: Vec<String>,
    nodes: Vec<Node>,
}

struct Node {
    raft: String,
    redis: String,
    joins: bool,
    options: Vec<String>,
    process: Option<Child>,
}

impl Stand {
    /// Finds places for nodes, and starts none of them.
    pub(crate) fn prepare(count: usize) -> Self {
        Self::prepare_behind(count, |_, raft| raft.to_owned())
    }

    /// As [`Stand::prepare`]; the nodes know each other by other addresses than those at which they listen.
    pub(crate) fn prepare_behind(count: usize, mut known_as: impl FnMut(usize, &str) -> String) -> Self {
        let nodes: Vec<_> = (0..count).map(|_| Node::somewhere(false)).collect();
        let members = (1..).zip(&nodes).map(|(id, node)| format!("{id}={}", known_as(id, &node.raft)));
        let members = members.collect::<Vec<String>>().join(",");
        let directory = TempDir::new().expect("a temporary directory");
        Self { directory, members, options: Vec::new(), nodes }
    }

    /// Options for all nodes that are started from now on.
    pub(crate) fn with_options(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self
    }

    /// Starts the founders, and waits until one leads.
    pub(crate) fn start_all(mut self) -> Self {
        for id in 1..=self.nodes.len() {
            self.start_node(id);
        }
        self.leader();
        self
    }

    /// Starts one more node, which waits to be added; gives its id.
    pub(crate) fn start_joiner(&mut self) -> usize {
        self.nodes.push(Node::somewhere(true));
        self.start_node(self.nodes.len());
        self.nodes.len()
    }

    /// Takes the directory of a node that does not run. From now on it waits to be added when it is started.
    pub(crate) fn wipe(&mut self, id: usize, joins: bool) {
        assert!(self.nodes[id - 1].process.is_none(), "a node that runs keeps its directory");
        fs::remove_dir_all(self.data(id)).expect("the directory can be removed");
        self.nodes[id - 1].joins = joins;
    }

    /// Starts nodes, and waits until one leads.
    pub(crate) fn start(count: usize) -> Self {
        Self::prepare(count).start_all()
    }

    /// Starts a node, and waits until it says that it is ready.
    pub(crate) fn start_node(&mut self, id: usize) {
        self.start_with(id, Command::new(program()));
    }

    /// As [`Stand::start_node`], but no file of the node can grow beyond a few megabytes: its log is going to fail.
    pub(crate) fn start_node_with_short_files(&mut self, id: usize) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 10000; exec \"$0\" \"$@\""]).arg(program());
        self.start_with(id, shell);
    }

    /// As [`Stand::start_node`]; gives what it says in its log.
    pub(crate) fn start_node_with_log(&mut self, id: usize) -> Log {
        let mut program = Command::new(program());
        program.env("RUST_LOG", "info").stderr(Stdio::piped());
        self.start_with(id, program);
        let process = self.nodes[id - 1].process.as_mut().expect("it was started");
        Log::of(process.stderr.take().expect("stderr is a pipe"))
    }

    /// As [`Stand::start_node`], with options that this node keeps.
    pub(crate) fn start_node_with_options(&mut self, id: usize, options: &[&str]) {
        self.nodes[id - 1].options = options.iter().map(|&option| option.to_owned()).collect();
        self.start_node(id);
    }

    /// Starts a node with this in its environment, and waits until it says that it is ready.
    pub(crate) fn start_node_in(&mut self, id: usize, variable: &str, value: &str) {
        let mut program = Command::new(program());
        program.env(variable, value);
        self.start_with(id, program);
    }

    /// Starts a node and does not wait for it.
    pub(crate) fn begin_node(&mut self, id: usize) {
        let mut program = Command::new(program());
        program.args(self.arguments(id)).stdin(Stdio::null()).stdout(Stdio::null());
        self.nodes[id - 1].process = Some(program.spawn().expect("the program starts"));
    }

    fn start_with(&mut self, id: usize, mut command: Command) {
        let mut process = command
            .args(self.arguments(id))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = process.stdout.take().expect("stdout is a pipe");
        self.nodes[id - 1].process = Some(process);
        assert_eq!(first_line(stdout).as_deref(), Some("ready"), "node {id}");
    }

    /// The command line of a node.
    pub(crate) fn arguments(&self, id: usize) -> Vec<String> {
        let node = &self.nodes[id - 1];
        let data = self.data(id).display().to_string();
        let words =
            ["serve", "--id", &id.to_string(), "--data", &data, "--raft", &node.raft, "--redis", &node.redis]
                .map(str::to_owned);
        let origin = if node.joins {
            vec!["--join".to_owned()]
        } else {
            vec!["--cluster".to_owned(), self.members.clone()]
        };
        let options = self.options.iter().chain(&node.options).cloned();
        words.into_iter().chain(origin).chain(options).collect()
    }

    pub(crate) fn data(&self, id: usize) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn raft(&self, id: usize) -> &str {
        &self.nodes[id - 1].raft
    }

    pub(crate) fn redis(&self, id: usize) -> &str {
        &self.nodes[id - 1].redis
    }

    pub(crate) fn client(&self, id: usize) -> Client {
        Client::connect(self.redis(id)).expect("the node takes clients")
    }

    /// The process of a node that runs.
    pub(crate) fn process_id(&self, id: usize) -> u32 {
        self.nodes[id - 1].process.as_ref().expect("the node runs").id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: usize) {
        let mut process = self.nodes[id - 1].process.take().expect("the node runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn terminate(&mut self, id: usize) -> Option<i32> {
        self.stop_with(id, "TERM")
    }

    /// Sends a signal and waits for the end; gives the exit code.
    pub(crate) fn stop_with(&mut self, id: usize, name: &str) -> Option<i32> {
        let mut process = self.nodes[id - 1].process.take().expect("the node runs");
        signal(name, process.id());
        let ended = eventually("the process ends", || process.try_wait().expect("a child can be asked"));
        ended.code()
    }

    pub(crate) fn runs(&mut self, id: usize) -> bool {
        let process = self.nodes[id - 1].process.as_mut();
        process.is_some_and(|process| process.try_wait().expect("a child can be asked").is_none())
    }

    /// The node that leads, once there is one.
    pub(crate) fn leader(&self) -> usize {
        eventually("a node leads", || self.leader_now())
    }

    /// The leader of the highest term: one that was cut off may not know yet.
    pub(crate) fn leader_now(&self) -> Option<usize> {
        let statuses = (1..=self.nodes.len()).filter_map(|id| Some((id, self.status(id)?)));
        let leaders = statuses.filter(|(_, status)| status["role"] == "leader");
        leaders.max_by_key(|(_, status)| status["term"].as_u64()).map(|(id, _)| id)
    }

    /// Waits until the members know each other's directories: from then on one that was emptied is recognised.
    pub(crate) fn await_recognition(&self) {
        for id in self.running() {
            eventually("all members are known by their directories", || match self.ask(id, "INFO raft") {
                Ok(Answer::Bulk(info)) => {
                    String::from_utf8_lossy(&info).contains("raft_recognises_all:true").then_some(())
                }
                _ => None,
            });
        }
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (1..=self.nodes.len()).filter(|&id| self.nodes[id - 1].process.is_some()).collect()
    }

    /// Sends the words of a line to a node; gives its answer.
    pub(crate) fn ask(&self, id: usize, line: &str) -> io::Result<Answer> {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        Client::connect(self.redis(id))?.call(&words)
    }

    /// Asks a node until it replies OK, as an operator does who is told to wait or to try again.
    pub(crate) fn insist(&self, id: usize, line: &str) {
        eventually(line, || (self.ask(id, line).ok()? == Answer::Status("OK".into())).then_some(()));
    }

    /// RAFT STATUS of a node, if it answers.
    pub(crate) fn status(&self, id: usize) -> Option<Value> {
        match Client::connect(self.redis(id)).ok()?.call(&[b"RAFT", b"STATUS"]) {
            Ok(Answer::Bulk(json)) => Some(serde_json::from_slice(&json).expect("the status is JSON")),
            _ => None,
        }
    }
}

impl Node {
    fn somewhere(joins: bool) -> Self {
        Self { raft: free_address(), redis: free_address(), joins, options: Vec::new(), process: None }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for mut process in self.nodes.iter_mut().filter_map(|node| node.process.take()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What a process says, as it says it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    fn of(output: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let lines = Arc::clone(&log.0);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut lines = lines.lock().expect("nobody panics with it");
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        log
    }

    /// Waits until it has said these words.
    pub(crate) fn await_words(&self, words: &str) {
        let lines = || self.0.lock().expect("nobody panics with it");
        eventually(words, || lines().contains(words).then_some(()));
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(sent.expect("there is a shell").success());
}

/// Asks again until there is an answer. Other processes announce nothing, so that asking is all one can do.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address on which nobody listens, and which no other test of this process is given. It lies below the range from
/// which systems take ports for outgoing connections.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let place = NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() % 200) as u16 * 97;
        let port = 11_000 + place % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

/// The first line that a process prints; `None` if it ends, or is silent for too long.
pub(crate) fn first_line(output: impl Read + Send + 'static) -> Option<String> {
    let (sender, line) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        let _ = sender.send(line);
    });
    let line = line.recv_timeout(PATIENCE).ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}
