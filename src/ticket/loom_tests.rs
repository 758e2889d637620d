//! Every order in which a caller and the threads that answer it can meet. How such tests are run stands in [`crate::sync`].
//!
//! A deadline that is over passes at any moment of a wait, one that is far never does: there a lost wake-up is a deadlock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use loom::thread;

use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

type Answered = Result<Vec<u8>, ProposeError>;

#[expect(clippy::disallowed_methods, reason = "a deadline that is over already")]
fn over() -> Instant {
    Instant::now()
}

fn far() -> Instant {
    over() + Duration::from_secs(3600)
}

fn gate() -> Arc<Gate> {
    Arc::new(Gate::new(10, 1000))
}

fn proposal(gate: &Arc<Gate>, deadline: Instant) -> (Reply, Ticket<Vec<u8>, ProposeError>) {
    Reply::pair(gate.enter(1).expect("room"), deadline, |bytes| Ok(bytes.to_vec()))
}

fn read(gate: &Arc<Gate>, deadline: Instant) -> (ReadTask, Ticket<u8, ReadError>) {
    ReadTask::pair(gate.enter(0).expect("room"), deadline, |state: &u8| *state)
}

fn done() -> Bytes {
    Bytes::from_static(b"done")
}

/// What an engine does with a request at its turn; whether the request took effect.
fn take_and_answer(reply: Reply) -> bool {
    let taken = reply.take();
    if taken {
        reply.answer(&done());
    }
    taken
}

/// An answer is what happened; `NotApplied` is said only of what did not happen.
fn assert_true(answer: &Answered, applied: bool) {
    match answer {
        Ok(response) => assert!(applied && response == b"done", "an answer to what did not happen"),
        Err(error) => {
            assert!(
                !applied || error.outcome() == Outcome::Unknown,
                "applied, and the caller heard: {error}"
            );
        }
    }
}

#[test]
fn loom_an_answer_is_never_slept_over() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), far());
        let engine = thread::spawn(move || take_and_answer(reply));

        assert_eq!(ticket.wait(), Ok(b"done".to_vec()));
        assert!(engine.join().unwrap());
    });
}

#[test]
fn loom_a_caller_whose_deadline_passes_is_told_the_truth() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), over());
        let engine = thread::spawn(move || take_and_answer(reply));

        let answer = ticket.wait();

        let applied = engine.join().unwrap();
        assert_true(&answer, applied);
        assert!(applied || answer == Err(ProposeError::DeadlinePassed), "{answer:?}");
    });
}

#[test]
fn loom_a_caller_who_comes_back_after_a_while_is_told_the_truth() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), far());
        let engine = thread::spawn(move || take_and_answer(reply));

        let answer = ticket.wait_until(over()).or_else(Ticket::try_wait);
        let answer = answer.unwrap_or_else(Ticket::wait);

        assert!(engine.join().unwrap());
        assert_eq!(answer, Ok(b"done".to_vec()));
    });
}

#[test]
fn loom_what_was_put_back_is_not_taken_again_once_its_caller_was_told_that_it_is_not_applied() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), over());
        let engine = thread::spawn(move || {
            if reply.take() {
                reply.put_back();
            }
            take_and_answer(reply)
        });

        let answer = ticket.wait();

        assert_true(&answer, engine.join().unwrap());
    });
}

#[test]
fn loom_a_deadline_that_both_sides_see_is_one_answer() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), over());
        let engine = thread::spawn(move || {
            let taken = reply.take();
            reply.expire();
            taken
        });

        let error = ticket.wait().expect_err("nobody answered");

        let expected = if engine.join().unwrap() { Outcome::Unknown } else { Outcome::NotApplied };
        assert_eq!(error.outcome(), expected, "{error}");
    });
}

