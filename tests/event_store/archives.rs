//! Archiving: an aggregate leaves the store, and what it was is handed to somebody at least once.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use quorate::Outcome;
use quorate::event_store::{
    AggregateId, Append, ArchiveError, Archived, ConsumeError, Filter, Options, Position, SubscriptionError,
};

use crate::scene::{
    LONG, append, conflict, event, id, over_one_and_three, over_one_and_three_with, sequences,
};

fn archiving() -> Options {
    Options::default().archiving(true)
}

type Handled = Result<(), std::convert::Infallible>;

#[test]
fn a_store_that_does_not_archive_says_so_whatever_is_asked() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["placed"]);

        let refused = cluster.any().archive(&order).expect_err("it does not archive");
        assert_eq!((refused.outcome(), refused), (Outcome::NotApplied, ArchiveError::ArchivingDisabled));
        let nothing =
            cluster.any().consume_archive(LONG, |_| -> Handled { unreachable!("nothing is archived") });
        assert_eq!(nothing, Err(ConsumeError::ArchivingDisabled));
        assert_eq!(cluster.any().load_events(&order, 0).expect("it stays").events.len(), 1);
    });
}

#[test]
fn what_is_archived_leaves_no_trace_but_its_record_and_its_id_may_begin_anew() {
    over_one_and_three_with(archiving, |cluster| {
        let order = id(["order", "1"]);
        let placed =
            Append::to(&order, 0).events([event("a", 1), event("b", 2)]).status("open").label("color", "red");
        cluster.any().append(placed).expect("it is new");
        cluster.any().save_snapshot(&order, "of one", 1).expect("saved");

        let index = cluster.any().archive(&order).expect("archived").expect("it was there");

        assert_eq!(cluster.any().load_events(&order, 0).expect("asked").events, []);
        assert_eq!(cluster.any().load_snapshot(&order).expect("asked").sequence, 0);
        assert_eq!(cluster.any().aggregates(&AggregateId::ALL), Ok(Vec::new()));
        assert_eq!(
            (cluster.any().status(&order), cluster.any().with_status("open")),
            (Ok(None), Ok(Vec::new()))
        );
        assert_eq!(cluster.any().with_label("color", "red"), Ok(Vec::new()));
        assert_eq!(cluster.any().label_values("color"), Ok(Vec::new()));

        append(cluster.any(), &order, 0, &["another life"]);
        let mut handled = None;
        let keep = |record: &Archived| -> Handled {
            handled = Some(record.clone());
            Ok(())
        };
        cluster.any().consume_archive(LONG, keep).expect("consumed");
        let record = handled.expect("the handler was called");
        assert_eq!((record.index, &record.aggregate), (index, &order));
        assert_eq!(record.stream_id(), format!("{index:020}"));
        assert_eq!((&record.snapshot[..], record.snapshot_sequence), (&b"of one"[..], 1));
        assert_eq!(sequences(&record.events.events), [0, 1]);
    });
}

#[test]
fn archiving_what_is_not_there_is_no_failure_and_leaves_no_record() {
    over_one_and_three_with(archiving, |cluster| {
        assert_eq!(cluster.any().archive(&id(["missing"])), Ok(None));

        let nothing =
            cluster.any().consume_archive(Duration::ZERO, |_| -> Handled { unreachable!("no record") });
        assert_eq!(nothing, Err(ConsumeError::NothingInTime));
    });
}

#[test]
fn what_had_no_snapshot_is_archived_without_one() {
    over_one_and_three_with(archiving, |cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a"]);
        cluster.any().archive(&order).expect("archived");

        let check = |record: &Archived| -> Handled {
            assert_eq!((record.snapshot_sequence, record.snapshot.len()), (0, 0));
            assert_eq!(sequences(&record.events.events), [0]);
            Ok(())
        };
        cluster.any().consume_archive(LONG, check).expect("consumed");
    });
}

#[test]
fn without_a_record_the_deadline_comes_and_the_handler_is_not_called() {
    over_one_and_three_with(archiving, |cluster| {
        append(cluster.any(), &id(["order", "1"]), 0, &["a"]);

        let nothing = cluster.any().consume_archive(Duration::from_millis(20), |_| -> Handled {
            unreachable!("nothing is archived")
        });

        assert_eq!(nothing, Err(ConsumeError::NothingInTime));
    });
}

