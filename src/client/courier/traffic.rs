//! What flows: requests out, answers in, a bounded amount of each connection's per turn.

use super::super::connection::Stage;
use super::Courier;
use crate::client::routing::LinkId;
use crate::net::Taken;
use crate::types::ClientRequest;
use crate::wire::client;
use crate::wire::frame::{self, CLIENT_VERSION};

/// How much is read from one connection before it is the next one's turn.
const READ_BYTES_PER_TURN: usize = 1 << 20;

impl Courier {
    /// Queues a request, to be written in this turn.
    pub(super) fn queue(&mut self, link: LinkId, request: &ClientRequest) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.push(request);
            connection.mark_to_be_written(link, &mut self.to_write);
        }
    }

    /// One write on each connection for which something waits.
    pub(super) fn write_all(&mut self) {
        let mut links = std::mem::take(&mut self.to_write);
        for &link in &links {
            let Some(connection) = self.connections.get_mut(&link) else { continue };
            connection.is_to_be_written = false;
            match connection.write() {
                Ok(true) => connection.mark_to_be_written(link, &mut self.to_write),
                Ok(false) => {}
                Err(error) => self.lose(link, &error.to_string()),
            }
        }
        links.clear();
        // Its allocation serves the next turn, unless this one has put something down already.
        if self.to_write.is_empty() {
            self.to_write = links;
        }
    }

    /// Reads from each connection that has something.
    pub(super) fn read_all(&mut self) {
        let mut links = std::mem::take(&mut self.to_read);
        links.sort_unstable();
        links.dedup();
        for link in links {
            match self.read(link) {
                Ok(true) => self.to_read.push(link),
                Ok(false) => {}
                Err(why) => self.lose(link, &why),
            }
        }
    }

    /// Reads what there is, up to a limit; whether there may be more.
    fn read(&mut self, link: LinkId) -> Result<bool, String> {
        let mut budget = READ_BYTES_PER_TURN;
        while budget > 0 {
            let Some(connection) = self.connections.get_mut(&link) else { return Ok(false) };
            if !connection.readable {
                return Ok(false);
            }
            match connection.read().map_err(|error| error.to_string())? {
                Taken::Nothing => return Ok(false),
                Taken::End => return Err("closed by the other side".to_owned()),
                Taken::Bytes { count, .. } => {
                    budget = budget.saturating_sub(count);
                    self.routing.heard(link, self.now);
                    self.digest(link)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes what is whole among the bytes that were read.
    fn digest(&mut self, link: LinkId) -> Result<(), String> {
        if let Some(connection) = self.connections.get(&link)
            && matches!(connection.stage, Stage::Greeting(_))
        {
            self.receive_welcome(link)?;
        }
        let Some(connection) = self.connections.get_mut(&link) else { return Ok(()) };
        if !matches!(connection.stage, Stage::Open(_)) {
            return Ok(());
        }
        while let Some(bytes) = connection.inflow.next_frame().map_err(malformed)? {
            let message = frame::open(CLIENT_VERSION, bytes).and_then(client::decode_message);
            self.routing.told(link, message.map_err(malformed)?, self.now);
        }
        Ok(())
    }
}

fn malformed(error: frame::FrameError) -> String {
    format!("it says what no node would: {error}")
}
