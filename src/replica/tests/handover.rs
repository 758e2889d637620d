//! Leadership that is handed over, and what becomes of commands meanwhile.

use super::{Cluster, body, id, is_append, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, Notice};
use crate::ticket::{StopCause, TransferError};
use crate::types::{AdminAnswer, Body, MembershipChange, Moment, PeerMessage, TransferRefused};

fn three_nodes_led_by_1() -> Cluster {
    let mut cluster = three_nodes();
    cluster.connect_all();
    cluster.elect(1);
    cluster.ticks(2);
    cluster
}

fn is_timeout_now(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(body(message), Some(Body::TimeoutNow))
}

#[test]
fn leadership_goes_to_whom_the_operator_names() {
    let mut cluster = three_nodes_led_by_1();

    assert_eq!(cluster.transfer(1, Some(3)).try_recv(), Ok(Ok(id(3))));

    assert_eq!(cluster.status(3).role, RoleName::Leader);
    let term = cluster.status(3).term;
    let heard = Notice::LeaderChanged { leader: Some(id(3)), term };
    cluster.ticks(1);
    assert!([1, 2, 3].into_iter().all(|number| cluster.node(number).notices.contains(&heard)));
    assert!(cluster.propose(1, "a").is_done());
}

#[test]
fn the_numbers_of_a_node_tell_whether_it_leads_and_in_which_term() {
    let mut cluster = three_nodes_led_by_1();
    let told = |cluster: &Cluster, number| {
        let metrics = cluster.metrics(number);
        (metrics.leads.get(), metrics.term.get())
    };
    let before = cluster.status(1).term.0;
    assert_eq!((told(&cluster, 1), told(&cluster, 3)), ((1, before), (0, before)));

    cluster.transfer(1, Some(3));
    cluster.ticks(1);

    let after = cluster.status(3).term.0;
    assert_eq!((told(&cluster, 1), told(&cluster, 3)), ((0, after), (1, after)));
}

#[test]
fn leadership_goes_to_somebody_if_nobody_is_named() {
    let mut cluster = three_nodes_led_by_1();

    let leader = cluster.transfer(1, None).try_recv().unwrap().unwrap();

    assert_ne!(leader, id(1));
    assert_eq!(cluster.status(leader.get()).role, RoleName::Leader);
}

#[test]
fn a_follower_asks_the_leader_to_hand_over_also_to_itself() {
    let mut cluster = three_nodes_led_by_1();

    let told = cluster.transfer(2, Some(3));
    cluster.ticks(2);
    assert_eq!(told.try_recv(), Ok(Ok(id(3))));

    let told = cluster.transfer(2, Some(2));
    cluster.ticks(2);
    assert_eq!(told.try_recv(), Ok(Ok(id(2))));
    assert_eq!(cluster.status(2).role, RoleName::Leader);
}

#[test]
fn who_cannot_lead_is_refused_by_name() {
    let mut cluster = three_nodes_led_by_1();
    assert!(cluster.change(1, MembershipChange::Demote { id: id(3) }).try_recv().unwrap().is_ok());

    for asked in [1, 2] {
        let mut refused = |to| cluster.transfer(asked, Some(to)).try_recv().unwrap().unwrap_err();
        assert_eq!(refused(1), TransferError::Refused(TransferRefused::LeadsAlready(id(1))));
        assert_eq!(refused(3), TransferError::Refused(TransferRefused::NotAVoter(id(3))));
        assert_eq!(refused(9), TransferError::Refused(TransferRefused::NotAVoter(id(9))));
    }
}

#[test]
fn a_successor_that_lags_catches_up_first() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(|from, to, message| is_append(message) && (from, to) == (1, 3));
    (0..20).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    let told = cluster.transfer(1, Some(3));
    assert!(told.try_recv().is_err());

    cluster.heal();
    cluster.ticks(4);

    assert_eq!(told.try_recv(), Ok(Ok(id(3))));
    assert_eq!(cluster.journal(3), cluster.journal(1));
}

#[test]
fn a_leader_whose_successor_is_dead_goes_on_after_an_election_timeout() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(3);
    let told = cluster.transfer(1, Some(3));
    let waiting = cluster.propose(1, "a");
    assert_eq!(cluster.status(1).transferring_to, Some(id(3)));
    assert!(!waiting.is_done(), "neither appended nor refused");

    (0..12).for_each(|_| cluster.heartbeat(1));

    assert_eq!(told.try_recv(), Ok(Err(TransferError::NotTaken { to: id(3) })));
    assert_eq!(cluster.status(1).transferring_to, None);
    assert_eq!(waiting.try_wait().unwrap(), Ok("1: a".to_owned()));
}

#[test]
fn who_asked_from_elsewhere_concludes_that_the_transfer_was_given_up() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(3);
    let told = cluster.transfer(2, Some(3));

    for _ in 0..25 {
        cluster.heartbeat(1);
        cluster.tick(2, 1);
    }

    assert_eq!(told.try_recv(), Ok(Err(TransferError::NotTaken { to: id(3) })));
}

