//! A client of real nodes: in this process where a test needs to look inside them, as processes of their own where they are
//! to be killed; and of what is no node at all.

#[path = "kv/random.rs"]
mod random;
#[allow(dead_code, reason = "the tests of servers use the rest of it")]
#[path = "server/raw.rs"]
mod raw;
#[allow(dead_code, reason = "the tests of servers use the rest of it")]
#[path = "server/scene.rs"]
mod scene;

#[path = "client/calls.rs"]
mod calls;
#[path = "client/counter.rs"]
mod counter;
#[path = "client/cuts.rs"]
mod cuts;
#[path = "client/cutter.rs"]
mod cutter;
#[path = "client/ends.rs"]
mod ends;
#[path = "client/hostile.rs"]
mod hostile;
#[path = "client/kills.rs"]
mod kills;
#[path = "client/limits.rs"]
mod limits;
#[path = "client/processes.rs"]
mod processes;
#[path = "client/sessions.rs"]
mod sessions;
