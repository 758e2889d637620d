//! The receiving side: one snapshot at a time, in order, from one node.
//!
//! Only the very next bytes of this snapshot from this node are written; whatever else comes is dropped, and what was lost
//! is asked for again. A transfer fails by want of progress alone, never by the time it takes; what has come stays on the
//! disk for the next try.

use std::time::Duration;

use super::{MoverConfig, Moves, PULL_BYTES, WINDOW_BYTES};
use crate::replica::{Event, ReceiveJob, Received};
use crate::storage::{SnapshotIntake, SnapshotStore, StorageError};
use crate::types::{Moment, NodeId, PeerMessage, SnapshotChunk, SnapshotId, SnapshotMeta, SnapshotPull};
use crate::workers::GROUP;
use crate::workers::progress::Progress;

/// Bytes can be damaged on their way. If they come damaged so often in one place, they are so where they come from.
const DAMAGED_MAX: u32 = 3;

/// Fetches snapshots of one group.
pub(super) struct Receiving {
    config: MoverConfig,
    snapshots: Box<dyn SnapshotStore>,
    transfer: Option<Transfer>,
    /// Fetching this snapshot from this node failed: not again before then. Otherwise a full disk would be tried with each
    /// offer of the leader.
    rest: Option<(SnapshotId, NodeId, Moment)>,
    /// What to begin after the rest.
    resting: Option<ReceiveJob>,
    strays: u64,
}

/// A snapshot on its way.
struct Transfer {
    from: NodeId,
    snapshot: SnapshotMeta,
    intake: Box<dyn SnapshotIntake>,
    /// Up to here the file was asked for.
    asked: u64,
    /// How far ahead of what is there it is asked for: grows with what comes, falls back when nothing does.
    window: u64,
    /// The most that was ever there and good: only more is progress.
    best: u64,
    progress_at: Moment,
    /// When it was last asked for again, or something came.
    heard_at: Moment,
    /// How long to wait from then on before asking again.
    patience: Duration,
    damaged: u32,
    progress: Progress,
}

impl Receiving {
    pub(super) fn new(config: MoverConfig, snapshots: Box<dyn SnapshotStore>) -> Self {
        Self { config, snapshots, transfer: None, rest: None, resting: None, strays: 0 }
    }

    /// Fetches what `job` names, unless that is what it does.
    pub(super) fn begin(&mut self, job: ReceiveJob, now: Moment, moves: &mut Moves) {
        self.resting = None;
        match &mut self.transfer {
            Some(transfer) if transfer.snapshot == job.snapshot => {
                if transfer.from != job.from {
                    transfer.go_on_from(job.from, now, self.config.ask_again_after);
                    transfer.pull(moves);
                }
            }
            _ if self.rest.is_some_and(|(id, from, until)| {
                (id, from) == (job.snapshot.id, job.from) && now < until
            }) =>
            {
                self.transfer = None;
                self.resting = Some(job);
            }
            _ => self.open(job, now, moves),
        }
    }

    /// Writes what comes, if it is what comes next.
    pub(super) fn take(&mut self, from: NodeId, chunk: &SnapshotChunk, now: Moment, moves: &mut Moves) {
        let expected = |transfer: &&mut Transfer| transfer.expects(from, chunk);
        let Some(transfer) = self.transfer.as_mut().filter(expected) else {
            self.strays += 1;
            return;
        };
        if chunk.bytes.is_empty() {
            return self.fail("the snapshot is gone at the node that offered it".to_owned(), now, moves);
        }
        match transfer.intake.write(&chunk.bytes) {
            Ok(()) => transfer.came(chunk.bytes.len() as u64, now, self.config.ask_again_after),
            Err(error @ StorageError::BadSnapshot { .. }) => return self.damaged(&error, now, moves),
            Err(error) => return self.fail(error.to_string(), now, moves),
        }
        self.pull_or_finish(now, moves);
    }

    /// Asks again for what does not come, gives up what does not come at all.
    pub(super) fn tick(&mut self, now: Moment, moves: &mut Moves) {
        let rested = |_: &mut ReceiveJob| self.rest.is_none_or(|(_, _, until)| until <= now);
        if let Some(job) = self.resting.take_if(rested) {
            self.open(job, now, moves);
        }
        let give_up_after = self.config.give_up_after;
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.progress_at.plus(give_up_after) <= now {
            self.fail(format!("nothing came for {give_up_after:?}"), now, moves);
        } else if transfer.asks_again_at() <= now {
            transfer.heard_at = now;
            transfer.patience = (transfer.patience * 2).min(give_up_after / 2);
            transfer.begin_again();
            transfer.pull(moves);
        }
    }

    pub(super) fn next_tick(&self) -> Option<Moment> {
        let give_up_after = self.config.give_up_after;
        let of_transfer =
            |transfer: &Transfer| transfer.asks_again_at().min(transfer.progress_at.plus(give_up_after));
        let rested = self.resting.as_ref().and(self.rest).map(|(_, _, until)| until);
        self.transfer.as_ref().map(of_transfer).or(rested)
    }

    pub(super) fn strays(&self) -> u64 {
        self.strays
    }

    /// Goes on where an earlier try, perhaps that of an earlier process, ended.
    fn open(&mut self, job: ReceiveJob, now: Moment, moves: &mut Moves) {
        let ReceiveJob { from, snapshot } = job;
        // One file is open at a time: the store may remove the other.
        self.transfer = None;
        match self.snapshots.receive(GROUP, &snapshot) {
            Ok(intake) => {
                let at = intake.offset();
                log::info!("snapshot {} comes from node {from}, from byte {at} on", snapshot.id);
                self.transfer = Some(Transfer::new(from, snapshot, intake, now, self.config.ask_again_after));
                self.pull_or_finish(now, moves);
            }
            Err(error) => self.failed(from, snapshot, error.to_string(), now, moves),
        }
    }

