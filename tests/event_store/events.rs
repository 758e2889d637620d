//! Events: appended at an expected sequence, and loaded.

use std::thread;

use quorate::Outcome;
use quorate::event_store::{
    AggregateId, Append, AppendError, Events, Filter, NewEvent, Options, Position, Timestamp,
};

use crate::scene::{
    LONG, append, conflict, event, id, over_one_and_three, over_one_and_three_with, sequences, types,
};

#[test]
fn an_unknown_aggregate_has_no_events_and_begins_where_one_asks() {
    over_one_and_three(|cluster| {
        for from in [0, 7] {
            let loaded = cluster.any().load_events(&id(["missing"]), from);
            assert_eq!(loaded, Ok(Events { start_sequence: from, events: Vec::new(), more_from: None }));
        }
    });
}

#[test]
fn an_append_of_nothing_only_compares_the_sequence() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let nothing = |expected| Append::to(&order, expected);
        let index = cluster.any().append(nothing(0)).expect("it is new").position.index;
        assert_eq!(cluster.any().aggregates(&AggregateId::ALL), Ok(Vec::new()), "it makes no aggregate");

        cluster.any().append(Append::to(&order, 0).events([event("placed", 1)])).expect("it is new");
        let refused = conflict(cluster.any(), nothing(0));
        assert_eq!((refused.expected, refused.actual, types(&refused.events)), (0, 1, vec!["placed"]));
        let compared = cluster.any().append(nothing(1)).expect("it is there");
        assert_eq!(compared.next, [1]);
        assert!(compared.position.index > index, "what was compared is as new as the event");
    });
}

#[test]
fn what_is_appended_is_loaded_with_its_time_and_in_its_order() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let times = [1_700_000_000_123_456_789, -1];
        let events = [event("placed", times[0]), event("paid", times[1])];

        let appended = cluster.any().append(Append::to(&order, 0).events(&events)).expect("it is new");

        assert_eq!(appended.next, [2]);
        let load = |from| cluster.any().load_events(&order, from).expect("it is there");
        let all = load(0);
        assert_eq!((all.start_sequence, sequences(&all.events)), (0, vec![0, 1]));
        for (stored, event) in all.events.iter().zip(&events) {
            assert_eq!(NewEvent::from(stored), *event);
            assert_eq!((&stored.aggregate, stored.raised), (&order, false));
        }
        assert_eq!((load(1).start_sequence, load(1).events), (1, vec![all.events[1].clone()]));
        assert_eq!((load(2).start_sequence, load(2).events), (2, Vec::new()));
    });
}

#[test]
fn ten_at_one_sequence_are_one_that_succeeds_and_nine_that_meet_its_event() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        cluster.any().append(Append::to(&order, 0).events([event("placed", 1)])).expect("it is new");

        let answers: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..10)
                .map(|nth| {
                    let (store, append) = (cluster.any(), Append::to(&order, 1));
                    scope.spawn(move || store.append(append.events([event(&format!("by {nth}"), nth)])))
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("no panic")).collect()
        });

        let winner = answers.iter().position(Result::is_ok).expect("one succeeds");
        let mut conflicts = 0;
        for error in answers.into_iter().filter_map(Result::err) {
            assert_eq!(error.outcome(), Outcome::NotApplied);
            let AppendError::Conflict(conflict) = error else { panic!("{error}") };
            assert_eq!(types(&conflict.events), [format!("by {winner}")]);
            assert!(conflict.is_foldable());
            conflicts += 1;
        }
        assert_eq!(conflicts, 9);
        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(types(&stored), ["placed", &format!("by {winner}")]);
        assert_eq!(stored[1].timestamp, Timestamp(i64::try_from(winner).expect("one of ten")));
    });
}

#[test]
fn a_conflict_brings_exactly_the_events_since_the_expected_sequence() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["placed", "paid"]);

        let late = conflict(cluster.any(), Append::to(&order, 1).events([event("shipped", 1)]));

        assert_eq!((late.aggregate.clone(), late.expected, late.actual), (order.clone(), 1, 2));
        assert_eq!((late.first_sequence, types(&late.events)), (1, vec!["paid"]));
        assert!(late.is_foldable());
        assert_eq!(late.to_string(), "version conflict: expected sequence 1, but at 2 (1 new events)");
        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(types(&stored), ["placed", "paid"], "nothing else was written");
    });
}

#[test]
fn who_expects_what_is_not_there_yet_meets_a_conflict_without_events() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["placed"]);

        let ahead = conflict(cluster.any(), Append::to(&order, 2).events([event("shipped", 1)]));

        assert_eq!((ahead.expected, ahead.actual, ahead.first_sequence), (2, 1, 1));
        assert_eq!((ahead.events.len(), ahead.is_foldable()), (0, false));
        let of_nothing = conflict(cluster.any(), Append::to(&id(["unknown"]), 3));
        assert_eq!((of_nothing.actual, of_nothing.events.len()), (0, 0));
    });
}

