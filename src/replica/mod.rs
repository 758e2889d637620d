//! One group's replica without its threads: consensus, the recent entries, and the callers who wait.
//!
//! Events go in ([`Event`]), jobs come out ([`Jobs`]); one turn handles many events and makes one `Ready`. The runtime
//! carries jobs to the workers and their completions back; a simulator can do the same on one thread.

mod admin;
mod applying;
mod changes;
mod cold;
mod config;
mod deadline;
mod event;
mod forwards;
mod handover;
mod incarnations;
mod jobs;
mod notice;
mod pending;
mod reads;
mod repeats;
#[expect(clippy::module_inception, reason = "the type the room is named for")]
mod replica;
mod snapshots;
mod stages;
mod status;
mod tail;
mod transfers;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use config::{CheckCommand, ReplicaConfig};
pub(crate) use event::{Answer, Change, Event, Proposal, Read, SnapshotNow, Transfer};
pub(crate) use jobs::{
    Applied, ApplyJob, FetchJob, Fetched, Jobs, PeersJob, PendingReply, Persisted, Pictured, ReceiveJob,
    Received, Release, SaveJob, Saved, Served, WriteJob,
};
pub(crate) use notice::Notice;
pub(crate) use replica::Replica;
pub(crate) use status::{PeerStatus, ReplicaStatus};
