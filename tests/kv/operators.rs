//! What operators ask: members come and go, leadership moves, snapshots are taken. On any node.

use std::io;

use serde_json::{Value, json};

use crate::program::client::Answer;
use crate::stand::{Stand, eventually};

fn ok() -> Answer {
    Answer::Status("OK".into())
}

fn error(answer: io::Result<Answer>) -> String {
    match answer {
        Ok(Answer::Error(text)) => text,
        other => panic!("{other:?} is no error"),
    }
}

fn follower(stand: &Stand) -> usize {
    let leader = stand.leader();
    stand.running().into_iter().find(|&id| id != leader).expect("a cluster has followers")
}

/// Waits until all these nodes have such a membership.
fn await_membership(stand: &Stand, nodes: &[usize], voters: &[usize], learners: &[usize]) {
    let expected = (json!(voters), json!(learners), json!(false));
    for &id in nodes {
        eventually(&format!("node {id} knows the voters {voters:?} and the learners {learners:?}"), || {
            let status = stand.status(id)?;
            let found = (&status["voters"], &status["learners"], &status["joint"]);
            (found == (&expected.0, &expected.1, &expected.2)).then_some(())
        });
    }
}

#[test]
fn members_come_and_go_at_the_wish_of_an_operator_on_any_node() {
    let mut stand = Stand::start(3);
    assert_eq!(stand.ask(1, "SET k v").unwrap(), ok());

    let joiner = stand.start_joiner();
    let at = stand.raft(joiner).to_owned();
    stand.insist(follower(&stand), &format!("raft add {joiner} {at}"));
    await_membership(&stand, &[1, 2, 3, 4], &[1, 2, 3], &[4]);
    assert_eq!(stand.status(4).unwrap()["role"], "learner");
    stand.insist(follower(&stand), "RAFT PROMOTE 4");
    await_membership(&stand, &[1, 2, 3, 4], &[1, 2, 3, 4], &[]);
    assert_eq!(stand.ask(4, "GET k").unwrap(), Answer::Bulk(b"v".into()));

    let successor = stand.start_joiner();
    let at = stand.raft(successor).to_owned();
    stand.insist(stand.leader(), &format!("RAFT REPLACE 4 5 {at}"));
    await_membership(&stand, &[1, 2, 3, 5], &[1, 2, 3, 5], &[]);
    assert_eq!(stand.terminate(4), Some(0), "a node that was removed ends well");
    assert_eq!(stand.ask(5, "GET k").unwrap(), Answer::Bulk(b"v".into()));

    stand.insist(5, "RAFT REMOVE 5");
    await_membership(&stand, &[1, 2, 3], &[1, 2, 3], &[]);
    eventually("the removed node learns it", || match stand.ask(5, "INFO raft").ok()? {
        Answer::Bulk(info) => String::from_utf8_lossy(&info).contains("raft_removed:true").then_some(()),
        other => panic!("{other:?}"),
    });
    assert_eq!(stand.ask(1, "SET k w").unwrap(), ok());
}

#[test]
fn a_change_that_makes_no_sense_is_refused_in_words_on_every_node() {
    let stand = Stand::start(3);
    let leader = stand.leader();
    stand.insist(leader, "SET k v");
    for id in [leader, follower(&stand)] {
        for (line, words) in [
            ("RAFT ADD 1 127.0.0.1:9", "node 1 is a member already: remove it first"),
            ("RAFT PROMOTE 9", "node 9 is not a member"),
            ("RAFT PROMOTE 1", "node 1 is not a learner"),
            ("RAFT REMOVE 9", "node 9 is not a member"),
            ("RAFT REPLACE 9 8 127.0.0.1:9", "node 9 is not a member"),
            ("RAFT REPLACE 1 2 127.0.0.1:9", "node 2 is a member already"),
        ] {
            let said = error(stand.ask(id, line));
            assert!(said.starts_with("ERR the change was not begun: "), "{line}: {said}");
            assert!(said.contains(words), "{line}: {said}");
        }
        let said = error(stand.ask(id, "RAFT TRANSFER 9"));
        assert_eq!(said, "ERR leadership was not handed over: node 9 is not a voter");
        let said = error(stand.ask(id, &format!("RAFT TRANSFER {leader}")));
        assert_eq!(said, format!("ERR leadership was not handed over: node {leader} leads already"));
    }
    await_membership(&stand, &[1, 2, 3], &[1, 2, 3], &[]);
}