#[test]
fn a_transfer_that_ends_with_another_leader_says_so() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(is_timeout_now);
    let told = cluster.transfer(1, Some(3));

    cluster.elect(2);
    cluster.ticks(2);

    assert_eq!(told.try_recv(), Ok(Err(TransferError::AnotherLeader { leader: id(2) })));
}

#[test]
fn who_leads_by_now_needs_no_answer_to_its_wish() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(|_, _, message| matches!(message, PeerMessage::AdminAnswer(_)));

    let told = cluster.transfer(2, Some(2));
    cluster.ticks(2);

    assert_eq!(told.try_recv(), Ok(Ok(id(2))));
}

#[test]
fn no_command_is_lost_or_doubled_while_leadership_moves() {
    let mut cluster = three_nodes_led_by_1();
    let mut answers = Vec::new();
    for (nth, to) in [3, 2, 1, 3, 1].into_iter().enumerate() {
        for at in [1, 2, 3] {
            answers.push(cluster.submit(at, &format!("{nth} at {at}")));
        }
        let leader = (1..=3).find(|&number| cluster.status(number).role == RoleName::Leader).unwrap();
        let told = cluster.transfer(leader, Some(to));
        for at in [1, 2, 3] {
            answers.push(cluster.submit(at, &format!("later {nth} at {at}")));
        }
        cluster.ticks(4);
        let taken = told.try_recv().unwrap();
        assert!(taken.is_ok() || to == leader, "{taken:?}");
    }

    cluster.ticks(5);
    let journal = cluster.journal(1);
    for answer in answers {
        match answer.try_wait().unwrap() {
            Ok(answered) => {
                let command = answered.split_once(": ").unwrap().1;
                assert_eq!(journal.split(", ").filter(|applied| *applied == command).count(), 1);
            }
            Err(error) => assert_eq!(error.outcome(), crate::ticket::Outcome::NotApplied),
        }
    }
}

#[test]
fn a_transfer_under_load_succeeds_within_an_election_timeout() {
    let mut cluster = three_nodes_with(|config| config.raft.append_entries_max = 8);
    cluster.elect(1);
    let before: Vec<_> = (0..500).map(|nth| cluster.submit(1, &nth.to_string())).collect();
    cluster.turn(1);

    let told = cluster.transfer(1, Some(2));
    let after: Vec<_> = (500..600).map(|nth| cluster.propose(1, &nth.to_string())).collect();
    cluster.ticks(10);

    assert_eq!(told.try_recv(), Ok(Ok(id(2))));
    assert!(before.into_iter().chain(after).all(|answer| answer.try_wait().unwrap().is_ok()));
}

#[test]
fn after_a_snapshot_leadership_goes_to_who_received_it() {
    let mut cluster = three_nodes_with(|config| {
        config.snapshot_entries = 10;
        config.trailing_entries = 0;
    });
    cluster.connect_all();
    cluster.elect(1);
    cluster.isolate(3);
    (0..30).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.heal();
    cluster.ticks(10);

    assert_eq!(cluster.transfer(1, Some(3)).try_recv(), Ok(Ok(id(3))));
}

#[test]
fn without_a_leader_a_transfer_waits_and_a_node_that_stops_answers() {
    let mut cluster = three_nodes();
    cluster.isolate(2);
    let (late, stopped) = (cluster.transfer(2, None), cluster.transfer(1, None));
    cluster.tick(2, super::cluster::PATIENCE as u32);
    assert_eq!(late.try_recv(), Ok(Err(TransferError::NoLeader)));

    cluster.stop(1, &StopCause::Shutdown);
    let error = TransferError::Stopped { cause: StopCause::Shutdown };
    assert_eq!(stopped.try_recv(), Ok(Err(error)));
}

#[test]
fn a_leader_that_stops_in_the_middle_of_a_transfer_says_so() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(3);
    let told = cluster.transfer(1, Some(3));

    cluster.stop(1, &StopCause::Shutdown);

    assert_eq!(told.try_recv(), Ok(Err(TransferError::Stopped { cause: StopCause::Shutdown })));
}

#[test]
fn too_many_transfers_are_refused_by_name() {
    let mut cluster = three_nodes();
    cluster.isolate(1);
    let told: Vec<_> = (0..70).map(|_| cluster.submit_transfer(1, None)).collect();

    let busy = told.iter().filter(|told| told.try_recv() == Ok(Err(TransferError::Busy))).count();
    assert_eq!(busy, 6);
}

#[test]
fn what_the_leader_does_not_know_of_a_transfer_nobody_does() {
    let mut cluster = three_nodes_led_by_1();
    let told = cluster.submit_transfer(2, Some(3));
    let sent = cluster.node(2).replica.turn(Moment(0)).send;
    let request = sent.iter().find_map(|(_, message)| match message {
        PeerMessage::Admin(admin) => Some(admin.request),
        _ => None,
    });
    let request = request.expect("it asks the leader");

    let message = PeerMessage::AdminAnswer(AdminAnswer::Unknown { request });
    cluster.handle(2, Event::Message { from: id(1), message });

    assert_eq!(told.try_recv(), Ok(Err(TransferError::Unknown)));
}
