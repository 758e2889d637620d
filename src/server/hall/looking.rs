//! How the node is looked at: for those who ask for its status, and to tell all clients who leads and who belongs to the
//! cluster.
//!
//! One look is under way at a time, however many ask. A request that came after it began sees the next one, so that nobody
//! is told what was true before it asked.

use std::mem::take;
use std::sync::Arc;

use super::super::desk::{Desk, Reply, Sight};
use super::{Asked, Hall};
use crate::types::{ClientAnswer, ClientRefused, ClientStatus, Membership, NodeId, ServerMessage};

/// What clients are told of the node without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    leader: Option<NodeId>,
    members: Vec<(NodeId, String)>,
}

impl Picture {
    pub(super) fn knows_a_leader(&self) -> bool {
        self.leader.is_some()
    }

    pub(super) fn message(&self) -> ServerMessage {
        ServerMessage::Cluster { leader: self.leader, members: self.members.clone() }
    }
}

/// Who wants to see the node's status.
#[derive(Default)]
pub(super) struct Onlookers {
    /// Those who will see what the look shows that is under way; `None` while none is.
    looking: Option<Vec<Asked>>,
    /// Those who asked after it began.
    waiting: Vec<Asked>,
    /// The node has changed since it began.
    must_look_again: bool,
}

/// A look under way. Put on the desk when it is dropped: also unseen, if the node has stopped.
struct Look {
    desk: Arc<Desk>,
    sight: Sight,
}

impl Look {
    fn show(mut self, status: ClientStatus, membership: Arc<Membership>) {
        self.sight = Sight::Node(status, membership);
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let sight = std::mem::replace(&mut self.sight, Sight::Nothing);
        self.desk.put(|tray| tray.seen = Some(sight));
    }
}

impl Hall {
    /// Looks at the node, for those who wait for it.
    pub(super) fn look(&mut self) {
        self.onlookers.looking = Some(take(&mut self.onlookers.waiting));
        self.onlookers.must_look_again = false;
        let look = Look { desk: Arc::clone(&self.desk), sight: Sight::Nothing };
        self.service.look(Box::new(move |status, membership| look.show(status, membership)));
    }

    /// The node has changed.
    pub(super) fn look_again(&mut self) {
        if self.onlookers.looking.is_some() {
            self.onlookers.must_look_again = true;
        } else {
            self.look();
        }
    }

    /// A client asks for the status.
    pub(super) fn show(&mut self, asked: Asked) {
        self.onlookers.waiting.push(asked);
        if self.onlookers.looking.is_none() {
            self.look();
        }
    }

    /// What the look showed.
    pub(super) fn saw(&mut self, sight: Sight) {
        for Asked { by, id, bytes } in self.onlookers.looking.take().unwrap_or_default() {
            let outcome = match &sight {
                Sight::Node(status, _) => Ok(ClientAnswer::Status(status.clone())),
                Sight::Nothing => Err(ClientRefused::Stopped),
            };
            self.answer(Reply { to: by, id, bytes, outcome });
        }
        self.paint(sight);
        if self.onlookers.must_look_again || !self.onlookers.waiting.is_empty() {
            self.look();
        }
    }

    /// Tells all if what they know is not so any more. A node that has stopped has nothing to tell.
    fn paint(&mut self, sight: Sight) {
        let Sight::Node(status, membership) = sight else {
            self.picture.get_or_insert_default();
            return;
        };
        let members = membership.members().map(|(id, member)| (id, member.address.clone())).collect();
        let picture = Picture { leader: status.leader.and_then(NodeId::new), members };
        if self.picture.as_ref() != Some(&picture) {
            self.picture = Some(picture);
            self.tell_all();
        }
    }
}
