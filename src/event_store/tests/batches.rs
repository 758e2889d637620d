//! Batches: what was applied, what is seen of it, and what outlives the machine.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::subject::{NOW, Subject, event, order, position, types};
use crate::event_store::{AggregateId, Append, Command, StoreError};
use crate::machine::StateMachine;

fn placed(number: u64) -> Command {
    Append::to(&order(number), 0).events([event("placed")]).status("placed").into_command(NOW).unwrap()
}

#[test]
fn nothing_of_a_batch_is_seen_before_it_ends() {
    let mut subject = Subject::new();
    subject.apply(&placed(1));
    let before = subject.view();

    subject.apply_unended(&placed(2));
    subject.apply_unended(&placed(3));
    assert_eq!(subject.aggregates(&AggregateId::ALL), [order(1)]);
    let through = position(subject.index());
    subject.machine().end_batch(through, &[]).unwrap();

    assert_eq!(subject.aggregates(&AggregateId::ALL), [order(1), order(2), order(3)]);
    let seen = before.aggregates(&AggregateId::ALL, None, 9).unwrap().items;
    assert_eq!(seen, [order(1)], "a picture stays as it was");
}

#[test]
fn commands_of_one_batch_see_each_other() {
    let mut subject = Subject::new();
    let append = |at| Append::to(&order(1), at).events([event("e")]).into_command(NOW).unwrap();

    let first = subject.apply_unended(&append(0));
    let second = subject.apply_unended(&append(1));
    let again = subject.apply_unended(&append(1));

    let codes =
        [first, second, again].map(|response| super::subject::appended(response).map(|done| done.next));
    assert_eq!(codes[..2], [Ok(vec![1]), Ok(vec![2])]);
    assert_eq!(types(&codes[2].as_ref().unwrap_err().events), ["e"]);
}

#[test]
fn a_picture_outlives_the_rows_it_shows_and_the_machine_only_as_far_as_memory_goes() {
    let mut subject = Subject::new();
    for number in 0..50 {
        subject.apply(&placed(number));
    }
    subject.reopen();
    let view = subject.view();
    for number in 0..50 {
        subject.archive(&order(number));
    }

    assert_eq!(view.aggregates(&AggregateId::ALL, None, 99).unwrap().items.len(), 50);
    let reader = subject.machine().reader();
    drop(subject);
    for number in 0..50 {
        // What is in memory may be answered still; never is it denied.
        let asked = view.aggregate(&order(number));
        let is_right = matches!(&asked, Ok(Some(is)) if is.sequence == 1);
        assert!(is_right || asked == Err(StoreError::Closed), "{asked:?}");
    }
    assert!(matches!(reader.view(), Err(StoreError::Closed)));
}

#[test]
fn readers_are_told_when_something_was_applied_and_when_nothing_will_be() {
    let mut subject = Subject::new();
    let reader = subject.machine().reader();
    subject.apply(&placed(1));
    assert_eq!(reader.wait_beyond(0, Duration::MAX).applied, 1);
    let waits = Duration::from_secs(60);

    let waiting = reader.clone();
    let waiter = std::thread::spawn(move || waiting.wait_beyond(1, waits));
    subject.apply(&placed(2));
    assert_eq!(waiter.join().unwrap().applied, 2);

    let waiter = std::thread::spawn(move || reader.wait_beyond(2, waits));
    drop(subject);
    assert!(waiter.join().unwrap().closed);
}

#[test]
fn what_was_applied_and_not_ended_is_not_there_after_a_restart() {
    let mut subject = Subject::new();
    subject.apply(&placed(1));
    subject.apply(&Command::archive(&order(9)).unwrap());
    subject.apply_unended(&placed(2));
    let (dir, held) = subject.crash();

    assert_eq!(held, position(2));
    let machine = super::subject::open(dir.path());
    assert_eq!(machine.applied().unwrap().position, position(2));
    assert_eq!(machine.view().aggregates(&AggregateId::ALL, None, 9).unwrap().items, [order(1)]);
}

#[test]
fn the_sidecar_of_the_last_batch_comes_back_with_its_position() {
    let mut subject = Subject::new();
    for (index, sidecar) in [(1, "one"), (2, "two"), (3, "")] {
        subject.apply_unended(&placed(index));
        subject.machine().end_batch(position(index), sidecar.as_bytes()).unwrap();
        subject.reopen();
        assert_eq!(subject.machine().applied().unwrap().sidecar, sidecar.as_bytes());
    }
    subject.machine().end_batch(position(4), b"of no command").unwrap();
    subject.apply_nothing_through(4);
    subject.reopen();
    assert_eq!(subject.machine().applied().unwrap().sidecar, b"of no command");
}

#[test]
fn what_is_durable_follows_what_is_applied_without_being_waited_for() {
    let mut subject = Subject::new();
    let mut before = position(0);
    for number in 1..=200 {
        subject.apply(&placed(number));
        let durable = subject.machine().durable(position(number));
        assert!(before <= durable && durable <= position(number));
        before = durable;
    }
    let last = position(200);
    subject.apply_nothing_through(200);
    // Two full layers wait for the disk: so the first of them is there.
    assert!(before > position(0), "layers of a few commands, and none was settled");
    subject.reopen();
    assert_eq!(subject.machine().durable(last), last);
}

#[test]
fn pictures_taken_on_other_threads_are_whole() {
    let mut subject = Subject::new();
    let reader = subject.machine().reader();
    let all_look = Arc::new(Barrier::new(3));
    let looking = Arc::clone(&all_look);
    let look = move || {
        let mut seen = 0;
        looking.wait();
        while let Ok(view) = reader.view() {
            assert!(view.applied() >= seen, "time goes on");
            seen = view.applied();
            // Each command appends to both.
            let both = [1, 2].map(|number| view.events(&order(number), 0, usize::MAX));
            let [Ok(one), Ok(two)] = both else { break };
            assert_eq!(one.events.len() as u64, seen);
            assert_eq!(two.events.len() as u64, seen);
        }
        seen
    };
    let lookers = [look.clone(), look].map(std::thread::spawn);
    all_look.wait();

    for at in 0..300 {
        let appends = [1, 2].map(|number| Append::to(&order(number), at).events([event("e")]));
        subject.apply(&Command::append_all(appends, NOW).unwrap());
    }
    drop(subject);

    assert!(lookers.into_iter().all(|looker| looker.join().unwrap() <= 300));
}

#[test]
fn who_reads_while_a_panic_of_its_own_unwinds_casts_no_suspicion_on_the_store() {
    struct AsksAtTheEnd(crate::event_store::View);

    impl Drop for AsksAtTheEnd {
        fn drop(&mut self) {
            assert!(self.0.aggregate(&order(1)).unwrap().is_some());
        }
    }

    let mut subject = Subject::new();
    subject.apply(&placed(1));
    let asks = AsksAtTheEnd(subject.view());

    let panicked = std::thread::spawn(move || {
        let _asks = asks;
        panic!("the caller's own");
    });
    assert!(panicked.join().is_err());

    let (dir, _) = subject.crash();
    assert!(!dir.path().join("suspect").exists(), "the next start looks through the whole store for nothing");
}
