//! Whoever can reach the port can send anything to it: nobody but the sender suffers.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use super::harness::{
    CLUSTER, Fabric, Loopback, PATIENCE, Seen, connected, directory, id, joiner, local, lone, lone_node,
    numbered, start,
};
use super::raw::{Raw, encoded, hello};
use crate::transport::{Listen, TcpConfig, TcpTransport, TransportError};
use crate::types::{ClusterId, Incarnation};
use crate::wire::frame::PROTOCOL_VERSION;
use crate::wire::greeting::Secret;
use crate::wire::hello::{Answer, Hello, Reason};

#[test]
fn garbage_closes_the_connection_and_disturbs_no_peer() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut peer = Raw::peer(address, 2);
    assert_eq!(node.next(), connected(2));
    let zeros = [0; 100];
    let truncated_hello = encoded(&hello(3));
    let mut oversized_hello = encoded(&hello(3));
    oversized_hello[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    let mut flipped_hello = encoded(&hello(3));
    flipped_hello[20] ^= 1;

    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &zeros,
        &[0xFF; 5000],
        &oversized_hello,
        &flipped_hello,
        &[&truncated_hello[..8], &zeros].concat(),
    ];
    for bytes in garbage {
        let mut stranger = Raw::dial(address);
        stranger.write(bytes);
        stranger.wait_for_end();
    }

    assert_eq!(metrics.frames_malformed.get(), 6);
    peer.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
}

#[test]
fn each_kind_of_stranger_is_told_why_it_is_refused() {
    let (node, address, metrics) = lone_node(|config| config.token = Some(b"sesame".to_vec()));
    node.set_peers([(2, "127.0.0.1:9".into(), Some(directory(2)))]);
    let sesame = || Secret::new(b"sesame".to_vec());
    let refusal = |change: &dyn Fn(&mut Hello)| {
        let mut hello = Hello { token: sesame(), ..hello(2) };
        change(&mut hello);
        let mut stranger = Raw::dial(address);
        stranger.write(&encoded(&hello));
        let answer = stranger.read_answer();
        stranger.wait_for_end();
        answer
    };
    let refused = Answer::Refused;

    assert_eq!(refusal(&|hello| hello.cluster = ClusterId(CLUSTER.0 ^ 1)), refused(Reason::OtherCluster));
    assert_eq!(refusal(&|hello| hello.destination = id(3)), refused(Reason::WrongDestination));
    assert_eq!(refusal(&|hello| hello.token = Secret::default()), refused(Reason::WrongToken));
    assert_eq!(refusal(&|hello| hello.token = Secret::new(b"sesamf".into())), refused(Reason::WrongToken));
    assert_eq!(
        refusal(&|hello| hello.versions = (PROTOCOL_VERSION + 1, 7)),
        refused(Reason::NoCommonVersion)
    );
    assert_eq!(refusal(&|hello| hello.versions = (0, 0)), refused(Reason::NoCommonVersion));
    assert_eq!(refusal(&|hello| hello.node = id(1)), refused(Reason::Malformed));
    let replaced = refusal(&|hello| hello.incarnation = Incarnation(1));
    assert_eq!(replaced, refused(Reason::ContradictingIncarnation));
    assert_eq!(metrics.refused.get(), 8);
}

#[test]
fn where_directories_may_be_former_ones_another_one_is_taken_of_a_node_that_joined_and_of_no_founder() {
    let (node, address, _) = lone_node(|_| {});
    node.set_peers_perhaps_former([(2, "127.0.0.1:9".into(), Some(directory(2)))]);
    let answer = |incarnation| {
        let mut stranger = Raw::dial(address);
        stranger.write(&encoded(&Hello { incarnation, ..hello(2) }));
        stranger.read_answer()
    };

    let founder = answer(Incarnation::of_founder(77));
    assert_eq!(founder, Answer::Refused(Reason::ContradictingIncarnation));
    let joiner = answer(Incarnation::of_joiner(77));
    assert!(matches!(joiner, Answer::Accepted { .. }), "{joiner:?}");
}

