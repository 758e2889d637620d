//! The Redis port: takes clients in, knows who is there, and sends them away at the end.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use quorate::Node;

use super::connection::{self, STACK_BYTES};
use super::limits::CONNECTIONS_MAX;
use super::store::Store;

/// How long a full table of file descriptors is given before the next attempt, if no client leaves meanwhile.
const FULL_FOR: Duration = Duration::from_millis(100);

/// All clients of this process.
#[derive(Default)]
pub(crate) struct Front {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Arc<TcpStream>>,
    last_id: u64,
    closing: bool,
}

impl Front {
    /// Takes clients in from now on, on a thread of its own.
    pub(crate) fn open(listener: TcpListener, node: Node<Store>) -> io::Result<Arc<Self>> {
        let front = Arc::new(Self::default());
        let acceptor = Arc::clone(&front);
        let thread = thread::Builder::new().name("kv-accept".into());
        thread.spawn(move || acceptor.accept(&listener, &node))?;
        Ok(front)
    }

    /// Takes no more requests, and waits until those under way are answered, at most this long.
    pub(crate) fn close(&self, within: Duration) {
        let mut state = self.lock();
        state.closing = true;
        for client in state.clients.values() {
            let _ = client.shutdown(Shutdown::Read);
        }
        drop(self.left.wait_timeout_while(state, within, |state| !state.clients.is_empty()));
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, node: &Node<Store>) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.admit(Arc::new(stream), node),
                Err(error) => {
                    log::warn!("a client could not be taken in: {error}");
                    let state = self.lock();
                    let full = state.clients.len();
                    drop(self.left.wait_timeout_while(state, FULL_FOR, |state| state.clients.len() >= full));
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: Arc<TcpStream>, node: &Node<Store>) {
        let mut state = self.lock();
        if state.closing {
            return;
        }
        if state.clients.len() >= CONNECTIONS_MAX {
            let _ = (&*stream).write_all(b"-ERR max number of clients reached\r\n");
            return;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.clients.insert(id, Arc::clone(&stream));
        drop(state);

        let guest = Guest { front: Arc::clone(self), id };
        let node = node.clone();
        let thread = thread::Builder::new().name(format!("kv-reader-{id}")).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            let guest = guest;
            if let Err(error) = connection::serve(&stream, guest.id, &node) {
                log::debug!("client {} left: {error}", guest.id);
            }
        });
        if let Err(error) = started {
            log::warn!("a client could not be taken in: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place, free again when its thread ends, however it ends.
struct Guest {
    front: Arc<Front>,
    id: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.front.lock().clients.remove(&self.id);
        self.front.left.notify_all();
    }
}
