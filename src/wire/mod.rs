//! Bytes: the cursors that read and write them, the buffers they travel in, and the forms that rest in the log and travel between nodes.
//!
//! All numbers are little endian. Whatever comes in is judged as it is read: a length is compared with what is there
//! before anything is allocated for it, and bytes that mean nothing are a [`WireError`], never a panic.

mod admin;
mod buffers;
pub(crate) mod client;
pub(crate) mod client_hello;
mod client_refused;
mod cursor;
mod entry;
mod fields;
mod forward;
pub(crate) mod frame;
pub(crate) mod greeting;
pub(crate) mod hello;
pub(crate) mod peer;
mod raft;
mod snapshot;

pub(crate) use buffers::{Buffers, PAGE_BYTES, room};
pub(crate) use cursor::{Reader, WireError, Writer};
pub(crate) use entry::{
    decode_kind, decode_membership, decode_payload, encode_membership, encode_payload, payload_len,
};
