//! Followers that are behind: over a network in memory that can be cut, or lose some messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quorate::event_store::{
    AggregateId, Append, AppendError, EventStore, Filter, Options, Position, QueryError,
};
use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::transport::{Fate, MemoryNetwork};
use quorate::types::{Body, NodeId, PeerMessage};
use quorate::{Config, Outcome, Parts, ReadError};

use crate::scene::{LONG, append, event, id, sequences, types};

/// Three stores of which the first leads: the others do not stand for election while the test runs.
struct Three {
    stores: [EventStore; 3],
    network: MemoryNetwork,
    _directory: tempfile::TempDir,
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

impl Three {
    fn start() -> Self {
        Self::with_call_timeout(LONG)
    }

    fn with_call_timeout(call_timeout: Duration) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let network = MemoryNetwork::new();
        let stores = [1, 2, 3].map(|id: u64| {
            let patience = if id == 1 { Duration::from_millis(500) } else { LONG };
            let config = Config::new(id, "(memory)", "127.0.0.1:1")
                .bootstrap((1..=3).map(|id| (id, format!("127.0.0.1:{id}"))))
                .election_timeout(patience)
                .call_timeout(call_timeout);
            let log = MemoryLog::open(&MemoryDisk::new()).expect("a blank disk");
            let parts = Parts::new(Box::new(log), Box::new(network.transport(node(id))));
            let options = Options::default().dir(directory.path().join(id.to_string()));
            EventStore::start_with(config, options, parts).expect("the store starts")
        });
        for store in &stores {
            store.ready(LONG).expect("the first is elected");
        }
        Self { stores, network, _directory: directory }
    }

    fn leader(&self) -> &EventStore {
        &self.stores[0]
    }

    fn follower(&self) -> &EventStore {
        &self.stores[2]
    }

    /// From now on the follower is told that its leader lives, and no entries.
    fn let_the_follower_lag(&self) -> Arc<AtomicBool> {
        let lags = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&lags);
        self.network.filter(move |_, to, _, message| {
            let brings_entries = matches!(
                message,
                PeerMessage::Raft { message, .. } if matches!(message.body, Body::Append(_))
            );
            let is_lost = brings_entries && to == node(3) && still.load(Ordering::SeqCst);
            if is_lost { Fate::Drop } else { Fate::Deliver }
        });
        lags
    }

    /// The follower catches up when `leader` holds more than `index`.
    fn catch_up_beyond(&self, index: u64, lags: &AtomicBool) {
        while self.leader().node().status().last_index <= index {
            thread::yield_now();
        }
        lags.store(false, Ordering::SeqCst);
    }

    fn last_index(&self) -> u64 {
        self.leader().node().status().last_index
    }
}

fn local_sequence(store: &EventStore, order: &AggregateId) -> u64 {
    store.local().aggregate(order).expect("asked").expect("it is there").sequence
}

/// The reference refuses it: its own projection is not there yet.
#[test]
fn who_knows_more_than_the_lagging_follower_it_asks_is_not_refused() {
    let three = Three::start();
    let order = id(["order", "1"]);
    append(three.follower(), &order, 0, &["a"]);
    let lags = three.let_the_follower_lag();
    append(three.leader(), &order, 1, &["b"]);
    assert_eq!(local_sequence(three.follower(), &order), 1, "it lags");
    let before = three.last_index();

    let appended = thread::scope(|scope| {
        let appending =
            scope.spawn(|| three.follower().append(Append::to(&order, 2).events([event("c", 1)])));
        three.catch_up_beyond(before, &lags);
        appending.join().expect("no panic")
    });

    assert_eq!(appended.expect("it was right").next, [3]);
    let seen = three.follower().local().load_events(&order, 0).expect("it is there").events;
    assert_eq!(types(&seen), ["a", "b", "c"], "applied here before it was answered");
}

#[test]
fn a_lagging_follower_refuses_what_is_stale_with_the_events_that_it_lacked_itself() {
    let three = Three::start();
    let order = id(["order", "1"]);
    append(three.follower(), &order, 0, &["a"]);
    let lags = three.let_the_follower_lag();
    append(three.leader(), &order, 1, &["b", "c"]);
    let before = three.last_index();

    let refused = thread::scope(|scope| {
        let appending =
            scope.spawn(|| three.follower().append(Append::to(&order, 1).events([event("d", 1)])));
        three.catch_up_beyond(before, &lags);
        appending.join().expect("no panic")
    });

    let Err(AppendError::Conflict(conflict)) = refused else { panic!("{refused:?}") };
    assert_eq!((conflict.expected, conflict.actual), (1, 3));
    assert_eq!(sequences(&conflict.events), [1, 2]);
    assert!(conflict.is_foldable());
}

#[test]
fn a_question_to_a_follower_sees_what_was_answered_to_anybody_before_and_its_own_word_does_not() {
    let three = Three::start();
    let order = id(["order", "1"]);
    append(three.follower(), &order, 0, &["a"]);
    let lags = three.let_the_follower_lag();
    append(three.leader(), &order, 1, &["b"]);

    let seen = thread::scope(|scope| {
        let asking = scope.spawn(|| three.follower().load_events(&order, 0));
        let old = three.follower().local().load_events(&order, 0).expect("it asks nobody").events;
        assert_eq!(types(&old), ["a"]);
        lags.store(false, Ordering::SeqCst);
        asking.join().expect("no panic").expect("it catches up").events
    });

    assert_eq!(types(&seen), ["a", "b"]);
}

#[test]
fn a_follower_that_is_cut_off_says_so_and_its_own_word_is_old_but_true() {
    let three = Three::with_call_timeout(Duration::from_millis(500));
    let order = id(["order", "1"]);
    append(three.follower(), &order, 0, &["a"]);
    three.network.isolate(node(3));
    append(three.leader(), &order, 1, &["b"]);

    let asked = three.follower().load_events(&order, 0);
    let compared = three.follower().append(Append::to(&order, 1)).expect_err("nobody can say");
    let told =
        three.follower().append(Append::to(&order, 2).events([event("c", 1)])).expect_err("it is cut off");

    assert!(
        matches!(asked, Err(QueryError::Read(ReadError::NoLeader | ReadError::DeadlinePassed))),
        "{asked:?}"
    );
    assert!(matches!(compared, AppendError::Check(QueryError::Read(_))), "{compared}");
    assert_eq!(compared.outcome(), Outcome::NotApplied);
    assert!(matches!(told, AppendError::Propose(_)), "{told}");
    let old = three.follower().local().load_events(&order, 0).expect("it asks nobody").events;
    assert_eq!(types(&old), ["a"]);
    let mut all = three.follower().subscribe(Position::START, Filter::all()).expect("a good filter");
    assert_eq!(all.next_within(LONG).expect("it is there").expect("in time").event.event_type, "a");
    assert_eq!(all.next_within(Duration::ZERO), Ok(None));

    three.network.heal_all();

    assert_eq!(all.next_within(LONG).expect("it comes").expect("in time").event.event_type, "b");
    // What is unknown is settled by saying it again: it is done, or its event is in the way.
    let again = three.follower().append_within(Append::to(&order, 2).events([event("c", 1)]), LONG);
    match again {
        Ok(appended) => assert_eq!(appended.next, [3]),
        Err(AppendError::Conflict(conflict)) => {
            assert_eq!((told.outcome(), types(&conflict.events)), (Outcome::Unknown, vec!["c"]));
        }
        Err(error) => panic!("{error}"),
    }
}
