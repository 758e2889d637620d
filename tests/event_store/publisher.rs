//! Publishers: told of every event, on every node, in the order of the log, from the moment the node is ready.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use quorate::event_store::{Append, Dispatcher, Event, Gap, Options, Publisher};

use crate::scene::{Cluster, LONG, append, conflict, event, id, types};

/// What each node is told, as one batch after the other.
struct Told {
    receivers: Vec<Receiver<Vec<Event>>>,
}

impl Told {
    /// The receivers of nodes 1 to `size`, and options with a publisher for each.
    fn of(size: usize) -> (Self, impl Fn(u64) -> Options) {
        let (senders, receivers): (Vec<Sender<_>>, Vec<_>) = (0..size).map(|_| mpsc::channel()).unzip();
        let senders = Mutex::new(senders);
        let options = move |id: u64| {
            let sender = senders.lock().expect("no panic")[id as usize - 1].clone();
            Options::default().trim(true).publisher(move |events: &[Event]| {
                // After the test nobody listens.
                let _ = sender.send(events.to_vec());
            })
        };
        (Self { receivers }, options)
    }

    fn next(&self, id: u64) -> Vec<Event> {
        self.receivers[id as usize - 1].recv_timeout(LONG).expect("it is published")
    }

    /// What was told and not looked at, once the store is down.
    fn rest(&self, id: u64) -> Vec<Vec<Event>> {
        self.receivers[id as usize - 1].try_iter().collect()
    }
}

#[test]
fn every_node_publishes_every_event_once_in_the_order_of_the_log_and_no_conflict() {
    for size in [1, 3] {
        let (told, options) = Told::of(size);
        let cluster = Cluster::of(size as u64, options);
        cluster.stores().for_each(|store| store.ready(LONG).expect("a leader is elected"));
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));

        append(cluster.any(), &first, 0, &["a", "b"]);
        conflict(cluster.any(), Append::to(&first, 0).events([event("lost", 1)]));
        append(cluster.any(), &second, 0, &["c"]);
        let both =
            [Append::to(&second, 1).events([event("d", 1)]), Append::to(&first, 2).events([event("e", 1)])];
        cluster.any().append_all(both).expect("both are there");
        cluster.any().append(Append::to(&first, 3).status("open")).expect("it is there");
        append(cluster.any(), &first, 3, &["f"]);

        for id in 1..=size as u64 {
            for batch in [&["a", "b"][..], &["c"], &["d", "e"], &["f"]] {
                let published = told.next(id);
                assert_eq!(types(&published), batch, "on node {id}");
                assert!(published.iter().all(|event| !event.raised), "they were read from the store");
            }
            assert_eq!(told.rest(id), Vec::<Vec<Event>>::new());
        }
    }
}

#[test]
fn a_node_that_comes_late_is_silent_about_what_was_before_it_was_ready() {
    let (told, options) = Told::of(3);
    let mut cluster = Cluster::founded(3, 1..=2, |config| config, options);
    let order = id(["order", "1"]);
    append(cluster.any(), &order, 0, &["a", "b"]);
    append(cluster.any(), &order, 2, &["c"]);

    cluster.restart(3);
    cluster.store(3).ready(LONG).expect("it catches up");
    assert_eq!(cluster.store(3).local().load_events(&order, 0).expect("it is there").events.len(), 3);
    append(cluster.any(), &order, 3, &["d"]);

    assert_eq!(types(&told.next(3)), ["d"]);
    cluster.stop(3);
    assert_eq!(told.rest(3), Vec::<Vec<Event>>::new());
}

#[test]
fn a_node_that_starts_again_does_not_publish_what_it_replays() {
    let (told, options) = Told::of(1);
    let mut cluster = Cluster::of(1, options);
    let order = id(["order", "1"]);
    cluster.store(1).ready(LONG).expect("it elects itself");
    append(cluster.store(1), &order, 0, &["a"]);
    cluster.stop(1);
    assert_eq!(told.rest(1).len(), 1, "what was applied is told before the end");

    cluster.restart(1);
    cluster.store(1).ready(LONG).expect("it elects itself");
    append(cluster.store(1), &order, 1, &["b"]);

    assert_eq!(types(&told.next(1)), ["b"]);
}

#[test]
fn an_orderly_end_waits_until_everything_that_was_applied_is_told() {
    let (go, gate) = mpsc::channel::<()>();
    let (told, heard) = mpsc::channel();
    let ends = Mutex::new(Some((gate, told)));
    let mut cluster = Cluster::of(1, move |_| {
        let (gate, told) = ends.lock().expect("no panic").take().expect("started once");
        Options::default().publisher(move |events: &[Event]| {
            gate.recv().expect("the test lets it go");
            told.send(events.to_vec()).expect("the test listens");
        })
    });
    let order = id(["order", "1"]);
    let store = cluster.store(1).clone();
    store.ready(LONG).expect("it elects itself");
    for expected in 0..10 {
        append(&store, &order, expected, &["counted"]);
    }

    let ending = thread::spawn(move || store.shutdown(LONG));
    for _ in 0..10 {
        go.send(()).expect("the publisher waits");
    }

    ending.join().expect("no panic").expect("down");
    assert_eq!(heard.try_iter().count(), 10);
    cluster.drop(1);
}

