//! One budget for what is in flight, and what slow or dead parts cost.

use super::cluster::Answer;
use super::{Cluster, id, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, Notice, ReplicaConfig};
use crate::ticket::{Outcome, ProposeError};

const KILOBYTE: usize = 1 << 10;

/// Ten commands of a kilobyte fill the budget.
fn ten_kilobytes(config: &mut ReplicaConfig) {
    config.proposals_bytes_max = 10 * KILOBYTE as u64;
    config.command_bytes_max = KILOBYTE;
    config.tail_bytes_max = 16 * KILOBYTE as u64;
    config.raft.in_flight_bytes_max = 4 * KILOBYTE as u64;
}

fn three_with_a_small_budget() -> Cluster {
    let mut cluster = three_nodes_with(ten_kilobytes);
    cluster.elect(1);
    cluster.ticks(3);
    cluster
}

fn kilobyte(nth: u64) -> String {
    format!("{nth:0>KILOBYTE$}")
}

fn busy(cluster: &mut Cluster, at: u64, count: u64) -> usize {
    let answers: Vec<_> = (0..count).map(|nth| cluster.propose(at, &kilobyte(nth))).collect();
    answers.into_iter().filter(Answer::is_done).count()
}

fn in_flight(cluster: &Cluster, number: u64) -> u64 {
    cluster.metrics(number).in_flight_bytes.get()
}

#[test]
fn beyond_the_budget_callers_are_busy_until_their_commands_are_applied() {
    let mut cluster = three_with_a_small_budget();
    cluster.node(1).held.applier = true;

    assert_eq!(busy(&mut cluster, 1, 20), 10, "committed, but not applied");
    assert_eq!(in_flight(&cluster, 1), 10 * KILOBYTE as u64);
    assert!(cluster.node(1).replica.tail.bytes() <= 2 * 16 * KILOBYTE as u64);

    cluster.node(1).held.applier = false;
    cluster.settle();
    assert_eq!(in_flight(&cluster, 1), 0);
    assert!(cluster.propose(1, "a").try_wait().unwrap().is_ok());
}

#[test]
fn the_budget_is_one_for_own_commands_and_those_of_others() {
    let mut cluster = three_with_a_small_budget();
    cluster.node(1).held.applier = true;
    let own: Vec<_> = (0..6).map(|nth| cluster.propose(1, &kilobyte(nth))).collect();

    let others: Vec<_> = (6..14).map(|nth| cluster.propose(2, &kilobyte(nth))).collect();
    let refused = others.into_iter().filter(Answer::is_done).map(|answer| answer.try_wait().unwrap());
    let refused: Vec<_> = refused.filter(|answer| *answer == Err(ProposeError::Busy)).collect();

    assert_eq!(refused.len(), 4);
    drop(own);
}

#[test]
fn the_account_is_exact_when_a_leader_was_deposed_and_leads_again() {
    let mut cluster = three_with_a_small_budget();
    cluster.isolate(1);
    assert_eq!(busy(&mut cluster, 1, 20), 10);

    cluster.elect(2);
    cluster.heal();
    cluster.ticks(5);
    assert_eq!(in_flight(&cluster, 1), 0, "what was overwritten is not in flight");
    cluster.elect(1);
    cluster.ticks(2);

    cluster.isolate(1);
    assert_eq!(busy(&mut cluster, 1, 20), 10, "exactly as much as before");
}

#[test]
fn a_new_leader_counts_what_it_inherited() {
    let mut cluster = three_with_a_small_budget();
    cluster.lose(|_, to, message| to == 1 && super::body(message).is_some());
    drop((0..4).map(|nth| cluster.propose(1, &kilobyte(nth))).collect::<Vec<_>>());
    cluster.heal();
    cluster.isolate(1);
    cluster.lose(|from, _, message| from == 3 && super::is_append_answer(message));
    cluster.elect(2);

    assert_eq!(busy(&mut cluster, 2, 20), 20 - 6, "four kilobytes of the old leader are in flight too");
}

