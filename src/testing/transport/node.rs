//! A node that only talks: a transport on a thread of its own, and an inbox that a scene looks into.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::GROUP;
use super::messages::{self, Seen, id};
use crate::transport::{Inbox, LocalNode, Peers, SendJob, Transport, TransportError, Wake};
use crate::types::{ClusterId, GroupId, Incarnation, NodeId, PeerMessage};

/// A running transport and what its inbox saw.
pub(crate) struct TestNode {
    jobs: Sender<SendJob>,
    wake: Arc<dyn Wake>,
    seen: Receiver<Seen>,
    gate: Arc<Gate>,
    ended: Receiver<Result<(), TransportError>>,
    thread: Option<JoinHandle<()>>,
    patience: Duration,
}

/// What the inbox refuses, and whether it got some of it nevertheless.
#[derive(Default)]
struct Gate {
    full: AtomicBool,
    full_of_chunks: AtomicBool,
    violated: AtomicBool,
}

impl TestNode {
    /// Starts `transport`; `peers` are known from the first moment. Nothing is waited for longer than `patience`.
    pub(crate) fn start(
        transport: Box<dyn Transport>,
        local: LocalNode,
        peers: Peers,
        patience: Duration,
    ) -> Self {
        let (jobs, taken) = unbounded();
        jobs.send(SendJob::Peers(peers)).expect("the other end is here");
        let (saw, seen) = unbounded();
        let (ends, ended) = unbounded();
        let gate = Arc::new(Gate::default());
        let inbox = Arc::new(TestInbox { seen: saw, gate: Arc::clone(&gate) });
        let wake = transport.waker();
        let run = move || _ = ends.send(transport.run(local, taken, inbox));
        let thread = thread::Builder::new().name(format!("transport-{}", local.id)).spawn(run);
        let thread = Some(thread.expect("the system has a thread to spare"));
        Self { jobs, wake, seen, gate, ended, thread, patience }
    }

    fn job(&self, job: SendJob) {
        assert!(self.jobs.send(job).is_ok(), "`run` has returned although nobody closed the transport");
        self.wake.wake();
    }

    pub(crate) fn send(&self, to: u64, message: PeerMessage) {
        self.send_in(GROUP, to, message);
    }

    pub(super) fn send_in(&self, group: GroupId, to: u64, message: PeerMessage) {
        self.job(SendJob::Message { group, to: id(to), message });
    }

    pub(crate) fn set_peers(&self, peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>) {
        self.job(SendJob::Peers(known(peers)));
    }

    pub(crate) fn set_peers_perhaps_former(
        &self,
        peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>,
    ) {
        self.job(SendJob::Peers(Peers { may_be_former: true, ..known(peers) }));
    }

    /// What the inbox is told next.
    pub(crate) fn next(&self) -> Seen {
        let seen = self.seen.recv_timeout(self.patience);
        seen.unwrap_or_else(|_| panic!("the inbox is told nothing within {:?}", self.patience))
    }

    /// Waits for `expected`, and returns all that came before it.
    #[expect(clippy::needless_pass_by_value, reason = "what is expected is made on the spot")]
    pub(crate) fn wait_for(&self, expected: Seen) -> Vec<Seen> {
        let mut before = Vec::new();
        loop {
            let Ok(seen) = self.seen.recv_timeout(self.patience) else {
                panic!("waited for {expected:?}, saw only {before:?}");
            };
            if seen == expected {
                return before;
            }
            before.push(seen);
        }
    }

    /// From now on the inbox takes nothing, or does again.
    pub(crate) fn set_full(&self, full: bool) {
        self.gate.full.store(full, Ordering::SeqCst);
        self.wake.wake();
    }

    /// From now on the inbox takes no chunks, or does again.
    pub(crate) fn set_full_of_chunks(&self, full: bool) {
        self.gate.full_of_chunks.store(full, Ordering::SeqCst);
        self.wake.wake();
    }

    /// Whether something was delivered while the inbox was full.
    pub(crate) fn was_overfilled(&self) -> bool {
        self.gate.violated.load(Ordering::SeqCst)
    }

    /// Closes the transport, and returns what the inbox was told that nobody has looked at.
    pub(crate) fn stop(mut self) -> Vec<Seen> {
        self.job(SendJob::Close);
        self.join();
        self.seen.try_iter().collect()
    }

    /// As [`TestNode::stop`], by dropping the only sender of jobs.
    pub(super) fn forget(mut self) {
        self.jobs = unbounded().0;
        self.wake.wake();
        self.join();
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let ended = self.ended.recv_timeout(self.patience);
        assert!(ended.is_ok() || thread.is_finished(), "`run` does not return within {:?}", self.patience);
        assert!(thread.join().is_ok(), "the transport panicked");
        if let Ok(Err(error)) = ended {
            panic!("`run` failed: {error}");
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let _ = self.jobs.send(SendJob::Close);
        self.wake.wake();
        // A scene that has failed already says what matters.
        if !thread::panicking() {
            self.join();
        }
    }
}

pub(crate) fn known(peers: impl IntoIterator<Item = (u64, String, Option<Incarnation>)>) -> Peers {
    let known = peers.into_iter().map(|(peer, at, shown)| (id(peer), (at, shown))).collect();
    Peers { known, may_be_former: false }
}

struct TestInbox {
    seen: Sender<Seen>,
    gate: Arc<Gate>,
}

impl TestInbox {
    fn saw(&self, seen: Seen) {
        // A scene that has seen enough has dropped the other end.
        let _ = self.seen.send(seen);
    }
}

impl Inbox for TestInbox {
    fn deliver(&self, group: GroupId, from: NodeId, message: PeerMessage, bytes: usize) {
        let is_chunk = matches!(message, PeerMessage::Chunk(_));
        let is_refused = self.is_full() || (is_chunk && self.is_full_of_chunks());
        self.gate.violated.fetch_or(is_refused, Ordering::SeqCst);
        let seen = match bytes {
            0 => Seen::Another { from: from.get(), text: format!("of no bytes at all: {message:?}") },
            _ => messages::delivered(group, from.get(), &message),
        };
        self.saw(seen);
    }

    fn is_full(&self) -> bool {
        self.gate.full.load(Ordering::SeqCst)
    }

    fn is_full_of_chunks(&self) -> bool {
        self.gate.full_of_chunks.load(Ordering::SeqCst)
    }

    fn peer_connected(&self, peer: NodeId, incarnation: Incarnation) {
        self.saw(Seen::Connected(peer.get(), incarnation));
    }

    fn cluster_adopted(&self, cluster: ClusterId) {
        self.saw(Seen::Adopted(cluster));
    }

    fn peer_lost(&self, peer: NodeId) {
        self.saw(Seen::Lost(peer.get()));
    }

    fn undelivered(&self, group: GroupId, to: NodeId, message: PeerMessage) {
        self.saw(messages::undelivered(group, to.get(), &message));
    }
}
