//! What is too much is refused at once, and all else goes on.

use std::time::Duration;

use crate::raw::{BUSY, Hello, Raw, Said, TOO_MANY, Welcome, propose, query};
use crate::scene::Alone;

fn busy(id: u64) -> Said {
    Said::Refused { id, reason: BUSY, rest: Vec::new() }
}

#[test]
fn one_client_too_many_is_refused_until_another_leaves() {
    let alone = Alone::tuned(|config| config.connections_max(2));
    let mut staying = Raw::client(alone.address());
    let leaving = Raw::client(alone.address());
    assert_eq!(Raw::refusal(alone.address(), &Hello::default()), Welcome::Refused(TOO_MANY));

    drop(leaving);

    let mut another = loop {
        let mut raw = Raw::dial(alone.address());
        raw.write(&Hello::default().bytes());
        if matches!(raw.read_welcome(), Welcome::Accepted { .. }) {
            break raw;
        }
    };
    assert_eq!(staying.text(&propose(1, "say first")), "first");
    assert_eq!(another.text(&propose(1, "say second")), "second");
}

#[test]
fn a_crowd_that_does_not_say_what_it_wants_makes_room_for_who_does() {
    let alone = Alone::tuned(|config| config.connections_max(2));
    let mut standing = Raw::client(alone.address());
    let mut crowd: Vec<_> = (0..10)
        .map(|_| {
            let mut stranger = Raw::dial(alone.address());
            stranger.write(b"\xF3quorate");
            stranger
        })
        .collect();

    let mut client = Raw::client(alone.address());

    assert_eq!(client.text(&propose(1, "say hello")), "hello");
    assert_eq!(standing.text(&propose(1, "say still")), "still");
    crowd[0].wait_for_end();
}

#[test]
fn requests_beyond_those_of_one_connection_are_busy_at_once_and_it_goes_on_being_served() {
    let alone = Alone::tuned(|config| config.connection_requests_max(4));
    let mut client = Raw::client(alone.address());
    let mut other = Raw::client(alone.address());

    client.write(&[propose(1, "hold"), propose(2, "say 2"), query(3, "say 3"), propose(4, "say 4")].concat());
    assert_eq!(client.ask(&propose(5, "say 5")), busy(5));
    assert_eq!(client.ask(&query(6, "say 6")), busy(6));
    other.write(&propose(1, "say other"));
    alone.hold.release();

    assert_eq!(client.read_answers(4).len(), 4);
    assert_eq!(other.read_answer(), Said::Response { id: 1, text: "other".to_owned() });
    assert_eq!(client.text(&propose(7, "say 7")), "7");
    assert_eq!(alone.server.node().metrics().server.busy.get(), 2);
}

#[test]
fn bytes_beyond_those_of_one_connection_are_busy_and_one_request_always_passes() {
    let alone = Alone::tuned(|config| config.connection_bytes_max(10_000));
    let mut client = Raw::client(alone.address());
    let say = |id, bytes| propose(id, &format!("say {}", "x".repeat(bytes)));

    assert_eq!(client.text(&say(1, 50_000)).len(), 50_000, "alone it passes");
    client.write(&[propose(2, "hold"), say(3, 6000)].concat());
    assert_eq!(client.ask(&say(4, 6000)), busy(4));
    alone.hold.release();

    assert_eq!(client.read_answers(2).len(), 2);
    assert_eq!(client.text(&say(5, 6000)).len(), 6000);
}

#[test]
fn bytes_beyond_those_of_all_connections_are_busy() {
    let alone = Alone::tuned(|config| config.in_flight_bytes_max(10_000));
    let (mut one, mut two) = (Raw::client(alone.address()), Raw::client(alone.address()));
    let say = |id, bytes| propose(id, &format!("say {}", "x".repeat(bytes)));

    one.write(&[propose(1, "hold"), say(2, 6000)].concat());
    let metrics = alone.server.node().metrics().server;
    while metrics.requests.get() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(two.ask(&say(3, 6000)), busy(3));
    alone.hold.release();

    assert_eq!(one.read_answers(2).len(), 2);
    assert_eq!(two.text(&say(4, 6000)).len(), 6000);
}

#[test]
fn a_node_that_is_too_busy_says_so_and_goes_on() {
    let alone = Alone::configured(|config| config.in_flight_requests_max(3).into());
    let mut client = Raw::client(alone.address());

    client.write(&[propose(1, "hold"), propose(2, "say 2"), propose(3, "say 3")].concat());
    assert_eq!(client.ask(&propose(4, "say 4")), busy(4));
    alone.hold.release();

    assert_eq!(client.read_answers(3).len(), 3);
    // The node counts a command until all its threads know that it is applied: a moment longer than its caller.
    while client.ask(&propose(5, "say 5")) == busy(5) {}
    assert_eq!(client.text(&query(6, "say 6")), "6");
}

#[test]
fn who_asks_nothing_for_long_is_closed_and_who_waits_for_an_answer_is_not() {
    let alone = Alone::tuned(|config| config.idle_time(Duration::from_millis(50)));
    let mut waiting = Raw::client(alone.address());
    waiting.write(&propose(1, "hold"));
    let mut idle = Raw::client(alone.address());

    idle.wait_for_end();
    let mut idle = Raw::client(alone.address());
    idle.wait_for_end();
    alone.hold.release();

    assert_eq!(waiting.read_answer(), Said::Response { id: 1, text: "held".to_owned() });
    waiting.wait_for_end();
    assert_eq!(alone.server.node().metrics().server.timed_out.get(), 3);
}