#[test]
fn a_dead_follower_costs_nobody_else_anything() {
    let mut cluster = three_with_a_small_budget();
    cluster.isolate(3);

    for nth in 0..300 {
        assert!(cluster.propose(1, &kilobyte(nth)).try_wait().unwrap().is_ok());
    }

    let node = cluster.node(1);
    assert!(node.replica.tail.bytes() <= 17 * KILOBYTE as u64, "{} bytes", node.replica.tail.bytes());
    assert!(node.replica.cold.len(id(3)) <= 65);
    assert_eq!(in_flight(&cluster, 1), 0);
}

#[test]
fn a_follower_that_writes_slowly_holds_no_more_than_its_leaders_window() {
    let mut cluster = three_with_a_small_budget();
    cluster.node(3).held.writer = true;

    for nth in 0..100 {
        assert!(cluster.propose(1, &kilobyte(nth)).try_wait().unwrap().is_ok());
    }
    cluster.ticks(5);

    let held = cluster.node(3).replica.tail.bytes();
    assert!(held <= 8 * KILOBYTE as u64, "{held} bytes");
    cluster.node(3).held.writer = false;
    cluster.ticks(200);
    assert_eq!(cluster.journal(3), cluster.journal(1));
}

#[test]
fn a_slow_follower_behind_a_compacted_log_gets_a_snapshot_and_streams_again() {
    let mut cluster = three_nodes_with(|config| {
        ten_kilobytes(config);
        (config.snapshot_entries, config.trailing_entries) = (10, 0);
    });
    cluster.elect(1);
    cluster.node(3).held.writer = true;
    for nth in 0..50 {
        assert!(cluster.propose(1, &kilobyte(nth)).try_wait().unwrap().is_ok());
    }
    assert!(cluster.status(1).first_index > cluster.status(3).last_index);

    cluster.node(3).held.writer = false;
    cluster.ticks(50);

    assert_eq!(cluster.journal(3), cluster.journal(1));
    assert!(cluster.propose(3, "a").is_done());
}

#[test]
fn reads_wait_for_a_slow_state_machine_and_writes_are_held_back() {
    let mut cluster = three_with_a_small_budget();
    cluster.node(1).held.applier = true;
    drop(cluster.propose(1, "a"));
    let seen = cluster.read(1);
    assert!(!seen.is_done());

    assert!(busy(&mut cluster, 1, 20) > 0);
    assert!(cluster.propose(2, "b").is_done() || !seen.is_done());
    cluster.node(1).held.applier = false;
    cluster.settle();
    assert!(seen.try_wait().unwrap().unwrap().starts_with('a'));
}

#[test]
fn a_node_without_room_steps_aside_refuses_its_callers_and_goes_on_by_itself() {
    let mut cluster = three_nodes();
    cluster.connect_all();
    cluster.elect(1);
    assert!(cluster.propose(1, "a").is_done());

    cluster.handle(1, Event::DiskFull(true));
    cluster.settle();
    cluster.ticks(30);
    assert_ne!(cluster.status(1).role, RoleName::Leader);
    assert!(cluster.status(1).disk_full);
    assert!(cluster.node(1).notices.contains(&Notice::DiskFull { full: true }));
    let leader = cluster.status(2).leader.expect("somebody else leads");
    let refused = cluster.propose(1, "b").try_wait().unwrap().unwrap_err();
    assert_eq!((&refused, refused.outcome()), (&ProposeError::DiskFull, Outcome::NotApplied));
    assert!(cluster.propose(leader.get(), "c").is_done());
    assert_eq!(
        cluster.read(1).try_wait().unwrap(),
        Ok("a, c".to_owned()),
        "its disk still takes what it has"
    );

    cluster.handle(1, Event::DiskFull(false));
    cluster.settle();
    assert!(cluster.propose(1, "d").is_done());
    cluster.elect(1);
}

#[test]
fn a_node_alone_without_room_refuses_and_serves_again_when_there_is_room() {
    let mut cluster = super::one_node();
    cluster.elect(1);
    assert!(cluster.propose(1, "a").is_done());

    cluster.handle(1, Event::DiskFull(true));
    let refused = cluster.propose(1, "b");
    assert_eq!(refused.try_wait().unwrap(), Err(ProposeError::DiskFull));

    cluster.handle(1, Event::DiskFull(false));
    cluster.elect(1);
    assert!(cluster.propose(1, "c").is_done());
}
