//! Bad input: everything has a limit, and what is beyond it is refused by name, before it reaches the log.

use std::sync::atomic::{AtomicU64, Ordering};

use quorate::event_store::{
    AggregateId, Append, AppendError, EventStore, Filter, Invalid, NewEvent, Options, Position, QueryError,
    SaveError, limits,
};
use quorate::{Outcome, ProposeError};

use crate::scene::{Cluster, append, conflict, event, id, over_one_and_three};

fn invalid(store: &EventStore, append: Append) -> Invalid {
    let refused = store.append(append).expect_err("it is beyond a limit");
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    let AppendError::Invalid(invalid) = refused else { panic!("{refused}") };
    invalid
}

fn too_long(invalid: &Invalid) -> (usize, usize) {
    let Invalid::TooLong { length, max, .. } = invalid else { panic!("{invalid}") };
    assert!(invalid.to_string().contains(&max.to_string()), "{invalid}");
    (*length, *max)
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn an_id_has_parts_and_not_too_many_nor_too_long_ones() {
    use limits::{ID_BYTES_MAX, ID_PARTS_MAX};
    let many = AggregateId::new(vec![""; ID_PARTS_MAX + 1]).expect_err("too many");
    assert_eq!(too_long(&many), (ID_PARTS_MAX + 1, ID_PARTS_MAX));
    let large = AggregateId::new([long(ID_BYTES_MAX - 1)]).expect_err("its end takes two bytes");
    assert_eq!(too_long(&large), (ID_BYTES_MAX + 1, ID_BYTES_MAX));

    let cluster = Cluster::of(1, |_| Options::default().archiving(true));
    let store = cluster.store(1);
    let largest = AggregateId::new([long(ID_BYTES_MAX - 2)]).expect("the limit itself is no fault");
    append(store, &largest, 0, &["made"]);
    assert_eq!(store.aggregates(&AggregateId::ALL), Ok(vec![largest]));
    let nobody = AggregateId::ALL;
    assert_eq!(invalid(store, Append::to(&nobody, 0).events([event("made", 1)])), Invalid::EmptyId);
    assert_eq!(invalid(store, Append::to(&nobody, 0)), Invalid::EmptyId);
    assert_eq!(store.load_events(&nobody, 0), Err(QueryError::Invalid(Invalid::EmptyId)));
    assert_eq!(store.load_snapshot(&nobody), Err(QueryError::Invalid(Invalid::EmptyId)));
    assert_eq!(store.aggregate(&nobody), Err(QueryError::Invalid(Invalid::EmptyId)));
    assert_eq!(store.save_snapshot(&nobody, "", 0), Err(SaveError::Invalid(Invalid::EmptyId)));
    let archived = store.archive(&nobody).expect_err("it names nothing");
    assert_eq!(
        (archived.outcome(), archived.to_string()),
        (Outcome::NotApplied, Invalid::EmptyId.to_string())
    );
}

#[test]
fn an_event_has_a_type_and_neither_it_nor_its_data_is_too_long() {
    use limits::{EVENT_DATA_BYTES_MAX, EVENT_TYPE_BYTES_MAX};
    let cluster = Cluster::of(1, |_| Options::default());
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    let of = |event: NewEvent| Append::to(&order, 0).events([event]);

    assert_eq!(invalid(store, of(NewEvent::new("", "data"))), Invalid::EmptyType);
    let long_type = invalid(store, of(NewEvent::new(long(EVENT_TYPE_BYTES_MAX + 1), "")));
    assert_eq!(too_long(&long_type), (EVENT_TYPE_BYTES_MAX + 1, EVENT_TYPE_BYTES_MAX));
    let large = invalid(store, of(NewEvent::new("large", long(EVENT_DATA_BYTES_MAX + 1))));
    assert_eq!(too_long(&large), (EVENT_DATA_BYTES_MAX + 1, EVENT_DATA_BYTES_MAX));
    // The node's own limit stands below that of the store.
    let refused =
        store.append(of(NewEvent::new("large", long(600 << 10)))).expect_err("a command is smaller");
    let AppendError::Propose(ProposeError::TooLarge { bytes, limit }) = refused else { panic!("{refused}") };
    assert!(bytes > 600 << 10 && limit == 512 << 10);

    append(store, &order, 0, &[&long(EVENT_TYPE_BYTES_MAX)]);
}

#[test]
fn an_append_has_not_too_many_events_labels_or_aggregates() {
    use limits::{
        APPENDS_MAX, EVENTS_MAX, LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, STATUS_BYTES_MAX,
    };
    let cluster = Cluster::of(1, |_| Options::default());
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    let blank = || Append::to(&order, 0);
    let events = |count: usize| blank().events(vec![NewEvent::new("e", ""); count]);
    let labels = |from: usize, count: usize| {
        (from..from + count).fold(blank(), |append, nth| append.label(format!("label {nth:03}"), "on"))
    };

    assert_eq!(too_long(&invalid(store, events(EVENTS_MAX + 1))), (EVENTS_MAX + 1, EVENTS_MAX));
    assert_eq!(too_long(&invalid(store, labels(0, LABELS_MAX + 1))), (LABELS_MAX + 1, LABELS_MAX));
    assert_eq!(invalid(store, blank().label("", "value")), Invalid::EmptyLabel);
    for append in [
        blank().status(long(STATUS_BYTES_MAX + 1)),
        blank().label(long(LABEL_BYTES_MAX + 1), "value"),
        blank().label("label", long(LABEL_VALUE_BYTES_MAX + 1)),
    ] {
        assert_eq!(too_long(&invalid(store, append)), (257, 256));
    }
    let many = (0..=APPENDS_MAX).map(|nth| Append::to(&id(["order", &nth.to_string()]), 0).status("open"));
    let many = store.append_all(many).expect_err("too many");
    assert!(matches!(many, AppendError::Invalid(Invalid::TooLong { length: 257, max: 256, .. })), "{many}");
    let twice = store.append_all([blank().status("open"), blank()]).expect_err("once is enough");
    assert_eq!(twice, AppendError::Invalid(Invalid::AggregateTwice));
    assert_eq!(store.append_all([]), Err(AppendError::Invalid(Invalid::NoAggregate)));
    assert_eq!(store.aggregates(&AggregateId::ALL), Ok(Vec::new()), "nothing of all this was written");

    store.append(labels(0, LABELS_MAX)).expect("the limit itself is no fault");
    let more = store.append(labels(LABELS_MAX, 1)).expect_err("together they are too many");
    assert!(matches!(more, AppendError::Refused(_)), "{more}");
    assert_eq!(more.outcome(), Outcome::NotApplied);
    store.append(labels(LABELS_MAX, 1).label("label 000", "")).expect("one goes, one comes");
    store.append(events(EVENTS_MAX)).expect("the limit itself is no fault");
}

#[test]
fn questions_and_snapshots_beyond_a_limit_are_refused_too() {
    use limits::{FILTER_MAX, LABEL_BYTES_MAX, SNAPSHOT_BYTES_MAX, STATUS_BYTES_MAX};
    let cluster = Cluster::of(1, |_| Options::default());
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    let limit = |error: QueryError| {
        let QueryError::Invalid(invalid) = error else { panic!("{error}") };
        too_long(&invalid)
    };

    assert_eq!(limit(store.with_status(&long(STATUS_BYTES_MAX + 1)).expect_err("too long")), (257, 256));
    assert_eq!(limit(store.with_label(&long(LABEL_BYTES_MAX + 1), "").expect_err("too long")), (257, 256));
    assert_eq!(limit(store.with_label("label", &long(257)).expect_err("too long")), (257, 256));
    assert_eq!(limit(store.label_values(&long(LABEL_BYTES_MAX + 1)).expect_err("too long")), (257, 256));
    assert_eq!(store.label_values(""), Err(QueryError::Invalid(Invalid::EmptyLabel)));
    let saved = store.save_snapshot(&order, long(SNAPSHOT_BYTES_MAX + 1), 0).expect_err("too large");
    assert_eq!(saved.outcome(), Outcome::NotApplied);
    assert!(matches!(saved, SaveError::Invalid(Invalid::TooLong { .. })), "{saved}");
    let prefixes = (0..=FILTER_MAX).fold(Filter::all(), |filter, _| filter.or_prefix(order.clone()));
    assert!(store.subscribe(Position::START, prefixes).is_err());
    let long_type = Filter::event_type(long(limits::EVENT_TYPE_BYTES_MAX + 1));
    assert!(store.subscribe(Position::START, long_type).is_err());
}

#[test]
fn sequences_that_are_negative_are_refused_and_those_from_the_future_meet_what_is_there() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        append(cluster.any(), &order, 0, &["placed"]);
        for negative in [-1_i64, i64::MIN] {
            let negative = negative.cast_unsigned();
            let refused = Invalid::Sequence(negative);
            assert_eq!(
                invalid(cluster.any(), Append::to(&order, negative).events([event("paid", 1)])),
                refused
            );
            assert_eq!(invalid(cluster.any(), Append::to(&order, negative)), refused);
            assert_eq!(cluster.any().load_events(&order, negative), Err(QueryError::Invalid(refused)));
            assert_eq!(cluster.any().save_snapshot(&order, "", negative), Err(SaveError::Invalid(refused)));
        }
        let last = limits::SEQUENCE_MAX;
        let future = conflict(cluster.any(), Append::to(&order, last).events([event("paid", 1)]));
        assert_eq!((future.actual, future.events.len()), (1, 0));
        let nothing = cluster.any().load_events(&order, last).expect("asked");
        assert_eq!((nothing.start_sequence, nothing.events.len()), (last, 0));

        cluster.any().save_snapshot(&order, "the end of time", last).expect("it may run ahead");
        let beyond = Append::to(&order, last).events([event("one too many", 1)]);
        let refused = cluster.any().append(beyond).expect_err("no sequence is left");
        assert!(matches!(refused, AppendError::Refused(_)), "{refused}");
    });
}

#[test]
fn a_clock_that_stands_still_or_runs_back_disturbs_nobody() {
    let time = std::sync::Arc::new(AtomicU64::new(u64::MAX));
    let cluster = Cluster::of(1, move |_| {
        let time = std::sync::Arc::clone(&time);
        Options::default().clock(move || {
            quorate::event_store::Timestamp(time.fetch_sub(1 << 60, Ordering::Relaxed).cast_signed())
        })
    });
    let (store, order) = (cluster.store(1), id(["order", "1"]));
    for expected in 0..5 {
        let placed = Append::to(&order, expected).events([NewEvent::new("placed", "")]).status("open");
        store.append(placed).expect("it is there");
    }
    let listed = store.with_status("open").expect("listed");
    let last = store.load_events(&order, 4).expect("it is there").events[0].timestamp;
    assert_eq!((listed.len(), listed[0].since.to_millis()), (1, last.to_millis()));
}
