//! Machines with a disk of their own, pictures, and snapshots that take a state's place.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::spawn;

use super::{TestSnapshots, at};
use crate::machine::{Codec, Held, MachineError, SnapshotError, StateMachine, Typed};
use crate::replica::tests::instant;
use crate::replica::{Applied, ApplyJob, Event, PendingReply};
use crate::ticket::{Gate, Outcome, Permit, ProposeError, ReadError, ReadTask, Reply, StopCause, Ticket};
use crate::types::{Entry, EntryRun, LogIndex, LogPosition, Payload, SnapshotMeta, SnapshotWriter, Term};
use crate::workers::Applier;

/// Adds up, and keeps the sum in a file.
struct Ledger {
    path: PathBuf,
    sum: u64,
    held: LogPosition,
    trouble: Trouble,
}

/// What goes wrong in a machine.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    Never,
    SnapshotFails,
    SnapshotPanics,
    EndOfBatchFails,
    EndOfBatchPanics,
    RestoreFails,
    RestorePanics,
    /// It reads for as long as there is anything to read.
    RestoreNeverEnds,
    /// It is slow to sync: what it would hold after a crash is the entry before.
    SyncsLate,
}

impl Ledger {
    /// What the file says; a new one is empty.
    fn open(directory: &Path) -> Self {
        let path = directory.join("ledger");
        let numbers = fs::read(&path).unwrap_or_else(|_| vec![0; 24]);
        let number = |nth: usize| u64::decode(&numbers[nth * 8..][..8]).unwrap();
        let held = LogPosition::new(Term(number(0)), LogIndex(number(1)));
        Self { path, sum: number(2), held, trouble: Trouble::Never }
    }

    fn troubled(self, trouble: Trouble) -> Self {
        Self { trouble, ..self }
    }
}

impl StateMachine for Ledger {
    type Command = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _at: LogPosition, add: u64) -> u64 {
        self.sum += add;
        self.sum
    }

    fn query(&self, (): ()) -> u64 {
        self.sum
    }

    /// Shows what the file holds now.
    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        match self.trouble {
            Trouble::SnapshotFails => Err(SnapshotError { reason: "no ink".to_owned() }),
            Trouble::SnapshotPanics => panic!("no light"),
            _ => {
                let sum = Self::open(self.path.parent().unwrap()).sum;
                Ok(Box::new(move |out| out.write_all(&sum.to_le_bytes())))
            }
        }
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        match self.trouble {
            Trouble::RestoreFails => return Err(MachineError { reason: "no paper".to_owned() }),
            Trouble::RestorePanics => panic!("no hands"),
            Trouble::RestoreNeverEnds => while snapshot.read(&mut [0])? <= 1 {},
            _ => {}
        }
        let mut sum = [0; 8];
        snapshot.read_exact(&mut sum)?;
        self.sum = u64::from_le_bytes(sum);
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        Some(Held { position: self.held, sidecar: Vec::new() })
    }

    fn end_batch(&mut self, through: LogPosition, _sidecar: &[u8]) -> Result<(), MachineError> {
        match self.trouble {
            Trouble::EndOfBatchFails => return Err(MachineError { reason: "no room".to_owned() }),
            Trouble::EndOfBatchPanics => panic!("no time"),
            _ => {}
        }
        let numbers = [through.term.0, through.index.0, self.sum].map(u64::to_le_bytes);
        fs::write(&self.path, numbers.concat())?;
        Ok(())
    }

    fn durable(&self, applied: LogPosition) -> LogPosition {
        match self.trouble {
            Trouble::SyncsLate => LogPosition::new(applied.term, applied.index.prev()),
            _ => applied,
        }
    }
}

fn applier_of(ledger: Ledger, snapshots: &TestSnapshots) -> Applier {
    let held = ledger.held;
    Applier::new(Box::new(Typed(ledger)), Box::new(snapshots.clone()), held)
}

fn sum(applier: &Applier) -> u64 {
    applier.machine().as_any().downcast_ref::<Ledger>().unwrap().sum
}

/// Entries from `first` on that add these numbers.
fn adds(first: u64, numbers: &[u64]) -> ApplyJob {
    adds_for(first, numbers, Vec::new())
}

fn adds_for(first: u64, numbers: &[u64], replies: Vec<PendingReply>) -> ApplyJob {
    let entry = |(index, number): (u64, &u64)| Entry {
        position: at(index),
        payload: Payload::Normal { origin: None, command: number.to_le_bytes().to_vec().into() },
    };
    let run = EntryRun::new((first..).zip(numbers).map(entry).collect());
    ApplyJob::Entries { entries: run.into_iter().collect(), replies }
}

fn caller_of(index: u64) -> (PendingReply, Ticket<u64, ProposeError>) {
    let (reply, ticket) =
        Reply::pair(Permit::free(), instant(), |response| Ok(u64::decode(response).unwrap()));
    assert!(reply.take());
    (PendingReply { index: LogIndex(index), reply }, ticket)
}

