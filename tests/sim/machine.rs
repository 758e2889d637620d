//! The state machine of the simulated clusters: registers, and a digest of all commands ever applied, so that two replicas
//! which differ anywhere in their past differ now.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use byteorder::{ByteOrder, LittleEndian};
use parking_lot::Mutex;

use super::shelf::SharedShelf;
use crate::machine::{Codec, DecodeError, Held, MachineError, SnapshotError, StateMachine};
use crate::types::{LogIndex, LogPosition, SnapshotWriter, Term};

/// Names a command for good: no two are alike.
pub(super) type CommandId = u64;

/// What a caller wants done to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    Write(u64),
    /// Write the second if the first stands there.
    Swap(u64, u64),
}

/// A command as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) id: CommandId,
    pub(super) key: u8,
    pub(super) deed: Deed,
    /// Bytes that mean nothing and take room.
    pub(super) padding: u16,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// Where it was applied.
    pub(super) index: LogIndex,
    /// What stood in the register before.
    pub(super) before: u64,
    /// The digest behind it.
    pub(super) digest: u64,
}

/// What a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saw {
    /// The last entry that was applied.
    pub(super) index: LogIndex,
    pub(super) value: u64,
}

/// What a replica's machine has done since somebody looked last.
pub(super) type Tape = Arc<Mutex<Vec<(LogPosition, CommandId, Done)>>>;

/// The state itself: what a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: BTreeMap<u8, u64>,
    pub(super) applied: LogPosition,
    pub(super) digest: u64,
    /// How many commands it has seen: its snapshots grow with it.
    pub(super) count: u64,
}

impl State {
    pub(super) fn apply(&mut self, at: LogPosition, command: &Command) -> Done {
        let register = self.registers.entry(command.key).or_default();
        let before = *register;
        match command.deed {
            Deed::Write(value) => *register = value,
            Deed::Swap(expected, value) if before == expected => *register = value,
            Deed::Swap(..) => {}
        }
        self.applied = at;
        self.count += 1;
        self.digest = (self.digest ^ command.id ^ at.index.0.rotate_left(32))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(23);
        Done { index: at.index, before, digest: self.digest }
    }

    pub(super) fn value(&self, key: u8) -> u64 {
        self.registers.get(&key).copied().unwrap_or(0)
    }
}

/// A state that tells what happens to it.
pub(super) struct Registers {
    state: State,
    tape: Tape,
    /// What a snapshot carries besides, per command: so that some travel in many pieces.
    ballast: usize,
    /// Where it keeps its state, if not in memory.
    shelf: Option<SharedShelf>,
}

impl Registers {
    pub(super) fn new(tape: Tape, ballast: usize) -> Self {
        Self { state: State::default(), tape, ballast, shelf: None }
    }

    /// One that finds on `shelf` what it had stored.
    pub(super) fn on(shelf: &SharedShelf, tape: Tape, ballast: usize) -> Self {
        let state = shelf.lock().newest().0.clone();
        Self { state, tape, ballast, shelf: Some(Arc::clone(shelf)) }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn read(&self, key: u8) -> Saw {
        Saw { index: self.state.applied.index, value: self.state.value(key) }
    }
}

const BALLAST_BYTES_MAX: usize = 300 << 10;

impl StateMachine for Registers {
    type Command = Command;
    type Query = ();
    type Response = Done;

    fn apply(&mut self, at: LogPosition, command: Command) -> Done {
        let done = self.state.apply(at, &command);
        self.tape.lock().push((at, command.id, done));
        done
    }

    fn query(&self, (): ()) -> Done {
        Done { index: self.state.applied.index, before: 0, digest: self.state.digest }
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let state = self.state.clone();
        let ballast = (self.ballast * state.count as usize).min(BALLAST_BYTES_MAX);
        Ok(Box::new(move |out| {
            out.write_all(&encode_state(&state))?;
            out.write_all(&vec![state.digest as u8; ballast])
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        self.state = decode_state(&bytes).ok_or_else(|| MachineError::new("no state begins so"))?;
        // What is damaged never gets here: it is the snapshots' own checksums that tell.
        let is_whole = ballast_of(&bytes, &self.state).iter().all(|byte| *byte == self.state.digest as u8);
        assert!(is_whole, "a snapshot was believed that holds other bytes than were written");
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        self.shelf.as_ref().map(|shelf| shelf.lock().newest().1.clone())
    }

    fn end_batch(&mut self, position: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        if let Some(shelf) = &self.shelf {
            shelf.lock().store(self.state.clone(), Held { position, sidecar: sidecar.to_vec() });
        }
        Ok(())
    }

    fn durable(&self, applied: LogPosition) -> LogPosition {
        self.shelf.as_ref().map_or(applied, |shelf| shelf.lock().durable())
    }
}

fn encode_state(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let registers = state.registers.iter().flat_map(|(&key, &value)| [u64::from(key), value]);
    let head = [state.applied.term.0, state.applied.index.0, state.digest, state.count];
    let count = state.registers.len() as u64;
    for number in head.into_iter().chain([count]).chain(registers) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn ballast_of<'a>(bytes: &'a [u8], state: &State) -> &'a [u8] {
    &bytes[8 * (5 + 2 * state.registers.len())..]
}

fn decode_state(bytes: &[u8]) -> Option<State> {
    let mut numbers = bytes.chunks_exact(8).map(LittleEndian::read_u64);
    let (term, index) = (Term(numbers.next()?), LogIndex(numbers.next()?));
    let (digest, count, registers) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let mut state = State { applied: LogPosition::new(term, index), digest, count, ..State::default() };
    for _ in 0..registers {
        let (key, value) = (numbers.next()?, numbers.next()?);
        state.registers.insert(key as u8, value);
    }
    Some(state)
}

impl Codec for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, first, second) = match self.deed {
            Deed::Write(value) => (0, value, 0),
            Deed::Swap(expected, value) => (1, expected, value),
        };
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&[self.key, kind]);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        out.resize(out.len() + usize::from(self.padding), self.key);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((head, padding)) = bytes.split_at_checked(26) else {
            return Err(DecodeError::new("too short for a command"));
        };
        let number = |at: usize| LittleEndian::read_u64(&head[at..]);
        let deed = match head[9] {
            0 => Deed::Write(number(10)),
            1 => Deed::Swap(number(10), number(18)),
            _ => return Err(DecodeError::new("no such deed")),
        };
        Ok(Self { id: number(0), key: head[8], deed, padding: padding.len() as u16 })
    }
}

impl Codec for Done {
    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.index.0, self.before, self.digest] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() != 24 {
            return Err(DecodeError::new("an answer is three numbers"));
        }
        let number = |at: usize| LittleEndian::read_u64(&bytes[at..]);
        Ok(Self { index: LogIndex(number(0)), before: number(8), digest: number(16) })
    }
}
