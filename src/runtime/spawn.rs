//! The threads of a node, one for each worker.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::StartError;
use super::channels::{Piece, ToEngine, WorkerInputs};
use super::clock;
use super::engine::Engine;
use super::identity::Local;
use super::inbox::{EngineInbox, Waiting};
use super::loops::{self, LogWriterEnds, MoverEnds};
use super::net_end::NetEnd;
use super::room::Room;
use super::threads::{Haste, Stopper, Threads, guarded, let_others_go_first};
use crate::machine::Machine;
use crate::metrics::RuntimeMetrics;
use crate::storage::Storage;
use crate::ticket::{Gate, StopCause};
use crate::transport::{SendJob, Transport};
use crate::types::LogPosition;
use crate::workers::{Applier, LogFetcher, LogWriter, MoverConfig, SnapshotMover, SnapshotSaver};

/// The engine lives outside the guard: after a panic its callers are still there to be answered.
pub(super) fn engine(threads: &Threads<'_>, mut engine: Engine, stopper: Stopper) -> Result<(), StartError> {
    threads.spawn("engine", move || {
        let stopped = guarded(|| Ok(engine.run()));
        let cause = stopped.clone().unwrap_or_else(|panic| panic);
        stopper.stop(cause.clone());
        engine.finish(&cause);
        stopped.map(|_| ())
    })
}

/// What the workers' threads hold.
pub(super) struct WorkerEnds<'a> {
    pub(super) jobs: WorkerInputs,
    pub(super) pieces: Receiver<Piece>,
    pub(super) waiting_pieces: Arc<Waiting>,
    pub(super) to_engine: &'a ToEngine,
    /// For the log writer, and for the snapshot mover.
    pub(super) nets: [NetEnd; 2],
    pub(super) tick: Duration,
    pub(super) mover: MoverConfig,
    pub(super) stopped: Receiver<()>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<RuntimeMetrics>,
}

/// `machine` holds the log up to `applied`.
pub(super) fn workers(
    threads: &Threads<'_>,
    storage: Box<dyn Storage>,
    (machine, applied): (Box<dyn Machine>, LogPosition),
    ends: WorkerEnds<'_>,
) -> Result<(), StartError> {
    let WorkerEnds { jobs, pieces, waiting_pieces, to_engine, nets, tick, mover, stopped, gate, metrics } =
        ends;
    let completions = || to_engine.completions.clone();
    let [writer_net, mover_net] = nets;
    let room = Arc::new(Room::new(completions()));

    if let Some(upkeep) = storage.upkeep() {
        let (room, stopped) = (Arc::clone(&room), stopped.clone());
        threads.spawn("upkeep", move || loops::keep_up(upkeep, &room, &stopped))?;
    }
    let (reader, done) = (LogFetcher::new(storage.reader()), completions());
    threads.spawn("log-reader", move || loops::read_log(reader, &jobs.fetches, &done))?;

    let (saver, done, until) = (SnapshotSaver::new(storage.snapshots()), completions(), Arc::clone(&gate));
    threads.spawn("saver", move || {
        let_others_go_first(Haste::None);
        loops::save_snapshots(saver, &jobs.saves, &done, &until);
        Ok(())
    })?;
    let mover = SnapshotMover::new(mover, storage.snapshots(), storage.snapshots());
    let mover_ends = MoverEnds {
        jobs: jobs.receives,
        pieces,
        waiting: waiting_pieces,
        completions: completions(),
        net: mover_net,
        metrics: Arc::clone(&metrics),
    };
    threads.spawn("mover", move || {
        let_others_go_first(Haste::Some);
        loops::move_snapshots(mover, &mover_ends);
        Ok(())
    })?;

    let (applier, done) = (Applier::new(machine, storage.snapshots(), applied), completions());
    let applier = applier.measured_by(metrics).until_stopped(Arc::clone(&gate));
    threads.spawn("apply", move || loops::apply(applier, &jobs.applies, &done, &gate))?;

    let writer_ends =
        LogWriterEnds { jobs: jobs.log, completions: completions(), net: writer_net, idle_after: tick, room };
    threads.spawn("log-writer", move || loops::write_log(LogWriter::new(storage), &writer_ends))?;

    let ticks = to_engine.ticks.clone();
    threads.spawn("clock", move || {
        clock::run(tick, &ticks, &stopped);
        Ok(())
    })
}

/// A transport that ends before the node does takes the node with it.
pub(super) fn transport(
    threads: &Threads<'_>,
    transport: Box<dyn Transport>,
    local: Local,
    (jobs, inbox): (Receiver<SendJob>, EngineInbox),
    gate: Arc<Gate>,
) -> Result<(), StartError> {
    threads.spawn("net", move || {
        let ended = transport.run(local.node, jobs, Arc::new(inbox));
        ended.map_err(|error| StopCause::Transport(error.to_string().into()))?;
        // A node that stops shuts its gate before it lets go of the transport.
        match gate.stop_cause() {
            Some(_) => Ok(()),
            None => Err(StopCause::Transport("the transport ended by itself".into())),
        }
    })
}
