//! The node as the clients' thread sees it: bytes in, tickets of bytes out, and no type parameter.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::machine::StateMachine;
use crate::runtime::{Node, NodeEvent};
use crate::ticket::{ProposeError, ReadError, StopCause, Ticket};
use crate::types::{ClientStatus, ClusterId, Membership, SessionId, SessionTag};

/// What is done with a node that was looked at. Dropped unseen if it has stopped.
pub(super) type See = Box<dyn FnOnce(ClientStatus, Arc<Membership>) + Send>;

/// Nothing here waits for anything. Only the decoding of commands and queries, which is the user's, takes its time, and may
/// panic.
pub(super) trait Service: Send {
    fn propose(
        &self,
        session: Option<SessionTag>,
        command: Bytes,
        within: Duration,
    ) -> Ticket<Bytes, ProposeError>;
    fn open_session(&self, within: Duration) -> Ticket<SessionId, ProposeError>;
    fn close_session(&self, session: SessionId, within: Duration) -> Ticket<(), ProposeError>;
    fn query(&self, query: Bytes, local: bool, within: Duration) -> Ticket<Bytes, ReadError>;
    /// Shows the node as it is, on a thread of the node, soon.
    fn look(&self, see: See);
    /// The cluster, once the node belongs to one.
    fn cluster(&self) -> Option<ClusterId>;
    /// Stops the node.
    fn stop_for(&self, cause: StopCause);
}

impl<S: StateMachine> Service for Node<S> {
    fn propose(
        &self,
        session: Option<SessionTag>,
        command: Bytes,
        within: Duration,
    ) -> Ticket<Bytes, ProposeError> {
        match session {
            Some(tag) => self.submit_tagged(tag, command, within),
            None => self.submit_bytes(command, within),
        }
    }

    fn open_session(&self, within: Duration) -> Ticket<SessionId, ProposeError> {
        self.submit_open_session(within)
    }

    fn close_session(&self, session: SessionId, within: Duration) -> Ticket<(), ProposeError> {
        self.submit_close_session(session, within)
    }

    fn query(&self, query: Bytes, local: bool, within: Duration) -> Ticket<Bytes, ReadError> {
        self.submit_query_bytes(query, local, within)
    }

    fn look(&self, see: See) {
        Self::look(self, see);
    }

    fn cluster(&self) -> Option<ClusterId> {
        Self::cluster(self)
    }

    fn stop_for(&self, cause: StopCause) {
        Self::stop_for(self, cause);
    }
}

/// Whether clients are told of it.
pub(super) fn concerns_clients(event: &NodeEvent) -> bool {
    matches!(event, NodeEvent::LeaderChanged { .. } | NodeEvent::MembershipChanged { .. })
}
