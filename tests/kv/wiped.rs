//! A node that comes back with an empty disk forgot what it promised: it is refused until an operator says that it is a
//! new one.

use crate::program::client::Answer;
use crate::stand::{Stand, eventually};

fn ok() -> Answer {
    Answer::Status("OK".into())
}

#[test]
fn a_wiped_node_is_refused_until_it_is_removed_and_added_again() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let wiped = (1..=3).find(|&id| id != leader).unwrap();
    for number in 0..100 {
        assert_eq!(stand.ask(leader, &format!("SET k{number} {number}")).unwrap(), ok());
    }
    stand.await_recognition();

    stand.kill(wiped);
    stand.wipe(wiped, false);
    let log = stand.start_node_with_log(wiped);
    log.await_words("remove it from the cluster and add it again");
    let applied = stand.status(wiped).unwrap()["applied"].as_u64();
    assert!(applied <= Some(1), "nothing is given to it but what it was founded with");

    stand.kill(wiped);
    stand.wipe(wiped, true);
    stand.start_node(wiped);
    let add = format!("RAFT ADD {wiped} {}", stand.raft(wiped));
    let Answer::Error(said) = stand.ask(leader, &add).unwrap() else { panic!("it is a member already") };
    assert!(said.contains("remove it first if it lost its data directory"), "{said}");

    stand.insist(leader, &format!("RAFT REMOVE {wiped}"));
    stand.insist(leader, &add);
    stand.insist(leader, &format!("RAFT PROMOTE {wiped}"));

    for number in 0..100 {
        let read = stand.ask(wiped, &format!("GET k{number}")).unwrap();
        assert_eq!(read, Answer::Bulk(number.to_string().into()));
    }
    // It counts: with it, a majority goes on without the third.
    let third = (1..=3).find(|&id| id != leader && id != wiped).unwrap();
    stand.kill(third);
    eventually("the two go on", || (stand.ask(wiped, "SET k v").ok()? == ok()).then_some(()));
}

#[test]
fn a_node_that_was_removed_may_come_back_with_all_that_it_had() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let guest = (1..=3).find(|&id| id != leader).unwrap();
    assert_eq!(stand.ask(leader, "SET before v").unwrap(), ok());
    stand.await_recognition();

    stand.insist(leader, &format!("RAFT REMOVE {guest}"));
    assert_eq!(stand.terminate(guest), Some(0));
    assert_eq!(stand.ask(leader, "SET meanwhile v").unwrap(), ok());
    stand.start_node(guest);
    stand.insist(leader, &format!("RAFT ADD {guest} {}", stand.raft(guest)));
    stand.insist(leader, &format!("RAFT PROMOTE {guest}"));

    for key in ["before", "meanwhile"] {
        assert_eq!(stand.ask(guest, &format!("GET {key}")).unwrap(), Answer::Bulk(b"v".into()));
    }
    assert_eq!(stand.leader(), leader, "it disturbed nobody");
}
