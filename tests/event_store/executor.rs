//! The executor: commands that are decided on what is so, whoever else is at it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use quorate::event_store::{
    AggregateId, Append, Event, EventStore, ExecuteError, Executor, NewEvent, Options, Projection, Timestamp,
};
use quorate::{Codec, DecodeError, Outcome};

use crate::scene::{Cluster, append, id, over_one_and_three, over_one_and_three_with, sequences, types};

/// Counts events, but for those that do not count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Count(pub(crate) u64);

impl Projection for Count {
    fn initial(_: &AggregateId) -> Self {
        Self::default()
    }

    fn fold(&mut self, event: &Event) -> Result<(), DecodeError> {
        match event.event_type.as_str() {
            "several" => self.0 += event.value::<u64>()?,
            "ignored" => {}
            _ => self.0 += 1,
        }
        Ok(())
    }
}

/// One that saw `n` events is `n` in eight bytes.
impl Codec for Count {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        u64::decode(bytes).map(Self)
    }
}

fn counted() -> NewEvent {
    NewEvent::new("counted", "")
}

fn count_one(executor: &Executor<Count>, order: &AggregateId) -> u64 {
    let counted = executor.execute(order, |decision| {
        decision.raise(counted());
        Ok::<_, ()>(decision.state().0)
    });
    counted.expect("nobody refuses")
}

#[test]
fn a_command_is_shown_the_aggregate_and_what_it_raises_itself() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders = Executor::<Count>::new(cluster.any());
        append(cluster.any(), &order, 0, &["a", "b"]);

        let shown = orders.execute(&order, |decision| {
            let before = (decision.state().0, decision.sequence());
            decision.raise(NewEvent::of("several", &5_u64));
            decision.status("counted");
            decision.label("color", "red");
            Ok::<_, ()>((before, decision.state().0, decision.sequence()))
        });

        assert_eq!(shown, Ok(((2, 2), 7, 3)));
        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(types(&stored), ["a", "b", "several"]);
        assert_eq!(cluster.any().status(&order), Ok(Some("counted".to_owned())));
        assert_eq!(cluster.any().with_label("color", "red"), Ok(vec![order.clone()]));
        assert_eq!(count_one(&orders, &order), 8, "what was raised is known");
    });
}

#[test]
fn executors_on_all_nodes_take_turns_and_no_command_is_lost_or_done_twice() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        thread::scope(|scope| {
            for store in (0..4).map(|_| cluster.any()) {
                let order = &order;
                scope.spawn(move || {
                    let orders = Executor::<Count>::new(store).retries(1_000);
                    for _ in 0..15 {
                        count_one(&orders, order);
                    }
                });
            }
        });

        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(sequences(&stored), (0..60).collect::<Vec<_>>());
    });
}

#[test]
fn a_conflict_is_folded_and_the_command_asked_again() {
    over_one_and_three(|cluster| {
        let (order, store) = (id(["order", "1"]), cluster.any());
        let orders = Executor::<Count>::new(store);
        append(cluster.any(), &order, 0, &["a"]);
        let shown = RefCell::new(Vec::new());

        let counted = orders.execute(&order, |decision| {
            shown.borrow_mut().push((decision.state().0, decision.sequence()));
            if shown.borrow().len() == 1 {
                append(cluster.any(), &order, 1, &["by another", "and another"]);
            }
            decision.raise(counted());
            Ok::<_, ()>(decision.state().0)
        });

        assert_eq!(counted, Ok(4));
        assert_eq!(*shown.borrow(), [(1, 1), (3, 3)]);
    });
}

/// Folding what the conflict brings would pass over event 1, which a snapshot holds.
#[test]
fn a_conflict_below_what_was_trimmed_is_not_folded_but_loaded() {
    over_one_and_three_with(
        || Options::default().trim(true),
        |cluster| {
            let order = id(["order", "1"]);
            let orders = Executor::<Count>::new(cluster.any()).snapshot_ratio(None);
            assert_eq!(count_one(&orders, &order), 1);
            append(cluster.any(), &order, 1, &["a", "b"]);
            let mut of_two = Vec::new();
            Count(2).encode(&mut of_two);
            cluster.any().save_snapshot(&order, of_two, 2).expect("saved");

            assert_eq!(count_one(&orders, &order), 4, "the cache knew of one, a snapshot of two");
            assert_eq!(orders.get(&order).expect("it is there").0, 4);
        },
    );
}

#[test]
fn a_command_that_others_always_forestall_is_given_up_by_name() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders = Executor::<Count>::new(cluster.any()).retries(2);
        let tries = AtomicUsize::new(0);

        let given_up = orders.execute(&order, |decision| {
            tries.fetch_add(1, Ordering::Relaxed);
            append(cluster.any(), &order, decision.sequence(), &["faster"]);
            decision.raise(counted());
            Ok::<_, ()>(())
        });

        let Err(error) = given_up else { panic!("it cannot succeed") };
        assert_eq!((tries.into_inner(), error.outcome()), (3, Outcome::NotApplied));
        let ExecuteError::RetriesExceeded { tries: 3, last } = error else { panic!("{error:?}") };
        assert_eq!((last.expected, last.actual), (2, 3));
        assert_eq!(cluster.any().load_events(&order, 0).expect("it is there").events.len(), 3);
    });
}

