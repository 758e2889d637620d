//! The network of a cluster: what is cut, lost, and delivered.

use super::*;

impl Cluster {
    /// Messages between the two are lost.
    pub(in crate::replica::tests) fn cut(&mut self, one: u64, other: u64) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Messages from `from` to `to` are lost.
    pub(in crate::replica::tests) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Messages between `number` and everybody else are lost.
    pub(in crate::replica::tests) fn isolate(&mut self, number: u64) {
        self.numbers().into_iter().filter(|&other| other != number).for_each(|other| self.cut(number, other));
    }

    /// `from` has no connection to `to`.
    pub(in crate::replica::tests) fn disconnect(&mut self, from: u64, to: u64) {
        self.unreachable.insert((from, to));
    }

    pub(in crate::replica::tests) fn lose(&mut self, lost: Lost) {
        self.lossy = Some(lost);
    }

    pub(in crate::replica::tests) fn heal(&mut self) {
        self.cut.clear();
        self.unreachable.clear();
        self.lossy = None;
    }

    pub(super) fn deliver(&mut self) -> bool {
        let sent = std::mem::take(&mut self.in_transit);
        let busy = !sent.is_empty();
        for (from, to, message) in sent {
            self.deliver_one(from, to, message);
        }
        busy
    }

    fn deliver_one(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let link = (from.get(), to.get());
        if self.unreachable.contains(&link) {
            if matches!(message, PeerMessage::Forward(_) | PeerMessage::Admin(_)) {
                self.handle(link.0, Event::Undelivered { to, message });
            }
        } else if !self.cut.contains(&link)
            && !self.lossy.is_some_and(|is_lost| is_lost(link.0, link.1, &message))
            && self.nodes.contains_key(&link.1)
        {
            match message {
                PeerMessage::Pull(pull) => self.node(link.1).to_mover.push(MoverInput::Pull { from, pull }),
                PeerMessage::Chunk(chunk) => {
                    self.node(link.1).to_mover.push(MoverInput::Chunk { from, chunk });
                }
                message => self.handle(link.1, Event::Message { from, message }),
            }
        }
    }

    /// Delivers the oldest message of the link on which the `nth` message travels.
    pub(in crate::replica::tests) fn deliver_nth(&mut self, nth: usize) {
        self.transit(nth, Transit::Deliver);
    }

    /// Something becomes of the oldest message of the link on which the `nth` message travels, or of the `nth` itself if it
    /// overtakes; `false` if nothing is under way.
    pub(in crate::replica::tests) fn transit(&mut self, nth: usize, how: Transit) -> bool {
        let nth = nth % self.in_transit.len().max(1);
        let Some(&(from, to, _)) = self.in_transit.get(nth) else { return false };
        let oldest = self.in_transit.iter().position(|message| (message.0, message.1) == (from, to));
        let place = if matches!(how, Transit::Overtake) { Some(nth) } else { oldest };
        let Some((from, to, message)) = place.and_then(|place| self.in_transit.remove(place)) else {
            return false;
        };
        if matches!(how, Transit::Double) {
            self.in_transit.push_back((from, to, message.clone()));
        }
        if !matches!(how, Transit::Lose) {
            self.deliver_one(from, to, message);
        }
        true
    }
}
