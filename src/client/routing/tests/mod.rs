//! Scenes without a socket: what is sent where, and what callers are told.

mod answers;
mod leaders;
mod random;
mod reads;
mod scene;
mod sessions;
mod trouble;
