//! Real processes of the `kv` example under real faults: killed, stopped, cut off from each other, out of disk, memory and
//! descriptors. Clients read and write all the while through whichever node is there and record what they see; at the end
//! all is healed, nothing acknowledged is missing, all nodes agree, and every history has an order (`linearizability/`).
//!
//! The run at random is told by its seed: `KV_SEED=1234 cargo test --test chaos at_random`. It lasts for
//! `QUORATE_CHAOS_SECONDS`, and as many nodes are killed as `QUORATE_CHAOS_KILLS` says:
//!
//! ```text
//! cargo build --release --example kv
//! QUORATE_CHAOS_SECONDS=600 QUORATE_CHAOS_KILLS=200 cargo test --release --test chaos
//! ```

#[path = "linearizability/mod.rs"]
mod linearizability;
#[path = "kv/random.rs"]
mod random;
#[allow(dead_code, reason = "the tests of kv use the rest of it")]
#[path = "kv/stand.rs"]
mod stand;

#[path = "chaos/at_random.rs"]
mod at_random;
#[path = "chaos/callers.rs"]
mod callers;
#[path = "chaos/client.rs"]
mod client;
#[path = "chaos/clients.rs"]
mod clients;
#[path = "chaos/cuts.rs"]
mod cuts;
#[path = "chaos/full_disk.rs"]
mod full_disk;
#[path = "chaos/kills.rs"]
mod kills;
#[path = "chaos/limits.rs"]
mod limits;
#[path = "chaos/network.rs"]
mod network;
#[path = "chaos/program.rs"]
mod program;
#[path = "chaos/seen.rs"]
mod seen;
#[path = "chaos/stops.rs"]
mod stops;
#[path = "chaos/world.rs"]
mod world;
