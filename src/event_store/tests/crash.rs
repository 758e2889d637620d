//! Power fails at any moment, and a batch is there as a whole or comes again.
//!
//! The database lies on a disk that keeps what was synced, and of what was not any part: each write whole, cut at a sector,
//! or not at all. After the crash the machine must hold exactly what it held after some batch, not before the one that it
//! called durable; and the log behind that, applied again, must be answered as it was, and lead to the same state.
//!
//! `QUORATE_CRASH_SEEDS=64 cargo test --release --all-features --lib event_store::tests::crash` looks at more moments.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use redb::{Builder, StorageBackend};

use super::model::{Model, Step, steps};
use super::subject::position;
use crate::event_store::{Command, EventMachine, Response, rows};
use crate::machine::StateMachine;
use crate::types::LogPosition;

/// A disk that loses power at its `fails_at`th operation.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What is safe.
    synced: Vec<u8>,
    /// What a process sees.
    seen: Vec<u8>,
    unsynced: Vec<Write>,
    operations: u64,
    fails_at: Option<u64>,
    chance: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Disk {
    fn that_fails_at(operation: u64, chance: u64) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            fails_at: Some(operation),
            chance: chance | 1,
            ..Platter::default()
        })))
    }

    /// The disk as it is found when power is back.
    fn after_the_crash(&self) -> Self {
        let mut platter = self.0.lock();
        let mut image = platter.synced.clone();
        for write in std::mem::take(&mut platter.unsynced) {
            let luck = platter.draw();
            match write {
                Write::Length(length) if luck.is_multiple_of(2) => image.resize(length, 0),
                Write::Bytes(at, bytes) if !luck.is_multiple_of(3) => {
                    let sectors = bytes.len().div_ceil(SECTOR_BYTES) as u64;
                    let kept = if luck % 3 == 1 { sectors } else { luck / 3 % sectors };
                    let kept = (kept as usize * SECTOR_BYTES).min(bytes.len());
                    image.resize(image.len().max(at + kept), 0);
                    image[at..at + kept].copy_from_slice(&bytes[..kept]);
                }
                _ => {}
            }
        }
        Self(Arc::new(Mutex::new(Platter { synced: image.clone(), seen: image, ..Platter::default() })))
    }
}

const SECTOR_BYTES: usize = 512;

impl Platter {
    fn draw(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fails_at {
            Some(at) if self.operations >= at => Err(io::Error::other("power failed")),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock();
        let offset = offset as usize;
        let there = platter.seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.operate()?;
        platter.seen.resize(length as usize, 0);
        platter.unsynced.push(Write::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.operate()?;
        platter.synced = platter.seen.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock();
        // Of the write in which power fails something may reach the disk, too.
        platter.unsynced.push(Write::Bytes(offset as usize, data.to_vec()));
        platter.operate()?;
        platter.seen[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// The machine on this disk; none if power fails first, or failed before the first commit.
fn open(disk: &Disk, layer_bytes: u64) -> Option<EventMachine> {
    let database = Builder::new().set_cache_size(1 << 20).create_with_backend(disk.clone()).ok()?;
    let held = rows::begin(&database).ok()?.expect("a store of this version");
    EventMachine::on(database, held, layer_bytes, None).ok()
}

/// A log: commands, where batches of them end, what each is answered, and the state behind each.
struct History {
    commands: Vec<Command>,
    responses: Vec<Response>,
    states: Vec<Model>,
    batch_ends: Vec<usize>,
}

impl History {
    /// A random one; the same for the same seed.
    fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut history =
            Self { commands: vec![], responses: vec![], states: vec![Model::default()], batch_ends: vec![0] };
        while history.commands.len() < 60 {
            for step in steps(90).new_tree(&mut runner).expect("steps").current() {
                history.take(&step);
            }
        }
        history.batch_ends.push(history.commands.len());
        history
    }

    fn take(&mut self, step: &Step) {
        let (mut state, index) =
            (self.states.last().expect("a state").clone(), self.commands.len() as u64 + 1);
        match step.command(&state, index) {
            Some(command) => {
                self.responses.push(state.apply(index, &command));
                self.commands.push(command);
                self.states.push(state);
            }
            None => self.batch_ends.push(self.commands.len()),
        }
    }

    /// Applies the commands behind the first `from`, as far as the disk goes: what was durable when it failed.
    fn apply(&self, machine: &mut EventMachine, from: usize, takes_pictures: bool) -> LogPosition {
        for at in from..self.commands.len() {
            let response = machine.apply(position(at as u64 + 1), self.commands[at].clone());
            if !matches!(response, Response::Failed { .. }) {
                assert_eq!(response, self.responses[at], "command {at} is answered as it always is");
            }
            if !self.batch_ends.contains(&(at + 1)) {
                continue;
            }
            let through = position(at as u64 + 1);
            if let Err(error) = machine.end_batch(through, &sidecar(at + 1)) {
                assert!(error.reason.contains("disk failed"), "no damage is suspected: {error}");
                break;
            }
            if takes_pictures && at % 5 == 0 {
                drop(machine.snapshot());
            }
        }
        machine.durable(position(self.commands.len() as u64))
    }
}

fn sidecar(count: usize) -> Vec<u8> {
    if count == 0 { Vec::new() } else { format!("behind {count}").into_bytes() }
}

/// Whether power failed before the end; the machine that was found behind it has done all the same.
fn crash_at(history: &History, operation: u64, chance: u64, layer_bytes: u64) -> bool {
    let disk = Disk::that_fails_at(operation, chance);
    let mut durable = LogPosition::ZERO;
    if let Some(mut machine) = open(&disk, layer_bytes) {
        durable = history.apply(&mut machine, 0, chance.is_multiple_of(2));
    }
    let has_failed = disk.0.lock().operations >= operation;
    let disk = disk.after_the_crash();
    let mut machine = open(&disk, layer_bytes).unwrap_or_else(|| {
        // Power failed while the file was made: such a one is set aside.
        assert_eq!(durable, LogPosition::ZERO, "what was durable cannot be opened");
        open(&Disk::default(), layer_bytes).expect("a blank store")
    });
    let held = machine.applied().expect("a machine on disk");
    assert!(held.position >= durable, "{durable} was durable, and {} is held", held.position);
    let count = held.position.index.0 as usize;
    assert!(history.batch_ends.contains(&count), "it holds {count} commands, where no batch ended");
    assert_eq!((held.position, held.sidecar), (position(count as u64), sidecar(count)));
    history.states[count].require_same(&machine.view());

    history.apply(&mut machine, count, false);
    history.states.last().expect("a state").require_same(&machine.view());
    has_failed
}

#[test]
fn after_a_crash_at_any_moment_a_batch_is_there_as_a_whole_or_comes_again() {
    let seeds = std::env::var("QUORATE_CRASH_SEEDS").map_or(2, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        let history = History::of(seed);
        // Each batch is settled alone, or some together.
        for layer_bytes in [1, 4000] {
            let mut operation = 1 + seed % 7;
            while crash_at(&history, operation, seed * 1000 + operation, layer_bytes) {
                operation += 1 + operation / 16 + seed % 3;
            }
            assert!(operation > 50, "power failed never: {operation} operations");
        }
    }
}
