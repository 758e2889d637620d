//! The workers of snapshots, on a small store in memory.

mod applying;
mod log_writing;
mod moving;
mod saving;
mod snapshots;

use std::sync::Arc;

pub(crate) use snapshots::TestSnapshots;

use crate::types::{LogIndex, LogPosition, Membership, NodeId, Term};

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("not zero")
}

/// An entry of term 1.
fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}

fn membership() -> Arc<Membership> {
    Arc::new(Membership::founding([(id(1), "host:1".to_owned())]).expect("one member"))
}
