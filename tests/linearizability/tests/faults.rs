//! Every kind of fault, as small as it can be; and what looks like one and is none.

use crate::linearizability::bank::{self, Reading};
use crate::linearizability::counter::{self, Counter};
use crate::linearizability::list::{self, AppendList};
use crate::linearizability::register::{Input, Output, Register};
use crate::linearizability::{Fate, Fault, Operation, check};
use crate::scene::{RegisterOperation, cas, get, known, refused, set, unknown, violation};

#[test]
fn a_stale_read_is_noticed() {
    let history = [set(1, 0..1, 1), set(1, 2..3, 2), get(2, 4..5, 1)];
    assert_eq!(violation(&history).fault, Fault::NoOrder);
}

#[test]
fn a_read_during_a_write_may_see_either_value() {
    for seen in [1, 2] {
        check::<Register, _>(&[set(1, 0..1, 1), set(1, 2..6, 2), get(2, 3..4, seen)]).unwrap();
    }
}

#[test]
fn a_read_that_goes_back_is_noticed() {
    let history = [set(1, 0..1, 1), set(1, 2..9, 2), get(2, 3..4, 2), get(3, 5..6, 1)];
    violation(&history);
}

#[test]
fn a_lost_update_is_noticed() {
    let history = [set(1, 0..1, 1), cas(1, 2..8, 1, 2, true), cas(2, 3..9, 1, 3, true)];
    violation(&history);
}

#[test]
fn a_value_from_nowhere_is_noticed() {
    violation(&[set(1, 0..1, 1), get(2, 2..3, 7)]);
    violation(&[get(2, 2..3, 7)]);
    violation(&[set(1, 0..1, 1), get(2, 2..3, None)]);
}

