//! Both transports under the suite of [`crate::testing::transport`], and what the one in memory does at a test's word.

use super::harness::{Loopback, Seen, connected, forward, id, numbered};
use crate::testing::transport::{check, pair};
use crate::transport::{Fate, MemoryNetwork};

#[test]
fn the_network_in_memory_keeps_the_contract() {
    check(MemoryNetwork::new);
}

#[test]
fn tcp_keeps_the_contract() {
    check(Loopback::new);
}

#[test]
fn a_link_that_is_cut_in_memory_is_cut_one_way_and_heals() {
    let network = MemoryNetwork::new();
    let (one, two) = pair(&network);

    network.cut(id(1), id(2));
    assert_eq!(one.next(), Seen::Lost(2));
    one.send(2, forward(1, 1, 10));
    assert_eq!(one.next(), Seen::Undelivered { to: 2, number: 1 });
    two.send(1, numbered(2));
    assert_eq!(one.next(), Seen::Message { from: 2, number: 2 });

    network.heal(id(1), id(2));
    assert_eq!(one.next(), connected(2));
    one.send(2, numbered(3));
    assert_eq!(two.next(), Seen::Message { from: 1, number: 3 });
}

#[test]
fn an_isolated_node_in_memory_hears_nobody_until_all_is_healed() {
    let network = MemoryNetwork::new();
    let (one, two) = pair(&network);

    network.isolate(id(2));
    assert_eq!((one.next(), two.next()), (Seen::Lost(2), Seen::Lost(1)));
    two.send(1, forward(2, 1, 10));
    assert_eq!(two.next(), Seen::Undelivered { to: 1, number: 1 });

    network.heal_all();
    assert_eq!((one.next(), two.next()), (connected(2), connected(1)));
}

#[test]
fn a_filter_in_memory_loses_and_doubles_what_it_likes() {
    let network = MemoryNetwork::new();
    let (one, two) = pair(&network);
    let mut fates = [Fate::Drop, Fate::Duplicate, Fate::Deliver].into_iter();
    network.filter(move |_, _, _, _| fates.next().unwrap_or(Fate::Deliver));

    for number in 1..=3 {
        one.send(2, numbered(number));
    }

    let seen = [two.next(), two.next(), two.next()];
    assert_eq!(seen, [2, 2, 3].map(|number| Seen::Message { from: 1, number }));
}
