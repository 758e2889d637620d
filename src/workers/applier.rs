//! The applier: committed commands become state, in order, and their callers are answered.
//!
//! A batch is applied as a whole; the machine ends it (one on disk commits there), then its answers and reads leave. A
//! picture and a restore stand between two batches: what was given before them is ended and answered first. So a picture
//! shows exactly what was applied before it, and a machine on disk holds what its picture shows.
//!
//! A command that does not decode stops the node: another version may know it, and to skip it would make this replica differ
//! from the others. So does whatever leaves the state in doubt: a panic in `apply`, a `restore` or an `end_batch` that
//! fails. A picture that cannot be taken leaves the state as it was, and is only reported.

use std::any::Any;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::GROUP;
use super::progress::Progress;
use crate::machine::{Machine, MachineError};
use crate::metrics::RuntimeMetrics;
use crate::planted::{Bug, planted};
use crate::replica::{Applied, ApplyJob, Event, PendingReply, Pictured};
use crate::storage::{SnapshotSource, SnapshotStore, StorageError};
use crate::ticket::{Gate, ReadTask, Reply, StopCause, panic_message};
use crate::types::{Entry, EntryRun, LogPosition, Payload, SnapshotMeta, SnapshotWriter};

/// Owns the state machine of one group.
pub(crate) struct Applier {
    machine: Box<dyn Machine>,
    /// Whether the machine keeps its state on a disk of its own.
    on_disk: bool,
    snapshots: Box<dyn SnapshotStore>,
    applied: LogPosition,
    /// Where the last batch ended; `applied` between turns.
    ended: LogPosition,
    /// Answers of this batch that have not left; empty between turns, kept for their memory.
    answers: Vec<(Reply, Bytes)>,
    reads: Vec<ReadTask>,
    metrics: Arc<RuntimeMetrics>,
    /// Says whether the node stops.
    gate: Arc<Gate>,
}

impl Applier {
    /// `machine` holds everything up to `applied`, and nothing more.
    pub(crate) fn new(
        machine: Box<dyn Machine>,
        snapshots: Box<dyn SnapshotStore>,
        applied: LogPosition,
    ) -> Self {
        let on_disk = machine.applied().is_some();
        Self {
            machine,
            on_disk,
            snapshots,
            applied,
            ended: applied,
            answers: Vec::new(),
            reads: Vec::new(),
            metrics: Arc::default(),
            gate: Arc::new(Gate::new(0, 0)),
        }
    }

