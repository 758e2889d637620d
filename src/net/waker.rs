//! Wakes the loop, and costs nothing while it is awake.
//!
//! Before it sleeps, the loop says so ([`LoopWaker::fall_asleep`]) and only then looks a last time whether there is
//! work; whoever brings work puts it down first and only then looks whether the loop sleeps ([`LoopWaker::wake`]). The
//! two fences forbid that both look too early, so no wake-up is lost, and at most one system call is made per sleep.

use std::io;

use mio::{Registry, Token, Waker};

use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// The loop's end and everyone else's are the same object, shared.
#[derive(Debug)]
pub(crate) struct LoopWaker {
    waker: Waker,
    sleep: Sleep,
}

impl LoopWaker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { waker: Waker::new(registry, token)?, sleep: Sleep::default() })
    }

    /// There is work: put it where the loop finds it before this is called.
    pub(crate) fn wake(&self) {
        if self.sleep.is_for_us_to_end() {
            // Cannot fail in a way that a retry would mend: an event counter that is full is a wake-up under way.
            if let Err(error) = self.waker.wake() {
                log::error!("cannot wake an event loop: {error}");
            }
        }
    }

    /// The loop is about to sleep. It must look for work once more after this.
    pub(crate) fn fall_asleep(&self) {
        self.sleep.begin();
    }

    /// The loop is awake, for whatever reason.
    pub(crate) fn rise(&self) {
        self.sleep.end();
    }
}

/// Whether the loop sleeps, as those see it who bring work.
#[derive(Debug, Default)]
pub(super) struct Sleep {
    asleep: AtomicBool,
}

impl Sleep {
    /// Work was put down: whether the loop must be woken for it. Of all who ask during one sleep, one is told so.
    pub(super) fn is_for_us_to_end(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed)
            && self.asleep.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn begin(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// An exchange, where a store would do: so whoever ended this sleep stands before the next one also in a model of the
    /// memory that orders two stores only if one has seen the other. Beside a poll it costs nothing.
    pub(super) fn end(&self) {
        self.asleep.swap(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    fn wakes(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().count()
    }

    #[test]
    fn only_a_sleeping_loop_is_woken_and_only_once() {
        let mut poll = Poll::new().unwrap();
        let waker = LoopWaker::new(poll.registry(), Token(0)).unwrap();

        waker.wake();
        assert_eq!(wakes(&mut poll), 0, "an awake loop needs no system call");

        waker.fall_asleep();
        waker.wake();
        assert_eq!(wakes(&mut poll), 1);

        waker.wake();
        assert_eq!(wakes(&mut poll), 0, "it was woken already");
    }

    #[test]
    fn work_brought_at_any_moment_is_never_slept_over() {
        const ROUNDS: u64 = 20_000;
        let mut poll = Poll::new().unwrap();
        let waker = std::sync::Arc::new(LoopWaker::new(poll.registry(), Token(0)).unwrap());
        let (work, waiting) = crossbeam_channel::unbounded();
        let bringer = std::thread::spawn({
            let waker = std::sync::Arc::clone(&waker);
            move || {
                for round in 0..ROUNDS {
                    work.send(round).unwrap();
                    waker.wake();
                }
            }
        });

        let mut events = Events::with_capacity(4);
        let mut done = 0;
        while done < ROUNDS {
            done += waiting.try_iter().count() as u64;
            waker.fall_asleep();
            if waiting.is_empty() && done < ROUNDS {
                poll.poll(&mut events, Some(Duration::from_secs(30))).unwrap();
                assert!(!events.is_empty(), "slept over work");
            }
            waker.rise();
        }
        bringer.join().unwrap();
    }
}
