//! What the laws say of sessions: a plain model of their table is kept beside the log, and every replica's table is what the
//! model was at its place.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::law::Broken;
use super::super::machine::{Command, CommandId, Done};
use super::{Judged, Ledger};
use crate::machine::{Codec, Envelope, Model, ModelMachine};
use crate::types::{LogIndex, LogPosition, NodeId};

/// The model, and what was seen of it.
#[derive(Default)]
pub(super) struct Sessions {
    machine: ModelMachine,
    /// What the table was after each entry.
    tables: Vec<Arc<Model>>,
    /// Where each command was executed, as a replica says.
    executed: HashMap<CommandId, LogPosition>,
    /// What callers were told of a command of an expired session, and what was committed by then.
    expired: HashMap<CommandId, (usize, LogIndex)>,
}

impl Sessions {
    /// The committed entry at `index` is `entry`; `execute` if it is a command that takes effect there.
    pub(super) fn apply(
        &mut self,
        index: LogIndex,
        entry: &[u8],
        mut execute: impl FnMut(Command) -> Done,
    ) -> Option<(CommandId, Done)> {
        let entry = Envelope::open(entry).expect("callers send what can be opened");
        let mut executed = None;
        self.machine.apply(index.0, entry, |command| {
            let command = Command::decode(command).expect("callers send commands");
            let (id, done) = (command.id, execute(command));
            executed = Some((id, done));
            let mut response = Vec::new();
            done.encode(&mut response);
            response
        });
        executed
    }

    /// One more entry is committed.
    pub(super) fn note_table(&mut self) {
        let is_same = self.tables.last().is_some_and(|last| **last == self.machine.model);
        let table = match self.tables.last() {
            Some(last) if is_same => Arc::clone(last),
            _ => Arc::new(self.machine.model.clone()),
        };
        self.tables.push(table);
    }
}

impl Ledger {
    /// A replica that has applied everything up to `through` has this table.
    pub(in crate::sim) fn judge_table(&self, node: NodeId, through: LogPosition, is: &Model) -> Judged {
        let nothing = Arc::new(Model::default());
        let expected = match through.index.0.checked_sub(1) {
            None => Some(&nothing),
            Some(place) => self.sessions.tables.get(place as usize),
        };
        match expected {
            Some(expected) if **expected != *is => Err(Broken::SessionsDiffer {
                node,
                at: through,
                expected: format!("{:?}", expected.sessions),
                is: format!("{:?}", is.sessions),
            }),
            _ => Ok(()),
        }
    }

    /// A replica has executed a command: nobody does so at another place.
    pub(super) fn executed(&mut self, command: CommandId, at: LogPosition) -> Judged {
        let first = *self.sessions.executed.entry(command).or_insert(at);
        if first == at { Ok(()) } else { Err(Broken::AppliedTwice { command, first, second: at }) }
    }

    /// A caller was told that the session of its command has expired: if it was not executed by now, it never is.
    pub(in crate::sim) fn expired(&mut self, caller: usize, command: CommandId) {
        let committed = self.committed();
        self.sessions.expired.entry(command).or_insert((caller, committed));
    }

    /// A command is executed at `at`.
    pub(super) fn judge_expired(&self, command: CommandId, at: LogPosition) -> Judged {
        match self.sessions.expired.get(&command) {
            Some(&(caller, committed)) if at.index > committed => {
                let told = "its session has expired".to_owned();
                Err(Broken::AppliedAfterAll { caller, command, at, told })
            }
            _ => Ok(()),
        }
    }
}
