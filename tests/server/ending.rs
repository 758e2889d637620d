//! How a server ends: what is under way is answered, nobody hangs, and the next one may begin.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quorate::{Config, Server, ServerError, StopCause};

use crate::raw::{
    Hello, NO_LEADER, PROPOSE, Raw, STATUS, STOPPED, Said, UNKNOWN, Welcome, propose, request, request_within,
};
use crate::scene::{Alone, Hold, LONG, Obedient, Three, socket_of_ones_own};

/// A node that stops lets nobody in.
const STOPPING: u8 = 8;

/// Waits until the server refuses what it is asked, since it stops.
fn wait_for_the_end_to_begin(client: &mut Raw) {
    for id in 1000.. {
        match client.ask(&request(STATUS, id, b"")) {
            Said::Refused { reason: STOPPED, .. } => return,
            said => assert!(matches!(said, Said::Status { .. }), "{said:?}"),
        }
    }
}

#[test]
fn a_shutdown_answers_what_is_under_way_and_refuses_the_rest() {
    let alone = Alone::start();
    let mut waiting = Raw::client(alone.address());
    let mut asking = Raw::client(alone.address());
    let mut idle = Raw::client(alone.address());
    waiting.write(&[propose(1, "hold"), propose(2, "add 5")].concat());
    asking.write(&propose(3, "say before"));
    let metrics = alone.server.node().metrics().server;
    while metrics.requests.get() < 3 {
        thread::yield_now();
    }

    let stopping = thread::spawn({
        let server = alone.server.clone();
        move || server.shutdown(LONG)
    });
    wait_for_the_end_to_begin(&mut asking);
    assert_eq!(
        Raw::refusal(alone.address(), &Hello::default()),
        Welcome::Refused(STOPPING),
        "nobody new is let in"
    );
    idle.wait_for_end();
    alone.hold.release();

    assert_eq!(waiting.read_answers(2)[&2], Said::Response { id: 2, text: "5".to_owned() });
    assert_eq!(asking.read_answer(), Said::Response { id: 3, text: "before".to_owned() });
    assert_eq!((waiting.try_read(), asking.try_read()), (None, None));
    drop((waiting, asking, idle));
    stopping.join().expect("no panic").expect("it stops in time");
    assert_eq!(alone.server.wait().expect("no thread of its own"), StopCause::Shutdown);
    alone.server.shutdown(LONG).expect("it is down already");
}

#[test]
fn a_shutdown_without_a_majority_hangs_for_nobody_and_claims_nothing() {
    let three = Three::start();
    let leader = three.leader();
    let mut client = Raw::client(three.of(leader).local_addr());
    for id in (1..=3).filter(|id| *id != leader) {
        three.of(id).shutdown(LONG).expect("it stops");
    }

    client.write(&propose(1, "add 5"));
    let metrics = three.of(leader).node().metrics().server;
    while metrics.requests.get() < 1 {
        thread::yield_now();
    }
    three.of(leader).shutdown(Duration::from_secs(4)).expect("it stops in time");

    let Said::Refused { id: 1, reason, .. } = client.read_answer() else {
        panic!("nobody can have applied it")
    };
    assert!([UNKNOWN, STOPPED, NO_LEADER].contains(&reason), "{reason}");
    assert_eq!(client.try_read(), None);
}

#[test]
fn a_node_that_stops_by_itself_takes_its_server_along() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());
    let mut other = Raw::client(alone.address());

    // The state machine knows no such command: it panics in the midst of an apply.
    client.write(&propose(1, "nonsense"));

    let Said::Refused { id: 1, reason, .. } = client.read_answer() else { panic!("it came to nothing") };
    assert_eq!(reason, UNKNOWN);
    client.wait_for_end();
    other.wait_for_end();
    let cause = alone.server.wait().expect("no thread of its own");
    assert!(matches!(cause, StopCause::Panicked { .. }), "{cause}");
}

