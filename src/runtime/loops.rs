//! The workers' threads: each takes what waits, does it once, reports once.

use std::iter::once;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::net_end::{NetEnd, message_job};
use crate::replica::{ApplyJob, Event, FetchJob, WriteJob};
use crate::storage::{StorageError, Upkeep};
use crate::ticket::{Gate, StopCause};
use crate::types::GroupId;
use crate::workers::{Applier, LogFetcher, LogJob, LogWriter};

/// How many jobs one turn takes at most: a batch that never ends would never be answered.
const JOBS_PER_TURN_MAX: usize = 1024;
/// How often space is looked after when nobody asks: a segment of the fastest log lasts several times as long.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Where the log writer reports, and how long it waits before it settles a quiet log.
pub(super) struct LogWriterEnds {
    pub(super) writes: Receiver<(GroupId, WriteJob)>,
    pub(super) completions: Sender<Event>,
    pub(super) net: NetEnd,
    pub(super) idle_after: Duration,
}

/// One append and one sync for all writes that wait. Answers that were waiting for the disk go straight to the network.
pub(super) fn write_log(mut writer: LogWriter, ends: &LogWriterEnds) -> Result<(), StopCause> {
    while let Some(first) = next_write(&mut writer, ends)? {
        let batch = once(first).chain(ends.writes.try_iter()).take(JOBS_PER_TURN_MAX);
        let batch = batch.map(|(group, job)| (group, LogJob::Write(job))).collect();
        let written = writer.turn(batch)?;
        let messages = written.send.into_iter();
        ends.net.send_all(messages.map(|(group, to, message)| message_job(group, (to, message))));
        for (_group, persisted) in written.persisted {
            let _ = ends.completions.send(Event::Persisted(persisted));
        }
    }
    writer.settle()
}

/// Waits for a write. A log that has been quiet for a tick is settled first.
fn next_write(
    writer: &mut LogWriter,
    ends: &LogWriterEnds,
) -> Result<Option<(GroupId, WriteJob)>, StopCause> {
    match ends.writes.recv_timeout(ends.idle_after) {
        Ok(job) => Ok(Some(job)),
        Err(RecvTimeoutError::Disconnected) => Ok(None),
        Err(RecvTimeoutError::Timeout) => {
            writer.settle()?;
            Ok(ends.writes.recv().ok())
        }
    }
}

/// Applies what waits, answers its callers, reports once. If it fails the gate is shut before anybody can be dropped.
pub(super) fn apply(
    mut applier: Applier,
    jobs: &Receiver<ApplyJob>,
    completions: &Sender<Event>,
    gate: &Gate,
) -> Result<(), StopCause> {
    while let Ok(first) = jobs.recv() {
        let batch = once(first).chain(jobs.try_iter()).take(JOBS_PER_TURN_MAX).collect();
        match applier.turn(batch) {
            Ok(events) => events.into_iter().for_each(|event| _ = completions.send(event)),
            Err(cause) => {
                gate.stop(cause.clone());
                jobs.try_iter().for_each(|job| job.stop(&cause));
                return Err(cause);
            }
        }
    }
    Ok(())
}

/// Fetches entries that are not in memory any more.
pub(super) fn read_log(
    mut reader: LogFetcher,
    jobs: &Receiver<(GroupId, FetchJob)>,
    completions: &Sender<Event>,
) -> Result<(), StopCause> {
    while let Ok((group, job)) = jobs.recv() {
        let _ = completions.send(Event::Fetched(reader.turn(group, job)?));
    }
    Ok(())
}

/// Keeps space ready for the log writer, in small steps. A full disk is tried again: the writer decides when it is fatal.
pub(super) fn keep_up(mut upkeep: Box<dyn Upkeep>, stop: &Receiver<()>) -> Result<(), StopCause> {
    let mut was_full = false;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(UPKEEP_INTERVAL) {
        was_full = match work_off(&mut *upkeep, stop) {
            Ok(()) => false,
            Err(error) if error.is_recoverable() => {
                if !was_full {
                    log::warn!("{error}");
                }
                true
            }
            Err(error) => return Err(StopCause::Storage(error.to_string().into())),
        };
    }
    Ok(())
}

/// Does what waits, or as much of it as can be done before the node stops.
fn work_off(upkeep: &mut dyn Upkeep, stop: &Receiver<()>) -> Result<(), StorageError> {
    while upkeep.turn()? && stop.try_recv() == Err(TryRecvError::Empty) {}
    Ok(())
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
