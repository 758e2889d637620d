//! What whoever serves clients asks of a node, beside their requests ([`super::submit`]): it is started with somebody to hand
//! connections over to, shows itself without making anybody wait, and is stopped with a cause.

use std::net::SocketAddr;
use std::sync::Arc;

use super::channels::{Control, Look};
use super::events::{NodeEvent, Observer};
use super::{Config, Node, Parts, StartError};
use crate::machine::StateMachine;
use crate::replica::ReplicaStatus;
use crate::ticket::StopCause;
use crate::transport::Guests;
use crate::types::{ClientStatus, ClusterId, Membership, NodeId};

impl Config {
    /// What clients must know too.
    pub(crate) fn shared_token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// The longest command.
    pub(crate) fn longest_command(&self) -> usize {
        self.command_bytes_max
    }
}

impl<S: StateMachine> Node<S> {
    /// As [`Node::start`], and clients that come to its address are handed to `guests`. Says where it listens.
    pub(crate) fn start_serving(
        mut config: Config,
        machine: S,
        guests: Box<dyn Guests>,
    ) -> Result<(Self, SocketAddr), StartError> {
        let judged = config.validate()?;
        let (parts, address) = Parts::listening(&mut config, &judged, Some(guests))?;
        Ok((Self::launch(&config, &judged, machine, parts)?, address))
    }

    /// Its id.
    pub(crate) fn id(&self) -> NodeId {
        self.running().id
    }

    /// Its cluster, once it belongs to one.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.running().cluster.get().copied()
    }

    /// Shows the node as it is, on the engine's thread, soon: `see` must not block. Dropped unseen if the node has stopped.
    pub(crate) fn look(&self, see: impl FnOnce(ClientStatus, Arc<Membership>) + Send + 'static) {
        let look = move |status: ReplicaStatus| {
            let membership = Arc::clone(&status.membership);
            see(told(&status), membership);
        };
        self.running().control(Control::Status(Look(Box::new(look))));
    }

    /// Tells `hear` of each event, on the engine's thread, until it says `false`: it must not block. Dropped when the node
    /// stops, after all callers were answered that the engine knew.
    pub(crate) fn watch(&self, hear: impl FnMut(&NodeEvent) -> bool + Send + 'static) {
        self.running().control(Control::Observe(Observer::Told(Box::new(hear))));
    }

    /// Stops it for that cause.
    pub(crate) fn stop_for(&self, cause: StopCause) {
        self.running().stopper.stop(cause);
    }

    /// Waits until it has stopped, and says why.
    pub(crate) fn wait_stopped(&self) -> StopCause {
        let running = self.running();
        // Nothing is ever sent: this ends when all threads have.
        let _ = running.all_gone.recv();
        running.stop_cause().unwrap_or(StopCause::Shutdown)
    }
}

/// As clients are told it.
fn told(status: &ReplicaStatus) -> ClientStatus {
    ClientStatus {
        node: status.id.get(),
        term: status.term.0,
        leader: status.leader.map(NodeId::get),
        commit: status.commit.0,
        applied: status.applied.0,
        voters: status.membership.voters().iter().map(|id| id.get()).collect(),
        learners: status.membership.learners().iter().map(|id| id.get()).collect(),
    }
}
