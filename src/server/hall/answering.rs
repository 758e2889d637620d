//! What goes back: answers, and word of the cluster, into the queue of whoever it is for.

use mio::Token;

use super::super::connection::Connection;
use super::super::desk::Reply;
use super::Hall;
use super::ending::Ending;
use crate::net::{ByteQueue, SHARED_BYTES_MIN};
use crate::types::{ClientAnswer, ClientRefused, ServerMessage};
use crate::wire::client::{self, RESPONSE_HEAD_BYTES};

impl Hall {
    /// Queues an answer. Of who is gone, only the count of what was under way is left.
    pub(super) fn answer(&mut self, reply: Reply) {
        let Reply { to: token, id, bytes, outcome } = reply;
        self.totals.under_way -= bytes;
        let Some(mut connection) = self.connections.take(token) else { return };
        connection.requests -= 1;
        connection.request_bytes -= bytes;
        connection.active_at = self.now;
        let outcome = outcome.map_err(|refused| self.explain(refused));
        match self.say(token, &mut connection, ServerMessage::Reply { id, outcome }) {
            Ok(()) => self.settle(token, connection),
            Err(ending) => self.end(token, connection, &ending),
        }
    }

    /// Whose deadline came before its request was taken learns whether it was for want of a leader.
    fn explain(&self, refused: ClientRefused) -> ClientRefused {
        let no_leader = self.picture.as_ref().is_none_or(|picture| !picture.knows_a_leader());
        if no_leader && refused == ClientRefused::DeadlinePassed { ClientRefused::NoLeader } else { refused }
    }

    /// Tells one client who leads and who belongs to the cluster.
    pub(super) fn tell(&mut self, token: Token, connection: &mut Connection) -> Result<(), Ending> {
        let message = self.picture.as_ref().map(super::looking::Picture::message);
        message.map_or(Ok(()), |message| self.say(token, connection, message))
    }

    /// Tells all.
    pub(super) fn tell_all(&mut self) {
        for token in self.connections.tokens() {
            let Some(mut connection) = self.connections.take(token) else { continue };
            let told = if connection.is_standing() { self.tell(token, &mut connection) } else { Ok(()) };
            match told {
                Ok(()) => self.settle(token, connection),
                Err(ending) => self.end(token, connection, &ending),
            }
        }
    }

    /// Queues a message, unless too much waits already that the client does not read.
    pub(super) fn say(
        &mut self,
        token: Token,
        connection: &mut Connection,
        message: ServerMessage,
    ) -> Result<(), Ending> {
        let room = client::message_len(&message);
        if self.is_too_much(connection, room) {
            // Of what this turn brought nothing is written yet: perhaps the client reads well.
            self.flush(connection)?;
            if self.is_too_much(connection, room) {
                return Err(Ending::NeverReads { unread: connection.outbox.waiting_bytes() });
            }
        }
        if let ServerMessage::Reply { outcome, .. } = &message {
            self.metrics.answers.increment();
            if let Err(refused) = outcome {
                self.metrics.refused.increment();
                self.metrics.busy.add(u64::from(*refused == ClientRefused::Busy));
            }
        }
        self.queue(token, connection, |outbox| match message {
            ServerMessage::Reply { id, outcome: Ok(ClientAnswer::Response(response)) }
                if response.len() >= SHARED_BYTES_MIN =>
            {
                let encode_head = |out: &mut Vec<u8>| client::encode_response_head(id, &response, out);
                outbox.share(RESPONSE_HEAD_BYTES, encode_head, response.clone());
            }
            message => outbox.append(room, |out| client::encode_message(&message, out)),
        });
        Ok(())
    }

    fn is_too_much(&self, connection: &Connection, room: usize) -> bool {
        !connection.outbox.is_empty()
            && connection.outbox.waiting_bytes() + room > self.limits.unread_bytes_max
    }

    /// Queues bytes, and counts them.
    pub(super) fn queue(
        &mut self,
        token: Token,
        connection: &mut Connection,
        push: impl FnOnce(&mut ByteQueue),
    ) {
        connection.outbox.begin_with(|| self.spare_blocks.pop());
        let before = connection.outbox.waiting_bytes();
        push(&mut connection.outbox);
        self.totals.unread += connection.outbox.waiting_bytes() - before;
        connection.mark_to_be_written(token, &mut self.to_write);
    }
}
