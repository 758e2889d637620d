//! What a client takes, and what it refuses.

use std::time::Duration;

use quorate::{Client, ClientConfig, ClientError, Outcome};

use crate::calls::line;
use crate::scene::{Alone, LONG, Obedient};

fn client_of(alone: &Alone, tune: impl FnOnce(ClientConfig) -> ClientConfig) -> Client<Obedient> {
    let config = ClientConfig::new([alone.address().to_string()]).call_timeout(LONG);
    Client::connect_with(tune(config)).expect("it is there")
}

#[test]
fn beyond_its_limit_in_calls_a_client_is_busy_at_once() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config.in_flight_requests_max(10));
    let held: Vec<_> = (0..10).map(|_| client.submit(line("hold"))).collect();

    let error = client.propose(line("add 1")).expect_err("there is no room");
    assert_eq!((&error, error.outcome()), (&ClientError::Busy, Outcome::NotApplied));
    alone.hold.release();
    for ticket in held {
        ticket.wait().expect("it is applied");
    }

    assert_eq!(client.propose(line("add 1")).expect("there is room again"), "1");
}

#[test]
fn beyond_its_limit_in_bytes_a_client_is_busy_at_once() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config.in_flight_bytes_max(1000));
    let held = client.submit(line("hold"));

    let error = client.propose(line(&format!("say {}", "x".repeat(1000)))).expect_err("there is no room");
    assert_eq!(error, ClientError::Busy);
    alone.hold.release();
    held.wait().expect("it is applied");

    // Alone, one may be larger than the limit.
    client.propose(line(&format!("say {}", "x".repeat(1000)))).expect("there is room again");
}

#[test]
fn what_the_cluster_has_no_room_for_waits_and_is_applied() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config);
    let held = client.submit(line("hold"));
    let waiting: Vec<_> = (0..3000).map(|_| client.submit(line("add 1"))).collect();

    alone.hold.release();

    held.wait().expect("it is applied");
    for ticket in waiting {
        ticket.wait().expect("it is applied");
    }
    assert_eq!(client.query(line("total")).unwrap(), "3000");
}

#[test]
fn a_deadline_holds_though_the_node_is_stuck() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config);
    let held = client.submit(line("hold"));

    let error = client.propose_within(line("add 1"), Duration::from_millis(200)).expect_err("it is held");

    assert_eq!(error, ClientError::Unknown);
    alone.hold.release();
    held.wait().expect("it is applied");
}

#[test]
fn a_command_given_up_takes_effect_once_or_never_and_what_follows_is_exact() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config);
    let held = client.submit(line("hold"));
    let given_up =
        client.propose_within(line("add 100"), Duration::from_millis(200)).expect_err("it is held");
    assert_eq!(given_up.outcome(), Outcome::Unknown);
    alone.hold.release();
    held.wait().expect("it is applied");

    let total: i64 = client.propose(line("add 1")).expect("it is applied").parse().unwrap();

    assert!([1, 101].contains(&total), "{total}");
    assert_eq!(client.query(line("total")).unwrap(), total.to_string());
}

#[test]
fn large_commands_go_through_however_many_there_are() {
    let alone = Alone::start();
    let client = client_of(&alone, |config| config);
    let text = "x".repeat(900_000);

    let tickets: Vec<_> = (0..40).map(|_| client.submit(line(&format!("say {text}")))).collect();

    for ticket in tickets {
        assert_eq!(ticket.wait().expect("it is applied").len(), text.len());
    }
}
