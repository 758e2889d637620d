//! A node with an empty disk joins a cluster that holds 1 GiB of state, under load: `cargo bench --bench join [-- MIB
//! [MIB_PER_S]]`, where the second number limits what the leader sends of snapshots (0: no limit).
//!
//! Three nodes over loopback TCP and a real disk; their state is filled through the log and a snapshot taken. Then 64
//! clients write, first without and then while a fourth node is added and receives that snapshot. Printed are how fast it got
//! there against the disk's own sequential rate (1 MiB writes and one sync at the end, measured before and after), the clients'
//! p99 without and with the transfer, what memory the process needed beyond the new node's copy of the state, and the CPU
//! time of each thread while the snapshot travelled.
//! Everything shares this machine: all nodes, all clients, one disk. JSON goes to `benches/results/join.json`.

mod cpu;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use quorate::{Config, LogPosition, MachineError, Node, SnapshotError, SnapshotWriter, StateMachine};
use serde_json::json;

use self::cpu::Spent;

const PAGE_BYTES: usize = 64 << 10;
const CLIENTS: usize = 64;
/// Pages on their way into the log while the state is filled.
const IN_FLIGHT: usize = 64;
const BASELINE: Duration = Duration::from_secs(5);
/// The phases: before, while the snapshot travels, and while the new node takes it in.
const TRANSFER: usize = 1;
const RESTORE: usize = 2;
const LONG: Duration = Duration::from_secs(600);
/// How often the joining node is looked at: the resolution of the time it took.
const LOOK: Duration = Duration::from_millis(2);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (mebibytes, limit) = (numbers.next().unwrap_or(1024), numbers.next().unwrap_or(0));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rate_before = disk_rate(directory.path(), mebibytes);
    let mut cluster = Cluster::start(directory.path(), limit << 20);
    cluster.fill(mebibytes);
    cluster.leader().snapshot_now().expect("a snapshot");
    println!("state: {mebibytes} MiB on three nodes; disk before: {rate_before:.0} MiB/s");

    let load = Load::default();
    let peak = AtomicU64::new(0);
    let (joined, memory) = thread::scope(|scope| {
        let leader = cluster.leader();
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load.client(leader))).collect();
        thread::park_timeout(BASELINE);
        let idle = resident_mebibytes();
        peak.store(idle, Ordering::SeqCst);
        let watching = scope.spawn(|| load.watch_memory(&peak));
        let joined = cluster.join(directory.path(), &load.phase);
        load.over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("a client does not panic");
        }
        watching.join().expect("the watcher does not panic");
        (joined, peak.load(Ordering::SeqCst).saturating_sub(idle))
    });
    let rate_after = disk_rate(directory.path(), mebibytes);
    report(mebibytes, [rate_before, rate_after], &joined, memory, &load);
}

/// How long each step of joining took.
struct Joined {
    durable: Duration,
    applied: Duration,
    /// By each thread until it was durable, and from then on.
    transfer: Spent,
    restore: Spent,
    _node: Node<Pages>,
}

