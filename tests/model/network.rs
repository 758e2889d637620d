//! The network: a link from each node to each other one, which holds few messages. What does not fit is lost.
//!
//! Where messages are lost at all, any may be, of those that are there and those that come. They are lost no sooner than
//! something else needs their place: until then a message that is lost is one that has not arrived yet, and two worlds that
//! differ in nothing else would be visited for one.

use quorate::types::{Body, Message, Term};

use super::configurations::{Order, Rules};
use super::shared::Shared;

/// From each of three nodes to each.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Network {
    links: [Vec<Shared<Message>>; 9],
}

/// Which message: from whom, to whom, and which one of that link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) nth: usize,
}

impl Network {
    /// Where nothing is lost otherwise, what is sent last is what does not fit; else the link is crowded for a moment.
    pub(crate) fn send(&mut self, from: usize, to: usize, message: Message, rules: &Rules) {
        let link = &mut self.links[3 * from + to];
        if link.len() < rules.link_messages || rules.loses {
            link.push(Shared::new(message));
        }
        if rules.order == Order::Any {
            link.sort_by_key(Shared::fingerprint);
        }
    }

    /// What may be left when the links from this node have lost what they cannot hold.
    pub(crate) fn thinned(self, from: usize, capacity: usize) -> Vec<Self> {
        let (mut left, mut crowded) = (Vec::new(), vec![self]);
        while let Some(network) = crowded.pop() {
            match (3 * from..3 * from + 3).find(|&link| network.links[link].len() > capacity) {
                None => left.push(network),
                Some(link) => {
                    crowded.extend((0..network.links[link].len()).map(|nth| network.without(link, nth)));
                }
            }
        }
        left
    }

    fn without(&self, link: usize, nth: usize) -> Self {
        let mut network = self.clone();
        network.links[link].remove(nth);
        network
    }

    /// The messages that may arrive next.
    pub(crate) fn arriving(&self, order: Order) -> impl Iterator<Item = Place> {
        let links = (0..3).flat_map(|from| (0..3).map(move |to| (from, to)));
        links.flat_map(move |(from, to)| {
            let link = &self.links[3 * from + to];
            let at_once = if order == Order::Kept { link.len().min(1) } else { link.len() };
            let is_new = |&nth: &usize| nth == 0 || link[nth].fingerprint() != link[nth - 1].fingerprint();
            let places = (0..at_once).filter(is_new).collect::<Vec<_>>();
            places.into_iter().map(move |nth| Place { from, to, nth })
        })
    }

    /// Whether others wait behind this one.
    pub(crate) fn is_in_the_way(&self, place: Place, order: Order) -> bool {
        order == Order::Kept && self.links[3 * place.from + place.to].len() > place.nth + 1
    }

    pub(crate) fn at(&self, place: Place) -> &Message {
        &self.links[3 * place.from + place.to][place.nth]
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.links[3 * place.from + place.to].remove(place.nth);
    }

    /// Forgets answers of terms before `durable` on their way to `to`: they say nothing, now or after a crash.
    pub(crate) fn forget_old_answers(&mut self, to: usize, durable: Term) {
        for from in 0..3 {
            let link = &mut self.links[3 * from + to];
            link.retain(|message| message.term >= durable || !says_nothing_later(&message.body));
        }
    }
}

fn says_nothing_later(body: &Body) -> bool {
    matches!(
        body,
        Body::VoteAnswer { .. }
            | Body::AppendAnswer(_)
            | Body::HeartbeatAnswer(_)
            | Body::ReadIndexAnswer { .. }
            | Body::TimeoutNow
    )
}
