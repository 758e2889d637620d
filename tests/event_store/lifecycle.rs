//! From the start to the end: when a store is ready, and that after its end nobody hangs and nobody is told something false.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quorate::event_store::{
    AggregateId, Append, AppendError, ArchiveError, Archived, ConsumeError, EventMachine, EventStore,
    Executor, Filter, MachineOptions, Options, Position, Query, QueryError, Response, SaveError,
    StoreStartError, SubscriptionError,
};
use quorate::{Config, ConfigError, Node, Outcome, ProposeError, ReadError, Role, StartError, StopCause};

use crate::executor::Count;
use crate::scene::{
    Cluster, LONG, append, event, id, over_one_and_three, over_one_and_three_with, store_beside,
};

fn archiving() -> Options {
    Options::default().archiving(true)
}

#[test]
fn a_store_is_ready_once_it_has_found_its_leader_and_stays_so() {
    over_one_and_three(|cluster| {
        for store in cluster.stores() {
            store.ready(LONG).expect("a leader is elected");
            assert!(store.is_ready());
        }
        let leader = cluster.leader();
        assert!(cluster.stores().all(|store| store.leader() == Some(leader)));
        let leading = cluster.stores().filter(|store| store.state() == Role::Leader).count();
        assert_eq!(leading, 1);
    });
}

#[test]
fn without_a_leader_nobody_is_ready_and_every_call_says_so_in_time() {
    let soon = |config: Config| config.call_timeout(Duration::from_millis(300));
    let cluster = Cluster::founded(3, 1..=1, soon, |_| archiving());
    let (store, order) = (cluster.store(1), id(["order", "1"]));

    assert_eq!(store.ready(Duration::from_millis(50)), Err(ReadError::NoLeader));
    assert!(!store.is_ready());
    let refused = store.append(Append::to(&order, 0).events([event("placed", 1)])).expect_err("nobody leads");
    assert_eq!(
        (refused.outcome(), refused),
        (Outcome::NotApplied, AppendError::Propose(ProposeError::NoLeader))
    );
    let compared = store.append(Append::to(&order, 0)).expect_err("nobody leads");
    assert_eq!(compared, AppendError::Check(QueryError::Read(ReadError::NoLeader)));
    assert_eq!(store.load_events(&order, 0), Err(QueryError::Read(ReadError::NoLeader)));
    assert_eq!(
        store.local().aggregates(&AggregateId::ALL),
        Ok(Vec::new()),
        "this node's own word needs no leader"
    );
    let mut all = store.subscribe(Position::START, Filter::all()).expect("a good filter");
    assert_eq!(all.next_within(Duration::from_millis(1)), Ok(None));
    drop(cluster); // and nobody waits for a leader any more
}

#[test]
fn a_node_that_asks_whether_it_would_be_elected_is_shown_as_a_candidate() {
    let cluster = Cluster::founded(3, 1..=1, |config| config, |_| Options::default());
    let store = cluster.store(1);

    // Alone it asks in vain, again and again.
    while store.node().status().role != Role::PreCandidate {
        thread::yield_now();
    }

    assert_eq!(store.state(), Role::Candidate);
}

/// What a call says after the end.
fn said<T: std::fmt::Debug, E: Into<Said>>(answer: Result<T, E>) -> Said {
    answer.map_or_else(Into::into, |done| panic!("it is down, and answered {done:?}"))
}

/// Why the node stopped, as an error tells it; nothing if it tells something else.
#[derive(Debug)]
struct Said(Option<StopCause>);

impl From<ReadError> for Said {
    fn from(error: ReadError) -> Self {
        Self(if let ReadError::Stopped { cause } = error { Some(cause) } else { None })
    }
}

impl From<ProposeError> for Said {
    fn from(error: ProposeError) -> Self {
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        Self(if let ProposeError::Stopped { cause, .. } = error { Some(cause) } else { None })
    }
}

impl From<QueryError> for Said {
    fn from(error: QueryError) -> Self {
        if let QueryError::Read(error) = error { error.into() } else { Self(None) }
    }
}

