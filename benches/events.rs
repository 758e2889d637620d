//! The event store under load: `cargo bench --features event-store --bench events [-- FILTER...]`.
//!
//! - `plain` and `appends`: three nodes over loopback TCP and a real disk. 64 threads append three events of 200 bytes, each
//!   to aggregates of its own, 10,000 in all; the same threads propose as many bytes to a machine that costs nothing.
//! - `load`: one thread loads 100 events of an aggregate, again and again: such as came together and such as came one by one,
//!   by the node's own word; and linearizably.
//! - `restart`: one node with 1,000,000 stored events, from the start until it is ready; and what it held in memory with a
//!   tenth of them, with half, and with all.
//!
//! A filter runs the rows whose name contains it. Figures go to stdout and, as JSON, to `benches/results/events.json`.
//! Everything shares this machine: the nodes and their clients too.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod cpu;

use std::collections::VecDeque;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use quorate::event_store::{AggregateId, Append, Command, EventStore, NewEvent, Options, Timestamp};
use quorate::{Codec, Config, LogPosition, MachineError, Node, SnapshotError, SnapshotWriter, StateMachine};
use serde_json::{Value, json};

use self::cpu::Spent;

const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
const THREADS: usize = 64;
const AGGREGATES: usize = 10_000;
const EVENTS: usize = 3;
const EVENT_BYTES: usize = 200;
const LOADED: usize = 100;
const STORED: u64 = 1_000_000;
/// Events of one append while the store is filled.
const FILLING: u64 = 100;