#[test]
fn nothing_is_left_to_a_node_that_does_not_answer() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    let others: Vec<_> = (1..=3).filter(|&id| id != leader).collect();
    stand.insist(leader, "SET k v");
    stand.kill(others[0]);

    let said = error(stand.ask(leader, &format!("RAFT TRANSFER {}", others[0])));
    assert!(said.starts_with(&format!("ERR node {} did not take over in time", others[0])), "{said}");

    // By now an election timeout has passed in which it said nothing.
    let said = error(stand.ask(others[1], &format!("RAFT REMOVE {}", others[1])));
    assert!(said.starts_with("ERR ") && said.contains("nothing could be committed"), "{said}");
    assert_eq!(stand.ask(leader, "SET k w").unwrap(), ok(), "the leader goes on as before");
}

#[test]
fn the_last_voter_is_not_removed() {
    let stand = Stand::start(1);
    stand.insist(1, "SET k v");

    assert!(error(stand.ask(1, "RAFT REMOVE 1")).starts_with("ERR the change was not begun: "));
    assert_eq!(stand.ask(1, "GET k").unwrap(), Answer::Bulk(b"v".into()));
}

#[test]
fn leadership_goes_where_an_operator_wants_it_whichever_node_is_asked() {
    let stand = Stand::start(3);
    for _ in 0..2 {
        for to in 1..=3 {
            let leader = stand.leader();
            if to == leader {
                continue;
            }
            let through = (1..=3).find(|&id| id != leader && id != to).unwrap();
            stand.insist(through, &format!("RAFT TRANSFER {to}"));
            eventually("it leads", || (stand.leader_now()? == to).then_some(()));
            assert_eq!(stand.ask(through, "SET k v").unwrap(), ok());
        }
    }
}

#[test]
fn a_snapshot_is_taken_on_demand_and_a_restart_begins_with_it() {
    let mut stand = Stand::start(1);
    for number in 0..300 {
        assert_eq!(stand.ask(1, &format!("SET k{number} {number}")).unwrap(), ok());
    }

    let Answer::Integer(index) = stand.ask(1, "RAFT SNAPSHOT").unwrap() else { panic!("no index") };

    assert!(index >= 300);
    let status = stand.status(1).unwrap();
    assert_eq!(status["snapshot_index"], index);
    assert_eq!(stand.ask(1, "INCR later").unwrap(), Answer::Integer(1));
    stand.kill(1);
    stand.start_node(1);
    stand.leader();
    assert_eq!(stand.status(1).unwrap()["snapshot_index"], index);
    assert_eq!(stand.ask(1, "DBSIZE").unwrap(), Answer::Integer(301));
    assert_eq!(stand.ask(1, "GET k299").unwrap(), Answer::Bulk(b"299".into()));
    assert_eq!(stand.ask(1, "INCR later").unwrap(), Answer::Integer(2), "what came later was applied once");
}

#[test]
fn a_wish_takes_its_turn_between_the_requests_of_its_client() {
    let stand = Stand::start(1);
    let mut client = stand.client(1);
    let mut before = 0;
    for number in 0..50 {
        client.send(&[b"INCR", b"n"]).unwrap();
        client.send(&[b"RAFT", b"SNAPSHOT"]).unwrap();
        client.send(&[b"RAFT", b"STATUS"]).unwrap();
        client.send(&[b"GET", b"n"]).unwrap();

        let count = number + 1;
        assert_eq!(client.receive().unwrap(), Answer::Integer(count));
        let Answer::Integer(index) = client.receive().unwrap() else { panic!("no index") };
        let Answer::Bulk(status) = client.receive().unwrap() else { panic!("no status") };
        let status: Value = serde_json::from_slice(&status).unwrap();
        assert!(index > before, "what was sent before it is in it");
        assert_eq!(status["snapshot_index"], index, "what was sent behind it sees it");
        before = index;
        assert_eq!(client.receive().unwrap(), Answer::Bulk(count.to_string().into()));
    }
}

#[test]
fn a_wish_that_has_to_wait_holds_up_no_other_client() {
    let mut stand = Stand::start(3);
    let leader = stand.leader();
    for id in (1..=3).filter(|&id| id != leader) {
        stand.kill(id);
    }
    let mut operator = stand.client(leader);
    operator.send(&[b"RAFT", b"ADD", b"4", b"127.0.0.1:9"]).unwrap();

    assert_eq!(stand.ask(leader, "PING").unwrap(), Answer::Status("PONG".into()));
    let status = stand.status(leader).unwrap();
    assert_eq!(status["voters"], json!([1, 2, 3]));

    assert_eq!(stand.terminate(leader), Some(0), "nor the node");
    match operator.receive() {
        Ok(Answer::Error(text)) => {
            assert!(
                ["TRYAGAIN ", "UNKNOWN ", "ERR "].iter().any(|prefix| text.starts_with(prefix)),
                "{text}"
            );
        }
        // The node went before it had an answer.
        Err(_) => {}
        Ok(other) => panic!("{other:?} without a majority"),
    }
}