    /// What batches and answers take is recorded there.
    pub(crate) fn measured_by(self, metrics: Arc<RuntimeMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// A node that stops does not wait for a snapshot to be restored to its end: the next start restores it again.
    pub(crate) fn until_stopped(self, gate: Arc<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// What was applied, for tests that look inside.
    #[cfg(test)]
    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// Does `jobs` in their order: what became of them is an [`Event::Applied`] for each batch, and an
    /// [`Event::Pictured`] for each picture. Reads alone complete nothing. On an error every caller who was not answered
    /// yet learns it.
    ///
    /// # Panics
    /// If an entry does not follow the one before it, or a snapshot would take the state back.
    pub(crate) fn turn(&mut self, jobs: Vec<ApplyJob>) -> Result<Vec<Event>, StopCause> {
        let mut events = Vec::new();
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            if let Err(cause) = self.take(job, &mut events) {
                self.stop_batch(jobs, &cause);
                return Err(cause);
            }
        }
        if let Err(cause) = self.end_batch(&mut events) {
            self.stop_batch(jobs, &cause);
            return Err(cause);
        }
        Ok(events)
    }

    fn take(&mut self, job: ApplyJob, events: &mut Vec<Event>) -> Result<(), StopCause> {
        match job {
            ApplyJob::Entries { entries, replies } => {
                let metrics = Arc::clone(&self.metrics);
                metrics.stage_apply.time(|| self.apply_all(&entries, replies))
            }
            ApplyJob::Read(task) => {
                self.reads.push(task);
                Ok(())
            }
            ApplyJob::Restore(snapshot) => {
                self.end_batch(events)?;
                self.restore(&snapshot)?;
                self.end_batch(events)
            }
            ApplyJob::Picture => {
                let before = self.ended;
                self.end_batch(events)?;
                let position = if planted(Bug::PicturesHoldMore) { before } else { self.applied };
                events.push(Event::Pictured(Pictured { position, writer: self.picture() }));
                Ok(())
            }
        }
    }

    /// The machine ends what was applied or restored since the last time; then nothing holds its callers back.
    fn end_batch(&mut self, events: &mut Vec<Event>) -> Result<(), StopCause> {
        let through = self.applied;
        if through != self.ended {
            let task = "store its state";
            self.own_code(task, |machine| machine.end_batch(through))?;
            let durable = if self.on_disk {
                self.own_code(task, |machine| Ok(machine.durable(through)))?.min(through)
            } else {
                LogPosition::ZERO
            };
            self.ended = through;
            events.push(Event::Applied(Applied { through, durable }));
        }
        if !self.answers.is_empty() || !self.reads.is_empty() {
            let metrics = Arc::clone(&self.metrics);
            metrics.stage_reply.time(|| self.answer_batch());
        }
        Ok(())
    }

    fn answer_batch(&mut self) {
        for (reply, response) in self.answers.drain(..) {
            reply.answer(&response);
        }
        for task in self.reads.drain(..) {
            task.run(self.machine.as_any());
        }
    }

    /// Those whose commands were applied are not answered either: the batch counts as a whole or not at all.
    fn stop_batch(&mut self, rest: impl Iterator<Item = ApplyJob>, cause: &StopCause) {
        self.answers.drain(..).for_each(|(reply, _)| reply.stop(cause));
        self.reads.drain(..).for_each(|task| task.stop(cause));
        rest.for_each(|job| job.stop(cause));
    }

    /// A snapshot takes the state's place. Jobs come in order, and a snapshot is installed only beyond what is committed:
    /// no entry that it covers can follow it.
    fn restore(&mut self, snapshot: &SnapshotMeta) -> Result<(), StopCause> {
        let position = snapshot.position;
        assert!(position.index > self.applied.index, "a snapshot takes the state machine back");
        let unreadable =
            |error: StorageError| StopCause::Snapshot { position, reason: error.to_string().into() };
        let mut source = self.snapshots.open(GROUP, snapshot.id).map_err(unreadable)?;
        let progress = Progress::new(format!("snapshot of entry {position} is being restored"), 0);
        let mut counted = Counted { source: &mut *source, progress, gate: Arc::clone(&self.gate) };
        self.applied = position;
        let restored = self.own_code("restore a snapshot", |machine| machine.restore(&mut counted));
        // The machine may have put an error of the file into words of its own.
        match (self.gate.stop_cause(), source.error()) {
            (Some(cause), _) => Err(cause.clone()),
            (None, Some(error)) => Err(unreadable(error)),
            (None, None) => restored,
        }
    }

    fn picture(&self) -> Result<SnapshotWriter, String> {
        match catch_unwind(AssertUnwindSafe(|| self.machine.snapshot())) {
            Ok(taken) => taken.map_err(|error| error.reason),
            Err(panic) => Err(format!("the state machine panicked: {}", panic_message(&*panic))),
        }
    }

    /// Runs code that the user wrote. What goes wrong there is a cause like any other: everybody who waits learns it.
    fn own_code<T>(
        &mut self,
        task: &'static str,
        run: impl FnOnce(&mut dyn Machine) -> Result<T, MachineError>,
    ) -> Result<T, StopCause> {
        let (machine, position) = (&mut *self.machine, self.applied);
        match catch_unwind(AssertUnwindSafe(|| run(machine))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StopCause::Machine { task, position, reason: error.reason.into() }),
            Err(panic) => Err(panicked(&*panic)),
        }
    }