impl From<AppendError> for Said {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Propose(error) => error.into(),
            AppendError::Check(error) => error.into(),
            _ => Self(None),
        }
    }
}

impl From<SaveError> for Said {
    fn from(error: SaveError) -> Self {
        if let SaveError::Propose(error) = error { error.into() } else { Self(None) }
    }
}

impl From<ArchiveError> for Said {
    fn from(error: ArchiveError) -> Self {
        if let ArchiveError::Propose(error) = error { error.into() } else { Self(None) }
    }
}

impl From<ConsumeError<()>> for Said {
    fn from(error: ConsumeError<()>) -> Self {
        if let ConsumeError::Query(error) = error { error.into() } else { Self(None) }
    }
}

#[test]
fn after_the_end_every_call_is_refused_by_name() {
    over_one_and_three_with(archiving, |cluster| {
        let (order, other) = (id(["order", "1"]), id(["order", "2"]));
        let store = cluster.any().clone();
        append(&store, &order, 0, &["placed"]);
        let mut following = store.subscribe(Position::START, Filter::all()).expect("a good filter");
        let orders = Executor::<Count>::new(&store);
        assert_eq!(orders.get(&order).expect("it is there").0, 1);

        store.shutdown(LONG).expect("down");
        store.shutdown(LONG).expect("still down");

        let placed = Append::to(&other, 0).events([event("placed", 1)]);
        let local = store.local();
        for said in [
            said(store.append(placed.clone())),
            said(store.append(Append::to(&other, 0))),
            said(store.append_all([placed.clone(), Append::to(&order, 1)])),
            said(store.save_snapshot(&order, "data", 1)),
            said(store.archive(&order)),
            said(store.consume_archive(LONG, |_: &Archived| Ok(()))),
            said(store.load_events(&order, 0)),
            said(store.load_snapshot(&order)),
            said(store.aggregate(&order)),
            said(store.status(&order)),
            said(store.aggregates(&AggregateId::ALL)),
            said(store.with_status("placed")),
            said(store.with_label("color", "red")),
            said(store.label_values("color")),
            said(local.load_events(&order, 0)),
            said(local.load_snapshot(&order)),
            said(local.aggregate(&order)),
            said(local.status(&order)),
            said(local.aggregates(&AggregateId::ALL)),
            said(local.with_status("placed")),
            said(local.with_label("color", "red")),
            said(local.label_values("color")),
        ] {
            assert_eq!(said.0, Some(StopCause::Shutdown));
        }
        assert!(orders.execute(&order, |_| Ok::<_, ()>(())).is_err());
        assert!(orders.get(&order).is_err(), "what is cached may be old");
        assert_eq!(following.next_within(LONG), Err(SubscriptionError::Closed));
        assert_eq!((store.leader(), store.stop_cause()), (None, Some(StopCause::Shutdown)));
    });
}

#[test]
fn a_store_that_is_dropped_frees_its_directories_and_ends_its_subscriptions() {
    let mut cluster = Cluster::of(1, |_| Options::default());
    let order = id(["order", "1"]);
    append(cluster.store(1), &order, 0, &["placed"]);
    let following = cluster.store(1).subscribe(Position::START, Filter::all()).expect("a good filter");
    let (begun, begins) = std::sync::mpsc::channel();
    let follower = thread::spawn(move || {
        let mut items = Vec::new();
        for item in following {
            items.push(item.map(|delivered| delivered.event.event_type));
            begun.send(()).expect("the test listens");
        }
        items
    });
    begins.recv().expect("it delivers");

    cluster.drop(1);
    cluster.restart(1);

    let items = follower.join().expect("no panic");
    assert_eq!(items, [Ok("placed".to_owned()), Err(SubscriptionError::Closed)]);
    append(cluster.store(1), &order, 1, &["paid"]);
}

