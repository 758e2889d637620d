//! How a node starts: judge, found or recognise the log, restore the state machine, make the replica, start the threads.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::bootstrap::random;
use super::channels;
use super::clock::{self, TickCounter};
use super::config::Judged;
use super::engine::Engine;
use super::events::Observers;
use super::identity::{Local, found_or_recognise};
use super::inbox::{EngineInbox, Waiting};
use super::limits::Limits;
use super::net_end::NetEnd;
use super::restore::{Beginning, restore_from};
use super::running::Running;
use super::spawn::{self, WorkerEnds};
use super::threads::{Stopper, Threads};
use super::view::{Facts, View};
use super::{Config, Parts, StartError};
use crate::consensus::RaftConfig;
use crate::machine::{Machine, SessionBounds};
use crate::replica::{CheckCommand, Replica, ReplicaConfig};
use crate::ticket::Gate;
use crate::types::Boot;
use crate::workers::MoverConfig;

/// Starts a node. When this returns it serves; if it fails, every thread that was started has ended.
pub(super) fn launch(
    config: &Config,
    judged: &Judged,
    mut machine: Box<dyn Machine>,
    check_command: CheckCommand,
    parts: Parts,
) -> Result<Running, StartError> {
    let Parts { mut storage, transport, metrics } = parts;
    let limits = &judged.limits;
    limits.judge_log(&*storage)?;
    let (local, recovered) = found_or_recognise(config, judged, &mut *storage)?;
    let mut snapshots = storage.snapshots();
    let Beginning { snapshot, applied, on_disk } = restore_from(&mut *snapshots, &recovered, &mut *machine)?;
    let mut replica_config = replica_config(config, limits, local, check_command)?;
    replica_config.machine_on_disk = on_disk;
    replica_config.metrics = Arc::clone(&metrics.replica);
    let replica = Replica::new(replica_config, recovered, snapshot, applied)
        .map_err(|error| StartError::Log(error.to_string()))?;

    let waker = transport.waker();
    let (to_engine, inputs) = channels::to_engine();
    let (outputs, worker_inputs) = channels::to_workers();
    let (pieces_in, pieces) = channels::pieces();
    let (sends, send_jobs) = channels::to_transport();
    let (until_stopped, stopped) = channels::until_dropped();
    let (alive, all_gone) = channels::until_dropped();
    let gate = Arc::new(Gate::new(config.in_flight_requests_max, config.in_flight_bytes_max));
    let until_stopped = Arc::new(Mutex::new(Some(until_stopped)));
    let stopper = Stopper { gate: Arc::clone(&gate), control: to_engine.control.clone(), until_stopped };
    let view = Arc::new(View::new(replica.status()));
    let waiting = Arc::new(Waiting::at_most(limits.arrivals_bytes_max));
    let waiting_pieces = Arc::new(Waiting::at_most(limits.pieces_bytes_max));
    let net_end = || NetEnd::new(sends.clone(), Arc::clone(&waker));
    let nets = [net_end(), net_end()];
    let cluster = Arc::new(local.node.cluster.map_or_else(OnceLock::new, OnceLock::from));
    let engine = Engine {
        local,
        cluster: Arc::clone(&cluster),
        replica,
        inputs,
        outputs,
        net: NetEnd::new(sends, waker),
        ticks: TickCounter::new(limits.tick, limits.ticks_at_once, clock::now()),
        waiting: Arc::clone(&waiting),
        view: Arc::clone(&view),
        shown: Facts::default(),
        observers: Observers::default(),
    };
    let inbox = EngineInbox {
        arrivals: to_engine.arrivals.clone(),
        waiting,
        pieces: pieces_in,
        waiting_pieces: Arc::clone(&waiting_pieces),
        cluster_name: config.cluster_name.clone(),
        stopper: stopper.clone(),
        metrics: Arc::clone(&metrics.runtime),
    };
    let running = Running {
        id: judged.id,
        cluster,
        call_timeout: config.call_timeout,
        election_timeout: config.election_timeout,
        forwarding: config.forwarding,
        command_bytes_max: config.command_bytes_max,
        session_bounds: SessionBounds::of(config.sessions_max),
        metrics,
        stopper: stopper.clone(),
        to_engine,
        view,
        all_gone,
        handles: Mutex::new(Vec::new()),
    };

    // From here on dropping `running` ends every thread that was started.
    let threads = Threads::new(judged.id, stopper.clone(), alive, &running.handles);
    spawn::engine(&threads, engine, stopper)?;
    let ends = WorkerEnds {
        jobs: worker_inputs,
        pieces,
        waiting_pieces,
        to_engine: &running.to_engine,
        nets,
        tick: limits.tick,
        mover: mover_config(config, limits),
        stopped,
        gate: Arc::clone(&gate),
        metrics: Arc::clone(&running.metrics.runtime),
    };
    spawn::workers(&threads, storage, (machine, applied), ends)?;
    spawn::transport(&threads, transport, local, (send_jobs, inbox), gate)?;
    Ok(running)
}

fn replica_config(
    config: &Config,
    limits: &Limits,
    local: Local,
    check_command: CheckCommand,
) -> Result<ReplicaConfig, StartError> {
    let incarnation = local.node.incarnation;
    let mut replica =
        ReplicaConfig::new(raft_config(config, limits, local)?, incarnation, Boot(random()?), check_command);
    replica.forwarding = config.forwarding;
    replica.command_bytes_max = limits.entry_command_bytes_max;
    let requests_max = usize::try_from(config.in_flight_requests_max).unwrap_or(usize::MAX);
    replica.proposals_max = requests_max;
    replica.reads_max = requests_max;
    replica.tail_bytes_max = config.tail_bytes_max;
    replica.tail_entries_max = config.tail_entries_max.unwrap_or(u64::MAX);
    replica.proposals_bytes_max = limits.proposals_bytes_max;
    replica.apply_bytes_in_flight_max = limits.apply_bytes_max;
    replica.snapshot_entries = config.snapshot_entries;
    replica.snapshot_bytes = config.snapshot_bytes;
    replica.trailing_entries = config.trailing_entries;
    replica.auto_promote = config.auto_promote;
    Ok(replica)
}

fn raft_config(config: &Config, limits: &Limits, local: Local) -> Result<RaftConfig, StartError> {
    let mut raft = RaftConfig::new(local.node.id);
    raft.heartbeat_ticks = limits.heartbeat_ticks;
    raft.election_ticks = limits.election_ticks;
    raft.append_bytes_max = limits.append_bytes_max;
    raft.in_flight_bytes_max = limits.window_bytes_max;
    raft.lease = limits.lease.map(|lease| u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX));
    raft.reluctance = config.election_reluctance;
    raft.promote_lag_bytes_max = config.promote_lag_bytes_max;
    raft.incarnation = Some(local.node.incarnation);
    raft.joined = local.joined;
    raft.seed = random()?;
    Ok(raft)
}

/// A receiver asks again when it has missed some heartbeats' worth of pieces, and gives a transfer up long after it would
/// have noticed that its leader is gone.
fn mover_config(config: &Config, limits: &Limits) -> MoverConfig {
    MoverConfig {
        bytes_per_second: Some(config.snapshot_bytes_per_second).filter(|bytes| *bytes > 0),
        ask_again_after: config.election_timeout,
        give_up_after: limits.silence * 10,
    }
}
