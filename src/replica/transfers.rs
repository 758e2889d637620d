//! Snapshots on their way from one node to another, as far as the engine must know of them: what this node fetches, and how
//! far those are whom it serves. The bytes go past the engine.

use std::collections::BTreeMap;

use super::ReceiveJob;
use crate::consensus::{ProgressState, Raft};
use crate::types::{LogIndex, NodeId, SnapshotId, SnapshotMeta};

/// The one snapshot that this node fetches.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    under_way: Option<(NodeId, SnapshotId)>,
}

impl Fetching {
    /// Consensus wants `snapshot` from `from`, and says so with every offer. A job, unless it is under way already.
    pub(super) fn want(&mut self, from: NodeId, snapshot: SnapshotMeta) -> Option<ReceiveJob> {
        let wanted = Some((from, snapshot.id));
        let is_new = self.under_way != wanted;
        self.under_way = wanted;
        is_new.then_some(ReceiveJob { from, snapshot })
    }

    /// The mover is done with `id`, for good or ill. If it is offered again, it is fetched again.
    pub(super) fn ended(&mut self, id: SnapshotId) {
        if self.under_way.is_some_and(|(_, under_way)| under_way == id) {
            self.under_way = None;
        }
    }
}

/// The peers to whom this leader sends snapshots.
#[derive(Debug, Default)]
pub(super) struct Serving {
    peers: BTreeMap<NodeId, Sent>,
}

/// How far one of them is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    snapshot: SnapshotId,
    /// How far into it the peer was ever sent.
    pub(super) offset: u64,
    /// Of how much.
    pub(super) bytes: u64,
    matched: LogIndex,
    /// When it last got on.
    moved_at: u64,
}

impl Serving {
    /// `peer` is offered `snapshot`.
    pub(super) fn offered(&mut self, peer: NodeId, snapshot: &SnapshotMeta, tick: u64) {
        let sent = Sent {
            snapshot: snapshot.id,
            offset: 0,
            bytes: snapshot.bytes,
            matched: LogIndex::ZERO,
            moved_at: tick,
        };
        let known = self.peers.entry(peer).or_insert(sent);
        if known.snapshot != snapshot.id {
            *known = sent;
        }
    }

    /// `peer` was sent a piece that ends at `offset`. Only what lies beyond all that it was sent before is progress: one
    /// whose disk fails at the same place each time, and which begins anew each time, must not have the log kept for it for
    /// ever. Who had good reason to begin anew loses little: it is counted afresh with the next offer.
    pub(super) fn served(&mut self, peer: NodeId, offset: u64, tick: u64) {
        if let Some(sent) = self.peers.get_mut(&peer)
            && sent.offset < offset
        {
            (sent.offset, sent.moved_at) = (offset, tick);
        }
    }

    /// What `peer` was sent, if it is being sent a snapshot.
    pub(super) fn sent(&self, peer: NodeId) -> Option<Sent> {
        self.peers.get(&peer).copied()
    }

    /// Time passed: who got no further for `stall_ticks`, and whether anybody has got all it needs.
    pub(super) fn review(&mut self, raft: &Raft, tick: u64, stall_ticks: u32) -> Review {
        let mut review = Review::default();
        self.peers.retain(|&peer, sent| {
            let progress = raft.progress(peer);
            let Some(progress) = progress.filter(|known| known.state == ProgressState::Snapshot) else {
                review.somebody_is_done = true;
                return false;
            };
            if progress.matched > sent.matched {
                (sent.matched, sent.moved_at) = (progress.matched, tick);
            }
            let is_stalled = tick.saturating_sub(sent.moved_at) >= u64::from(stall_ticks);
            if is_stalled {
                review.stalled.push(peer);
            }
            !is_stalled
        });
        review
    }
}

/// What became of those who are served.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// They make no progress.
    pub(super) stalled: Vec<NodeId>,
    /// The log that was kept for somebody may be dropped now.
    pub(super) somebody_is_done: bool,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{LogPosition, Membership, Term};

    fn node(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    fn snapshot(id: u64) -> SnapshotMeta {
        let position = LogPosition::new(Term(1), LogIndex(9));
        SnapshotMeta { id: SnapshotId(id), position, membership: Arc::new(Membership::nobody()), bytes: 100 }
    }

    #[test]
    fn what_is_offered_again_is_fetched_once_until_it_ends() {
        let mut fetching = Fetching::default();
        assert!(fetching.want(node(1), snapshot(7)).is_some());
        assert!(fetching.want(node(1), snapshot(7)).is_none());

        fetching.ended(SnapshotId(6));
        assert!(fetching.want(node(1), snapshot(7)).is_none(), "another one ended");
        fetching.ended(SnapshotId(7));
        assert!(fetching.want(node(1), snapshot(7)).is_some());
    }

    #[test]
    fn another_leader_or_another_snapshot_takes_the_place_of_the_first() {
        let mut fetching = Fetching::default();
        assert!(fetching.want(node(1), snapshot(7)).is_some());
        assert!(fetching.want(node(2), snapshot(7)).is_some());
        assert!(fetching.want(node(2), snapshot(8)).is_some());
        assert!(fetching.want(node(2), snapshot(8)).is_none());
    }

    #[test]
    fn a_peer_that_is_sent_the_same_pieces_over_and_over_makes_no_progress() {
        let mut serving = Serving::default();
        serving.offered(node(2), &snapshot(7), 0);
        let mut moved_at = |offset, tick| {
            serving.served(node(2), offset, tick);
            serving.sent(node(2)).map(|sent| (sent.offset, sent.moved_at))
        };

        assert_eq!(moved_at(30, 1), Some((30, 1)));
        assert_eq!(moved_at(60, 2), Some((60, 2)));
        assert_eq!(moved_at(30, 3), Some((60, 2)), "it begins anew");
        assert_eq!(moved_at(60, 4), Some((60, 2)), "and comes no further");
        assert_eq!(moved_at(61, 5), Some((61, 5)));
    }

    #[test]
    fn another_snapshot_is_counted_from_its_beginning() {
        let mut serving = Serving::default();
        serving.offered(node(2), &snapshot(7), 0);
        serving.served(node(2), 60, 1);
        serving.offered(node(2), &snapshot(7), 2);
        assert_eq!(serving.sent(node(2)).map(|sent| (sent.offset, sent.bytes)), Some((60, 100)));

        serving.offered(node(2), &snapshot(8), 3);
        assert_eq!(serving.sent(node(2)).map(|sent| sent.offset), Some(0));
        assert!(serving.sent(node(3)).is_none());
    }
}
