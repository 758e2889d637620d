//! The workers' threads: each takes what waits, does it once, reports once.

use std::io::{self, Write};
use std::iter::once;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, Sender, TryRecvError};

use super::channels::Piece;
use super::clock;
use super::inbox::Waiting;
use super::net_end::{NetEnd, message_job};
use super::room::{Finder, Room};
use super::threads::in_the_background;
use crate::metrics::RuntimeMetrics;
use crate::replica::{ApplyJob, Event, FetchJob, ReceiveJob, SaveJob};
use crate::storage::{StorageError, Upkeep};
use crate::ticket::{Gate, StopCause};
use crate::types::{GroupId, SnapshotWriter};
use crate::workers::{
    Applier, LogFetcher, LogJob, LogWriter, MoverInput, Moves, SnapshotMover, SnapshotSaver,
};

/// How many jobs one turn takes at most: a batch that never ends would never be answered.
const JOBS_PER_TURN_MAX: usize = 1024;
/// How often space is looked after when nobody asks: a segment of the fastest log lasts several times as long.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How often a write is tried again for which the disk had no room.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);

/// Where the log writer reports, and how long it waits before it settles a quiet log.
pub(super) struct LogWriterEnds {
    pub(super) jobs: Receiver<(GroupId, LogJob)>,
    pub(super) completions: Sender<Event>,
    pub(super) net: NetEnd,
    pub(super) idle_after: Duration,
    pub(super) room: Arc<Room>,
}

/// One append and one sync for all writes that wait. Answers that were waiting for the disk go straight to the network.
pub(super) fn write_log(mut writer: LogWriter, ends: &LogWriterEnds) -> Result<(), StopCause> {
    while let Some(batch) = next_batch(&mut writer, ends)? {
        let written = writer.turn(batch)?;
        let messages = written.send.into_iter();
        ends.net.send_all(messages.map(|(group, to, message)| message_job(group, (to, message))));
        for (_group, persisted) in written.persisted {
            let _ = ends.completions.send(Event::Persisted(persisted));
        }
        if let Some(is_full) = written.disk_full {
            ends.room.report(Finder::LogWriter, is_full);
        }
    }
    writer.settle()
}

/// Waits for something to do. What found no room is tried again after a while, with an empty batch if nothing else comes;
/// a log that has been quiet for a tick is settled. `None` at the end.
fn next_batch(
    writer: &mut LogWriter,
    ends: &LogWriterEnds,
) -> Result<Option<Vec<(GroupId, LogJob)>>, StopCause> {
    let patience = if writer.is_full() { ROOM_INTERVAL } else { ends.idle_after };
    let first = match ends.jobs.recv_timeout(patience) {
        Ok(job) => job,
        Err(RecvTimeoutError::Disconnected) => return Ok(None),
        Err(RecvTimeoutError::Timeout) if writer.is_full() => return Ok(Some(Vec::new())),
        Err(RecvTimeoutError::Timeout) => {
            writer.settle()?;
            match ends.jobs.recv() {
                Ok(job) => job,
                Err(_) => return Ok(None),
            }
        }
    };
    Ok(Some(once(first).chain(ends.jobs.try_iter()).take(JOBS_PER_TURN_MAX).collect()))
}

/// Applies what waits, answers its callers, reports once. If it fails the gate is shut before anybody can be dropped.
pub(super) fn apply(
    mut applier: Applier,
    jobs: &Receiver<ApplyJob>,
    completions: &Sender<Event>,
    gate: &Gate,
) -> Result<(), StopCause> {
    while let Ok(first) = jobs.recv() {
        match turn(&mut applier, jobs, first) {
            Ok(events) => report(completions, events),
            Err(cause) => {
                gate.stop(cause.clone());
                jobs.try_iter().for_each(|job| job.stop(&cause));
                return Err(cause);
            }
        }
    }
    Ok(())
}

/// All that waits, from `first` on, as one batch.
///
/// A restore takes as long as the state is large, and nobody waits for a node that is so far behind: it leaves the cores
/// to those on whom others wait. A thread that may lower its priority may not raise it again, so it is another one.
fn turn(applier: &mut Applier, jobs: &Receiver<ApplyJob>, first: ApplyJob) -> Result<Vec<Event>, StopCause> {
    let batch: Vec<_> = once(first).chain(jobs.try_iter()).take(JOBS_PER_TURN_MAX).collect();
    let restores = batch.iter().any(|job| matches!(job, ApplyJob::Restore(_)));
    if restores { in_the_background(|| applier.turn(batch)) } else { applier.turn(batch) }
}