fn main() {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let mut results = Vec::new();
    if wanted("plain") || wanted("appends") {
        let (plain, appends) = (proposals(), appends());
        let share = rate(&appends) / rate(&plain);
        println!("appends are {:.0}% of plain proposals of the same size", share * 100.0);
        results.extend([plain, appends, json!({ "name": "appends/plain", "share": share })]);
    }
    if wanted("load") {
        results.extend(loads());
    }
    if wanted("restart") {
        results.push(restart());
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");
    std::fs::create_dir_all(directory).expect("a results directory");
    let path = format!("{directory}/events.json");
    std::fs::write(&path, format!("{:#}\n", json!(results))).expect("a results file");
    println!("written to {path}");
}

fn rate(row: &Value) -> f64 {
    row["per_second"].as_f64().expect("a rate")
}

/// Three events, of aggregate `nth`.
fn append(nth: usize, expected: u64) -> Append {
    let events = (0..EVENTS).map(|_| NewEvent::new("happened", Bytes::from_static(&[7; EVENT_BYTES])));
    Append::to(&aggregate(nth), expected).events(events)
}

fn aggregate(nth: usize) -> AggregateId {
    AggregateId::new(["aggregate", &nth.to_string()]).expect("a good id")
}

fn proposals() -> Value {
    let cluster = Cluster::start(|config| Node::start(config, Sink::default()).expect("the node starts"));
    let mut command = Vec::new();
    append(AGGREGATES, 0).into_command(Timestamp(0)).expect("a good command").encode(&mut command);
    let command = Bytes::from(command);
    let node = cluster.leader(|node| node.wait_for_leader(PATIENCE).expect("a leader"));
    measured("plain", command.len(), |run, _| {
        run.until_over(|| _ = node.propose(command.clone()).expect("the cluster is healthy"))
    })
}

fn appends() -> Value {
    let cluster =
        Cluster::start(|config| EventStore::start(config, Options::default()).expect("the store starts"));
    let mut command = Vec::new();
    append(AGGREGATES, 0).into_command(Timestamp(0)).expect("a good command").encode(&mut command);
    let store = cluster.leader(|store| store.node().wait_for_leader(PATIENCE).expect("a leader"));
    measured("appends", command.len(), |run, thread| {
        let mut own: VecDeque<_> =
            (0..AGGREGATES).filter(|nth| nth % THREADS == thread).map(|nth| (nth, 0)).collect();
        run.until_over(|| {
            let (nth, expected) = own.pop_front().expect("each thread has some");
            let appended = store.append(append(nth, expected)).expect("nobody else is at it");
            own.push_back((nth, appended.next[0]));
        })
    })
}

/// One row: all threads in a closed loop, a warm-up, the measurement.
fn measured(name: &str, bytes: usize, load: impl Fn(&Run, usize) -> Histogram<u64> + Sync) -> Value {
    let run = Run::default();
    let (latencies, seconds, spent) = thread::scope(|scope| {
        let (load, run) = (&load, &run);
        let all: Vec<_> = (0..THREADS).map(|nth| scope.spawn(move || load(run, nth))).collect();
        let (seconds, spent) = run.time();
        let latencies = all.into_iter().fold(histogram(), |mut sum, one| {
            sum += one.join().expect("a client does not panic");
            sum
        });
        (latencies, seconds, spent)
    });
    let per_second = latencies.len() as f64 / seconds;
    let (p50, p99) = (micros(&latencies, 0.5), micros(&latencies, 0.99));
    let micros_each = |thread: &str| spent.seconds(thread) / latencies.len() as f64 * 1e6;
    let cpu: serde_json::Map<String, Value> = THREADS_OF_A_NODE
        .iter()
        .map(|thread| ((*thread).to_owned(), json!((micros_each(thread) * 10.0).round() / 10.0)))
        .collect();
    let cpu_in_all = micros_each("");
    println!(
        "{name:<8} {per_second:>7.0}/s of {bytes} bytes   p50 {p50:>6.0} µs   p99 {p99:>6.0} µs   {cpu_in_all:>5.1} µs of CPU each"
    );
    let each: Vec<_> = cpu.iter().map(|(thread, micros)| format!("{thread} {micros:.1}")).collect();
    println!("         of all three nodes: {}", each.join(", "));
    json!({
        "name": name, "bytes": bytes, "per_second": per_second, "p50_us": p50, "p99_us": p99,
        "cpu_us_each": cpu_in_all, "cpu_us_each_by_thread": cpu,
    })
}

/// A part of their names, which are cut at fifteen bytes; the clients' threads have that of the process.
const THREADS_OF_A_NODE: &[&str] = &["events", "-engin", "-log-w", "-net", "-apply", "settler", "-upkee"];

fn loads() -> Vec<Value> {
    let cluster =
        Cluster::start(|config| EventStore::start(config, Options::default()).expect("the store starts"));
    let store = cluster.leader(|store| store.node().wait_for_leader(PATIENCE).expect("a leader"));
    let aggregates = 1_000;
    // Half of them came by one append each; the events of the others one by one, among those of all others.
    let (together, scattered) = (0..aggregates, aggregates..2 * aggregates);
    submit_all(store, together.clone().map(|nth| (nth, 0, LOADED)));
    let one_by_one = (0..LOADED as u64).flat_map(|round| scattered.clone().map(move |nth| (nth, round, 1)));
    submit_all(store, one_by_one);
    let mut rows = Vec::new();
    for (name, range, is_local) in [
        ("load/together", together, true),
        ("load/scattered", scattered.clone(), true),
        ("load/linearizable", scattered, false),
    ] {
        let mut latencies = histogram();
        for nth in range.cycle().take(20_000) {
            let (id, start) = (aggregate(nth), Instant::now());
            let loaded = if is_local { store.local().load_events(&id, 0) } else { store.load_events(&id, 0) };
            assert_eq!(loaded.expect("it is there").events.len(), LOADED);
            record(&mut latencies, start);
        }
        let (p50, p99) = (micros(&latencies, 0.5), micros(&latencies, 0.99));
        println!("{name:<18} {LOADED} events: p50 {p50:>6.1} µs   p99 {p99:>7.1} µs");
        rows.push(json!({ "name": name, "events": LOADED, "p50_us": p50, "p99_us": p99 }));
    }
    rows
}

/// Appends so many events to these aggregates, at these sequences, with many of the appends under way.
fn submit_all(store: &EventStore, appends: impl Iterator<Item = (usize, u64, usize)>) {
    let mut window = VecDeque::new();
    for (nth, expected, count) in appends {
        let events = (0..count).map(|_| NewEvent::new("happened", Bytes::from_static(&[7; EVENT_BYTES])));
        let append = Append::to(&aggregate(nth), expected).events(events);
        let command: Command = append.into_command(Timestamp(0)).expect("a good command");
        window.push_back(store.node().submit(command));
        if window.len() > 256 {
            let oldest = window.pop_front().expect("it is not empty");
            oldest.wait().expect("the node is healthy");
        }
    }
    for ticket in window {
        let _ = ticket.wait().expect("the node is healthy");
    }
}

fn restart() -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    drop(socket);
    let start = |directory: &Path| {
        let config = Config::new(1, directory.join("1"), &address).bootstrap([(1, &address)]);
        EventStore::start(config, Options::default()).expect("the store starts")
    };
    let store = start(directory.path());
    store.ready(PATIENCE).expect("it elects itself");
    fill(&store, 0, STORED / 10);
    let memory_of_a_tenth = anonymous_mebibytes();
    fill(&store, STORED / 10, STORED / 2);
    let memory_of_half = anonymous_mebibytes();
    fill(&store, STORED / 2, STORED);
    let memory_of_all = anonymous_mebibytes();
    store.shutdown(PATIENCE).expect("down");
    drop(store);

    let began = Instant::now();
    let store = start(directory.path());
    let opened = began.elapsed().as_secs_f64();
    store.ready(PATIENCE).expect("it elects itself");
    let ready = began.elapsed().as_secs_f64();
    let loaded = store.load_events(&aggregate(0), 0).expect("it is there").events.len();
    assert!(loaded > 0);
    println!("restart with {STORED} events: opened in {opened:.2} s, ready in {ready:.2} s");
    println!(
        "memory with a tenth of them: {memory_of_a_tenth:.0} MiB, half: {memory_of_half:.0}, all: {memory_of_all:.0}"
    );
    json!({
        "name": "restart", "events": STORED, "opened_seconds": opened, "ready_seconds": ready,
        "mebibytes_with_a_tenth": memory_of_a_tenth, "mebibytes_with_half": memory_of_half,
        "mebibytes_with_all": memory_of_all,
    })
}

