//! Exactly once: across expiry, snapshots, handovers.

use quorate::{ClientError, Outcome};

use crate::calls::{client_of, line};
use crate::scene::Three;

#[test]
fn an_expired_session_is_an_error_by_name_and_the_next_command_has_another() {
    let three = Three::tuned(|config| config.sessions_max(1));
    let (one, other) = (client_of(&three), client_of(&three));
    one.propose(line("add 1")).expect("it is applied");
    // There is room for one session alone.
    other.propose(line("add 1")).expect("it is applied");

    let error = one.propose(line("add 1")).expect_err("its session is gone");

    assert_eq!(error, ClientError::SessionExpired { outcome: Outcome::NotApplied });
    assert_eq!(one.propose(line("add 1")).expect("it has another session"), "3");
}

#[test]
fn commands_in_flight_when_leadership_is_handed_over_take_effect_once() {
    let three = Three::start();
    let client = client_of(&three);
    let mut tickets = Vec::new();
    for round in 0..10 {
        tickets.extend((0..100).map(|_| client.submit(line("add 1"))));
        let leader = three.leader();
        let _ = three.of(leader).node().transfer_leadership(Some((leader + round % 2) % 3 + 1));
    }

    let count = tickets.len();
    for ticket in tickets {
        ticket.wait().expect("it is applied");
    }

    assert_eq!(client.query(line("total")).unwrap(), count.to_string());
}

#[test]
fn a_snapshot_between_two_attempts_changes_nothing() {
    let three = Three::tuned(|config| config.snapshot_entries(50).trailing_entries(0));
    let client = client_of(&three);
    for count in 1..=300 {
        assert_eq!(client.propose(line("add 1")).expect("it is applied"), count.to_string());
        if count % 60 == 0 {
            let leader = three.leader();
            let _ = three.of(leader).node().transfer_leadership(Some(leader % 3 + 1));
        }
    }
}
