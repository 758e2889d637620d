//! Tables of sessions that somebody else has written, and entries that somebody else has put into the log.

use std::collections::BTreeSet;
use std::io::Read;

use super::input::Input;
use crate::machine::{
    Envelope, Held, Machine, MachineError, Sessions, SnapshotError, StateMachine, seal_close,
    seal_in_session, seal_open, seal_plain, sealed_section, sealed_sidecar,
};
use crate::types::{LogIndex, LogPosition, SessionTag, SnapshotWriter, Term};

/// Counts what it executes. Everything is a command.
struct Counter {
    executed: u64,
    /// What it found on its disk, and what was stored there last.
    held: Option<Held>,
}

impl StateMachine for Counter {
    type Command = Vec<u8>;
    type Query = ();
    type Response = Vec<u8>;

    fn apply(&mut self, _at: LogPosition, mut command: Vec<u8>) -> Vec<u8> {
        self.executed += 1;
        command.push(self.executed as u8);
        command
    }

    fn query(&self, (): ()) -> Vec<u8> {
        Vec::new()
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn Read) -> Result<(), MachineError> {
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        self.held.clone()
    }

    fn end_batch(&mut self, position: LogPosition, sidecar: &[u8]) -> Result<(), MachineError> {
        if let Some(held) = &mut self.held {
            *held = Held { position, sidecar: sidecar.to_vec() };
        }
        Ok(())
    }
}

/// A table of anything, in front of a snapshot or in a sidecar, is refused or is the one that would be written. Behind it
/// entries of anything are refused or obeyed: no command of a session is executed twice, and the table stays in order.
///
/// One byte: bit 0, whether the checksums are made right; bit 1, whether it is a sidecar. Four bytes: the index at which the
/// table stands. Two: its length, and the table; then entries, each behind a byte with its length.
pub fn session_table(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.u8();
    let position = at(1 + u64::from(input.u32()));
    let length = usize::from(input.u16());
    let table = input.bytes(length);
    let begun = if flags & 2 == 0 {
        from_snapshot(table, flags & 1 != 0, position)
    } else {
        from_sidecar(table, flags & 1 != 0, position)
    };
    let Some(mut machine) = begun else { return };
    machine.assert_consistent();
    let mut executed = BTreeSet::new();
    let mut index = position.index;
    while !input.is_empty() {
        index = index.next();
        let length = usize::from(input.u8());
        let entry = input.bytes(length);
        let before = machine.user().executed;
        let Ok(envelope) = Envelope::open(entry) else {
            assert!(machine.apply(at(index.0), entry, false).is_err(), "what cannot be opened is applied");
            return;
        };
        assert_eq!(sealed_again(envelope), entry, "an entry is not what we would write");
        let response = machine.apply(at(index.0), entry, true);
        assert!(response.is_ok_and(|response| response.is_some()), "everything is a command");
        machine.assert_consistent();
        if let (Envelope::InSession(SessionTag { session, sequence, .. }, _), true) =
            (envelope, machine.user().executed > before)
        {
            assert!(executed.insert((session, sequence)), "a command is executed twice");
        }
    }
    let snapshot = snapshot_of(&machine);
    let mut other = Sessions::new(Counter { executed: 0, held: None }).expect("a blank one");
    other.restore(&mut &snapshot[..]).expect("our own snapshot");
    assert_eq!(snapshot_of(&other), snapshot);
    machine.end_batch(at(index.0)).expect("our own table");
}

fn from_snapshot(table: &[u8], is_sealed: bool, position: LogPosition) -> Option<Sessions<Counter>> {
    let section = if is_sealed { sealed_section(table) } else { table.to_vec() };
    let mut machine = Sessions::new(Counter { executed: 0, held: None }).expect("a blank one");
    let mut rest = &section[..];
    machine.restore(&mut rest).ok()?;
    let taken = &section[..section.len() - rest.len()];
    assert_eq!(snapshot_of(&machine), taken, "a table is not what we would write");
    machine.end_batch(position).ok()?;
    Some(machine)
}

fn from_sidecar(table: &[u8], is_sealed: bool, position: LogPosition) -> Option<Sessions<Counter>> {
    let sidecar = if is_sealed { sealed_sidecar(table, position) } else { table.to_vec() };
    let held = Held { position, sidecar: sidecar.clone() };
    let mut machine = Sessions::new(Counter { executed: 0, held: Some(held) }).ok()?;
    machine.end_batch(position).expect("it was taken");
    let stored = machine.user().held.as_ref().map(|held| &held.sidecar);
    assert_eq!(stored, Some(&sidecar), "a sidecar is not what we would write");
    Some(machine)
}

fn snapshot_of(machine: &Sessions<Counter>) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.snapshot().expect("a picture")(&mut bytes).expect("a vector takes all");
    bytes
}

fn sealed_again(envelope: Envelope<'_>) -> bytes::Bytes {
    match envelope {
        Envelope::Plain(command) => seal_plain(|out| out.extend_from_slice(command)),
        Envelope::Open(bounds) => seal_open(bounds),
        Envelope::InSession(tag, command) => seal_in_session(tag, |out| out.extend_from_slice(command)),
        Envelope::Close(session) => seal_close(session),
    }
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), LogIndex(index))
}