#[test]
fn a_publisher_that_panics_is_told_of_the_next_events() {
    let (told, heard) = mpsc::channel();
    let cluster = Cluster::of(1, move |_| {
        let told = told.clone();
        Options::default().publisher(move |events: &[Event]| {
            assert_ne!(events[0].event_type, "terrible", "the publisher's own");
            told.send(events.to_vec()).expect("the test listens");
        })
    });
    cluster.store(1).ready(LONG).expect("it elects itself");
    let order = id(["order", "1"]);

    append(cluster.store(1), &order, 0, &["terrible"]);
    append(cluster.store(1), &order, 1, &["fine"]);

    assert_eq!(types(&heard.recv_timeout(LONG).expect("it is told")), ["fine"]);
    assert_eq!(cluster.store(1).stop_cause(), None);
}

/// Stands still until it is let go, then says what it missed.
struct Slow {
    gate: Receiver<()>,
    told: Sender<Result<Vec<Event>, Gap>>,
}

impl Publisher for Slow {
    fn publish(&mut self, events: &[Event]) {
        self.told.send(Ok(events.to_vec())).expect("the test listens");
        self.gate.recv().expect("the test lets it go");
    }

    fn missed(&mut self, gap: &Gap) {
        self.told.send(Err(gap.clone())).expect("the test listens");
    }
}

#[test]
fn what_is_trimmed_before_a_slow_publisher_comes_to_it_is_told_as_missed() {
    let (go, gate) = mpsc::channel();
    let (told, heard) = mpsc::channel();
    let ends = Mutex::new(Some(Slow { gate, told }));
    let cluster = Cluster::of(1, move |_| {
        let slow = ends.lock().expect("no panic").take().expect("started once");
        Options::default().trim(true).publisher(slow)
    });
    let store = cluster.store(1);
    store.ready(LONG).expect("it elects itself");
    let order = id(["order", "1"]);
    append(store, &order, 0, &["first"]);
    assert!(matches!(heard.recv_timeout(LONG), Ok(Ok(events)) if types(&events) == ["first"]));

    append(store, &order, 1, &["second", "third"]);
    store.save_snapshot(&order, "of three", 3).expect("saved");
    append(store, &order, 3, &["fourth"]);
    go.send(()).expect("it waits");

    let Ok(Err(gap)) = heard.recv_timeout(LONG) else { panic!("nothing is missed") };
    assert_eq!((gap.aggregate, gap.first_available), (order, 3));
    assert!(matches!(heard.recv_timeout(LONG), Ok(Ok(events)) if types(&events) == ["fourth"]));
    go.send(()).expect("it waits");
}

#[test]
fn a_publisher_may_call_its_store() {
    let (told, heard) = mpsc::channel();
    let store_of_its_own = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&store_of_its_own);
    let cluster = Cluster::of(1, move |_| {
        let (told, inside) = (told.clone(), Arc::clone(&inside));
        Options::default().publisher(move |events: &[Event]| {
            let store: quorate::event_store::EventStore =
                inside.lock().expect("no panic").clone().expect("the test gave it");
            if events[0].event_type == "placed" {
                append(&store, &events[0].aggregate, 1, &["acknowledged"]);
            }
            told.send(store.load_events(&events[0].aggregate, 0).expect("it runs").events)
                .expect("it listens");
        })
    });
    let store = cluster.store(1);
    *store_of_its_own.lock().expect("no panic") = Some(store.clone());
    store.ready(LONG).expect("it elects itself");

    append(store, &id(["order", "1"]), 0, &["placed"]);

    for _ in 0..2 {
        let seen = heard.recv_timeout(LONG).expect("it is told");
        assert_eq!(types(&seen), ["placed", "acknowledged"]);
    }
    store.shutdown(LONG).expect("down");
    store_of_its_own.lock().expect("no panic").take();
}

#[test]
fn a_dispatcher_sends_each_event_to_the_code_for_its_type() {
    use quorate::event_store::NewEvent;
    let (told, heard) = mpsc::channel::<String>();
    let cluster = Cluster::of(1, move |_| {
        let [placed, paid, other] = [told.clone(), told.clone(), told.clone()];
        let dispatcher = Dispatcher::new()
            .on("placed", move |event: &Event, what: String| {
                placed.send(format!("{} placed: {what}", event.aggregate)).expect("the test listens");
            })
            .on("paid", move |_: &Event, cents: u64| {
                paid.send(format!("paid: {cents}")).expect("the test listens");
            })
            .otherwise(move |event| other.send(event.event_type.clone()).expect("the test listens"));
        Options::default().publisher(dispatcher)
    });
    let store = cluster.store(1);
    store.ready(LONG).expect("it elects itself");
    let events = [
        NewEvent::of("placed", &"3 pears".to_owned()),
        NewEvent::new("paid", "these are no eight bytes"),
        NewEvent::of("paid", &1_250_u64),
        NewEvent::new("shipped", ""),
    ];
    store.append(Append::to(&id(["order"]), 0).events(events)).expect("it is new");

    let said: Vec<_> = (0..3).map(|_| heard.recv_timeout(LONG).expect("it is told")).collect();
    assert_eq!(said, ["[\"order\"] placed: 3 pears", "paid: 1250", "shipped"]);
}

#[test]
fn a_dispatcher_says_who_handles_nothing_and_what_does_not_decode() {
    let mut dispatcher = Dispatcher::new().on("paid", |_: &Event, _: u64| ());
    let cluster = Cluster::of(1, |_| Options::default());
    append(cluster.store(1), &id(["order"]), 0, &["paid", "shipped"]);
    let events = cluster.store(1).load_events(&id(["order"]), 0).expect("it is there").events;

    assert!(dispatcher.dispatch(&events[0]).is_err(), "a text is no number");
    assert_eq!(dispatcher.dispatch(&events[1]), Ok(false));
}
