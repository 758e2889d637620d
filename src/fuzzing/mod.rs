//! What the fuzzer calls: one function for each target, which takes any bytes and panics if a law is broken.
//!
//! Whatever comes from a peer, a client or a disk is never trusted: it is refused, or it is obeyed within the laws. The
//! targets of `fuzz/` call these functions, and so does the test that replays the inputs in `fuzz/corpus`, where every
//! input stays that ever broke something. Bytes that a checksum would refuse at once are made whole first where an input
//! says so, or nobody would ever see what stands behind the checksum.
//!
//! | target | what is fed | what must hold |
//! |---|---|---|
//! | [`frames`] | a connection's stream | the same frames in whatever pieces; every frame is one we would write |
//! | [`hello`] | a handshake | refused, or the same when it is passed on |
//! | [`peer_messages`] | the body of a frame | refused, or the same when it is passed on |
//! | [`client_messages`] | the same, of a client or to one | the same |
//! | [`log_recovery`] | the segments of a log | refused, or recovered twice alike; takes a write, also if power fails in it |
//! | [`snapshot_files`] | a snapshot's file | refused, or readable; received alike in whatever pieces |
//! | [`session_table`] | a table of sessions, and entries behind it | refused, or obeyed: nothing is executed twice |
//! | [`engine`] | events of one `Raft` | no peer makes it panic, or break what it promised |
//! | [`replica`] | frames to a replica with its workers | the same; everybody who waits is answered |
//! | `event_commands` | commands, queries and answers of the event store | refused, or the same when they are passed on |
//! | `event_snapshots` | a snapshot of the event store | refused, or written again the same; every question has an answer |

mod bytes;
mod engine;
#[cfg(feature = "event-store")]
mod events;
mod files;
mod input;
mod log;
mod replica;
mod sessions;
mod snapshot;
#[cfg(test)]
mod tests;

pub use bytes::{client_messages, frames, hello, peer_messages};
pub use engine::engine;
#[cfg(feature = "event-store")]
pub use events::{event_commands, event_snapshots};
pub use log::log_recovery;
pub use replica::replica;
pub use sessions::session_table;
pub use snapshot::snapshot_files;
