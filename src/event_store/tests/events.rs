//! Appending, loading and conflicts.

use super::subject::{NOW, Subject, at_millis, event, id, order, sequences, types};
use crate::event_store::limits::{
    APPENDS_MAX, EVENT_DATA_BYTES_MAX, EVENT_TYPE_BYTES_MAX, EVENTS_MAX, ID_BYTES_MAX, ID_PARTS_MAX,
    SEQUENCE_MAX,
};
use crate::event_store::{
    Aggregate, AggregateId, Append, Command, Invalid, NewEvent, Position, Query, Refused, Response, Timestamp,
};
use crate::machine::Codec;

#[test]
fn of_an_unknown_aggregate_there_are_no_events() {
    let subject = Subject::new();

    for from in [0, 7] {
        let events = subject.events(&order(1), from);
        assert_eq!((events.start_sequence, events.events.len()), (from, 0));
    }
    assert_eq!(subject.aggregate(&order(1)), None);
}

#[test]
fn appending_nothing_to_a_new_aggregate_is_fine_and_does_not_make_it() {
    let mut subject = Subject::new();

    assert_eq!(subject.append(Append::to(&order(1), 0)).unwrap().next, [0]);
    assert_eq!(subject.check(&order(1), 0), Ok(()));

    assert_eq!(subject.aggregates(&AggregateId::ALL), []);
}

#[test]
fn events_come_back_with_their_sequences_and_nanoseconds_from_where_they_are_asked_for() {
    let mut subject = Subject::new();
    let (first, second) = (Timestamp(1_234_567_891), Timestamp(-1));
    let append = Append::to(&order(1), 0).events([event("placed").at(first), event("paid").at(second)]);

    assert_eq!(subject.append(append).unwrap().next, [2]);

    let events = subject.events(&order(1), 0);
    assert_eq!((events.start_sequence, events.more_from), (0, None));
    assert_eq!((types(&events.events), sequences(&events.events)), (vec!["placed", "paid"], vec![0, 1]));
    assert_eq!([events.events[0].timestamp, events.events[1].timestamp], [first, second]);
    assert!(events.events.iter().all(|event| event.aggregate == order(1) && !event.raised));
    assert_eq!(&*events.events[1].data, b"data of paid");
    assert_eq!(types(&subject.events(&order(1), 1).events), ["paid"]);
    let behind = subject.events(&order(1), 2);
    assert_eq!((behind.start_sequence, behind.events.len()), (2, 0));
}

#[test]
fn the_callers_events_stay_as_they_are() {
    let mut subject = Subject::new();
    let mine = [event("placed"), event("paid")];

    subject.append(Append::to(&order(1), 0).events(&mine)).unwrap();
    subject.append(Append::to(&order(2), 0).events(&mine)).unwrap();

    assert_eq!(mine, [event("placed"), event("paid")]);
    let stored = &subject.events(&order(2), 0).events[1];
    assert_eq!((stored.sequence, stored.timestamp, &stored.aggregate), (1, NOW, &order(2)));
}

#[test]
fn an_events_value_is_what_it_was_made_of() {
    let mut subject = Subject::new();
    let total = NewEvent::of("total", &42_u64);

    subject.append(Append::to(&order(1), 0).events([total])).unwrap();

    let stored = subject.events(&order(1), 0).events.remove(0);
    assert_eq!(stored.value::<u64>(), Ok(42));
    assert!(stored.value::<u32>().is_err(), "an error, and no other number");
}

#[test]
fn a_conflict_carries_exactly_the_events_that_the_caller_does_not_know() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed", "paid"]);

    let conflict = subject.append(Append::to(&order(1), 1).events([event("shipped")])).unwrap_err();

    assert_eq!((conflict.expected, conflict.actual, conflict.first_sequence), (1, 2, 1));
    assert_eq!((types(&conflict.events), sequences(&conflict.events)), (vec!["paid"], vec![1]));
    assert!(conflict.is_foldable());
    let says = "version conflict: expected sequence 1, but at 2 (1 new events)";
    assert_eq!(conflict.to_string(), says);
    assert_eq!(subject.sequence(&order(1)), 2, "nothing was appended");
}

