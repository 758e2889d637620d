//! Which aggregates there are, and that no two ids are ever taken for one.

use quorate::event_store::{AggregateId, Consistency};

use crate::scene::{append, id, over_one_and_three};

#[test]
fn an_empty_store_lists_nothing() {
    over_one_and_three(|cluster| {
        assert_eq!(cluster.any().aggregates(&AggregateId::ALL), Ok(Vec::new()));
        assert_eq!(cluster.any().aggregates(&id(["order"])), Ok(Vec::new()));
        assert_eq!(cluster.any().with_status("placed"), Ok(Vec::new()));
        assert_eq!(cluster.any().with_label("customer", "7"), Ok(Vec::new()));
        assert_eq!(cluster.any().label_values("customer"), Ok(Vec::new()));
    });
}

#[test]
fn a_prefix_lists_the_ids_that_begin_with_its_parts() {
    over_one_and_three(|cluster| {
        let all =
            [id(["ord"]), id(["order"]), id(["order", "1"]), id(["order", "1", "item"]), id(["order", "10"])];
        for aggregate in all.iter().rev() {
            append(cluster.any(), aggregate, 0, &["made"]);
        }

        let listed = |prefix: &AggregateId| cluster.any().aggregates(prefix).expect("listed");

        assert_eq!(listed(&AggregateId::ALL), all, "in the order of their ids");
        assert_eq!(listed(&id(["order"])), all[1..]);
        assert_eq!(listed(&id(["order", "1"])), all[2..4]);
        assert_eq!(listed(&id(["order", "1", "item"])), all[3..4]);
        assert_eq!(listed(&id(["orde"])), []);
    });
}

#[test]
fn ids_of_any_bytes_come_back_as_they_are_and_are_never_taken_for_each_other() {
    over_one_and_three(|cluster| {
        let ids = [
            id(["order:1", "item"]),
            id(["order", "1", "item"]),
            id(["order", "1:item"]),
            id(["a\"b", "[c]"]),
            id(["a\\", "\"b", "[c]"]),
            id(["a\u{1f}b"]),
            id(["a", "\u{1f}b"]),
            id(["a.b"]),
            id(["a", "b"]),
            id(["_"]),
            id([""]),
            id(["", ""]),
            AggregateId::new([&b"\0\xff"[..], b"\xfe"]).expect("any bytes"),
            AggregateId::new([&b"\0"[..], b"\xff\xfe"]).expect("any bytes"),
        ];
        for (nth, aggregate) in ids.iter().enumerate() {
            append(cluster.any(), aggregate, 0, &[&format!("of {nth}")]);
        }

        let mut listed = cluster.any().aggregates(&AggregateId::ALL).expect("listed");

        for (nth, aggregate) in ids.iter().enumerate() {
            let events = cluster.any().load_events(aggregate, 0).expect("it is there").events;
            assert_eq!((events.len(), &*events[0].event_type), (1, &*format!("of {nth}")), "{aggregate}");
            assert_eq!(events[0].aggregate, *aggregate);
        }
        let mut ids = ids.to_vec();
        ids.sort();
        assert!(listed.is_sorted());
        listed.sort();
        assert_eq!(listed, ids);
    });
}

#[test]
fn a_listing_that_is_longer_than_a_page_is_whole_and_so_are_its_pages() {
    over_one_and_three(|cluster| {
        for nth in 0..25 {
            append(cluster.any(), &id(["order", &format!("{nth:02}")]), 0, &["made"]);
        }
        let orders = id(["order"]);
        let all = cluster.any().aggregates(&orders).expect("listed");
        assert_eq!(all.len(), 25);

        let mut paged: Vec<AggregateId> = Vec::new();
        loop {
            let page =
                cluster.any().reading(Consistency::default()).aggregates_page(&orders, paged.last(), 10);
            let page = page.expect("listed");
            assert!(page.items.len() <= 10);
            paged.extend(page.items);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(paged, all);
    });
}
