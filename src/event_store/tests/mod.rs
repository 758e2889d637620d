//! The machine on a disk, held against what an event store promises.

mod agreement;
mod archiving;
mod batches;
mod crash;
mod damage;
mod events;
mod indexing;
mod log_order;
mod model;
mod node;
mod snapshots;
mod subject;
mod suite;

pub(crate) use suite::seeds;
