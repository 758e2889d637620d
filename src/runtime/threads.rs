//! How a thread of the node lives and dies: it has a name, it may not block on the node, and if it fails or panics the
//! whole node stops with the cause.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::StartError;
use super::channels::Control;
use crate::ticket::{Gate, StopCause, enter_runtime_thread, panic_message};
use crate::types::NodeId;

/// Stops a node: shuts the callers' gate, tells the engine, and ends the threads that wait for nothing else. The first
/// cause counts.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    pub(super) gate: Arc<Gate>,
    pub(super) control: Sender<Control>,
    /// Dropped at the stop.
    pub(super) until_stopped: Arc<Mutex<Option<Sender<()>>>>,
}

impl Stopper {
    pub(super) fn stop(&self, cause: StopCause) {
        self.gate.stop(cause.clone());
        let _ = self.control.send(Control::Stop(cause));
        drop(self.until_stopped.lock().take());
    }
}

/// The node's threads, and a channel whose end is heard when all of them are gone.
pub(super) struct Threads<'a> {
    node: NodeId,
    stopper: Stopper,
    alive: Sender<()>,
    handles: &'a Mutex<Vec<JoinHandle<()>>>,
}

impl<'a> Threads<'a> {
    pub(super) fn new(
        node: NodeId,
        stopper: Stopper,
        alive: Sender<()>,
        handles: &'a Mutex<Vec<JoinHandle<()>>>,
    ) -> Self {
        Self { node, stopper, alive, handles }
    }

    /// Runs `body` on a thread of its own. What it returns as an error, and what it panics with, stops the node.
    pub(super) fn spawn(
        &self,
        work: &'static str,
        body: impl FnOnce() -> Result<(), StopCause> + Send + 'static,
    ) -> Result<(), StartError> {
        let name = format!("quorate-{}-{work}", self.node);
        let stopper = self.stopper.clone();
        let alive = self.alive.clone();
        let thread = Builder::new().name(name).spawn(move || {
            enter_runtime_thread();
            if let Err(cause) = guarded(body) {
                // First the stop: the logger is the user's, and may panic.
                stopper.stop(cause.clone());
                log::error!("the node stops: {cause}");
            }
            drop(alive);
        });
        self.handles.lock().push(thread.map_err(|source| StartError::System { what: "a thread", source })?);
        Ok(())
    }
}

/// Runs `body`; a panic becomes a cause.
pub(super) fn guarded<T>(body: impl FnOnce() -> Result<T, StopCause>) -> Result<T, StopCause> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let thread = thread::current().name().unwrap_or("unnamed").to_owned();
        Err(StopCause::Panicked { thread, message: panic_message(&*panic).into() })
    })
}

/// Does `work` on a thread that has time, and waits for it. Where no thread is to be had, this one does it.
pub(super) fn in_the_background<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = Mutex::new(Some(work));
    let do_it = || {
        let work = work.lock().take().expect("it is done once");
        work()
    };
    thread::scope(|scope| {
        let builder = Builder::new().name(thread::current().name().unwrap_or("quorate").to_owned());
        let spawned = builder.spawn_scoped(scope, || {
            enter_runtime_thread();
            let_others_go_first(Haste::None);
            do_it()
        });
        match spawned {
            Ok(background) => background.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => {
                log::debug!("no thread for work in the background: {error}");
                do_it()
            }
        }
    })
}

/// How far behind the others a thread goes that has time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Haste {
    /// Another node waits for it: it gets most of what the others leave, and a share beside them.
    Some = 4,
    /// Nobody does.
    None = 15,
}

/// This thread has time: where cores are scarce, those on the path of commands and reads go before it. On Linux, where
/// each thread has a niceness of its own; whoever may not change it goes on as before.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "elsewhere all threads are equal"))]
pub(super) fn let_others_go_first(haste: Haste) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let niceness = haste as i32;
        let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now.max(niceness)));
        if let Err(error) = lowered {
            log::debug!("a thread keeps its priority: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_the_background_comes_back_and_so_does_its_panic() {
        let (here, mut there) = (thread::current().id(), None);
        let done = in_the_background(|| {
            there = Some(thread::current().id());
            7
        });
        assert_eq!(done, 7);
        assert!(there.is_some_and(|there| there != here), "on a thread of its own");

        let panicked = guarded::<()>(|| in_the_background(|| panic!("too much")));
        assert!(matches!(panicked, Err(StopCause::Panicked { message, .. }) if message.contains("too much")));
    }
}
