//! Snapshots: taken while the group works, kept within limits, and sent to those who need one.

use super::cluster::PATIENCE;
use super::{Cluster, id, three_nodes, three_nodes_with};
use crate::replica::{Applied, ApplyJob, Event, Notice, ReplicaStatus};
use crate::ticket::{Outcome, ProposeError, SnapshotNowError};
use crate::types::{LogIndex, LogPosition, PeerMessage};

fn commands(count: u64) -> String {
    (0..count).map(|nth| nth.to_string()).collect::<Vec<_>>().join(", ")
}

fn propose(cluster: &mut Cluster, numbers: std::ops::Range<u64>) {
    for nth in numbers {
        assert!(cluster.propose(1, &nth.to_string()).is_done());
    }
}

/// Node 1 leads; snapshots are taken every ten entries, and two entries before them stay.
fn three_nodes_with_snapshots() -> Cluster {
    let mut cluster = three_nodes_with(|config| {
        config.snapshot_entries = 10;
        config.trailing_entries = 2;
    });
    cluster.elect(1);
    cluster
}

/// The same, and node 3 lacks thirty commands, most of which have left the log.
fn three_nodes_of_which_3_needs_a_snapshot() -> Cluster {
    let mut cluster = three_nodes_with_snapshots();
    cluster.isolate(3);
    propose(&mut cluster, 0..30);
    assert!(cluster.status(1).first_index > cluster.status(3).last_index);
    cluster
}

fn is_chunk(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::Chunk(_))
}

#[test]
fn a_snapshot_holds_what_was_handed_over_before_it_while_commands_go_on() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    propose(&mut cluster, 0..5);
    cluster.node(1).held.saver = true;
    let applied = cluster.status(1).applied;
    let told = cluster.snapshot_now(1);

    propose(&mut cluster, 5..9);
    assert!(told.try_recv().is_err(), "it is being written");
    cluster.node(1).held.saver = false;
    cluster.settle();

    let snapshot = told.try_recv().unwrap().unwrap();
    assert_eq!(snapshot.position.index, applied);
    assert_eq!(snapshot.membership, cluster.status(1).membership);
    assert_eq!(cluster.status(1).snapshot, applied);
    cluster.restart(1);
    cluster.elect(1);
    assert_eq!(cluster.journal(1), commands(9));
}

#[test]
fn the_log_is_dropped_behind_a_durable_snapshot_but_for_what_slow_followers_may_need() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.node(1).held.saver = true;
    propose(&mut cluster, 0..25);
    assert_eq!(cluster.status(1).first_index, LogIndex(1), "no snapshot is durable");

    cluster.node(1).held.saver = false;
    cluster.settle();

    let status = cluster.status(1);
    assert!(status.snapshot > LogIndex(10));
    assert_eq!(status.first_index, LogIndex(status.snapshot.0 - 1), "two entries stay");
    let on_disk = cluster.node(1).log.entries();
    assert_eq!(on_disk[0].position.index, status.first_index);
    assert_eq!(cluster.snapshots(1).pruned().last(), Some(&status.first_index.prev()));
    let compacted = Notice::Compacted { through: status.first_index.prev() };
    assert!(cluster.node(1).notices.contains(&compacted));
}

#[test]
fn bytes_make_a_snapshot_due_too() {
    let mut cluster = three_nodes_with(|config| {
        (config.snapshot_entries, config.snapshot_bytes) = (0, 1_200);
        config.trailing_entries = 0;
    });
    cluster.elect(1);
    assert!(cluster.propose(1, &"x".repeat(600)).is_done());
    assert_eq!(cluster.status(1).snapshot, LogIndex::ZERO);

    assert!(cluster.propose(1, &"y".repeat(600)).is_done());

    assert_eq!(cluster.status(1).snapshot, cluster.status(1).applied);
    assert_eq!(cluster.status(1).first_index, cluster.status(1).last_index.next(), "nothing is kept");
    assert!(cluster.propose(1, "z").is_done());
}

#[test]
fn without_thresholds_no_snapshot_is_taken() {
    let mut cluster = three_nodes_with(|config| (config.snapshot_entries, config.snapshot_bytes) = (0, 0));
    cluster.elect(1);

    propose(&mut cluster, 0..200);

    assert_eq!(cluster.status(1).snapshot, LogIndex::ZERO);
}

#[test]
fn a_failed_snapshot_leaves_the_log_and_is_tried_again() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.snapshots(1).set_room(Some(5));
    propose(&mut cluster, 0..15);
    let told = cluster.snapshot_now(1);

    assert!(matches!(told.try_recv(), Ok(Err(SnapshotNowError::Failed { .. }))));
    assert_eq!(cluster.status(1).first_index, LogIndex(1));
    let failed = |notice: &Notice| matches!(notice, Notice::SnapshotFailed { .. });
    assert!(cluster.node(1).notices.iter().any(failed));

    cluster.snapshots(1).set_room(None);
    cluster.ticks(200);
    assert!(cluster.status(1).snapshot > LogIndex(10));
    assert!(cluster.status(1).first_index > LogIndex(1));
}

