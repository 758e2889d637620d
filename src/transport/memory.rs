//! A network within one process, with the same contract as TCP and with controls to cut it.
//!
//! Between any two nodes there are two links, one for each direction. A link stands while both nodes run, one of them
//! knows the other as a peer, the two belong to one cluster, neither's data directory contradicts what the other knows
//! of it, and nobody has cut the link. Nodes are found by their ids; addresses mean nothing here.
//!
//! A node without a cluster takes that of the first node which knows it as a peer and could talk to it: both links must be
//! whole for that, as a handshake needs both.
//!
//! A message is handed to its receiver by the thread of its sender, while the network is locked: so a cut that has
//! returned lets nothing pass any more, and an inbox must not call back into the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::{Inbox, LocalNode, Peers, SendJob, Transport, TransportError, Wake};
use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};
use crate::wire::peer;

/// What becomes of a message, by the word of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Deliver,
    /// It is lost.
    Drop,
    /// It arrives twice, as after a reconnect that no connection of TCP would survive.
    Duplicate,
}

type Filter = Box<dyn FnMut(NodeId, NodeId, GroupId, &PeerMessage) -> Fate + Send>;

/// A handle to one network; clones are handles to the same one.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<NodeId, Member>,
    /// Links that are cut, by sender and receiver.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Links of which the sender was told that they stand.
    standing: BTreeSet<(NodeId, NodeId)>,
    filter: Option<Filter>,
}

struct Member {
    local: LocalNode,
    inbox: Arc<dyn Inbox>,
    peers: Peers,
}

impl MemoryNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of node `id`; it takes part while it runs.
    pub fn transport(&self, id: NodeId) -> MemoryTransport {
        MemoryTransport { network: self.clone(), id }
    }

    /// From now on nothing passes from `from` to `to`. The other direction is as before.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.change(|state| {
            state.cut.insert((from, to));
        });
    }

    /// Mends the link from `from` to `to`.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.change(|state| {
            state.cut.remove(&(from, to));
        });
    }

    /// Cuts all links from and to `id` with the nodes that run now or are known to one that does.
    pub fn isolate(&self, id: NodeId) {
        self.change(|state| {
            let known = state.running.values().flat_map(|member| member.peers.known.keys());
            let others: BTreeSet<NodeId> = state.running.keys().chain(known).copied().collect();
            for other in others.into_iter().filter(|&other| other != id) {
                state.cut.extend([(id, other), (other, id)]);
            }
        });
    }

    /// Mends all links.
    pub fn heal_all(&self) {
        self.change(|state| state.cut.clear());
    }

    /// Asks `filter` about each message from now on: sender, receiver, group, message. It is called while the network is
    /// locked.
    pub fn filter(&self, filter: impl FnMut(NodeId, NodeId, GroupId, &PeerMessage) -> Fate + Send + 'static) {
        self.state.lock().filter = Some(Box::new(filter));
    }

    /// Lets all messages pass again that no cut stops.
    pub fn clear_filter(&self) {
        self.state.lock().filter = None;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.announce();
    }
}

impl State {
    /// Tells each node without a cluster that finds one, then each sender whose link has come or gone.
    fn announce(&mut self) {
        while let Some((joiner, cluster)) = self.next_adoption() {
            let member = self.running.get_mut(&joiner).expect("it was found among those that run");
            member.local.cluster = Some(cluster);
            member.inbox.cluster_adopted(cluster);
        }
        let mut standing = BTreeSet::new();
        for &from in self.running.keys() {
            standing.extend(self.running.keys().filter(|&&to| self.stands(from, to)).map(|&to| (from, to)));
        }
        for (from, to) in self.standing.difference(&standing) {
            if let Some(sender) = self.running.get(from) {
                sender.inbox.peer_lost(*to);
            }
        }
        for (from, to) in standing.difference(&self.standing) {
            let incarnation = self.running[to].local.incarnation;
            self.running[from].inbox.peer_connected(*to, incarnation);
        }
        self.standing = standing;
    }

    /// A node without a cluster, and the cluster of one that would dial it.
    fn next_adoption(&self) -> Option<(NodeId, ClusterId)> {
        let joiners = self.running.iter().filter(|(_, member)| member.local.cluster.is_none());
        joiners.map(|(&joiner, _)| joiner).find_map(|joiner| {
            let dials = |(&id, member): (&NodeId, &Member)| {
                let known = member.peers.known.contains_key(&joiner);
                let passes = self.may_pass(id, joiner) && self.may_pass(joiner, id);
                member.local.cluster.filter(|_| known && passes)
            };
            Some((joiner, self.running.iter().find_map(dials)?))
        })
    }

