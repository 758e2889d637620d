//! Committed entries on their way to a state machine that is new, slow, or stuck.

use super::{three_nodes, three_nodes_with};
use crate::replica::ApplyJob;
use crate::replica::tail::weight;
use crate::types::EntryRun;

/// The weight of what was handed to the applier and not taken by it.
fn weight_of(jobs: &[ApplyJob]) -> u64 {
    let runs = jobs.iter().flat_map(|job| match job {
        ApplyJob::Entries { entries, .. } => entries.as_slice(),
        _ => &[],
    });
    runs.flat_map(EntryRun::entries).map(weight).sum()
}

#[test]
fn a_restarted_node_applies_its_log_again() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        drop(cluster.propose(1, command));
    }
    cluster.heartbeat(1);

    cluster.restart(2);
    cluster.restart(1);
    cluster.elect(1);
    assert_eq!(cluster.journal(1), "a, b, c");
    assert!(cluster.propose(2, "d").is_done());

    cluster.heartbeat(1);
    assert!([1, 2, 3].into_iter().all(|number| cluster.journal(number) == "a, b, c, d"));
}

#[test]
fn a_slow_state_machine_is_given_only_what_it_has_room_for() {
    let mut cluster = three_nodes_with(|config| config.apply_bytes_in_flight_max = 1_000);
    cluster.elect(1);
    cluster.node(1).held.applier = true;

    let answers: Vec<_> = (0..50).map(|nth| cluster.propose(1, &nth.to_string())).collect();

    let handed_over = weight_of(&cluster.node(1).applies);
    assert!(0 < handed_over && handed_over <= 1_000, "{handed_over} bytes");
    cluster.node(1).held.applier = false;
    cluster.settle();
    for (nth, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.try_wait().unwrap(), Ok(format!("{}: {nth}", nth + 1)));
    }
}

#[test]
fn what_left_memory_before_it_was_applied_is_read_back() {
    let mut cluster = three_nodes_with(|config| {
        config.apply_bytes_in_flight_max = 1_000;
        config.tail_bytes_max = 500;
    });
    cluster.elect(1);
    cluster.node(1).held.applier = true;
    let answers: Vec<_> = (0..50).map(|nth| cluster.propose(1, &nth.to_string())).collect();
    assert!(cluster.node(1).fetches.is_empty());

    cluster.node(1).held.applier = false;
    cluster.settle();

    for (nth, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.try_wait().unwrap(), Ok(format!("{}: {nth}", nth + 1)));
    }
}

#[test]
fn memory_is_bounded_while_the_state_machine_is_stuck() {
    let mut cluster = three_nodes_with(|config| {
        config.apply_bytes_in_flight_max = 1_000;
        config.tail_bytes_max = 2_000;
    });
    cluster.elect(1);
    cluster.node(1).held.applier = true;

    let answers: Vec<_> = (0..200).map(|nth| cluster.propose(1, &nth.to_string())).collect();

    let kept = cluster.node(1).replica.tail.bytes();
    assert!(kept <= 4_000, "{kept} bytes are in memory");
    drop(answers);
}