#[test]
fn run_returns_why_its_node_stopped() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = socket_of_ones_own();
    let address = socket.local_addr().expect("bound");
    let config = Config::new(1, directory.path().join("1"), address.to_string())
        .bootstrap([(1, address.to_string())])
        .listener(socket);
    let running = thread::spawn(|| Server::run(config, Obedient::new(&Arc::<Hold>::default())));

    let mut client = Raw::client(address);
    assert_eq!(client.text(&propose(1, "add 5")), "5");
    client.write(&propose(2, "nonsense"));

    let ended = running.join().expect("no panic here");
    assert!(matches!(ended, Err(ServerError::Stopped(StopCause::Panicked { .. }))), "{ended:?}");
}

#[test]
fn what_cannot_start_says_why() {
    let nothing = Config::new(0, "nowhere", "127.0.0.1:1");

    let refused = Server::run(nothing, Obedient::new(&Arc::<Hold>::default()));

    assert!(matches!(refused, Err(ServerError::Start(_))), "{refused:?}");
}

#[test]
fn a_server_that_is_dropped_leaves_its_directory_and_its_port_to_the_next() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = socket_of_ones_own().local_addr().expect("bound");
    let start = || {
        let config = Config::new(1, directory.path().join("1"), address.to_string())
            .bootstrap([(1, address.to_string())]);
        Server::start(config, Obedient::new(&Arc::<Hold>::default())).expect("it starts")
    };

    let server = start();
    let mut client = Raw::client(address);
    assert_eq!(client.text(&propose(1, "add 5")), "5");
    drop(server);
    client.wait_for_end();

    let _again = start();
    let mut client = Raw::client(address);
    assert_eq!(client.text(&propose(1, "add 5")), "10");
}

#[test]
fn a_node_may_outlive_its_server_and_then_serves_no_clients() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = socket_of_ones_own();
    let address = socket.local_addr().expect("bound");
    let config = Config::new(1, directory.path().join("1"), address.to_string())
        .bootstrap([(1, address.to_string())])
        .listener(socket);
    let server = Server::start(config, Obedient::new(&Arc::<Hold>::default())).expect("it starts");
    let node = server.node().clone();

    drop(server);

    assert_eq!(Raw::refusal(address, &Hello::default()), Welcome::Refused(STOPPING));
    let line = || crate::scene::Line("add 5".to_owned());
    assert_eq!(node.propose(line()).expect("it lives"), "5");
}

#[test]
fn who_is_served_on_a_thread_of_the_runtime_may_stop_it_from_there() {
    let alone = Alone::start();
    let server = alone.server.clone();
    let ticket = alone.server.node().submit(crate::scene::Line("add 5".to_owned()));
    let (told, outcome) = std::sync::mpsc::channel();

    ticket.on_done(move |_| {
        let refused = server.shutdown(LONG).is_err();
        told.send((refused, server.wait().is_err())).expect("the test waits");
    });

    assert_eq!(outcome.recv_timeout(LONG).expect("it does not wait for itself"), (true, true));
    assert_eq!(alone.server.wait().expect("no thread of its own"), StopCause::Shutdown);
}

#[test]
fn a_request_that_no_leader_takes_says_so() {
    let three = Three::start();
    let leader = three.leader();
    let left = three.a_follower();
    let mut client = Raw::client(three.of(left).local_addr());
    for id in (1..=3).filter(|id| *id != left) {
        three.of(id).shutdown(LONG).expect("it stops");
    }
    assert_ne!(left, leader);

    // Until the one who is left knows that its leader is gone, the leader may be what it waits for.
    for id in 1.. {
        let asked = client.ask(&request_within(PROPOSE, id, Duration::from_millis(50), b"add 5"));
        let Said::Refused { reason, .. } = asked else { panic!("nobody can have applied it") };
        if reason == NO_LEADER {
            return;
        }
    }
}