    fn stands(&self, from: NodeId, to: NodeId) -> bool {
        let (Some(sender), Some(receiver)) = (self.running.get(&from), self.running.get(&to)) else {
            return false;
        };
        self.may_pass(from, to)
            && (sender.peers.known.contains_key(&to) || receiver.peers.known.contains_key(&from))
            && sender.local.cluster.is_some()
            && sender.local.cluster == receiver.local.cluster
    }

    /// Whether nothing but their clusters and their not knowing each other keeps `from` from talking to `to`.
    fn may_pass(&self, from: NodeId, to: NodeId) -> bool {
        let (Some(sender), Some(receiver)) = (self.running.get(&from), self.running.get(&to)) else {
            return false;
        };
        from != to
            && !self.cut.contains(&(from, to))
            && !sender.is_contradicted_by(receiver.local)
            && !receiver.is_contradicted_by(sender.local)
    }

    fn send(&mut self, from: NodeId, group: GroupId, to: NodeId, message: PeerMessage) {
        let stands = self.standing.contains(&(from, to));
        // As on TCP: chunks go only where the sender would dial.
        let is_chunk = matches!(message, PeerMessage::Chunk(_));
        let knows = self.running.get(&from).is_some_and(|sender| sender.peers.known.contains_key(&to));
        let passes = stands && (knows || !is_chunk) && peer::is_within_limits(&message);
        let refuses = |inbox: &dyn Inbox| inbox.is_full() || (is_chunk && inbox.is_full_of_chunks());
        let receiver = self.running.get(&to).filter(|member| passes && !refuses(&*member.inbox));
        let Some(receiver) = receiver else {
            if let (PeerMessage::Forward(_), Some(sender)) = (&message, self.running.get(&from)) {
                sender.inbox.undelivered(group, to, message);
            }
            return;
        };
        let fate = self.filter.as_mut().map_or(Fate::Deliver, |filter| filter(from, to, group, &message));
        let bytes = peer::frame_len(&message);
        if fate == Fate::Duplicate {
            receiver.inbox.deliver(group, from, message.clone(), bytes);
        }
        if fate != Fate::Drop {
            receiver.inbox.deliver(group, from, message, bytes);
        }
    }
}

impl Member {
    /// Whether `other` shows another data directory than the one it is known by.
    fn is_contradicted_by(&self, other: LocalNode) -> bool {
        let expected: Option<Incarnation> = self.peers.known.get(&other.id).and_then(|(_, shown)| *shown);
        let demanded = expected.filter(|_| !(self.peers.may_be_former && other.incarnation.has_joined()));
        demanded.is_some_and(|demanded| demanded != other.incarnation)
    }
}

/// One node's end of a [`MemoryNetwork`].
pub struct MemoryTransport {
    network: MemoryNetwork,
    id: NodeId,
}

impl Transport for MemoryTransport {
    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Awake)
    }

    /// # Panics
    /// If `local` is another node than the one this transport was made for, or runs already.
    fn run(
        self: Box<Self>,
        local: LocalNode,
        jobs: Receiver<SendJob>,
        inbox: Arc<dyn Inbox>,
    ) -> Result<(), TransportError> {
        assert!(local.id == self.id, "the transport of node {} was given to node {}", self.id, local.id);
        let member = Member { local, inbox, peers: Peers::default() };
        self.network.change(|state| {
            let before = state.running.insert(self.id, member);
            assert!(before.is_none(), "node {} runs twice in one network", self.id);
        });
        for job in &jobs {
            match job {
                SendJob::Message { group, to, message } => {
                    self.network.state.lock().send(self.id, group, to, message);
                }
                SendJob::Peers(peers) => self.network.change(|state| {
                    if let Some(member) = state.running.get_mut(&self.id) {
                        member.peers = peers;
                    }
                }),
                SendJob::Close => break,
            }
        }
        self.network.change(|state| {
            state.running.remove(&self.id);
        });
        Ok(())
    }
}

/// The transport in memory sleeps on its jobs alone, and they wake it.
struct Awake;

impl Wake for Awake {
    fn wake(&self) {}
}
