//! Subscriptions: from any place in the log, through what was to what comes, and nothing is lost on the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use quorate::event_store::{
    AggregateId, Append, Delivered, Event, Filter, Invalid, Options, Position, Removal, Subscription,
    SubscriptionError, limits,
};
use quorate::{Codec, Config};

use crate::scene::{Cluster, LONG, append, event, id, over_one_and_three, over_one_and_three_with, types};

fn next(subscription: &mut Subscription) -> Delivered {
    subscription.next_within(LONG).expect("it is there").expect("in time")
}

fn take(subscription: &mut Subscription, count: usize) -> Vec<Event> {
    (0..count).map(|_| next(subscription).event).collect()
}

#[test]
fn a_subscriber_gets_what_was_and_then_what_comes_in_the_order_of_the_log() {
    over_one_and_three(|cluster| {
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));
        append(cluster.any(), &first, 0, &["a", "b"]);
        append(cluster.any(), &second, 0, &["c"]);

        for store in cluster.stores() {
            let mut all = store.subscribe(Position::START, Filter::all()).expect("a good filter");
            let was = take(&mut all, 3);
            assert_eq!(types(&was), ["a", "b", "c"]);
            assert_eq!(all.next_within(Duration::ZERO), Ok(None), "nothing more yet");
        }
        let store = cluster.any();
        let mut all = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        take(&mut all, 3);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || next(&mut all));
            append(cluster.any(), &first, 2, &["d"]);
            assert_eq!(waiting.join().expect("no panic").event.event_type, "d");
        });
    });
}

#[test]
fn places_are_the_same_on_every_node_and_go_up() {
    let cluster = Cluster::of(3, |_| Options::default());
    for nth in 0..20 {
        append(cluster.any(), &id(["order", &(nth % 3).to_string()]), nth / 3, &["counted"]);
    }

    let histories: Vec<Vec<Delivered>> = cluster
        .stores()
        .map(|store| {
            let mut all = store.subscribe(Position::START, Filter::all()).expect("a good filter");
            (0..20).map(|_| next(&mut all)).collect()
        })
        .collect();

    assert!(histories.iter().all(|history| *history == histories[0]));
    assert!(histories[0].windows(2).all(|pair| pair[0].position < pair[1].position));
}

#[test]
fn a_filter_lets_through_prefixes_and_types_and_a_position_passes_over_the_rest() {
    over_one_and_three(|cluster| {
        let (order, person) = (id(["order", "1"]), id(["person", "1"]));
        append(cluster.any(), &order, 0, &["made", "paid"]);
        append(cluster.any(), &person, 0, &["made", "moved"]);
        append(cluster.any(), &id(["orders"]), 0, &["made"]);
        let filters = [
            (Filter::prefix(id(["order"])), vec!["made", "paid"]),
            (Filter::event_type("made"), vec!["made", "made", "made"]),
            (Filter::prefix(id(["order"])).or_event_type("paid"), vec!["paid"]),
            (Filter::prefix(id(["order"])).or_prefix(person), vec!["made", "paid", "made", "moved"]),
            (Filter::event_type("moved").or_event_type("paid"), vec!["paid", "moved"]),
            (Filter::event_type("never"), vec![]),
        ];
        let store = cluster.any();
        let end = store.append(Append::to(&order, 2)).expect("it is there").position;

        for (filter, wanted) in filters {
            let mut some = store.subscribe(Position::START, filter.clone()).expect("a good filter");
            let events = take(&mut some, wanted.len());
            assert_eq!(types(&events), wanted, "{filter:?}");
            assert_eq!(some.next_within(Duration::ZERO), Ok(None));
            assert!(some.next_position() >= end, "what was passed over is not looked through again");
        }
    });
}

#[test]
fn a_deadline_holds_also_for_who_passes_over_more_events_than_a_page_has() {
    let cluster = Cluster::of(1, |_| Options::default());
    let store = cluster.store(1);
    let orders: Vec<_> = (0..limits::APPENDS_MAX).map(|nth| id(["order", &nth.to_string()])).collect();
    for expected in 0..65 {
        let appends = orders.iter().map(|order| Append::to(order, expected).events([event("counted", 1)]));
        store.append_all(appends).expect("all are where they are expected");
    }
    let end = store.append(Append::to(&orders[0], 65)).expect("it is there").position;
    let mut none = store.subscribe(Position::START, Filter::event_type("never")).expect("a good filter");

    assert_eq!(none.next_within(Duration::ZERO), Ok(None));
    assert!(none.next_position() < end, "its time was over, and it read on");
    while none.next_position() < end {
        let before = none.next_position();
        assert_eq!(none.next_within(Duration::ZERO), Ok(None));
        assert!(none.next_position() > before, "it goes on where it was");
    }
}