fn report(mebibytes: u64, rates: [f64; 2], joined: &Joined, memory: u64, load: &Load) {
    let disk = f64::midpoint(rates[0], rates[1]);
    let transfer = mebibytes as f64 / joined.durable.as_secs_f64();
    let whole = mebibytes as f64 / joined.applied.as_secs_f64();
    let [quiet, busy, restoring] =
        load.latencies().map(|latencies| latencies.value_at_quantile(0.99) as f64 / 1e3);
    let [writes_quiet, writes_busy, _] = load.latencies().map(|latencies| latencies.len());
    println!("disk, sequential writes: {:.0} and {:.0} MiB/s, mean {disk:.0}", rates[0], rates[1]);
    println!(
        "snapshot durable on the new node after {:.2} s: {transfer:.0} MiB/s, {:.2} of the disk's rate",
        joined.durable.as_secs_f64(),
        transfer / disk
    );
    println!(
        "and applied after {:.2} s: {whole:.0} MiB/s, {:.2} of the disk's rate",
        joined.applied.as_secs_f64(),
        whole / disk
    );
    println!(
        "p99 of {CLIENTS} clients: {quiet:.0} µs before ({writes_quiet} writes), {busy:.0} µs during the transfer ({writes_busy}): \
         × {:.2}; {restoring:.0} µs while the new node restores its state: × {:.2}",
        busy / quiet,
        restoring / quiet
    );
    println!("CPU during the transfer: {}", joined.transfer);
    println!("CPU while the new node restores: {}", joined.restore);
    println!(
        "memory beyond what stood before, at most: {memory} MiB, of which {mebibytes} are the new node's state"
    );
    let results = json!({
        "mebibytes": mebibytes, "disk_mib_per_s": disk, "transfer_mib_per_s": transfer, "join_mib_per_s": whole,
        "p99_us_without": quiet, "p99_us_with": busy, "p99_us_restoring": restoring, "memory_mib": memory,
        "cpu_seconds_movers": joined.transfer.seconds("-mover"), "cpu_seconds_new_node": joined.transfer.seconds("quorate-4"),
    });
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");
    fs::create_dir_all(dir).expect("a results directory");
    fs::write(Path::new(dir).join("join.json"), format!("{results:#}\n")).expect("a results file");
}

/// What one thread gets out of this disk, in MiB/s: the median of three.
fn disk_rate(directory: &Path, mebibytes: u64) -> f64 {
    let mut rates: Vec<_> = (0..3).map(|_| disk_rate_once(directory, mebibytes)).collect();
    rates.sort_by(f64::total_cmp);
    rates[1]
}

fn disk_rate_once(directory: &Path, mebibytes: u64) -> f64 {
    let path = directory.join("sequential");
    let piece = vec![0xA5; 1 << 20];
    let start = now();
    let mut file = File::create(&path).expect("a file");
    for _ in 0..mebibytes {
        file.write_all(&piece).expect("room on the disk");
    }
    file.sync_data().expect("a sync");
    let rate = mebibytes as f64 / start.elapsed().as_secs_f64();
    fs::remove_file(&path).expect("its own file");
    rate
}

/// Memory of this process's own; the maps of its logs are the page cache's.
fn resident_mebibytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a resident size");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number")
        >> 10
}

/// Clients, and what they saw in each phase.
#[derive(Default)]
struct Load {
    phase: AtomicUsize,
    over: AtomicBool,
    latencies: parking_lot::Mutex<[Option<Histogram<u64>>; 3]>,
}

impl Load {
    fn client(&self, node: &Node<Pages>) {
        let mut own = [histogram(), histogram(), histogram()];
        while !self.over.load(Ordering::Relaxed) {
            let start = now();
            node.propose(Bytes::from_static(&[7; 128])).expect("the cluster is healthy");
            let phase = self.phase.load(Ordering::Relaxed);
            own[phase].record(start.elapsed().as_nanos() as u64).expect("below an hour");
        }
        let mut all = self.latencies.lock();
        for (sum, own) in all.iter_mut().zip(own) {
            *sum.get_or_insert_with(histogram) += own;
        }
    }

    fn latencies(&self) -> [Histogram<u64>; 3] {
        self.latencies.lock().clone().map(|phase| phase.expect("every phase ran"))
    }

    fn watch_memory(&self, peak: &AtomicU64) {
        while !self.over.load(Ordering::Relaxed) {
            peak.fetch_max(resident_mebibytes(), Ordering::SeqCst);
            thread::park_timeout(LOOK);
        }
    }
}

struct Cluster {
    nodes: Vec<Node<Pages>>,
    leader: usize,
}

