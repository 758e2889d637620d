//! The public suites: quorate's own storages and transports pass them, and whoever is wrong is caught by the clause that he
//! breaks. `cargo test --features testing --test conformance`.

#[path = "conformance/machines.rs"]
mod machines;
#[path = "conformance/ours.rs"]
mod ours;
#[path = "conformance/storages.rs"]
mod storages;
#[path = "conformance/transports.rs"]
mod transports;
#[path = "conformance/wrong_disks.rs"]
mod wrong_disks;

use quorate::testing::Broken;

/// The clause that begins so is among those that are broken.
fn require_caught(verdict: Result<(), Broken>, by: &str) {
    let Err(broken) = verdict else { panic!("what breaks {by:?} passes") };
    assert!(
        broken.clauses().any(|(clause, _)| clause.starts_with(by)),
        "not caught by {by:?}, but: {broken}"
    );
}
