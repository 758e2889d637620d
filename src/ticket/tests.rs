//! Who wins when a deadline and an answer meet.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;

fn gate() -> Arc<Gate> {
    Arc::new(Gate::new(10, 1000))
}

#[expect(clippy::disallowed_methods, reason = "a deadline that is over already")]
fn over() -> Instant {
    Instant::now()
}

fn far() -> Instant {
    over() + Duration::from_secs(60)
}

fn proposal(gate: &Arc<Gate>, deadline: Instant) -> (Reply, Ticket<Vec<u8>, ProposeError>) {
    Reply::pair(gate.enter(1).expect("room"), deadline, |bytes| Ok(bytes.to_vec()))
}

fn read(gate: &Arc<Gate>, f: impl FnOnce(&u8) -> u8 + Send + 'static) -> (ReadTask, Ticket<u8, ReadError>) {
    ReadTask::pair(gate.enter(0).expect("room"), far(), f)
}

#[test]
fn an_answer_reaches_the_caller_who_waits() {
    let (reply, ticket) = proposal(&gate(), far());
    assert!(reply.take());

    let waiting = std::thread::spawn(move || ticket.wait());
    reply.answer(&Bytes::from_static(b"done"));

    assert_eq!(waiting.join().unwrap(), Ok(b"done".to_vec()));
}

#[test]
fn a_deadline_before_the_request_is_taken_means_not_applied_and_it_cannot_be_taken_any_more() {
    let (reply, ticket) = proposal(&gate(), over());

    let error = ticket.wait().unwrap_err();

    assert_eq!((error.clone(), error.outcome()), (ProposeError::DeadlinePassed, Outcome::NotApplied));
    assert!(!reply.take());
}

#[test]
fn a_deadline_after_the_request_is_taken_means_unknown() {
    let (reply, ticket) = proposal(&gate(), over());
    assert!(reply.take());

    let error = ticket.wait().unwrap_err();

    assert_eq!((error.clone(), error.outcome()), (ProposeError::Unknown, Outcome::Unknown));
}

#[test]
fn a_reply_dropped_unfilled_says_why_the_node_stopped_and_what_may_be_concluded() {
    let gate = gate();
    let cause = StopCause::Storage("no".into());
    let (queued, queued_ticket) = proposal(&gate, far());
    let (taken, taken_ticket) = proposal(&gate, far());
    assert!(taken.take());

    gate.stop(cause.clone());
    drop((queued, taken));

    let stopped = |outcome| Err(ProposeError::Stopped { cause: cause.clone(), outcome });
    assert_eq!(queued_ticket.wait(), stopped(Outcome::NotApplied));
    assert_eq!(taken_ticket.wait(), stopped(Outcome::Unknown));
}

#[test]
fn a_callback_runs_with_the_answer_whether_it_comes_before_or_after() {
    let gate = gate();
    let (sender, answers) = mpsc::channel();
    let (early, early_ticket) = proposal(&gate, far());
    let (late, late_ticket) = proposal(&gate, far());
    let tell = |sender: &mpsc::Sender<_>| {
        let sender = sender.clone();
        move |answer| sender.send(answer).expect("the test listens")
    };

    early.answer(&Bytes::from_static(b"1"));
    early_ticket.on_done(tell(&sender));
    late_ticket.on_done(tell(&sender));
    late.fail(ProposeError::Superseded);

    assert_eq!(answers.recv().unwrap(), Ok(b"1".to_vec()));
    assert_eq!(answers.recv().unwrap(), Err(ProposeError::Superseded));
}

#[test]
fn a_request_in_flight_holds_its_place_until_it_is_answered() {
    let gate = Arc::new(Gate::new(1, 1000));
    let (reply, ticket) = proposal(&gate, far());
    assert!(gate.enter(1).is_none());

    reply.answer(&Bytes::new());

    assert!(gate.enter(1).is_some());
    assert_eq!(ticket.wait(), Ok(Vec::new()));
}

