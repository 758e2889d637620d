//! A leader that is told to stop hands over before it goes.

use std::thread;

use crate::program::client::{Answer, Client};
use crate::stand::{Stand, eventually};

const WRITES: i64 = 400;

/// Writes one key after the other. What is refused as certainly not applied is sent again; there must be nothing else.
fn write_many(client: &mut Client, writer: u32) {
    for number in 0..WRITES {
        let key = format!("{writer}:{number}");
        loop {
            match client.call(&[b"SET", key.as_bytes(), b"v"]).expect("a node that runs answers") {
                Answer::Status(_) => break,
                Answer::Error(text) if text.starts_with("TRYAGAIN ") => {}
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_and_leaves_no_write_in_doubt() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let others: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    for &id in &others {
        stand.insist(id, "SET warm up");
    }
    let term = stand.status(leader).unwrap()["term"].as_u64().unwrap();
    let mut clients: Vec<_> = others.iter().map(|&id| stand.client(id)).collect();
    let mut witness = stand.client(others[0]);

    thread::scope(|scope| {
        for (client, writer) in clients.iter_mut().zip(1..) {
            scope.spawn(move || write_many(client, writer));
        }
        eventually("writes are under way", || match witness.call(&[b"DBSIZE"]) {
            Ok(Answer::Integer(size)) => (size > 50).then_some(()),
            _ => None,
        });
        assert_eq!(stand.terminate(leader), Some(0));
    });

    let status = stand.status(stand.leader()).unwrap();
    assert_eq!(status["term"], term + 1, "one transfer, and no election behind it");
    assert_eq!(stand.ask(others[0], "DBSIZE").unwrap(), Answer::Integer(2 * WRITES + 1));
}