#[test]
fn a_refusal_stands_only_if_the_aggregate_is_what_was_refused() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders = Executor::<Count>::new(cluster.any());
        assert_eq!(orders.get(&order).expect("asked").0, 0);
        append(cluster.any(), &order, 0, &["a", "b"]);
        let at_least = |least: u64| {
            orders.execute(&order, |decision| {
                if decision.state().0 < least { Err("too few") } else { Ok(decision.state().0) }
            })
        };

        assert_eq!(at_least(2), Ok(2), "the cache knew of none");
        let refused = at_least(3).expect_err("there are two");
        assert_eq!((refused.outcome(), refused), (Outcome::NotApplied, ExecuteError::Command("too few")));
    });
}

/// What is there of something that cannot be taken when it is not there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stock(u64);

impl Projection for Stock {
    fn initial(_: &AggregateId) -> Self {
        Self::default()
    }

    fn fold(&mut self, event: &Event) -> Result<(), DecodeError> {
        let left = match event.event_type.as_str() {
            "taken" => self.0.checked_sub(event.value::<u64>()?),
            _ => self.0.checked_add(1),
        };
        self.0 = left.ok_or_else(|| DecodeError::new("more was taken than there was"))?;
        Ok(())
    }
}

impl Codec for Stock {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        u64::decode(bytes).map(Self)
    }
}

#[test]
fn what_does_not_fold_onto_what_the_cache_held_is_decided_again_on_what_is_so() {
    over_one_and_three(|cluster| {
        let pears = id(["pears"]);
        let stock = Executor::<Stock>::new(cluster.any());
        assert_eq!(stock.get(&pears).expect("asked").0, 0);
        append(cluster.any(), &pears, 0, &["received", "received"]);
        let take = |count: u64| {
            stock.execute(&pears, |decision| {
                decision.raise(NewEvent::of("taken", &count));
                Ok::<_, ()>(decision.state().0)
            })
        };

        assert_eq!(take(2), Ok(0), "the cache knew of none");
        let unfolded = take(1).expect_err("there is none");
        assert_eq!(unfolded.outcome(), Outcome::NotApplied);
        assert!(matches!(unfolded, ExecuteError::Fold { sequence: 3, .. }), "{unfolded:?}");
    });
}

#[test]
fn a_command_that_raises_nothing_is_answered_by_what_is_so_now() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders: Vec<_> = cluster.stores().map(Executor::<Count>::new).collect();
        for expected in 0..5 {
            append(cluster.any(), &order, expected, &["a"]);
            for executor in &orders {
                assert_eq!(executor.get(&order).expect("it is there").0, expected + 1);
                let seen = executor.execute(&order, |decision| Ok::<_, ()>(decision.state().0));
                assert_eq!(seen, Ok(expected + 1));
            }
        }
        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(stored.len(), 5, "nothing was written");
    });
}

#[test]
fn callbacks_run_when_the_events_are_persisted_and_their_panics_change_nothing() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let store = cluster.any();
        let orders = Executor::<Count>::new(store);
        let called = RefCell::new(Vec::new());
        let tries = AtomicUsize::new(0);

        let counted = orders.execute(&order, |decision| {
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                append(cluster.any(), &order, 0, &["faster"]);
            }
            decision.raise(NewEvent::new("counted", "").at(Timestamp(5)));
            decision.on_success(|_, _| panic!("the callback's own"));
            decision.on_success(|count: &Count, events: &[Event]| {
                let stored = store.load_events(&order, 1).expect("it is there").events;
                called.borrow_mut().push((count.0, stored == events, events[0].raised, events[0].sequence));
            });
            Ok::<_, ()>(())
        });

        assert_eq!(counted, Ok(()));
        assert_eq!(called.into_inner(), [(2, true, true, 1)], "once, though it was tried twice");
        let refused = orders.execute(&order, |decision| {
            decision.on_success(|_, _| unreachable!("nothing is persisted"));
            Err::<(), _>("no")
        });
        assert_eq!(refused, Err(ExecuteError::Command("no")));
    });
}

#[test]
fn an_aggregate_that_is_loaded_gets_a_snapshot_when_its_events_outweigh_the_last_one() {
    over_one_and_three(|cluster| {
        let (order, store) = (id(["order", "1"]), cluster.any());
        let load = |ratio: f64| {
            let orders = Executor::<Count>::new(store).snapshot_ratio(ratio);
            // An append of the same thread comes behind the snapshot.
            count_one(&orders, &order);
            let snapshot = store.load_snapshot(&order).expect("asked");
            (snapshot.sequence, snapshot.data.len())
        };

        assert_eq!(load(0.0), (0, 0), "there was no event");
        assert_eq!(load(1_000.0), (1, 8), "there was no snapshot");
        assert_eq!(load(1_000.0), (1, 8), "one event of a few bytes does not outweigh it so much");
        assert_eq!(load(1.0), (3, 8));
        let orders = Executor::<Count>::new(store).snapshot_ratio(None);
        assert_eq!(count_one(&orders, &order), 5);
        assert_eq!(store.load_snapshot(&order).expect("asked").sequence, 3, "switched off");
    });
}

