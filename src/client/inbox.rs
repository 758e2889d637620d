//! Where callers put their calls, for the client's thread to take: all that wait at once.

use std::sync::Arc;
use std::time::Instant;

use super::end::End;
use super::routing::Ask;
use crate::net::LoopWaker;
use crate::sync::Mutex;
use crate::ticket::StopCause;

/// Beyond this, the memory of a crowd of calls is given back.
const CALLS_KEPT: usize = 4096;

/// A call on its way from its caller.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) ask: Ask,
    pub(super) end: End,
    pub(super) deadline: Instant,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Inbox {
    waker: Arc<LoopWaker>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: Vec<Submitted>,
    /// Nobody will call any more.
    is_closing: bool,
    /// Something was put down since it was last looked at.
    is_touched: bool,
    /// Nobody takes calls any more: why.
    ended: Option<StopCause>,
}

/// What was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Perhaps calls; there may be more.
    Calls,
    /// It is the end: who held the client has let it go.
    Closing,
}

impl Inbox {
    pub(super) fn new(waker: Arc<LoopWaker>) -> Self {
        let state = State { calls: Vec::new(), is_closing: false, is_touched: false, ended: None };
        Self { waker, state: Mutex::new(state) }
    }

    /// Puts a call down. If nobody takes it any more its caller hears so at once.
    pub(super) fn put(&self, call: Submitted) {
        let mut state = self.state.lock();
        if let Some(cause) = state.ended.clone() {
            drop(state);
            return call.end.stop(&cause);
        }
        state.calls.push(call);
        let is_first = !std::mem::replace(&mut state.is_touched, true);
        drop(state);
        // Whoever found it untouched wakes the loop, or is about to: once is enough.
        if is_first {
            self.waker.wake();
        }
    }

    /// Nobody will call any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        (state.is_closing, state.is_touched) = (true, true);
        drop(state);
        self.waker.wake();
    }

    /// Takes all calls, in exchange for a list that is empty and may hold memory.
    pub(super) fn take(&self, empty: &mut Vec<Submitted>) -> Taken {
        if empty.capacity() > CALLS_KEPT {
            *empty = Vec::new();
        }
        let mut state = self.state.lock();
        std::mem::swap(&mut state.calls, empty);
        state.is_touched = false;
        if state.is_closing { Taken::Closing } else { Taken::Calls }
    }

    /// Whether something was put down.
    pub(super) fn is_touched(&self) -> bool {
        self.state.lock().is_touched
    }

    pub(super) fn waker(&self) -> &LoopWaker {
        &self.waker
    }

    /// Nobody takes calls any more: those that wait, and any that come.
    pub(super) fn end(&self, cause: &StopCause) {
        let mut state = self.state.lock();
        state.ended.get_or_insert_with(|| cause.clone());
        let calls = std::mem::take(&mut state.calls);
        drop(state);
        for call in calls {
            call.end.stop(cause);
        }
    }
}
