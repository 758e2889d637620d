//! Statuses and labels, with and without trimming between the appends.

use super::subject::{NOW, Subject, at_millis, event, order};
use crate::event_store::limits::{LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, STATUS_BYTES_MAX};
use crate::event_store::{AggregateId, Append, Index, Invalid, Page, Query, Refused, Response, WithStatus};

/// Plays a scene twice: events stay, and events are trimmed after each append.
fn whether_events_stay_or_go(scene: impl Fn(&mut Trimmed)) {
    for trims in [false, true] {
        scene(&mut Trimmed { subject: Subject::new(), trims });
    }
}

struct Trimmed {
    subject: Subject,
    trims: bool,
}

impl Trimmed {
    /// One event at this time, and what it says for the indexes.
    fn index(&mut self, id: &AggregateId, millis: i64, index: Index) {
        let at = self.subject.sequence(id);
        let append = Append::to(id, at).events([event("e").at(at_millis(millis))]).index(index);
        self.subject.append(append).unwrap();
        if self.trims {
            self.subject.trim(id, "snapshot", at + 1);
            assert_eq!(self.subject.events(id, 0).events, []);
        }
    }

    fn status(&self, id: &AggregateId) -> Option<String> {
        self.subject.aggregate(id)?.status.map(|(status, _)| status)
    }
}

fn status(status: &str) -> Index {
    Index::new().status(status)
}

#[test]
fn an_aggregate_without_a_status_has_none_and_nothing_is_listed() {
    whether_events_stay_or_go(|scene| {
        assert_eq!(scene.status(&order(1)), None);
        scene.index(&order(1), 1, Index::new());

        assert_eq!(scene.status(&order(1)), None);
        assert_eq!(scene.subject.with_status("placed"), []);
        assert_eq!(scene.subject.with_label("customer", "7"), []);
        assert_eq!(scene.subject.label_values("customer"), [""; 0]);
    });
}

#[test]
fn a_listing_by_status_is_sorted_by_time_and_then_by_id() {
    whether_events_stay_or_go(|scene| {
        for (number, millis) in [(1, 30), (2, 10), (3, 20), (5, -10), (4, 20)] {
            scene.index(&order(number), millis, status("placed"));
        }
        scene.index(&order(6), 15, status("placed!"));

        let listed = [(order(5), -10), (order(2), 10), (order(3), 20), (order(4), 20), (order(1), 30)];
        assert_eq!(scene.subject.with_status("placed"), listed);
        scene.subject.reopen();
        assert_eq!(scene.subject.with_status("placed"), listed);
    });
}

#[test]
fn a_new_status_takes_the_old_ones_place_and_the_same_one_counts_from_its_new_time() {
    whether_events_stay_or_go(|scene| {
        scene.index(&order(1), 10, status("placed"));
        scene.index(&order(1), 20, status("paid"));
        assert_eq!(scene.subject.with_status("placed"), []);
        assert_eq!(scene.subject.with_status("paid"), [(order(1), 20)]);
        assert_eq!(scene.status(&order(1)).as_deref(), Some("paid"));

        scene.index(&order(1), 15, status("paid"));
        assert_eq!(scene.subject.with_status("paid"), [(order(1), 15)]);
        scene.index(&order(1), 40, Index::new());
        assert_eq!(scene.subject.with_status("paid"), [(order(1), 15)], "nothing said, nothing changed");
    });
}

#[test]
fn an_empty_status_and_an_empty_label_clear_even_what_the_same_batch_set() {
    whether_events_stay_or_go(|scene| {
        scene.index(&order(1), 10, status("placed").label("customer", "7"));
        let mut batch = Index::new().label("customer", "").label("city", "Bonn");
        batch.merge(status("paid"));
        batch.merge(status("").label("city", ""));
        scene.index(&order(1), 20, batch);

        assert_eq!(scene.status(&order(1)), None);
        assert_eq!(scene.subject.with_status("placed"), []);
        assert_eq!(scene.subject.with_status("paid"), []);
        for (name, value) in [("customer", "7"), ("city", "Bonn")] {
            assert_eq!(scene.subject.with_label(name, value), []);
            assert_eq!(scene.subject.label_values(name), [""; 0]);
        }
        assert!(scene.subject.aggregate(&order(1)).unwrap().labels.is_empty());
    });
}