#[test]
fn a_write_that_was_refused_and_took_effect_is_noticed() {
    violation(&[refused(1, 0, Input::Set(1)), get(2, 2..3, 1)]);
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_late_or_never() {
    for seen in [[1, 1], [1, 2], [2, 2]] {
        let history =
            [set(1, 0..1, 1), unknown(1, 2, Input::Set(2)), get(2, 10..11, seen[0]), get(3, 90..91, seen[1])];
        check::<Register, _>(&history).unwrap();
    }
}

#[test]
fn a_write_of_unknown_outcome_that_took_effect_twice_is_noticed() {
    let history = [
        unknown(1, 2, Input::Set(2)),
        get(2, 10..11, 2),
        set(2, 12..13, 3),
        get(2, 14..15, 3),
        get(2, 16..17, 2),
    ];
    violation(&history);
}

#[test]
fn a_write_of_unknown_outcome_that_took_effect_before_its_call_is_noticed() {
    let history = [set(1, 0..1, 1), get(2, 2..3, 2), unknown(1, 4, Input::Set(2))];
    violation(&history);
}

#[test]
fn moments_that_are_equal_order_nothing() {
    check::<Register, _>(&[set(1, 0..5, 1), set(2, 5..9, 2), get(3, 9..9, 1)]).unwrap();
}

#[test]
fn a_swap_that_fails_needs_another_value_to_fail_on() {
    check::<Register, _>(&[cas(1, 0..1, 1, 2, false), set(1, 2..3, 4), cas(1, 4..5, 1, 2, false)]).unwrap();
    violation(&[set(1, 0..1, 1), cas(1, 2..3, 1, 2, false)]);
}

#[test]
fn an_increment_that_counted_twice_or_not_at_all_is_noticed() {
    let add = |moments, count| known(1, moments, counter::Input::Add(1), count);
    let read = |moments, count| known(2, moments, counter::Input::Read, count);

    check::<Counter, _>(&[add(0..1, 1), add(2..3, 2), read(4..5, 2)]).unwrap();
    check::<Counter, _>(&[add(0..1, 1), add(2..3, 3), read(4..5, 3)]).expect_err("the second counted twice");
    check::<Counter, _>(&[add(0..1, 1), add(2..3, 2), read(4..5, 1)]).expect_err("the second was lost");
    let lost = [add(0..1, 1), unknown(3, 2, counter::Input::Add(1)), add(4..5, 3), add(6..7, 3)];
    check::<Counter, _>(&lost).expect_err("two saw the same count");
    check::<Counter, _>(&lost[..3]).expect("the one of unknown outcome counted");
}

#[test]
fn a_list_that_lost_or_turned_its_items_is_noticed() {
    let append =
        |client, moments, item| known(client, moments, list::Input::Append(item), list::Output::Done);
    let read =
        |moments, items: &[u64]| known(9, moments, list::Input::Read, list::Output::Items(items.to_vec()));
    let appended = [append(1, 0..3, 1), append(2, 1..4, 2), append(3, 5..6, 3)];
    let with = |reads: &[_]| check::<AppendList, _>(&[&appended, reads].concat()).is_ok();

    assert!(with(&[read(7..8, &[1, 2, 3])]));
    assert!(with(&[read(7..8, &[2, 1, 3]), read(2..7, &[2])]));
    assert!(!with(&[read(7..8, &[3, 1, 2])]), "the third came after the first had returned");
    assert!(!with(&[read(7..8, &[1, 3])]), "an item is lost");
    assert!(!with(&[read(7..8, &[1, 2, 2, 3])]), "an item is there twice");
    assert!(!with(&[read(7..8, &[1, 2, 3]), read(2..7, &[2])]), "two orders");
    assert!(!with(&[read(7..8, &[1, 2, 3]), read(9..10, &[1, 2])]), "it became shorter");
    assert!(!with(&[read(7..8, &[1, 2, 3, 4])]), "an item from nowhere");
}

#[test]
fn money_that_appears_or_disappears_is_noticed() {
    let reading = |called, balances: &[i64]| Reading {
        client: 1,
        called,
        returned: called + 1,
        balances: balances.to_vec(),
    };
    bank::check(&[reading(0, &[50, 50]), reading(2, &[-20, 120])], 100).unwrap();

    let wrong = bank::check(&[reading(4, &[0, 0]), reading(2, &[60, 50])], 100).unwrap_err();
    assert_eq!(wrong.reading.called, 2, "the earliest is told");
    assert_eq!(wrong.to_string(), "client 1 read [60, 50] in [2, 3]: 110, not 100");
}

#[test]
fn keys_are_judged_apart_and_the_smallest_that_fails_is_told() {
    let on = |key, operation: RegisterOperation| Operation { key, ..operation };
    let mut history: Vec<_> = (0..20).map(|at| on("long", set(1, at * 2..at * 2 + 1, at))).collect();
    history.push(on("long", get(2, 50..51, 3)));
    history.push(on("good", get(2, 50..51, None)));
    history.extend([on("short", set(1, 0..1, 1)), on("short", get(1, 2..3, None))]);

    let violation = violation(&history);

    assert_eq!((violation.key, violation.of), ("short", 2));
}

#[test]
fn a_report_shows_the_few_operations_that_matter_and_how_far_an_order_goes() {
    let noise = (0..300).map(|at| set(3, 10 * at..10 * at + 5, at));
    let noise = noise.chain((0..300).map(|at| get(4, 10 * at + 5..10 * at + 9, at)));
    let fault = [set(1, 1002..1003, 7777), get(2, 2001..2002, 7777)];
    let history: Vec<_> = noise.chain(fault).collect();

    let violation = violation(&history);

    assert_eq!(violation.of, 602);
    assert_eq!(violation.operations.len(), 3, "{violation}");
    let text = violation.to_string();
    assert!(text.contains("client   2  [   2001,    2002]  Get -> Value(Some(7777))"), "{text}");
    assert!(text.contains("an order can begin like this\n  client   1"), "{text}");
    assert!(text.contains("none of these can come next"), "{text}");
}

#[test]
fn what_happens_after_the_fault_is_left_out_of_the_report() {
    let mut history = vec![set(1, 0..1, 1), set(1, 2..3, 2), get(2, 4..5, 1)];
    history.extend((10..500).map(|at| cas(1, at * 2..at * 2 + 1, 2, 2, true)));

    let violation = violation(&history);

    assert_eq!(violation.operations, history[..3]);
}

#[test]
fn a_report_never_leaves_out_a_write_whose_value_is_read() {
    let history = [set(1, 0..1, 1), set(2, 2..3, 2), set(1, 4..5, 3), get(2, 6..7, 3), get(2, 8..9, 2)];

    let violation = violation(&history);

    assert!(violation.operations.contains(&history[1]) && violation.operations.contains(&history[4]));
    assert!(violation.operations.len() == 3, "{violation}");
    let is_known = |operation: &RegisterOperation| matches!(operation.fate, Fate::Known { .. });
    assert!(violation.operations.iter().all(is_known));
    assert!(violation.operations.iter().any(|operation| operation.output() == Some(&Output::Done)));
}
