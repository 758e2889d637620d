//! Statuses and labels: set by events or by appends, kept through snapshots that trim.

use quorate::event_store::{AggregateId, Append, Event, Index, NewEvent, Options, Timestamp};

use crate::scene::{Cluster, append, event, id, over_one_and_three, over_one_and_three_with};

/// An event's data are words: `status=open`, and `color=red` for labels.
fn index_of(event: &Event) -> Index {
    assert!(event.raised, "it is raised here, just now");
    let words = std::str::from_utf8(&event.data).expect("a text").split_whitespace();
    words.filter_map(|word| word.split_once('=')).fold(Index::new(), |index, (name, value)| match name {
        "status" => index.status(value),
        label => index.label(label, value),
    })
}

fn says(words: &str, milliseconds: i64) -> NewEvent {
    NewEvent::new("happened", words.to_owned()).at(Timestamp::from_millis(milliseconds))
}

/// With and without trimming, over one node and over three.
fn over_all(scene: impl Fn(&Cluster)) {
    for trim in [false, true] {
        over_one_and_three_with(move || Options::default().trim(trim).indexer(index_of), &scene);
    }
}

/// What `facts` asserts is so now, and so it is when a snapshot has taken the place of all events.
fn before_and_after_a_snapshot(cluster: &Cluster, aggregate: &AggregateId, facts: impl Fn()) {
    facts();
    let known = cluster.any().aggregate(aggregate).expect("asked").expect("it is there");
    assert!(cluster.any().save_snapshot(aggregate, "all of it", known.sequence).expect("saved"));
    facts();
}

#[test]
fn what_never_had_a_status_has_none() {
    over_all(|cluster| {
        let order = id(["order", "1"]);
        assert_eq!(cluster.any().status(&order), Ok(None));
        append(cluster.any(), &order, 0, &["placed"]);

        before_and_after_a_snapshot(cluster, &order, || {
            assert_eq!(cluster.any().status(&order), Ok(None));
            assert_eq!(cluster.any().with_status(""), Ok(Vec::new()));
        });
    });
}

#[test]
fn aggregates_of_a_status_are_listed_by_the_time_they_got_it() {
    over_all(|cluster| {
        let times = [30, -5, 10, 10];
        let orders = ["d", "c", "b", "a"].map(|order| id(["order", order]));
        for (order, time) in orders.iter().zip(times) {
            cluster
                .any()
                .append(Append::to(order, 0).events([says("status=open", time)]))
                .expect("it is new");
        }

        before_and_after_a_snapshot(cluster, &orders[0], || {
            let listed = cluster.any().with_status("open").expect("listed");
            let rows: Vec<_> = listed.iter().map(|row| (row.since.to_millis(), &row.aggregate)).collect();
            let [d, c, b, a] = &orders;
            assert_eq!(rows, [(-5, c), (10, a), (10, b), (30, d)], "then in the order of their ids");
        });
    });
}

#[test]
fn another_status_moves_the_row_and_its_time_and_the_same_one_its_time() {
    over_all(|cluster| {
        let order = id(["order", "1"]);
        let mut expected = 0;
        let mut happens = |words: &str, time: i64| {
            cluster
                .any()
                .append(Append::to(&order, expected).events([says(words, time)]))
                .expect("it is there");
            expected += 1;
        };
        let since = |status: &str| -> Vec<i64> {
            let listed = cluster.any().with_status(status).expect("listed");
            listed.iter().map(|row| row.since.to_millis()).collect()
        };

        happens("status=open", 10);
        happens("status=paid", 20);
        assert_eq!((since("open"), since("paid")), (vec![], vec![20]));
        happens("nothing", 30);
        assert_eq!(since("paid"), [20], "what says nothing changes nothing");
        happens("status=paid", 40);
        before_and_after_a_snapshot(cluster, &order, || {
            assert_eq!((since("open"), since("paid")), (vec![], vec![40]));
            assert_eq!(cluster.any().status(&order), Ok(Some("paid".to_owned())));
        });
    });
}

#[test]
fn the_time_of_a_status_is_that_of_the_batchs_last_event_in_whole_milliseconds() {
    over_all(|cluster| {
        let order = id(["order", "1"]);
        let last = NewEvent::new("happened", "").at(Timestamp(20_999_999));
        let events = [says("status=open", 10), last];
        cluster.any().append(Append::to(&order, 0).events(events)).expect("it is new");

        before_and_after_a_snapshot(cluster, &order, || {
            let listed = cluster.any().with_status("open").expect("listed");
            assert_eq!(listed[0].since, Timestamp::from_millis(20));
        });
    });
}

#[test]
fn an_empty_status_and_empty_labels_clear_them_also_within_a_batch() {
    over_all(|cluster| {
        let order = id(["order", "1"]);
        let set = says("status=open color=red", 10);
        cluster.any().append(Append::to(&order, 0).events([set])).expect("it is new");
        let clear = [says("color=", 20), says("status=", 30)];
        cluster.any().append(Append::to(&order, 1).events(clear)).expect("it is there");

        before_and_after_a_snapshot(cluster, &order, || {
            assert_eq!(cluster.any().status(&order), Ok(None));
            assert_eq!(cluster.any().with_status("open"), Ok(Vec::new()));
            assert_eq!(cluster.any().with_label("color", "red"), Ok(Vec::new()));
            assert_eq!(cluster.any().label_values("color"), Ok(Vec::new()));
        });
    });
}

