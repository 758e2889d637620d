//! What both transports promise (`contract`), and what TCP endures from those who are no peers (`strangers`) and from
//! peers that misbehave (`broken_peers`) or from the network itself (`faults`); how TCP keeps snapshots out of
//! everybody's way (`bulk_lane`), and what becomes of clients (`guests`).

mod broken_peers;
mod bulk_lane;
mod contract;
mod faults;
mod guests;
mod harness;
mod raw;
mod strangers;