#[test]
fn an_append_of_nothing_conflicts_like_any_other() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);

    let appended = subject.append(Append::to(&order(1), 0)).unwrap_err();
    let checked = subject.check(&order(1), 0).unwrap_err();

    assert_eq!(types(&appended.events), ["placed"]);
    assert_eq!(appended, checked);
}

#[test]
fn whoever_expects_more_than_there_is_gets_a_conflict_without_events() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);

    let ahead = subject.append(Append::to(&order(1), 2).events([event("paid")])).unwrap_err();
    let unknown = subject.append(Append::to(&order(2), 3).events([event("paid")])).unwrap_err();

    assert_eq!((ahead.expected, ahead.actual, ahead.first_sequence, ahead.events.len()), (2, 1, 1, 0));
    assert!(!ahead.is_foldable());
    assert_eq!((unknown.expected, unknown.actual, unknown.events.len()), (3, 0, 0));
}

#[test]
fn of_ten_appends_at_one_sequence_one_succeeds_and_nine_are_given_its_event() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);
    let names: Vec<_> = (0..10).map(|nth| format!("paid by {nth}")).collect();

    let mut results = names.iter().map(|name| subject.append(Append::to(&order(1), 1).events([event(name)])));
    let won = results.next().unwrap();
    let lost: Vec<_> = results.map(Result::unwrap_err).collect();

    assert_eq!(won.unwrap().next, [2]);
    assert_eq!(lost.len(), 9);
    assert!(lost.iter().all(|conflict| types(&conflict.events) == ["paid by 0"] && conflict.is_foldable()));
}

#[test]
fn a_conflict_with_very_many_events_carries_some_and_says_that_they_are_not_all() {
    let mut subject = Subject::new();
    let large = || NewEvent::new("large", vec![7; 200_000]);
    for at in 0..10 {
        subject.append(Append::to(&order(1), at).events([large()])).unwrap();
    }

    let conflict = subject.append(Append::to(&order(1), 0).events([large()])).unwrap_err();

    assert_eq!(sequences(&conflict.events), [0, 1, 2, 3, 4]);
    assert!(!conflict.is_foldable());
    let rest = subject.events(&order(1), 5);
    assert_eq!((sequences(&rest.events), rest.more_from), (vec![5, 6, 7, 8, 9], None));
}

#[test]
fn events_come_in_pages_of_which_each_has_at_least_one() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);
    subject.raise(&order(1), ["d", "e"]);
    let (mut from, mut all) = (0, Vec::new());

    loop {
        let query = Query::Events { id: order(1), from, bytes_max: 0 };
        let Response::Events { events, .. } = subject.ask(&query) else { panic!("no events") };
        assert_eq!((events.start_sequence, events.events.len()), (from, 1));
        all.extend(events.events);
        match events.more_from {
            Some(more) => from = more,
            None => break,
        }
    }

    assert_eq!(types(&all), ["a", "b", "c", "d", "e"]);
}

#[test]
fn several_aggregates_are_appended_to_together_or_not_at_all() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);
    let both = |expected| {
        let one = Append::to(&order(1), expected).events([event("paid"), event("shipped")]);
        let other = Append::to(&order(2), 0).events([event("placed")]).status("new");
        Command::append_all([other, one], NOW).unwrap()
    };

    let Response::Conflict(conflict) = subject.apply(&both(0)) else { panic!("no conflict") };
    assert_eq!((conflict.aggregate, conflict.actual), (order(1), 1));
    assert_eq!((subject.sequence(&order(1)), subject.aggregate(&order(2))), (1, None));
    assert_eq!(subject.with_status("new"), []);

    let Response::Appended(appended) = subject.apply(&both(1)) else { panic!("not appended") };
    assert_eq!(appended.position, Position { index: subject.index(), offset: 0 });
    assert_eq!(appended.next, [1, 3]);
    assert_eq!(types(&subject.events(&order(1), 0).events), ["placed", "paid", "shipped"]);
}

#[test]
fn an_atomic_append_can_require_where_an_aggregate_is_and_leave_it_there() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);
    let guarded = |expected| {
        let appends = [Append::to(&order(1), expected), Append::to(&order(2), 0).events([event("placed")])];
        Command::append_all(appends, NOW).unwrap()
    };

    assert!(matches!(subject.apply(&guarded(0)), Response::Conflict(_)));
    assert!(matches!(subject.apply(&guarded(1)), Response::Appended(_)));

    assert_eq!([subject.sequence(&order(1)), subject.sequence(&order(2))], [1, 1]);
}

