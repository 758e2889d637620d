//! A server as a client meets it: on a socket, by the bytes of the protocol.

#[path = "server/asking.rs"]
mod asking;
#[path = "server/cluster.rs"]
mod cluster;
#[path = "server/ending.rs"]
mod ending;
#[path = "server/handshakes.rs"]
mod handshakes;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/misbehaving.rs"]
mod misbehaving;
#[path = "server/raw.rs"]
mod raw;
#[path = "server/scene.rs"]
mod scene;
