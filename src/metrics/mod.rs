//! What a node counts about itself: plain atomics, written where the fact is known, read when somebody asks.

mod counter;
mod histogram;
mod net;
mod prometheus;
mod registry;
mod replica;
mod runtime;
mod server;
mod storage;

pub use counter::Counter;
pub use histogram::{Histogram, HistogramView};
pub use net::NetMetrics;
pub use prometheus::Metrics;
pub use replica::ReplicaMetrics;
pub use runtime::RuntimeMetrics;
pub use server::ServerMetrics;
pub use storage::StorageMetrics;