/// Stores the events `from..to`, spread over a thousand aggregates.
fn fill(store: &EventStore, from: u64, to: u64) {
    let appends = (from / FILLING..to / FILLING).map(|nth| {
        let (round, which) = (nth / 1_000, (nth % 1_000) as usize);
        (which, round * FILLING, FILLING as usize)
    });
    submit_all(store, appends);
}

/// What the process holds that no file is behind.
fn anonymous_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    kibibytes / 1024.0
}

/// When to count, and when to stop.
#[derive(Default)]
struct Run {
    counting: AtomicBool,
    over: AtomicBool,
}

impl Run {
    /// Warms up, then counts; gives the seconds counted, and what each thread spent meanwhile.
    fn time(&self) -> (f64, Spent) {
        thread::park_timeout(WARM_UP);
        let (start, before) = (Instant::now(), Spent::so_far());
        self.counting.store(true, Ordering::SeqCst);
        thread::park_timeout(MEASURED);
        self.counting.store(false, Ordering::SeqCst);
        let measured = (start.elapsed().as_secs_f64(), Spent::so_far() - &before);
        self.over.store(true, Ordering::SeqCst);
        measured
    }

    fn until_over(&self, mut work: impl FnMut()) -> Histogram<u64> {
        let mut latencies = histogram();
        while !self.over.load(Ordering::Relaxed) {
            let start = Instant::now();
            work();
            if self.counting.load(Ordering::Relaxed) {
                record(&mut latencies, start);
            }
        }
        latencies
    }
}

/// Three nodes in this process, with their files in a temporary directory.
struct Cluster<N> {
    nodes: Vec<N>,
    _directory: tempfile::TempDir,
}

impl<N> Cluster<N> {
    fn start(start: impl Fn(Config) -> N) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sockets = [1, 2, 3].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
        let members =
            sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));
        let start = |(id, socket): (u64, TcpListener)| {
            let config = Config::new(id, directory.path().join(id.to_string()), "127.0.0.1:0");
            start(config.listener(socket).bootstrap(members.clone()))
        };
        let nodes = sockets.into_iter().map(start).collect();
        Self { nodes, _directory: directory }
    }

    fn leader(&self, leader: impl Fn(&N) -> u64) -> &N {
        &self.nodes[leader(&self.nodes[0]) as usize - 1]
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

fn record(latencies: &mut Histogram<u64>, start: Instant) {
    let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
    latencies.record(nanoseconds).expect("below an hour");
}

fn micros(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e3
}
