//! What observers hear of a node: its role, its leader, its members, its snapshots, its peers.
//!
//! An observer that falls behind loses events and is told how many; the engine never waits for one, and forgets those
//! that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::Role;
use super::clock::later;
use crate::replica::Notice;
use crate::types::Membership;

/// Something that became so on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// It has another role, or has it in another term.
    RoleChanged {
        /// What it is now.
        role: Role,
        /// Since which term.
        term: u64,
    },
    /// Another node leads, or none is known to.
    LeaderChanged {
        /// Who.
        leader: Option<u64>,
        /// In which term.
        term: u64,
    },
    /// A configuration is committed. A joint one that is left at once may go untold.
    MembershipChanged {
        /// The entry that holds it.
        index: u64,
        /// Who belongs to the cluster from then on.
        membership: Arc<Membership>,
    },
    /// A snapshot of this node's own state machine is durable.
    SnapshotSaved {
        /// The last entry in it.
        index: u64,
        /// How long its file is, in bytes.
        bytes: u64,
    },
    /// A snapshot could not be taken; it is tried again.
    SnapshotFailed {
        /// What went wrong.
        reason: String,
    },
    /// A snapshot of another node took the place of this node's log and state.
    SnapshotInstalled {
        /// The last entry in it.
        index: u64,
    },
    /// The log was dropped up to here.
    Compacted {
        /// The last entry that went.
        through: u64,
    },
    /// A connection with that peer stands.
    PeerConnected {
        /// Who.
        peer: u64,
    },
    /// The connection with that peer is gone.
    PeerLost {
        /// Who.
        peer: u64,
    },
    /// The log has no room any more, or has room again.
    DiskFull {
        /// Which of the two.
        full: bool,
    },
    /// This node does not belong to the cluster any more.
    Removed,
}

/// The events of a node from the moment of [`Node::events`](super::Node::events) on, in their order. As an iterator it
/// waits for the next one, and ends with the node.
///
/// ```no_run
/// # fn watch<S: quorate::StateMachine>(node: &quorate::Node<S>) {
/// let events = node.events();
/// std::thread::spawn(move || {
///     for event in events {
///         println!("{event:?}");
///     }
/// });
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    events: Receiver<NodeEvent>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// The next event; waits for it. `None` once the node has stopped and everything is told.
    pub fn recv(&self) -> Option<NodeEvent> {
        self.events.recv().ok()
    }

    /// As [`Events::recv`], and `None` also if none comes in time.
    pub fn recv_timeout(&self, within: Duration) -> Option<NodeEvent> {
        self.events.recv_deadline(later(within)).ok()
    }

    /// The next event, if one waits.
    pub fn try_recv(&self) -> Option<NodeEvent> {
        self.events.try_recv().ok()
    }

    /// How many events found no room, because 1024 waited already, and are lost to this observer.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Iterator for Events {
    type Item = NodeEvent;

    fn next(&mut self) -> Option<NodeEvent> {
        self.recv()
    }
}

/// The engine's end of one [`Events`]; or somebody who is told at once.
pub(super) enum Observer {
    /// The queue of [`Events`].
    Queue { events: Sender<NodeEvent>, lost: Arc<AtomicU64> },
    /// Called on the engine's thread, so it must not block. Says whether it wants to hear more.
    Told(Box<dyn FnMut(&NodeEvent) -> bool + Send>),
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Observer {
    /// The two ends of one listener's channel, which is bounded.
    pub(super) fn pair((sender, events): (Sender<NodeEvent>, Receiver<NodeEvent>)) -> (Self, Events) {
        let lost = Arc::<AtomicU64>::default();
        (Self::Queue { events: sender, lost: Arc::clone(&lost) }, Events { events, lost })
    }

    /// Tells it one event; `false` if it is gone.
    fn tell(&mut self, event: &NodeEvent) -> bool {
        match self {
            Self::Told(hear) => hear(event),
            Self::Queue { events, lost } => match events.try_send(event.clone()) {
                Err(TrySendError::Disconnected(_)) => false,
                Err(TrySendError::Full(_)) => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Ok(()) => true,
            },
        }
    }
}

/// Those who listen now.
#[derive(Debug, Default)]
pub(super) struct Observers(Vec<Observer>);

impl Observers {
    pub(super) fn add(&mut self, observer: Observer) {
        self.0.push(observer);
    }

    /// Tells all of them, and forgets those that are gone.
    pub(super) fn tell(&mut self, notices: Vec<Notice>) {
        if self.0.is_empty() {
            return;
        }
        for event in notices.into_iter().map(NodeEvent::from) {
            self.0.retain_mut(|observer| observer.tell(&event));
        }
    }
}

impl From<Notice> for NodeEvent {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::RoleChanged { role, term } => Self::RoleChanged { role: Role::of(role), term: term.0 },
            Notice::LeaderChanged { leader, term } => {
                Self::LeaderChanged { leader: leader.map(crate::types::NodeId::get), term: term.0 }
            }
            Notice::MembershipChanged { position, membership } => {
                Self::MembershipChanged { index: position.0, membership }
            }
            Notice::SnapshotSaved { position, bytes } => {
                Self::SnapshotSaved { index: position.index.0, bytes }
            }
            Notice::SnapshotFailed { reason } => Self::SnapshotFailed { reason },
            Notice::SnapshotInstalled { position } => Self::SnapshotInstalled { index: position.index.0 },
            Notice::Compacted { through } => Self::Compacted { through: through.0 },
            Notice::PeerConnected { peer } => Self::PeerConnected { peer: peer.get() },
            Notice::PeerLost { peer } => Self::PeerLost { peer: peer.get() },
            Notice::DiskFull { full } => Self::DiskFull { full },
            Notice::Removed => Self::Removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::channels;
    use crate::types::LogIndex;

    fn compacted(through: u64) -> Notice {
        Notice::Compacted { through: LogIndex(through) }
    }

    #[test]
    fn an_observer_that_falls_behind_loses_the_newest_and_learns_how_many() {
        let mut observers = Observers::default();
        let (observer, events) = Observer::pair(channels::events());
        observers.add(observer);

        observers.tell((1..=channels::EVENTS_MAX as u64 + 3).map(compacted).collect());
        drop(observers);

        assert_eq!(events.lost(), 3);
        let heard: Vec<_> = events.collect();
        assert_eq!(heard.len(), channels::EVENTS_MAX);
        assert_eq!(heard[0], NodeEvent::Compacted { through: 1 });
    }

    #[test]
    fn an_observer_that_is_gone_is_forgotten() {
        let mut observers = Observers::default();
        let (observer, events) = Observer::pair(channels::events());
        observers.add(observer);
        drop(events);

        observers.tell(vec![Notice::Removed]);

        assert!(observers.0.is_empty());
    }
}
