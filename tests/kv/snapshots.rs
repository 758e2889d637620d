//! A follower that was away for so long that the log does not reach back to it gets a snapshot instead.

use std::fs;
use std::path::Path;

use crate::program::client::Answer;
use crate::stand::{Stand, eventually};

const VALUES: usize = 48;
const VALUE_BYTES: usize = 2 << 20;

/// When the follower has this much of the snapshot, it is killed.
const ENOUGH_BYTES: u64 = 8 << 20;

fn ok() -> Answer {
    Answer::Status("OK".into())
}

fn value(number: usize) -> Vec<u8> {
    let mut value = format!("{number:08}").into_bytes();
    value.resize(VALUE_BYTES, b'a' + (number % 26) as u8);
    value
}

/// Whether part of a snapshot of another node lies in a directory.
fn is_receiving(directory: &Path) -> bool {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|file| file.path()).any(|path| path.extension().is_some_and(|word| word == "receiving"))
}

/// What the process of a node has received of snapshots, in bytes.
fn received(stand: &Stand, id: usize) -> Option<u64> {
    let Ok(Answer::Bulk(metrics)) = stand.ask(id, "RAFT METRICS") else { return None };
    let metrics = String::from_utf8(metrics).expect("metrics are text");
    let name = "quorate_log_snapshot_bytes_received_total ";
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

#[test]
fn a_follower_killed_while_it_receives_a_snapshot_finishes_after_its_restart() {
    let mut stand = Stand::prepare(3).with_options(&["--snapshot-entries", "100"]).start_all();
    let leader = stand.leader();
    let away = (1..=3).find(|&id| id != leader).unwrap();
    stand.insist(away, "SET early bird");
    let applied = stand.status(away).unwrap()["applied"].as_u64().unwrap();
    stand.kill(away);
    let mut client = stand.client(leader);
    for number in 0..VALUES {
        let answer = client.call(&[b"SET", format!("large:{number}").as_bytes(), &value(number)]).unwrap();
        assert_eq!(answer, ok());
    }
    for number in 0..2_000 {
        client.send(&[b"SET", format!("small:{number}").as_bytes(), b"v"]).unwrap();
    }
    for _ in 0..2_000 {
        assert_eq!(client.receive().unwrap(), ok());
    }
    eventually("the log has left the follower behind", || {
        (stand.status(leader)?["first_index"].as_u64()? > applied + 1).then_some(())
    });

    stand.start_node(away);
    let had = eventually("a snapshot is on its way", || {
        received(&stand, away).filter(|&bytes| bytes > ENOUGH_BYTES)
    });
    stand.kill(away);
    assert!(is_receiving(&stand.data(away)), "it was in the middle, and what was received stays");
    stand.start_node(away);

    let status = eventually("the follower has caught up", || {
        let commit = stand.status(leader)?["commit"].as_u64()?;
        stand.status(away).filter(|status| status["applied"].as_u64() >= Some(commit))
    });
    assert!(status["snapshot_index"].as_u64().unwrap() > applied, "by a snapshot: {status}");
    assert!(status["first_index"].as_u64().unwrap() > applied + 1, "{status}");
    let total = (VALUES * VALUE_BYTES) as u64;
    assert!(
        received(&stand, away).unwrap() < total - had / 2,
        "it went on where it was, of {total} it had {had}"
    );
    assert!(!is_receiving(&stand.data(away)), "nothing is left of the transfer");
    for id in [leader, away] {
        let mut client = stand.client(id);
        for number in 0..VALUES {
            let read = client.call(&[b"GET", format!("large:{number}").as_bytes()]).unwrap();
            assert!(read == Answer::Bulk(value(number)), "value {number} of node {id}");
        }
        assert_eq!(
            client.call(&[b"DBSIZE"]).unwrap(),
            Answer::Integer(2_001 + i64::try_from(VALUES).unwrap())
        );
        assert_eq!(client.call(&[b"GET", b"early"]).unwrap(), Answer::Bulk(b"bird".into()));
    }
    let peers = stand.status(leader).unwrap()["peers"].clone();
    let peer = peers.as_array().unwrap().iter().find(|peer| peer["id"] == away).cloned();
    assert_eq!(peer.map(|peer| peer["state"].clone()), Some("replicate".into()), "it streams again");
}

#[test]
fn a_node_that_is_told_to_stop_does_not_wait_for_a_snapshot_that_it_writes() {
    let mut stand = Stand::start(1);
    let mut client = stand.client(1);
    for number in 0..VALUES {
        let answer = client.call(&[b"SET", format!("large:{number}").as_bytes(), &value(number)]).unwrap();
        assert_eq!(answer, ok());
    }
    client.send(&[b"RAFT", b"SNAPSHOT"]).unwrap();
    eventually("it is being written, or is already", || {
        let files = fs::read_dir(stand.data(1)).expect("the directory can be read").flatten();
        let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.any(|name| name.ends_with(".writing") || name.ends_with(".snapshot")).then_some(())
    });

    assert_eq!(stand.terminate(1), Some(0));
    stand.start_node(1);
    stand.leader();
    assert_eq!(stand.ask(1, "DBSIZE").unwrap(), Answer::Integer(i64::try_from(VALUES).unwrap()));
}

#[test]
fn a_stopped_node_shows_its_snapshots_and_none_is_changed_by_looking() {
    let mut stand = Stand::start(1);
    for number in 0..20 {
        assert_eq!(stand.ask(1, &format!("SET k{number} v")).unwrap(), ok());
    }
    let Answer::Integer(index) = stand.ask(1, "RAFT SNAPSHOT").unwrap() else { panic!("no index") };
    assert_eq!(stand.terminate(1), Some(0));

    let output = crate::stand::run(&["inspect", &stand.data(1).display().to_string()]);

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|line| line.contains("snapshot") && line.contains(&index.to_string()));
    assert!(line.is_some(), "{said}");
}
