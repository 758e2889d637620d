//! The one trait that a user implements.

use super::Codec;
use crate::types::LogPosition;

/// A deterministic state machine: the same commands in the same order give the same state and the same responses on
/// every replica.
///
/// It runs on a thread of its own and needs no lock. It must not read clocks, draw random numbers or depend on the order
/// of a `HashMap` when it applies: what differs between replicas must come in with the command.
pub trait StateMachine: Send + 'static {
    /// What changes the state.
    type Command: Codec;
    /// What asks about it.
    type Query: Codec;
    /// What either of them answers.
    type Response: Codec;

    /// Applies one committed command. `at` grows with every call and names the command on every replica alike.
    ///
    /// A panic here stops the node, on every replica that reaches this command: refuse bad commands with a response.
    fn apply(&mut self, at: LogPosition, command: Self::Command) -> Self::Response;

    /// Answers a question about the state as it is now.
    fn query(&self, query: Self::Query) -> Self::Response;
}