#[test]
fn a_node_that_waits_for_its_cluster_takes_it_from_nobody_whom_it_refuses() {
    let (node, address, metrics) = lone(joiner(1), |config| config.token = Some(b"sesame".to_vec()));
    let good = || Hello { token: Secret::new(b"sesame".to_vec()), ..hello(2) };
    let wrong = [
        Hello { token: Secret::default(), ..good() },
        Hello { destination: id(3), ..good() },
        Hello { versions: (0, 0), ..good() },
        Hello { node: id(1), ..good() },
    ];
    for hello in wrong {
        let mut stranger = Raw::dial(address);
        stranger.write(&encoded(&hello));
        assert!(matches!(stranger.read_answer(), Answer::Refused(_)));
        stranger.wait_for_end();
    }

    let mut peer = Raw::dial(address);
    peer.write(&encoded(&good()));

    assert!(matches!(peer.read_answer(), Answer::Accepted { cluster: CLUSTER, .. }));
    assert_eq!((node.next(), node.next()), (Seen::Adopted(CLUSTER), connected(2)));
    let mut late = Raw::dial(address);
    late.write(&encoded(&Hello { cluster: ClusterId(CLUSTER.0 ^ 1), node: id(3), ..good() }));
    assert_eq!(late.read_answer(), Answer::Refused(Reason::OtherCluster));
    assert_eq!(metrics.refused.get(), 5);
}

#[test]
fn who_is_refused_and_talks_on_is_not_listened_to() {
    let (_node, address, metrics) = lone_node(|_| ());
    let mut stranger = Raw::dial(address);
    let wrong = Hello { cluster: ClusterId(1), ..hello(2) };

    stranger.write(&[encoded(&wrong), vec![7; 100_000]].concat());

    stranger.wait_for_end();
    assert_eq!(metrics.refused.get(), 1);
}

#[test]
fn a_later_version_with_fields_that_we_do_not_know_is_a_peer() {
    let (node, address, _) = lone_node(|_| ());
    let mut peer = Raw::dial(address);

    peer.write(&encoded(&Hello { versions: (1, 200), ..hello(2) }));

    assert!(matches!(peer.read_answer(), Answer::Accepted { version: PROTOCOL_VERSION, .. }));
    assert_eq!(node.next(), connected(2));
}

#[test]
fn who_does_not_say_who_it_is_in_time_is_closed() {
    let (_node, address, metrics) = lone_node(|config| config.handshake = Duration::from_millis(50));
    let mut mute = Raw::dial(address);
    let mut slow = Raw::dial(address);
    slow.write(&encoded(&hello(2))[..20]);

    mute.wait_for_end();
    slow.wait_for_end();

    assert_eq!(metrics.silent.get(), 2);
}

#[test]
fn a_crowd_of_strangers_makes_room_for_a_peer() {
    let (node, address, metrics) = lone_node(|config| config.connections_max = 8);
    let mut crowd: Vec<Raw> = (0..8).map(|_| Raw::dial(address)).collect();

    let mut peer = Raw::peer(address, 2);

    assert_eq!(node.next(), connected(2));
    crowd[0].wait_for_end();
    assert_eq!(metrics.turned_away.get(), 1);
    peer.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 2, number: 1 });
}

#[test]
fn when_only_peers_stand_one_more_is_turned_away() {
    let (_node, address, metrics) = lone_node(|config| config.connections_max = 2);
    let _peers = [Raw::peer(address, 2), Raw::peer(address, 3)];

    Raw::dial(address).wait_for_end();

    assert_eq!(metrics.turned_away.get(), 1);
}

#[test]
fn a_hundred_peers_may_come_at_once() {
    let (node, address, metrics) = lone_node(|_| ());
    let mut peers: Vec<Raw> = (2..102).map(|_| Raw::dial(address)).collect();

    for (nth, raw) in peers.iter_mut().enumerate() {
        raw.write(&encoded(&hello(nth as u64 + 2)));
    }
    for raw in &mut peers {
        assert!(matches!(raw.read_answer(), Answer::Accepted { .. }));
        raw.send(&numbered(9));
    }

    let mut heard: Vec<u64> = std::iter::repeat_with(|| node.next())
        .filter_map(|seen| match seen {
            Seen::Message { from, .. } => Some(from),
            _ => None,
        })
        .take(100)
        .collect();
    heard.sort_unstable();
    assert!(heard.into_iter().eq(2..102));
    assert_eq!(metrics.connects.get(), 100);
}

