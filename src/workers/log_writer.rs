//! The log writer: all writes that wait become one write with one sync, and only then does anything leave that
//! promises them.

use super::log_failed;
use crate::replica::{Persisted, WriteJob};
use crate::storage::{GroupWrite, Storage};
use crate::ticket::StopCause;
use crate::types::{GroupId, NodeId, PeerMessage};

/// Owns the log of a host.
pub(crate) struct LogWriter {
    storage: Box<dyn Storage>,
    /// The writes of this turn; empty between turns, kept for its memory.
    writes: Vec<GroupWrite>,
}

/// What is durable now, and what may leave because of it.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// For each group of the batch, the last of its writes.
    pub(crate) persisted: Vec<(GroupId, Persisted)>,
    /// Messages that waited for it, in the order of the jobs.
    pub(crate) send: Vec<(GroupId, NodeId, PeerMessage)>,
}

impl LogWriter {
    pub(crate) fn new(storage: Box<dyn Storage>) -> Self {
        Self { storage, writes: Vec::new() }
    }

    /// Makes `jobs` durable in their order. On an error nothing is: no answer leaves, and the node stops.
    pub(crate) fn turn(&mut self, jobs: Vec<(GroupId, WriteJob)>) -> Result<Written, StopCause> {
        let mut written = Written::default();
        for (group, job) in jobs {
            let WriteJob { seq, hard_state, restart, entries, send_when_durable } = job;
            if hard_state.is_some() || restart.is_some() || !entries.is_empty() {
                self.writes.push(GroupWrite { group, hard_state, restart, entries });
            }
            written.note(group, Persisted { through: seq });
            written.send.extend(send_when_durable.into_iter().map(|(to, message)| (group, to, message)));
        }
        if !self.writes.is_empty() {
            let outcome = self.storage.write(&self.writes);
            self.writes.clear();
            outcome.map_err(log_failed)?;
        }
        Ok(written)
    }

    /// Nothing has come for a while, or the node stops cleanly: the end of the log is marked as its end.
    pub(crate) fn settle(&mut self) -> Result<(), StopCause> {
        self.storage.settle().map_err(log_failed)
    }
}

impl Written {
    fn note(&mut self, group: GroupId, persisted: Persisted) {
        match self.persisted.iter_mut().find(|(of, _)| *of == group) {
            Some((_, last)) => {
                assert!(last.through < persisted.through, "the writes of group {group} are out of order");
                *last = persisted;
            }
            None => self.persisted.push((group, persisted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::WriteSeq;
    use crate::replica::tests::SharedLog;
    use crate::types::{Body, Entry, EntryRun, LogIndex, LogPosition, Message, Payload, Term};

    fn answer() -> PeerMessage {
        let message = Message { term: Term(1), body: Body::VoteAnswer { granted: true } };
        PeerMessage::Raft { message, entries: Vec::new() }
    }

    fn write(seq: u64, first: u64, count: u64) -> (GroupId, WriteJob) {
        let entry =
            |index| Entry { position: LogPosition::new(Term(1), LogIndex(index)), payload: Payload::Noop };
        let entries = EntryRun::new((first..first + count).map(entry).collect()).into_iter().collect();
        let send_when_durable = vec![(NodeId::new(seq).unwrap(), answer())];
        (GroupId::MAIN, WriteJob { seq: WriteSeq(seq), hard_state: None, entries, send_when_durable })
    }

    fn founded() -> SharedLog {
        let founding = Entry { position: LogPosition::new(Term::ZERO, LogIndex(1)), payload: Payload::Noop };
        SharedLog::founded_with(founding)
    }

    fn receivers(written: &Written) -> Vec<u64> {
        written.send.iter().map(|(_, to, _)| to.get()).collect()
    }

    #[test]
    fn all_that_waits_is_one_write_and_its_messages_keep_their_order() {
        let log = founded();
        let mut writer = LogWriter::new(Box::new(log.clone()));

        let written = writer.turn(vec![write(1, 2, 2), write(2, 4, 0), write(3, 4, 1)]).unwrap();

        assert_eq!(log.writes(), 1);
        assert_eq!(log.entries().len(), 4);
        assert_eq!(written.persisted, [(GroupId::MAIN, Persisted { through: WriteSeq(3) })]);
        assert_eq!(receivers(&written), [1, 2, 3]);
    }

    #[test]
    fn barriers_alone_write_nothing() {
        let log = founded();

        let written = LogWriter::new(Box::new(log.clone())).turn(vec![write(1, 2, 0)]).unwrap();

        assert_eq!(log.writes(), 0);
        assert_eq!(receivers(&written), [1]);
    }

    #[test]
    fn a_failed_write_releases_nothing() {
        let log = founded();
        let mut writer = LogWriter::new(Box::new(log.clone()));
        log.fail();

        let failed = writer.turn(vec![write(1, 2, 0), write(2, 2, 1)]);

        assert!(matches!(failed, Err(StopCause::Storage(_))));
    }

    #[test]
    fn each_group_hears_of_its_own_writes() {
        let mut writer = LogWriter::new(Box::new(founded()));
        let other = (GroupId(7), write(5, 2, 0).1);

        let written = writer.turn(vec![write(1, 2, 1), other, write(2, 3, 1)]).unwrap();

        let through = |seq| Persisted { through: WriteSeq(seq) };
        assert_eq!(written.persisted, [(GroupId::MAIN, through(2)), (GroupId(7), through(5))]);
    }
}
