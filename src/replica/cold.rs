//! Appends whose entries have left memory: a peer far behind is served from the log on disk.
//!
//! One queue per peer keeps the order of its appends, one fetch at a time fills the first of them. What the log reader
//! brings is compared with what consensus announced, and sent piece by piece until the announced span is complete.
//! Everybody else's appends, and this peer's heartbeats, go their way meanwhile.

use std::collections::{BTreeMap, VecDeque};

use super::FetchJob;
use super::tail::Tail;
use crate::types::{
    Append, Body, Entry, EntryMeta, EntryRun, LogIndex, LogPosition, LogSlice, Message, NodeId, PeerMessage,
    Term,
};

/// The appends that wait for the log reader.
#[derive(Debug)]
pub(super) struct ColdAppends {
    /// The term of the leader who announced them; in another term nobody needs them.
    term: Term,
    peers: BTreeMap<NodeId, Queue>,
    queue_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    appends: VecDeque<Append>,
    fetch: Fetch,
}

/// The fetch for the first append of a queue.
#[derive(Debug, Default)]
enum Fetch {
    #[default]
    None,
    UnderWay(u64),
    Done(Vec<Entry>),
}

/// What a turn of the queues asks for.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) send: Vec<(NodeId, PeerMessage)>,
    pub(super) fetch: Vec<FetchJob>,
    /// Peers for whom the log holds something else than was announced: they must be probed anew.
    pub(super) broken: Vec<NodeId>,
}

impl ColdAppends {
    /// At most `queue_max` appends wait for each peer.
    pub(super) fn new(queue_max: usize) -> Self {
        Self { term: Term::ZERO, peers: BTreeMap::new(), queue_max }
    }

    /// This replica leads in `term` or, if `None`, does not lead: what was announced in another term is dropped.
    pub(super) fn lead(&mut self, term: Option<Term>) {
        if term != Some(self.term) {
            self.peers.clear();
            self.term = term.unwrap_or(Term::ZERO);
        }
    }

    /// Whether appends wait for this peer: later ones wait behind them.
    pub(super) fn is_waiting(&self, peer: NodeId) -> bool {
        self.peers.contains_key(&peer)
    }

    /// How many appends wait for `peer`.
    #[cfg(test)]
    pub(super) fn len(&self, peer: NodeId) -> usize {
        self.peers.get(&peer).map_or(0, |queue| queue.appends.len())
    }

    /// `append` waits behind the others. If it does not continue them, consensus took them for lost and begins again:
    /// then only the first one stays, which is on its way. What is too much is lost, as messages may be.
    pub(super) fn push(&mut self, peer: NodeId, append: Append) {
        let queue = self.peers.entry(peer).or_default();
        let continues = |last: &Append| last.slice.last() == append.slice.prev();
        if !queue.appends.back().is_none_or(continues) {
            queue.appends.truncate(1);
        }
        let repeats = |last: &Append| last.slice.prev() == append.slice.prev();
        if queue.appends.len() < self.queue_max && !queue.appends.back().is_some_and(repeats) {
            queue.appends.push_back(append);
        }
    }