    fn apply_all(&mut self, entries: &[EntryRun], replies: Vec<PendingReply>) -> Result<(), StopCause> {
        let mut replies = replies.into_iter().peekable();
        for entry in entries.iter().flat_map(EntryRun::entries) {
            let index = entry.position.index;
            assert_eq!(index, self.applied.index.next(), "committed entries were skipped or repeated");
            assert!(entry.position.term >= self.applied.term, "the term of committed entries falls (§5.3)");
            let reply = replies.next_if(|reply| reply.index == index).map(|pending| pending.reply);
            if let Err(cause) = self.apply(entry, reply) {
                replies.for_each(|pending| pending.reply.stop(&cause));
                return Err(cause);
            }
            self.applied = entry.position;
        }
        assert!(replies.next().is_none(), "a caller waits for an entry that was not given");
        Ok(())
    }

    fn apply(&mut self, entry: &Entry, reply: Option<Reply>) -> Result<(), StopCause> {
        let Payload::Normal { command, .. } = &entry.payload else { return Ok(()) };
        if planted(Bug::SkipsCommands) && self.applied == self.ended && reply.is_none() {
            return Ok(());
        }
        match (self.change(entry.position, command, reply.is_some()), reply) {
            (Ok(response), Some(reply)) => {
                self.answers.push((reply, response.expect("a machine answers when somebody waits")));
                Ok(())
            }
            (Err(cause), Some(reply)) => {
                reply.stop(&cause);
                Err(cause)
            }
            (changed, None) => changed.map(|_| ()),
        }
    }

    /// What the machine does with a command.
    fn change(
        &mut self,
        at: LogPosition,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, StopCause> {
        let machine = &mut self.machine;
        match catch_unwind(AssertUnwindSafe(|| machine.apply(at, command, somebody_waits))) {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(StopCause::Undecodable { position: at, reason: Arc::from(error.reason) }),
            Err(panic) => Err(panicked(&*panic)),
        }
    }
}

/// Gives out what a snapshot holds, and counts it; nothing more once the node stops.
struct Counted<'a> {
    source: &'a mut dyn SnapshotSource,
    progress: Progress,
    gate: Arc<Gate>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.gate.stop_cause().is_some() {
            return Err(io::Error::other("the node stops"));
        }
        let count = self.source.read(out)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StopCause {
    StopCause::Panicked { thread: "apply".to_owned(), message: Arc::from(panic_message(panic)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Codec, MachineError, SnapshotError, StateMachine, Typed};
    use crate::replica::tests::instant;
    use crate::ticket::{Outcome, Permit, ProposeError, ReadError, Ticket};
    use crate::types::{LogIndex, SnapshotWriter, Term};
    use crate::workers::TestSnapshots;

    /// Adds up; cannot stand seven.
    struct Sum(u64);

    impl StateMachine for Sum {
        type Command = u64;
        type Query = ();
        type Response = u64;

        fn apply(&mut self, _at: LogPosition, command: u64) -> u64 {
            assert_ne!(command, 7, "seven");
            self.0 += command;
            self.0
        }

        fn query(&self, (): ()) -> u64 {
            self.0
        }

        fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
            let total = self.0;
            Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
        }

        fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
            let mut total = [0; 8];
            snapshot.read_exact(&mut total)?;
            self.0 = u64::from_le_bytes(total);
            Ok(())
        }
    }

    fn applier() -> Applier {
        Applier::new(Box::new(Typed(Sum(0))), Box::new(TestSnapshots::default()), LogPosition::ZERO)
    }

    /// Where each batch ended.
    fn applied(events: &[Event]) -> Vec<u64> {
        let through = |event: &Event| match event {
            Event::Applied(applied) => applied.through.index.0,
            other => panic!("not of a batch: {other:?}"),
        };
        events.iter().map(through).collect()
    }

    fn command(number: u64) -> Payload {
        let mut bytes = Vec::new();
        number.encode(&mut bytes);
        Payload::Normal { origin: None, command: bytes.into() }
    }

    /// Entries of term 1 from `first` on.
    fn entries(first: u64, payloads: impl IntoIterator<Item = Payload>) -> Vec<EntryRun> {
        let positions = (first..).map(|index| LogPosition::new(Term(1), LogIndex(index)));
        let entries = positions.zip(payloads).map(|(position, payload)| Entry { position, payload });
        EntryRun::new(entries.collect()).into_iter().collect()
    }

