//! §7: the log is shortened, and what then happens at its edge.

use quorate::consensus::{Fate, Raft};
use quorate::types::{Append, AppendAnswer, Body, LogPosition};

use crate::cluster::Cluster;
use crate::fixture::*;

/// A leader of three in term 1 whose log ends at `last`, all of it committed, applied and acknowledged by everyone.
fn settled_leader(last: u64) -> Raft {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.propose((2..last).map(|_| 10)).expect("it leads");
    persist_all(&mut leader);
    for peer in [2, 3] {
        leader.step(node(peer), accepted(1, last));
    }
    persist_all(&mut leader);
    assert_eq!(leader.commit(), index(last));
    leader
}

#[test]
fn a_log_is_shortened_no_further_than_its_newest_snapshot_less_the_trailing_entries() {
    let mut leader = settled_leader(20);
    assert_eq!(leader.compactable(0), None, "nothing is covered yet");
    save_snapshot(&mut leader);
    leader.propose([10]).unwrap();

    assert_eq!(leader.compactable(0), Some(index(20)));
    assert_eq!(leader.compactable(5), Some(index(15)));
    assert_eq!((leader.compactable(20), leader.compactable(u64::MAX)), (None, None));
    let (start, membership) = leader.compact(index(15));

    assert_eq!((start, &membership), (at(1, 15), leader.membership()));
    assert_eq!((leader.first_index(), leader.last(), leader.commit()), (index(16), at(1, 21), index(20)));
    assert_eq!((leader.compactable(5), leader.compactable(4)), (None, Some(index(16))));
}

/// A state machine on disk may hold less than the newest snapshot, after a crash.
#[test]
fn nothing_is_dropped_that_the_state_machine_still_needs() {
    let past = replica(1, 3).with_log(&[1, 1, 1, 1, 1]);
    let restored = quorate::consensus::Restored {
        snapshot: Some(snapshot(at(1, 6))),
        applied: at(1, 3),
        ..past.restored()
    };
    let mut follower = Raft::new(past.config, restored).unwrap();
    assert_eq!(follower.compactable(0), Some(index(3)));

    follower.step(node(2), append(1, at(1, 6), &[], 5));
    assert_eq!(follower.compactable(0), Some(index(3)), "what is committed is not applied yet");
    let ready = follower.ready(NOW);

    assert_eq!(ready.apply.map(|span| (span.first, span.last)), Some((index(4), at(1, 5))));
    assert_eq!(follower.compactable(0), Some(index(5)));
}

#[test]
fn an_older_snapshot_takes_no_newer_ones_place() {
    let mut leader = settled_leader(20);
    save_snapshot(&mut leader);

    leader.snapshot_saved(snapshot(at(1, 9)));

    assert_eq!(leader.snapshot().unwrap().position, at(1, 20));
}

#[test]
#[should_panic(expected = "holds more than was applied")]
fn a_host_whose_snapshot_holds_more_than_was_applied_is_stopped() {
    let mut leader = settled_leader(20);
    leader.propose([10]).unwrap();

    leader.snapshot_saved(snapshot(at(1, 21)));
}

#[test]
#[should_panic(expected = "no durable snapshot covers")]
fn a_host_that_compacts_further_than_it_may_is_stopped() {
    let mut leader = settled_leader(20);
    save_snapshot(&mut leader);
    leader.propose([10]).unwrap();

    leader.compact(index(21));
}

#[test]
fn a_follower_compacts_for_itself_and_takes_what_follows() {
    let mut follower = replica(1, 3).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1, 1], 3));
    persist_all(&mut follower);
    assert_eq!(snapshot_and_compact(&mut follower, 0), at(1, 3));

    let span = follower.step(node(2), append(1, at(1, 4), &[1], 5)).unwrap();

    assert_eq!((follower.first_index(), span.first), (index(4), index(5)));
    assert_eq!(only(&persist_all(&mut follower)).1, accepted(1, 5));
}

#[test]
fn a_snapshot_has_the_configuration_that_was_in_force_at_its_index() {
    let mut leader = settled_leader(5);
    let founding = leader.membership_at(index(5)).unwrap();
    let moved = members("elsewhere", &[1, 2, 3], &[], &[]);
    let at_entry = leader.propose_membership(moved.clone()).unwrap();

    assert_eq!(leader.membership_at(index(5)), Some(founding.clone()), "the change came later");
    assert_eq!(*leader.membership_at(at_entry.index).unwrap(), moved);
    save_snapshot(&mut leader);
    let (_, at_start) = leader.compact(index(4));

    assert_eq!(at_start, founding);
    assert_eq!((leader.membership_at(index(3)), &**leader.membership()), (None, &moved));
}

#[test]
fn a_truncated_configuration_gives_way_to_that_of_the_compacted_log() {
    let mut follower = replica(1, 3).start();
    follower.step(node(2), append(1, at(0, 1), &[1, 1], 3));
    persist_all(&mut follower);
    let founding = follower.membership().clone();
    snapshot_and_compact(&mut follower, 0);
    let mut leader = settled_leader(3);
    let moved = members("elsewhere", &[1, 2, 3], &[], &[]);
    let entry = leader.propose_membership(moved.clone()).unwrap();
    let meta = leader.meta(entry.index).unwrap();
    let slice = quorate::types::LogSlice::new(at(1, 3), vec![meta]).unwrap();
    let body = Body::Append(Append { slice, commit: index(3) });
    follower.step(node(2), quorate::types::Message { term: term(1), body });
    assert_eq!(**follower.membership(), moved);

    follower.step(node(3), append(2, at(1, 3), &[2], 3));

    assert_eq!(*follower.membership(), founding);
}