#[test]
fn a_snapshot_that_takes_too_long_for_its_asker_goes_on() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.node(1).held.saver = true;
    let told = cluster.snapshot_now(1);

    cluster.tick(1, PATIENCE as u32);
    assert_eq!(told.try_recv(), Ok(Err(SnapshotNowError::DeadlinePassed)));

    cluster.node(1).held.saver = false;
    cluster.settle();
    assert!(cluster.status(1).snapshot > LogIndex::ZERO);
}

#[test]
fn a_machine_on_disk_keeps_the_log_above_what_it_would_hold_after_a_crash() {
    let mut cluster = three_nodes_with(|config| {
        config.snapshot_entries = 10;
        config.trailing_entries = 0;
        config.machine_on_disk = true;
    });
    cluster.elect(1);

    propose(&mut cluster, 0..25);

    assert!(cluster.status(1).snapshot > LogIndex(10));
    assert_eq!(cluster.status(1).first_index, LogIndex(1), "this machine is durable up to nothing");

    // It brings what it applied to its disk when it likes: the log behind the snapshot goes then, and not at the next one.
    let ReplicaStatus { term, applied, snapshot, .. } = cluster.status(1);
    let through = LogPosition::new(term, applied);
    let durable = LogPosition::new(term, snapshot.prev());
    cluster.handle(1, Event::Applied(Applied { through, durable }));
    cluster.settle();
    assert_eq!(cluster.status(1).first_index, snapshot, "the last entry is not durable");
    cluster.handle(1, Event::Applied(Applied { through, durable: through }));
    cluster.settle();
    assert_eq!(cluster.status(1).first_index, snapshot.next());
}

#[test]
fn a_follower_whose_log_is_gone_at_the_leader_gets_a_snapshot_and_then_the_log() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();

    cluster.heal();
    cluster.ticks(10);

    assert_eq!(cluster.journal(3), commands(30));
    let installed = |notice: &Notice| matches!(notice, Notice::SnapshotInstalled { .. });
    assert_eq!(cluster.node(3).notices.iter().filter(|notice| installed(notice)).count(), 1);
    propose(&mut cluster, 30..33);
    cluster.ticks(2);
    assert_eq!(cluster.journal(3), commands(33), "it streams again");
    cluster.restart(3);
    cluster.ticks(10);
    assert_eq!(cluster.journal(3), commands(33));
}

#[test]
fn the_log_that_a_receiver_needs_next_stays_until_it_is_there() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.mover = true;
    cluster.heal();
    cluster.ticks(3);
    let needed_next = cluster.status(1).snapshot.next();

    propose(&mut cluster, 30..90);
    assert!(cluster.status(1).snapshot > needed_next && cluster.status(1).first_index <= needed_next);
    let peers = cluster.status(1).peers;
    assert!(peers.iter().any(|peer| peer.id == id(3) && peer.snapshot_bytes > 0));

    cluster.node(3).held.mover = false;
    cluster.ticks(20);
    assert_eq!(cluster.journal(3), commands(90));
    assert!(cluster.status(1).first_index > needed_next, "nobody needs it any more");
}

#[test]
fn old_snapshots_may_go_while_the_log_is_kept_for_a_receiver() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.mover = true;
    cluster.heal();
    cluster.ticks(3);
    propose(&mut cluster, 30..50);
    let (first, pruned) = (cluster.status(1).first_index, cluster.snapshots(1).pruned().len());

    propose(&mut cluster, 50..90);

    assert_eq!(cluster.status(1).first_index, first, "nothing of the log is dropped");
    let orders = cluster.snapshots(1).pruned().split_off(pruned);
    assert!(orders.len() >= 3, "there is one for each snapshot: {orders:?}");
    assert!(orders.iter().all(|&log_starts_after| log_starts_after == first.prev()));
}

#[test]
fn a_receiver_without_progress_does_not_keep_the_log_for_ever() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.mover = true;
    cluster.heal();
    cluster.ticks(3);
    let needed_next = cluster.status(1).snapshot.next();
    propose(&mut cluster, 30..60);
    assert!(cluster.status(1).first_index <= needed_next);

    cluster.ticks(120);
    assert!(cluster.status(1).first_index > needed_next, "it counts as stalled");

    cluster.node(3).held.mover = false;
    cluster.ticks(300);
    assert_eq!(cluster.journal(3), commands(60), "it gets the newest one");
}

