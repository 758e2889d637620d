//! Any node of a cluster serves any client; and no client comes between the nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::raw::{BUSY, Fields, Hello, NOT_LEADER, Raw, Said, propose, query};
use crate::scene::Three;

#[test]
fn a_follower_hands_on_what_it_is_told_and_answers_when_it_has_applied_it() {
    let three = Three::start();

    for id in 1..=3 {
        let mut client = Raw::client(three.of(id).local_addr());
        assert_eq!(client.text(&propose(1, "add 5")), (id * 5).to_string());
        assert_eq!(client.text(&query(2, "total")), (id * 5).to_string());
    }
}

#[test]
fn a_follower_that_hands_nothing_on_says_whom_to_ask() {
    let three = Three::tuned(|config| config.forwarding(false));
    let leader = three.leader();
    let mut client = Raw::client(three.of(three.a_follower()).local_addr());

    let Said::Refused { reason: NOT_LEADER, rest, .. } = client.ask(&propose(1, "add 5")) else {
        panic!("it does not lead");
    };

    let mut fields = Fields(&rest);
    assert_eq!(fields.number::<1>(), 1, "it knows the leader");
    let (id, address) = fields.member();
    assert_eq!((id, address.as_str()), (leader, three.of(leader).local_addr().to_string().as_str()));
    let mut client = Raw::client(address.parse().expect("an address"));
    assert_eq!(client.text(&propose(1, "add 5")), "5");
}

#[test]
fn clients_hear_when_another_node_leads_and_when_the_members_change() {
    let three = Three::start();
    let (leader, next) = (three.leader(), three.a_follower());
    let mut clients: Vec<_> = (1..=3).map(|id| Raw::client(three.of(id).local_addr())).collect();

    assert_eq!(three.of(leader).node().transfer_leadership(Some(next)).expect("it hands over"), next);
    for client in &mut clients {
        while client.read_cluster().0 != Some(next) {}
    }

    three.of(leader).node().add_learner(4, "127.0.0.1:9").expect("it is added");
    for client in &mut clients {
        let learner = loop {
            let (_, members) = client.read_cluster();
            if members.len() == 4 {
                break members[&4].clone();
            }
        };
        assert_eq!(learner, "127.0.0.1:9");
    }
}

/// Ends the crowd, also if the test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_crowd_of_clients_comes_between_the_nodes() {
    // As patient as a machine may be slow on which many tests run at once.
    let three = Three::tuned(|config| config.election_timeout(Duration::from_secs(5)));
    let leader = three.leader();
    let term = three.of(leader).node().status().term;
    let is_over = AtomicBool::new(false);

    thread::scope(|scope| {
        for nth in 0..4 {
            let (three, is_over) = (&three, &is_over);
            scope.spawn(move || {
                let address = three.of(nth % 3 + 1).local_addr();
                while !is_over.load(Ordering::Relaxed) {
                    // Some only knock, some say half of a hello, some flood, none reads.
                    let _knocking = Raw::dial(address);
                    let mut halting = Raw::dial(address);
                    halting.write(&Hello::default().bytes()[..9]);
                    let mut flooding = Raw::client(address);
                    let flood: Vec<_> = (0..500).map(|id| query(id, "long 1000")).collect();
                    // It may have been cut off.
                    let _ = std::io::Write::write_all(&mut flooding.0, &flood.concat());
                }
            });
        }
        let _over = Over(&is_over);
        let mut client = Raw::client(three.of(leader % 3 + 1).local_addr());
        for id in 0..300 {
            let request = propose(id, &format!("say {id}"));
            // So many ask that a node may be too busy, and then it says so.
            let said = loop {
                match client.ask(&request) {
                    Said::Refused { reason: BUSY, .. } => {}
                    said => break said,
                }
            };
            assert_eq!(said, Said::Response { id, text: id.to_string() });
        }
    });

    let status = three.of(leader).node().status();
    assert_eq!((status.leader, status.term), (Some(leader), term), "the leader was heard all the time");
}
