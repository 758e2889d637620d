//! What time brings: dials that are due, signs of life, and the end of connections on which nothing is heard.

use std::time::{Duration, Instant};

use mio::Token;

use super::super::connection::{Connection, Side, Stage};
use super::close::Closing;
use super::end::Ending;
use super::{Delivery, Network};
use crate::types::NodeId;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::hello::{LANES, Lane};
use crate::wire::peer;

/// Upkeep looks again at the latest after this, whatever is due.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

impl Network {
    /// Does all that is due, and finds out when there is something to do next.
    pub(super) fn look_after_connections(&mut self, delivery: &dyn Delivery) {
        self.due_at = self.now + INTERVAL_MAX;
        if let Some(at) = self.acceptor.resume_at().filter(|&at| at > self.now) {
            self.due_by(at);
        }
        let tokens: Vec<Token> = self.connections.keys().copied().collect();
        for token in tokens {
            self.look_after(token, delivery);
        }
        // A hello names a cluster: without one, nobody is dialled.
        if self.me.cluster.is_some() && self.closing == Closing::No {
            self.dial_all(delivery);
        }
    }

    fn dial_all(&mut self, delivery: &dyn Delivery) {
        let waiting = self.peers.iter().flat_map(|(&id, peer)| {
            LANES.into_iter().filter_map(move |lane| Some((id, lane, peer.waits_until(lane)?)))
        });
        let waiting: Vec<(NodeId, Lane, Instant)> = waiting.collect();
        for (id, lane, until) in waiting {
            if until <= self.now {
                self.dial(id, lane, delivery);
            } else {
                self.due_by(until);
            }
        }
    }

    fn look_after(&mut self, token: Token, delivery: &dyn Delivery) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let (silence, handshake) = (self.settings.silence, self.settings.handshake);
        let (given_up_at, ending) = match connection.stage {
            Stage::Standing(_) => (connection.heard_at + silence, Ending::Silent(silence)),
            _ => (connection.opened_at + handshake, Ending::Dawdling(handshake)),
        };
        // While the inbox is full we read nothing, so silence says nothing.
        let paused = self.paused.on(connection.lane);
        if given_up_at <= self.now && !paused {
            return self.end(token, &ending, delivery);
        }
        let idle_at = idle_at(connection, self.settings.bulk_idle);
        if idle_at.is_some_and(|at| at <= self.now) {
            return self.end(token, &Ending::Idle, delivery);
        }
        let mut next = if paused { self.now + silence } else { given_up_at };
        if connection.standing().is_some() {
            next = next.min(sign_of_life(connection, self.now, silence / 3));
            self.to_write.push(token);
        }
        next = idle_at.map_or(next, |at| next.min(at));
        self.due_by(next);
    }
}

/// When the lane is closed if no more chunks come; `None` of what is no bulk lane of ours, or not idle at all.
fn idle_at(connection: &Connection, idle: Duration) -> Option<Instant> {
    let ours = connection.lane == Lane::Bulk && matches!(connection.side, Side::Dialled(_));
    let unused = connection.standing().is_some() && connection.outbox.is_empty();
    (ours && unused).then(|| connection.used_at + idle)
}

/// Says that we live if we have said nothing for `interval`; when to look again.
fn sign_of_life(connection: &mut Connection, now: Instant, interval: Duration) -> Instant {
    let speak_at = connection.spoke_at + interval;
    if speak_at > now {
        return speak_at;
    }
    // If something waits already, a ping behind it would arrive no sooner.
    if connection.outbox.is_empty() {
        connection.outbox.append(HEADER_BYTES, peer::encode_ping);
    }
    now + interval
}