#[test]
fn ids_of_any_bytes_come_back_and_none_is_taken_for_another() {
    let mut subject = Subject::new();
    let strange = [":", "\\", "\"", "[", "]", "\x1f", "\0", "\x01", "", "\u{ff}", "."];
    let mut ids: Vec<_> = strange.iter().map(|part| id([*part])).collect();
    ids.extend(strange.iter().map(|part| id(["a", part])));
    ids.extend([id(["order:1", "item"]), id(["order", "1", "item"]), id(["", ""]), id([[0xFF, 0x00]])]);
    for (nth, id) in ids.iter().enumerate() {
        let named = format!("event of {nth}");
        subject.append(Append::to(id, 0).events([event(&named)]).label("nth", nth.to_string())).unwrap();
    }

    let mut listed = subject.aggregates(&AggregateId::ALL);
    for (nth, id) in ids.iter().enumerate() {
        assert_eq!(types(&subject.events(id, 0).events), [format!("event of {nth}")]);
        assert_eq!(subject.with_label("nth", &nth.to_string()), std::slice::from_ref(id));
    }
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
}

#[test]
fn a_listing_by_prefix_compares_whole_parts() {
    let mut subject = Subject::new();
    let ids = [id(["a"]), id(["a", "b"]), id(["a", "b", "c"]), id(["a", "bc"]), id(["ab"]), id(["b", "a"])];
    for id in &ids {
        subject.raise(id, ["made"]);
    }

    assert_eq!(subject.aggregates(&AggregateId::ALL), ids);
    assert_eq!(subject.aggregates(&id(["a"])), ids[..4]);
    assert_eq!(subject.aggregates(&id(["a", "b"])), ids[1..3]);
    assert_eq!(subject.aggregates(&id(["", "a"])), []);
    assert_eq!(subject.aggregates(&id([""])), []);
}

#[test]
fn an_id_of_one_empty_part_is_an_id_like_any_other() {
    let mut subject = Subject::new();
    let empty_part = id([""]);
    subject.raise(&empty_part, ["made"]);
    subject.raise(&order(1), ["made"]);
    subject.reopen();

    assert_eq!(subject.aggregates(&empty_part), std::slice::from_ref(&empty_part));
    assert_eq!(subject.sequence(&empty_part), 1);
    assert_ne!(empty_part, AggregateId::ALL);
    assert!(!order(1).has_prefix(&empty_part) && order(1).has_prefix(&AggregateId::ALL));
}

#[test]
fn what_is_too_large_or_means_nothing_is_refused_by_name_before_it_leaves() {
    let parts = |count| AggregateId::new(vec!["p"; count]);
    let long = |what: &str, refused: Invalid| {
        assert!(matches!(refused, Invalid::TooLong { what: named, .. } if named == what), "{refused:?}");
    };
    assert!(parts(ID_PARTS_MAX).is_ok() && AggregateId::new([vec![1; ID_BYTES_MAX - 2]]).is_ok());
    long("an aggregate's id", parts(ID_PARTS_MAX + 1).unwrap_err());
    long("an aggregate's id", AggregateId::new([vec![1; ID_BYTES_MAX - 1]]).unwrap_err());
    long("an aggregate's id", AggregateId::new([vec![0; ID_BYTES_MAX / 2]]).unwrap_err());

    let with = |event| Append::to(&order(1), 0).events([event]).into_command(NOW);
    assert!(with(NewEvent::new("t".repeat(EVENT_TYPE_BYTES_MAX), vec![0; EVENT_DATA_BYTES_MAX])).is_ok());
    long("an event's type", with(NewEvent::new("t".repeat(EVENT_TYPE_BYTES_MAX + 1), "")).unwrap_err());
    long("an event's data", with(NewEvent::new("t", vec![0; EVENT_DATA_BYTES_MAX + 1])).unwrap_err());
    assert_eq!(with(NewEvent::new("", "data")).unwrap_err(), Invalid::EmptyType);

    let many = |count| Append::to(&order(1), 0).events(vec![event("e"); count]);
    assert!(many(EVENTS_MAX).into_command(NOW).is_ok());
    long("an append", many(EVENTS_MAX + 1).into_command(NOW).unwrap_err());
    let half = EVENTS_MAX / 2 + 1;
    let two = [many(half), Append::to(&order(2), 0).events(vec![event("e"); half])];
    long("an append", Command::append_all(two, NOW).unwrap_err());

    let to_many = (0..=APPENDS_MAX as u64).map(|nth| Append::to(&order(nth), 0));
    long("an atomic append", Command::append_all(to_many, NOW).unwrap_err());
    assert_eq!(Command::append_all([many(1), many(1)], NOW).unwrap_err(), Invalid::AggregateTwice);
    assert_eq!(Command::append_all([], NOW).unwrap_err(), Invalid::NoAggregate);
    assert_eq!(Append::to(&AggregateId::ALL, 0).into_command(NOW).unwrap_err(), Invalid::EmptyId);

    for sequence in [SEQUENCE_MAX + 1, u64::MAX] {
        let refused = Append::to(&order(1), sequence).events([event("e")]).into_command(NOW);
        assert_eq!(
            refused.unwrap_err(),
            Invalid::Sequence(sequence),
            "negative for whoever counts with signs"
        );
    }
    assert!(Append::to(&order(1), SEQUENCE_MAX).into_command(NOW).is_ok());
}

