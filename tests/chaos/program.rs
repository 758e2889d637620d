//! What these tests take of the program that they drive: its client.

#[path = "../../examples/kv/client.rs"]
pub(crate) mod client;
