//! Snapshots of aggregates: with and without the events before them.

use bytes::Bytes;
use quorate::event_store::{AggregateId, Append, Events, Options, Snapshot};

use crate::scene::{append, conflict, event, id, over_one_and_three, over_one_and_three_with, sequences};

fn trimming() -> Options {
    Options::default().trim(true)
}

#[test]
fn what_was_never_saved_is_nothing() {
    over_one_and_three(|cluster| {
        let nothing = Events { start_sequence: 0, events: Vec::new(), more_from: None };
        let missing = cluster.any().load_snapshot(&id(["missing"]));
        assert_eq!(missing, Ok(Snapshot { data: Bytes::new(), sequence: 0, events: nothing }));
    });
}

#[test]
fn a_snapshot_before_any_event_makes_the_aggregate() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        assert_eq!(cluster.any().save_snapshot(&order, "blank", 0), Ok(true));

        assert_eq!(cluster.any().aggregates(&AggregateId::ALL), Ok(vec![order.clone()]));
        assert_eq!(&cluster.any().load_snapshot(&order).expect("it is there").data[..], b"blank");
        append(cluster.any(), &order, 0, &["placed"]);
    });
}

#[test]
fn a_snapshot_comes_back_with_the_events_behind_it_and_an_older_one_is_ignored() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a", "b", "c"]);
        assert_eq!(cluster.any().save_snapshot(&order, "of two", 2), Ok(true));

        assert_eq!(cluster.any().save_snapshot(&order, "of one", 1), Ok(false), "that is no failure");
        let loaded = cluster.any().load_snapshot(&order).expect("it is there");
        assert_eq!((&loaded.data[..], loaded.sequence), (&b"of two"[..], 2));
        assert_eq!((loaded.events.start_sequence, sequences(&loaded.events.events)), (2, vec![2]));

        assert_eq!(cluster.any().save_snapshot(&order, "of two, again", 2), Ok(true));
        assert_eq!(&cluster.any().load_snapshot(&order).expect("it is there").data[..], b"of two, again");
    });
}

#[test]
fn a_snapshot_that_trims_takes_the_place_of_the_events_and_sequences_go_on() {
    over_one_and_three_with(trimming, |cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a", "b", "c"]);
        cluster.any().save_snapshot(&order, "of three", 3).expect("saved");

        let trimmed = cluster.any().load_events(&order, 0).expect("it is there");
        assert_eq!((trimmed.start_sequence, trimmed.events.len()), (3, 0));
        let refused = conflict(cluster.any(), Append::to(&order, 0).events([event("d", 1)]));
        assert_eq!((refused.actual, refused.first_sequence, refused.events.len()), (3, 3, 0));
        assert!(!refused.is_foldable(), "what was trimmed is not there to be folded");
        append(cluster.any(), &order, 3, &["d", "e"]);

        assert_eq!(sequences(&cluster.any().load_events(&order, 0).expect("it is there").events), [3, 4]);
        let loaded = cluster.any().load_snapshot(&order).expect("it is there");
        assert_eq!((loaded.sequence, sequences(&loaded.events.events)), (3, vec![3, 4]));
    });
}

#[test]
fn a_snapshot_in_the_middle_of_a_batch_trims_up_to_there() {
    over_one_and_three_with(trimming, |cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a", "b", "c"]);
        cluster.any().save_snapshot(&order, "of two", 2).expect("saved");

        let left = cluster.any().load_events(&order, 0).expect("it is there");
        assert_eq!((left.start_sequence, sequences(&left.events)), (2, vec![2]));
        let refused = conflict(cluster.any(), Append::to(&order, 1).events([event("d", 1)]));
        assert_eq!((refused.first_sequence, refused.events.len()), (2, 1));
        assert!(!refused.is_foldable(), "event 1 lies between, and is gone");
        assert!(conflict(cluster.any(), Append::to(&order, 2).events([event("d", 1)])).is_foldable());
    });
}

#[test]
fn a_snapshot_that_does_not_trim_leaves_all_events() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["a", "b", "c"]);
        cluster.any().save_snapshot(&order, "of three", 3).expect("saved");

        let kept = cluster.any().load_events(&order, 0).expect("it is there");
        assert_eq!((kept.start_sequence, sequences(&kept.events)), (0, vec![0, 1, 2]));
    });
}

#[test]
fn a_snapshot_may_run_ahead_and_the_next_append_expects_its_sequence() {
    for trim in [false, true] {
        over_one_and_three_with(
            move || Options::default().trim(trim),
            |cluster| {
                let order = id(["order", "1"]);
                append(cluster.any(), &order, 0, &["a"]);
                cluster.any().save_snapshot(&order, "of five", 5).expect("saved");

                let behind = conflict(cluster.any(), Append::to(&order, 1).events([event("b", 1)]));
                assert_eq!(behind.actual, 5);
                assert!(!behind.is_foldable(), "the snapshot holds what no event tells");
                append(cluster.any(), &order, 5, &["f"]);

                let loaded = cluster.any().load_snapshot(&order).expect("it is there");
                assert_eq!((loaded.sequence, sequences(&loaded.events.events)), (5, vec![5]));
                let all = sequences(&cluster.any().load_events(&order, 0).expect("it is there").events);
                assert_eq!(all, if trim { vec![5] } else { vec![0, 5] });
            },
        );
    }
}
