//! The snapshot mover: fetches snapshots from other nodes, and serves those that this node holds. Neither the engine nor
//! anything it waits for ever sees their bytes.
//!
//! The receiver does the asking. It [pulls](SnapshotPull) a window of the file, writes what comes in order, and pulls on as
//! far as it has written: so the window bounds what is under way and in memory on both sides, and the one who serves
//! remembers nothing that must not be lost. Whatever goes wrong with a message, the receiver asks again from the first byte
//! that it does not have. After a crash, or under another leader who holds the same snapshot, it goes on from there.
//!
//! ```text
//! engine ─ReceiveJob─► receiving ─Pull─► │ ─Pull─► serving ◄─ SnapshotStore::piece
//! engine ◄─Received──  receiving ◄─Chunk─ │ ◄─Chunk─ serving ─Served─► engine
//! ```
//!
//! Time comes in with each call; [`SnapshotMover::next_tick`] says when to call [`SnapshotMover::tick`].

mod receiving;
mod serving;
mod throttle;

use std::time::Duration;

use self::receiving::Receiving;
use self::serving::Serving;
use crate::replica::{Event, ReceiveJob};
use crate::storage::SnapshotStore;
use crate::types::{Moment, NodeId, PeerMessage, SnapshotChunk, SnapshotPull};

/// What one message carries, and what is read and written at once: large enough for a disk and a socket to run at full
/// speed, small enough that what one damaged or lost message costs is nothing.
const CHUNK_BYTES: u32 = 1 << 20;
/// What is asked for at once: as one chunk it comes as it was asked for, ending where the receiver wants it to end.
const PULL_BYTES: u64 = 1 << 20;
/// What is asked for and has not come: the speed is one window per round trip, and where cores are scarce a round trip of
/// threads that let others go first takes some milliseconds.
const WINDOW_BYTES: u64 = 8 << 20;

const _: () = assert!(CHUNK_BYTES as u64 <= PULL_BYTES && PULL_BYTES <= WINDOW_BYTES, "a window holds pulls");
const _: () = assert!(CHUNK_BYTES as usize <= SnapshotChunk::BYTES_MAX, "a message holds a chunk");

/// How a mover behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MoverConfig {
    /// How much it sends in a second at most, to all followers together; `None`: as fast as it goes.
    pub(crate) bytes_per_second: Option<u64>,
    /// When nothing came for so long it asks again. Some heartbeats.
    pub(crate) ask_again_after: Duration,
    /// When nothing came for so long a transfer is given up. There is no other limit to how long one takes.
    pub(crate) give_up_after: Duration,
}

/// What a mover is told.
#[derive(Debug)]
pub(crate) enum MoverInput {
    /// The engine wants this snapshot, and no other any more.
    Receive(ReceiveJob),
    /// Another node asks for a piece.
    Pull {
        /// Who asks.
        from: NodeId,
        /// For what.
        pull: SnapshotPull,
    },
    /// A piece that was asked for, perhaps.
    Chunk {
        /// Who sent it.
        from: NodeId,
        /// What it is.
        chunk: SnapshotChunk,
    },
    /// The connection with this node is gone. What it has asked for it will ask for again.
    PeerLost(NodeId),
}

/// What comes of it.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// For the transport.
    pub(crate) send: Vec<(NodeId, PeerMessage)>,
    /// For the engine: [`Event::Received`] and [`Event::Served`].
    pub(crate) events: Vec<Event>,
}

/// Fetches and serves the snapshots of one group.
pub(crate) struct SnapshotMover {
    receiving: Receiving,
    serving: Serving,
}

impl SnapshotMover {
    /// Two handles of the same snapshots: one to write what is received, one to read what is served.
    pub(crate) fn new(
        config: MoverConfig,
        received: Box<dyn SnapshotStore>,
        served: Box<dyn SnapshotStore>,
    ) -> Self {
        Self {
            receiving: Receiving::new(config, received),
            serving: Serving::new(config.bytes_per_second, served),
        }
    }

    /// Something happened.
    pub(crate) fn handle(&mut self, input: MoverInput, now: Moment) -> Moves {
        let mut moves = Moves::default();
        match input {
            MoverInput::Receive(job) => self.receiving.begin(job, now, &mut moves),
            MoverInput::Chunk { from, chunk } => self.receiving.take(from, &chunk, now, &mut moves),
            MoverInput::Pull { from, pull } => {
                self.serving.owe(from, pull);
                self.serving.serve(now, &mut moves);
            }
            MoverInput::PeerLost(peer) => self.serving.forget(peer),
        }
        moves
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Moment) -> Moves {
        let mut moves = Moves::default();
        self.receiving.tick(now, &mut moves);
        self.serving.serve(now, &mut moves);
        moves
    }

    /// When the next tick is due; earlier ones do no harm. `None`: when something has happened.
    pub(crate) fn next_tick(&self) -> Option<Moment> {
        [self.receiving.next_tick(), self.serving.next_tick()].into_iter().flatten().min()
    }

    /// How many chunks came that nobody had asked for, or that were not the next: duplicates, late ones, those of another
    /// transfer.
    pub(crate) fn strays(&self) -> u64 {
        self.receiving.strays()
    }
}