#[test]
fn of_a_batch_the_last_status_wins_at_the_time_of_the_last_event_and_labels_add_up() {
    whether_events_stay_or_go(|scene| {
        let mut index = status("placed").label("customer", "7").label("city", "Bonn");
        index.merge(status("paid"));
        index.merge(Index::new().label("city", "Köln"));
        let events = [10, 20, 30].map(|millis| event("e").at(at_millis(millis)));
        scene.subject.append(Append::to(&order(1), 0).events(events).index(index)).unwrap();

        assert_eq!(scene.subject.with_status("paid"), [(order(1), 30)]);
        assert_eq!(scene.subject.label_values("city"), ["Köln"]);
        assert_eq!(scene.subject.with_label("customer", "7"), [order(1)]);
    });
}

#[test]
fn a_value_of_a_label_is_listed_as_long_as_somebody_has_it() {
    whether_events_stay_or_go(|scene| {
        let city = |name: &str| Index::new().label("city", name);
        scene.index(&order(2), 1, city("Köln"));
        scene.index(&order(1), 2, city("Köln"));
        scene.index(&order(3), 3, city("Bonn"));
        assert_eq!(scene.subject.label_values("city"), ["Bonn", "Köln"]);
        assert_eq!(scene.subject.with_label("city", "Köln"), [order(1), order(2)]);

        scene.index(&order(1), 4, city("Bonn"));
        assert_eq!(scene.subject.label_values("city"), ["Bonn", "Köln"]);
        scene.index(&order(2), 5, city(""));
        assert_eq!(scene.subject.label_values("city"), ["Bonn"]);
        scene.index(&order(2), 6, city("Bonn"));
        scene.index(&order(2), 7, city("Bonn"));
        assert_eq!(scene.subject.with_label("city", "Bonn"), [order(1), order(2), order(3)]);
        scene.index(&order(3), 8, city(""));
        assert_eq!(scene.subject.label_values("city"), ["Bonn"]);
    });
}

#[test]
fn labels_need_no_status_and_neither_needs_an_event() {
    let mut subject = Subject::new();

    subject.append(Append::to(&order(1), 0).label("customer", "7")).unwrap();
    subject.append(Append::to(&order(2), 0).status("placed").at(at_millis(5))).unwrap();
    subject.append(Append::to(&order(3), 0).status("placed")).unwrap();

    assert_eq!(subject.with_label("customer", "7"), [order(1)]);
    assert_eq!(subject.with_status("placed"), [(order(2), 5), (order(3), NOW.to_millis())]);
    assert_eq!(subject.aggregates(&AggregateId::ALL), [order(1), order(2), order(3)]);
    assert_eq!(subject.sequence(&order(2)), 0);
}

#[test]
fn names_and_values_of_any_text_are_told_apart() {
    let mut subject = Subject::new();
    let texts = ["a", "a\0", "a\0\u{1}", "a\u{1}", "ab", "\0"];
    for (nth, name) in texts.iter().enumerate() {
        let id = order(nth as u64);
        subject.append(Append::to(&id, 0).status(*name).label(*name, texts[texts.len() - 1 - nth])).unwrap();
    }

    for (nth, name) in texts.iter().enumerate() {
        let id = order(nth as u64);
        assert_eq!(subject.with_status(name), [(id.clone(), NOW.to_millis())]);
        assert_eq!(subject.label_values(name), [texts[texts.len() - 1 - nth]]);
        assert_eq!(subject.with_label(name, texts[texts.len() - 1 - nth]), [id]);
    }
}

#[test]
fn a_conflict_leaves_the_indexes_alone() {
    let mut subject = Subject::new();
    subject.raise(&order(1), ["placed"]);

    subject.append(Append::to(&order(1), 0).status("lost").label("who", "nobody")).unwrap_err();

    assert_eq!(subject.with_status("lost"), []);
    assert_eq!(subject.label_values("who"), [""; 0]);
}

#[test]
fn who_goes_on_behind_all_that_begins_with_a_prefix_is_at_the_end() {
    let mut subject = Subject::new();
    (1..4).for_each(|number| drop(subject.raise(&order(number), ["made"])));
    let behind = |after| {
        let after = Some(AggregateId::new([after]).unwrap());
        Query::Aggregates { prefix: AggregateId::new(["order"]).unwrap(), after, rows_max: 2 }
    };
    let page = |items, has_more| Response::Aggregates(Page { items, has_more });

    for _ in 0..2 {
        assert_eq!(subject.ask(&behind("orders")), page(vec![], false));
        assert_eq!(subject.ask(&behind("ord")), page(vec![order(1), order(2)], true));
        subject.reopen();
    }
}

