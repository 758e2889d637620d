//! Conformance suites for those who bring a [`Storage`](crate::storage::Storage), a
//! [`Transport`](crate::transport::Transport) or a [`StateMachine`](crate::StateMachine) of their own. Feature `testing`.
//!
//! A suite holds an implementation against every clause of the written contract that can be seen from outside, each on a
//! fresh subject. `check` is for the body of a `#[test]`: it panics with a sentence for each clause that is broken, and
//! with what was seen instead. `verify` gives the same as an error.
//!
//! | to be tested | suite | the contract |
//! |---|---|---|
//! | a log with its snapshots | [`storage::check`] | [`crate::storage`] |
//! | a network | [`transport::check`] | [`crate::transport`] |
//! | a state machine and its codecs | [`machine::Suite`] | [`StateMachine`](crate::StateMachine), [`Codec`](crate::Codec) |
//!
//! The logs and transports of this crate pass the same suites, and `tests/conformance/` holds implementations that are
//! wrong on purpose, each caught by the clause it breaks.
//!
//! A suite shows that a clause is broken, never that it is kept under all circumstances: what a crash at any moment leaves
//! on a disk, or what two threads do to each other in the worst order, takes a simulator of that disk or those threads.

mod clause;
pub mod machine;
pub mod storage;
pub mod transport;

pub use clause::Broken;
