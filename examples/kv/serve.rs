//! `kv serve`: one node of the cluster, its Redis port, and its port for metrics.

use std::io::{self, Read};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use quorate::{Config, Node};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::arguments::{Origin, Serve};
use super::front::Front;
use super::limits::COMMAND_BYTES_MAX;
use super::metrics::Exporter;
use super::store::Store;

/// With this in its environment, the process ends when its standard input does: that is how children of the demo
/// notice that their parent is gone.
pub(crate) const STOPS_WITH_STDIN: &str = "KV_STOPS_WITH_STDIN";

/// With `--lease-reads`: by how many percent the clocks of two nodes may differ in their pace. Far more than they do.
const CLOCK_DRIFT_PERCENT: u32 = 10;

/// Without `--snapshot-entries`. Entries are small, and replayed at some hundred thousand a second.
const SNAPSHOT_ENTRIES: u64 = 1_000_000;
/// Entries before a snapshot that stay in the log for nodes that were away for a moment.
const TRAILING_ENTRIES_MAX: u64 = 1_000;

/// Together below the two seconds in which the process has to end.
const ANSWERS_WITHIN: Duration = Duration::from_millis(400);
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(1);
const FAREWELL_WITHIN: Duration = Duration::from_millis(200);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: Serve) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("no signals: {error}"))?;
    let redis = listen(&options.redis, "clients", "--redis")?;
    let metrics = options.metrics.as_deref().map(|at| listen(at, "Prometheus", "--metrics")).transpose()?;
    let node = Node::start(config(options), Store::default()).map_err(|error| error.to_string())?;
    let no_thread = |error: io::Error| format!("no thread: {error}");
    let front = Front::open(redis, node.clone()).map_err(no_thread)?;
    let exporter = metrics.map(|listener| Exporter::open(listener, node.clone()));
    let exporter = exporter.transpose().map_err(no_thread)?;
    if std::env::var_os(STOPS_WITH_STDIN).is_some() {
        thread::spawn(stop_with_stdin);
    }
    super::say("ready");

    signals.forever().next();
    front.close(ANSWERS_WITHIN);
    let failed = node.status().stopped;
    let stopped = node.shutdown(SHUTDOWN_WITHIN);
    front.close(FAREWELL_WITHIN);
    if let Some(exporter) = exporter {
        exporter.close();
    }
    match failed {
        Some(cause) => {
            Err(format!("the node had stopped before it was told to: {cause}; mend that and start it again"))
        }
        None => stopped.map_err(|error| error.to_string()),
    }
}

fn config(options: Serve) -> Config {
    let mut config = Config::new(options.id, options.data, options.raft).command_bytes_max(COMMAND_BYTES_MAX);
    config = match options.origin {
        Origin::Founders(founders) => config.bootstrap(founders),
        Origin::Join => config.join(),
    };
    if options.lease_reads {
        config = config.lease_reads(CLOCK_DRIFT_PERCENT);
    }
    let entries = options.snapshot_entries.unwrap_or(SNAPSHOT_ENTRIES);
    config.snapshot_entries(entries).trailing_entries(entries.min(TRAILING_ENTRIES_MAX))
}

fn listen(at: &str, whom: &str, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind(at).map_err(|error| {
        format!("cannot listen on {at} for {whom}: {error}; choose another {option} address")
    })
}

fn stop_with_stdin() {
    let mut nothing = [0];
    while matches!(std::io::stdin().read(&mut nothing), Ok(1)) {}
    let _ = signal_hook::low_level::raise(SIGTERM);
}
