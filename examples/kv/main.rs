//! kv: a durable, linearizable key-value store that speaks the Redis protocol, replicated by quorate.
//!
//! Without arguments it shows itself: three nodes, a crash, a recovery, a verdict ([`demo`]). `kv serve` is one node
//! ([`serve`]). Follow a request: the [`front`] takes a client in, its [`connection`] reads bytes with the [`parser`],
//! turns words into a [`command`] with [`request`] and submits it to the node. The node replicates it and gives it to
//! the [`store`], whose response goes back through the connection as a [`reply`]; what went wrong, and what the client
//! may conclude, is told by [`outcome`]. What operators ask stands in [`raft`], what Prometheus asks in [`metrics`], what a
//! snapshot holds in [`picture`].

mod arguments;
pub(crate) mod client;
mod command;
mod connection;
mod demo;
mod fields;
mod flight;
mod front;
mod info;
mod inline;
mod limits;
mod metrics;
mod outcome;
mod parser;
mod picture;
mod raft;
mod reply;
mod request;
mod serve;
mod session;
mod store;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use quorate::storage::disk::LogEnd;

use arguments::{HELP, Invocation};

pub(crate) fn main() -> ExitCode {
    let invocation = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(reason) => {
            eprintln!("kv: {reason}; `kv help` shows what there is");
            return ExitCode::from(2);
        }
    };
    env_logger::init();
    let done = match invocation {
        Invocation::Demo => demo::run(),
        Invocation::Serve(options) => serve::run(options),
        Invocation::Inspect(directory) => inspect(&directory),
        Invocation::Help => {
            say(HELP);
            Ok(())
        }
        Invocation::Version => {
            say(concat!("kv ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("kv: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn inspect(directory: &Path) -> Result<(), String> {
    let report = quorate::storage::inspect(directory).map_err(|error| error.to_string())?;
    say(&report);
    if let LogEnd::Corrupt(error) = report.end { Err(error.to_string()) } else { Ok(()) }
}

/// One line on standard output. Nobody may be reading it any more, which is no failure.
fn say(line: impl std::fmt::Display) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