#[test]
fn a_sender_that_dies_in_the_middle_is_replaced_by_the_next_leader() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.heal();
    cluster.lose(is_chunk);
    cluster.ticks(3);

    cluster.kill(1);
    cluster.heal();
    cluster.elect(2);
    cluster.ticks(100);

    assert_eq!(cluster.journal(3), commands(30));
}

#[test]
fn a_leader_that_is_deposed_in_the_middle_does_not_hold_up_the_receiver() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.heal();
    cluster.lose(is_chunk);
    cluster.ticks(3);

    cluster.heal();
    cluster.isolate(1);
    cluster.elect(2);
    assert!(cluster.propose(2, "30").is_done());
    cluster.ticks(100);

    assert_eq!(cluster.journal(3), commands(31));
}

#[test]
fn a_receiver_that_dies_in_the_middle_finishes_after_its_restart() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.heal();
    cluster.lose(is_chunk);
    cluster.ticks(3);

    cluster.restart(3);
    cluster.heal();
    cluster.ticks(100);

    assert_eq!(cluster.journal(3), commands(30));
}

#[test]
fn a_crash_between_the_file_and_the_restart_of_the_log_leaves_the_old_state() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.writer = true;
    cluster.heal();
    cluster.ticks(5);
    assert_eq!(cluster.status(3).first_index.prev(), cluster.status(3).snapshot, "it begins anew in memory");

    cluster.isolate(3);
    cluster.restart(3);
    cluster.ticks(1);
    assert_eq!(cluster.status(3).first_index, LogIndex(1));

    cluster.heal();
    cluster.ticks(100);
    assert_eq!(cluster.journal(3), commands(30));
}

#[test]
fn what_was_committed_and_not_handed_over_is_skipped_when_a_snapshot_covers_it() {
    let mut cluster = three_nodes_with(|config| {
        config.snapshot_entries = 10;
        config.trailing_entries = 0;
        config.apply_bytes_in_flight_max = 300;
        config.tail_bytes_max = 300;
    });
    cluster.elect(1);
    cluster.node(3).held.applier = true;
    cluster.node(3).held.fetcher = true;
    propose(&mut cluster, 0..8);
    cluster.ticks(2);
    cluster.isolate(3);
    propose(&mut cluster, 8..40);
    assert!(cluster.status(3).applied < cluster.status(3).commit, "its state machine is behind");

    cluster.heal();
    cluster.ticks(5);
    cluster.node(3).held.applier = false;
    cluster.node(3).held.fetcher = false;
    cluster.ticks(5);

    assert_eq!(cluster.journal(3), commands(40));
}

#[test]
fn a_second_snapshot_may_come_before_the_state_machine_took_the_first() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.applier = true;
    cluster.heal();
    cluster.ticks(5);
    cluster.isolate(3);
    (0..20).for_each(|_| cluster.heartbeat(1));
    propose(&mut cluster, 30..60);
    cluster.heal();
    cluster.ticks(10);
    let restores = cluster.node(3).applies.iter().filter(|job| matches!(job, ApplyJob::Restore(_)));
    assert_eq!(restores.count(), 2);

    cluster.node(3).held.applier = false;
    cluster.ticks(5);

    assert_eq!(cluster.journal(3), commands(60));
    let newest = cluster.status(3).snapshot;
    assert_eq!(cluster.snapshots(3).pruned().last(), Some(&newest), "now nobody needs the first");
}

#[test]
fn a_picture_under_way_when_a_snapshot_is_installed_harms_nobody() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.saver = true;
    let told = cluster.snapshot_now(3);

    cluster.heal();
    cluster.ticks(5);
    let newest = cluster.status(3).snapshot;
    cluster.node(3).held.saver = false;
    cluster.ticks(5);

    let served = told.try_recv().unwrap().unwrap();
    assert_eq!(served.position.index, newest, "the installed one holds what was asked for");
    assert_eq!(cluster.status(3).snapshot, newest);
    assert_eq!(cluster.journal(3), commands(30));
}

#[test]
fn callers_whose_entries_a_snapshot_may_hold_are_told_that_their_fate_is_unknown() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.isolate(1);
    let deposed: Vec<_> = (0..40).map(|nth| cluster.propose(1, &format!("lost {nth}"))).collect();
    cluster.elect(2);
    for nth in 0..30 {
        assert!(cluster.propose(2, &nth.to_string()).is_done());
    }
    assert!(cluster.status(2).first_index > LogIndex(10));

    cluster.heal();
    cluster.ticks(10);

    assert_eq!(cluster.journal(1), commands(30));
    let errors: Vec<_> = deposed.into_iter().map(|answer| answer.try_wait().unwrap().unwrap_err()).collect();
    assert_eq!(errors[0], ProposeError::Unknown, "the snapshot may hold it");
    assert_eq!(errors[39], ProposeError::Superseded, "behind the snapshot its term cannot go on");
}