#[test]
fn loom_a_callback_runs_once_and_with_the_answer() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), far());
        let calls = Arc::new(AtomicUsize::new(0));
        let engine = thread::spawn(move || take_and_answer(reply));

        ticket.on_done({
            let calls = Arc::clone(&calls);
            move |answer| {
                assert_eq!(answer, Ok(b"done".to_vec()));
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });

        engine.join().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn loom_what_waits_behind_a_request_goes_on_once_whoever_ends_it() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), over());
        let gone_on = Arc::new(AtomicUsize::new(0));
        let engine = thread::spawn(move || take_and_answer(reply));

        ticket.then({
            let gone_on = Arc::clone(&gone_on);
            move || {
                gone_on.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _ = ticket.wait();

        engine.join().unwrap();
        assert_eq!(gone_on.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn loom_who_hears_an_answer_finds_room() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1, 1));
        let (reply, ticket) = proposal(&gate, far());
        let engine = thread::spawn(move || take_and_answer(reply));

        ticket.wait().expect("it was answered");

        assert!(gate.enter(1).is_some(), "the gate was still full");
        engine.join().unwrap();
    });
}

#[test]
fn loom_who_hears_that_the_node_stops_finds_the_gate_shut() {
    loom::model(|| {
        let gate = gate();
        let (reply, ticket) = proposal(&gate, far());
        let engine = thread::spawn(move || reply.stop(&StopCause::Shutdown));

        let error = ticket.wait().expect_err("the node stops");

        assert_eq!(gate.stop_cause(), Some(&StopCause::Shutdown));
        assert_eq!(error.outcome(), Outcome::NotApplied);
        engine.join().unwrap();
    });
}

#[test]
fn loom_who_hears_that_a_read_stops_finds_the_gate_shut() {
    loom::model(|| {
        let gate = gate();
        let (task, ticket) = read(&gate, far());
        let engine = thread::spawn(move || task.stop(&StopCause::Shutdown));

        assert_eq!(ticket.wait(), Err(ReadError::Stopped { cause: StopCause::Shutdown }));

        assert_eq!(gate.stop_cause(), Some(&StopCause::Shutdown));
        engine.join().unwrap();
    });
}

#[test]
fn loom_a_reply_that_a_panic_drops_answers_its_caller() {
    loom::model(|| {
        let gate = gate();
        let (reply, ticket) = proposal(&gate, far());
        let engine = thread::spawn(move || {
            assert!(reply.take());
            let broken = catch_unwind(AssertUnwindSafe(move || {
                let _held = reply;
                std::panic::resume_unwind(Box::new("a bug"));
            }));
            assert!(broken.is_err());
        });

        let error = ticket.wait().expect_err("nobody answered");

        assert!(matches!(error, ProposeError::Stopped { outcome: Outcome::Unknown, .. }), "{error}");
        engine.join().unwrap();
    });
}

#[test]
fn loom_a_callback_that_panics_keeps_no_answer_from_another() {
    loom::model(|| {
        let (reply, ticket) = proposal(&gate(), far());
        ticket.then(|| std::panic::resume_unwind(Box::new("the callback's own")));
        let engine = thread::spawn(move || take_and_answer(reply));

        assert_eq!(ticket.wait(), Ok(b"done".to_vec()));
        assert!(engine.join().unwrap());
    });
}

#[test]
fn loom_a_read_is_answered_whatever_becomes_of_it() {
    loom::model(|| {
        let gate = gate();
        let ((run, first), (dropped, second)) = (read(&gate, far()), read(&gate, far()));
        let applier = thread::spawn(move || {
            run.run(&7_u8);
            drop(dropped);
        });

        assert_eq!(second.wait(), Err(ReadError::Stopped { cause: StopCause::Shutdown }));
        assert_eq!(first.wait(), Ok(7));
        applier.join().unwrap();
    });
}

#[test]
fn loom_a_panic_of_a_read_goes_on_in_its_caller() {
    loom::model(|| {
        let (task, ticket) = ReadTask::pair(gate().enter(0).expect("room"), far(), |_: &u8| {
            std::panic::resume_unwind(Box::new("the closure's own"))
        });
        let applier = thread::spawn(move || task.run(&7_u8));

        let panic = catch_unwind(AssertUnwindSafe(|| -> Result<u8, _> { ticket.wait() })).unwrap_err();

        assert_eq!(panic_message(&*panic), "the closure's own");
        applier.join().unwrap();
    });
}

