//! The example program `kv`, driven from outside as its users drive it: processes, sockets, signals. Its own unit tests
//! run here too: the program is compiled into this test as it stands.

use std::process::ExitCode;

#[path = "../../examples/kv/main.rs"]
mod program;
const _: fn() -> ExitCode = program::main;

mod cluster;
mod commands;
mod demo;
mod grow;
mod handover;
mod kills;
mod load;
mod metrics;
mod operators;
mod protocol;
mod random;
mod snapshots;
#[allow(dead_code, reason = "`tests/chaos.rs` uses the rest of it")]
mod stand;
mod start;
mod wiped;
