//! A client in front of three nodes, beside a caller inside the one that leads: `cargo bench --bench remote [-- FILTER...]`.
//!
//! Both keep the same number of tickets in flight from one thread, in turns on the same cluster, several times; the figures are
//! medians. A filter such as `/256` runs the rows whose name contains it. Figures go to stdout and, as JSON, to
//! `benches/results/remote.json`. Everything shares this machine: the three nodes, the client, and who asks.

use std::collections::VecDeque;
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use quorate::{
    CallError, Client, ClientConfig, Config, LogPosition, MachineError, Server, SnapshotError,
    SnapshotWriter, StateMachine, Ticket,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const IN_FLIGHT: [usize; 4] = [1, 64, 256, 1024];
const PAYLOAD: usize = 128;

fn main() {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    println!(
        "{:<14} {:<10} {:>11} {:>9} {:>9} {:>14} {:>8}",
        "row", "from", "writes/s", "p50 µs", "p99 µs", "CPU s/million", "share"
    );
    let mut results = Vec::new();
    for in_flight in IN_FLIGHT {
        let name = format!("tickets/{in_flight}");
        if wanted(&name) {
            results.push(compared(&name, in_flight));
        }
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");
    std::fs::create_dir_all(directory).expect("a results directory");
    let path = format!("{directory}/remote.json");
    std::fs::write(&path, format!("{:#}\n", json!(results))).expect("a results file");
    println!("written to {path}");
}

/// One row: a fresh cluster, on which both take turns.
fn compared(name: &str, in_flight: usize) -> serde_json::Value {
    let cluster = Cluster::start();
    let (node, client) = (cluster.leader().node(), cluster.client());
    let command = Bytes::from(vec![7_u8; PAYLOAD]);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        inside.push(measured(in_flight, || node.submit(command.clone())));
        outside.push(measured(in_flight, || client.submit(command.clone())));
    }
    let (inside, outside) = (median(inside), median(outside));
    let share = outside.per_second / inside.per_second;
    for (from, rate, share) in [("inside", &inside, String::new()), ("a client", &outside, percent(share))] {
        println!(
            "{name:<14} {from:<10} {:>11.0} {:>9.0} {:>9.0} {:>14.2} {share:>8}",
            rate.per_second, rate.p50_us, rate.p99_us, rate.cpu_per_million
        );
    }
    json!({ "name": name, "payload_bytes": PAYLOAD, "inside": inside.json(), "client": outside.json(), "share": share })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

struct Rate {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_per_million: f64,
}

impl Rate {
    fn json(&self) -> serde_json::Value {
        json!({
            "writes_per_second": self.per_second, "p50_us": self.p50_us, "p99_us": self.p99_us,
            "cpu_seconds_per_million": self.cpu_per_million,
        })
    }
}

/// That of the round whose rate is in the middle.
fn median(mut rounds: Vec<Rate>) -> Rate {
    rounds.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    rounds.swap_remove(ROUNDS / 2)
}

/// Keeps a window of tickets in flight and waits for the oldest; the CPU is that of the whole process.
fn measured<E: CallError + std::fmt::Debug>(in_flight: usize, submit: impl Fn() -> Ticket<u64, E>) -> Rate {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).expect("sound bounds");
    let mut window = VecDeque::with_capacity(in_flight);
    let begun = now();
    let mut counting: Option<(Instant, f64)> = None;
    loop {
        while window.len() < in_flight {
            window.push_back((now(), submit()));
        }
        let (start, ticket) = window.pop_front().expect("the window is full");
        ticket.wait().expect("the cluster is healthy");
        let done = now();
        match counting {
            None if done - begun >= WARM_UP => counting = Some((done, cpu_seconds())),
            None => {}
            Some((since, cpu)) => {
                let nanoseconds = u64::try_from((done - start).as_nanos()).expect("less than centuries");
                latencies.record(nanoseconds).expect("below an hour");
                let seconds = (done - since).as_secs_f64();
                if seconds >= MEASURED.as_secs_f64() {
                    let cpu = cpu_seconds() - cpu;
                    for (_, ticket) in window {
                        ticket.wait().expect("the cluster is healthy");
                    }
                    let (writes, at) =
                        (latencies.len() as f64, |q| latencies.value_at_quantile(q) as f64 / 1e3);
                    return Rate {
                        per_second: writes / seconds,
                        p50_us: at(0.5),
                        p99_us: at(0.99),
                        cpu_per_million: cpu / writes * 1e6,
                    };
                }
            }
        }
    }
}

/// Three nodes that serve clients, in this process, with their logs in a temporary directory.
struct Cluster {
    servers: Vec<Server<Sink>>,
    leader: usize,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets = [1, 2, 3].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
        let members =
            sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));
        let start = |(id, socket): (u64, TcpListener)| {
            let config = Config::new(id, directory.path().join(id.to_string()), "127.0.0.1:0")
                .listener(socket)
                .bootstrap(members.clone());
            Server::start(config, Sink::default()).expect("the server starts")
        };
        let servers: Vec<_> = sockets.into_iter().map(start).collect();
        let leader = servers[0].node().wait_for_leader(Duration::from_secs(10)).expect("a leader");
        Self { servers, leader: leader as usize - 1, _directory: directory }
    }

    fn leader(&self) -> &Server<Sink> {
        &self.servers[self.leader]
    }

    fn client(&self) -> Client<Sink> {
        let addresses = self.servers.iter().map(|server| server.local_addr().to_string());
        Client::connect_with(ClientConfig::new(addresses)).expect("the nodes are there")
    }
}

/// A state machine that costs nothing.
#[derive(Default)]
struct Sink(u64);

impl StateMachine for Sink {
    type Command = Bytes;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, command: Bytes) -> u64 {
        self.0 += command.len() as u64;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let sum = self.0;
        Ok(Box::new(move |out| out.write_all(&sum.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut sum = [0; 8];
        snapshot.read_exact(&mut sum)?;
        self.0 = u64::from_le_bytes(sum);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
