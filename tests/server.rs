//! A server as a client meets it: on a socket, by the bytes of the protocol.

#[path = "server/handshakes.rs"]
mod handshakes;
#[path = "server/raw.rs"]
mod raw;
#[path = "server/scene.rs"]
mod scene;
