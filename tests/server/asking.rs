//! What clients ask, and what they are answered.

use std::time::Duration;

use quorate::ServerConfig;

use crate::raw::{
    ANSWER_FORGOTTEN, CLOSE_SESSION, DEADLINE_PASSED, MALFORMED, OPEN_SESSION, PANICKED, PROPOSE,
    PROPOSE_IN_SESSION, QUERY, Raw, SESSION_EXPIRED, STATUS, Said, TOO_LARGE, propose, query, request,
    request_within,
};
use crate::scene::{Alone, LONG, Three};

fn response(id: u64, text: impl Into<String>) -> Said {
    Said::Response { id, text: text.into() }
}

/// The reason for which a request came to nothing.
fn refusal(said: Said) -> u8 {
    match said {
        Said::Refused { reason, .. } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_is_proposed_is_seen_by_queries_linearizable_and_local() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    assert_eq!(client.text(&propose(1, "add 5")), "5");
    assert_eq!(client.text(&propose(2, "add 7")), "12");

    assert_eq!(client.text(&query(3, "total")), "12");
    assert_eq!(client.text(&request(QUERY, 4, b"\x01total")), "12", "of the copy as it is");
}

#[test]
fn answers_come_as_they_are_ready_and_not_as_they_were_asked_for() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    client.write(&[propose(1, "hold"), request(STATUS, 2, b"")].concat());
    let first = client.read_answer();
    alone.hold.release();
    let second = client.read_answer();

    assert!(matches!(first, Said::Status { id: 2, .. }), "{first:?}");
    assert_eq!(second, response(1, "held"));
}

#[test]
fn ten_thousand_requests_in_flight_on_one_connection_are_each_given_their_own_answer() {
    const COUNT: u64 = 10_000;
    let alone = Alone::tuned(|config| config.connection_requests_max(COUNT as usize));
    let mut client = Raw::client(alone.address());
    let mut writer = Raw(client.0.try_clone().expect("one more descriptor"));

    let writing = std::thread::spawn(move || {
        for ids in (0..COUNT).collect::<Vec<_>>().chunks(100) {
            let requests = ids.iter().map(|&id| match id % 3 {
                0 => query(id, &format!("say {id}")),
                _ => propose(id, &format!("say {id}")),
            });
            writer.write(&requests.collect::<Vec<_>>().concat());
        }
    });
    let answers = client.read_answers(COUNT as usize);
    writing.join().expect("all is written");

    assert!(answers.into_iter().all(|(id, said)| said == response(id, id.to_string())));
}

#[test]
fn many_clients_are_served_at_once() {
    let alone = Alone::start();
    let address = alone.address();
    let clients: Vec<_> = (0..20)
        .map(|nth| {
            std::thread::spawn(move || {
                let mut client = Raw::client(address);
                for id in 0..50 {
                    assert_eq!(client.text(&propose(id, &format!("say {nth}/{id}"))), format!("{nth}/{id}"));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every answer is its own");
    }
}

#[test]
fn an_answer_of_any_length_arrives_whole() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    for bytes in [0, 1, 4095, 4096, 70_000, 5_000_000] {
        assert_eq!(client.text(&query(bytes, &format!("long {bytes}"))).len() as u64, bytes);
        assert_eq!(client.text(&propose(bytes, &format!("long {bytes}"))).len() as u64, bytes);
    }
}

#[test]
fn a_command_of_a_session_takes_effect_once() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());
    let Said::SessionOpened { id: 1, session } = client.ask(&request(OPEN_SESSION, 1, b"")) else {
        panic!("no session");
    };
    let tagged = |id: u64, sequence: u64, answered_below: u64, command: &str| {
        let tag = [session, sequence, answered_below].map(u64::to_le_bytes).concat();
        request(PROPOSE_IN_SESSION, id, &[&tag[..], command.as_bytes()].concat())
    };

    assert_eq!(client.ask(&tagged(2, 0, 0, "add 5")), response(2, "5"));
    let mut elsewhere = Raw::client(alone.address());
    assert_eq!(elsewhere.ask(&tagged(3, 0, 0, "add 5")), response(3, "5"), "again, and not twice");
    assert_eq!(client.ask(&tagged(4, 1, 1, "add 5")), response(4, "10"));
    assert_eq!(refusal(client.ask(&tagged(5, 0, 0, "add 5"))), ANSWER_FORGOTTEN);

    let close = |id| request(CLOSE_SESSION, id, &session.to_le_bytes());
    assert_eq!(client.ask(&close(6)), Said::SessionClosed { id: 6 });
    assert_eq!(refusal(client.ask(&tagged(7, 2, 2, "add 5"))), SESSION_EXPIRED);
    assert_eq!(client.text(&query(8, "total")), "10");
}

#[test]
fn a_node_tells_how_it_is() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    let status = client.ask(&request(STATUS, 9, b""));

    assert_eq!(status, Said::Status { id: 9, node: 1, leader: Some(1), voters: vec![1] });
}

