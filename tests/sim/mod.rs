//! The simulator: whole clusters on one thread, in virtual time, on disks that lose what was not synced and a network that
//! loses what it likes. All chance comes from one seed, so that whatever is found can be looked at again.
//!
//! It stands with the tests and is compiled into the library's own test build, since it drives rooms that are not public: the
//! real consensus, replica, workers, state machine wrapper and log. Only threads and sockets are replaced.
//!
//! ```text
//! cargo test --release --lib sim::                                   a sweep, as the gate runs it
//! QUORATE_SIM_SEEDS=100000 cargo test --release --lib sim::sweep -- --nocapture
//! QUORATE_SIM_SEED=17 cargo test --release --lib sim::replay -- --nocapture
//! QUORATE_SIM_SPEED=1000 cargo test --release --lib sim::speed -- --nocapture
//! ```
//!
//! A run that breaks a law is shrunk: a sweep prints the least that still breaks it, what happened last, and the command that
//! replays exactly that. Beside a replay, `QUORATE_SIM_DIAGRAM=/tmp/run.html` draws it: time runs downwards, a line for each
//! node and each caller, an arrow for each message. All variables stand in [`asked`].

mod asked;
mod chance;
mod diagram;
mod image;
mod law;
mod ledger;
mod linear;
mod machine;
mod mutants;
mod network;
mod plan;
mod plots;
mod process;
mod replay;
mod report;
mod run;
mod shape;
mod shelf;
mod shrink;
mod speed;
mod sweep;
mod text;
mod trace;
mod world;