fn read() -> (ApplyJob, Ticket<u64, ReadError>) {
    let (task, ticket) = ReadTask::pair(Permit::free(), instant(), |ledger: &Ledger| ledger.sum);
    (ApplyJob::Read(task), ticket)
}

/// What a picture in `events` shows, or why there is none; and after which entry it was taken.
fn pictured(event: Event) -> (u64, Result<u64, String>) {
    let Event::Pictured(pictured) = event else { panic!("no picture: {event:?}") };
    let shown = pictured.writer.map(|writer| {
        let mut file = Vec::new();
        writer(&mut file).unwrap();
        u64::decode(&file).unwrap()
    });
    (pictured.position.index.0, shown)
}

fn applied(event: &Event) -> Applied {
    let Event::Applied(applied) = event else { panic!("no batch: {event:?}") };
    *applied
}

/// Snapshots that hold one of entry 9, at which the sum was 900.
fn snapshot_of_nine_hundred() -> (TestSnapshots, SnapshotMeta) {
    TestSnapshots::holding(&900_u64.to_le_bytes(), at(9))
}

#[test]
fn a_machine_on_disk_applies_after_a_restart_only_what_it_does_not_hold() {
    let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
    let mut applier = applier_of(Ledger::open(disk.path()), &snapshots);
    let events = applier.turn(vec![adds(1, &[1, 2]), adds(3, &[4])]).unwrap();
    assert_eq!(applied(&events[0]), Applied { through: at(3), durable: at(3) });
    drop(applier);

    let ledger = Ledger::open(disk.path());
    assert_eq!(ledger.applied().unwrap().position, at(3));
    let mut applier = applier_of(ledger, &snapshots);
    applier.turn(vec![adds(4, &[8])]).unwrap();

    assert_eq!(sum(&applier), 15);
}

#[test]
#[should_panic(expected = "skipped or repeated")]
fn what_a_machine_holds_is_never_applied_to_it_again() {
    let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
    applier_of(Ledger::open(disk.path()), &snapshots).turn(vec![adds(1, &[1, 2])]).unwrap();

    let _ = applier_of(Ledger::open(disk.path()), &snapshots).turn(vec![adds(2, &[2])]);
}

#[test]
fn a_machine_that_syncs_late_says_so_and_one_in_memory_holds_nothing() {
    let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
    let ledger = Ledger::open(disk.path()).troubled(Trouble::SyncsLate);
    let events = applier_of(ledger, &snapshots).turn(vec![adds(1, &[1, 2])]).unwrap();
    assert_eq!(applied(&events[0]), Applied { through: at(2), durable: at(1) });

    let in_memory = Box::new(Typed(Forgetful));
    let mut applier = Applier::new(in_memory, Box::new(snapshots), LogPosition::ZERO);
    let events = applier.turn(vec![adds(1, &[1, 2])]).unwrap();
    assert_eq!(applied(&events[0]), Applied { through: at(2), durable: LogPosition::ZERO });
}

/// Keeps nothing.
struct Forgetful;

impl StateMachine for Forgetful {
    type Command = u64;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: LogPosition, _command: u64) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }
}

#[test]
fn a_picture_in_the_middle_of_a_batch_shows_what_was_applied_and_held_before_it() {
    let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
    let mut applier = applier_of(Ledger::open(disk.path()), &snapshots);
    let (caller, answer) = caller_of(4);

    let jobs = vec![adds(1, &[1, 2]), ApplyJob::Picture, adds_for(3, &[4, 8], vec![caller])];
    let mut events = applier.turn(jobs).unwrap();

    assert_eq!(applied(&events.remove(0)).through, at(2));
    assert_eq!(pictured(events.remove(0)), (2, Ok(3)));
    assert_eq!(applied(&events.remove(0)).through, at(4));
    assert!(events.is_empty());
    assert_eq!(answer.try_wait().unwrap(), Ok(15));
}

#[test]
fn a_picture_that_cannot_be_taken_is_reported_and_stops_nobody() {
    for (trouble, why) in [(Trouble::SnapshotFails, "no ink"), (Trouble::SnapshotPanics, "no light")] {
        let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
        let mut applier = applier_of(Ledger::open(disk.path()).troubled(trouble), &snapshots);

        let mut events = applier.turn(vec![adds(1, &[1]), ApplyJob::Picture, adds(2, &[2])]).unwrap();

        let (index, shown) = pictured(events.remove(1));
        assert!(index == 1 && shown.unwrap_err().contains(why));
        assert_eq!(sum(&applier), 3);
    }
}

#[test]
fn a_snapshot_takes_the_place_of_the_state_and_the_log_goes_on_behind_it() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();
    let mut applier = applier_of(Ledger::open(disk.path()), &snapshots);
    let (read, seen) = read();

    let jobs = vec![adds(1, &[1, 2]), ApplyJob::Restore(snapshot), adds(10, &[5]), read];
    let events = applier.turn(jobs).unwrap();

    let through: Vec<_> = events.iter().map(|event| applied(event).through).collect();
    assert_eq!(through, [at(2), at(9), at(10)]);
    assert_eq!(seen.try_wait().unwrap(), Ok(905));
    let ledger = Ledger::open(disk.path());
    assert_eq!((ledger.held, ledger.sum), (at(10), 905));
}

