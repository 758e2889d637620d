//! Where other threads put what the clients' thread shall take: sockets, replies, word of the node.
//!
//! Who puts the first thing there wakes it; what comes until it has woken is taken together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use mio::Token;

use crate::net::{Guest, Guests, LoopWaker};
use crate::sync::{Condvar, Mutex};
use crate::types::{ClientAnswer, ClientRefused, ClientStatus, Membership};
use crate::wire::client_hello::ClientReason;

/// An answer on its way to a client.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) to: Token,
    pub(super) id: u64,
    /// What the request was counted with.
    pub(super) bytes: usize,
    pub(super) outcome: Result<ClientAnswer, ClientRefused>,
}

/// What a look at the node showed.
pub(super) enum Sight {
    /// The node as it was.
    Node(ClientStatus, Arc<Membership>),
    /// Nothing: it has stopped.
    Nothing,
}

/// What was put down since it was last looked at.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of somebody else")]
pub(super) struct Tray {
    pub(super) replies: Vec<Reply>,
    pub(super) guests: Vec<Guest>,
    /// What the look showed that was under way.
    pub(super) seen: Option<Sight>,
    /// The node has another leader or other members: look at it.
    pub(super) has_changed: bool,
    /// The node has stopped, and has answered everybody or will.
    pub(super) node_ended: bool,
    /// End by then.
    pub(super) close_by: Option<Instant>,
    /// Whether there is anything at all.
    touched: bool,
    /// Nobody takes anything any more.
    is_abandoned: bool,
}

/// See the top of this file.
pub(super) struct Desk {
    waker: Arc<LoopWaker>,
    tray: Mutex<Tray>,
    /// Those that were handed over, and have not ended.
    connections: AtomicUsize,
    /// How many may be: beyond it they are refused where they come in.
    connections_max: usize,
    is_closed: AtomicBool,
    thread_ended: Mutex<bool>,
    ended: Condvar,
}

/// So many more than may stand are taken over: who has not said what it wants makes room for them, or they are refused in
/// words.
const BEYOND_THE_MAX: usize = 16;

/// Beyond this, the memory of a crowd of replies is given back.
const REPLIES_KEPT: usize = 4096;

impl Desk {
    pub(super) fn new(waker: Arc<LoopWaker>, connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            waker,
            tray: Mutex::default(),
            connections: AtomicUsize::new(0),
            connections_max: connections_max + BEYOND_THE_MAX,
            is_closed: AtomicBool::new(false),
            thread_ended: Mutex::default(),
            ended: Condvar::new(),
        })
    }

    /// Puts something down.
    pub(super) fn put(&self, put: impl FnOnce(&mut Tray)) {
        let mut tray = self.tray.lock();
        put(&mut tray);
        // Whoever found it untouched wakes the loop, or is about to: once is enough.
        let is_first = !std::mem::replace(&mut tray.touched, true);
        drop(tray);
        if is_first {
            self.waker.wake();
        }
    }

    /// Takes everything, in exchange for a tray that is empty and may hold memory.
    pub(super) fn take(&self, empty: &mut Tray) {
        if empty.replies.capacity() > REPLIES_KEPT {
            empty.replies = Vec::new();
        }
        std::mem::swap(&mut *self.tray.lock(), empty);
    }

    /// Whether something lies there.
    pub(super) fn is_touched(&self) -> bool {
        self.tray.lock().touched
    }

    pub(super) fn waker(&self) -> &LoopWaker {
        &self.waker
    }

    /// A connection that was handed over has ended.
    pub(super) fn connection_ended(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many were handed over and have not ended.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether somebody takes what is put down.
    pub(super) fn is_served(&self) -> bool {
        !*self.thread_ended.lock()
    }

    /// Nobody new is taken.
    pub(super) fn shut(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Nobody new is taken, and by `deadline` all has ended. Asked again, the earlier deadline counts.
    pub(super) fn close(&self, deadline: Instant) {
        self.shut();
        self.put(|tray| tray.close_by = Some(tray.close_by.map_or(deadline, |by| by.min(deadline))));
    }

    /// The clients' thread ends, in whatever way.
    pub(super) fn thread_ends(&self) {
        self.shut();
        let left = std::mem::replace(&mut *self.tray.lock(), Tray { is_abandoned: true, ..Tray::default() });
        drop(left);
        *self.thread_ended.lock() = true;
        self.ended.notify_all();
    }

    /// Waits until the clients' thread has ended, at most until `deadline`.
    pub(super) fn wait_ended(&self, deadline: Option<Instant>) -> bool {
        let mut ended = self.thread_ended.lock();
        while !*ended {
            match deadline {
                Some(deadline) if self.ended.wait_until(&mut ended, deadline).timed_out() => return *ended,
                Some(_) => {}
                None => self.ended.wait(&mut ended),
            }
        }
        true
    }
}

impl Tray {
    /// All was taken: ready for the next exchange.
    pub(super) fn clear(&mut self) {
        let mut replies = std::mem::take(&mut self.replies);
        replies.clear();
        *self = Self { replies, ..Self::default() };
    }
}

/// The end of the desk that the node's event loop holds.
pub(super) struct Door(pub(super) Arc<Desk>);

impl Guests for Door {
    fn refusal(&self) -> Option<ClientReason> {
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Some(ClientReason::Stopping);
        }
        // Only this thread lets in: between this question and an arrival the number can only fall.
        let is_full = self.0.connections.load(Ordering::Relaxed) >= self.0.connections_max;
        is_full.then_some(ClientReason::TooMany)
    }

    fn arrive(&self, guest: Guest) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.0.put(|tray| {
            // Who came at the very end hears the end.
            if !tray.is_abandoned {
                tray.guests.push(guest);
            }
        });
    }
}
