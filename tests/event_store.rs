//! The event store over real nodes: what it promises, on one node and on three.
//!
//! [`compliance.md`](event_store/compliance.md) names the cases, and the test of each.

#[path = "event_store/aggregates.rs"]
mod aggregates;
#[path = "event_store/archives.rs"]
mod archives;
#[path = "event_store/compliance.rs"]
mod compliance;
#[path = "event_store/events.rs"]
mod events;
#[path = "event_store/executor.rs"]
mod executor;
#[path = "event_store/indexing.rs"]
mod indexing;
#[path = "event_store/kills.rs"]
mod kills;
#[path = "event_store/lagging.rs"]
mod lagging;
#[path = "event_store/lifecycle.rs"]
mod lifecycle;
#[path = "event_store/limits.rs"]
mod limits;
#[path = "event_store/publisher.rs"]
mod publisher;
#[path = "event_store/restarts.rs"]
mod restarts;
#[path = "event_store/scene.rs"]
mod scene;
#[path = "event_store/snapshots.rs"]
mod snapshots;
#[path = "event_store/subscriptions.rs"]
mod subscriptions;
