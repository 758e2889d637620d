//! Transports that are wrong on purpose, each in one way, over the network in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use quorate::testing::transport::{Fabric, verify};
use quorate::transport::{
    Inbox, LocalNode, MemoryNetwork, MemoryTransport, SendJob, Transport, TransportError, Wake,
};
use quorate::types::{Body, ClusterId, GroupId, Incarnation, LogIndex, NodeId, PeerMessage};

use crate::require_caught;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Duplicates,
    Reorders,
    Alters,
    TellsAnotherGroup,
    DeliversToAnother,
    NamesAnotherSender,
    ForgetsWhatIsUndelivered,
    ReturnsWhatArrived,
    HoardsWhatIsUndelivered,
    FillsAFullInbox,
    ChokesOnChunks,
    LosesAPeerTwice,
    HidesTheDirectory,
    TalksToAnyCluster,
    JoinsWithoutAWord,
}

use Wrong::*;

#[test]
fn each_wrong_transport_is_caught_by_the_clause_it_breaks() {
    for (wrong, clause) in [
        (Duplicates, "Messages to one peer leave in the order"),
        (Reorders, "Messages to one peer leave in the order"),
        (Alters, "It never alters a message"),
        (TellsAnotherGroup, "It never alters a message"),
        (DeliversToAnother, "It never delivers a message to another node"),
        (NamesAnotherSender, "It never delivers a message to another node"),
        (ForgetsWhatIsUndelivered, "A forward to a peer that is not there comes back"),
        (ReturnsWhatArrived, "A forward comes back only if"),
        (HoardsWhatIsUndelivered, "A slow peer costs its own queue"),
        (FillsAFullInbox, "While `Inbox::is_full` says so"),
        (ChokesOnChunks, "While `Inbox::is_full_of_chunks` says so"),
        (LosesAPeerTwice, "When a connection is lost"),
        (HidesTheDirectory, "`Inbox::peer_connected` tells the data directory"),
        (TalksToAnyCluster, "Nodes of another cluster are refused"),
        (JoinsWithoutAWord, "A node without a cluster takes that of the first"),
    ] {
        require_caught(
            verify(|| WrongFabric { network: MemoryNetwork::new(), wrong, inboxes: Inboxes::default() }),
            clause,
        );
    }
}

/// The inboxes of all nodes that run.
type Inboxes = Arc<Mutex<BTreeMap<NodeId, Arc<dyn Inbox>>>>;

struct WrongFabric {
    network: MemoryNetwork,
    wrong: Wrong,
    inboxes: Inboxes,
}

impl Fabric for WrongFabric {
    fn address(&self, id: NodeId) -> String {
        format!("memory:{id}")
    }

    fn transport(&self, id: NodeId) -> Box<dyn Transport> {
        let (inner, inboxes) = (self.network.transport(id), Arc::clone(&self.inboxes));
        Box::new(WrongTransport { inner, wrong: self.wrong, inboxes })
    }

    /// What is missing is missing: nobody need wait long for it.
    fn patience(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn queue_bytes_max(&self) -> usize {
        0
    }
}

struct WrongTransport {
    inner: MemoryTransport,
    wrong: Wrong,
    inboxes: Inboxes,
}

impl Transport for WrongTransport {
    fn waker(&self) -> Arc<dyn Wake> {
        self.inner.waker()
    }

    fn run(
        self: Box<Self>,
        mut local: LocalNode,
        jobs: Receiver<SendJob>,
        inbox: Arc<dyn Inbox>,
    ) -> Result<(), TransportError> {
        self.inboxes.lock().insert(local.id, Arc::clone(&inbox));
        if self.wrong == TalksToAnyCluster {
            local.cluster = Some(ClusterId(1));
        }
        let (wrong, inboxes) = (self.wrong, Arc::clone(&self.inboxes));
        let inbox = WrongInbox {
            inner: inbox,
            me: local.id,
            wrong,
            inboxes,
            count: AtomicUsize::new(0),
            held: Mutex::default(),
            hoard: Mutex::default(),
        };
        let ended = Box::new(self.inner).run(local, jobs, Arc::new(inbox));
        self.inboxes.lock().remove(&local.id);
        ended
    }
}

/// What arrives passes here, and so does the mistake.
struct WrongInbox {
    inner: Arc<dyn Inbox>,
    me: NodeId,
    wrong: Wrong,
    inboxes: Inboxes,
    count: AtomicUsize,
    held: Mutex<Option<(GroupId, NodeId, PeerMessage, usize)>>,
    hoard: Mutex<Vec<PeerMessage>>,
}

impl Inbox for WrongInbox {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        let is_tenth = self.count.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        match (self.wrong, message) {
            (Duplicates, message) if is_tenth => {
                self.inner.deliver(group, from, message.clone(), bytes);
                self.inner.deliver(group, from, message, bytes);
            }
            (Reorders, message) if is_tenth => *self.held.lock() = Some((group, from, message, bytes)),
            (Reorders, message) => {
                self.inner.deliver(group, from, message, bytes);
                if let Some((group, from, message, bytes)) = self.held.lock().take() {
                    self.inner.deliver(group, from, message, bytes);
                }
            }
            (Alters, PeerMessage::Raft { mut message, entries }) => {
                if let Body::HeartbeatAnswer(answer) = &mut message.body {
                    answer.matched = LogIndex(answer.matched.0 + 1);
                }
                self.inner.deliver(group, from, PeerMessage::Raft { message, entries }, bytes);
            }
            (TellsAnotherGroup, message) => self.inner.deliver(GroupId::MAIN, from, message, bytes),
            (DeliversToAnother, message) if is_tenth => {
                let inboxes = self.inboxes.lock();
                let other = inboxes.iter().find(|(id, _)| **id != self.me && **id != from);
                other.map_or(&self.inner, |(_, inbox)| inbox).deliver(group, from, message, bytes);
            }
            (NamesAnotherSender, message) if is_tenth => self.inner.deliver(group, self.me, message, bytes),
            // Each of them: how many arrive before a node stops is a matter of luck, and it may be one.
            (ReturnsWhatArrived, message @ PeerMessage::Forward(_)) => {
                if let Some(sender) = self.inboxes.lock().get(&from) {
                    sender.undelivered(group, self.me, message.clone());
                }
                self.inner.deliver(group, from, message, bytes);
            }
            (_, message) => self.inner.deliver(group, from, message, bytes),
        }
    }

    fn is_full(&self) -> bool {
        let of_chunks = self.wrong == ChokesOnChunks && self.inner.is_full_of_chunks();
        self.wrong != FillsAFullInbox && (of_chunks || self.inner.is_full())
    }

    fn is_full_of_chunks(&self) -> bool {
        self.inner.is_full_of_chunks()
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        // The right one only for the directories of nodes that nobody restarts as others.
        let is_hidden = self.wrong == HidesTheDirectory && incarnation.0 < 1000;
        self.inner.peer_connected(peer, if is_hidden { Incarnation(1) } else { incarnation });
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        if self.wrong != JoinsWithoutAWord {
            self.inner.cluster_adopted(cluster);
        }
    }

    fn peer_lost(&self, peer: NodeId) {
        self.inner.peer_lost(peer);
        if self.wrong == LosesAPeerTwice {
            self.inner.peer_lost(peer);
        }
    }

    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage) {
        match self.wrong {
            ForgetsWhatIsUndelivered => {}
            HoardsWhatIsUndelivered => self.hoard.lock().push(message),
            _ => self.inner.undelivered(group, to, message),
        }
    }
}
