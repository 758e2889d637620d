//! Many commands at once, at one node. They write a register that nobody else uses, and nobody waits for them: what becomes of
//! each is judged all the same.

use std::sync::Arc;

use super::super::machine::{Command, CommandId, Deed, Done};
use super::super::plan::Act;
use super::super::trace::What;
use super::callers::{Answer, PATIENCE};
use super::{Judged, World};
use crate::machine::{Codec, seal_plain};
use crate::replica::{Event, Proposal};
use crate::ticket::{Outcome, Permit, ProposeError, Reply};
use crate::types::{LogIndex, Moment, NodeId};

/// The register they write.
const KEY: u8 = u8::MAX;
/// The caller that they have together.
const CALLER: usize = 1_000;

impl World {
    /// Between one and 256 commands, few as often as many.
    pub(super) fn burst(&mut self, node: NodeId, act: Act) {
        if !self.processes.contains_key(&node) {
            return;
        }
        let doublings = act.choice % 8;
        let count = (1 << doublings) + (act.choice >> 3) % (1 << doublings);
        self.trace.add(self.now, || What::World(format!("{count} commands come to {node} at once")));
        for _ in 0..count {
            self.bursts += 1;
            let id: CommandId = (CALLER as u64) << 32 | self.bursts;
            let event = self.one_command(node, &Command { id, key: KEY, deed: Deed::Write(id), padding: 8 });
            self.handle(node, event);
        }
    }

    fn one_command(&self, node: NodeId, command: &Command) -> Event {
        let (mailbox, began_at, id) = (Arc::clone(&self.mailbox), self.ledger.committed(), command.id);
        let deadline = Moment(self.hosts[&node].clock(self.now).0 + PATIENCE);
        let decode = |bytes: &[u8]| Ok(Done::decode(bytes).expect("the machine's own answer"));
        let (reply, ticket) = Reply::pair(Permit::free(), crate::replica::tests::instant(), decode);
        ticket.on_done(move |outcome| mailbox.lock().push(Answer::OfMany { command: id, began_at, outcome }));
        let entry = seal_plain(|out| command.encode(out));
        Event::Propose(Proposal { command: entry, reply, deadline })
    }

    pub(super) fn one_of_many(
        &mut self,
        command: CommandId,
        began_at: LogIndex,
        outcome: Result<Done, ProposeError>,
    ) -> Judged {
        match outcome {
            Ok(done) => {
                self.tally.answers += 1;
                self.ledger.answered(CALLER, command, done, began_at)
            }
            Err(error) if error.outcome() == Outcome::NotApplied => {
                self.ledger.refused(CALLER, command, error.to_string())
            }
            Err(_) => {
                self.tally.unknown += 1;
                Ok(())
            }
        }
    }
}
