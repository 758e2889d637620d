//! Other replicated systems under the load of quorate's `benches/cluster.rs`, on the same machine and the same disk:
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- etcd [FILTER...]`.
//!
//! Each peer gets three nodes as real processes, and as many closed-loop clients as the row says. A filter such as `/64/`
//! runs the rows whose name contains it. Figures go to stdout and, as JSON, to `benches/results/etcd.json`. The nodes and
//! their clients share the machine, as quorate's do; only figures from side-by-side runs may be compared.
//!
//! However a run ends, whether by its last row, an error, a panic or a signal, the cluster is dropped on the way out, and
//! dropping it stops its processes and removes their data.

mod cluster;
mod load;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use cluster::Cluster;

const CLIENTS: [usize; 5] = [1, 16, 64, 256, 1024];
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../results");

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("etcd") {
        eprintln!("usage: quorate-peers etcd [FILTER...]");
        return ExitCode::from(2);
    }
    let filters: Vec<String> = arguments.collect();
    let outcome = match Signals::new() {
        Ok(mut signals) => tokio::select! {
            outcome = etcd(&filters) => outcome,
            name = signals.first() => Err(format!("stopped by {name}").into()),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One cluster serves all rows; each row looks for the leader anew.
async fn etcd(filters: &[String]) -> Result<()> {
    let rows: Vec<(String, usize)> = CLIENTS
        .iter()
        .map(|&clients| (format!("clients/{clients}/{}B", load::VALUE_BYTES), clients))
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
        .collect();
    if rows.is_empty() {
        return Err("no row's name contains that filter".into());
    }

    let version = cluster::version()?;
    let mut cluster = Cluster::start()?;
    println!("etcd {version}, three processes, data in {}", cluster.directory().display());
    println!("{:<22} {:>11} {:>9} {:>9} {:>9}", "row", "writes/s", "p50 µs", "p99 µs", "p99.9 µs");
    let mut results = Vec::new();
    for (name, clients) in rows {
        results.push(
            row(&mut cluster, &version, &name, clients).await.map_err(|error| format!("{name}: {error}"))?,
        );
    }
    save("etcd.json", &json!(results))
}

/// Loads the leader, prints the row, and gives it as JSON.
async fn row(cluster: &mut Cluster, version: &str, name: &str, clients: usize) -> Result<Value> {
    let before = cluster.leader().await?;
    let measured = load::run(&before.url, clients).await?;
    let after = cluster.leader().await?;

    let writes = measured.latencies.len();
    let per_second = writes as f64 / measured.seconds;
    let at = |quantile: f64| measured.latencies.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    println!("{name:<22} {per_second:>11.0} {p50:>9.0} {p99:>9.0} {p999:>9.0}");
    let elections = after.term.saturating_sub(before.term);
    if elections > 0 {
        eprintln!("{name}: the term rose by {elections} during this row: not a figure of steady state");
    }
    Ok(json!({
        "name": name, "payload_bytes": load::VALUE_BYTES, "writes": writes, "writes_per_second": per_second,
        "p50_us": p50, "p99_us": p99, "p999_us": p999,
        "system": format!("etcd {version}"), "connections": measured.connections, "elections": elections,
    }))
}

fn save(file: &str, results: &Value) -> Result<()> {
    std::fs::create_dir_all(RESULTS)?;
    let path = Path::new(RESULTS).canonicalize()?.join(file);
    std::fs::write(&path, format!("{results:#}\n"))?;
    println!("written to {}", path.display());
    Ok(())
}

/// The signals that end a run early. While this lives none of them kills the process, so that clean-up runs.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