#[test]
fn a_panic_in_a_read_goes_on_in_its_caller_alone() {
    let gate = gate();
    let (bad, bad_ticket) = read(&gate, |_| panic!("the closure's own"));
    let (good, good_ticket) = read(&gate, |state| *state);

    bad.run(&7_u8);
    good.run(&7_u8);

    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bad_ticket.wait())).unwrap_err();
    assert_eq!(panic_message(&*panic), "the closure's own");
    assert_eq!(good_ticket.wait(), Ok(7));
}

#[test]
fn a_blocking_wait_on_a_runtime_thread_is_refused() {
    let (_reply, ticket) = proposal(&gate(), far());

    let refused = std::thread::spawn(move || {
        enter_runtime_thread();
        ticket.wait()
    });

    assert_eq!(refused.join().unwrap(), Err(ProposeError::WouldDeadlock));
}

#[test]
fn a_wait_refused_on_a_runtime_thread_never_says_that_a_taken_request_is_not_applied() {
    let (reply, ticket) = proposal(&gate(), far());
    assert!(reply.take());

    let refused = std::thread::spawn(move || {
        enter_runtime_thread();
        ticket.wait()
    });

    let error = refused.join().unwrap().expect_err("nobody answered");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}

#[test]
fn a_wait_refused_on_a_runtime_thread_takes_a_queued_request_back() {
    let (reply, ticket) = proposal(&gate(), far());

    let refused = std::thread::spawn(move || {
        enter_runtime_thread();
        ticket.wait()
    });

    assert_eq!(refused.join().unwrap(), Err(ProposeError::WouldDeadlock));
    assert!(!reply.take(), "it takes effect after its caller was told that it does not");
}

#[test]
fn what_waits_behind_a_request_goes_on_when_its_caller_takes_it_back() {
    let (reply, ticket) = proposal(&gate(), over());
    let (sender, went_on) = mpsc::channel();
    ticket.then(move || sender.send(()).expect("the test listens"));

    ticket.wait().expect_err("it was never taken");
    drop(reply);

    assert_eq!(went_on.try_recv(), Ok(()), "what waited was dropped");
}

#[test]
fn a_panic_in_a_callback_harms_neither_the_thread_that_answers_nor_the_other_callbacks() {
    let (reply, ticket) = proposal(&gate(), far());
    let (sender, others) = mpsc::channel();
    ticket.then(|| panic!("the callback's own"));
    ticket.then(move || sender.send(()).expect("the test listens"));

    let answered =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reply.answer(&Bytes::from_static(b"done"))));

    assert!(answered.is_ok(), "the panic went on in the thread that answers");
    assert_eq!(others.try_recv(), Ok(()));
    assert_eq!(ticket.wait(), Ok(b"done".to_vec()));
}

#[test]
fn a_panic_in_the_decoding_of_a_response_goes_on_in_its_caller_alone() {
    let (reply, ticket) =
        Reply::pair(gate().enter(1).expect("room"), far(), |_: &[u8]| -> Result<(), ProposeError> {
            panic!("the codec's own");
        });
    let (sender, answers) = mpsc::channel();
    ticket.on_done(move |answer| sender.send(answer).expect("the test listens"));

    let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reply.answer(&Bytes::new())));

    assert!(answered.is_ok(), "the panic went on in the thread that answers");
    let error = answers.try_recv().expect("the caller was never answered").unwrap_err();
    assert_eq!(error, ProposeError::BadResponse { reason: "the codec's own".to_owned() });
}

#[test]
fn a_request_that_is_answered_has_left_when_its_caller_hears_of_it() {
    let (for_writes, for_reads) = (Arc::new(Gate::new(1, 1000)), Arc::new(Gate::new(1, 1000)));
    let (reply, proposed) = proposal(&for_writes, far());
    let (task, asked) = read(&for_reads, |state| *state);
    let (sender, has_room) = mpsc::channel();
    let tell = |gate| {
        let sender = sender.clone();
        move || sender.send(Gate::enter(&gate, 1).is_some()).expect("the test listens")
    };
    proposed.then(tell(for_writes));
    asked.then(tell(for_reads));

    reply.answer(&Bytes::new());
    task.run(&7_u8);

    assert_eq!(has_room.try_iter().collect::<Vec<_>>(), [true, true]);
}
