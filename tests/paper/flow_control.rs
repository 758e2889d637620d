//! Pipelining: as much under way to each peer as its window admits, and no stall when messages are lost.

use quorate::consensus::{ProgressState, Raft};

use crate::fixture::*;

fn narrow(messages: usize, entries: usize, bytes: u64) -> Raft {
    replica(1, 3)
        .with(|config| {
            config.in_flight_messages_max = messages;
            config.append_entries_max = entries;
            config.append_bytes_max = bytes;
            config.in_flight_bytes_max = 2 * bytes;
        })
        .lead_with_everyone()
}

fn sizes_sent(leader: &mut Raft) -> Vec<Vec<u32>> {
    let appends = appends_to(2, &persist_all(leader));
    appends.iter().map(|append| append.slice.entries().iter().map(|entry| entry.bytes).collect()).collect()
}

#[test]
fn appends_are_cut_by_count_and_by_bytes() {
    let mut leader = narrow(10, 2, 100);
    leader.propose([10, 10, 10, 60, 60]).unwrap();

    assert_eq!(sizes_sent(&mut leader), [vec![10, 10], vec![10, 60], vec![60]]);
}

#[test]
fn an_entry_above_every_limit_passes_alone() {
    let mut leader = narrow(10, 10, 100);
    leader.propose([10, 5_000, 10]).unwrap();
    assert_eq!(sizes_sent(&mut leader), [[10]], "the large one waits until nothing is under way");

    leader.step(node(2), accepted(1, 3));
    assert_eq!(sizes_sent(&mut leader), [[5_000]]);
    leader.step(node(2), accepted(1, 4));

    assert_eq!(sizes_sent(&mut leader), [[10]]);
}

#[test]
fn a_full_window_waits_and_an_answer_opens_it() {
    let mut leader = narrow(2, 1, 1_000);
    leader.propose([1, 2, 3, 4]).unwrap();
    assert_eq!(sizes_sent(&mut leader), [[1], [2]]);
    let progress = leader.progress(node(2)).unwrap();
    assert_eq!((progress.in_flight_messages, progress.in_flight_bytes), (2, 3));

    leader.step(node(2), accepted(1, 3));
    assert_eq!(sizes_sent(&mut leader), [[3]]);
    leader.step(node(2), accepted(1, 3));

    assert_eq!(sizes_sent(&mut leader), Vec::<Vec<u32>>::new(), "a repeated answer frees nothing more");
}

#[test]
fn bytes_fill_the_window_too() {
    let mut leader = narrow(10, 1, 50);
    leader.propose([50, 50, 50]).unwrap();

    assert_eq!(sizes_sent(&mut leader), [[50], [50]], "twice the size of an append may be under way");
}

#[test]
fn when_everything_under_way_is_lost_an_answered_heartbeat_starts_again() {
    let mut leader = narrow(2, 1, 1_000);
    leader.propose([1, 2, 3, 4]).unwrap();
    persist_all(&mut leader);

    for _ in 0..2 {
        leader.tick(2);
        let round = heartbeats_to(2, &persist_all(&mut leader))[0].round;
        leader.step(node(2), heartbeat_answer(1, 2, round.0));
    }

    assert_eq!(leader.progress(node(2)).unwrap().state, ProgressState::Probe);
    assert_eq!(sizes_sent(&mut leader), [[1]]);
    leader.step(node(2), accepted(1, 3));
    assert_eq!(sizes_sent(&mut leader), [[2], [3]]);
}

#[test]
fn a_slow_disk_is_no_loss_as_long_as_answers_come() {
    let mut leader = narrow(4, 1, 1_000);
    leader.propose([1, 2, 3, 4]).unwrap();
    persist_all(&mut leader);

    for matched in 3..=5 {
        leader.tick(2);
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, matched));
        leader.step(node(2), heartbeat_answer(1, matched, 1));
    }

    assert_eq!(leader.progress(node(2)).unwrap().state, ProgressState::Replicate);
}

#[test]
fn a_heartbeats_answer_proves_a_match_whose_own_answer_was_lost() {
    let mut leader = narrow(2, 1, 1_000);
    leader.propose([1, 2, 3]).unwrap();
    leader.tick(2);
    persist_all(&mut leader);

    leader.step(node(2), heartbeat_answer(1, 4, 1));

    assert_eq!(leader.commit(), index(4));
    assert_eq!(sizes_sent(&mut leader), [[3]], "the window is free again");
}

#[test]
fn a_lost_connection_frees_the_window_and_resumes_at_once_behind_the_match() {
    let mut leader = narrow(2, 1, 1_000);
    leader.propose([1, 2, 3]).unwrap();
    persist_all(&mut leader);

    leader.peer_lost(node(2));

    let progress = leader.progress(node(2)).unwrap();
    assert_eq!(
        (progress.state, progress.next, progress.in_flight_messages),
        (ProgressState::Probe, index(3), 0)
    );
    assert_eq!(sizes_sent(&mut leader), [[1]]);
}

#[test]
fn a_caught_up_peer_that_was_lost_streams_again_after_its_first_answer() {
    let mut leader = narrow(2, 1, 1_000);
    leader.peer_lost(node(2));
    let probes = appends_to(2, &persist_all(&mut leader));
    assert_eq!(probes.len(), 1);
    assert!(probes[0].slice.entries().is_empty());

    leader.step(node(2), accepted(1, 2));

    assert_eq!(leader.progress(node(2)).unwrap().state, ProgressState::Replicate);
}

#[test]
fn a_probe_is_sent_once_per_heartbeat() {
    let mut leader = replica(1, 3).lead();
    assert_eq!(appends_to(2, &persist_all(&mut leader)), [], "the first one went out with the election");

    leader.propose([1]).unwrap();
    leader.tick(1);
    assert_eq!(appends_to(2, &persist_all(&mut leader)), []);
    leader.tick(1);

    assert_eq!(appends_to(2, &persist_all(&mut leader)).len(), 1);
}

#[test]
fn answers_out_of_order_and_repeated_never_take_a_match_back() {
    let mut leader = narrow(10, 1, 1_000);
    leader.propose([1, 2, 3]).unwrap();
    persist_all(&mut leader);

    for (answer, matched) in
        [(accepted(1, 4), 4), (accepted(1, 3), 4), (heartbeat_answer(1, 2, 0), 4), (accepted(1, 5), 5)]
    {
        leader.step(node(2), answer);
        assert_eq!(leader.progress(node(2)).unwrap().matched, index(matched));
    }
}

#[test]
fn one_dead_peer_takes_one_window_of_memory_and_no_time_of_the_others() {
    let mut leader = narrow(4, 1, 1_000);
    for nth in 0..100 {
        leader.propose([1]).unwrap();
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 3 + nth));
    }

    assert_eq!(leader.commit(), index(102));
    assert_eq!(leader.progress(node(3)).unwrap().in_flight_messages, 4);
}

#[test]
fn nothing_is_left_to_do_after_a_turn() {
    let mut leader = narrow(2, 1, 1_000);
    leader.propose([1, 2, 3, 4]).unwrap();
    leader.read_index(read_id(1), NOW).unwrap();
    leader.tick(2);
    assert!(leader.has_ready());

    leader.ready(NOW);

    assert!(!leader.has_ready());
    assert_eq!(leader.ready(NOW), quorate::consensus::Ready::default());
}