    fn pull_or_finish(&mut self, now: Moment, moves: &mut Moves) {
        let complete = |transfer: &mut Transfer| transfer.intake.offset() >= transfer.snapshot.bytes;
        if let Some(transfer) = self.transfer.take_if(complete) {
            let Transfer { from, snapshot, intake, .. } = transfer;
            match intake.finish() {
                Ok(_) => {
                    log::info!("snapshot {} of node {from} is complete", snapshot.id);
                    moves.events.push(Event::Received(Received { snapshot, outcome: Ok(()) }));
                }
                Err(error) => self.failed(from, snapshot, error.to_string(), now, moves),
            }
        } else if let Some(transfer) = &mut self.transfer {
            transfer.pull(moves);
        }
    }

    /// What came is not what was sent, or not what was written there once. What was good before stays.
    fn damaged(&mut self, error: &StorageError, now: Moment, moves: &mut Moves) {
        let Some(mut transfer) = self.transfer.take() else { return };
        let (from, snapshot) = (transfer.from, transfer.snapshot.clone());
        transfer.damaged += 1;
        log::warn!("from node {from}: {error}");
        if transfer.damaged >= DAMAGED_MAX {
            return self.failed(from, snapshot, error.to_string(), now, moves);
        }
        let Transfer { intake, best, progress_at, patience, damaged, .. } = transfer;
        drop(intake);
        match self.snapshots.receive(GROUP, &snapshot) {
            Ok(intake) => {
                let anew = Transfer::new(from, snapshot, intake, now, patience);
                self.transfer = Some(Transfer { best, progress_at, damaged, ..anew });
                self.pull_or_finish(now, moves);
            }
            Err(error) => self.failed(from, snapshot, error.to_string(), now, moves),
        }
    }

    fn fail(&mut self, reason: String, now: Moment, moves: &mut Moves) {
        if let Some(Transfer { from, snapshot, .. }) = self.transfer.take() {
            self.failed(from, snapshot, reason, now, moves);
        }
    }

    fn failed(
        &mut self,
        from: NodeId,
        snapshot: SnapshotMeta,
        reason: String,
        now: Moment,
        moves: &mut Moves,
    ) {
        self.rest = Some((snapshot.id, from, now.plus(self.config.give_up_after / 4)));
        moves.events.push(Event::Received(Received { snapshot, outcome: Err(reason) }));
    }
}

impl Transfer {
    fn new(
        from: NodeId,
        snapshot: SnapshotMeta,
        intake: Box<dyn SnapshotIntake>,
        now: Moment,
        patience: Duration,
    ) -> Self {
        let at = intake.offset();
        let progress = Progress::new(format!("snapshot {} of node {from} is on its way", snapshot.id), at);
        Self {
            from,
            snapshot,
            intake,
            asked: at,
            window: PULL_BYTES,
            best: at,
            progress_at: now,
            heard_at: now,
            patience,
            damaged: 0,
            progress,
        }
    }

    /// Whether this is the next piece, or the word that there is none any more.
    fn expects(&self, from: NodeId, chunk: &SnapshotChunk) -> bool {
        let offset = self.intake.offset();
        let fits = chunk.bytes.len() as u64 <= self.snapshot.bytes.saturating_sub(offset);
        let next = chunk.offset == offset && fits;
        from == self.from && chunk.id == self.snapshot.id && (next || chunk.bytes.is_empty())
    }

    fn came(&mut self, bytes: u64, now: Moment, patience: Duration) {
        self.window = (self.window + bytes).min(WINDOW_BYTES);
        (self.heard_at, self.patience) = (now, patience);
        self.progress.add(bytes);
        let offset = self.intake.offset();
        self.asked = self.asked.max(offset);
        if offset > self.best {
            (self.best, self.progress_at, self.damaged) = (offset, now, 0);
        }
    }

    /// Another node holds the same file, and leads now.
    fn go_on_from(&mut self, from: NodeId, now: Moment, patience: Duration) {
        log::info!("snapshot {} comes from node {from} from now on", self.snapshot.id);
        self.from = from;
        (self.progress_at, self.heard_at, self.patience) = (now, now, patience);
        self.begin_again();
    }

    /// What is under way counts as lost.
    fn begin_again(&mut self) {
        (self.asked, self.window) = (self.intake.offset(), PULL_BYTES);
    }

    fn asks_again_at(&self) -> Moment {
        self.heard_at.plus(self.patience)
    }

    /// Asks for as much as the window has room for, in whole pulls.
    fn pull(&mut self, moves: &mut Moves) {
        let limit = self.intake.offset() + self.window;
        loop {
            let end = self.next_end();
            if end == self.asked || end > limit {
                return;
            }
            let bytes = (end - self.asked) as u32;
            let pull = SnapshotPull { id: self.snapshot.id, offset: self.asked, bytes };
            moves.send.push((self.from, PeerMessage::Pull(pull)));
            self.asked = end;
        }
    }

    /// Where the next pull ends.
    fn next_end(&self) -> u64 {
        let most = (self.asked + PULL_BYTES).min(self.snapshot.bytes.max(self.asked));
        let least = most.min(self.asked + 1);
        self.intake.piece_end(self.asked, PULL_BYTES).clamp(least, most)
    }
}
