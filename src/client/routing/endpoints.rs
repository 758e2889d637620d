//! Where nodes may be reached: the addresses that the client was given, and those that nodes name as members'. Nothing else
//! is ever dialled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::LinkId;
use crate::net::Backoff;
use crate::types::{Membership, NodeId};

/// A connection that stood as long as this, or on which something was answered, has earned its address a fresh start.
const PROVEN_AFTER: Duration = Duration::from_secs(2);

/// Names an address as long as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointId(u32);

/// One address.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: String,
    /// The client was given it: it stays known, whatever nodes say.
    is_seed: bool,
    /// Whose it is, as nodes say.
    member: Option<NodeId>,
    /// Who answered there last.
    found: Option<NodeId>,
    pub(super) dial: Dial,
    not_before: Instant,
    backoff: Backoff,
    /// Why there is no connection, for people.
    trouble: Option<Trouble>,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// No, and nobody needs it.
    Resting,
    /// No, but it is to be dialled when its time has come.
    Wanted,
    /// There is one, or one in the making.
    Linked(LinkId),
}

#[derive(Debug)]
struct Trouble {
    why: String,
    /// It will not change by itself.
    is_refusal: bool,
}

/// How a connection ended, as far as its address is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Dial again, after a while.
    Failed,
    /// Dial again much later: only a person can change what caused it.
    Refused,
    /// It was of no use to anybody at the time.
    Unneeded,
}

