//! `kv serve`: one node of the cluster, and its Redis port.

use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use quorate::{Config, Node};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::arguments::Serve;
use super::front::Front;
use super::limits::COMMAND_BYTES_MAX;
use super::store::Store;

/// With this in its environment, the process ends when its standard input does: that is how children of the demo
/// notice that their parent is gone.
pub(crate) const STOPS_WITH_STDIN: &str = "KV_STOPS_WITH_STDIN";

/// Together below the two seconds in which the process has to end.
const ANSWERS_WITHIN: Duration = Duration::from_millis(400);
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(1);
const FAREWELL_WITHIN: Duration = Duration::from_millis(200);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: Serve) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("no signals: {error}"))?;
    let redis = TcpListener::bind(&options.redis).map_err(|error| {
        format!("cannot listen on {} for clients: {error}; choose another --redis address", options.redis)
    })?;
    let config = Config::new(options.id, options.data, options.raft)
        .bootstrap(options.cluster)
        .command_bytes_max(COMMAND_BYTES_MAX);
    let node = Node::start(config, Store::default()).map_err(|error| error.to_string())?;
    let front = Front::open(redis, node.clone()).map_err(|error| format!("no thread: {error}"))?;
    if std::env::var_os(STOPS_WITH_STDIN).is_some() {
        thread::spawn(stop_with_stdin);
    }
    super::say("ready");

    signals.forever().next();
    front.close(ANSWERS_WITHIN);
    let failed = node.status().stopped;
    let stopped = node.shutdown(SHUTDOWN_WITHIN);
    front.close(FAREWELL_WITHIN);
    match failed {
        Some(cause) => {
            Err(format!("the node had stopped before it was told to: {cause}; mend that and start it again"))
        }
        None => stopped.map_err(|error| error.to_string()),
    }
}

fn stop_with_stdin() {
    let mut nothing = [0];
    while matches!(std::io::stdin().read(&mut nothing), Ok(1)) {}
    let _ = signal_hook::low_level::raise(SIGTERM);
}