/// Fetches entries that are not in memory any more.
pub(super) fn read_log(
    mut reader: LogFetcher,
    jobs: &Receiver<(GroupId, FetchJob)>,
    completions: &Sender<Event>,
) -> Result<(), StopCause> {
    while let Ok((group, job)) = jobs.recv() {
        report(completions, once(Event::Fetched(reader.turn(group, job)?)));
    }
    Ok(())
}

/// Writes pictures of the state machine out, however long that takes; a node that stops does not wait for them.
pub(super) fn save_snapshots(
    mut saver: SnapshotSaver,
    jobs: &Receiver<(GroupId, SaveJob)>,
    completions: &Sender<Event>,
    gate: &Arc<Gate>,
) {
    while let Ok((_group, job)) = jobs.recv() {
        let job = match job {
            SaveJob::Picture { position, membership, writer } => {
                let writer = until_stopped(writer, Arc::clone(gate));
                SaveJob::Picture { position, membership, writer }
            }
            prune @ SaveJob::Prune { .. } => prune,
        };
        let saved = saver.turn(job);
        // A picture that was given up for the node's end did not fail.
        if gate.stop_cause().is_none() {
            report(completions, saved.map(Event::Saved));
        }
    }
}

/// The same writer, which fails once the node stops: also if the machine passes over an error of a write.
fn until_stopped(writer: SnapshotWriter, gate: Arc<Gate>) -> SnapshotWriter {
    Box::new(move |out| {
        let mut out = Until { out, gate };
        writer(&mut out)?;
        out.judge()
    })
}

struct Until<'a> {
    out: &'a mut dyn Write,
    gate: Arc<Gate>,
}

impl Until<'_> {
    fn judge(&self) -> io::Result<()> {
        match self.gate.stop_cause() {
            Some(_) => Err(io::Error::other("the node stops")),
            None => Ok(()),
        }
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.judge()?;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the snapshot mover hears, and where its messages and reports go.
pub(super) struct MoverEnds {
    pub(super) jobs: Receiver<(GroupId, ReceiveJob)>,
    pub(super) pieces: Receiver<Piece>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) completions: Sender<Event>,
    pub(super) net: NetEnd,
    pub(super) metrics: Arc<RuntimeMetrics>,
}

/// Sends and receives snapshots, piece by piece, until the engine is gone. The network holds the other end of the pieces
/// for longer: it ends after this thread.
pub(super) fn move_snapshots(mut mover: SnapshotMover, ends: &MoverEnds) {
    let mut anything = Select::new();
    anything.recv(&ends.jobs);
    anything.recv(&ends.pieces);
    loop {
        match ends.jobs.try_recv() {
            Ok((group, job)) => ends.carry_out(group, mover.handle(MoverInput::Receive(job), clock::now())),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {}
        }
        // The network does not wait for the engine's end: a piece at a time, then the engine is heard again.
        if let Ok(piece) = ends.pieces.try_recv() {
            ends.waiting.take(piece.bytes);
            ends.carry_out(GroupId::MAIN, mover.handle(piece.input, clock::now()));
            ends.metrics.stray_pieces.set(mover.strays());
        }
        let now = clock::now();
        match mover.next_tick() {
            Some(due) if due <= now => ends.carry_out(GroupId::MAIN, mover.tick(now)),
            Some(due) => _ = anything.ready_timeout(due.since(now)),
            None => _ = anything.ready(),
        }
    }
}

impl MoverEnds {
    fn carry_out(&self, group: GroupId, moves: Moves) {
        self.net.send_all(moves.send.into_iter().map(|message| message_job(group, message)));
        report(&self.completions, moves.events);
    }
}

/// Keeps space ready for the log writer, in small steps. A full disk is told to the engine and tried again.
pub(super) fn keep_up(
    mut upkeep: Box<dyn Upkeep>,
    room: &Room,
    stop: &Receiver<()>,
) -> Result<(), StopCause> {
    let mut was_full = false;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(UPKEEP_INTERVAL) {
        let is_full = match work_off(&mut *upkeep, stop) {
            Ok(()) => false,
            Err(error) if error.is_recoverable() => {
                if !was_full {
                    log::warn!("{error}");
                }
                true
            }
            Err(error) => return Err(StopCause::Storage(error.to_string().into())),
        };
        if is_full != was_full {
            room.report(Finder::Upkeep, is_full);
        }
        was_full = is_full;
    }
    Ok(())
}

