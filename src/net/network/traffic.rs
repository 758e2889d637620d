//! What flows: frames in, frames out, a bounded amount of each connection's per turn.

use mio::Token;

use super::super::connection::{Connection, Stage};
use super::super::inflow::Taken;
use super::dial::closed_by_peer;
use super::end::Ending;
use super::{Delivery, Network, Paused};
use crate::types::{Forward, NodeId, PeerMessage};
use crate::wire::WireError;
use crate::wire::frame::{self, FrameError, PROTOCOL_VERSION};
use crate::wire::hello::{LANES, Lane};
use crate::wire::peer;

/// How much is read from one connection before it is the next one's turn.
const READ_BYTES_PER_TURN: usize = 1 << 20;
/// And how much from a bulk connection, after all others had their turn.
const BULK_BYTES_PER_TURN: usize = 512 << 10;

impl Network {
    /// One write on each connection for which something waits.
    pub(super) fn write_all(&mut self, delivery: &dyn Delivery) {
        let mut tokens = std::mem::take(&mut self.to_write);
        tokens.sort_unstable();
        tokens.dedup();
        for lane in LANES {
            for &token in &tokens {
                if self.lane_of(token) == Some(lane) {
                    self.write(token, delivery);
                }
            }
        }
        tokens.clear();
        // Its allocation serves the next turn, unless this one has put something down already.
        if self.to_write.is_empty() {
            self.to_write = tokens;
        }
    }

    fn write(&mut self, token: Token, delivery: &dyn Delivery) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if connection.stage == Stage::Connecting || connection.outbox.is_empty() {
            return;
        }
        match connection.write(now) {
            Err(error) => self.end(token, &Ending::Broken(error), delivery),
            Ok(written) => {
                self.metrics.bytes_sent.add(written.bytes as u64);
                self.metrics.socket_writes.add(u64::from(written.bytes > 0));
                if !connection.outbox.is_empty() {
                    if !written.blocked {
                        self.to_write.push(token);
                    }
                } else if connection.stage == Stage::Refusing {
                    self.end(token, &Ending::Refused, delivery);
                }
            }
        }
    }

    /// Reads from each connection that has something, unless the inbox is full.
    pub(super) fn read_all(&mut self, delivery: &dyn Delivery) {
        self.resume(delivery);
        let mut tokens = std::mem::take(&mut self.to_read);
        tokens.sort_unstable();
        tokens.dedup();
        for lane in LANES {
            for &token in &tokens {
                if self.lane_of(token) == Some(lane)
                    && let Err(ending) = self.read(token, delivery)
                {
                    self.end(token, &ending, delivery);
                }
            }
        }
        for token in tokens {
            if self.connections.get(&token).is_some_and(Connection::wants_to_read) {
                self.to_read.push(token);
            }
        }
    }

    fn lane_of(&self, token: Token) -> Option<Lane> {
        self.connections.get(&token).map(|connection| connection.lane)
    }

    /// Goes on with the lanes for which there is room again. What was not heard while nothing was read is nobody's silence.
    fn resume(&mut self, delivery: &dyn Delivery) {
        let before = self.paused;
        if !before.on(Lane::Bulk) {
            return;
        }
        let all = before.all && delivery.is_full();
        let after = Paused { all, bulk: before.bulk && delivery.is_full_of_chunks() };
        self.paused = after;
        let resumes = |one: &&mut Connection| before.on(one.lane) && !after.on(one.lane);
        for connection in self.connections.values_mut().filter(resumes) {
            connection.heard_at = self.now;
            if connection.standing().is_none() {
                connection.opened_at = self.now;
            }
        }
    }

    fn read(&mut self, token: Token, delivery: &dyn Delivery) -> Result<(), Ending> {
        let mut budget = match self.lane_of(token) {
            Some(Lane::Bulk) => BULK_BYTES_PER_TURN,
            _ => READ_BYTES_PER_TURN,
        };
        while budget > 0 {
            self.paused.all |= delivery.is_full();
            self.paused.bulk |= delivery.is_full_of_chunks();
            let (now, paused) = (self.now, self.paused);
            let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
            if paused.on(connection.lane) || !connection.wants_to_read() {
                return Ok(());
            }
            match connection.read()? {
                Taken::Nothing => return Ok(()),
                Taken::End => return Err(Ending::Broken(closed_by_peer())),
                Taken::Bytes { count, .. } => {
                    connection.heard_at = now;
                    self.metrics.bytes_received.add(count as u64);
                    budget = budget.saturating_sub(count);
                    self.digest(token, delivery)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what is whole among the bytes that were read.
    fn digest(&mut self, token: Token, delivery: &dyn Delivery) -> Result<(), Ending> {
        let stage = |network: &Self| network.connections.get(&token).map(|connection| connection.stage);
        if stage(self) == Some(Stage::AwaitingHello) {
            self.receive_hello(token, delivery)?;
        }
        if stage(self) == Some(Stage::Greeting) {
            self.receive_answer(token, delivery)?;
        }
        match stage(self) {
            Some(Stage::Standing(standing)) => self.receive_frames(token, standing.peer, delivery),
            _ => Ok(()),
        }
    }

    fn receive_frames(&mut self, token: Token, from: NodeId, delivery: &dyn Delivery) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let lane = connection.lane;
        while let Some(bytes) = connection.inflow.next_frame_in(&mut self.buffers)? {
            let length = bytes.len();
            let frame = frame::open(PROTOCOL_VERSION, bytes)?;
            let group = frame.group;
            if let Some(message) = peer::decode(frame)? {
                judge_lane(&message, lane)?;
                judge_origins(&message, from)?;
                match lane {
                    Lane::Ordinary => self.metrics.messages_received.increment(),
                    Lane::Bulk => self.metrics.chunks_received.increment(),
                }
                delivery.deliver(group, from, message, length);
            }
        }
        Ok(())
    }
}

/// Chunks travel on the bulk lane, and nothing but chunks does.
fn judge_lane(message: &PeerMessage, lane: Lane) -> Result<(), FrameError> {
    match (message, lane) {
        (PeerMessage::Chunk(_), Lane::Bulk) => Ok(()),
        (PeerMessage::Chunk(_), Lane::Ordinary) | (_, Lane::Bulk) => {
            Err(WireError::Invalid { what: "lane of a message" }.into())
        }
        _ => Ok(()),
    }
}

/// Commands are forwarded once, by the node that took them: none speaks for another.
fn judge_origins(message: &PeerMessage, from: NodeId) -> Result<(), FrameError> {
    match message {
        PeerMessage::Forward(Forward { commands, .. })
            if commands.iter().any(|forwarded| forwarded.origin.node != from) =>
        {
            Err(WireError::Invalid { what: "origin of a forward" }.into())
        }
        _ => Ok(()),
    }
}