#[test]
fn a_restored_machine_on_disk_holds_the_snapshot_before_anything_follows() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();

    let events =
        applier_of(Ledger::open(disk.path()), &snapshots).turn(vec![ApplyJob::Restore(snapshot)]).unwrap();

    assert_eq!(applied(&events[0]), Applied { through: at(9), durable: at(9) });
    let ledger = Ledger::open(disk.path());
    assert_eq!((ledger.held, ledger.sum), (at(9), 900));
}

#[test]
#[should_panic(expected = "takes the state machine back")]
fn a_snapshot_never_takes_a_state_back() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();

    let jobs = vec![adds(1, &[1; 9]), ApplyJob::Restore(snapshot)];
    let _ = applier_of(Ledger::open(disk.path()), &snapshots).turn(jobs);
}

#[test]
fn a_snapshot_that_has_rotted_stops_the_node_and_the_machine_on_disk_still_holds_what_it_held() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();
    snapshots.rot(snapshot.id, 10);
    let (read, seen) = read();

    let jobs = vec![adds(1, &[1, 2]), ApplyJob::Restore(snapshot), read];
    let cause = applier_of(Ledger::open(disk.path()), &snapshots).turn(jobs).unwrap_err();

    assert!(matches!(cause, StopCause::Snapshot { position, .. } if position == at(9)), "{cause}");
    assert!(cause.to_string().contains("checksum"), "{cause}");
    assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause }));
    let ledger = Ledger::open(disk.path());
    assert_eq!((ledger.held, ledger.sum), (at(2), 3));
}

#[test]
fn a_snapshot_that_is_not_there_stops_the_node() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();
    snapshots.remove(snapshot.id);

    let jobs = vec![ApplyJob::Restore(snapshot)];
    let cause = applier_of(Ledger::open(disk.path()), &snapshots).turn(jobs).unwrap_err();

    assert!(matches!(cause, StopCause::Snapshot { .. }), "{cause}");
}

#[test]
fn a_machine_that_fails_to_restore_or_to_store_stops_the_node_and_says_why() {
    for (trouble, why) in [
        (Trouble::RestoreFails, "no paper"),
        (Trouble::RestorePanics, "no hands"),
        (Trouble::EndOfBatchFails, "no room"),
        (Trouble::EndOfBatchPanics, "no time"),
    ] {
        let disk = tempfile::tempdir().unwrap();
        let (snapshots, snapshot) = snapshot_of_nine_hundred();
        let ledger = Ledger::open(disk.path()).troubled(trouble);

        let cause = applier_of(ledger, &snapshots).turn(vec![ApplyJob::Restore(snapshot)]).unwrap_err();

        assert!(cause.to_string().contains(why), "{cause}");
        let panics = matches!(trouble, Trouble::RestorePanics | Trouble::EndOfBatchPanics);
        assert_eq!(panics, matches!(cause, StopCause::Panicked { .. }), "{cause}");
        assert_eq!(!panics, matches!(cause, StopCause::Machine { .. }), "{cause}");
    }
}

#[test]
fn a_restore_under_way_does_not_hold_up_a_node_that_stops() {
    let disk = tempfile::tempdir().unwrap();
    let (snapshots, snapshot) = snapshot_of_nine_hundred();
    let gate = Arc::new(Gate::new(1, 1));
    let ledger = Ledger::open(disk.path()).troubled(Trouble::RestoreNeverEnds);
    let mut applier = applier_of(ledger, &snapshots).until_stopped(Arc::clone(&gate));
    let (read, seen) = read();

    let (ended, end) = channel();
    let restoring = spawn(move || ended.send(applier.turn(vec![ApplyJob::Restore(snapshot), read])));
    gate.stop(StopCause::Shutdown);

    assert_eq!(end.recv().unwrap().unwrap_err(), StopCause::Shutdown);
    assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause: StopCause::Shutdown }));
    restoring.join().unwrap().unwrap();
    assert_eq!(Ledger::open(disk.path()).held, LogPosition::ZERO, "the next start restores it again");
}

#[test]
fn nobody_is_answered_for_a_batch_that_the_machine_could_not_store() {
    let (disk, snapshots) = (tempfile::tempdir().unwrap(), TestSnapshots::default());
    let ledger = Ledger::open(disk.path()).troubled(Trouble::EndOfBatchFails);
    let (caller, answer) = caller_of(1);
    let (read, seen) = read();

    let jobs = vec![adds_for(1, &[1], vec![caller]), read];
    let cause = applier_of(ledger, &snapshots).turn(jobs).unwrap_err();

    let stopped = ProposeError::Stopped { cause: cause.clone(), outcome: Outcome::Unknown };
    assert_eq!(answer.try_wait().unwrap(), Err(stopped));
    assert_eq!(seen.try_wait().unwrap(), Err(ReadError::Stopped { cause }));
}
