//! Snapshots of aggregates, and the events that they take the place of.

use super::subject::{Subject, event, order, sequences, types};
use crate::event_store::limits::{SEQUENCE_MAX, SNAPSHOT_BYTES_MAX};
use crate::event_store::{AggregateId, Append, Command, Invalid, Query, Response};

#[test]
fn of_an_aggregate_without_a_snapshot_there_is_nothing_but_its_events() {
    let mut subject = Subject::new();

    let unknown = subject.snapshot(&order(1));
    assert_eq!((&*unknown.data, unknown.sequence, unknown.events.events.len()), (&b""[..], 0, 0));

    subject.raise(&order(1), ["placed"]);
    let without = subject.snapshot(&order(1));
    assert_eq!(
        (&*without.data, without.sequence, types(&without.events.events)),
        (&b""[..], 0, vec!["placed"])
    );
}

#[test]
fn a_snapshot_before_any_event_makes_the_aggregate() {
    let mut subject = Subject::new();

    assert!(subject.save_snapshot(&order(1), "blank", 0));

    assert_eq!(subject.aggregates(&AggregateId::ALL), [order(1)]);
    assert_eq!(&*subject.snapshot(&order(1)).data, b"blank");
    assert_eq!(subject.raise(&order(1), ["placed"]).next, [1]);
}

#[test]
fn a_snapshot_comes_back_with_the_events_since_and_an_older_one_does_not_replace_it() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);

    assert!(subject.save_snapshot(&order(1), "two", 2));
    assert!(!subject.save_snapshot(&order(1), "one", 1), "an older one is ignored");
    let snapshot = subject.snapshot(&order(1));
    assert_eq!((&*snapshot.data, snapshot.sequence), (&b"two"[..], 2));
    assert_eq!((types(&snapshot.events.events), snapshot.events.start_sequence), (vec!["c"], 2));

    assert!(subject.save_snapshot(&order(1), "two, better", 2), "one of the same age replaces it");
    subject.reopen();
    assert_eq!(&*subject.snapshot(&order(1)).data, b"two, better");
    assert_eq!(sequences(&subject.events(&order(1), 0).events), [0, 1, 2], "all events are kept");
}

#[test]
fn a_snapshot_of_everything_that_trims_leaves_no_event_and_sequences_go_on() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);

    subject.trim(&order(1), "three", 3);

    let events = subject.events(&order(1), 0);
    assert_eq!((events.start_sequence, events.events.len()), (3, 0));
    assert!(subject.append(Append::to(&order(1), 0).events([event("no")])).is_err());
    assert_eq!(subject.append(Append::to(&order(1), 3).events([event("d"), event("e")])).unwrap().next, [5]);
    let snapshot = subject.snapshot(&order(1));
    assert_eq!((snapshot.sequence, sequences(&snapshot.events.events)), (3, vec![3, 4]));
}

#[test]
fn trimming_in_the_middle_of_a_batch_leaves_the_rest_of_it() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);
    subject.raise(&order(2), ["other"]);

    subject.trim(&order(1), "two", 2);

    for _ in 0..2 {
        let events = subject.events(&order(1), 0);
        assert_eq!((events.start_sequence, sequences(&events.events)), (2, vec![2]));
        assert_eq!(types(&subject.events(&order(1), 2).events), ["c"]);
        assert_eq!(types(&subject.events(&order(2), 0).events), ["other"]);
        let is = subject.aggregate(&order(1)).unwrap();
        assert_eq!((is.sequence, is.base_sequence, is.snapshot_sequence), (3, 2, 2));
        subject.reopen();
    }
    subject.trim(&order(1), "two again", 2);
    assert_eq!(sequences(&subject.events(&order(1), 0).events), [2]);
}

#[test]
fn a_conflict_below_the_trimmed_base_says_where_its_events_begin_and_is_not_folded() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c", "d"]);
    subject.trim(&order(1), "three", 3);

    let conflict = subject.append(Append::to(&order(1), 1).events([event("e")])).unwrap_err();

    assert_eq!((conflict.expected, conflict.actual, conflict.first_sequence), (1, 4, 3));
    assert_eq!(sequences(&conflict.events), [3]);
    assert!(!conflict.is_foldable(), "what was trimmed would be left out");
    assert!(subject.append(Append::to(&order(1), 3).events([event("e")])).unwrap_err().is_foldable());

    subject.trim(&order(1), "four", 4);
    let conflict = subject.append(Append::to(&order(1), 3).events([event("e")])).unwrap_err();
    assert_eq!((conflict.first_sequence, conflict.events.len(), conflict.is_foldable()), (4, 0, false));
}

#[test]
fn a_snapshot_that_runs_ahead_takes_the_aggregate_there() {
    for trims in [false, true] {
        let mut subject = Subject::new();
        subject.raise(&order(1), ["a"]);

        if trims {
            subject.trim(&order(1), "five", 5)
        } else {
            subject.save_snapshot(&order(1), "five", 5)
        };

        let behind = subject.append(Append::to(&order(1), 1).events([event("no")])).unwrap_err();
        assert_eq!((behind.actual, behind.first_sequence, behind.events.len()), (5, 5, 0));
        assert_eq!(subject.raise(&order(1), ["f"]).next, [6]);
        let kept = if trims { vec![5] } else { vec![0, 5] };
        assert_eq!(sequences(&subject.events(&order(1), 0).events), kept);
        let conflict = subject.append(Append::to(&order(1), 0).events([event("no")])).unwrap_err();
        assert_eq!((sequences(&conflict.events), conflict.is_foldable()), (kept, false), "there is a gap");
        assert_eq!(sequences(&subject.snapshot(&order(1)).events.events), [5]);
        assert_eq!(subject.aggregate(&order(1)).unwrap().base_sequence, u64::from(trims));

        subject.trim(&order(1), "six", 6);
        assert_eq!(subject.events(&order(1), 0).start_sequence, 6);
        assert_eq!(subject.events(&order(1), 0).events, []);
    }
}

#[test]
fn the_events_since_a_snapshot_come_in_pages_and_its_data_with_each() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);
    subject.save_snapshot(&order(1), "one", 1);

    let Response::Snapshot { snapshot, .. } = subject.ask(&Query::Snapshot { id: order(1), bytes_max: 0 })
    else {
        panic!("no snapshot")
    };

    assert_eq!((&*snapshot.data, types(&snapshot.events.events)), (&b"one"[..], vec!["b"]));
    assert_eq!(snapshot.events.more_from, Some(2));
}

#[test]
fn snapshots_have_limits() {
    let save = |id: &AggregateId, bytes, sequence| Command::save_snapshot(id, vec![0; bytes], sequence, true);

    assert!(save(&order(1), SNAPSHOT_BYTES_MAX, SEQUENCE_MAX).is_ok());
    assert!(matches!(save(&order(1), SNAPSHOT_BYTES_MAX + 1, 0), Err(Invalid::TooLong { .. })));
    assert_eq!(save(&order(1), 0, SEQUENCE_MAX + 1), Err(Invalid::Sequence(SEQUENCE_MAX + 1)));
    assert_eq!(save(&AggregateId::ALL, 0, 0), Err(Invalid::EmptyId));
}
