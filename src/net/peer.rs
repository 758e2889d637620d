//! What the loop knows of one other node: where it is, which connections stand with it, when to dial again.

use std::time::Instant;

use mio::Token;

use super::backoff::Backoff;
use crate::types::{GroupId, Incarnation, SnapshotChunk};
use crate::wire::hello::Lane;
use crate::wire::peer::CHUNK_FRAME_HEAD_BYTES;

/// One other node.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it is reached; `None` if it is known only because it dialled us.
    pub(super) address: Option<String>,
    /// The data directory that it must show, once the cluster knows.
    pub(super) expected: Option<Incarnation>,
    /// Whether that may be a former one.
    pub(super) may_be_former: bool,
    ordinary: Line,
    bulk: Line,
    /// What the bulk line will carry once it stands.
    pub(super) chunks: Chunks,
    /// The connection of which we have said that it stands.
    pub(super) announced: Option<Token>,
}

/// The connections of one lane: one for each direction.
#[derive(Debug)]
pub(super) struct Line {
    /// The connection that we opened, or will.
    pub(super) dial: Dial,
    /// The connection that the peer opened, once it stands.
    pub(super) accepted: Option<Token>,
    pub(super) backoff: Backoff,
    /// How often we dialled: takes turns among the addresses of one name.
    pub(super) dials: usize,
}

/// How far our own connection of one lane has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// There is no address to dial, or on the bulk lane nothing to dial for.
    Idle,
    /// Not before then. After a refusal even a sign of life from the peer does not shorten the wait.
    Waiting { until: Instant, refused: bool },
    /// Its name is being resolved.
    Resolving,
    /// TCP or the handshake is under way.
    Trying(Token),
    /// It stands.
    Standing(Token),
}

impl Peer {
    /// A peer of which nothing is known yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            address: None,
            expected: None,
            may_be_former: false,
            ordinary: Line::new(seed),
            bulk: Line::new(!seed),
            chunks: Chunks::default(),
            announced: None,
        }
    }

    /// The data directory that is demanded of one who shows `shown`.
    pub(super) fn demanded_of(&self, shown: Incarnation) -> Option<Incarnation> {
        self.expected.filter(|_| !(self.may_be_former && shown.has_joined()))
    }

    pub(super) fn line(&self, lane: Lane) -> &Line {
        match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(super) fn line_mut(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Ordinary => &mut self.ordinary,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// The connection on which messages to this peer leave: the one that we dialled. Only to a peer whose address we
    /// do not know, answers take the one it came on. So messages never overtake each other on another connection.
    pub(super) fn route(&self) -> Option<Token> {
        match (&self.address, self.ordinary.dial) {
            (Some(_), Dial::Standing(token)) => Some(token),
            (Some(_), _) => None,
            (None, _) => self.ordinary.accepted,
        }
    }

    /// When to dial, if it waits for its time on that lane.
    pub(super) fn waits_until(&self, lane: Lane) -> Option<Instant> {
        match self.line(lane).dial {
            Dial::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Every connection with it, of either lane, in whatever stage.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> + use<> {
        let (ordinary, bulk) = (&self.ordinary, &self.bulk);
        [ordinary.dialled(), ordinary.accepted, bulk.dialled(), bulk.accepted].into_iter().flatten()
    }

    /// Whether nothing is left to know of it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.address.is_none() && self.tokens().next().is_none()
    }
}

impl Line {
    fn new(seed: u64) -> Self {
        Self { dial: Dial::Idle, accepted: None, backoff: Backoff::new(seed), dials: 0 }
    }

    /// The connection that we dialled, in whatever stage.
    pub(super) fn dialled(&self) -> Option<Token> {
        match self.dial {
            Dial::Trying(token) | Dial::Standing(token) => Some(token),
            Dial::Idle | Dial::Waiting { .. } | Dial::Resolving => None,
        }
    }
}

/// Chunks that wait for the bulk lane to stand, bounded in the bytes that they will take there.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    waiting: Vec<(GroupId, SnapshotChunk)>,
    bytes: usize,
}

impl Chunks {
    /// Queues `chunk`, or says that it found no room among `bytes_max`. One alone always does.
    pub(super) fn push(&mut self, group: GroupId, chunk: SnapshotChunk, bytes_max: usize) -> bool {
        let bytes = self.bytes + CHUNK_FRAME_HEAD_BYTES + chunk.bytes.len();
        if !self.waiting.is_empty() && bytes > bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.waiting.push((group, chunk));
        true
    }

    /// All of them, in their order.
    pub(super) fn take(&mut self) -> Vec<(GroupId, SnapshotChunk)> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::types::SnapshotId;

    fn chunk(bytes: usize) -> SnapshotChunk {
        SnapshotChunk { id: SnapshotId(1), offset: 0, bytes: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn chunks_that_wait_are_bounded_however_small_they_are() {
        let mut chunks = Chunks::default();
        assert!(chunks.push(GroupId::MAIN, chunk(5000), 1000), "one alone finds room");
        assert!(!chunks.push(GroupId::MAIN, chunk(0), 1000));
        assert_eq!(chunks.take().len(), 1);

        let taken = (0..1000).take_while(|_| chunks.push(GroupId::MAIN, chunk(0), 1000)).count();

        assert_eq!(taken, 1000 / CHUNK_FRAME_HEAD_BYTES);
    }
}
