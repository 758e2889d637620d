//! How a node starts: judge, found or recognise the log, make the replica, start the threads.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::bootstrap::{cluster_id, founding_entry, is_named, name_half, random};
use super::channels::{self, ToEngine, WorkerInputs};
use super::clock::{self, TickCounter};
use super::config::Judged;
use super::engine::Engine;
use super::inbox::{EngineInbox, Waiting};
use super::loops::{self, LogWriterEnds};
use super::net_end::NetEnd;
use super::running::Running;
use super::threads::{Stopper, Threads, guarded};
use super::view::{Facts, View};
use super::{Config, Parts, StartError};
use crate::consensus::RaftConfig;
use crate::machine::Machine;
use crate::replica::{CheckCommand, Replica, ReplicaConfig};
use crate::storage::{Identity, Storage, StorageError};
use crate::ticket::{Gate, StopCause};
use crate::transport::{LocalNode, SendJob, Transport};
use crate::types::{Boot, ClusterId, GroupId, Incarnation, LogPosition};
use crate::workers::{Applier, LogFetcher, LogWriter};

/// A tick is half a heartbeat: fine enough for timeouts of ten heartbeats, coarse enough for an idle node to sleep.
const TICKS_PER_HEARTBEAT: u32 = 2;

/// Starts a node. When this returns it serves; if it fails, every thread that was started has ended.
pub(super) fn launch(
    config: &Config,
    judged: Judged,
    machine: Box<dyn Machine>,
    check_command: CheckCommand,
    parts: Parts,
) -> Result<Running, StartError> {
    let Parts { mut storage, transport, metrics } = parts;
    judge_limits(config, &*storage)?;
    let identity = found_or_recognise(config, judged, &mut *storage)?;
    let recovered = storage.recovered().remove(&GroupId::MAIN).ok_or(StartError::NoCluster)?;
    let mut replica_config = replica_config(config, identity, check_command)?;
    replica_config.metrics = Arc::clone(&metrics.replica);
    let applied = recovered.starts_after;
    let replica = Replica::new(replica_config, recovered, None, applied)
        .map_err(|error| StartError::Log(error.to_string()))?;

    let tick = config.heartbeat_interval / TICKS_PER_HEARTBEAT;
    let waker = transport.waker();
    let (to_engine, inputs) = channels::to_engine();
    let (outputs, worker_inputs) = channels::to_workers();
    let (sends, send_jobs) = channels::to_transport();
    let (until_stopped, stopped) = channels::until_dropped();
    let (alive, all_gone) = channels::until_dropped();
    let gate = Arc::new(Gate::new(config.in_flight_requests_max, config.in_flight_bytes_max));
    let until_stopped = Arc::new(Mutex::new(Some(until_stopped)));
    let stopper = Stopper { gate, control: to_engine.control.clone(), until_stopped };
    let view = Arc::new(View::new(replica.status()));
    let waiting = Arc::new(Waiting::default());
    let ticks_at_once = (ticks_of(config.election_timeout, tick) / 4).max(1);
    let engine = Engine {
        id: identity.node,
        replica,
        inputs,
        outputs,
        net: NetEnd::new(sends.clone(), Arc::clone(&waker)),
        ticks: TickCounter::new(tick, ticks_at_once, clock::now()),
        waiting: Arc::clone(&waiting),
        view: Arc::clone(&view),
        shown: Facts::default(),
    };
    let arrivals = to_engine.arrivals.clone();
    let inbox = EngineInbox { arrivals, waiting, metrics: Arc::clone(&metrics.runtime) };
    let running = Running {
        id: identity.node,
        call_timeout: config.call_timeout,
        command_bytes_max: config.command_bytes_max,
        metrics,
        stopper: stopper.clone(),
        to_engine,
        view,
        all_gone,
        handles: Mutex::new(Vec::new()),
    };

    // From here on dropping `running` ends every thread that was started.
    let threads = Threads::new(identity.node, stopper.clone(), alive, &running.handles);
    spawn_engine(&threads, engine, stopper)?;
    let net = NetEnd::new(sends, waker);
    let gate = Arc::clone(&running.stopper.gate);
    let to_engine = &running.to_engine;
    let ends = WorkerEnds { jobs: worker_inputs, to_engine, net, tick, stopped, gate: Arc::clone(&gate) };
    spawn_workers(&threads, storage, machine, ends)?;
    spawn_transport(&threads, transport, identity, (send_jobs, inbox), gate)?;
    Ok(running)
}

/// A storage that somebody brought must take what callers may propose here: it would fail on the first large command.
fn judge_limits(config: &Config, storage: &dyn Storage) -> Result<(), StartError> {
    let (largest, taken) = (config.command_bytes_max as u64, u64::from(storage.entry_bytes_max()));
    if largest > taken {
        let reason = format!("commands may have {largest} bytes, and it takes entries of {taken}");
        return Err(StorageError::Limits { reason }.into());
    }
    Ok(())
}

