//! Archiving, and consuming what was archived: somebody carries a record elsewhere, then it goes.
//!
//! A record is handed out until its handler has done its work *and* that is committed: at least once. On one node each
//! record is in one handler's hands at a time; two nodes may hand out the same one at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{
    AggregateId, ArchiveError, Archived, Command, Consistency, ConsumeError, EventStore, QueryError, Reader,
    Response, View,
};
use crate::runtime::{later, until};
use crate::ticket::{ReadError, on_runtime_thread};

impl EventStore {
    /// Takes an aggregate out of the store, with all that is known of it, and keeps that as an archive record, which is
    /// named; `None` if there is no such aggregate.
    ///
    /// The id may be used again, from sequence 0 on. Whoever acts meanwhile on what the aggregate was may find that a sequence
    /// fits by accident: where that matters, give a new aggregate a new id.
    pub fn archive(&self, id: &AggregateId) -> Result<Option<u64>, ArchiveError> {
        self.archive_within(id, self.call_timeout())
    }

    /// As [`EventStore::archive`], with a deadline of its own.
    pub fn archive_within(&self, id: &AggregateId, within: Duration) -> Result<Option<u64>, ArchiveError> {
        if !self.archives() {
            return Err(ArchiveError::ArchivingDisabled);
        }
        match self.node().propose_within(Command::archive(id)?, within)? {
            Response::ArchiveDone { index } => Ok(index),
            Response::Failed { reason } => Err(ArchiveError::Failed { reason }),
            other => unreachable!("an archiving is not answered {other:?}"),
        }
    }

    /// Waits until there is an archive record, at most `within`, and hands the oldest to `handler`. When that has done its
    /// work, the record goes, on every node; when it fails, the record stays and comes again.
    ///
    /// That a record is still there, and that it goes, the leader is asked: each within the node's call timeout.
    pub fn consume_archive<E>(
        &self,
        within: Duration,
        handler: impl FnOnce(&Archived) -> Result<(), E>,
    ) -> Result<(), ConsumeError<E>> {
        if !self.archives() {
            return Err(ConsumeError::ArchivingDisabled);
        }
        let claimed = self.claim_oldest(later(within))?;
        let (_claim, record) = claimed.ok_or(ConsumeError::NothingInTime)?;
        handler(&record).map_err(ConsumeError::Handler)?;
        match self.node().propose(Command::consumed(record.index)).map_err(ConsumeError::Propose)? {
            Response::Consumed { .. } => Ok(()),
            Response::Failed { reason } => Err(ConsumeError::Failed { reason }),
            other => unreachable!("a consumption is not answered {other:?}"),
        }
    }

    fn claim_oldest(&self, deadline: Instant) -> Result<Option<(Claim, Archived)>, QueryError> {
        loop {
            let (applied, released) = (self.reader().news().applied, self.claims().released());
            if let Some(claim) = self.claims().claim_oldest(&self.local().view()?)? {
                // This node may be behind: what it sees may be gone already.
                let current = self.reading(Consistency::Linearizable).view()?;
                if let Some(record) = current.archive(claim.index, 0, usize::MAX)? {
                    return Ok(Some((claim, record)));
                }
                continue;
            }
            if on_runtime_thread() {
                return Err(ReadError::WouldDeadlock.into());
            }
            let claims = self.claims();
            self.reader().wait_beyond_until(applied, deadline, || claims.released() != released);
            if until(deadline).is_zero() {
                return Ok(None);
            }
        }
    }
}

/// The records that are in the hands of this node's handlers.
pub(super) struct Claims {
    reader: Reader,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    indexes: BTreeSet<u64>,
    /// How often a record was let go.
    released: u64,
}

/// One of them; let go when it is dropped.
struct Claim {
    claims: Arc<Claims>,
    index: u64,
}

impl Claims {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, held: Mutex::default() }
    }

    fn released(&self) -> u64 {
        self.held.lock().released
    }

    /// The oldest record that nobody holds.
    fn claim_oldest(self: &Arc<Self>, view: &View) -> Result<Option<Claim>, QueryError> {
        let mut after = 0;
        while let Some(record) = view.oldest_archive(after, 0)? {
            if self.held.lock().indexes.insert(record.index) {
                return Ok(Some(Claim { claims: Arc::clone(self), index: record.index }));
            }
            after = record.index;
        }
        Ok(None)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock();
        held.indexes.remove(&self.index);
        held.released += 1;
        drop(held);
        // Somebody may wait for it.
        self.claims.reader.wake();
    }
}