/// Does what waits, or as much of it as can be done before the node stops.
fn work_off(upkeep: &mut dyn Upkeep, stop: &Receiver<()>) -> Result<(), StorageError> {
    while upkeep.turn()? && stop.try_recv() == Err(TryRecvError::Empty) {}
    Ok(())
}

/// An engine that is gone needs no reports.
fn report(completions: &Sender<Event>, events: impl IntoIterator<Item = Event>) {
    for event in events {
        let _ = completions.send(event);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use bytes::Bytes;
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::machine::{MachineError, SnapshotError, StateMachine, Typed};
    use crate::replica::tests::instant;
    use crate::runtime::threads::Haste;
    use crate::ticket::{ReadError, ReadTask};
    use crate::types::{Entry, EntryRun, LogIndex, LogPosition, Payload, SnapshotWriter, Term};
    use crate::workers::TestSnapshots;

    /// Cannot stand any command.
    struct Fragile;

    impl StateMachine for Fragile {
        type Command = Vec<u8>;
        type Query = ();
        type Response = ();

        fn apply(&mut self, _at: LogPosition, _command: Vec<u8>) {
            panic!("too much");
        }

        fn query(&self, (): ()) {}

        fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
            Ok(Box::new(|_| Ok(())))
        }

        fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
            Ok(())
        }
    }

    /// Remembers with which niceness it was restored, and with which it applied.
    #[cfg(target_os = "linux")]
    #[derive(Default)]
    struct Watched {
        restored_at: Option<i32>,
        applied_at: Option<i32>,
    }

    #[cfg(target_os = "linux")]
    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).expect("every thread has one")
    }

    #[cfg(target_os = "linux")]
    impl StateMachine for Watched {
        type Command = Vec<u8>;
        type Query = ();
        type Response = ();

        fn apply(&mut self, _at: LogPosition, _command: Vec<u8>) {
            self.applied_at = Some(niceness());
        }

        fn query(&self, (): ()) {}

        fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
            Ok(Box::new(|_| Ok(())))
        }

        fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
            self.restored_at = Some(niceness());
            Ok(())
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_restore_leaves_the_cores_to_others_and_what_follows_does_not() {
        let before = niceness();
        let (snapshots, snapshot) = TestSnapshots::holding(b"", LogPosition::new(Term(1), LogIndex(1)));
        let next = LogPosition::new(Term(1), LogIndex(2));
        let payload = Payload::Normal { origin: None, command: Bytes::new() };
        let run = EntryRun::new([Entry { position: next, payload }].into()).expect("one entry");
        let (sender, jobs) = unbounded();
        let mut applier =
            Applier::new(Box::new(Typed(Watched::default())), Box::new(snapshots), LogPosition::ZERO);

        for job in
            [ApplyJob::Restore(snapshot), ApplyJob::Entries { entries: vec![run], replies: Vec::new() }]
        {
            sender.send(job).unwrap();
            turn(&mut applier, &jobs, jobs.recv().unwrap()).expect("it is done");
        }

        let machine = applier.machine().as_any().downcast_ref::<Watched>().expect("the machine");
        assert_eq!(machine.restored_at, Some(before.max(Haste::None as i32)));
        assert_eq!((machine.applied_at, niceness()), (Some(before), before));
    }

    #[test]
    fn who_asks_after_the_applier_has_failed_hears_why() {
        let gate = Arc::new(Gate::new(10, 10));
        let position = LogPosition::new(Term(1), LogIndex(1));
        let payload = Payload::Normal { origin: None, command: Bytes::new() };
        let run = EntryRun::new([Entry { position, payload }].into()).expect("one entry");
        let (sender, jobs) = unbounded();
        sender.send(ApplyJob::Entries { entries: vec![run], replies: Vec::new() }).unwrap();

        let snapshots = Box::new(TestSnapshots::default());
        let applier = Applier::new(Box::new(Typed(Fragile)), snapshots, LogPosition::ZERO);
        let cause = apply(applier, &jobs, &unbounded().0, &gate).expect_err("it panics");
        let (task, seen) = ReadTask::pair(gate.enter(0).unwrap(), instant(), |_: &Fragile| ());
        sender.send(ApplyJob::Read(task)).unwrap();
        drop((jobs, sender));

        assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause }));
    }
}
