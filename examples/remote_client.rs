//! A client in a process of its own, and three nodes in theirs. In the middle of a loop of increments the leader is killed, and
//! started again; at the end the total is exact.
//!
//! ```text
//! cargo run --release --example remote_client
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::{env, thread};

use quorate::{
    Client, Config, LogPosition, MachineError, Server, SnapshotError, SnapshotWriter, StateMachine,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const INCREMENTS: i64 = 10_000;

#[derive(Default)]
struct Counter(i64);

impl StateMachine for Counter {
    type Command = i64;
    type Query = ();
    type Response = i64;

    fn apply(&mut self, _at: LogPosition, add: i64) -> i64 {
        self.0 += add;
        self.0
    }

    fn query(&self, (): ()) -> i64 {
        self.0
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.0;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        self.0 = i64::from_le_bytes(total);
        Ok(())
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [] => demonstrate(),
        [word, id, directory, addresses @ ..] if word == "serve" => serve(id, directory, addresses),
        _ => Err("no arguments, or: serve ID DIRECTORY ADDRESS...".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What each server process does.
fn serve(id: &str, directory: &str, addresses: &[String]) -> Result<(), Box<dyn Error>> {
    let id: u64 = id.parse()?;
    let own = addresses.get(id as usize - 1).ok_or("no address for this id")?;
    let config = Config::new(id, directory, own)
        .bootstrap((1..).zip(addresses.iter().cloned()))
        .segment_bytes(8 << 20)
        .snapshot_entries(2_000);
    let server = Server::start(config, Counter::default())?;
    println!("ready");
    Err(format!("node {id} has stopped: {}", server.wait()?).into())
}

fn demonstrate() -> Result<(), Box<dyn Error>> {
    let interrupted = interruption()?;
    let data = tempfile::tempdir()?;
    let mut cluster = Cluster::start(data.path())?;
    println!("three nodes run, each in a process of its own: {}", cluster.addresses.join(", "));

    let client = Client::<Counter>::connect(&cluster.addresses)?;
    for count in 1..=INCREMENTS {
        if interrupted.try_recv().is_ok() {
            return Err("interrupted".into());
        }
        let total = client.propose(1)?;
        assert_eq!(total, count, "an increment was lost, or took effect twice");
        if count == INCREMENTS / 3 {
            let leader = leader(&client)?;
            cluster.kill(leader);
            println!("{count} increments, and node {leader}, which led, is killed");
        }
        if count == INCREMENTS * 2 / 3 {
            let id = cluster.start_missing()?;
            println!("{count} increments, and node {id} is back");
        }
    }
    let total = client.query(())?;
    println!("{INCREMENTS} increments, and the total is {total}");
    if total == INCREMENTS { Ok(()) } else { Err(format!("{total} is not {INCREMENTS}").into()) }
}

/// Says so when the user has had enough: then the processes are ended, and the directory is removed.
fn interruption() -> Result<Receiver<()>, Box<dyn Error>> {
    let (sender, interrupted) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().map_while(|_| sender.send(()).ok()).count());
    Ok(interrupted)
}

/// Who leads, as the first node says that knows.
fn leader(client: &Client<Counter>) -> Result<u64, Box<dyn Error>> {
    for _ in 0..1000 {
        if let Some(leader) = client.status()?.leader {
            return Ok(leader);
        }
    }
    Err("nobody leads".into())
}

struct Cluster<'a> {
    data: &'a Path,
    addresses: Vec<String>,
    nodes: BTreeMap<u64, Child>,
}

impl<'a> Cluster<'a> {
    fn start(data: &'a Path) -> Result<Self, Box<dyn Error>> {
        // Below the ports that systems give to outgoing connections: the one of a node that is down stays free.
        let free = (17_000..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let addresses: Vec<_> = free.take(3).map(|port| format!("127.0.0.1:{port}")).collect();
        let mut cluster = Self { data, addresses, nodes: BTreeMap::new() };
        while cluster.nodes.len() < 3 {
            cluster.start_missing()?;
        }
        Ok(cluster)
    }

    /// Starts the first that does not run, and waits until it says that it is ready.
    fn start_missing(&mut self) -> Result<u64, Box<dyn Error>> {
        let id = (1..=3).find(|id| !self.nodes.contains_key(id)).ok_or("all of them run")?;
        let mut node = Command::new(env::current_exe()?)
            .args(["serve", &id.to_string()])
            .arg(self.data.join(id.to_string()))
            .args(&self.addresses)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0) // Ctrl-C is for this process alone, which ends the others
            .spawn()?;
        let stdout = node.stdout.take().ok_or("its output is a pipe")?;
        self.nodes.insert(id, node);
        match BufReader::new(stdout).lines().next() {
            Some(Ok(line)) if line == "ready" => Ok(id),
            said => Err(format!("node {id} is not ready, but says {said:?}").into()),
        }
    }

    /// SIGKILL: it gets no chance to tidy up.
    fn kill(&mut self, id: u64) {
        if let Some(mut node) = self.nodes.remove(&id) {
            // Both fail only if it has ended before.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for id in 1..=3 {
            self.kill(id);
        }
    }
}
