//! Who is let in, and why others are not.

use quorate::{Config, Node, Server, ServerConfig};

use crate::raw::{
    Hello, NO_CLUSTER, NO_COMMON_VERSION, NO_SERVER, OTHER_CLUSTER, Raw, Said, WRONG_TOKEN, Welcome, propose,
};
use crate::scene::{Alone, Hold, LONG, Obedient, socket_of_ones_own};

fn accepted(welcome: Welcome) -> (u64, u64) {
    match welcome {
        Welcome::Accepted { version: 1, cluster, node, .. } => (cluster, node),
        other => panic!("refused: {other:?}"),
    }
}

#[test]
fn a_client_learns_the_cluster_and_its_limits_and_may_name_it_from_then_on() {
    let alone = Alone::configured(|config| ServerConfig::new(config.command_bytes_max(1000)));
    let mut stranger = Raw::dial(alone.address());
    stranger.write(&Hello::default().bytes());
    let welcome = stranger.read_welcome();
    assert!(matches!(welcome, Welcome::Accepted { frame_bytes_max, .. } if frame_bytes_max >= 1000));
    let (cluster, node) = accepted(welcome);
    assert_eq!(node, 1);

    let mut friend = Raw::dial(alone.address());
    friend.write(&Hello { cluster: Some(cluster), ..Hello::default() }.bytes());
    assert_eq!(accepted(friend.read_welcome()), (cluster, 1));

    let address = alone.address().to_string();
    for mut client in [stranger, friend] {
        let (leader, members) = client.read_cluster();
        assert_eq!(members, [(1, address.clone())].into());
        if leader.is_none() {
            client.wait_for_leader(1);
        }
    }
}

#[test]
fn each_contradiction_is_refused_by_its_name() {
    let alone = Alone::configured(|config| config.token("sesame").into());
    let hello = || Hello { token: "sesame", ..Hello::default() };
    let refusal = |hello: &Hello| match Raw::refusal(alone.address(), hello) {
        Welcome::Refused(reason) => reason,
        Welcome::Accepted { .. } => panic!("not refused"),
    };

    assert_eq!(refusal(&Hello { token: "", ..hello() }), WRONG_TOKEN);
    assert_eq!(refusal(&Hello { token: "sesamf", versions: (9, 9), ..hello() }), WRONG_TOKEN);
    assert_eq!(refusal(&Hello { versions: (2, 9), ..hello() }), NO_COMMON_VERSION);
    assert_eq!(refusal(&Hello { versions: (0, 0), ..hello() }), NO_COMMON_VERSION);
    assert_eq!(refusal(&Hello { cluster: Some(1), ..hello() }), OTHER_CLUSTER);
    assert_eq!(alone.server.node().metrics().server.handshakes_refused.get(), 5);
}

#[test]
fn a_later_version_with_fields_that_we_do_not_know_is_a_client() {
    let alone = Alone::start();
    let mut client = Raw::dial(alone.address());

    client.write(&Hello { versions: (1, 200), tail: &[9, 0, 3, 0, 1, 2, 3], ..Hello::default() }.bytes());

    accepted(client.read_welcome());
    assert!(matches!(client.read(), Said::Cluster { .. }));
    assert_eq!(client.text(&propose(1, "add 5")), "5");
}

#[test]
fn a_hello_may_come_byte_by_byte_and_requests_right_behind_it() {
    let alone = Alone::start();
    let mut client = Raw::dial(alone.address());

    for byte in Hello::default().bytes() {
        client.write(&[byte]);
    }
    accepted(client.read_welcome());

    let mut hasty = Raw::dial(alone.address());
    hasty.write(&[Hello::default().bytes(), propose(1, "add 5"), propose(2, "say hello")].concat());
    accepted(hasty.read_welcome());
    assert_eq!(hasty.read_answers(2)[&2], Said::Response { id: 2, text: "hello".to_owned() });
}

#[test]
fn where_no_server_is_or_no_cluster_yet_a_client_is_told_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = |name: &str| {
        let socket = socket_of_ones_own();
        let address = socket.local_addr().expect("bound");
        (Config::new(1, directory.path().join(name), address.to_string()).listener(socket), address)
    };

    let (plain, address) = config("plain");
    let machine = || Obedient::new(&std::sync::Arc::<Hold>::default());
    let _node = Node::start(plain.bootstrap([(1, address.to_string())]), machine()).expect("it starts");
    assert_eq!(Raw::refusal(address, &Hello::default()), Welcome::Refused(NO_SERVER));

    let (joiner, address) = config("joiner");
    let server = Server::start(joiner.join(), machine()).expect("it starts");
    assert_eq!(Raw::refusal(address, &Hello::default()), Welcome::Refused(NO_CLUSTER));
    server.shutdown(LONG).expect("it stops");
}
