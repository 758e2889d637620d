//! Every channel between the threads of a node, and why none of them can grow without bound or block.
//!
//! | channel | from → to | bound |
//! |---|---|---|
//! | requests | callers → engine | the callers' gate: requests and bytes in flight |
//! | control | callers → engine | one per blocked caller of `status`, one for the stop |
//! | inbox | net → engine | counted in bytes; at the limit no socket is read |
//! | ticks | clock → engine | one; a tick not taken stands for the next |
//! | completions | workers → engine | the jobs outstanding: each has one completion |
//! | writes | engine → log writer | proposals by the gate; a follower's entries by its leader's window |
//! | applies | engine → applier | the replica's budget for entries handed over and not yet applied |
//! | fetches | engine → log reader | one per peer that lags, and one for the applier |
//! | sends | engine, log writer → net | taken by a loop that never waits; per-peer queues drop beyond their bytes |
//!
//! All of them are therefore unbounded channels: the bound stands where work comes in, and inside nobody ever waits for
//! anybody, so that no circle of full queues can stop a node.

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::replica::{ApplyJob, Event, FetchJob, Proposal, Read, ReplicaStatus, WriteJob};
use crate::ticket::{ReadTask, StopCause};
use crate::transport::SendJob;
use crate::types::GroupId;

/// What callers ask of the engine.
#[derive(Debug)]
pub(super) enum Request {
    Propose(Proposal),
    Read(Read),
    /// A read that asks nobody: it only takes its place behind the applies.
    ReadLocal(ReadTask),
}

/// What the engine is asked beside its work.
#[derive(Debug)]
pub(super) enum Control {
    Status(Sender<ReplicaStatus>),
    Stop(StopCause),
}

/// What arrives from peers: counted in bytes while it waits.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) event: Event,
    pub(super) bytes: usize,
}

/// The ends through which others reach the engine.
#[derive(Clone, Debug)]
pub(super) struct ToEngine {
    pub(super) requests: Sender<Request>,
    pub(super) control: Sender<Control>,
    pub(super) arrivals: Sender<Arrival>,
    pub(super) ticks: Sender<()>,
    pub(super) completions: Sender<Event>,
}

/// The engine's ends of the same.
#[derive(Clone, Debug)]
pub(super) struct EngineInputs {
    pub(super) requests: Receiver<Request>,
    pub(super) control: Receiver<Control>,
    pub(super) arrivals: Receiver<Arrival>,
    pub(super) ticks: Receiver<()>,
    pub(super) completions: Receiver<Event>,
}

/// The ends through which the engine reaches the workers. When they are dropped, those finish what they
/// hold and end.
#[derive(Debug)]
pub(super) struct EngineOutputs {
    pub(super) writes: Sender<(GroupId, WriteJob)>,
    pub(super) applies: Sender<ApplyJob>,
    pub(super) fetches: Sender<(GroupId, FetchJob)>,
}

/// The workers' ends of the same.
#[derive(Debug)]
pub(super) struct WorkerInputs {
    pub(super) writes: Receiver<(GroupId, WriteJob)>,
    pub(super) applies: Receiver<ApplyJob>,
    pub(super) fetches: Receiver<(GroupId, FetchJob)>,
}

pub(super) fn to_engine() -> (ToEngine, EngineInputs) {
    let (requests_in, requests) = unbounded();
    let (control_in, control) = unbounded();
    let (arrivals_in, arrivals) = unbounded();
    let (ticks_in, ticks) = bounded(1);
    let (completions_in, completions) = unbounded();
    let ends = ToEngine {
        requests: requests_in,
        control: control_in,
        arrivals: arrivals_in,
        ticks: ticks_in,
        completions: completions_in,
    };
    (ends, EngineInputs { requests, control, arrivals, ticks, completions })
}

pub(super) fn to_workers() -> (EngineOutputs, WorkerInputs) {
    let (writes_in, writes) = unbounded();
    let (applies_in, applies) = unbounded();
    let (fetches_in, fetches) = unbounded();
    let outputs = EngineOutputs { writes: writes_in, applies: applies_in, fetches: fetches_in };
    (outputs, WorkerInputs { writes, applies, fetches })
}

/// What the engine and the log writer ask of the transport.
pub(super) fn to_transport() -> (Sender<SendJob>, Receiver<SendJob>) {
    unbounded()
}

/// Where one answer to `status` arrives.
pub(super) fn status_answer() -> (Sender<ReplicaStatus>, Receiver<ReplicaStatus>) {
    bounded(1)
}

/// Nothing is ever sent: its end is heard when the sender is dropped.
pub(super) fn until_dropped() -> (Sender<()>, Receiver<()>) {
    bounded(0)
}
