//! The event store over real nodes: what it promises, on one node and on three.

#[path = "event_store/events.rs"]
mod events;
#[path = "event_store/scene.rs"]
mod scene;