#[test]
fn a_filter_that_names_too_much_is_refused() {
    let cluster = Cluster::of(1, |_| Options::default());
    let many =
        (0..=limits::FILTER_MAX).fold(Filter::all(), |filter, nth| filter.or_event_type(nth.to_string()));

    let refused = cluster.store(1).subscribe(Position::START, many).expect_err("too many");

    let max = limits::FILTER_MAX;
    assert_eq!(refused, Invalid::TooLong { what: "a filter", unit: "types", length: max + 1, max });
}

/// A consumer that keeps what it made of the events together with its position.
#[derive(Default)]
struct Consumer {
    seen: BTreeMap<AggregateId, u64>,
    position: Vec<u8>,
}

impl Consumer {
    fn position(&self) -> Position {
        Position::decode(&self.position).unwrap_or(Position::START)
    }

    fn consume(&mut self, subscription: &mut Subscription, count: usize) {
        for _ in 0..count {
            let event = next(subscription).event;
            let expected = self.seen.entry(event.aggregate.clone()).or_default();
            assert_eq!(event.sequence, *expected, "lost, or delivered twice");
            *expected += 1;
            self.position.clear();
            subscription.next_position().encode(&mut self.position);
        }
    }
}

#[test]
fn a_consumer_goes_on_where_it_stopped_after_a_restart_and_on_another_node() {
    let small_snapshots = |config: Config| config.trailing_entries(0);
    let mut cluster = Cluster::founded(3, 1..=3, small_snapshots, |_| Options::default());
    let mut consumer = Consumer::default();
    for round in 0..3_u64 {
        for nth in 0..4 {
            let events = ["a", "b", "c"];
            append(cluster.any(), &id(["order", &nth.to_string()]), round * 3, &events);
        }
        // Twelve events came; five of them wait for the next time, in the middle of an append.
        let count = if round == 0 { 7 } else { 12 };
        let mut all =
            cluster.store(round + 1).subscribe(consumer.position(), Filter::all()).expect("a good filter");
        consumer.consume(&mut all, count);
        drop(all);
        cluster.store(round + 1).node().snapshot_now().expect("taken");
        cluster.stop(round + 1);
        cluster.restart(round + 1);
    }

    let mut all = cluster.store(1).subscribe(consumer.position(), Filter::all()).expect("a good filter");
    consumer.consume(&mut all, 5);

    assert_eq!(all.next_within(Duration::ZERO), Ok(None));
    assert!(consumer.seen.values().all(|seen| *seen == 9), "{:?}", consumer.seen);
}

#[test]
fn what_was_trimmed_before_a_subscriber_came_to_it_is_a_gap_that_it_can_go_beyond() {
    let trimming = || Options::default().trim(true);
    over_one_and_three_with(trimming, |cluster| {
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));
        append(cluster.any(), &first, 0, &["a", "b", "c"]);
        append(cluster.any(), &second, 0, &["d"]);
        let store = cluster.any();
        let mut early = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        let mut after_two = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        assert_eq!(types(&take(&mut early, 4)), ["a", "b", "c", "d"]);
        take(&mut after_two, 2);
        let (after_two, after_four) = (after_two.next_position(), early.next_position());
        store.save_snapshot(&first, "of two", 2).expect("saved");

        let mut late = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        let Err(SubscriptionError::Gap(gap)) = late.next_within(LONG) else { panic!("no gap") };
        assert_eq!((&gap.aggregate, gap.first_available, gap.removed_by), (&first, 2, Removal::Trim));
        assert_eq!(late.next_position(), gap.position.next());
        assert_eq!(types(&take(&mut late, 2)), ["c", "d"], "beyond the gap all are there");
        for (from, wanted) in [(after_two, vec!["c", "d"]), (after_four, vec![])] {
            let mut seen = store.subscribe(from, Filter::all()).expect("a good filter");
            assert_eq!(types(&take(&mut seen, wanted.len())), wanted, "who had seen them misses nothing");
            assert_eq!(seen.next_within(Duration::ZERO), Ok(None));
        }
        let mut others = store.subscribe(Position::START, Filter::prefix(second)).expect("a good filter");
        assert_eq!(types(&take(&mut others, 1)), ["d"], "gaps of others are not its own");
    });
}

