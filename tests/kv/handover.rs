//! A leader that is told to stop hands over before it goes.

use std::thread;

use crate::program::client::{Answer, Client};
use crate::stand::{Stand, eventually};

const WRITES: i64 = 400;

fn write_many(client: &mut Client, writer: u32) -> Vec<Answer> {
    let write = |number| client.call(&[b"SET", format!("{writer}:{number}").as_bytes(), b"v"]);
    (0..WRITES).map(write).collect::<Result<_, _>>().expect("a node that runs answers")
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_and_no_write_fails() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let others: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    for &id in &others {
        stand.insist(id, "SET warm up");
    }
    let term = stand.status(leader).unwrap()["term"].as_u64().unwrap();
    let mut clients: Vec<_> = others.iter().map(|&id| stand.client(id)).collect();
    let mut witness = stand.client(others[0]);

    let written = thread::scope(|scope| {
        let writers: Vec<_> = clients
            .iter_mut()
            .zip(1..)
            .map(|(client, writer)| scope.spawn(move || write_many(client, writer)))
            .collect();
        eventually("writes are under way", || match witness.call(&[b"DBSIZE"]) {
            Ok(Answer::Integer(size)) => (size > 50).then_some(()),
            _ => None,
        });
        assert_eq!(stand.terminate(leader), Some(0));
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });

    let failed: Vec<_> = written.iter().filter(|&answer| *answer != Answer::Status("OK".into())).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let status = stand.status(stand.leader()).unwrap();
    assert_eq!(status["term"], term + 1, "one transfer, and no election");
    assert_eq!(stand.ask(others[0], "DBSIZE").unwrap(), Answer::Integer(2 * WRITES + 1));
}