#[test]
fn the_values_of_a_label_are_those_that_somebody_has() {
    over_all(|cluster| {
        let [first, second] = ["1", "2"].map(|order| id(["order", order]));
        let label = |order: &AggregateId, expected: u64, words: &str| {
            cluster.any().append(Append::to(order, expected).events([says(words, 1)])).expect("it is there");
        };
        let values = || cluster.any().label_values("color").expect("listed");
        let with = |value: &str| cluster.any().with_label("color", value).expect("listed");

        label(&first, 0, "color=red");
        label(&second, 0, "color=red size=large");
        assert_eq!((values(), with("red")), (vec!["red".to_owned()], vec![first.clone(), second.clone()]));
        label(&first, 1, "color=blue");
        assert_eq!(
            (values(), with("red")),
            (vec!["blue".to_owned(), "red".to_owned()], vec![second.clone()])
        );
        label(&second, 1, "color=");

        before_and_after_a_snapshot(cluster, &second, || {
            assert_eq!(values(), ["blue"], "nobody has the other any more");
            assert_eq!((with("red"), with("blue")), (vec![], vec![first.clone()]));
            assert_eq!(cluster.any().label_values("size"), Ok(vec!["large".to_owned()]));
        });
    });
}

#[test]
fn labels_need_no_status_and_neither_needs_an_event() {
    over_all(|cluster| {
        let [by_event, by_word] = ["1", "2"].map(|order| id(["order", order]));
        cluster.any().append(Append::to(&by_event, 0).events([says("color=red", 1)])).expect("it is new");
        let only_a_label = Append::to(&by_word, 0).label("color", "red");
        let appended = cluster.any().append(only_a_label).expect("it is new");
        assert_eq!(appended.next, [0], "no event, no sequence");

        before_and_after_a_snapshot(cluster, &by_event, || {
            let red = cluster.any().with_label("color", "red");
            assert_eq!(red, Ok(vec![by_event.clone(), by_word.clone()]));
            assert_eq!(cluster.any().status(&by_event), Ok(None));
        });
        let at = Append::to(&by_word, 0).status("open").at(Timestamp::from_millis(9));
        cluster.any().append(at).expect("it is there");
        assert_eq!(cluster.any().with_status("open").expect("listed")[0].since, Timestamp::from_millis(9));
    });
}

#[test]
fn in_a_batch_the_last_status_wins_and_labels_merge() {
    over_all(|cluster| {
        let order = id(["order", "1"]);
        let events = [
            says("status=open color=red", 10),
            says("size=large", 20),
            says("status=paid color=blue", 30),
            says("nothing", 40),
        ];
        cluster.any().append(Append::to(&order, 0).events(events)).expect("it is new");

        before_and_after_a_snapshot(cluster, &order, || {
            let known = cluster.any().aggregate(&order).expect("asked").expect("it is there");
            assert_eq!(known.status, Some(("paid".to_owned(), Timestamp::from_millis(40))));
            let labels = [("color", "blue"), ("size", "large")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(known.labels, labels.into());
        });
    });
}

#[test]
fn the_indexer_sees_the_sequences_that_the_events_get_and_the_appends_own_word_counts_more() {
    let indexer =
        |event: &Event| Index::new().status("of the event").label("last", event.sequence.to_string());
    over_one_and_three_with(
        move || Options::default().indexer(indexer),
        |cluster| {
            let order = id(["order", "1"]);
            append(cluster.any(), &order, 0, &["a", "b"]);
            let events = [event("c", 1), event("d", 2)];
            let own = Append::to(&order, 2).events(events).status("of the append");
            cluster.any().append(own).expect("it is there");

            assert_eq!(cluster.any().status(&order), Ok(Some("of the append".to_owned())));
            assert_eq!(cluster.any().with_label("last", "3"), Ok(vec![order.clone()]));
            assert_eq!(cluster.any().label_values("last"), Ok(vec!["3".to_owned()]));
        },
    );
}

#[test]
fn a_status_without_an_event_counts_again_when_it_is_said_again_unless_that_is_in_a_session() {
    over_one_and_three(|cluster| {
        let (store, order) = (cluster.any(), id(["order", "1"]));
        let placed = || Append::to(&order, 0).status("placed");
        let paid = || store.append(Append::to(&order, 0).status("paid")).expect("no event came between");
        let status = || cluster.any().status(&order).expect("answered").expect("it has one");

        store.append(placed()).expect("it is new");
        paid();
        store.append(placed()).expect("the sequence is where it was");
        assert_eq!(status(), "placed", "what was said between is gone");

        let session = store.node().session().expect("there is a leader");
        let request = session.request(placed().into_command(Timestamp(1)).expect("good")).expect("a number");
        let first = request.send().expect("it is applied");
        paid();
        assert_eq!(request.submit().wait(), Ok(first), "it is answered as it was");
        assert_eq!(status(), "paid");
    });
}

#[test]
fn who_takes_away_what_a_new_id_never_had_makes_no_aggregate() {
    over_one_and_three(|cluster| {
        let order = id(["order", "1"]);
        let nothing = Append::to(&order, 0).status("").label("customer", "");

        let appended = cluster.any().append(nothing).expect("it is new");

        assert_eq!(appended.next, [0]);
        assert_eq!(cluster.any().aggregates(&AggregateId::ALL), Ok(Vec::new()));
        assert_eq!(cluster.any().aggregate(&order), Ok(None));
    });
}