#[test]
fn commands_that_nobody_here_would_make_do_not_decode() {
    let encoded = |command: Command| {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        bytes
    };
    let good = encoded(Append::to(&order(1), 1).events([event("e")]).into_command(NOW).unwrap());
    assert!(Command::decode(&good).is_ok());

    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Command::decode(&bytes)
    };
    let expected_at = 1 + 1 + 4 + 2 + order(1).as_key().len();
    assert!(changed(0, 2).unwrap_err().reason.contains("version 2"));
    assert!(changed(1, 9).unwrap_err().reason.contains("kind 9"));
    assert!(changed(expected_at, 0x80).unwrap_err().reason.contains("negative"), "a negative sequence");
    assert!(changed(5, 2).is_err(), "two appends, and bytes for one");
    for length in 0..good.len() {
        assert!(Command::decode(&good[..length]).is_err(), "cut after {length} bytes");
    }
    assert!(Command::decode(&[&good[..], &[0]].concat()).is_err(), "goes on");
}

#[test]
fn a_reason_that_is_no_text_does_not_decode() {
    let mut bytes = Vec::new();
    Response::Failed { reason: "e".to_owned() }.encode(&mut bytes);
    *bytes.last_mut().unwrap() = 0xFF;

    let refused = Response::decode(&bytes).unwrap_err();

    assert!(refused.reason.contains("a reason: not UTF-8"), "mended, it would be another answer: {refused}");
}

#[test]
fn when_the_sequences_are_used_up_an_append_is_refused() {
    let mut subject = Subject::new();
    subject.save_snapshot(&order(1), "all of it", SEQUENCE_MAX);

    let one_more = Append::to(&order(1), SEQUENCE_MAX).events([event("e")]).into_command(NOW).unwrap();
    assert_eq!(subject.apply(&one_more), Response::Refused(Refused::NoSequenceLeft));

    subject.save_snapshot(&order(2), "nearly all", SEQUENCE_MAX - 1);
    assert_eq!(subject.raise(&order(2), ["last"]).next, [SEQUENCE_MAX]);
    assert_eq!(sequences(&subject.events(&order(2), SEQUENCE_MAX - 1).events), [SEQUENCE_MAX - 1]);
}

#[test]
fn an_event_carried_elsewhere_decodes_to_itself() {
    let mut subject = Subject::new();
    subject.append(Append::to(&id(["", "a\0b"]), 0).events([event("e").at(at_millis(-5))])).unwrap();

    let event = subject.events(&id(["", "a\0b"]), 0).events.remove(0);

    assert_eq!(super::subject::again(&event), event);
    assert_eq!(NewEvent::from(&event), NewEvent::new("e", "data of e").at(at_millis(-5)));
    let Aggregate { sequence, base_sequence, .. } = subject.aggregate(&event.aggregate).unwrap();
    assert_eq!((sequence, base_sequence), (1, 0));
}
