//! One group's replica without its threads: consensus, the recent entries, and the callers who wait.
//!
//! Events go in ([`Event`]), jobs come out ([`Jobs`]); one turn handles many events and makes one `Ready`. The runtime
//! carries jobs to the workers and their completions back; a simulator can do the same on one thread.

mod event;
mod jobs;

pub(crate) use event::{Event, Proposal, Read};
pub(crate) use jobs::{Applied, ApplyJob, FetchJob, Fetched, Jobs, PendingReply, Persisted, WriteJob};