#[test]
fn who_asks_for_the_status_again_and_again_is_answered_each_time() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    let requests: Vec<_> = (0..500).map(|id| request(STATUS, id, b"")).collect();
    client.write(&requests.concat());

    let answers = client.read_answers(500);
    assert!(answers.values().all(|said| matches!(said, Said::Status { .. })));
}

#[test]
fn what_means_nothing_to_the_state_machine_is_refused_and_costs_only_its_client() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());

    assert_eq!(refusal(client.ask(&request(PROPOSE, 1, b"\xFF"))), MALFORMED);
    assert_eq!(refusal(client.ask(&request(QUERY, 2, b"\x00\xFF"))), MALFORMED);
    assert_eq!(refusal(client.ask(&propose(3, "explode"))), MALFORMED, "its decoding panics");
    assert_eq!(refusal(client.ask(&query(4, "explode"))), PANICKED, "its decoding panics");
    let Said::Refused { reason: PANICKED, rest, .. } = client.ask(&query(5, "nonsense")) else {
        panic!("the query panics");
    };
    assert!(String::from_utf8_lossy(&rest).contains("does not know \"nonsense\""));

    assert_eq!(client.text(&propose(6, "add 1")), "1");
}

#[test]
fn a_command_that_is_too_long_is_told_how_long_it_may_be() {
    let alone = Alone::configured(|config| ServerConfig::new(config.command_bytes_max(1000)));
    let mut client = Raw::client(alone.address());

    let Said::Refused { reason: TOO_LARGE, rest, .. } = client.ask(&propose(1, &"x".repeat(1001))) else {
        panic!("it is too long");
    };

    assert_eq!(rest, [1001_u64, 1000].map(u64::to_le_bytes).concat());
    assert_eq!(client.text(&propose(2, &format!("say {}", "x".repeat(996)))).len(), 996);
}

#[test]
fn a_request_has_its_own_time_and_never_more_than_the_server_gives() {
    let brief = |config| ServerConfig::new(config).within_max(Duration::from_millis(50));
    let three = Three::tuned(brief);
    let left = three.of(1);
    let mut client = Raw::client(left.local_addr());
    let at_once = request_within(PROPOSE, 1, Duration::ZERO, b"say nothing");
    assert_eq!(refusal(client.ask(&at_once)), DEADLINE_PASSED);

    // Without a majority nothing is answered before its time is over, and each asks for a minute.
    for id in 2..=3 {
        three.of(id).shutdown(LONG).expect("it stops");
    }
    client.write(&[propose(2, "say nothing"), query(3, "total")].concat());
    let answers = client.read_answers(2);

    assert!(answers.values().all(|said| matches!(said, Said::Refused { .. })), "{answers:?}");
}

#[test]
fn what_clients_do_is_counted() {
    let alone = Alone::start();
    let mut client = Raw::client(alone.address());
    client.text(&propose(1, "say hello"));
    client.ask(&request(PROPOSE, 2, b"\xFF"));

    let metrics = alone.server.node().metrics();
    let server = &metrics.server;
    assert_eq!((server.connections.get(), server.connects.get()), (1, 1));
    assert_eq!((server.requests.get(), server.answers.get(), server.refused.get()), (2, 2, 1));
    assert!(server.bytes_received.get() > 0 && server.bytes_sent.get() > 0);
    assert!(metrics.to_prometheus().contains("\nquorate_server_requests_total 2\n"));
    assert!(metrics.to_prometheus().contains("\nquorate_server_connections 1\n"));
}
