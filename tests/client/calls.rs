//! What a client can ask, of whom, and what it hears.

use std::thread;
use std::time::Duration;

use quorate::{Client, ClientConfig, ClientError, ClientReadError, ConnectError, Outcome};

use crate::scene::{Alone, LONG, Line, Obedient, Three};

pub(crate) fn line(text: &str) -> Line {
    Line(text.to_owned())
}

/// A client that was told of all three.
pub(crate) fn client_of(three: &Three) -> Client<Obedient> {
    Client::connect_with(config_of(three)).expect("the nodes are there")
}

pub(crate) fn config_of(three: &Three) -> ClientConfig {
    let addresses = three.servers.iter().map(|server| server.local_addr().to_string());
    ClientConfig::new(addresses).call_timeout(LONG).connect_within(LONG)
}

#[test]
fn a_command_takes_effect_and_a_query_sees_it_whichever_node_was_named() {
    let three = Three::start();
    for (nth, server) in three.servers.iter().enumerate() {
        let client = Client::<Obedient>::connect([server.local_addr().to_string()]).expect("it is there");

        let total = client.propose(line("add 5")).expect("it is applied");
        let seen = client.query(line("total")).expect("it is answered");

        let expected = (5 * (nth + 1)).to_string();
        assert_eq!((&total, &seen), (&expected, &expected));
    }
}

#[test]
fn one_thread_keeps_a_thousand_commands_and_queries_in_flight() {
    let three = Three::start();
    let client = client_of(&three);

    let commands: Vec<_> = (0..1500).map(|_| client.submit(line("add 1"))).collect();
    let queries: Vec<_> = (0..500).map(|_| client.submit_query(line("total"))).collect();

    let mut totals: Vec<u64> =
        commands.into_iter().map(|ticket| ticket.wait().expect("it is applied").parse().unwrap()).collect();
    totals.sort_unstable();
    assert_eq!(totals, (1..=1500).collect::<Vec<_>>());
    for ticket in queries {
        ticket.wait().expect("it is answered");
    }
    assert_eq!(client.query(line("total")).unwrap(), "1500");
}

#[test]
fn many_threads_share_one_client() {
    let three = Three::start();
    let client = client_of(&three);

    thread::scope(|scope| {
        for _ in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    client.propose(line("add 1")).expect("it is applied");
                }
            });
        }
    });

    assert_eq!(client.query(line("total")).unwrap(), "400");
}

#[test]
fn each_node_can_be_asked_for_its_copy_and_for_its_status() {
    let three = Three::start();
    let client = client_of(&three);
    client.propose(line("add 7")).expect("it is applied");

    for id in 1..=3 {
        let index = three.of(three.leader()).node().status().commit;
        three.of(id).node().wait_applied(index, LONG).expect("it follows");
        assert_eq!(client.query_local_on(id, line("total")).as_deref(), Ok("7"));
        let status = client.status_of(id).expect("it is answered");
        assert_eq!((status.node, status.voters.len()), (id, 3));
        assert_eq!(status.leader, Some(three.leader()));
    }
    assert!(client.query_local(line("total")).is_ok());
    assert!((1..=3).contains(&client.status().expect("it is answered").node));
    for stranger in [0, 9] {
        let refused = ClientReadError::NotMember { node: stranger };
        assert_eq!(client.status_of(stranger), Err(refused.clone()));
        assert_eq!(client.query_local_on(stranger, line("total")), Err(refused));
    }
}

#[test]
fn queries_that_are_spread_are_as_fresh_as_those_of_the_leader() {
    let three = Three::start();
    let writer = client_of(&three);
    let reader =
        Client::<Obedient>::connect_with(config_of(&three).spread_reads(true)).expect("the nodes are there");

    for count in 1..=100 {
        writer.propose(line("add 1")).expect("it is applied");
        assert_eq!(reader.query(line("total")).unwrap(), count.to_string());
    }
}

#[test]
fn where_followers_do_not_forward_the_client_finds_the_leader_and_follows_it() {
    let three = Three::tuned(|config| config.forwarding(false));
    let follower = three.of(three.a_follower()).local_addr().to_string();
    let client = Client::<Obedient>::connect_with(ClientConfig::new([follower]).call_timeout(LONG))
        .expect("it is there");

    for count in 1..=20 {
        if count % 5 == 0 {
            let leader = three.leader();
            let _ = three.of(leader).node().transfer_leadership(Some(leader % 3 + 1));
        }
        assert_eq!(client.propose(line("add 1")).expect("it is applied"), count.to_string());
    }
}

#[test]
fn a_query_that_panics_does_so_by_name_and_the_node_lives_on() {
    let alone = Alone::start();
    let client = Client::<Obedient>::connect([alone.address().to_string()]).expect("it is there");

    let error = client.query(line("nonsense")).expect_err("it panics");

    assert!(
        matches!(&error, ClientReadError::Panicked { message } if message.contains("nonsense")),
        "{error}"
    );
    assert_eq!(client.query(line("total")).unwrap(), "0");
}