/// Enters from `threads` threads at once, each with `bytes`; the most that were ever inside together.
fn crowd(gate: &Arc<Gate>, threads: usize, bytes: usize) -> usize {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let visit = {
        let (gate, inside, most) = (Arc::clone(gate), Arc::clone(&inside), Arc::clone(&most));
        move || {
            if let Some(permit) = gate.enter(bytes) {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        }
    };
    let others: Vec<_> = (1..threads).map(|_| thread::spawn(visit.clone())).collect();
    visit();
    others.into_iter().for_each(|other| other.join().unwrap());
    most.load(Ordering::SeqCst)
}

#[test]
fn loom_no_more_are_let_in_than_the_gate_holds_and_all_leave_it() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(1, 100));

        assert!(crowd(&gate, 2, 1) <= 1, "too many requests at once");

        assert!(gate.enter(100).is_some(), "somebody left something behind");
    });
}

#[test]
fn loom_a_request_above_the_limit_is_alone_behind_the_gate() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(10, 100));

        assert!(crowd(&gate, 2, 1000) <= 1, "two that are each too much");

        assert!(gate.enter(100).is_some(), "somebody left something behind");
    });
}

/// The engine's queue: what is put there once it is closed is dropped, as what is in it then.
#[derive(Default)]
struct Queue {
    /// `None` once it is closed.
    waiting: Mutex<Option<Vec<Reply>>>,
    brought: Condvar,
}

impl Queue {
    fn open() -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(Some(Vec::new())), brought: Condvar::new() })
    }

    fn put(&self, reply: Reply) {
        let mut waiting = self.waiting.lock();
        let refused = match &mut *waiting {
            Some(replies) => {
                replies.push(reply);
                None
            }
            None => Some(reply),
        };
        drop(waiting);
        self.brought.notify_one();
        drop(refused);
    }

    fn close(&self) {
        let left = self.waiting.lock().take();
        drop(left);
    }
}

#[test]
fn loom_who_calls_while_the_node_stops_is_answered() {
    loom::model(|| {
        let (gate, queue) = (gate(), Queue::open());
        let engine = thread::spawn({
            let (gate, queue) = (Arc::clone(&gate), Arc::clone(&queue));
            move || {
                let first = queue.waiting.lock().as_mut().and_then(Vec::pop);
                let applied = first.is_some_and(take_and_answer);
                gate.stop(StopCause::Shutdown);
                queue.close();
                applied
            }
        });

        let (reply, ticket) = proposal(&gate, far());
        queue.put(reply);
        let answer = ticket.wait();

        let applied = engine.join().unwrap();
        assert_true(&answer, applied);
        let stopped = Err(ProposeError::Stopped { cause: StopCause::Shutdown, outcome: Outcome::NotApplied });
        assert!(applied || answer == stopped, "{answer:?}");
    });
}

#[test]
fn loom_a_number_that_comes_back_wakes_whoever_waits_for_the_next() {
    loom::model(|| {
        let numbers = Numbers::new(1);
        let lowest = numbers.take().expect("the first");
        let giving_back = thread::spawn(move || drop(lowest));

        let next = numbers.take_until(far()).expect("it comes back");

        assert_eq!(next.with_lowest(), (1, 1));
        giving_back.join().unwrap();
    });
}

#[test]
fn loom_two_who_wait_for_numbers_both_get_one() {
    loom::model(|| {
        let numbers = Numbers::new(2);
        let (lowest, other) = (numbers.take().expect("the first"), numbers.take().expect("the second"));
        let waiting = thread::spawn({
            let numbers = Arc::clone(&numbers);
            move || numbers.take_until(far()).expect("both come back").with_lowest().0
        });

        // The one behind it frees nothing; the lowest frees two at once.
        drop(other);
        drop(lowest);
        let mine = numbers.take_until(far()).expect("both come back").with_lowest().0;

        let theirs = waiting.join().unwrap();
        assert_eq!([mine.min(theirs), mine.max(theirs)], [2, 3]);
    });
}