#[test]
fn listings_come_in_pages_that_go_on_where_the_one_before_ended() {
    let mut subject = Subject::new();
    for number in 0..5 {
        let append = Append::to(&order(number), 0).events([event("e").at(at_millis(7))]);
        subject
            .append(append.status("placed").label("city", format!("city {number}")).label("all", "yes"))
            .unwrap();
    }
    let mut after: (Option<AggregateId>, Option<AggregateId>, Option<WithStatus>, Option<String>) =
        Default::default();

    for nth in 0..5 {
        let more = nth < 4;
        let query = Query::Aggregates { prefix: AggregateId::ALL, after: after.0.take(), rows_max: 1 };
        let Response::Aggregates(page) = subject.ask(&query) else { panic!("no page") };
        assert_eq!((&page.items[..], page.has_more), (&[order(nth)][..], more));
        after.0 = page.items.last().cloned();

        let (label, value) = ("all".to_owned(), "yes".to_owned());
        let query = Query::WithLabel { label, value, after: after.1.take(), rows_max: 1 };
        let Response::Aggregates(page) = subject.ask(&query) else { panic!("no page") };
        assert_eq!((&page.items[..], page.has_more), (&[order(nth)][..], more));
        after.1 = page.items.last().cloned();

        let query = Query::WithStatus { status: "placed".to_owned(), after: after.2.take(), rows_max: 1 };
        let Response::WithStatus(page) = subject.ask(&query) else { panic!("no page") };
        assert_eq!((&page.items[0].aggregate, page.has_more), (&order(nth), more));
        after.2 = page.items.last().cloned();

        let query = Query::LabelValues { label: "city".to_owned(), after: after.3.take(), rows_max: 1 };
        let Response::LabelValues(page) = subject.ask(&query) else { panic!("no page") };
        assert_eq!((&page.items[..], page.has_more), (&[format!("city {nth}")][..], more));
        after.3 = page.items.last().cloned();
    }
}

#[test]
fn statuses_and_labels_have_limits() {
    let append = |index: Index| Append::to(&order(1), 0).index(index).into_command(NOW);
    let label = |name: usize, value: usize| Index::new().label("n".repeat(name), "v".repeat(value));
    let many = |count: usize| {
        (0..count).fold(Index::new(), |index, nth| index.label(format!("label {nth:03}"), "value"))
    };

    assert!(append(status(&"s".repeat(STATUS_BYTES_MAX))).is_ok());
    assert!(append(label(LABEL_BYTES_MAX, LABEL_VALUE_BYTES_MAX)).is_ok());
    assert!(append(many(LABELS_MAX)).is_ok());
    for too_much in [
        status(&"s".repeat(STATUS_BYTES_MAX + 1)),
        label(LABEL_BYTES_MAX + 1, 1),
        label(1, LABEL_VALUE_BYTES_MAX + 1),
        many(LABELS_MAX + 1),
    ] {
        assert!(matches!(append(too_much), Err(Invalid::TooLong { .. })));
    }
    assert_eq!(append(label(0, 1)).unwrap_err(), Invalid::EmptyLabel);
}

#[test]
fn who_takes_away_what_a_new_id_never_had_makes_no_aggregate() {
    let mut subject = Subject::new();
    for nothing in [status(""), Index::new().label("customer", ""), status("").label("customer", "")] {
        let appended = subject.append(Append::to(&order(1), 0).index(nothing)).unwrap();

        assert_eq!(appended.next, [0]);
        assert_eq!(subject.aggregate(&order(1)), None);
        assert_eq!(subject.aggregates(&AggregateId::ALL), []);
    }
    subject.append(Append::to(&order(1), 0).status("placed")).unwrap();
    subject.append(Append::to(&order(1), 0).status("")).unwrap();
    assert_eq!(subject.aggregates(&AggregateId::ALL), [order(1)], "one that is there stays");
    assert_eq!(subject.aggregate(&order(1)).unwrap().status, None);
}

#[test]
fn an_aggregate_never_has_more_labels_than_it_may() {
    let mut subject = Subject::new();
    let full = (0..LABELS_MAX).fold(Index::new(), |index, nth| index.label(format!("label {nth}"), "x"));
    subject.append(Append::to(&order(1), 0).index(full)).unwrap();

    let one_more = Append::to(&order(1), 0).label("one more", "x");
    let refused = subject.apply(&one_more.clone().into_command(NOW).unwrap());
    assert_eq!(refused, Response::Refused(Refused::TooManyLabels));

    subject.append(one_more.label("label 0", "")).unwrap();
    assert_eq!(subject.aggregate(&order(1)).unwrap().labels.len(), LABELS_MAX);
}