#[test]
fn the_callers_events_stay_the_callers() {
    over_one_and_three(|cluster| {
        let events = [event("placed", 1), NewEvent::new("paid", "by card")];
        let before = events.clone();

        for order in [id(["order", "1"]), id(["order", "2"])] {
            append(cluster.any(), &order, 0, &["begun"]);
            cluster.any().append(Append::to(&order, 1).events(&events)).expect("it is there");
            let stored = cluster.any().load_events(&order, 1).expect("it is there").events;
            assert_eq!(sequences(&stored), [1, 2]);
            assert!(stored.iter().all(|event| event.aggregate == order));
        }

        assert_eq!(events, before);
    });
}

#[test]
fn an_events_value_is_what_it_was_made_of_and_nothing_else() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let paid = NewEvent::of("paid", &1_250_u64);
        cluster.any().append(Append::to(&order, 0).events([paid])).expect("it is new");

        let stored = cluster.any().load_events(&order, 0).expect("it is there").events.remove(0);

        assert_eq!(stored.value::<u64>(), Ok(1_250));
        assert!(stored.value::<u16>().is_err(), "eight bytes are no number of two");
    });
}

#[test]
fn an_event_without_a_time_gets_that_of_the_nodes_clock() {
    let options = || Options::default().clock(|| Timestamp(77));
    over_one_and_three_with(options, |cluster| {
        let order = id(["order", "1"]);
        let events = [NewEvent::new("placed", ""), event("paid", 5)];
        cluster.any().append(Append::to(&order, 0).events(events).status("paid")).expect("it is new");

        let stored = cluster.any().load_events(&order, 0).expect("it is there").events;
        assert_eq!(stored.iter().map(|event| event.timestamp.0).collect::<Vec<_>>(), [77, 5]);
    });
}

/// Answers are matched by the place in the log: a completion by the command's bytes would tell both that they were first.
#[test]
fn two_equal_appends_at_the_same_time_have_an_answer_each() {
    over_one_and_three(|cluster| {
        for nth in 0..20 {
            let order = id(["order", &nth.to_string()]);
            let append = Append::to(&order, 0).events([event("placed", 1)]);

            let answers = thread::scope(|scope| {
                let twins = [cluster.any(), cluster.any()].map(|store| {
                    let append = append.clone();
                    scope.spawn(move || store.append(append))
                });
                twins.map(|twin| twin.join().expect("no panic"))
            });

            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
            assert_eq!(cluster.any().load_events(&order, 0).expect("it is there").events.len(), 1);
        }
    });
}

#[test]
fn several_aggregates_are_appended_to_at_once_or_not_at_all() {
    over_one_and_three(|cluster| {
        let [from, to, limit] = ["a", "b", "limit"].map(|account| id(["account", account]));
        append(cluster.any(), &from, 0, &["opened"]);
        append(cluster.any(), &limit, 0, &["set"]);
        let transfer = |expected_of_to, expected_of_limit| {
            [
                Append::to(&from, 1).events([event("sent", 1)]).status("active"),
                Append::to(&to, expected_of_to).events([event("opened", 2), event("received", 3)]),
                Append::to(&limit, expected_of_limit), // must only be there
            ]
        };

        for (appends, missed) in [(transfer(7, 1), &to), (transfer(0, 0), &limit)] {
            match cluster.any().append_all(appends) {
                Err(AppendError::Conflict(conflict)) => assert_eq!(conflict.aggregate, *missed),
                other => panic!("no conflict: {other:?}"),
            }
        }
        assert_eq!(cluster.any().load_events(&from, 0).expect("it is there").events.len(), 1);
        assert_eq!(cluster.any().aggregates(&to), Ok(Vec::new()));
        assert_eq!(cluster.any().status(&from), Ok(None));

        let appended = cluster.any().append_all(transfer(0, 1)).expect("all are there");

        assert_eq!(appended.next, [2, 2, 1]);
        assert_eq!(cluster.any().status(&from), Ok(Some("active".to_owned())));
        let mut all = cluster.any().subscribe(appended.position, Filter::all()).expect("a good filter");
        for (offset, event_type) in ["sent", "opened", "received"].into_iter().enumerate() {
            let delivered = all.next_within(LONG).expect("it is there").expect("in time");
            let position = Position { offset: offset as u32, ..appended.position };
            assert_eq!((delivered.position, delivered.event.event_type.as_str()), (position, event_type));
        }
    });
}