/// A blank storage is founded; one that holds a cluster is taken as it is, if it is this node's and of this name.
fn found_or_recognise(
    config: &Config,
    judged: Judged,
    storage: &mut dyn Storage,
) -> Result<Identity, StartError> {
    let Some(identity) = storage.identity() else {
        let founders = judged.founders.ok_or(StartError::NoCluster)?;
        let cluster = cluster_id(&config.cluster_name, &founders);
        let identity =
            Identity { node: judged.id, cluster, incarnation: Incarnation(random()?), joined: false };
        storage.found(identity, &[(GroupId::MAIN, Some(founding_entry(founders)))])?;
        return Ok(identity);
    };
    let path = config.dir.clone();
    if identity.node != judged.id {
        return Err(StorageError::WrongNode { path, expected: judged.id, found: identity.node }.into());
    }
    let listed = judged.founders.map(|founders| cluster_id(&config.cluster_name, &founders));
    if !is_named(identity.cluster, &config.cluster_name) {
        let expected = listed.unwrap_or_else(|| ClusterId(name_half(&config.cluster_name)));
        return Err(StorageError::WrongCluster { path, expected, found: identity.cluster }.into());
    }
    if listed.is_some_and(|listed| listed != identity.cluster) {
        log::warn!(
            "{} holds cluster {}, which was founded with another list than the one given: the directory wins",
            path.display(),
            identity.cluster
        );
    }
    Ok(identity)
}

fn replica_config(
    config: &Config,
    identity: Identity,
    check_command: CheckCommand,
) -> Result<ReplicaConfig, StartError> {
    let tick = config.heartbeat_interval / TICKS_PER_HEARTBEAT;
    let mut raft = RaftConfig::new(identity.node);
    raft.heartbeat_ticks = TICKS_PER_HEARTBEAT;
    raft.election_ticks = ticks_of(config.election_timeout, tick);
    raft.seed = random()?;
    let boot = Boot(random()?);
    let mut replica = ReplicaConfig::new(raft, identity.incarnation, boot, check_command);
    replica.forwarding = config.forwarding;
    replica.command_bytes_max = config.command_bytes_max;
    let requests_max = usize::try_from(config.in_flight_requests_max).unwrap_or(usize::MAX);
    replica.proposals_max = requests_max;
    replica.reads_max = requests_max;
    replica.tail_bytes_max = config.tail_bytes_max;
    replica.proposals_bytes_max = config.in_flight_bytes_max.max(config.command_bytes_max as u64);
    Ok(replica)
}

/// Whole ticks in a duration, rounded up.
fn ticks_of(duration: Duration, tick: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u32::MAX)
}

/// The engine lives outside the guard: after a panic its callers are still there to be answered.
fn spawn_engine(threads: &Threads<'_>, mut engine: Engine, stopper: Stopper) -> Result<(), StartError> {
    threads.spawn("engine", move || {
        let stopped = guarded(|| Ok(engine.run()));
        let cause = stopped.clone().unwrap_or_else(|panic| panic);
        stopper.stop(cause.clone());
        engine.finish(&cause);
        stopped.map(|_| ())
    })
}

/// What the workers' threads hold.
struct WorkerEnds<'a> {
    jobs: WorkerInputs,
    to_engine: &'a ToEngine,
    net: NetEnd,
    tick: Duration,
    stopped: Receiver<()>,
    gate: Arc<Gate>,
}

fn spawn_workers(
    threads: &Threads<'_>,
    storage: Box<dyn Storage>,
    machine: Box<dyn Machine>,
    ends: WorkerEnds<'_>,
) -> Result<(), StartError> {
    let WorkerEnds { jobs, to_engine, net, tick, stopped, gate } = ends;
    if let Some(upkeep) = storage.upkeep() {
        let stopped = stopped.clone();
        threads.spawn("upkeep", move || loops::keep_up(upkeep, &stopped))?;
    }
    let reader = LogFetcher::new(storage.reader());
    let completions = to_engine.completions.clone();
    threads.spawn("log-reader", move || loops::read_log(reader, &jobs.fetches, &completions))?;
    let completions = to_engine.completions.clone();
    let applier = Applier::new(machine, storage.snapshots(), LogPosition::ZERO);
    threads.spawn("apply", move || loops::apply(applier, &jobs.applies, &completions, &gate))?;
    let completions = to_engine.completions.clone();
    let ends = LogWriterEnds { writes: jobs.writes, completions, net, idle_after: tick };
    threads.spawn("log-writer", move || loops::write_log(LogWriter::new(storage), &ends))?;
    let ticks = to_engine.ticks.clone();
    threads.spawn("clock", move || {
        clock::run(tick, &ticks, &stopped);
        Ok(())
    })
}

/// A transport that ends before the node does takes the node with it.
fn spawn_transport(
    threads: &Threads<'_>,
    transport: Box<dyn Transport>,
    identity: Identity,
    (jobs, inbox): (Receiver<SendJob>, EngineInbox),
    gate: Arc<Gate>,
) -> Result<(), StartError> {
    let Identity { node, cluster, incarnation, .. } = identity;
    let local = LocalNode { id: node, cluster: Some(cluster), incarnation };
    threads.spawn("net", move || {
        let ended = transport.run(local, jobs, Arc::new(inbox));
        ended.map_err(|error| StopCause::Transport(error.to_string().into()))?;
        // A node that stops shuts its gate before it lets go of the transport.
        match gate.stop_cause() {
            Some(_) => Ok(()),
            None => Err(StopCause::Transport("the transport ended by itself".into())),
        }
    })
}
