//! How both sides prove who they are.

use mio::Token;

use super::super::connection::{Connection, Side, Stage};
use super::super::peer::Dial;
use super::end::Ending;
use super::{Delivery, Network};
use crate::types::{ClusterId, Incarnation, NodeId};
use crate::wire::greeting::GREETING_BYTES_MAX;
use crate::wire::hello::{Answer, Hello, Lane, Reason};

impl Network {
    /// Reads the hello of who came, if all of it is there, and answers.
    pub(super) fn receive_hello(&mut self, token: Token, delivery: &dyn Delivery) -> Result<(), Ending> {
        if self.is_guest(token) {
            return self.receive_guest(token);
        }
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let Some(bytes) = connection.inflow.next_greeting(Hello::announced_len)? else { return Ok(()) };
        let hello = Hello::decode(bytes)?;
        let expected = self.peers.get(&hello.node).and_then(|peer| peer.demanded_of(hello.incarnation));
        let answer = self.me.answer_to(&hello, expected);
        connection.lane = hello.lane;
        connection.outbox.append(GREETING_BYTES_MAX, |out| answer.encode(out));
        self.to_write.push(token);
        match answer {
            Answer::Accepted { .. } => {
                self.adopt(hello.cluster, delivery);
                self.welcome(token, &hello, delivery);
            }
            Answer::Refused(reason) => {
                connection.stage = Stage::Refusing;
                self.log_refusal(token, hello.node, reason);
            }
        }
        Ok(())
    }

    /// A node that had no cluster belongs to that of the first one whose hello was good, and may dial from now on.
    fn adopt(&mut self, cluster: ClusterId, delivery: &dyn Delivery) {
        if self.me.cluster.is_none() {
            self.me.cluster = Some(cluster);
            self.due_by(self.now);
            delivery.cluster_adopted(cluster);
        }
    }

    fn welcome(&mut self, token: Token, hello: &Hello, delivery: &dyn Delivery) {
        let (id, lane) = (hello.node, hello.lane);
        // Who dials again has given up the connection before.
        if let Some(old) = self.peer_mut(id).line(lane).accepted {
            self.end(old, &Ending::Replaced, delivery);
        }
        self.peer_mut(id).line_mut(lane).accepted = Some(token);
        self.stand(token, id, hello.incarnation);
        if lane == Lane::Ordinary {
            log::info!("node {id} at {:?} connected to this node", hello.address);
            self.dial_soon(id);
            self.announce(id, delivery);
        }
    }

    /// Reads the answer to our hello, if all of it is there.
    pub(super) fn receive_answer(&mut self, token: Token, delivery: &dyn Delivery) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let (Side::Dialled(id), lane) = (connection.side, connection.lane) else { return Ok(()) };
        let Some(bytes) = connection.inflow.next_greeting(Answer::announced_len)? else { return Ok(()) };
        let answer = Answer::decode(bytes)?;
        let expected = match answer {
            Answer::Accepted { incarnation, .. } => {
                self.peers.get(&id).and_then(|peer| peer.demanded_of(incarnation))
            }
            Answer::Refused(_) => None,
        };
        match self.me.judge(answer, id, expected) {
            Ok(incarnation) => {
                self.stand(token, id, incarnation);
                self.peer_mut(id).line_mut(lane).dial = Dial::Standing(token);
                match lane {
                    Lane::Ordinary => self.announce(id, delivery),
                    Lane::Bulk => self.open_lane(token, id),
                }
                Ok(())
            }
            Err(reason) if answer == Answer::Refused(reason) => Err(Ending::RefusedByPeer(reason)),
            Err(reason) => Err(Ending::RefusedByUs(reason)),
        }
    }

    fn stand(&mut self, token: Token, id: NodeId, incarnation: Incarnation) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.stand(id, incarnation, now);
        match connection.lane {
            Lane::Ordinary => self.metrics.connects.increment(),
            Lane::Bulk => self.metrics.bulk_connects.increment(),
        }
        self.due_by(now + self.settings.silence / 3);
    }

    /// Tells the node, once each, when we begin and when we cease to be able to send to `id`. When messages to it begin
    /// to take another connection, it was lost and is found: those under way on the old one may be overtaken.
    pub(super) fn announce(&mut self, id: NodeId, delivery: &dyn Delivery) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let route = peer.route();
        if peer.announced == route {
            return;
        }
        if peer.announced.is_some() {
            delivery.peer_lost(id);
        }
        peer.announced = route;
        let standing = route.and_then(|token| self.connections.get(&token)).and_then(Connection::standing);
        if let Some(standing) = standing {
            log::info!("connected to node {id}");
            delivery.peer_connected(id, standing.incarnation);
        }
    }

    fn log_refusal(&mut self, token: Token, node: NodeId, reason: Reason) {
        self.metrics.refused.increment();
        if let (Some(connection), Some(left_out)) =
            (self.connections.get(&token), self.strangers_log.pass(self.now))
        {
            let from = connection.side;
            log::warn!("refused node {node}, {from}: {reason}{left_out}");
        }
    }
}
