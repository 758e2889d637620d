//! The network: frames between nodes, as bytes. Connections come and go as those of TCP do; but messages may also be lost,
//! come twice and overtake each other on one that stands.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::chance::Chance;
use super::plan::SECOND;
use super::shape::Slowness;
use crate::types::{GroupId, NodeId, PeerMessage};
use crate::wire::{frame, peer};

/// An ordered pair: from whom, to whom.
pub(super) type Link = (NodeId, NodeId);

/// What is wrong with all links at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noise {
    /// In parts of a million.
    pub(super) lost: u32,
    pub(super) doubled: u32,
    pub(super) disordered: u32,
    /// Nanoseconds that some messages take longer.
    pub(super) delay: u64,
}

#[derive(Debug, Default)]
pub(super) struct Network {
    /// Nothing passes on these.
    cut: BTreeSet<Link>,
    /// What is sent on these arrives later than usual.
    slow: BTreeMap<Link, Slowness>,
    /// Those that stand, and which connection it is.
    standing: BTreeMap<Link, u64>,
    connections: u64,
    /// When the last frame of a link arrives: the next one comes behind it.
    last_arrival: BTreeMap<Link, u64>,
    pub(super) noise: Noise,
    pub(super) sent: u64,
}

/// A frame under way.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) link: Link,
    pub(super) connection: u64,
    pub(super) bytes: Bytes,
}

impl Network {
    pub(super) fn cut(&mut self, link: Link) {
        self.cut.insert(link);
    }

    pub(super) fn slow_down(&mut self, link: Link, slowness: Slowness) {
        self.slow.insert(link, slowness);
    }

    pub(super) fn speed_up(&mut self, link: Link) {
        self.slow.remove(&link);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.slow.clear();
        self.noise = Noise::default();
    }

    pub(super) fn mend(&mut self, link: Link) {
        self.cut.remove(&link);
    }

    pub(super) fn is_cut(&self, (from, to): Link) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Both directions begin anew.
    pub(super) fn connect(&mut self, (from, to): Link) {
        self.connections += 1;
        for link in [(from, to), (to, from)] {
            self.standing.insert(link, self.connections);
        }
    }

    /// What is under way on it is lost. Whether it stood.
    pub(super) fn lose(&mut self, (from, to): Link) -> bool {
        self.last_arrival.remove(&(to, from));
        self.last_arrival.remove(&(from, to));
        self.standing.remove(&(to, from));
        self.standing.remove(&(from, to)).is_some()
    }

    pub(super) fn stands(&self, link: Link) -> bool {
        self.standing.contains_key(&link)
    }

    /// Whether a frame arrives that was sent on `connection`.
    pub(super) fn delivers(&self, frame: &Frame) -> bool {
        self.standing.get(&frame.link) == Some(&frame.connection) && !self.is_cut(frame.link)
    }

    /// Sends; gives the frame and when it arrives, once or twice or never. `None` if there is no connection.
    pub(super) fn send(
        &mut self,
        link: Link,
        message: &PeerMessage,
        now: u64,
        (latency, bandwidth): (u64, u64),
        chance: &mut Chance,
    ) -> Option<Vec<(u64, Frame)>> {
        let connection = *self.standing.get(&link)?;
        self.sent += 1;
        let Noise { lost, doubled, disordered, delay } = self.noise;
        if chance.ppm(lost) {
            return Some(Vec::new());
        }
        let mut bytes = Vec::new();
        peer::encode(GroupId::MAIN, message, &mut bytes);
        let frame = Frame { link, connection, bytes: bytes.into() };
        let mut took = chance.within(latency / 2..latency * 3 / 2 + 1);
        if delay > 0 && chance.ppm(200_000) {
            took += chance.within(0..delay);
        }
        took += frame.bytes.len() as u64 * SECOND / bandwidth;
        took += self.slow.get(&link).map_or(0, |slowness| slowness.at(now));
        let behind = self.last_arrival.get(&link).copied().unwrap_or(0);
        let at = if chance.ppm(disordered) { now + took } else { (now + took).max(behind) };
        self.last_arrival.insert(link, behind.max(at));
        let mut arrivals = Vec::with_capacity(1);
        if chance.ppm(doubled) {
            arrivals.push((at + chance.within(0..20 * latency), frame.clone()));
        }
        arrivals.push((at, frame));
        Some(arrivals)
    }
}

/// What a frame says, as the receiver reads it.
pub(super) fn open(frame: Bytes) -> PeerMessage {
    let opened = frame::open(frame::PROTOCOL_VERSION, frame).expect("nothing is damaged on the way");
    peer::decode(opened).expect("what was encoded is decoded").expect("nobody pings here")
}
