//! Reads at the leader, until a quorum confirms that it still leads (thesis §6.4).
//!
//! Each round of heartbeats has a number. A read waits for the first round that is *sent* after it came: an answer to an
//! older round may have been given before another leader committed what the read must see. All reads that came between
//! two rounds share the later one.

use std::collections::VecDeque;

use crate::planted::{Bug, planted};
use crate::types::{LogIndex, Moment, NodeId, ReadId, Round};

/// How many rounds are dated at most. Answers lag by a round trip, so this is many; beyond it every second date goes.
const DATES_MAX: usize = 128;

/// The reads that wait, and the number of the last round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ReadQueue {
    sent: Round,
    /// Came before the leader committed anything in its term: their index is not known yet.
    early: Vec<Asker>,
    /// In the order of their rounds.
    waiting: VecDeque<WaitingRead>,
    /// When rounds were sent, the oldest first; with leases alone.
    dates: VecDeque<(Round, Moment)>,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) id: ReadId,
    /// The follower that asked; `None` for this replica's own host.
    pub(super) peer: Option<NodeId>,
}

/// A read whose index is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WaitingRead {
    pub(super) asker: Asker,
    pub(super) index: LogIndex,
    /// Confirms this read.
    round: Round,
}

impl ReadQueue {
    /// The number of the last round that was sent.
    pub(super) fn sent(&self) -> Round {
        self.sent
    }

    /// A read comes, while the leader has committed up to `index` with an entry of its own term; `None` before that.
    pub(super) fn push(&mut self, asker: Asker, index: Option<LogIndex>) {
        let Some(index) = index else {
            self.early.push(asker);
            return;
        };
        let round = Round(self.sent.0 + u64::from(!planted(Bug::ReadsJoinOlderRounds)));
        self.waiting.push_back(WaitingRead { asker, index, round });
    }

    /// The leader committed its first own entry: the early reads get their index.
    pub(super) fn admit_early(&mut self, commit: LogIndex) {
        for asker in std::mem::take(&mut self.early) {
            self.push(asker, Some(commit));
        }
    }

    /// Whether a read waits for a round that was not sent yet.
    pub(super) fn wants_round(&self) -> bool {
        self.waiting.back().is_some_and(|read| read.round > self.sent)
    }

    /// Numbers the round that is sent now, and dates it.
    pub(super) fn begin_round(&mut self, now: Option<Moment>) -> Round {
        self.sent = Round(self.sent.0 + 1);
        if let Some(now) = now {
            self.date(now);
        }
        self.sent
    }

    fn date(&mut self, now: Moment) {
        if self.dates.len() == DATES_MAX {
            let mut stays = false;
            self.dates.retain(|_| {
                stays = !stays;
                stays
            });
        }
        self.dates.push_back((self.sent, now));
    }

    /// When `round` was sent, or one before it: whoever answered it was reached after that moment.
    pub(super) fn sent_at(&self, round: Round) -> Option<Moment> {
        let later =
            self.dates.partition_point(|&(dated, _)| dated <= round || planted(Bug::LeaseFromReceipt));
        later.checked_sub(1).map(|latest| self.dates[latest].1)
    }

    /// The next read that a quorum's answers to `round` confirm.
    pub(super) fn pop_confirmed(&mut self, round: Round) -> Option<WaitingRead> {
        self.waiting.front().filter(|read| read.round <= round)?;
        self.waiting.pop_front()
    }

    /// All who wait, at the end of a leadership.
    pub(super) fn into_askers(self) -> impl Iterator<Item = Asker> {
        self.early.into_iter().chain(self.waiting.into_iter().map(|read| read.asker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Boot;

    fn asker(request: u64) -> Asker {
        Asker { id: ReadId { boot: Boot(1), request }, peer: None }
    }

    #[test]
    fn a_round_confirms_only_reads_that_came_before_it_was_sent() {
        let mut reads = ReadQueue::default();
        reads.push(asker(1), Some(LogIndex(5)));
        reads.push(asker(2), Some(LogIndex(5)));
        let round = reads.begin_round(None);
        reads.push(asker(3), Some(LogIndex(6)));

        assert_eq!(reads.pop_confirmed(round).unwrap().asker, asker(1));
        assert_eq!(reads.pop_confirmed(round).unwrap().asker, asker(2));
        assert!(reads.pop_confirmed(round).is_none(), "the third read needs the next round");
        assert!(reads.wants_round());
    }

    #[test]
    fn a_round_is_dated_by_its_send_or_by_that_of_one_before_it_and_never_later() {
        let mut reads = ReadQueue::default();
        let rounds: Vec<_> = (0..10_000)
            .map(|nth| {
                let sent = Moment(1_000 + nth);
                (reads.begin_round(Some(sent)), sent)
            })
            .collect();

        assert!(reads.dates.len() <= DATES_MAX);
        assert!(rounds.iter().all(|&(round, sent)| reads.sent_at(round).is_some_and(|dated| dated <= sent)));
        let &(last, sent) = rounds.last().unwrap();
        assert_eq!((reads.sent_at(last), reads.sent_at(Round(0))), (Some(sent), None));
    }

    #[test]
    fn early_reads_get_the_index_of_the_first_commit() {
        let mut reads = ReadQueue::default();
        reads.push(asker(1), None);
        assert!(!reads.wants_round());

        reads.admit_early(LogIndex(9));
        let round = reads.begin_round(None);

        assert_eq!(reads.pop_confirmed(round).unwrap().index, LogIndex(9));
    }
}