#[test]
fn a_store_that_is_in_use_or_has_no_place_is_refused_by_name() {
    let cluster = Cluster::of(1, |_| Options::default());
    let events = store_beside(&cluster.directory_of(1));
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let start = |dir: &std::path::Path, options: Options| {
        let config = Config::new(1, dir, "127.0.0.1:9").bootstrap([(1, "127.0.0.1:9")]);
        EventStore::start(config, options).expect_err("it cannot start")
    };

    let in_use = start(&elsewhere.path().join("1"), Options::default().dir(&events));
    assert!(
        matches!(in_use, StoreStartError::Open(quorate::event_store::OpenError::InUse { .. })),
        "{in_use}"
    );
    let within = start(elsewhere.path(), Options::default().dir(elsewhere.path().join("events")));
    assert!(matches!(within, StoreStartError::Directory { .. }), "{within}");
    let short = Config::new(1, elsewhere.path(), "127.0.0.1:9").join().tail_entries_max(2047);
    let short = EventStore::start(short, Options::default()).expect_err("it cannot start");
    assert!(
        matches!(short, StoreStartError::Node(StartError::Config(ConfigError::TailEntries(2047)))),
        "{short}"
    );
    assert_eq!(std::fs::read_dir(elsewhere.path()).expect("it is there").count(), 0, "something was written");
}

#[test]
fn a_node_that_was_started_otherwise_has_a_store_too() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let machine = EventMachine::open(&MachineOptions::new(directory.path().join("events"))).expect("opened");
    let reader = machine.reader();
    let (config, socket) = Cluster::config_alone(&directory.path().join("data"));
    let node = Node::start(config.listener(socket), machine).expect("the node starts");
    let order = id(["order", "1"]);

    let store = EventStore::over(node.clone(), reader, Options::default()).expect("a store");
    append(&store, &order, 0, &["placed"]);
    drop(store);

    let index = node.status().applied;
    node.wait_applied(index, LONG).expect("the node has handles of its own, and runs on");
    let answer = node.query(Query::Events { id: order, from: 0, bytes_max: 1 }).expect("it leads");
    assert!(matches!(answer, Response::Events { events, .. } if events.events.len() == 1));
}

/// What the callers were told of their appends.
#[derive(Default)]
struct Told {
    applied: AtomicU64,
    unknown: AtomicU64,
}

/// Calls again and again until the store has stopped; the callers begin together.
fn caller(begin: &Arc<Barrier>, mut call: impl FnMut() -> bool + Send + 'static) -> JoinHandle<()> {
    let begin = Arc::clone(begin);
    thread::spawn(move || {
        begin.wait();
        while call() {}
    })
}

fn is_stopped(error: &ProposeError) -> bool {
    matches!(error, ProposeError::Stopped { .. })
}

fn appender(store: EventStore, told: Arc<Told>) -> impl FnMut() -> bool {
    let order = id(["order", "1"]);
    let mut expected = 0;
    move || match store.append(Append::to(&order, expected).events([event("counted", 1)])) {
        Ok(appended) => {
            told.applied.fetch_add(1, Ordering::Relaxed);
            expected = appended.next[0];
            true
        }
        Err(AppendError::Propose(error)) => {
            told.unknown.fetch_add(u64::from(error.outcome() == Outcome::Unknown), Ordering::Relaxed);
            !is_stopped(&error)
        }
        Err(error) => panic!("{error}"),
    }
}