#[test]
fn a_handler_that_fails_keeps_the_record_and_one_that_succeeds_removes_it_everywhere() {
    over_one_and_three_with(archiving, |cluster| {
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));
        for order in [&first, &second] {
            append(cluster.any(), order, 0, &["a"]);
            cluster.any().archive(order).expect("archived");
        }

        let failed = cluster.any().consume_archive(LONG, |_| Err("no room"));
        assert_eq!(failed, Err(ConsumeError::Handler("no room")));
        assert_eq!(failed.expect_err("it failed").outcome(), Outcome::NotApplied);

        for order in [first, second] {
            let check = |record: &Archived| -> Handled {
                assert_eq!(record.aggregate, order, "the oldest comes first");
                Ok(())
            };
            cluster.any().consume_archive(LONG, check).expect("consumed");
        }
        for store in cluster.stores() {
            let nothing =
                store.consume_archive(Duration::ZERO, |_| -> Handled { unreachable!("all are consumed") });
            assert_eq!(nothing, Err(ConsumeError::NothingInTime));
        }
    });
}

#[test]
fn who_waits_is_handed_what_another_node_archives() {
    over_one_and_three_with(archiving, |cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a"]);
        let waiting = cluster.any().clone();
        let (sender, handed) = mpsc::channel();

        thread::scope(|scope| {
            scope.spawn(move || {
                let keep = |record: &Archived| sender.send(record.aggregate.clone());
                waiting.consume_archive(LONG, keep).expect("consumed");
            });
            cluster.any().archive(&order).expect("archived");
        });

        assert_eq!(handed.recv(), Ok(order));
    });
}

#[test]
fn two_consumers_of_one_node_are_never_handed_one_record_and_what_one_fails_at_the_other_gets() {
    over_one_and_three_with(archiving, |cluster| {
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));
        for order in [&first, &second] {
            append(cluster.any(), order, 0, &["a"]);
            cluster.any().archive(order).expect("archived");
        }
        let store = cluster.any();
        let (told, handed) = mpsc::channel();
        let (let_go, hold) = mpsc::channel::<()>();

        thread::scope(|scope| {
            let slow = scope.spawn(move || {
                store.consume_archive(LONG, |record| {
                    told.send(record.aggregate.clone()).expect("the test listens");
                    hold.recv().map_err(|_| "given up") // until the test ends it
                })
            });
            assert_eq!(handed.recv(), Ok(first.clone()));
            let check = |record: &Archived| -> Handled {
                assert_eq!(record.aggregate, second, "the first is in other hands");
                Ok(())
            };
            store.consume_archive(LONG, check).expect("consumed");
            let patient = scope.spawn(|| {
                store.consume_archive(LONG, |record| -> Handled {
                    assert_eq!(record.aggregate, first);
                    Ok(())
                })
            });
            drop(let_go);
            assert_eq!(slow.join().expect("no panic"), Err(ConsumeError::Handler("given up")));
            patient.join().expect("no panic").expect("what was let go is handed to who waits");
        });
    });
}

#[test]
fn a_subscriber_below_what_was_archived_is_told_of_the_gap_and_goes_on() {
    over_one_and_three_with(archiving, |cluster| {
        let [archived, kept] = ["1", "2"].map(|order| id(["order", order]));
        append(cluster.any(), &archived, 0, &["a", "b"]);
        append(cluster.any(), &kept, 0, &["c"]);
        let index = cluster.any().archive(&archived).expect("archived").expect("it was there");
        let store = cluster.any();
        store.node().wait_applied(index, LONG).expect("it is committed");

        let mut all = store.subscribe(Position::START, Filter::all()).expect("a good filter");

        let Err(SubscriptionError::Gap(gap)) = all.next_within(LONG) else { panic!("no gap") };
        assert_eq!((gap.aggregate, gap.first_available), (archived.clone(), 0));
        assert_eq!(all.next_within(LONG).expect("it is there").expect("in time").event.aggregate, kept);
        let before = conflict(store, Append::to(&archived, 2));
        assert_eq!((before.actual, before.events.len()), (0, 0), "its new life begins at zero");
    });
}
