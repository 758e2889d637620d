//! Replays what the fuzzer found worth keeping, and writes what it begins with.
//!
//! `QUORATE_FUZZ_SEEDS=1 cargo test --lib fuzzing` writes seeds made of real encodings to `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{
    client_messages, engine, frames, hello, log_recovery, peer_messages, replica, session_table,
    snapshot_files,
};

mod seeds;

#[test]
fn frames_hold_for_the_whole_corpus() {
    replay("frames", frames);
}

#[test]
fn hello_holds_for_the_whole_corpus() {
    replay("hello", hello);
}

#[test]
fn peer_messages_hold_for_the_whole_corpus() {
    replay("peer_messages", peer_messages);
}

#[test]
fn client_messages_hold_for_the_whole_corpus() {
    replay("client_messages", client_messages);
}

#[test]
fn log_recovery_holds_for_the_whole_corpus() {
    replay("log_recovery", log_recovery);
}

#[test]
fn snapshot_files_hold_for_the_whole_corpus() {
    replay("snapshot_files", snapshot_files);
}

#[test]
fn session_table_holds_for_the_whole_corpus() {
    replay("session_table", session_table);
}

#[test]
fn engine_holds_for_the_whole_corpus() {
    replay("engine", engine);
}

#[test]
fn replica_holds_for_the_whole_corpus() {
    replay("replica", replica);
}

#[cfg(feature = "event-store")]
#[test]
fn event_commands_hold_for_the_whole_corpus() {
    replay("event_commands", super::event_commands);
}

#[cfg(feature = "event-store")]
#[test]
fn event_snapshots_hold_for_the_whole_corpus() {
    replay("event_snapshots", super::event_snapshots);
}

#[cfg(feature = "event-store")]
#[test]
fn every_law_of_the_event_store_holds_for_the_seeds() {
    let (said, snapshots) = crate::event_store::tests::seeds();
    sow("event_commands", super::event_commands, &said);
    sow("event_snapshots", super::event_snapshots, &snapshots);
}

#[test]
fn every_law_holds_for_the_seeds() {
    sow("frames", frames, &seeds::frames());
    sow("hello", hello, &seeds::hello());
    sow("peer_messages", peer_messages, &seeds::peer_messages());
    sow("client_messages", client_messages, &seeds::client_messages());
    sow("log_recovery", log_recovery, &seeds::log_recovery());
    sow("snapshot_files", snapshot_files, &seeds::snapshot_files());
    sow("session_table", session_table, &seeds::session_table());
    sow("engine", engine, &seeds::walks(600));
    sow("replica", replica, &seeds::walks(500));
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// A panic names the input that broke the law: it is the last one that was printed.
fn replay(name: &str, target: fn(&[u8])) {
    let entries = fs::read_dir(corpus(name)).expect("the corpus of this target");
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    for input in inputs {
        println!("{}", input.display());
        target(&fs::read(&input).expect("a readable input"));
    }
}

/// Writes the seeds of a target where that is wished.
fn sow(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>]) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let are_written = std::env::var_os("QUORATE_FUZZ_SEEDS").is_some();
    for (nth, seed) in seeds.iter().enumerate() {
        target(seed);
        if are_written {
            fs::create_dir_all(corpus(name)).expect("the corpus is writable");
            fs::write(corpus(name).join(format!("seed-{nth:03}")), seed).expect("the corpus is writable");
        }
    }
}