#[test]
fn a_forward_that_a_snapshot_covers_is_unknown_once_its_place_is_known() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.lose(|from, to, message| {
        let is_answer = matches!(message, PeerMessage::ForwardAnswer(_));
        (from, to) == (1, 3) && !is_answer
    });
    let forwarded = cluster.propose(3, "forwarded");
    assert!(cluster.journal(1).contains("forwarded") && !forwarded.is_done());
    propose(&mut cluster, 0..30);
    assert!(cluster.status(1).first_index > cluster.status(3).last_index);

    cluster.heal();
    cluster.ticks(10);

    let error = forwarded.try_wait().unwrap().unwrap_err();
    assert_eq!((&error, error.outcome()), (&ProposeError::Unknown, Outcome::Unknown));
}

#[test]
fn a_forward_that_a_snapshot_may_cover_is_never_called_superseded() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.lose(|from, to, _| (from, to) == (1, 3));
    let forwarded = cluster.propose(3, "forwarded");
    propose(&mut cluster, 0..30);
    cluster.heal();
    cluster.ticks(10);
    assert!(cluster.journal(3).contains("forwarded"), "in the snapshot");
    assert!(
        !forwarded.is_done(),
        "it may have been appended behind the snapshot, for all that is known here"
    );

    cluster.elect(2);
    cluster.ticks(2);

    assert_eq!(forwarded.try_wait().unwrap(), Err(ProposeError::Unknown));
}

#[test]
fn a_read_that_waits_for_what_a_snapshot_brings_is_answered_by_it() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.mover = true;
    cluster.heal();
    cluster.ticks(3);
    let seen = cluster.read(3);
    assert!(!seen.is_done());

    cluster.node(3).held.mover = false;
    cluster.ticks(5);

    assert_eq!(seen.try_wait().unwrap(), Ok(commands(30)));
}

#[test]
fn a_snapshot_that_is_slower_than_an_election_timeout_starts_no_election() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    let term = cluster.status(1).term;
    cluster.node(3).held.mover = true;
    cluster.heal();

    cluster.ticks(50);

    assert!([1, 2, 3].into_iter().all(|number| cluster.status(number).term == term));
    assert_eq!(cluster.status(3).leader, Some(id(1)));
}

#[test]
fn a_snapshot_on_demand_of_nothing_is_refused() {
    let mut cluster = three_nodes();
    cluster.join(4, 44);

    let told = cluster.snapshot_now(4);

    assert_eq!(told.try_recv(), Ok(Err(SnapshotNowError::NothingApplied)));
}

#[test]
fn a_picture_stands_behind_everything_that_was_handed_over() {
    let mut cluster = three_nodes_with_snapshots();
    cluster.node(1).held.applier = true;
    let answers: Vec<_> = (0..12).map(|nth| cluster.submit(1, &nth.to_string())).collect();
    cluster.settle();

    let jobs = &cluster.node(1).applies;
    let picture = jobs.iter().position(|job| matches!(job, ApplyJob::Picture)).expect("it is due");
    assert!(jobs[..picture].iter().any(|job| matches!(job, ApplyJob::Entries { .. })));
    cluster.node(1).held.applier = false;
    cluster.settle();
    assert!(answers.iter().all(crate::ticket::Ticket::is_done));
    assert_eq!(cluster.status(1).snapshot, cluster.status(1).applied);
}

#[test]
fn a_snapshot_that_nobody_asked_for_is_not_installed() {
    let mut cluster = three_nodes_with_snapshots();
    propose(&mut cluster, 0..15);
    let snapshot = cluster.snapshot_now(1).try_recv().unwrap().unwrap();
    let before = (cluster.status(2).first_index, cluster.journal(2));

    let received = crate::replica::Received { snapshot, outcome: Ok(()) };
    cluster.handle(2, Event::Received(received));
    cluster.ticks(3);

    assert_eq!((cluster.status(2).first_index, cluster.journal(2)), before);
}

#[test]
fn a_picture_taken_after_a_newer_snapshot_took_the_place_of_the_log_is_of_no_use_and_harms_nobody() {
    let mut cluster = three_nodes_of_which_3_needs_a_snapshot();
    cluster.node(3).held.applier = true;
    let told = cluster.snapshot_now(3);
    cluster.heal();
    cluster.ticks(5);

    cluster.node(3).held.applier = false;
    cluster.ticks(5);

    let failed = |notice: &Notice| matches!(notice, Notice::SnapshotFailed { .. });
    assert!(cluster.node(3).notices.iter().any(failed));
    assert!(told.try_recv().is_ok(), "whoever asked has an answer");
    assert_eq!(cluster.journal(3), commands(30));
}
