//! The place where one answer arrives: filled once, from a thread of the runtime, while its caller waits or does not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Outcome, ProposeError, ReadError, StopCause, panic_message};
use crate::sync::{Condvar, Mutex};

/// Where one request stands. Its lock decides who wins the step from *queued*: the caller, who takes it back, or the
/// engine, which takes it on.
pub(crate) struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    done: Condvar,
}

struct State<T, E> {
    stage: Stage,
    answer: Option<Answer<T, E>>,
    /// Whether the one thread that may wait (a ticket is waited for by value) sleeps: nobody else is worth a system call.
    somebody_waits: bool,
    callbacks: Vec<Callback>,
}

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its caller may still take it back.
    Queued,
    /// It may take effect.
    Taken,
    /// Its caller took it back.
    Abandoned,
    /// Answered.
    Done,
}

/// An answer, or the panic of the caller's own closure.
pub(crate) type Answer<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

impl<T, E: CallError> Slot<T, E> {
    pub(crate) fn new() -> Self {
        let state =
            State { stage: Stage::Queued, answer: None, somebody_waits: false, callbacks: Vec::new() };
        Self { state: Mutex::new(state), done: Condvar::new() }
    }

    /// Queued becomes taken; `false` if the caller took the request back.
    pub(crate) fn take(&self) -> bool {
        let mut state = self.state.lock();
        if state.stage == Stage::Queued {
            state.stage = Stage::Taken;
        }
        state.stage == Stage::Taken
    }

    /// Taken becomes queued again: it turned out that the request certainly went nowhere.
    pub(crate) fn put_back(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Taken {
            state.stage = Stage::Queued;
        }
    }

    /// Gives the answer. The first one counts.
    pub(crate) fn fill(&self, answer: Answer<T, E>) {
        self.finish(|_| answer);
    }

    /// The deadline passed, as the engine sees it.
    pub(crate) fn expire(&self) {
        self.finish(|taken| Ok(Err(E::expired(taken))));
    }

    /// The node stopped.
    pub(crate) fn stop(&self, cause: &StopCause) {
        self.finish(|taken| Ok(Err(E::stopped(cause.clone(), taken))));
    }

    fn finish(&self, answer: impl FnOnce(bool) -> Answer<T, E>) {
        let mut state = self.state.lock();
        if matches!(state.stage, Stage::Done | Stage::Abandoned) {
            return;
        }
        state.answer = Some(answer(state.stage == Stage::Taken));
        state.stage = Stage::Done;
        let callbacks = std::mem::take(&mut state.callbacks);
        let somebody_waits = state.somebody_waits;
        drop(state);
        if somebody_waits {
            self.done.notify_one();
        }
        run_all(callbacks);
    }

    /// Sleeps until the answer is there, at most until `instant`.
    pub(crate) fn wait_until(&self, instant: Instant) -> Option<Answer<T, E>> {
        let mut state = self.state.lock();
        while state.stage != Stage::Done {
            state.somebody_waits = true;
            let timed_out = self.done.wait_until(&mut state, instant).timed_out();
            if timed_out && state.stage != Stage::Done {
                return None;
            }
        }
        state.answer.take()
    }

    /// The answer, if it is there and was not taken yet.
    pub(crate) fn try_take(&self) -> Option<Answer<T, E>> {
        self.state.lock().answer.take()
    }

    /// The caller's deadline passed: takes the request back if it is still queued, and says what may be concluded. If
    /// the answer came just now, gives that.
    pub(crate) fn give_up(&self) -> Answer<T, E> {
        self.take_back(E::expired)
    }

    /// The caller may not sleep on its thread: likewise.
    pub(crate) fn refuse_to_wait(&self) -> Answer<T, E> {
        self.take_back(|taken| if taken { E::expired(true) } else { E::would_deadlock() })
    }

    fn take_back(&self, error: impl FnOnce(bool) -> E) -> Answer<T, E> {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Done => state.answer.take().unwrap_or_else(|| Ok(Err(error(true)))),
            Stage::Taken => Ok(Err(error(true))),
            Stage::Queued | Stage::Abandoned => {
                state.stage = Stage::Abandoned;
                // No answer will come that could let them go on.
                let callbacks = std::mem::take(&mut state.callbacks);
                drop(state);
                run_all(callbacks);
                Ok(Err(error(false)))
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.lock().stage == Stage::Done
    }

    /// Runs `callback` once the answer is there; at once if it is there already.
    pub(crate) fn when_done(&self, callback: Callback) {
        let mut state = self.state.lock();
        if state.stage == Stage::Done {
            drop(state);
            callback();
        } else {
            state.callbacks.push(callback);
        }
    }
}

/// A panic of one is its own affair. The thread here belongs to all requests, and may be unwinding already because of
/// another panic: a second one would end the process.
fn run_all(callbacks: Vec<Callback>) {
    for callback in callbacks {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
            log::error!("a callback panicked: {}", panic_message(&*panic));
        }
    }
}

/// What the errors of blocking calls have in common.
pub trait CallError: Send + 'static {
    /// The deadline passed; `taken` says whether the request may take effect yet.
    fn expired(taken: bool) -> Self;
    /// The node stopped; `taken` as above.
    fn stopped(cause: StopCause, taken: bool) -> Self;
    /// The call would wait for its own thread.
    fn would_deadlock() -> Self;
    /// The caller's own code panicked while it made the answer.
    fn panicked(message: String) -> Self;
}

impl CallError for ProposeError {
    fn expired(taken: bool) -> Self {
        if taken { Self::Unknown } else { Self::DeadlinePassed }
    }

    fn stopped(cause: StopCause, taken: bool) -> Self {
        Self::Stopped { cause, outcome: if taken { Outcome::Unknown } else { Outcome::NotApplied } }
    }

    fn would_deadlock() -> Self {
        Self::WouldDeadlock
    }

    fn panicked(message: String) -> Self {
        Self::BadResponse { reason: message }
    }
}

impl CallError for ReadError {
    fn expired(_taken: bool) -> Self {
        Self::DeadlinePassed
    }

    fn stopped(cause: StopCause, _taken: bool) -> Self {
        Self::Stopped { cause }
    }

    fn would_deadlock() -> Self {
        Self::WouldDeadlock
    }

    fn panicked(message: String) -> Self {
        Self::Panicked { message }
    }
}
