//! Every channel between the threads of a node, and why none of them can grow without bound or block.
//!
//! | channel | from → to | bound |
//! |---|---|---|
//! | requests | callers → engine | the callers' gate: requests and bytes in flight |
//! | control | callers → engine | one per blocked caller of `status` or administration, one for a server, one for the stop |
//! | arrivals | net → engine | counted in bytes; at the limit no socket is read |
//! | ticks | clock → engine | one; a tick not taken stands for the next |
//! | completions | workers → engine | the jobs outstanding: each has one completion |
//! | log | engine → log writer | proposals by the gate; a follower's entries by its leader's window; one release per snapshot |
//! | applies | engine → applier | the replica's budget for entries handed over and not yet applied |
//! | fetches | engine → log reader | one per peer that lags, and one for the applier |
//! | saves | engine → snapshot saver | one picture at a time, and one order to prune for each |
//! | receives | engine → snapshot mover | one for each offer of a leader; a later one replaces it |
//! | pieces | net → snapshot mover | counted in bytes; what comes beyond is dropped, and asked for again |
//! | sends | engine, log writer, mover → net | taken by a loop that never waits; per-peer queues drop beyond their bytes |
//! | events | engine → observers | 1024 each; what comes beyond is lost, and counted |
//! | answers | engine → one caller | one |
//!
//! All but the last two are therefore unbounded channels: the bound stands where work comes in, and inside nobody ever
//! waits for anybody, so that no circle of full queues can stop a node. Administration goes beside the requests: when
//! callers have filled their gate, an operator still gets in.

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::events::{NodeEvent, Observer};
use crate::replica::{
    ApplyJob, Change, Event, FetchJob, Proposal, Read, ReceiveJob, ReplicaStatus, SaveJob, SnapshotNow,
    Transfer,
};
use crate::ticket::{ReadTask, StopCause};
use crate::transport::SendJob;
use crate::types::{ClusterId, GroupId};
use crate::workers::{LogJob, MoverInput};

/// How many events wait for an observer.
pub(super) const EVENTS_MAX: usize = 1024;

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
    Status(Look),
    Observe(Observer),
    Change(Change),
    Transfer(Transfer),
    /// The same, of a node that is about to stop: only if it leads itself.
    StepAside(Transfer),
    SnapshotNow(SnapshotNow),
    Stop(StopCause),
}

/// Shown the replica as it is. Dropped unseen if the engine has ended.
pub(super) struct Look(pub(super) Box<dyn FnOnce(ReplicaStatus) + Send>);

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Look")
    }
}

/// What arrives from peers: counted in bytes while it waits.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) what: Arrived,
    pub(super) bytes: usize,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Arrived {
    Event(Event),
    /// A node that waited to join belongs to this cluster from now on.
    Cluster(ClusterId),
}

/// A piece of a snapshot, or the wish for one, past the engine; or the end of a connection that carried them.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) input: MoverInput,
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
    pub(super) log: Sender<(GroupId, LogJob)>,
    pub(super) applies: Sender<ApplyJob>,
    pub(super) fetches: Sender<(GroupId, FetchJob)>,
    pub(super) saves: Sender<(GroupId, SaveJob)>,
    pub(super) receives: Sender<(GroupId, ReceiveJob)>,
}

/// The workers' ends of the same.
#[derive(Debug)]
pub(super) struct WorkerInputs {
    pub(super) log: Receiver<(GroupId, LogJob)>,
    pub(super) applies: Receiver<ApplyJob>,
    pub(super) fetches: Receiver<(GroupId, FetchJob)>,
    pub(super) saves: Receiver<(GroupId, SaveJob)>,
    pub(super) receives: Receiver<(GroupId, ReceiveJob)>,
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
    let (log_in, log) = unbounded();
    let (applies_in, applies) = unbounded();
    let (fetches_in, fetches) = unbounded();
    let (saves_in, saves) = unbounded();
    let (receives_in, receives) = unbounded();
    let outputs = EngineOutputs {
        log: log_in,
        applies: applies_in,
        fetches: fetches_in,
        saves: saves_in,
        receives: receives_in,
    };
    (outputs, WorkerInputs { log, applies, fetches, saves, receives })
}

/// From the network to the snapshot mover.
pub(super) fn pieces() -> (Sender<Piece>, Receiver<Piece>) {
    unbounded()
}

/// What the engine, the log writer and the mover ask of the transport.
pub(super) fn to_transport() -> (Sender<SendJob>, Receiver<SendJob>) {
    unbounded()
}

/// Where one answer arrives.
pub(super) fn answer<T>() -> (Sender<T>, Receiver<T>) {
    bounded(1)
}

/// What one observer hears.
pub(super) fn events() -> (Sender<NodeEvent>, Receiver<NodeEvent>) {
    bounded(EVENTS_MAX)
}

/// Nothing is ever sent: its end is heard when the sender is dropped.
pub(super) fn until_dropped() -> (Sender<()>, Receiver<()>) {
    bounded(0)
}
