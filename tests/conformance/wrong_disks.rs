//! A state machine that keeps its state on disk, and what it can do wrong.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use quorate::testing::machine::Suite;
use quorate::types::{LogIndex, LogPosition, Term};
use quorate::{Held, MachineError, SnapshotError, SnapshotWriter, StateMachine};

use crate::require_caught;

#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    DropsTheSidecar,
    CutsTheSidecar,
    StoresBeforeTheBatchEnds,
    StoresThePositionAlone,
    PromisesTooMuch,
    ForgetsWhatItRestored,
    IsOfTheMemory,
}

use Wrong::*;

#[test]
fn each_wrong_machine_on_disk_is_caught_by_the_clause_it_breaks() {
    suite(Nothing).check();
    for (wrong, clause) in [
        (DropsTheSidecar, "State, position and sidecar are stored together"),
        (CutsTheSidecar, "State, position and sidecar are stored together"),
        (StoresBeforeTheBatchEnds, "What was applied and not ended is as if it had never been"),
        (StoresThePositionAlone, "State, position and sidecar are stored together"),
        (PromisesTooMuch, "What is durable is never more than what was applied"),
        (ForgetsWhatItRestored, "A restored snapshot, and its position, are there"),
        (IsOfTheMemory, "A blank machine on disk holds nothing"),
    ] {
        require_caught(suite(wrong).verify(), clause);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let in_memory = Suite::new(move || open(dir.path(), Nothing)).commands(1..9);
    require_caught(in_memory.verify(), "A machine in memory holds nothing when it starts");
}

fn suite(wrong: Wrong) -> Suite<Adder> {
    let place = move || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        move || open(dir.path(), wrong)
    };
    Suite::on_disk(place).commands((0..10).map(|n| n * n)).queries([()])
}

/// A sum, in a file that is replaced as a whole.
struct Adder {
    path: PathBuf,
    wrong: Wrong,
    total: u64,
    restored: bool,
    held: Held,
}

fn open(dir: &Path, wrong: Wrong) -> Adder {
    let path = dir.join("total");
    let bytes = fs::read(&path).unwrap_or_else(|_| vec![0; 24]);
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let position = LogPosition::new(Term(word(8)), LogIndex(word(16)));
    Adder {
        path,
        wrong,
        total: word(0),
        restored: false,
        held: Held { position, sidecar: bytes[24..].to_vec() },
    }
}

impl Adder {
    fn store(&self, position: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        let total = if self.wrong == StoresThePositionAlone { 0 } else { self.total };
        let words = [total, position.term.0, position.index.0].map(u64::to_le_bytes).concat();
        fs::write(self.path.with_extension("new"), [&words[..], sidecar].concat())?;
        Ok(fs::rename(self.path.with_extension("new"), &self.path)?)
    }
}

impl StateMachine for Adder {
    type Command = u64;
    type Query = ();
    type Response = u64;

    fn apply(&mut self, _: LogPosition, add: u64) -> u64 {
        self.total += add;
        if self.wrong == StoresBeforeTheBatchEnds {
            self.store(self.held.position, &self.held.sidecar).expect("stored");
        }
        self.total
    }

    fn query(&self, (): ()) -> u64 {
        self.total
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let total = self.total;
        Ok(Box::new(move |out| out.write_all(&total.to_le_bytes())))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut total = [0; 8];
        snapshot.read_exact(&mut total)?;
        (self.total, self.restored) = (u64::from_le_bytes(total), true);
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        (self.wrong != IsOfTheMemory).then(|| self.held.clone())
    }

    fn end_batch(&mut self, through: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        let sidecar = match self.wrong {
            DropsTheSidecar => &[],
            CutsTheSidecar => &sidecar[..sidecar.len().min(4096)],
            _ => sidecar,
        };
        self.held = Held { position: through, sidecar: sidecar.to_vec() };
        if self.wrong == ForgetsWhatItRestored && self.restored {
            return Ok(());
        }
        self.store(through, sidecar)
    }

    fn durable(&self, applied: LogPosition) -> LogPosition {
        let too_much = LogPosition::new(applied.term, applied.index.next());
        if self.wrong == PromisesTooMuch { too_much } else { applied }
    }
}
