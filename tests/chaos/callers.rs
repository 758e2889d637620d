//! Very many requests at once.

use std::fs;

use crate::program::client::{Answer, Client};
use crate::stand::{Stand, eventually};

const CONNECTIONS: usize = 250;
const REQUESTS_EACH: usize = 40;
/// Far more than ten thousand requests need, far less than a leak takes.
const MEMORY_KIB_MAX: u64 = 600 << 10;

#[test]
fn ten_thousand_requests_without_a_majority_are_all_answered_and_fill_no_memory() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let dead: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    for &id in &dead {
        stand.kill(id);
    }

    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| stand.client(leader)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for request in 0..REQUESTS_EACH {
            let key = format!("{number}:{request}");
            client.send(&[b"SET", key.as_bytes(), b"v"]).expect("the node reads");
        }
    }
    let mut fates = Vec::new();
    for client in &mut clients {
        fates.push((0..REQUESTS_EACH).map(|_| fate(client)).collect::<Vec<_>>());
    }

    let memory = memory_kib(stand.process_id(leader));
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB");
    for &id in &dead {
        stand.start_node(id);
    }
    stand.leader();
    eventually("it goes on", || {
        (stand.ask(leader, "SET k v").ok()? == Answer::Status("OK".into())).then_some(())
    });
    let mut reader = stand.client(leader);
    for (number, fates) in fates.iter().enumerate() {
        let keys: Vec<_> = (0..REQUESTS_EACH).map(|request| format!("{number}:{request}")).collect();
        let words: Vec<_> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
        let Ok(Answer::Array(values)) = reader.call(&words) else { panic!("no answer to MGET") };
        for ((key, value), &fate) in keys.iter().zip(values).zip(fates) {
            assert!(value == Answer::Null || fate == Fate::Unknown, "{key} was refused and is there");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Refused,
    Unknown,
}

fn fate(client: &mut Client) -> Fate {
    match client.receive().expect("every request is answered") {
        Answer::Error(text) if text.starts_with("TRYAGAIN") => Fate::Refused,
        Answer::Error(text) if text.starts_with("UNKNOWN") => Fate::Unknown,
        other => panic!("acknowledged without a majority: {other:?}"),
    }
}

/// The most memory that a process ever had.
fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the system tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak is there");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}