#[test]
fn a_port_that_is_in_use_is_named_in_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let refused = TcpTransport::bind(TcpConfig::new(Listen::Address(address.clone()), address.clone()));

    assert!(matches!(refused.err(), Some(TransportError::Listen { address: named, .. }) if named == address));
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_port_is_taken() {
    let config = |change: &dyn Fn(&mut TcpConfig)| {
        let mut config = TcpConfig::new(Listen::Address("no such address".into()), "a:1");
        change(&mut config);
        TcpTransport::bind(config).err()
    };
    let is_refused = |error| matches!(error, Some(TransportError::Misconfigured(_)));

    assert!(is_refused(config(&|config| config.advertised = "a".repeat(257))));
    assert!(is_refused(config(&|config| config.token = Some(vec![0; 1025]))));
    assert!(is_refused(config(&|config| config.frame_bytes_max = 1000)));
    assert!(is_refused(config(&|config| config.silence = Duration::ZERO)));
    assert!(is_refused(config(&|config| config.connections_max = 0)));
    assert!(matches!(config(&|_| ()), Some(TransportError::Listen { .. })));
}

#[test]
fn a_peer_is_found_by_its_name() {
    let loopback = Loopback::new();
    let one = start(&loopback, local(1), &[]);
    let _two = start(&loopback, local(2), &[]);
    let port = loopback.address(id(2)).rsplit_once(':').unwrap().1.to_owned();

    one.set_peers([(2, format!("localhost:{port}"), None)]);

    assert_eq!(one.next(), connected(2));
}

#[test]
fn a_peer_is_reached_over_ipv6() {
    let listener = TcpListener::bind("[::1]:0").expect("loopback speaks IPv6");
    let (node, _, _) = lone_node(|_| ());

    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);
    let _two = Raw::answer(&listener, 2);

    assert_eq!(node.next(), connected(2));
}

#[test]
fn a_name_that_nobody_knows_harms_nobody_and_the_right_one_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (node, address, _) = lone_node(|_| ());
    node.set_peers([(2, "no such name:7001".into(), None)]);
    let mut calm = Raw::peer(address, 3);
    assert_eq!(node.next(), connected(3));
    calm.send(&numbered(1));
    assert_eq!(node.next(), Seen::Message { from: 3, number: 1 });

    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);
    let _two = Raw::answer(&listener, 2);

    assert_eq!(node.next(), connected(2));
}

#[test]
fn who_dials_a_stranger_by_mistake_does_not_take_it_for_the_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (node, _, metrics) = lone_node(|_| ());
    node.set_peers([(2, listener.local_addr().unwrap().to_string(), None)]);

    // First something that is no node at all, then a node that is not the one expected.
    let (stranger, _) = listener.accept().unwrap();
    let mut stranger = Raw(stranger);
    stranger.0.set_read_timeout(Some(PATIENCE)).unwrap();
    stranger.write(b"220 mail.example ESMTP\r\n");
    stranger.wait_for_end();
    let mut other = Raw::answer_as(&listener, 2, 3);
    other.wait_for_end();

    assert_eq!((metrics.frames_malformed.get(), metrics.refused.get()), (1, 1));
    assert_eq!(node.stop(), []);
}

#[test]
fn a_stranger_that_hangs_up_leaves_nothing_behind() {
    let (node, address, metrics) = lone_node(|_| ());
    for _ in 0..20 {
        Raw::dial(address).0.shutdown(Shutdown::Both).unwrap();
    }

    let _peer = Raw::peer(address, 2);

    assert_eq!(node.next(), connected(2));
    assert_eq!(metrics.frames_malformed.get(), 0);
}
