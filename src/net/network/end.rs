//! How a connection ends, and what follows from it.

use std::io;
use std::time::Duration;

use mio::Token;

use super::super::backoff;
use super::super::connection::{Connection, Side, Standing};
use super::super::peer::Dial;
use super::{Delivery, Network};
use crate::types::NodeId;
use crate::wire::WireError;
use crate::wire::frame::FrameError;
use crate::wire::hello::{Lane, Reason};

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The network's doing, or the other side's.
    Broken(io::Error),
    /// It sent what no node would send.
    Malformed(FrameError),
    /// We will not talk to it.
    RefusedByUs(Reason),
    /// It will not talk to us.
    RefusedByPeer(Reason),
    /// Our refusal was written, and logged then.
    Refused,
    /// Nothing was heard for too long.
    Silent(Duration),
    /// It did not prove in time who it is.
    Dawdling(Duration),
    /// The same peer has opened a newer one.
    Replaced,
    /// Room was needed, and nobody knew who it was.
    Crowded,
    /// This node stops.
    Closing,
    /// The peer is not a peer any more, or lives elsewhere now.
    Unwanted,
    /// There was no chunk to send for so long.
    Idle,
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<FrameError> for Ending {
    fn from(error: FrameError) -> Self {
        Self::Malformed(error)
    }
}

impl From<WireError> for Ending {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.into())
    }
}

impl Network {
    /// Closes a connection: forwards that never left go back, the peer is dialled again later, the node is told.
    pub(super) fn end(&mut self, token: Token, ending: &Ending, delivery: &dyn Delivery) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        self.count(&connection, ending);
        self.log_ending(&connection, ending);
        // Closing the socket would do; this fails only for one that the kernel has let go of already.
        let _ = self.poll.registry().deregister(&mut connection.socket);

        let (side, lane, standing) = (connection.side, connection.lane, connection.standing());
        if lane == Lane::Bulk && !self.connections.values().any(|other| other.lane == Lane::Bulk) {
            self.buffers.clear();
        }
        if let Some(id) = standing.map(|one| one.peer) {
            for (group, message) in connection.outbox.into_undelivered() {
                delivery.undelivered(group, id, message);
            }
            if let Some(peer) = self.peers.get_mut(&id)
                && peer.line(lane).accepted == Some(token)
            {
                peer.line_mut(lane).accepted = None;
            }
        }
        if let Side::Dialled(id) = side {
            self.ended_dialled(id, lane, standing, ending);
        }
        if let Some(id) = connection_peer(side, standing.map(|one| one.peer)) {
            self.announce(id, delivery);
            self.forget(id);
        }
    }

    /// What follows for a lane that we dialled: it is dialled again later, unless it is given up because it is idle.
    fn ended_dialled(&mut self, id: NodeId, lane: Lane, standing: Option<Standing>, ending: &Ending) {
        let lived_long = standing.is_some_and(|one| self.now - one.since >= backoff::LONGEST);
        if let Some(peer) = self.peers.get_mut(&id) {
            let line = peer.line_mut(lane);
            if lived_long {
                line.backoff.reset();
            }
            if matches!(ending, Ending::Idle) {
                line.dial = Dial::Idle;
                return;
            }
        }
        let refused = matches!(ending, Ending::RefusedByUs(_) | Ending::RefusedByPeer(_));
        self.dial_later(id, lane, refused);
    }

    fn count(&self, connection: &Connection, ending: &Ending) {
        if connection.standing().is_some() {
            match connection.lane {
                Lane::Ordinary => self.metrics.disconnects.increment(),
                Lane::Bulk => self.metrics.bulk_disconnects.increment(),
            }
        }
        match ending {
            Ending::Malformed(_) => self.metrics.frames_malformed.increment(),
            Ending::RefusedByUs(_) | Ending::RefusedByPeer(_) => self.metrics.refused.increment(),
            Ending::Silent(_) | Ending::Dawdling(_) => self.metrics.silent.increment(),
            _ => {}
        }
    }

    fn log_ending(&mut self, connection: &Connection, ending: &Ending) {
        let why = match ending {
            Ending::Broken(error) => error.to_string(),
            Ending::Malformed(error) => error.to_string(),
            Ending::RefusedByUs(reason) => format!("we refuse it: {reason}"),
            Ending::RefusedByPeer(reason) => format!("it refuses us: {reason}"),
            Ending::Refused | Ending::Closing | Ending::Idle => return,
            Ending::Silent(silence) => format!("nothing was heard for {silence:?}"),
            Ending::Dawdling(handshake) => format!("no handshake within {handshake:?}"),
            Ending::Replaced => "it has connected anew".to_owned(),
            Ending::Crowded => "too many connections".to_owned(),
            Ending::Unwanted => "it is no peer at this address any more".to_owned(),
        };
        let refused = matches!(ending, Ending::RefusedByUs(_) | Ending::RefusedByPeer(_));
        match (connection.side, connection.standing()) {
            // Nothing is lost by it: what was on the way is asked for again.
            (Side::Dialled(id), Some(_)) if connection.lane == Lane::Bulk && !refused => {
                log::info!("the bulk lane to node {id} ended: {why}");
            }
            (Side::Accepted(_), Some(one)) if connection.lane == Lane::Bulk => {
                log::debug!("the bulk lane of node {} ended: {why}", one.peer);
            }
            (Side::Dialled(id), _) if refused => log::warn!("no connection to node {id}: {why}"),
            (Side::Dialled(id), None) => log::debug!("no connection to node {id}: {why}"),
            (Side::Dialled(id), Some(_)) => log::warn!("lost the connection to node {id}: {why}"),
            (Side::Accepted(from), Some(one)) => {
                log::info!("the connection of node {} from {from} ended: {why}", one.peer);
            }
            (Side::Accepted(from), None) => {
                if let Some(left_out) = self.strangers_log.pass(self.now) {
                    log::warn!("closed a connection from {from}: {why}{left_out}");
                }
            }
        }
    }
}

fn connection_peer(side: Side, standing: Option<NodeId>) -> Option<NodeId> {
    match side {
        Side::Dialled(id) => Some(id),
        Side::Accepted(_) => standing,
    }
}
