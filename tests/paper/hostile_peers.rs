//! What comes from a peer is judged before it is obeyed: nothing it says may panic us or break a law.

use quorate::consensus::{Raft, RaftConfig, RoleName};
use quorate::types::{Body, LogPosition};

use crate::fixture::*;

#[test]
fn a_second_leader_of_the_same_term_is_never_obeyed() {
    let mut leader = replica(1, 3).lead_with_everyone();
    let before = leader.clone();
    leader.step(node(2), append(1, at(0, 1), &[1, 1], 3));
    leader.step(node(2), heartbeat(1, 9, 1));
    assert_eq!(leader, before);

    let mut follower = replica(1, 3).start();
    follower.step(node(2), append(1, at(0, 1), &[1], 1));
    let before = follower.clone();
    follower.step(node(3), append(1, at(0, 1), &[1, 1], 3));
    follower.step(node(3), heartbeat(1, 2, 1));
    assert_eq!(follower, before);
}

#[test]
fn an_append_that_would_overwrite_a_committed_entry_is_refused() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1]).start();
    follower.step(node(2), append(1, at(1, 4), &[], 3));
    persist_all(&mut follower);

    for overwrite in
        [append(2, at(1, 2), &[2], 3), append(2, at(2, 3), &[2], 3), append(2, LogPosition::ZERO, &[2], 1)]
    {
        assert_eq!(follower.step(node(3), overwrite), None);
        assert_eq!(log_of(&follower), [1, 1, 1]);
        assert_eq!(persist_all(&mut follower), [], "it is not acknowledged either");
    }
}

#[test]
fn a_leader_that_contradicts_what_it_sent_itself_is_refused() {
    let mut follower = replica(1, 3).in_term(2).start();
    follower.step(node(2), append(2, at(0, 1), &[1, 2, 2], 1));

    assert_eq!(follower.step(node(2), append(2, at(1, 2), &[1], 1)), None);

    assert_eq!(log_of(&follower), [1, 2, 2]);
}

#[test]
fn the_founding_entry_is_never_overwritten() {
    let mut follower = replica(1, 3).start();

    assert_eq!(follower.step(node(2), append(5, LogPosition::ZERO, &[5, 5], 2)), None);

    assert_eq!(follower.last(), at(0, 1));
}

#[test]
fn entries_beyond_their_senders_term_are_ignored() {
    let mut follower = replica(1, 3).in_term(2).start();

    assert_eq!(follower.step(node(2), append(2, at(0, 1), &[1, 3], 1)), None);

    assert_eq!(follower.last(), at(0, 1));
}

#[test]
fn entries_that_contradict_the_snapshot_behind_which_the_log_starts_are_refused() {
    let mut follower = replica(1, 3).with_log(&[5, 5, 5]).start();
    follower.step(node(2), append(5, at(5, 4), &[], 4));
    persist_all(&mut follower);
    save_snapshot(&mut follower);
    follower.compact(index(4));
    assert_eq!(follower.first_index(), index(5));

    // Entry 4 in another term than the snapshot's, and one behind it whose term would fall.
    assert_eq!(follower.step(node(2), append(5, at(1, 2), &[2, 2, 2], 5)), None);

    assert_eq!((follower.last(), follower.commit()), (at(5, 4), index(4)));
    assert_eq!(persist_all(&mut follower), [], "it is not acknowledged either");
}

#[test]
fn a_log_that_does_not_begin_with_its_members_is_refused() {
    let mut waiting = newcomer(4);

    assert_eq!(waiting.step(node(2), append(2, LogPosition::ZERO, &[1, 1], 2)), None);

    assert_eq!((waiting.last(), waiting.commit()), (LogPosition::ZERO, index(0)));
    persist_all(&mut waiting);
    let restored = restored_of(&waiting);
    assert!(Raft::new(RaftConfig::new(node(4)), restored).is_ok(), "it starts again on what it took");
}

#[test]
fn a_match_beyond_the_leaders_log_is_ignored() {
    let mut leader = replica(1, 3).lead_with_everyone();
    let before = leader.clone();

    leader.step(node(2), accepted(1, 3));
    leader.step(node(2), accepted(1, u64::MAX));
    leader.step(node(2), heartbeat_answer(1, u64::MAX, 0));

    assert_eq!(leader, before);
}

#[test]
fn numbers_at_the_end_of_their_range_are_survived() {
    let end = at(1, u64::MAX);
    let mut follower = replica(1, 3).start();
    let mut leader = replica(1, 3).lead_with_everyone();
    for message in [
        append(1, end, &[], u64::MAX),
        heartbeat(1, u64::MAX, u64::MAX),
        vote(1, end),
        pre_vote(1, end),
        rejected(1, u64::MAX, end),
        rejected(1, 2, end),
        rejected(1, 0, LogPosition::ZERO),
        accepted(1, u64::MAX),
        heartbeat_answer(1, u64::MAX, u64::MAX),
        read_index_answer(1, read_id(1), Some(u64::MAX)),
    ] {
        follower.step(node(2), message.clone());
        leader.step(node(2), message);
        persist_all(&mut follower);
        persist_all(&mut leader);
    }

    assert_eq!((leader.role(), leader.commit()), (RoleName::Leader, index(2)));
    assert_eq!((follower.last(), follower.commit()), (at(0, 1), index(1)));
}

#[test]
fn strangers_get_no_progress() {
    let mut leader = replica(1, 3).lead();

    leader.step(node(9), accepted(1, 2));
    leader.step(node(9), heartbeat_answer(1, 2, 0));
    leader.step(node(9), rejected(1, 1, LogPosition::ZERO));
    leader.peer_lost(node(9));

    assert_eq!((leader.progress(node(9)), leader.commit()), (None, index(1)));
}

#[test]
fn a_message_from_oneself_is_ignored() {
    let mut raft = replica(1, 3).start();
    let before = raft.clone();

    raft.step(node(1), vote(5, at(5, 5)));

    assert_eq!(raft, before);
}

#[test]
fn refusals_of_a_pre_vote_in_ones_own_term_change_nothing() {
    let mut asker = replica(1, 3).with(|config| config.pre_vote = true).start();
    asker.campaign();
    let before = asker.clone();

    asker.step(node(2), pre_vote_answer(0, false));
    asker.step(node(3), pre_vote_answer(0, false));

    assert_eq!(asker, before);
    assert!(persist_all(&mut asker).iter().all(|sent| matches!(sent.message.body, Body::PreVote { .. })));
}
