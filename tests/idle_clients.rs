//! What clients cost that say nothing. A process of its own: it counts all the memory that it has.

#[path = "server/raw.rs"]
#[expect(dead_code, reason = "the clients of this test say little")]
mod raw;
#[path = "server/scene.rs"]
#[expect(dead_code, reason = "one node is enough here")]
mod scene;

use std::fs;

use raw::{Raw, propose, query};
use scene::Alone;

const CLIENTS: u64 = 1000;
const MIB: usize = 1 << 20;

/// How much memory of this process is in use: its resident set.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the resident set");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<usize>().expect("a number") << 10
}

/// Also when each of them was busy before, one after the other: buffers go when they are not needed any more. The clients
/// themselves, which keep no buffers, are counted along.
#[test]
#[cfg(target_os = "linux")]
fn a_thousand_clients_that_say_nothing_cost_less_than_20_mib() {
    let alone = Alone::start();
    let mut first = Raw::client(alone.address());
    first.text(&propose(0, "add 1"));
    let before = resident_bytes();

    let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| Raw::client(alone.address())).collect();
    let idle = resident_bytes().saturating_sub(before);
    for client in &mut clients {
        client.write(&(0..20).map(|id| query(id, "long 1000")).collect::<Vec<_>>().concat());
        assert_eq!(client.read_answers(20).len(), 20);
    }
    let after = resident_bytes().saturating_sub(before);

    assert_eq!(alone.server.node().metrics().server.connections.get(), CLIENTS + 1);
    println!("{} KiB idle, {} KiB after being busy", idle >> 10, after >> 10);
    assert!(idle < 20 * MIB, "{idle} bytes");
    assert!(after < 20 * MIB, "{after} bytes");
}