#[test]
fn a_snapshot_that_does_not_decode_is_done_without_if_all_events_are_there_else_refused_by_name() {
    for trim in [false, true] {
        over_one_and_three_with(
            move || Options::default().trim(trim),
            |cluster| {
                let order = id(["order", "1"]);
                append(cluster.any(), &order, 0, &["a", "b"]);
                cluster.any().save_snapshot(&order, "these are no eight bytes", 2).expect("saved");
                append(cluster.any(), &order, 2, &["c"]);

                let counted = Executor::<Count>::new(cluster.any()).get(&order);

                match counted {
                    Ok(count) => assert!(!trim && count.0 == 3),
                    Err(ExecuteError::Snapshot { sequence, .. }) => assert!(trim && sequence == 2),
                    Err(error) => panic!("{error}"),
                }
            },
        );
    }
}

#[test]
fn a_snapshot_that_ran_ahead_cannot_be_done_without() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a"]);
        cluster.any().save_snapshot(&order, "these are no eight bytes", 5).expect("saved");
        append(cluster.any(), &order, 5, &["f"]);

        let refused = Executor::<Count>::new(cluster.any()).get(&order);

        assert!(matches!(refused, Err(ExecuteError::Snapshot { sequence: 5, .. })), "{refused:?}");
    });
}

#[test]
fn an_event_that_does_not_fold_is_named_and_one_that_was_only_raised_is_not_appended() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders = Executor::<Count>::new(cluster.any());

        let raised = orders.execute(&order, |decision| {
            decision.raise(counted());
            decision.raise(NewEvent::new("several", "not a number"));
            Ok::<_, ()>(())
        });

        let Err(ExecuteError::Fold { sequence, event_type, .. }) = raised else { panic!("{raised:?}") };
        assert_eq!((sequence, event_type.as_str()), (1, "several"));
        assert_eq!(cluster.any().load_events(&order, 0).expect("asked").events, []);
        append(cluster.any(), &order, 0, &["several"]);
        let stored = orders.get(&order);
        assert!(matches!(stored, Err(ExecuteError::Fold { sequence: 0, .. })), "{stored:?}");
    });
}

#[test]
fn more_events_than_a_conflict_or_a_page_holds_are_loaded_all_the_same() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let orders = Executor::<Count>::new(cluster.any()).snapshot_ratio(None);
        assert_eq!(count_one(&orders, &order), 1);
        let large = "x".repeat(100 << 10);
        for expected in (1..25).step_by(4) {
            let events = (0..4).map(|_| NewEvent::new("large", large.clone()));
            cluster.any().append(Append::to(&order, expected).events(events)).expect("it is there");
        }

        assert_eq!(count_one(&orders, &order), 26, "two and a half MiB lie between");
        let anew = Executor::<Count>::new(cluster.any());
        assert_eq!(anew.get(&order).expect("it is there").0, 26);
    });
}

/// The new life comes to the same sequence: by that alone the cache would be taken for what is there.
#[test]
fn on_a_store_that_archives_nothing_is_taken_for_what_an_earlier_life_was() {
    over_one_and_three_with(
        || Options::default().archiving(true),
        |cluster| {
            let order = id(["order", "1"]);
            let orders = Executor::<Count>::new(cluster.any());
            assert_eq!(count_one(&orders, &order), 1);
            assert_eq!(count_one(&orders, &order), 2);
            cluster.any().archive(&order).expect("archived");
            append(cluster.any(), &order, 0, &["ignored", "ignored"]);

            assert_eq!(orders.get(&order).expect("it is there").0, 0);
            assert_eq!(count_one(&orders, &order), 1);
            let kept = cluster.any().load_snapshot(&order).expect("asked");
            assert_eq!(kept.sequence, 0, "no snapshot of an earlier life can come into this one");
        },
    );
}

#[test]
fn an_id_of_no_parts_names_no_aggregate() {
    let cluster = Cluster::of(1, |_| Options::default());
    let store: &EventStore = cluster.store(1);
    let refused = Executor::<Count>::new(store).get(&AggregateId::ALL);
    assert!(matches!(refused, Err(ExecuteError::Load(_))), "{refused:?}");
}

#[test]
fn a_follower_takes_appends_and_commands_and_has_applied_them_when_it_answers() {
    let cluster = Cluster::of(3, |_| Options::default());
    let follower = cluster.store(cluster.follower());
    let order = id(["order", "1"]);

    append(follower, &order, 0, &["a"]);
    let counted = count_one(&Executor::<Count>::new(follower), &order);

    assert_eq!(counted, 2);
    let here = follower.local().load_events(&order, 0).expect("it asks nobody").events;
    assert_eq!(types(&here), ["a", "counted"]);
}
