//! The log writer: all writes that wait become one write with one sync, and only then does anything leave that
//! promises them.
//!
//! When the disk is full a write is refused whole. Its jobs stay here in their order, with all that come after them, and are
//! tried again until there is room: nothing is lost, and nothing leaves meanwhile that would promise them. What waits so is
//! bounded where it comes in: a leader's proposals by the callers' gate, a follower's entries by its leader's window, which
//! moves only with answers that wait here too.

use std::collections::BTreeMap;

use super::log_failed;
use crate::replica::{Persisted, Release, WriteJob};
use crate::storage::{GroupWrite, Identity, Storage, StorageError};
use crate::ticket::StopCause;
use crate::types::{GroupId, LogIndex, NodeId, PeerMessage};

/// Something for the log, in order.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// A node that joins a cluster knows now which one it is: its log is founded, empty. Before any write.
    Found(Identity),
    /// Write this.
    Write(WriteJob),
    /// Let go of this.
    Release(Release),
}

/// Owns the log of a host.
pub(crate) struct LogWriter {
    storage: Box<dyn Storage>,
    /// What a log that is not founded yet will be founded as, before anything is written.
    founding: Option<(GroupId, Identity)>,
    /// The writes of this turn; between turns, those for which there was no room.
    writes: Vec<GroupWrite>,
    /// What will be true, and may leave, once `writes` are durable.
    waiting: Written,
    /// What groups let go of and must not yet, since it reaches into `writes`.
    releases: BTreeMap<GroupId, Release>,
    is_full: bool,
}

/// What is durable now, and what may leave because of it.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// For each group of the batch, the last of its writes.
    pub(crate) persisted: Vec<(GroupId, Persisted)>,
    /// Messages that waited for it, in the order of the jobs.
    pub(crate) send: Vec<(GroupId, NodeId, PeerMessage)>,
    /// The disk is full from now on, or has room again.
    pub(crate) disk_full: Option<bool>,
}

impl LogWriter {
    pub(crate) fn new(storage: Box<dyn Storage>) -> Self {
        let (waiting, releases) = (Written::default(), BTreeMap::new());
        Self { storage, founding: None, writes: Vec::new(), waiting, releases, is_full: false }
    }

    /// Makes `jobs` durable in their order, behind those for which there was no room before. On an error nothing is: no
    /// answer leaves, and the node stops.
    ///
    /// # Panics
    /// If the log is founded when it is already, or writes of a group are out of order.
    pub(crate) fn turn(&mut self, jobs: Vec<(GroupId, LogJob)>) -> Result<Written, StopCause> {
        for (group, job) in jobs {
            match job {
                LogJob::Found(identity) => self.founding = Some((group, identity)),
                LogJob::Write(job) => self.take(group, job),
                LogJob::Release(release) => _ = self.releases.insert(group, release),
            }
        }
        self.retry()
    }

    /// Whether writes wait for room on the disk: then [`LogWriter::retry`] is due after a while.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Tries what waits.
    pub(crate) fn retry(&mut self) -> Result<Written, StopCause> {
        let written = match self.found().and_then(|()| self.write()) {
            Ok(()) => {
                self.writes.clear();
                let mut written = std::mem::take(&mut self.waiting);
                written.disk_full = std::mem::take(&mut self.is_full).then_some(false);
                written
            }
            Err(error) if error.is_recoverable() => self.wait_for_room(&error),
            Err(error) => return Err(log_failed(error)),
        };
        self.release()?;
        Ok(written)
    }

    /// Nothing has come for a while, or the node stops cleanly: the end of the log is marked as its end. Where there is no
    /// room for the mark, its want harms nobody.
    pub(crate) fn settle(&mut self) -> Result<(), StopCause> {
        // That of a node which waits to join has no end yet.
        if self.storage.identity().is_none() {
            return Ok(());
        }
        match self.storage.settle() {
            Err(error) if error.is_recoverable() => Ok(()),
            settled => settled.map_err(log_failed),
        }
    }

    /// All or nothing, so a full disk is no reason to stop here either: what was written of it is written again.
    fn found(&mut self) -> Result<(), StorageError> {
        if let Some((group, identity)) = self.founding {
            self.storage.found(identity, &[(group, None)])?;
            self.founding = None;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StorageError> {
        if self.writes.is_empty() { Ok(()) } else { self.storage.write(&self.writes) }
    }

    fn take(&mut self, group: GroupId, job: WriteJob) {
        let WriteJob { seq, hard_state, restart, entries, send_when_durable } = job;
        if restart.is_some() {
            // Everything before goes with the log that it takes the place of.
            self.releases.remove(&group);
        }
        if hard_state.is_some() || restart.is_some() || !entries.is_empty() {
            self.writes.push(GroupWrite { group, hard_state, restart, entries });
        }
        self.waiting.note(group, Persisted { through: seq });
        self.waiting.send.extend(send_when_durable.into_iter().map(|(to, message)| (group, to, message)));
    }

    fn wait_for_room(&mut self, error: &StorageError) -> Written {
        if self.is_full {
            return Written::default();
        }
        log::warn!("the log waits: {error}");
        self.is_full = true;
        Written { disk_full: Some(true), ..Written::default() }
    }

    /// Lets go of what may go. While writes wait that is the way to room for them: only what reaches into them waits too.
    fn release(&mut self) -> Result<(), StopCause> {
        for (group, release) in std::mem::take(&mut self.releases) {
            if first_waiting(&self.writes, group).is_some_and(|first| first <= release.through.index) {
                self.releases.insert(group, release);
                continue;
            }
            match self.storage.release(group, release.through, &release.membership) {
                // The next release reaches further, and makes up for it.
                Err(error) if error.is_recoverable() => log::warn!("the log is not shortened yet: {error}"),
                released => released.map_err(log_failed)?,
            }
        }
        Ok(())
    }
}

/// The first entry that `writes` would write for `group`, a new beginning of its log included.
fn first_waiting(writes: &[GroupWrite], group: GroupId) -> Option<LogIndex> {
    let of_group = writes.iter().filter(|write| write.group == group);
    let firsts = of_group.filter_map(|write| match write.restart {
        Some(_) => Some(LogIndex::ZERO),
        None => write.entries.first().map(|run| run.first().index),
    });
    firsts.min()
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

    fn write(seq: u64, first: u64, count: u64) -> (GroupId, LogJob) {
        let entry =
            |index| Entry { position: LogPosition::new(Term(1), LogIndex(index)), payload: Payload::Noop };
        let entries = EntryRun::new((first..first + count).map(entry).collect()).into_iter().collect();
        let send_when_durable = vec![(NodeId::new(seq).unwrap(), answer())];
        let seq = WriteSeq(seq);
        let job = WriteJob { seq, hard_state: None, restart: None, entries, send_when_durable };
        (GroupId::MAIN, LogJob::Write(job))
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
