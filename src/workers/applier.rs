//! The applier: committed commands become state, in order, and their callers are answered.
//!
//! A batch is applied as a whole; then its answers and reads leave. A command that does not decode stops the node: another
//! version may know it, and to skip it would make this replica differ from the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::machine::Machine;
use crate::replica::{Applied, ApplyJob, PendingReply};
use crate::ticket::{ReadTask, Reply, StopCause, panic_message};
use crate::types::{Entry, EntryRun, LogPosition, Payload};

/// Owns the state machine of one group.
pub(crate) struct Applier {
    machine: Box<dyn Machine>,
    applied: LogPosition,
    /// Answers of this batch that have not left; empty between turns, kept for their memory.
    answers: Vec<(Reply, Bytes)>,
    reads: Vec<ReadTask>,
}

impl Applier {
    /// `machine` has applied nothing yet.
    pub(crate) fn new(machine: Box<dyn Machine>) -> Self {
        Self { machine, applied: LogPosition::ZERO, answers: Vec::new(), reads: Vec::new() }
    }

    /// What was applied, for tests that look inside.
    #[cfg(test)]
    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// Applies `jobs` in their order, then answers. `None` if there were only reads. On an error every caller of the batch
    /// learns it.
    ///
    /// # Panics
    /// If an entry does not follow the one before it.
    pub(crate) fn turn(&mut self, jobs: Vec<ApplyJob>) -> Result<Option<Applied>, StopCause> {
        let before = self.applied;
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            let taken = match job {
                ApplyJob::Entries { entries, replies } => self.apply_all(&entries, replies),
                ApplyJob::Read(task) => {
                    self.reads.push(task);
                    Ok(())
                }
                ApplyJob::Restore(_) | ApplyJob::Picture => unimplemented!("contract"),
            };
            if let Err(cause) = taken {
                self.stop_batch(jobs, &cause);
                return Err(cause);
            }
        }
        self.answer_batch();
        Ok((self.applied != before).then_some(Applied { through: self.applied, durable: LogPosition::ZERO }))
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

    /// What the user's own code does with a command. Its panic is a cause like any other: everybody who waits learns it.
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
            Err(panic) => Err(StopCause::Panicked {
                thread: "apply".to_owned(),
                message: Arc::from(panic_message(&*panic)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::machine::{Codec, MachineError, SnapshotError, StateMachine, Typed};
    use crate::replica::tests::instant;
    use crate::ticket::{Outcome, Permit, ProposeError, ReadError, Ticket};
    use crate::types::{LogIndex, SnapshotWriter, Term};

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
        Applier::new(Box::new(Typed(Sum(0))))
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
        let applied = applier().turn(jobs).unwrap();

        assert_eq!(applied, Some(Applied { through: LogPosition::new(Term(1), LogIndex(5)) }));
        assert_eq!(second_answer.try_wait().unwrap(), Ok(3));
        assert_eq!(fourth_answer.try_wait().unwrap(), Ok(7));
        assert_eq!(seen.try_wait().unwrap(), Ok(7));
    }

    #[test]
    fn reads_alone_complete_nothing() {
        let (read, seen) = read();

        assert_eq!(applier().turn(vec![read]).unwrap(), None);
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