    /// Nothing more is sent to `peer` of what waits.
    pub(super) fn forget(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// What the log reader brought; ignored if nobody waits for it any more.
    pub(super) fn take_fetched(&mut self, id: u64, entries: Vec<Entry>) {
        let waits = |queue: &&mut Queue| matches!(queue.fetch, Fetch::UnderWay(under_way) if under_way == id);
        if let Some(queue) = self.peers.values_mut().find(waits) {
            queue.fetch = Fetch::Done(entries);
        }
    }

    /// Sends what can be sent and fetches what must be fetched.
    pub(super) fn serve(&mut self, tail: &Tail, mut next_fetch: impl FnMut() -> u64) -> Served {
        let mut served = Served::default();
        let term = self.term;
        self.peers.retain(|&peer, queue| {
            if queue.serve((peer, term), tail, &mut next_fetch, &mut served).is_err() {
                served.broken.push(peer);
                return false;
            }
            !queue.appends.is_empty()
        });
        served
    }
}

/// The log holds something else than was announced.
struct Broken;

impl Queue {
    fn serve(
        &mut self,
        (peer, term): (NodeId, Term),
        tail: &Tail,
        next_fetch: &mut impl FnMut() -> u64,
        served: &mut Served,
    ) -> Result<(), Broken> {
        while let Some(append) = self.appends.pop_front() {
            let entries = match std::mem::take(&mut self.fetch) {
                Fetch::None => entries_of(&append, tail),
                Fetch::UnderWay(id) => {
                    self.fetch = Fetch::UnderWay(id);
                    self.appends.push_front(append);
                    return Ok(());
                }
                Fetch::Done(entries) => Some(as_announced(&append, entries)?),
            };
            let Some(entries) = entries else {
                let id = next_fetch();
                served.fetch.push(fetch_for(&append, tail, id));
                self.fetch = Fetch::UnderWay(id);
                self.appends.push_front(append);
                return Ok(());
            };
            let (part, rest) = split(append, &entries);
            if let Some(rest) = rest {
                self.appends.push_front(rest);
            }
            served.send.push((
                peer,
                PeerMessage::Raft { message: Message { term, body: Body::Append(part) }, entries },
            ));
        }
        Ok(())
    }
}

/// The payloads of an append that memory still holds; none for a probe.
pub(super) fn entries_of(append: &Append, tail: &Tail) -> Option<Vec<EntryRun>> {
    match append.slice.entries() {
        [] => Some(Vec::new()),
        entries => tail.slice(append.slice.prev().index.next(), last_of(entries)),
    }
}

fn last_of(entries: &[EntryMeta]) -> LogIndex {
    entries.last().map_or(LogIndex::ZERO, |entry| entry.position.index)
}

/// Asks for what the tail does not hold: that is durable, for nothing else leaves the tail.
fn fetch_for(append: &Append, tail: &Tail, id: u64) -> FetchJob {
    /// What a log reader may count for an entry besides its payload.
    const OVERHEAD_BYTES: u64 = 128;
    let entries = append.slice.entries();
    let bytes_max = append.slice.bytes() + OVERHEAD_BYTES * entries.len() as u64;
    let first = append.slice.prev().index.next();
    FetchJob { id, first, last: last_of(entries).min(tail.first().prev()), bytes_max }
}

/// The fetched entries, as far as they are those that were announced; at least one.
fn as_announced(append: &Append, mut fetched: Vec<Entry>) -> Result<Vec<EntryRun>, Broken> {
    let pairs = fetched.iter().zip(append.slice.entries());
    let same = pairs.take_while(|(entry, meta)| entry.position == meta.position).count();
    fetched.truncate(same);
    EntryRun::new(fetched.into()).map(|run| vec![run]).ok_or(Broken)
}

/// The part of `append` that `entries` fill, and the rest.
fn split(append: Append, entries: &[EntryRun]) -> (Append, Option<Append>) {
    let count = entries.iter().map(|run| run.entries().len()).sum();
    let announced = append.slice.entries();
    if count == announced.len() {
        return (append, None);
    }
    let (part, rest) = announced.split_at(count);
    let rest = slice(part.last().map_or(append.slice.prev(), |entry| entry.position), rest);
    let part = slice(append.slice.prev(), part);
    (Append { slice: part, commit: append.commit }, Some(Append { slice: rest, commit: append.commit }))
}

fn slice(prev: LogPosition, entries: &[EntryMeta]) -> LogSlice {
    LogSlice::new(prev, entries.to_vec()).expect("a part of a slice is one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Payload;

    fn peer() -> NodeId {
        NodeId::new(3).expect("not zero")
    }

    fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let position = |index| LogPosition::new(Term(term), LogIndex(index));
        indexes.map(|index| Entry { position: position(index), payload: Payload::Noop }).collect()
    }

    fn append(indexes: std::ops::RangeInclusive<u64>) -> Append {
        let prev = LogPosition::new(Term(1), LogIndex(indexes.start() - 1));
        let metas = entries(1, indexes).iter().map(Entry::meta).collect();
        Append { slice: LogSlice::new(prev, metas).unwrap(), commit: LogIndex(1) }
    }

    fn probe_after(index: u64) -> Append {
        let prev = LogPosition::new(Term(1), LogIndex(index));
        Append { slice: LogSlice::new(prev, Vec::new()).unwrap(), commit: LogIndex(1) }
    }

    /// The log ends at 9; memory holds 8 and 9.
    fn tail_of_8_and_9() -> Tail {
        let mut tail = Tail::new(LogIndex(7), 0);
        tail.push(EntryRun::new(entries(1, 8..=9).into()).unwrap());
        tail
    }

    fn waiting(appends: impl IntoIterator<Item = Append>) -> ColdAppends {
        let mut cold = ColdAppends::new(3);
        cold.lead(Some(Term(1)));
        appends.into_iter().for_each(|append| cold.push(peer(), append));
        cold
    }

    /// The previous index of each append that leaves, and the indexes of what it carries.
    fn sent(served: &Served) -> Vec<(u64, Vec<u64>)> {
        let carried = |runs: &[EntryRun]| -> Vec<u64> {
            runs.iter().flat_map(EntryRun::entries).map(|entry| entry.position.index.0).collect()
        };
        let each = |(_, message): &(NodeId, PeerMessage)| match message {
            PeerMessage::Raft { message: Message { body: Body::Append(append), .. }, entries } => {
                assert_eq!(append.slice.entries().len(), carried(entries).len());
                (append.slice.prev().index.0, carried(entries))
            }
            other => panic!("no append: {other:?}"),
        };
        served.send.iter().map(each).collect()
    }

    fn wanted(served: &Served) -> Vec<(u64, u64, u64)> {
        served.fetch.iter().map(|job| (job.id, job.first.0, job.last.0)).collect()
    }

    #[test]
    fn what_was_announced_is_sent_in_pieces_until_it_is_complete() {
        let tail = tail_of_8_and_9();
        let mut cold = waiting([append(3..=9), probe_after(9)]);

        let asked = cold.serve(&tail, || 1);
        assert_eq!((sent(&asked), wanted(&asked)), (vec![], vec![(1, 3, 7)]));
        cold.take_fetched(1, entries(1, 3..=4));
        let first = cold.serve(&tail, || 2);
        assert_eq!((sent(&first), wanted(&first)), (vec![(2, vec![3, 4])], vec![(2, 5, 7)]));
        cold.take_fetched(2, entries(1, 5..=7));
        let second = cold.serve(&tail, || 3);

        assert_eq!(sent(&second), [(4, vec![5, 6, 7]), (7, vec![8, 9]), (9, vec![])]);
        assert!(!cold.is_waiting(peer()));
    }

    #[test]
    fn entries_that_were_not_announced_are_not_sent() {
        let tail = tail_of_8_and_9();
        for other in [entries(2, 3..=4), entries(1, 4..=4), Vec::new()] {
            let mut cold = waiting([append(3..=4)]);
            let _ = cold.serve(&tail, || 1);
            cold.take_fetched(1, other);

            let served = cold.serve(&tail, || 2);

            assert_eq!(served.broken, [peer()]);
            assert!(served.send.is_empty() && !cold.is_waiting(peer()));
        }
    }

    #[test]
    fn an_append_that_begins_again_replaces_those_that_were_taken_for_lost() {
        let mut cold = waiting([append(3..=4), append(5..=6), append(3..=4)]);
        assert_eq!(cold.len(peer()), 1, "the first is on its way");

        cold.push(peer(), append(2..=4));
        assert_eq!(cold.len(peer()), 2);
    }

    #[test]
    fn too_many_appends_are_lost_and_the_first_stay() {
        let cold = waiting([append(3..=3), append(4..=4), append(5..=5), append(6..=6)]);

        assert_eq!(cold.len(peer()), 3);
    }

    #[test]
    fn a_fetch_of_an_earlier_term_is_for_nobody() {
        let tail = tail_of_8_and_9();
        let mut cold = waiting([append(3..=4)]);
        let _ = cold.serve(&tail, || 1);

        cold.lead(None);
        cold.take_fetched(1, entries(1, 3..=4));

        let served = cold.serve(&tail, || 2);
        assert!(served.send.is_empty() && served.broken.is_empty());
    }
}
