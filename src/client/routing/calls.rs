//! The calls under way, whichever way they are on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::LinkId;
use crate::ticket::Outcome;
use crate::types::{ClientAnswer, ClientRefused, NodeId, SessionId};

/// How often the calls are looked through for deadlines that have passed, if many pass one after the other.
const SWEEP_INTERVAL: Duration = Duration::from_millis(5);

/// What a caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Ask {
    /// That this command takes effect, once.
    Propose(Bytes),
    /// What is current.
    Query(Bytes),
    /// A node's copy as it is: that node's, or anyone's.
    Local {
        /// The question.
        query: Bytes,
        /// Whose.
        node: Option<NodeId>,
    },
    /// How that node is, or anyone.
    Status(Option<NodeId>),
    /// That a node is there at all.
    Contact,
}

impl Ask {
    /// How long the command or the query is.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Propose(bytes) | Self::Query(bytes) | Self::Local { query: bytes, .. } => bytes.len(),
            Self::Status(_) | Self::Contact => 0,
        }
    }

    /// Whether only one node can answer.
    pub(super) fn names_a_node(&self) -> bool {
        matches!(self, Self::Local { node: Some(_), .. } | Self::Status(Some(_)))
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Verdict {
    /// A node answered.
    Answered(ClientAnswer),
    /// A node is there, to whom it only wanted to be connected.
    Met,
    /// It came to nothing, or nobody knows.
    Failed(Failure),
}

/// Why a call came to nothing. But for the last three, no command was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Failure {
    /// No node was connected at the deadline: every address, and why not.
    Unreachable(Arc<str>),
    NoLeader,
    DeadlinePassed,
    Busy,
    DiskFull,
    TooLarge {
        bytes: u64,
        limit: u64,
    },
    Malformed,
    /// The node that was asked by name is no member.
    NotMember(NodeId),
    Panicked(String),
    SessionExpired(Outcome),
    AnswerForgotten,
    Unknown,
}

/// The caller's end of a call.
pub(in crate::client) trait CallEnd {
    /// The request is about to leave, and may take effect from here on; `false` if its caller does not want it any more.
    fn take(&self) -> bool;
    /// It certainly took no effect so far.
    fn put_back(&self);
}

/// One call.
#[derive(Debug)]
pub(super) struct Call<E> {
    pub(super) ask: Ask,
    pub(super) end: E,
    pub(super) deadline: Instant,
    /// Its number in a session, once it was sent there. With it, it is the same command however often it is sent.
    pub(super) tag: Option<(SessionId, u64)>,
    /// An earlier attempt may have been taken, and nobody has said what became of it.
    pub(super) in_doubt: bool,
    /// Where it was sent and is not answered.
    pub(super) sent: Option<(LinkId, u64)>,
    pub(super) attempts: u32,
    /// How often it was refused since it last got anywhere.
    pub(super) refusals: u32,
    /// Why it was refused last.
    pub(super) refused: Option<Box<ClientRefused>>,
    /// Better not there again, as long as there is another.
    pub(super) avoid: Option<NodeId>,
}

impl<E> Call<E> {
    pub(super) fn new(ask: Ask, end: E, deadline: Instant) -> Self {
        Self {
            ask,
            end,
            deadline,
            tag: None,
            in_doubt: false,
            sent: None,
            attempts: 0,
            refusals: 0,
            refused: None,
            avoid: None,
        }
    }

    pub(super) fn is_proposal(&self) -> bool {
        matches!(self.ask, Ask::Propose(_))
    }

    /// Whether its command may have taken effect, or may yet.
    pub(super) fn may_be_applied(&self) -> bool {
        self.is_proposal() && (self.in_doubt || self.sent.is_some())
    }
}

/// Names a call; of one that is over it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Calls<E> {
    places: Vec<Place<E>>,
    free: Vec<u32>,
    /// No deadline is earlier.
    earliest: Option<Instant>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Place<E> {
    generation: u32,
    call: Option<Call<E>>,
}

impl<E> Calls<E> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), earliest: None, swept_at: None }
    }

    pub(super) fn insert(&mut self, call: Call<E>) -> Key {
        self.note(call.deadline);
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, call: None });
            u32::try_from(self.places.len() - 1).expect("calls are limited in number")
        });
        let place = &mut self.places[index as usize];
        place.call = Some(call);
        Key { index, generation: place.generation }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Call<E>> {
        let place = self.places.get(key.index as usize)?;
        place.call.as_ref().filter(|_| place.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Call<E>> {
        let place = self.places.get_mut(key.index as usize)?;
        place.call.as_mut().filter(|_| place.generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Call<E>> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let call = place.call.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(call)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Call<E>)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let key = Key { index: index as u32, generation: place.generation };
            Some((key, place.call.as_ref()?))
        })
    }

    /// When to look for calls whose deadline has passed.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let earliest = self.earliest?;
        Some(self.swept_at.map_or(earliest, |at| earliest.max(at + SWEEP_INTERVAL)))
    }

    /// Those whose deadline has passed.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Key> {
        if self.due_at().is_none_or(|at| now < at) {
            return Vec::new();
        }
        let late = self.iter().filter(|(_, call)| call.deadline <= now).map(|(key, _)| key).collect();
        let others = self.iter().map(|(_, call)| call.deadline).filter(|deadline| *deadline > now);
        self.earliest = others.min();
        self.swept_at = Some(now);
        late
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Call<E>> {
        self.free.clear();
        self.earliest = None;
        std::mem::take(&mut self.places).into_iter().filter_map(|place| place.call)
    }

    fn note(&mut self, deadline: Instant) {
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::now;

    #[test]
    fn the_key_of_a_call_that_is_over_names_no_other() {
        let (mut calls, deadline) = (Calls::new(), now());
        let first = calls.insert(Call::new(Ask::Contact, 1, deadline));
        assert_eq!(calls.remove(first).map(|call| call.end), Some(1));
        let second = calls.insert(Call::new(Ask::Contact, 2, deadline));

        assert!(calls.get(first).is_none() && calls.remove(first).is_none());
        assert_eq!(calls.get(second).map(|call| call.end), Some(2));
    }

    #[test]
    fn each_deadline_is_found_when_it_has_passed_and_not_before() {
        let (mut calls, start) = (Calls::new(), now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let keys: Vec<_> = [3, 1, 2].map(|at| calls.insert(Call::new(Ask::Contact, at, after(at)))).into();
        assert_eq!(calls.due_at(), Some(after(1)));

        assert_eq!(calls.late(start), []);
        assert_eq!(calls.late(after(1)), [keys[1]]);
        calls.remove(keys[1]);
        assert_eq!(calls.due_at(), Some(after(2)));
        assert_eq!(calls.late(after(5)), [keys[0], keys[2]]);
        for key in [keys[0], keys[2]] {
            calls.remove(key);
        }
        assert!(calls.is_empty() && calls.late(after(9)).is_empty());
    }
}
