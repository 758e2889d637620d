//! Three processes: any of them serves, and strangers harm none.

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;

use crate::program::client::Answer;
use crate::random::Random;
use crate::stand::{Stand, eventually};

fn ok() -> Answer {
    Answer::Status("OK".into())
}

#[test]
fn every_node_takes_writes_and_gives_current_reads() {
    reads_are_current(&Stand::start(3), 0..20);
}

#[test]
fn reads_within_a_lease_are_current_too_whoever_leads() {
    let stand = Stand::prepare(3).with_options(&["--lease-reads"]).start_all();
    for (round, to) in (0..).zip([1, 2, 3, 1]) {
        eventually("it leads", || {
            let leads =
                stand.leader_now()? == to || stand.ask(to, &format!("RAFT TRANSFER {to}")).ok()? == ok();
            leads.then_some(())
        });
        for id in 1..=3 {
            stand.insist(id, "SET k before");
        }
        reads_are_current(&stand, round * 5..(round + 1) * 5);
    }
}

/// What was written through one node is read through every other.
fn reads_are_current(stand: &Stand, rounds: Range<u32>) {
    for round in rounds {
        for writer in 1..=3 {
            let value = format!("{round}-by-{writer}");
            let written = stand.ask(writer, &format!("SET k {value}"));
            assert_eq!(written.expect("the writer answers"), ok());
            for reader in 1..=3 {
                let read = stand.ask(reader, "GET k").expect("the reader answers");
                assert_eq!(read, Answer::Bulk(value.clone().into()), "written by {writer}, read by {reader}");
            }
        }
    }
}

#[test]
fn the_leader_tells_of_its_peers_and_the_others_of_their_leader() {
    let stand = Stand::start(3);
    let leader = stand.leader();
    eventually("both followers replicate", || {
        let status = stand.status(leader)?;
        let peers = status["peers"].as_array()?;
        let up = |peer: &&serde_json::Value| peer["connected"] == true && peer["state"] == "replicate";
        (peers.len() == 2 && peers.iter().filter(up).count() == 2).then_some(())
    });
    for id in 1..=3 {
        let status = eventually("the leader is known", || {
            stand.status(id).filter(|status| status["leader"].as_u64() == Some(leader as u64))
        });
        assert_eq!(status["voters"], serde_json::json!([1, 2, 3]));
        assert!(id == leader || status["peers"] == serde_json::json!([]));
    }
}

#[test]
fn without_a_majority_a_write_is_not_acknowledged() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let mut client = stand.client(leader);
    assert_eq!(client.call(&[b"SET", b"k", b"before"]).unwrap(), ok());
    for id in (1..=3).filter(|&id| id != leader) {
        stand.kill(id);
    }

    match client.call(&[b"SET", b"k", b"after"]).unwrap() {
        Answer::Error(text) => {
            assert!(text.starts_with("TRYAGAIN ") || text.starts_with("UNKNOWN "), "{text}");
        }
        other => panic!("acknowledged without a majority: {other:?}"),
    }
}

#[test]
fn a_node_whose_log_fails_says_so_and_the_others_go_on() {
    let mut stand = Stand::prepare(3);
    stand.start_node_with_short_files(1);
    stand.start_node(2);
    stand.start_node(3);
    stand.leader();
    let value = vec![b'v'; 3 << 20];

    let said = eventually("the log of node 1 fails", || {
        let _ = stand.client(2).call(&[b"SET", b"k", &value]);
        match stand.client(1).call(&[b"GET", b"k"]) {
            Ok(Answer::Error(text)) if text.starts_with("READONLY ") => Some(text),
            _ => None,
        }
    });

    assert!(said.contains("the log failed"), "{said}");
    let refused = stand.client(1).call(&[b"SET", b"k", b"by 1"]);
    assert!(matches!(refused, Ok(Answer::Error(text)) if text.starts_with("READONLY ")));
    eventually("the others take writes", || {
        (stand.client(2).call(&[b"SET", b"k", b"by 2"]).ok()? == ok()).then_some(())
    });
    assert_eq!(stand.client(3).call(&[b"GET", b"k"]).unwrap(), Answer::Bulk(b"by 2".into()));
    assert_eq!(stand.terminate(1), Some(1), "a node that failed does not end well");
}

#[test]
fn strangers_on_the_raft_port_change_nothing() {
    let mut stand = Stand::start(3);
    assert_eq!(stand.client(1).call(&[b"SET", b"k", b"v"]).unwrap(), ok());
    let mut random = Random::new(Random::seed());
    let mut held = Vec::new();
    for round in 0..60 {
        let mut stream = TcpStream::connect(stand.raft(round % 3 + 1)).expect("the port is open");
        let bytes: Vec<u8> = match round % 4 {
            // Somebody who mistook the port.
            0 => b"*1\r\n$4\r\nPING\r\n".into(),
            // Lengths beyond all measure.
            1 => [vec![0xFF; 64], vec![0; 64]].concat(),
            // Noise.
            2 => (0..random.below(5_000)).map(|_| random.next() as u8).collect(),
            // Silence.
            _ => Vec::new(),
        };
        // The node may have hung up already.
        let _ = stream.write_all(&bytes);
        held.push(stream);
    }

    for (id, count) in (1..=3).zip(1..) {
        assert!(stand.runs(id));
        assert_eq!(stand.client(id).call(&[b"GET", b"k"]).unwrap(), Answer::Bulk(b"v".into()));
        assert_eq!(stand.client(id).call(&[b"INCR", b"n"]).unwrap(), Answer::Integer(count));
    }
}
