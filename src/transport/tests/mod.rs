//! What both transports promise (`contract`), and what TCP endures from those who are no peers (`strangers`) and from
//! peers that misbehave (`broken_peers`).

mod broken_peers;
mod contract;
mod harness;
mod raw;
mod strangers;
