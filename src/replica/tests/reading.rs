//! Linearizable reads, at the leader and elsewhere.

use super::cluster::PATIENCE;
use super::{Cluster, body, three_nodes, three_nodes_with};
use crate::ticket::ReadError;
use crate::types::Body;

fn three_nodes_led_by_1() -> Cluster {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster
}

#[test]
fn a_read_sees_every_write_that_was_answered_before_on_any_node() {
    let mut cluster = three_nodes_led_by_1();
    assert!(cluster.propose(1, "a").is_done());

    for number in [1, 2, 3] {
        assert_eq!(cluster.read(number).try_wait().unwrap(), Ok("a".to_owned()), "at node {number}");
    }
}

#[test]
fn a_read_waits_for_the_state_machine() {
    let mut cluster = three_nodes_led_by_1();
    cluster.node(2).held.applier = true;
    drop(cluster.propose(1, "a"));

    let seen = cluster.read(2);
    assert!(!seen.is_done());
    cluster.node(2).held.applier = false;
    cluster.settle();

    assert_eq!(seen.try_wait().unwrap(), Ok("a".to_owned()));
}

#[test]
fn a_deposed_leader_serves_no_stale_read() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let seen = cluster.read(1);
    assert!(!seen.is_done(), "no quorum says that it still leads");

    cluster.elect(2);
    drop(cluster.propose(2, "new"));
    cluster.heal();
    cluster.heartbeat(1);
    cluster.heartbeat(2);

    assert_eq!(seen.try_wait().unwrap(), Ok("new".to_owned()), "asked again, of the new leader");
}

#[test]
fn a_question_that_got_lost_is_asked_again() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(|_, _, message| matches!(body(message), Some(Body::ReadIndex { .. })));
    let seen = cluster.read(2);
    cluster.heal();
    assert!(!seen.is_done());

    cluster.tick(2, 4);

    assert!(seen.try_wait().unwrap().is_ok());
}

#[test]
fn a_node_that_leads_no_more_is_not_asked_over_and_over() {
    let mut cluster = three_nodes_led_by_1();
    cluster.restart(1);
    assert_eq!(cluster.status(2).leader, cluster.status(3).leader, "nobody has noticed");

    let seen = cluster.read(2);
    assert!(!seen.is_done(), "the cluster came to rest with the read waiting");
    cluster.elect(3);

    assert!(seen.try_wait().unwrap().is_ok());
}

#[test]
fn a_late_answer_to_a_lost_question_confirms_nothing() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(|_, _, message| matches!(body(message), Some(Body::ReadIndexAnswer { .. })));
    let seen = cluster.read(2);
    cluster.tick(2, 4);
    assert!(!seen.is_done());

    cluster.heal();
    cluster.tick(2, 4);

    assert!(seen.try_wait().unwrap().is_ok());
}

#[test]
fn without_a_leader_a_read_waits_for_one_until_its_deadline() {
    let mut cluster = three_nodes();
    let served = cluster.read(2);
    cluster.elect(1);
    assert!(served.is_done());

    let mut cluster = three_nodes();
    cluster.isolate(2);
    let lonely = cluster.read(2);
    cluster.tick(2, PATIENCE as u32);
    assert_eq!(lonely.try_wait().unwrap(), Err(ReadError::NoLeader));
}

#[test]
fn a_read_that_no_quorum_confirms_ends_at_its_deadline() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let seen = cluster.read(1);

    cluster.tick(1, PATIENCE as u32);

    assert_eq!(seen.try_wait().unwrap(), Err(ReadError::DeadlinePassed));
}

#[test]
fn a_read_within_a_lease_leaves_in_the_turn_in_which_it_came() {
    let mut cluster = three_nodes_with(|config| {
        (config.raft.pre_vote, config.raft.check_quorum) = (true, true);
        config.raft.lease = Some(5);
    });
    cluster.elect(1);
    assert!(cluster.propose(1, "a").is_done());
    cluster.heartbeat(1);
    cluster.isolate(1);

    let seen = cluster.submit_read(1);
    cluster.turn(1);
    assert_eq!(seen.try_wait().unwrap(), Ok("a".to_owned()), "no round trip");

    cluster.tick(1, 6);
    assert!(!cluster.read(1).is_done(), "the lease has ended");
}

#[test]
fn a_read_that_was_confirmed_and_waits_long_for_the_state_machine_sees_no_less() {
    let mut cluster = three_nodes_led_by_1();
    cluster.node(1).held.applier = true;
    drop(cluster.propose(1, "before"));
    let seen = cluster.read(1);
    drop(cluster.propose(1, "after"));
    cluster.isolate(1);
    cluster.elect(2);
    drop(cluster.propose(2, "of another leader"));

    cluster.node(1).held.applier = false;
    cluster.settle();

    assert!(seen.try_wait().unwrap().unwrap().starts_with("before"));
}

#[test]
fn a_learner_reads_what_was_written_before() {
    let mut cluster = three_nodes_led_by_1();
    cluster.connect_all();
    let demote = crate::types::MembershipChange::Demote { id: super::id(3) };
    assert!(cluster.change(1, demote).try_recv().unwrap().is_ok());
    assert!(cluster.propose(2, "a").is_done());

    assert_eq!(cluster.read(3).try_wait().unwrap(), Ok("a".to_owned()));
}

#[test]
fn too_many_reads_are_refused() {
    let mut cluster = three_nodes_with(|config| config.reads_max = 2);
    let waiting = [cluster.read(1), cluster.read(1)];

    assert_eq!(cluster.read(1).try_wait().unwrap(), Err(ReadError::Busy));

    cluster.elect(1);
    assert!(waiting.into_iter().all(|seen| seen.try_wait().unwrap().is_ok()));
    assert!(cluster.read(1).try_wait().unwrap().is_ok(), "there is room again");
}
