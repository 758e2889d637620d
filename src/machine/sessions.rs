//! Exactly once: the user's state machine with a table of sessions in front of it (thesis §6.3).
//!
//! A command outside of any session goes through as it is. One that belongs to a session is executed when its number is
//! new; else it gets the response of the first time. The table ([`table`]) is a part of the replicated state: it travels in
//! front of the user's bytes in every snapshot and, for a machine on disk, in the sidecar that it stores with its position
//! ([`form`]).

mod form;
#[cfg(test)]
mod model;
mod response;
mod table;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::io::Read;

use bytes::Bytes;

#[cfg(any(test, fuzzing))]
pub(crate) use self::form::{sealed_section, sealed_sidecar};
#[cfg(test)]
pub(crate) use self::model::{Model, ModelMachine};
use self::response::ANSWERED;
pub(crate) use self::response::{NoResponse, Refusal, session_response};
use self::table::{Table, Verdict};
use super::envelope::behind;
use super::{Codec, DecodeError, Envelope, Held, Machine, MachineError, SnapshotError, StateMachine, Typed};
use crate::planted::{Bug, planted};
use crate::types::{LogPosition, SessionId, SessionTag, SnapshotWriter};

/// The user's machine and its sessions.
pub(crate) struct Sessions<S> {
    machine: Typed<S>,
    table: Table,
    /// For a machine on disk.
    sidecar: Option<Sidecar>,
    /// The table is that of a snapshot whose position is not known yet.
    is_restored: bool,
}

/// The table as a machine on disk stores it. Most batches do not change it.
struct Sidecar {
    bytes: Vec<u8>,
    section_bytes: usize,
    is_current: bool,
}

impl<S: StateMachine> Sessions<S> {
    /// Takes what a machine on disk holds as its beginning. An error if it did not keep what belongs to it.
    pub(crate) fn new(machine: S) -> Result<Self, MachineError> {
        let held = machine.applied();
        let sidecar = held.is_some().then(Sidecar::none);
        let table = match held {
            Some(held) if held.position != LogPosition::ZERO && !planted(Bug::ForgetsSidecars) => {
                form::open_sidecar(&held.sidecar, held.position)?
            }
            _ => Table::new(),
        };
        Ok(Self { machine: Typed(machine), table, sidecar, is_restored: false })
    }

    /// A command in a session: executed if it is new.
    fn apply_once(
        &mut self,
        at: LogPosition,
        tag: SessionTag,
        command: &[u8],
        somebody_waits: bool,
    ) -> Result<Bytes, DecodeError> {
        if somebody_waits || !planted(Bug::CountsLocalUse) {
            self.table.touch(at.index, tag.session);
        }
        if let Verdict::Respond(response) = self.table.judge(tag) {
            return Ok(response);
        }
        let answer = self.machine.execute(at, command)?;
        let response = behind(&[ANSWERED], |out| answer.encode(out));
        let is_lost = planted(Bug::KeepsAwaitedAnswers) && !somebody_waits;
        self.table.keep(tag, if is_lost { response::refused(Refusal::Forgotten) } else { response.clone() });
        Ok(response)
    }

    /// # Panics
    /// If the table contradicts itself.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_consistent(&self) {
        self.table.assert_consistent();
    }

    /// The user's machine.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn user(&self) -> &S {
        &self.machine.0
    }

    fn table_changes(&mut self) {
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.is_current = false;
        }
    }
}

impl<S: StateMachine> Machine for Sessions<S> {
    fn apply(
        &mut self,
        at: LogPosition,
        entry: &[u8],
        somebody_waits: bool,
    ) -> Result<Option<Bytes>, DecodeError> {
        let response = match Envelope::open(entry)? {
            Envelope::Plain(command) => return self.machine.apply(at, command, somebody_waits),
            Envelope::InSession(tag, command) => self.apply_once(at, tag, command, somebody_waits)?,
            Envelope::Open(bounds) => {
                let session = self.table.open(at.index, bounds);
                Bytes::copy_from_slice(&session.0.to_le_bytes())
            }
            Envelope::Close(session) => {
                self.table.close(session);
                Bytes::new()
            }
        };
        self.table_changes();
        Ok(somebody_waits.then_some(response))
    }

    fn end_batch(&mut self, through: LogPosition) -> Result<(), MachineError> {
        if std::mem::take(&mut self.is_restored) {
            form::judge_uses(&self.table, through)?;
        }
        let sidecar = self.sidecar.as_mut().map_or(&[][..], |sidecar| sidecar.of(&self.table, through));
        self.machine.0.end_batch(through, sidecar)
    }

    fn snapshot(&self) -> Result<SnapshotWriter, SnapshotError> {
        let write_machine = self.machine.snapshot()?;
        let mut section = Vec::new();
        let nothing = Table::new();
        let is_lost = planted(Bug::SnapshotsForgetSessions);
        form::encode_section(if is_lost { &nothing } else { &self.table }, &mut section);
        Ok(Box::new(move |out| {
            out.write_all(&section)?;
            write_machine(out)
        }))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> Result<(), MachineError> {
        let table = form::read_section(snapshot)?;
        self.machine.restore(snapshot)?;
        (self.table, self.is_restored) = (table, true);
        self.table_changes();
        Ok(())
    }

    fn applied(&self) -> Option<Held> {
        self.machine.applied()
    }

    fn durable(&self, applied: LogPosition) -> LogPosition {
        self.machine.durable(applied)
    }

    fn as_any(&self) -> &dyn Any {
        self.machine.as_any()
    }

    #[cfg(test)]
    fn sessions(&self) -> Model {
        let session = |(id, session): (SessionId, &table::Session)| {
            let kept =
                session.kept().iter().map(|(sequence, response)| (*sequence, response.to_vec())).collect();
            let (last_used, answered_below) = (session.last_used().0, session.answered_below());
            model::ModelSession { id: id.0, last_used, answered_below, kept }
        };
        Model { sessions: self.table.by_use().map(session).collect() }
    }
}

impl Sidecar {
    fn none() -> Self {
        Self { bytes: Vec::new(), section_bytes: 0, is_current: false }
    }

    /// The sidecar that belongs to `position`, where the table is `table`.
    fn of(&mut self, table: &Table, position: LogPosition) -> &[u8] {
        if !self.is_current {
            self.bytes.clear();
            form::encode_section(table, &mut self.bytes);
            (self.section_bytes, self.is_current) = (self.bytes.len(), true);
        }
        form::seal_sidecar(&mut self.bytes, self.section_bytes, position);
        &self.bytes
    }
}

/// Whether `entry` is one that the state machine `S` and its sessions understand, with a command of at most
/// `command_bytes_max`.
pub(crate) fn is_entry_of<S: StateMachine>(entry: &[u8], command_bytes_max: usize) -> bool {
    let is_command =
        |command: &[u8]| command.len() <= command_bytes_max && S::Command::decode(command).is_ok();
    Envelope::open(entry).is_ok_and(|envelope| envelope.command().is_none_or(is_command))
}

/// The session that an entry opened, as its response tells.
pub(crate) fn opened_session(response: &[u8]) -> Option<SessionId> {
    response.try_into().ok().map(u64::from_le_bytes).map(SessionId)
}
