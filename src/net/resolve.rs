//! From `host:port` to a socket address. Literal addresses are read in place; a name may block for as long as its name
//! server pleases, so it is asked for on a thread of its own that lives no longer than the question.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::waker::LoopWaker;

/// What a name server said of an address; empty if it knows nothing of it.
#[derive(Debug)]
pub(crate) struct Resolved<K> {
    /// For whom it was asked.
    pub(crate) key: K,
    /// The address as it was asked for: the other side may have moved since.
    pub(crate) address: String,
    pub(crate) found: Vec<SocketAddr>,
}

/// Asks, and holds the answers until the loop takes them.
#[derive(Debug)]
pub(crate) struct Resolver<K> {
    answers: Arc<Mutex<Vec<Resolved<K>>>>,
    waker: Arc<LoopWaker>,
}

impl<K: Send + 'static> Resolver<K> {
    pub(crate) fn new(waker: Arc<LoopWaker>) -> Self {
        Self { answers: Arc::default(), waker }
    }

    /// The addresses at once if `address` is a literal; else `None`, and an answer will come. The caller asks for each
    /// key only once at a time, so there are never more threads than keys.
    pub(crate) fn resolve(&self, key: K, address: &str) -> Option<Vec<SocketAddr>> {
        if let Ok(literal) = address.parse() {
            return Some(vec![literal]);
        }
        let (answers, waker) = (Arc::clone(&self.answers), Arc::clone(&self.waker));
        let address = address.to_owned();
        let ask = move || {
            let found = address.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
            answers.lock().push(Resolved { key, address, found });
            waker.wake();
        };
        match thread::Builder::new().name("quorate-resolve".into()).spawn(ask) {
            Ok(_) => None,
            // No thread to be had: as good as no answer, and tried again after the back-off.
            Err(_) => Some(Vec::new()),
        }
    }

    /// The answers that came since.
    pub(crate) fn take(&self) -> Vec<Resolved<K>> {
        std::mem::take(&mut *self.answers.lock())
    }

    /// Whether an answer waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.answers.lock().is_empty()
    }
}
