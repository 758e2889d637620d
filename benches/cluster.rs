//! Three nodes over loopback TCP and a real disk, under load: `cargo bench --bench cluster [-- FILTER...]`.
//!
//! Two ways of asking: blocking clients, each an OS thread in a closed loop (`clients`), and one thread that keeps many
//! tickets in flight (`tickets`). A filter such as `clients/256` or `/128B` runs the rows whose name contains it. Figures go
//! to stdout and, as JSON, to `benches/results/cluster.json`. Everything shares this machine: the three nodes and their
//! clients too.

use std::collections::VecDeque;
use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use quorate::{Config, LogPosition, MachineError, Node, SnapshotError, SnapshotWriter, StateMachine};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
const CLIENTS: [usize; 5] = [1, 16, 64, 256, 1024];
const IN_FLIGHT: usize = 1024;
const PAYLOADS: [usize; 3] = [128, 16, 1024];

fn main() {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    println!(
        "{:<22} {:>11} {:>9} {:>9} {:>9} {:>14}",
        "row", "writes/s", "p50 µs", "p99 µs", "p99.9 µs", "CPU s/million"
    );
    let mut results = Vec::new();
    for payload in PAYLOADS {
        for clients in CLIENTS {
            let name = format!("clients/{clients}/{payload}B");
            if wanted(&name) {
                results.push(measured(&name, payload, |node, run| {
                    blocking_clients(node, run, clients, payload)
                }));
            }
        }
        let name = format!("tickets/{IN_FLIGHT}/{payload}B");
        if wanted(&name) {
            results.push(measured(&name, payload, |node, run| tickets_in_flight(node, run, payload)));
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results/cluster.json");
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results"))
        .expect("a results directory");
    std::fs::write(path, format!("{:#}\n", json!(results))).expect("a results file");
    println!("written to {path}");
}

/// One row: a fresh cluster, a warm-up, the measurement.
fn measured(
    name: &str,
    payload: usize,
    load: impl FnOnce(&Node<Sink>, &Run) -> Histogram<u64>,
) -> serde_json::Value {
    let cluster = Cluster::start();
    let run = Run::default();
    let (latencies, seconds, cpu) = thread::scope(|scope| {
        let timer = scope.spawn(|| run.time());
        let latencies = load(cluster.leader(), &run);
        let (seconds, cpu) = timer.join().expect("the timer does not panic");
        (latencies, seconds, cpu)
    });
    let writes = latencies.len();
    let per_second = writes as f64 / seconds;
    let cpu_per_million = cpu / writes as f64 * 1e6;
    let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    println!("{name:<22} {per_second:>11.0} {p50:>9.0} {p99:>9.0} {p999:>9.0} {cpu_per_million:>14.2}");
    json!({
        "name": name, "payload_bytes": payload, "writes": writes, "writes_per_second": per_second,
        "p50_us": p50, "p99_us": p99, "p999_us": p999, "cpu_seconds_per_million": cpu_per_million,
    })
}

/// When to count, and when to stop.
#[derive(Default)]
struct Run {
    counting: AtomicBool,
    over: AtomicBool,
}

impl Run {
    /// Warms up, then counts; gives the seconds counted and the CPU seconds of the whole process meanwhile.
    fn time(&self) -> (f64, f64) {
        thread::park_timeout(WARM_UP);
        let (start, cpu) = (now(), cpu_seconds());
        self.counting.store(true, Ordering::SeqCst);
        thread::park_timeout(MEASURED);
        self.counting.store(false, Ordering::SeqCst);
        let measured = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        self.over.store(true, Ordering::SeqCst);
        measured
    }

    fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Each client is a thread that proposes, waits, and proposes again.
fn blocking_clients(node: &Node<Sink>, run: &Run, clients: usize, payload: usize) -> Histogram<u64> {
    let command = Bytes::from(vec![7_u8; payload]);
    thread::scope(|scope| {
        let client = || {
            let mut latencies = histogram();
            while !run.is_over() {
                let start = now();
                node.propose(command.clone()).expect("the cluster is healthy");
                if run.is_counting() {
                    latencies.record(nanoseconds(start)).expect("below an hour");
                }
            }
            latencies
        };
        let all: Vec<_> = (0..clients)
            .map(|_| {
                thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, client).expect("a thread")
            })
            .collect();
        all.into_iter().fold(histogram(), |mut sum, client| {
            sum += client.join().expect("a client does not panic");
            sum
        })
    })
}

/// One thread keeps a window of tickets in flight and waits for the oldest.
fn tickets_in_flight(node: &Node<Sink>, run: &Run, payload: usize) -> Histogram<u64> {
    let command = Bytes::from(vec![7_u8; payload]);
    let mut latencies = histogram();
    let mut window = VecDeque::with_capacity(IN_FLIGHT);
    while !run.is_over() {
        while window.len() < IN_FLIGHT {
            window.push_back((now(), node.submit(command.clone())));
        }
        let (start, ticket) = window.pop_front().expect("the window is full");
        ticket.wait().expect("the cluster is healthy");
        if run.is_counting() {
            latencies.record(nanoseconds(start)).expect("below an hour");
        }
    }
    latencies
}

/// Three nodes in this process, with their logs in a temporary directory.
struct Cluster {
    nodes: Vec<Node<Sink>>,
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
            Node::start(config, Sink::default()).expect("the node starts")
        };
        let nodes: Vec<_> = sockets.into_iter().map(start).collect();
        let leader = nodes[0].wait_for_leader(Duration::from_secs(10)).expect("a leader") as usize - 1;
        Self { nodes, leader, _directory: directory }
    }

    fn leader(&self) -> &Node<Sink> {
        &self.nodes[self.leader]
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

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("good bounds")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
