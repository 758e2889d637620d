//! From `host:port` to a socket address. Literal addresses are read in place; a name may block for as long as its name
//! server pleases, so it is asked for on a thread of its own that lives no longer than the question.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::waker::LoopWaker;
use crate::types::NodeId;
use crate::wire::hello::Lane;

/// What a name server said of a peer's address; empty if it knows nothing of it.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) peer: NodeId,
    /// For which lane it was asked.
    pub(super) lane: Lane,
    /// The address as it was asked for: the peer may have moved since.
    pub(super) address: String,
    pub(super) found: Vec<SocketAddr>,
}

/// Asks, and holds the answers until the loop takes them.
#[derive(Debug)]
pub(super) struct Resolver {
    answers: Arc<Mutex<Vec<Resolved>>>,
    waker: Arc<LoopWaker>,
}

impl Resolver {
    pub(super) fn new(waker: Arc<LoopWaker>) -> Self {
        Self { answers: Arc::default(), waker }
    }

    /// The addresses at once if `address` is a literal; else `None`, and an answer will come. The caller asks for each
    /// lane of a peer only once at a time, so there are never more threads than lanes.
    pub(super) fn resolve(&self, peer: NodeId, lane: Lane, address: &str) -> Option<Vec<SocketAddr>> {
        if let Ok(literal) = address.parse() {
            return Some(vec![literal]);
        }
        let (answers, waker) = (Arc::clone(&self.answers), Arc::clone(&self.waker));
        let address = address.to_owned();
        let ask = move || {
            let found = address.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
            answers.lock().push(Resolved { peer, lane, address, found });
            waker.wake();
        };
        match thread::Builder::new().name("quorate-resolve".into()).spawn(ask) {
            Ok(_) => None,
            // No thread to be had: as good as no answer, and tried again after the back-off.
            Err(_) => Some(Vec::new()),
        }
    }

    /// The answers that came since.
    pub(super) fn take(&self) -> Vec<Resolved> {
        std::mem::take(&mut *self.answers.lock())
    }

    /// Whether an answer waits.
    pub(super) fn is_idle(&self) -> bool {
        self.answers.lock().is_empty()
    }
}