#[test]
fn as_an_iterator_it_tells_of_a_gap_and_goes_on_and_ends_when_it_is_closed() {
    let cluster = Cluster::of(1, |_| Options::default().trim(true));
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    append(store, &order, 0, &["a", "b"]);
    store.save_snapshot(&order, "of one", 1).expect("saved");
    let all = store.subscribe(Position::START, Filter::all()).expect("a good filter");
    let closer = all.closer();
    let (told, heard) = mpsc::channel();

    let follower = thread::spawn(move || {
        for item in all {
            told.send(item.map(|delivered| delivered.event.event_type)).expect("the test listens");
        }
    });
    assert!(matches!(heard.recv_timeout(LONG), Ok(Err(SubscriptionError::Gap(_)))));
    assert_eq!(heard.recv_timeout(LONG), Ok(Ok("b".to_owned())));
    closer.close();

    follower.join().expect("it ends");
    assert!(heard.recv().is_err(), "to be closed is no item");
    append(store, &order, 2, &["c"]);
}

#[test]
fn a_closed_subscription_hands_out_nothing_more_also_of_what_it_had_read() {
    let cluster = Cluster::of(1, |_| Options::default());
    append(cluster.store(1), &id(["order", "1"]), 0, &["a", "b"]);
    let mut all = cluster.store(1).subscribe(Position::START, Filter::all()).expect("a good filter");
    next(&mut all);

    all.closer().close();

    assert_eq!(all.next_within(LONG), Err(SubscriptionError::Closed));
    assert_eq!(all.next(), None);
}

#[test]
fn a_subscriber_from_a_place_that_is_not_there_yet_waits_for_it() {
    let cluster = Cluster::of(1, |_| Options::default());
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    append(store, &order, 0, &["a"]);
    let future = store.append(Append::to(&order, 1).events([event("b", 1)])).expect("it is there").position;
    let future = Position { index: future.index + 2, ..future };
    let mut later = store.subscribe(future, Filter::all()).expect("a good filter");
    assert_eq!(later.next_within(Duration::from_millis(1)), Ok(None));

    append(store, &order, 2, &["c"]);
    append(store, &order, 3, &["d"]);

    let first = next(&mut later);
    assert!(first.position >= future, "{first:?}");
    assert_eq!(first.event.event_type, "d");
}

#[test]
fn many_events_come_page_by_page_and_none_is_lost_between_two_pages() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let large = "x".repeat(10 << 10);
        for nth in 0..12_u64 {
            let events = (0..10).map(|_| quorate::event_store::NewEvent::new("large", large.clone()));
            cluster.any().append(Append::to(&order, nth * 10).events(events)).expect("it is there");
        }

        let mut all = cluster.any().subscribe(Position::START, Filter::all()).expect("a good filter");

        let sequences: Vec<_> = take(&mut all, 120).iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (0..120).collect::<Vec<_>>());
    });
}

#[test]
fn who_closes_a_subscription_at_any_moment_finds_its_place_behind_what_was_handed_out() {
    const EVENTS: usize = 500;
    let (cluster, order) = (Cluster::of(1, |_| Options::default()), id(["order", "1"]));
    let store = cluster.any();
    append(store, &order, 0, &["made"; EVENTS]);

    for _ in 0..500 {
        let mut events = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        let (closer, handed_out) = (events.closer(), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while handed_out.load(Ordering::SeqCst) == 0 {
                    std::hint::spin_loop();
                }
                closer.close();
            });
            for event in events.by_ref() {
                event.expect("nothing is removed");
                if handed_out.fetch_add(1, Ordering::SeqCst) + 1 == EVENTS {
                    break;
                }
            }
        });

        let handed_out = handed_out.into_inner();
        if handed_out < EVENTS {
            let mut rest = store.subscribe(events.next_position(), Filter::all()).expect("a good filter");
            let next = rest.next_within(LONG).expect("nothing is removed").expect("it is there");
            assert_eq!(next.event.sequence, handed_out as u64, "what was not handed out comes again");
        }
    }
}