    fn caller_of(index: u64) -> (PendingReply, Ticket<u64, ProposeError>) {
        let (reply, ticket) =
            Reply::pair(Permit::free(), instant(), |response| Ok(u64::decode(response).unwrap()));
        assert!(reply.take());
        (PendingReply { index: LogIndex(index), reply }, ticket)
    }

    fn read() -> (ApplyJob, Ticket<u64, ReadError>) {
        let (task, ticket) = ReadTask::pair(Permit::free(), instant(), |sum: &Sum| sum.0);
        (ApplyJob::Read(task), ticket)
    }

    #[test]
    fn commands_are_applied_in_order_and_only_those_who_wait_are_answered() {
        let (second, second_answer) = caller_of(3);
        let (fourth, fourth_answer) = caller_of(5);
        let payloads = [Payload::Noop, command(1), command(2), Payload::Noop, command(4)];
        let entries = entries(1, payloads);
        let (read, seen) = read();

        let jobs = vec![ApplyJob::Entries { entries, replies: vec![second, fourth] }, read];
        let events = applier().turn(jobs).unwrap();

        assert_eq!(applied(&events), [5]);
        assert_eq!(second_answer.try_wait().unwrap(), Ok(3));
        assert_eq!(fourth_answer.try_wait().unwrap(), Ok(7));
        assert_eq!(seen.try_wait().unwrap(), Ok(7));
    }

    #[test]
    fn reads_alone_complete_nothing() {
        let (read, seen) = read();

        assert!(applier().turn(vec![read]).unwrap().is_empty());
        assert_eq!(seen.try_wait().unwrap(), Ok(0));
    }

    #[test]
    fn a_committed_command_that_does_not_decode_stops_the_node_by_name() {
        let (callers, answers): (Vec<_>, Vec<_>) = [1, 2, 3].map(caller_of).into_iter().unzip();
        let broken = Payload::Normal { origin: None, command: Bytes::from_static(b"?") };
        let entries = entries(1, [command(1), broken, command(2)]);
        let (read, seen) = read();

        let jobs = vec![ApplyJob::Entries { entries, replies: callers }, read];
        let cause = applier().turn(jobs).unwrap_err();

        let at = LogPosition::new(Term(1), LogIndex(2));
        assert!(matches!(cause, StopCause::Undecodable { position, .. } if position == at), "{cause}");
        let stopped = ProposeError::Stopped { cause: cause.clone(), outcome: Outcome::Unknown };
        assert!(answers.into_iter().all(|answer| answer.try_wait().unwrap() == Err(stopped.clone())));
        assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause }));
    }

    #[test]
    fn after_a_panic_in_apply_everybody_in_the_batch_learns_what_it_said() {
        let (before, before_answer) = caller_of(1);
        let (after, after_answer) = caller_of(3);
        let entries = entries(1, [command(1), command(7), command(2)]);
        let (read, seen) = read();
        let jobs = vec![ApplyJob::Entries { entries, replies: vec![before, after] }, read];

        let cause = applier().turn(jobs).expect_err("seven is too much");

        assert!(
            matches!(&cause, StopCause::Panicked { message, .. } if message.contains("seven")),
            "{cause}"
        );
        let stopped = ProposeError::Stopped { cause: cause.clone(), outcome: Outcome::Unknown };
        for answer in [before_answer, after_answer] {
            assert_eq!(answer.try_wait().unwrap(), Err(stopped.clone()));
        }
        assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause }));
    }

    #[test]
    #[should_panic(expected = "skipped or repeated")]
    fn a_gap_between_batches_is_a_broken_promise() {
        let mut applier = applier();
        let job = |first| ApplyJob::Entries { entries: entries(first, [command(1)]), replies: Vec::new() };

        let _ = applier.turn(vec![job(1)]);
        let _ = applier.turn(vec![job(3)]);
    }
}