impl Endpoint {
    /// Whose address it is, as far as is known.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.member.or(self.found)
    }

    /// Somebody said there who it is.
    pub(super) fn found(&mut self, node: NodeId) {
        self.found = Some(node);
        self.trouble = None;
    }

    /// There is a use for a connection.
    pub(super) fn want(&mut self) {
        if self.dial == Dial::Resting {
            self.dial = Dial::Wanted;
        }
    }

    /// The connection, or the attempt at one, is over; `stood_for` so long, and had answered something or not.
    pub(super) fn ended(&mut self, end: End, why: String, stood_for: Duration, answered: bool, now: Instant) {
        if stood_for >= PROVEN_AFTER || answered {
            self.backoff.reset();
        }
        let is_refusal = end == End::Refused;
        let wait = if is_refusal { self.backoff.wait_after_refusal() } else { self.backoff.wait() };
        self.not_before = now + wait;
        self.dial = if end == End::Unneeded { Dial::Resting } else { Dial::Wanted };
        self.trouble = Some(Trouble { why, is_refusal });
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Endpoints {
    known: BTreeMap<EndpointId, Endpoint>,
    next: EndpointId,
    /// Who belongs to the cluster, as nodes say; empty before the first has spoken.
    members: BTreeMap<NodeId, String>,
    seed: u64,
}

impl Endpoints {
    /// The addresses that the client was given. `seed` owns chance.
    pub(super) fn new(seeds: Vec<String>, seed: u64, now: Instant) -> Self {
        let (known, members) = (BTreeMap::new(), BTreeMap::new());
        let mut endpoints = Self { known, next: EndpointId(0), members, seed };
        for address in seeds {
            endpoints.add(address, true, now);
        }
        endpoints
    }

    fn add(&mut self, address: String, is_seed: bool, now: Instant) -> &mut Endpoint {
        let id = self.next;
        self.next.0 += 1;
        let backoff = Backoff::new(self.seed ^ u64::from(id.0).rotate_left(32));
        self.known.entry(id).or_insert(Endpoint {
            address,
            is_seed,
            member: None,
            found: None,
            dial: Dial::Resting,
            not_before: now,
            backoff,
            trouble: None,
        })
    }

    /// Nodes say that these are the members. An address that is neither a member's nor was given at the start is forgotten
    /// with its connection.
    pub(super) fn set_members(&mut self, members: BTreeMap<NodeId, String>, now: Instant) {
        if members == self.members {
            return;
        }
        for endpoint in self.known.values_mut() {
            endpoint.member = None;
        }
        for (&node, address) in &members {
            let known = self.known.values_mut().find(|one| one.address == *address);
            let endpoint = match known {
                Some(known) => known,
                None => self.add(address.clone(), false, now),
            };
            endpoint.member = Some(node);
            endpoint.want();
        }
        self.members = members;
        self.forget();
        assert!(self.members.len() <= Membership::MEMBERS_MAX, "members beyond their limit");
    }

    /// Drops what is of no use any more.
    pub(super) fn forget(&mut self) {
        self.known
            .retain(|_, one| one.is_seed || one.member.is_some() || matches!(one.dial, Dial::Linked(_)));
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// Whether anybody has said yet who the members are.
    pub(super) fn are_members_known(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.known.get_mut(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (EndpointId, &mut Endpoint)> {
        self.known.iter_mut().map(|(&id, endpoint)| (id, endpoint))
    }

    /// When the next is to be dialled, of those whose node is not among `linked`.
    pub(super) fn due_at(&self, linked: &[NodeId]) -> Option<Instant> {
        self.wanted(linked).map(|(_, one)| one.not_before).min()
    }

    /// Those to be dialled now.
    pub(super) fn due(&self, now: Instant, linked: &[NodeId]) -> Vec<EndpointId> {
        self.wanted(linked).filter(|(_, one)| one.not_before <= now).map(|(id, _)| id).collect()
    }

    fn wanted(&self, linked: &[NodeId]) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        let is_linked = |one: &Endpoint| one.node().is_some_and(|node| linked.contains(&node));
        let wanted = self.known.iter().filter(|(_, one)| one.dial == Dial::Wanted);
        wanted.filter(move |(_, one)| !is_linked(one)).map(|(&id, one)| (id, one))
    }

    /// Whether everybody has refused us for good.
    pub(super) fn all_refuse(&self) -> bool {
        let refuses = |one: &Endpoint| one.trouble.as_ref().is_some_and(|trouble| trouble.is_refusal);
        self.known.values().all(refuses)
    }

    /// Every address, and why there is no connection, for a person to read.
    pub(super) fn troubles(&self) -> String {
        let mut text = String::new();
        for one in self.known.values() {
            let why = match (&one.trouble, one.dial) {
                (Some(trouble), _) => trouble.why.as_str(),
                (None, Dial::Linked(_)) => "it has not answered yet",
                (None, _) => "it was not tried yet",
            };
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{}: {why}", one.address);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::now;

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn members(list: &[(u64, &str)]) -> BTreeMap<NodeId, String> {
        list.iter().map(|&(id, address)| (node(id), address.to_owned())).collect()
    }

    fn addresses(endpoints: &mut Endpoints) -> Vec<String> {
        endpoints.iter_mut().map(|(_, one)| one.address.clone()).collect()
    }

    #[test]
    fn an_address_is_known_as_long_as_it_was_given_or_is_a_members() {
        let mut endpoints = Endpoints::new(vec!["a:1".into(), "b:1".into()], 7, now());

        endpoints.set_members(members(&[(2, "b:1"), (3, "c:1")]), now());
        assert_eq!(addresses(&mut endpoints), ["a:1", "b:1", "c:1"]);

        endpoints.set_members(members(&[(2, "b:1"), (4, "d:1")]), now());
        assert_eq!(addresses(&mut endpoints), ["a:1", "b:1", "d:1"]);
        assert!(endpoints.is_member(node(4)) && !endpoints.is_member(node(3)));
    }

    #[test]
    fn a_node_that_is_linked_is_not_dialled_at_its_other_address() {
        let start = now();
        let mut endpoints = Endpoints::new(vec!["localhost:1".into()], 7, start);
        endpoints.set_members(members(&[(1, "127.0.0.1:1"), (2, "127.0.0.1:2")]), start);

        let due = endpoints.due(start, &[node(1)]);

        let due: Vec<_> = due.iter().map(|id| endpoints.known[id].address.as_str()).collect();
        assert_eq!(due, ["127.0.0.1:2"]);
        assert_eq!(endpoints.due_at(&[node(1), node(2)]), None);
    }

    #[test]
    fn a_failed_address_waits_before_it_is_dialled_again_and_longer_each_time() {
        let start = now();
        let mut endpoints = Endpoints::new(vec!["a:1".into()], 7, start);
        let id = EndpointId(0);

        let mut waits = Vec::new();
        for _ in 0..3 {
            let one = endpoints.get_mut(id).unwrap();
            one.ended(End::Failed, "refused".into(), Duration::ZERO, false, start);
            assert_eq!(endpoints.due(start, &[]), []);
            waits.push(endpoints.due_at(&[]).unwrap() - start);
        }

        assert!(waits.is_sorted() && waits[0] < waits[2], "{waits:?}");
        assert_eq!(endpoints.due(start + waits[2], &[]), [id]);
    }

    #[test]
    fn what_is_in_the_way_is_told_address_by_address() {
        let start = now();
        let mut endpoints = Endpoints::new(vec!["a:1".into(), "b:1".into()], 7, start);
        let one = endpoints.get_mut(EndpointId(0)).unwrap();
        one.ended(End::Refused, "the token is wrong".into(), Duration::ZERO, false, start);

        assert_eq!(endpoints.troubles(), "a:1: the token is wrong; b:1: it was not tried yet");
        assert!(!endpoints.all_refuse());
    }
}
