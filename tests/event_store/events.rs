//! Events: appended at an expected sequence, and loaded.

use std::thread;

use quorate::Outcome;
use quorate::event_store::{AggregateId, Append, AppendError, Events, NewEvent, Timestamp};

use crate::scene::{conflict, event, id, over_one_and_three, sequences, types};

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
        assert_eq!(stored[1].timestamp, Timestamp(winner as i64));
    });
}