fn callers_of_every_kind(store: &EventStore, told: &Arc<Told>, begin: &Arc<Barrier>) -> Vec<JoinHandle<()>> {
    let stores: [EventStore; 7] = std::array::from_fn(|_| store.clone());
    let [appending, saver, reader, local, consumer, follower, waiter] = stores;
    let goes_on = |error: &QueryError| {
        !matches!(error, QueryError::Read(ReadError::Stopped { .. }) | QueryError::Store(_))
    };
    vec![
        caller(begin, appender(appending, Arc::clone(told))),
        caller(begin, move || match saver.save_snapshot(&id(["saved"]), "data", 0) {
            Err(SaveError::Propose(error)) => !is_stopped(&error),
            saved => saved.is_ok(),
        }),
        caller(begin, move || {
            reader.load_events(&id(["order", "1"]), 0).map_or_else(|e| goes_on(&e), |_| true)
        }),
        caller(begin, move || {
            local.local().aggregates(&AggregateId::ALL).map_or_else(|e| goes_on(&e), |_| true)
        }),
        caller(begin, move || {
            let consumed = consumer.consume_archive(LONG, |_: &Archived| Ok::<_, ()>(()));
            assert!(matches!(consumed, Err(ConsumeError::Query(_))), "{consumed:?}");
            false
        }),
        caller(begin, move || {
            let following = follower.subscribe(Position::START, Filter::all()).expect("a good filter");
            assert_eq!(following.last(), Some(Err(SubscriptionError::Closed)));
            false
        }),
        caller(begin, move || {
            let never = waiter.node().wait_applied(u64::MAX, LONG);
            assert!(matches!(never, Err(ReadError::Stopped { .. })), "{never:?}");
            false
        }),
    ]
}

#[test]
fn whatever_callers_do_when_a_store_is_shut_down_all_are_answered_and_truly() {
    let mut cluster = Cluster::of(1, |_| archiving().publisher(|_: &[_]| ()));
    for round in 0..8 {
        let (told, begin) = (Arc::new(Told::default()), Arc::new(Barrier::new(8)));
        let store = cluster.store(1).clone();
        store.ready(LONG).expect("it elects itself");
        let callers = callers_of_every_kind(&store, &told, &begin);

        begin.wait();
        // Each round at another moment: at once, or after so many answers.
        while told.applied.load(Ordering::Relaxed) < round * 20 {
            thread::yield_now();
        }
        store.shutdown(LONG).expect("down");

        for caller in callers {
            caller.join().expect("it was answered, and truly");
        }
        cluster.drop(1);
        drop(store);
        cluster.restart(1);
        let order = id(["order", "1"]);
        let total = cluster.store(1).load_events(&order, 0).expect("it leads again").events.len() as u64;
        let (applied, unknown) = (told.applied.load(Ordering::Relaxed), told.unknown.load(Ordering::Relaxed));
        assert!((applied..=applied + unknown).contains(&total), "{total}: {applied} sure, {unknown} unknown");
        // The next round begins at zero again.
        clear(cluster.store(1), &order);
    }
}

fn clear(store: &EventStore, order: &AggregateId) {
    if store.archive(order).expect("archived").is_some() {
        store.consume_archive(LONG, |_: &Archived| Ok::<_, ()>(())).expect("consumed");
    }
}

#[test]
fn on_a_thread_of_the_node_nothing_waits() {
    let cluster = Cluster::of(1, |_| archiving());
    let store = cluster.store(1).clone();
    append(&store, &id(["order", "1"]), 0, &["placed"]);
    let (sender, told) = std::sync::mpsc::channel();
    let ticket = store.node().submit_read(|_| ());

    ticket.on_done(move |_| {
        let order = id(["order", "1"]);
        let appended = store.append(Append::to(&order, 1).events([event("paid", 1)]));
        let loaded = store.load_events(&order, 0);
        let seen = store.local().load_events(&order, 0).map(|events| events.events.len());
        let mut following = store.subscribe(Position::behind(1 << 40), Filter::all()).expect("a good filter");
        let followed = following.next_within(LONG);
        let consumed = store.consume_archive(LONG, |_: &Archived| Ok::<_, ()>(()));
        sender.send((appended, loaded, seen, followed, consumed)).expect("the test listens");
    });

    let (appended, loaded, seen, followed, consumed) = told.recv_timeout(LONG).expect("it is told");
    assert_eq!(appended, Err(AppendError::Propose(ProposeError::WouldDeadlock)));
    assert_eq!(loaded, Err(QueryError::Read(ReadError::WouldDeadlock)));
    assert_eq!(seen, Ok(1), "its own copy is at hand");
    assert_eq!(followed, Err(SubscriptionError::WouldDeadlock));
    assert_eq!(consumed, Err(ConsumeError::Query(QueryError::Read(ReadError::WouldDeadlock))));
}
