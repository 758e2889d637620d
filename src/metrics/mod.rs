//! What a node counts about itself: plain atomics, written where the fact is known, read when somebody asks.

mod counter;

pub use counter::Counter;
