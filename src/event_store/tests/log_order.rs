//! What a subscriber is given: every event in the order of the log, and a gap where some are gone.

use super::subject::{NOW, Subject, event, id, order};
use crate::event_store::{
    AggregateId, Append, Command, Filter, Position, Query, Recorded, Removal, Response, limits::FILTER_MAX,
};
use crate::machine::Codec;

/// Each event as "type of aggregate's last part @ position", each gap as "gap …".
fn said(recorded: &[Recorded]) -> Vec<String> {
    let name = |id: &AggregateId| String::from_utf8_lossy(&id.parts().last().unwrap()).into_owned();
    let say = |item: &Recorded| match item {
        Recorded::Event { position, event } => {
            format!("{} of {} @ {position}", event.event_type, name(&event.aggregate))
        }
        Recorded::Gap(gap) => {
            let by = if gap.removed_by == Removal::Trim { "trimmed" } else { "archived" };
            format!("{by}: {} from {} @ {}", name(&gap.aggregate), gap.first_available, gap.position)
        }
    };
    recorded.iter().map(say).collect()
}

/// Everything there is.
fn all(subject: &Subject) -> Vec<String> {
    said(&subject.recorded(Position::START, &Filter::all()))
}

fn at(index: u64, offset: u32) -> Position {
    Position { index, offset }
}

#[test]
fn events_of_all_aggregates_come_in_the_order_of_the_log() {
    let mut subject = Subject::new();
    assert_eq!(all(&subject), [""; 0]);
    subject.raise(&order(2), ["a", "b"]);
    subject.raise(&order(1), ["c"]);
    let appends = [
        Append::to(&order(3), 0).events(["d", "e"].map(event)),
        Append::to(&order(2), 2).events([event("f")]),
    ];
    subject.apply(&Command::append_all(appends, NOW).unwrap());

    let expected =
        ["a of 2 @ 1/0", "b of 2 @ 1/1", "c of 1 @ 2/0", "d of 3 @ 3/0", "e of 3 @ 3/1", "f of 2 @ 3/2"];
    assert_eq!(all(&subject), expected);
    subject.reopen();
    assert_eq!(all(&subject), expected);
}

#[test]
fn a_subscriber_goes_on_at_any_place_also_in_the_middle_of_an_append() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);
    subject.raise(&order(2), ["d"]);

    let from = |position| said(&subject.recorded(position, &Filter::all()));
    assert_eq!(from(at(1, 1)), ["b of 1 @ 1/1", "c of 1 @ 1/2", "d of 2 @ 2/0"]);
    assert_eq!(from(at(1, 2).next()), ["d of 2 @ 2/0"]);
    assert_eq!(from(at(1, u32::MAX).next()), ["d of 2 @ 2/0"]);
    assert_eq!(from(at(2, 0).next()), [""; 0]);
    assert_eq!(from(at(u64::MAX, u32::MAX).next()), [""; 0], "as far in the future as there is");
}

#[test]
fn whoever_is_at_the_end_is_told_where_to_go_on() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a"]);
    let page = |subject: &Subject, from| {
        let query = Query::Recorded { from, filter: Filter::all(), bytes_max: u32::MAX };
        match subject.ask(&query) {
            Response::Recorded(page) => page,
            other => panic!("{other:?}"),
        }
    };

    let first = page(&subject, Position::START);
    assert_eq!((first.items.len(), first.next, first.is_end), (1, Position::behind(1), true));
    let again = page(&subject, first.next);
    assert_eq!((again.items.len(), again.next, again.is_end), (0, Position::behind(1), true));
    subject.raise(&order(1), ["b"]);
    assert_eq!(said(&page(&subject, again.next).items), ["b of 1 @ 2/0"]);
    let future = page(&subject, at(100, 3));
    assert_eq!((future.next, future.is_end), (at(100, 3), true), "a place in the future is waited for");
}

#[test]
fn a_filter_lets_only_its_aggregates_and_types_through() {
    let mut subject = Subject::new();
    subject.raise(&id(["a", "1"]), ["x", "y"]);
    subject.raise(&id(["b", "2"]), ["x", "z"]);
    subject.raise(&id(["ab", "3"]), ["x"]);
    let seen = |filter: Filter| said(&subject.recorded(Position::START, &filter));

    assert_eq!(seen(Filter::prefix(id(["a"]))), ["x of 1 @ 1/0", "y of 1 @ 1/1"]);
    assert_eq!(seen(Filter::event_type("x")), ["x of 1 @ 1/0", "x of 2 @ 2/0", "x of 3 @ 3/0"]);
    let both = Filter::prefix(id(["a"])).or_prefix(id(["b", "2"])).or_event_type("y").or_event_type("z");
    assert_eq!(seen(both), ["y of 1 @ 1/1", "z of 2 @ 2/1"]);
    assert_eq!(seen(Filter::prefix(id(["b"])).or_event_type("y")), [""; 0]);
    assert_eq!(seen(Filter::prefix(AggregateId::ALL)).len(), 5);

    let many = (0..FILTER_MAX).fold(Filter::all(), |filter, nth| filter.or_event_type(nth.to_string()));
    assert!(many.judge().is_ok());
    assert!(many.or_event_type("one more").judge().is_err());
}

