//! How a client ends: nothing hangs, and nobody is told more than is known.

use std::sync::mpsc;
use std::thread;

use quorate::{Client, ClientError, ClientReadError, Outcome, StopCause};

use crate::calls::line;
use crate::scene::{Alone, LONG, Obedient};

fn client_of(alone: &Alone) -> Client<Obedient> {
    Client::connect([alone.address().to_string()]).expect("it is there")
}

#[test]
fn what_is_under_way_when_the_last_clone_is_dropped_is_answered() {
    let alone = Alone::start();
    let client = client_of(&alone);
    client.propose(line("add 1")).expect("it is applied");
    let held = client.submit(line("hold"));
    let clone = client.clone();
    drop(client);
    let query = clone.submit_query(line("total"));
    // The machine is held: neither is answered by it.
    drop(clone);

    let error = held.wait().expect_err("the client is gone");
    assert!(matches!(error, ClientError::Stopped { cause: StopCause::Shutdown, .. }), "{error}");
    assert!(matches!(query.wait(), Err(ClientReadError::Stopped { .. })));
}

#[test]
fn a_command_that_was_sent_is_unknown_when_its_client_ends() {
    let alone = Alone::start();
    let client = client_of(&alone);
    client.propose(line("add 1")).expect("it is applied");
    let held = client.submit(line("hold"));
    // It has arrived once the node's copy, which waits behind it, is slow to answer: look at the log instead.
    let last = alone.server.node().status().commit;
    while alone.server.node().status().commit == last {
        thread::yield_now();
    }

    drop(client);

    assert_eq!(held.wait().expect_err("the client is gone").outcome(), Outcome::Unknown);
}

#[test]
fn a_client_may_be_dropped_in_a_callback_of_its_own() {
    let alone = Alone::start();
    let client = client_of(&alone);
    let (sender, dropped) = mpsc::channel();
    let ticket = client.submit(line("add 1"));

    // Either here or on the client's own thread.
    ticket.on_done(move |answer| {
        drop(client);
        sender.send(answer).expect("the test waits");
    });

    assert_eq!(dropped.recv_timeout(LONG).expect("it does not hang"), Ok("1".to_owned()));
}

#[test]
fn a_blocking_call_in_a_callback_is_refused_and_a_ticket_is_not() {
    let alone = Alone::start();
    let client = client_of(&alone);
    let (sender, heard) = mpsc::channel();
    let held = client.submit(line("hold"));

    held.on_done({
        let client = client.clone();
        move |_| {
            let refused = client.propose(line("add 1"));
            let read = client.query(line("total"));
            let ticket = client.submit(line("add 2"));
            ticket.on_done(move |answer| sender.send((refused, read, answer)).expect("the test waits"));
        }
    });
    alone.hold.release();

    let (refused, read, answer) = heard.recv_timeout(LONG).expect("it does not hang");
    assert_eq!((refused, read), (Err(ClientError::WouldDeadlock), Err(ClientReadError::WouldDeadlock)));
    assert_eq!(answer, Ok("2".to_owned()));
}

#[test]
fn a_client_ends_though_its_node_is_stuck() {
    let alone = Alone::start();
    let client = client_of(&alone);
    let held: Vec<_> = (0..100).map(|_| client.submit(line("hold"))).collect();

    drop(client);

    assert!(held.into_iter().all(|ticket| ticket.wait().is_err()));
}