impl Cluster {
    fn start(directory: &Path, bytes_per_second: u64) -> Self {
        let sockets = [1, 2, 3].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
        let members =
            sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));
        let start = |(id, socket): (u64, TcpListener)| {
            let config = config(id, directory)
                .snapshot_bytes_per_second(bytes_per_second)
                .listener(socket)
                .bootstrap(members.clone());
            Node::start(config, Pages::default()).expect("the node starts")
        };
        let nodes: Vec<_> = sockets.into_iter().map(start).collect();
        let leader = nodes[0].wait_for_leader(LONG).expect("a leader") as usize - 1;
        Self { nodes, leader }
    }

    fn leader(&self) -> &Node<Pages> {
        &self.nodes[self.leader]
    }

    /// Fills the state through the log, as clients would.
    fn fill(&mut self, mebibytes: u64) {
        let pages = mebibytes * (1 << 20) / PAGE_BYTES as u64;
        let mut window = VecDeque::with_capacity(IN_FLIGHT);
        for number in 0..pages {
            let mut page = vec![0_u8; PAGE_BYTES];
            page.chunks_exact_mut(8).zip(number << 32..).for_each(|(word, value)| {
                word.copy_from_slice(&value.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            });
            window.push_back(self.leader().submit_within(Bytes::from(page), LONG));
            if window.len() == IN_FLIGHT {
                let oldest = window.pop_front().expect("the window is full");
                oldest.wait().expect("the cluster is healthy");
            }
        }
        for ticket in window {
            ticket.wait().expect("the cluster is healthy");
        }
    }

    /// Adds a fourth node with an empty directory, and waits until it holds and has applied the snapshot.
    fn join(&self, directory: &Path, phase: &AtomicUsize) -> Joined {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound").to_string();
        let node = Node::start(config(4, directory).listener(socket).join(), Pages::default())
            .expect("the node starts");
        phase.store(TRANSFER, Ordering::SeqCst);
        let (start, before) = (now(), Spent::so_far());
        self.leader().add_learner(4, address).expect("a new member");
        let mut durable = None;
        loop {
            let status = node.status();
            let covered = status.first_index > 1;
            if covered && durable.is_none() {
                durable = Some((start.elapsed(), Spent::so_far()));
                phase.store(RESTORE, Ordering::SeqCst);
            }
            if covered && status.applied >= status.first_index {
                let (applied, spent) = (start.elapsed(), Spent::so_far());
                let (durable, at_durable) = durable.unwrap_or((applied, spent.clone()));
                let (transfer, restore) = (at_durable.clone() - &before, spent - &at_durable);
                return Joined { durable, applied, transfer, restore, _node: node };
            }
            assert!(start.elapsed() < LONG, "the new node never caught up: {status:?}");
            thread::park_timeout(LOOK);
        }
    }
}

fn config(id: u64, directory: &Path) -> Config {
    // Only the snapshot that is asked for is taken: the new node receives it while nothing else is written out.
    Config::new(id, directory.join(id.to_string()), "127.0.0.1:0")
        .snapshot_entries(0)
        .snapshot_bytes(0)
        .trailing_entries(0)
}

/// A state of pages. Large commands add one; small ones are only counted.
#[derive(Default)]
struct Pages {
    pages: Vec<Bytes>,
    small: u64,
}

impl StateMachine for Pages {
    type Command = Bytes;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, command: Bytes) -> u64 {
        if command.len() == PAGE_BYTES {
            // A copy: the command is a slice of a whole message.
            self.pages.push(Bytes::copy_from_slice(&command));
        } else {
            self.small += 1;
        }
        self.small
    }

    fn query(&self, (): ()) -> u64 {
        self.small
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let (pages, small) = (self.pages.clone(), self.small);
        Ok(Box::new(move |out| {
            out.write_all(&small.to_le_bytes())?;
            out.write_all(&(pages.len() as u64).to_le_bytes())?;
            pages.iter().try_for_each(|page| out.write_all(page))
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut number = || {
            let mut bytes = [0; 8];
            snapshot.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        (self.small, self.pages) = (number()?, Vec::new());
        for _ in 0..number()? {
            let mut page = vec![0; PAGE_BYTES];
            snapshot.read_exact(&mut page)?;
            self.pages.push(Bytes::from(page));
        }
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
