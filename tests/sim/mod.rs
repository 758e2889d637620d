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
//! ```

mod chance;
mod image;
mod law;
mod ledger;
mod machine;
mod mutants;
mod network;
mod plan;
mod process;
mod run;
mod sweep;
mod trace;
mod world;
