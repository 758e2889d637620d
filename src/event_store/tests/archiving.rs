//! Aggregates that leave the store, and the records that are left of them.

use super::subject::{Subject, event, id, order, sequences, types};
use crate::event_store::{AggregateId, Append, Command, Invalid, Query, Response};

#[test]
fn archiving_removes_everything_that_was_known_and_keeps_a_record() {
    let mut subject = Subject::new();
    let events = ["a", "b", "c"].map(event);
    subject.append(Append::to(&order(1), 0).events(events).status("placed").label("city", "Bonn")).unwrap();
    subject.raise(&order(2), ["other"]);
    subject.trim(&order(1), "one", 1);

    let index = subject.archive(&order(1));

    assert_eq!(index, Some(subject.index()));
    for _ in 0..2 {
        assert_eq!(subject.aggregate(&order(1)), None);
        assert_eq!(subject.events(&order(1), 0).events, []);
        assert_eq!(subject.snapshot(&order(1)).data.len(), 0);
        assert_eq!(subject.aggregates(&AggregateId::ALL), [order(2)]);
        assert_eq!(subject.with_status("placed"), []);
        assert_eq!(subject.with_label("city", "Bonn"), []);
        assert_eq!(subject.label_values("city"), [""; 0]);
        let record = subject.oldest_archive().unwrap();
        assert_eq!((record.index, &record.aggregate), (index.unwrap(), &order(1)));
        assert_eq!((&*record.snapshot, record.snapshot_sequence), (&b"one"[..], 1));
        assert_eq!(
            (types(&record.events.events), sequences(&record.events.events)),
            (vec!["b", "c"], vec![1, 2])
        );
        assert_eq!(record.events.start_sequence, 1);
        assert_eq!(record.stream_id(), format!("{:020}", record.index));
        subject.reopen();
    }
}

#[test]
fn an_archived_id_begins_again() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b"]);
    subject.archive(&order(1));

    assert_eq!(subject.raise(&order(1), ["new"]).next, [1]);

    assert_eq!(types(&subject.events(&order(1), 0).events), ["new"]);
    assert_eq!(types(&subject.oldest_archive().unwrap().events.events), ["a", "b"]);
}

#[test]
fn archiving_what_is_not_there_does_nothing() {
    let mut subject = Subject::new();

    assert_eq!(subject.archive(&order(1)), None);

    assert_eq!(subject.oldest_archive(), None);
    assert_eq!(Command::archive(&AggregateId::ALL), Err(Invalid::EmptyId));
}

#[test]
fn without_a_snapshot_the_record_has_an_empty_one_at_zero() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a"]);
    subject.archive(&order(1));

    let record = subject.oldest_archive().unwrap();

    assert_eq!((record.snapshot.len(), record.snapshot_sequence), (0, 0));
}

#[test]
fn only_its_own_aggregate_is_archived_and_not_those_that_begin_like_it() {
    let mut subject = Subject::new();
    let ids = [id(["a"]), id(["a", ""]), id(["a", "b"]), id(["a\0"])];
    for id in &ids {
        subject.raise(id, ["e"]);
    }

    subject.archive(&ids[0]);

    assert_eq!(
        subject.aggregates(&AggregateId::ALL),
        [ids[3].clone(), ids[1].clone(), ids[2].clone()].as_slice().sorted()
    );
    assert!(ids[1..].iter().all(|id| subject.events(id, 0).events.len() == 1));
}

#[test]
fn records_are_consumed_oldest_first_and_stay_until_then() {
    let mut subject = Subject::new();
    for number in 1..=3 {
        subject.raise(&order(number), ["a", "b"]);
        subject.archive(&order(number));
    }

    for number in 1..=3 {
        let record = subject.oldest_archive().unwrap();
        assert_eq!(record.aggregate, order(number));
        assert_eq!(subject.oldest_archive(), Some(record.clone()), "looking at it does not consume it");
        assert!(subject.consume(record.index));
        assert!(!subject.consume(record.index), "another node was faster");
    }
    assert_eq!(subject.oldest_archive(), None);
    assert!(!subject.consume(u64::MAX));
}

#[test]
fn the_events_of_a_record_come_in_pages() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b"]);
    subject.raise(&order(1), ["c"]);
    let index = subject.archive(&order(1)).unwrap();
    let (mut from, mut all) = (0, Vec::new());

    loop {
        let query = Query::Archive { index, from, bytes_max: 0 };
        let Response::Archived(Some(record)) = subject.ask(&query) else { panic!("no record") };
        assert_eq!(record.events.events.len(), 1);
        all.extend(record.events.events);
        match record.events.more_from {
            Some(more) => from = more,
            None => break,
        }
    }

    assert_eq!(types(&all), ["a", "b", "c"]);
    assert_eq!(
        subject.ask(&Query::Archive { index: index + 1, from: 0, bytes_max: 9 }),
        Response::Archived(None)
    );
    assert_eq!(subject.ask(&Query::OldestArchive { after: index, bytes_max: 9 }), Response::Archived(None));
    assert_eq!(
        subject.ask(&Query::OldestArchive { after: u64::MAX, bytes_max: 9 }),
        Response::Archived(None)
    );
}

/// Lists compare in order.
trait Sorted {
    fn sorted(&self) -> Vec<AggregateId>;
}

impl Sorted for [AggregateId] {
    fn sorted(&self) -> Vec<AggregateId> {
        let mut ids = self.to_vec();
        ids.sort();
        ids
    }
}