#[test]
fn a_command_too_large_for_the_cluster_is_refused_by_its_size_and_the_largest_is_taken() {
    let alone = Alone::configured(|config| config.command_bytes_max(100_000).into());
    let client = Client::<Obedient>::connect([alone.address().to_string()]).expect("it is there");
    let say = |bytes: usize| line(&format!("say {}", "x".repeat(bytes - 4)));

    assert_eq!(client.propose(say(100_000)).expect("it is applied").len(), 99_996);
    let error = client.propose(say(100_001)).expect_err("it is too large");

    assert_eq!(error, ClientError::TooLarge { bytes: 100_001, limit: 100_000 });
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[test]
fn answers_of_any_size_that_is_allowed_arrive_whole() {
    let alone = Alone::start();
    let client = Client::<Obedient>::connect([alone.address().to_string()]).expect("it is there");

    for bytes in [0, 1, 60_000, 70_000, 3 << 20] {
        let answer = client.query(line(&format!("long {bytes}"))).expect("it is answered");
        assert_eq!(answer.len(), bytes);
    }
}

#[test]
fn a_client_of_another_machine_is_told_that_it_is_not_understood() {
    let alone = Alone::start();
    let client = Client::<Numbers>::connect([alone.address().to_string()]).expect("it is there");

    let error = client.propose(vec![0xFF, 0xFE]).expect_err("no text");
    assert_eq!((&error, error.outcome()), (&ClientError::Malformed, Outcome::NotApplied));
    assert_eq!(client.query(vec![0xFF]), Err(ClientReadError::Malformed));

    // It is applied, and its answer, "5", is no number of eight bytes.
    let error = client.propose(b"add 5".to_vec()).expect_err("another type");
    assert!(matches!(error, ClientError::BadResponse { .. }));
    assert_eq!(error.outcome(), Outcome::Unknown);
}

/// The types that another machine has.
struct Numbers;

impl quorate::StateMachine for Numbers {
    type Command = Vec<u8>;
    type Query = Vec<u8>;
    type Response = u64;

    fn apply(&mut self, _at: quorate::LogPosition, _command: Vec<u8>) -> u64 {
        unreachable!("a client runs no machine")
    }

    fn query(&self, _query: Vec<u8>) -> u64 {
        unreachable!("a client runs no machine")
    }

    fn snapshot(&self) -> Result<quorate::SnapshotWriter, quorate::SnapshotError> {
        unreachable!("a client runs no machine")
    }

    fn restore(&mut self, _snapshot: &mut dyn std::io::Read) -> Result<(), quorate::MachineError> {
        unreachable!("a client runs no machine")
    }
}

#[test]
fn a_wrong_token_is_told_at_once_and_the_right_one_lets_in() {
    let alone = Alone::configured(|config| config.token("sesame").into());
    let address = [alone.address().to_string()];
    let connect = |config: ClientConfig| Client::<Obedient>::connect_with(config.connect_within(LONG));

    for config in [ClientConfig::new(&address), ClientConfig::new(&address).token("open")] {
        let error = connect(config).expect_err("it is refused");
        assert!(matches!(&error, ConnectError::Unreachable { tried } if tried.contains("token")), "{error}");
    }

    assert!(connect(ClientConfig::new(&address).token("sesame")).is_ok());
}

#[test]
fn another_cluster_is_not_taken_for_the_one_that_is_meant() {
    let (one, other) = (Alone::start(), Alone::start());
    let meant = Client::<Obedient>::connect([one.address().to_string()]).expect("it is there").cluster();
    let address = [other.address().to_string()];
    let connect = |address: &[String]| {
        Client::<Obedient>::connect_with(ClientConfig::new(address).cluster(meant).connect_within(LONG))
    };

    let error = connect(&address).expect_err("it is another");
    assert!(
        matches!(&error, ConnectError::Unreachable { tried } if tried.contains("another cluster")),
        "{error}"
    );

    // Among both it finds the right one.
    let both = [other.address().to_string(), one.address().to_string()];
    let client = connect(&both).expect("one of them is meant");
    client.propose(line("add 1")).expect("it is applied");
    assert_eq!(one.server.node().query(line("total")).unwrap(), "1");
    assert_eq!(other.server.node().query(line("total")).unwrap(), "0");
}

#[test]
fn without_a_majority_a_call_fails_at_its_deadline_by_name() {
    let mut three = Three::start();
    let client = client_of(&three);
    client.propose(line("add 1")).expect("it is applied");
    let leader = three.leader();
    let survivor = three.servers.swap_remove((leader % 3) as usize);
    three.servers.clear();

    let command = client.propose_within(line("add 1"), Duration::from_secs(1)).expect_err("no majority");
    let query = client.query_within(line("total"), Duration::from_secs(1)).expect_err("no majority");

    // It was never taken, or sent to a node that was just going.
    assert!(matches!(command, ClientError::NoLeader | ClientError::DeadlinePassed | ClientError::Unknown));
    assert!(matches!(query, ClientReadError::NoLeader | ClientReadError::DeadlinePassed), "{query}");
    drop(survivor);
}

#[test]
fn with_all_nodes_down_the_error_names_each_address_and_why() {
    let mut three = Three::start();
    let client = client_of(&three);
    client.propose(line("add 1")).expect("it is applied");
    let addresses: Vec<_> = three.servers.iter().map(|server| server.local_addr().to_string()).collect();
    three.servers.clear();

    let error = loop {
        match client.propose_within(line("add 1"), Duration::from_secs(1)).expect_err("nobody is there") {
            // A connection that was not known to be lost took it.
            ClientError::Unknown => {}
            error => break error,
        }
    };

    let ClientError::Unreachable { tried } = &error else { panic!("{error}") };
    assert!(addresses.iter().all(|address| tried.contains(address.as_str())), "{tried}");
    assert!(tried.contains("refused"), "{tried}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[test]
fn nobody_at_any_address_is_an_error_that_names_them_all() {
    let addresses = ["127.0.0.1:1", "no-such-host.invalid:7001"];

    let config = ClientConfig::new(addresses).connect_within(Duration::from_secs(2));
    let error = Client::<Obedient>::connect_with(config).expect_err("nobody is there").to_string();

    assert!(error.contains("127.0.0.1:1: ") && error.contains("no-such-host.invalid:7001: "), "{error}");
}