#[test]
fn where_events_were_trimmed_stands_one_gap_for_those_who_have_not_passed_it() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]); // 1
    subject.raise(&order(2), ["d"]); //             2
    subject.raise(&order(1), ["e", "f"]); //        3
    subject.trim(&order(1), "two", 2); //           4

    let rest = ["c of 1 @ 1/2", "d of 2 @ 2/0", "e of 1 @ 3/0", "f of 1 @ 3/1"];
    assert_eq!(all(&subject), [&["trimmed: 1 from 2 @ 1/1"][..], &rest].concat());
    let from = |subject: &Subject, position| said(&subject.recorded(position, &Filter::all()));
    assert_eq!(
        from(&subject, at(1, 1))[0],
        "trimmed: 1 from 2 @ 1/1",
        "whoever had not seen the last of them"
    );
    assert_eq!(from(&subject, at(1, 2)), rest, "whoever had, misses nothing");

    subject.trim(&order(1), "four", 4); //          5
    let expected = ["d of 2 @ 2/0", "trimmed: 1 from 4 @ 3/0", "f of 1 @ 3/1"];
    assert_eq!(all(&subject), expected, "the gap moves to the last of the removed events");
    subject.reopen();
    assert_eq!(all(&subject), expected);
    assert_eq!(from(&subject, at(3, 1)), ["f of 1 @ 3/1"]);
}

#[test]
fn a_gap_ends_where_the_next_event_can_stand_also_if_a_snapshot_ran_ahead() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a"]); //      1
    subject.trim(&order(1), "five", 5); //   2
    assert_eq!(all(&subject), ["trimmed: 1 from 1 @ 1/0"]);

    subject.trim(&order(1), "again", 5); //  3
    assert_eq!(all(&subject), ["trimmed: 1 from 5 @ 1/0"]);
}

#[test]
fn where_an_aggregate_was_archived_stands_one_gap_whatever_lives_it_had() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b"]); // 1
    subject.raise(&order(2), ["c"]); //      2
    subject.trim(&order(1), "one", 1); //    3
    subject.archive(&order(1)); //           4
    assert_eq!(all(&subject), ["archived: 1 from 0 @ 1/1", "c of 2 @ 2/0"]);

    subject.raise(&order(1), ["new"]); //    5
    assert_eq!(all(&subject), ["archived: 1 from 0 @ 1/1", "c of 2 @ 2/0", "new of 1 @ 5/0"]);

    subject.trim(&order(1), "all", 1); //    6
    let lives = ["archived: 1 from 0 @ 1/1", "c of 2 @ 2/0", "trimmed: 1 from 1 @ 5/0"];
    assert_eq!(all(&subject), lives);

    subject.archive(&order(1)); //           7
    let expected = ["c of 2 @ 2/0", "archived: 1 from 0 @ 5/0"];
    assert_eq!(all(&subject), expected);
    let record = subject.oldest_archive().unwrap().index;
    subject.consume(record); //              8
    assert_eq!(all(&subject), expected, "consuming a record changes nothing for subscribers");
}

#[test]
fn an_aggregate_that_never_had_an_event_leaves_no_gap() {
    let mut subject = Subject::new();
    subject.trim(&order(1), "ahead", 5);
    subject.archive(&order(1));
    subject.append(Append::to(&order(1), 0).status("only a status")).unwrap();
    subject.archive(&order(1));

    assert_eq!(all(&subject), [""; 0]);
}

#[test]
fn gaps_are_filtered_by_aggregate_and_come_whatever_types_are_wanted() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a"]);
    subject.raise(&order(2), ["a"]);
    subject.trim(&order(1), "all", 1);
    subject.archive(&order(2));

    let seen = |filter: Filter| said(&subject.recorded(Position::START, &filter));
    assert_eq!(seen(Filter::prefix(order(1)).or_event_type("z")), ["trimmed: 1 from 1 @ 1/0"]);
    assert_eq!(seen(Filter::prefix(order(2))), ["archived: 2 from 0 @ 2/0"]);
    assert_eq!(seen(Filter::prefix(order(3))), [""; 0]);
}

#[test]
fn a_page_of_events_with_long_ids_is_not_much_longer_than_was_asked_for() {
    const ASKED: u32 = 64 << 10;
    let mut subject = Subject::new();
    let long = |number: u64| id([number.to_string(), "long".repeat(250)]);
    for number in 0..500 {
        subject.raise(&long(number), ["e"]);
        subject.raise(&long(number), ["f"]);
        subject.trim(&long(number), "", 1);
    }

    let query = Query::Recorded { from: Position::START, filter: Filter::all(), bytes_max: ASKED };
    let mut page = Vec::new();
    subject.ask(&query).encode(&mut page);

    assert!(page.len() <= 2 * ASKED as usize, "{} bytes, and {ASKED} were asked for", page.len());
}

#[test]
fn below_what_a_gap_names_no_event_is_left_and_a_snapshot_that_ran_ahead_leaves_the_next_beyond() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["a", "b", "c"]);
    subject.trim(&order(1), "five", 5);
    subject.raise(&order(1), ["d"]);

    let recorded = subject.recorded(Position::START, &Filter::all());

    let [Recorded::Gap(gap), Recorded::Event { event, .. }] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!((gap.first_available, event.sequence), (3, 5));
}