/// A follower whose log begins behind entry 50 of term 3 and ends at entry 52.
fn compacted_follower() -> Raft {
    let mut follower = replica(1, 3).in_term(3).start();
    follower.step(node(2), offer(3, &snapshot(at(3, 50))));
    assert!(follower.snapshot_received(&snapshot(at(3, 50))));
    follower.step(node(2), append(3, at(3, 50), &[3, 3], 50));
    persist_all(&mut follower);
    assert_eq!((follower.first_index(), follower.last()), (index(51), at(3, 52)));
    follower
}

#[test]
fn what_precedes_the_start_of_the_log_is_committed_and_so_it_matches() {
    let mut follower = compacted_follower();

    for (prev, terms, matched) in
        [(at(1, 10), &[1, 1][..], 52), (at(2, 49), &[3], 52), (at(2, 49), &[3, 3, 3, 3], 53)]
    {
        follower.step(node(2), append(3, prev, terms, 50));
        assert_eq!(only(&persist_all(&mut follower)).1, accepted(3, matched), "after {prev}");
    }

    assert_eq!((follower.first_index(), follower.last()), (index(51), at(3, 53)));
}

#[test]
fn at_the_start_of_the_log_the_terms_must_agree() {
    let mut follower = compacted_follower();

    follower.step(node(2), append(3, at(3, 50), &[3], 50));
    assert_eq!(only(&persist_all(&mut follower)).1, accepted(3, 52));
    follower.step(node(2), append(3, at(2, 50), &[3], 50));

    assert_eq!(persist_all(&mut follower), [], "a leader that contradicts a snapshot is not answered");
}

#[test]
fn behind_the_start_of_the_log_everything_is_as_ever() {
    let mut follower = compacted_follower();
    follower.step(node(3), append(4, at(3, 51), &[4], 50));
    assert_eq!((only(&persist_all(&mut follower)).1, follower.last()), (accepted(4, 52), at(4, 52)));

    follower.step(node(3), append(4, at(4, 60), &[4], 50));

    assert_eq!(only(&persist_all(&mut follower)).1, rejected(4, 60, at(4, 52)));
}

#[test]
fn no_hint_points_before_the_start_of_the_log() {
    let mut follower = compacted_follower();

    // Entry 52 of term 4, of a leader whose entry 51 has another term than ours.
    follower.step(node(3), append(5, at(4, 51), &[5], 50));

    let (_, answer) = only(&persist_all(&mut follower));
    assert!(
        matches!(answer.body, Body::AppendAnswer(AppendAnswer::Rejected { hint, .. }) if hint >= at(3, 50)),
        "{answer:?}"
    );
}

#[test]
fn a_follower_that_lags_within_the_log_is_served_from_it() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    cluster.down(&[3]);
    cluster.raft(1).propose([10; 20]).unwrap();
    cluster.settle();
    snapshot_and_compact(cluster.raft(1), 25);
    assert_eq!(cluster.raft(1).first_index(), index(1), "all of it is trailing");
    snapshot_and_compact(cluster.raft(1), 20);
    assert_eq!(cluster.raft(1).first_index(), index(3));

    cluster.up(&[3]);
    cluster.tick_all(10);

    assert_eq!((cluster.raft(3).commit(), cluster.installs), (index(22), 0));
}

#[test]
fn a_proposal_is_pending_until_its_index_is_committed_and_then_one_thing_for_ever() {
    let mut leader = settled_leader(20);
    let mine = leader.propose([10]).unwrap().last;
    persist_all(&mut leader);
    assert_eq!(leader.fate(mine), Fate::Pending);
    leader.step(node(2), accepted(1, 21));

    assert_eq!((leader.fate(mine), leader.fate(at(1, 20))), (Fate::Committed, Fate::Committed));
    assert_eq!(leader.fate(at(0, 20)), Fate::Superseded, "another entry is committed there");
    persist_all(&mut leader);
    snapshot_and_compact(&mut leader, 0);

    assert_eq!((leader.fate(mine), leader.fate(at(0, 21))), (Fate::Committed, Fate::Superseded));
    assert_eq!(leader.fate(at(1, 20)), Fate::Compacted);
}

#[test]
fn an_entry_that_was_overwritten_here_may_commit_yet_unless_a_later_term_is_committed_before_it() {
    let mut deposed = settled_leader(3);
    let mine = deposed.propose([10, 10, 10]).unwrap().last;
    persist_all(&mut deposed);

    deposed.step(node(2), append(2, at(1, 3), &[2], 3));
    assert_eq!(deposed.fate(mine), Fate::Pending, "a third leader may have it, and make it everyone's");
    deposed.step(node(2), heartbeat(2, 4, 1));

    assert_eq!((deposed.fate(mine), deposed.fate(at(1, 4))), (Fate::Superseded, Fate::Superseded));
    assert_eq!(deposed.fate(LogPosition::ZERO), Fate::Committed);
}
