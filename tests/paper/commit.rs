//! §5.4.2, figure 8: when an entry is committed.

use quorate::consensus::RoleName;

use crate::fixture::*;

/// Figure 8 with S1 as node 1: entry 2 is everyone's, entry 3 of term 2 reached S2, and S1 leads again in term 4.
fn s1_of_figure_8() -> quorate::consensus::Raft {
    let mut s1 = replica(1, 5).with_log(&[1, 2]).in_term(3).lead();
    assert_eq!(log_of(&s1), [1, 2, 4]);
    // (c): S3 takes the entry of term 2 as well, though not yet the one of term 4.
    s1.step(node(2), accepted(4, 3));
    s1.step(node(3), accepted(4, 3));
    persist_all(&mut s1);
    s1
}

#[test]
fn an_entry_of_an_older_term_is_not_committed_by_counting_copies() {
    let s1 = s1_of_figure_8();

    assert_eq!(s1.progress(node(3)).unwrap().matched, index(3), "a majority holds entry 3");
    assert_eq!(s1.commit(), index(1));
}

#[test]
fn so_a_later_leader_may_overwrite_it() {
    // (d): S5 with its entry of term 3 is elected by S2, S3 and S4, and replaces entry 3.
    let mut s3 = replica(3, 5).with_log(&[1, 2]).in_term(4).start();
    s3.step(node(5), vote(5, at(3, 3)));
    assert_eq!(only(&persist_all(&mut s3)).1, vote_answer(5, true));

    s3.step(node(5), append(5, at(1, 2), &[3, 5], 4));

    assert_eq!((log_of(&s3), s3.commit()), (vec![1, 3, 5], index(4)));
}

#[test]
fn an_entry_of_the_own_term_commits_all_before_it() {
    // (e): S1 replicates its entry of term 4 as well.
    let mut s1 = s1_of_figure_8();

    s1.step(node(2), accepted(4, 4));
    assert_eq!(s1.commit(), index(1), "two of five");
    s1.step(node(3), accepted(4, 4));

    assert_eq!(s1.commit(), index(4));
    assert!(s1.has_committed_in_term());
}

#[test]
fn then_s5_can_no_longer_win() {
    for voter in [2, 3] {
        let mut raft = replica(voter, 5).with_log(&[1, 2, 4]).start();
        raft.step(node(5), vote(5, at(3, 3)));
        assert_eq!(only(&persist_all(&mut raft)).1, vote_answer(5, false));
    }
}

/// Each moment of (c) to (e) once with a crash of S1: whatever S1 has committed, S5 cannot be elected over it.
#[test]
fn whatever_figure_8_commits_no_crash_can_lose() {
    for (copies_of_term_4, can_be_overwritten) in [(0, true), (1, true), (2, false), (3, false), (4, false)] {
        let mut s1 = s1_of_figure_8();
        for voter in 2..2 + copies_of_term_4 {
            s1.step(node(voter), accepted(4, 4));
        }
        let is_committed = s1.commit() >= index(3);
        let mut s5 = replica(5, 5).with_log(&[1, 3]).in_term(4).start();
        s5.campaign();
        persist_all(&mut s5);
        for voter in 2..=4 {
            let log: &[u64] = if voter < 2 + copies_of_term_4 { &[1, 2, 4] } else { &[1, 2] };
            let mut raft = replica(voter, 5).with_log(log).in_term(4).start();
            raft.step(node(5), vote(5, at(3, 3)));
            let (_, answer) = only(&persist_all(&mut raft));
            s5.step(node(voter), answer);
        }
        let s5_won = s5.role() == RoleName::Leader;
        assert_eq!(
            (is_committed, s5_won),
            (!can_be_overwritten, can_be_overwritten),
            "{copies_of_term_4} copies"
        );
    }
}

#[test]
fn with_two_voters_nothing_commits_while_one_is_down() {
    let mut leader = replica(1, 2).lead_with_everyone();
    leader.propose([10]).unwrap();
    persist_all(&mut leader);

    leader.tick(9);
    assert_eq!(leader.commit(), index(2));
    leader.step(node(2), accepted(1, 3));

    assert_eq!(leader.commit(), index(3));
}

#[test]
fn a_joint_configuration_commits_with_both_majorities() {
    let joint = members("host", &[1, 2, 3], &[4, 5, 6], &[7]);
    let mut leader = replica(1, 3).with_membership(joint).lead();

    for voter in [2, 3, 4, 7] {
        leader.step(node(voter), accepted(1, 2));
    }
    assert_eq!(leader.commit(), index(1), "the outgoing half lacks a majority");
    leader.step(node(6), accepted(1, 2));

    assert_eq!(leader.commit(), index(2));
}

#[test]
fn learners_receive_entries_and_never_count() {
    let mut leader = replica(1, 3).with_membership(members("host", &[1, 2, 3], &[], &[4, 5])).lead();

    leader.step(node(4), accepted(1, 2));
    leader.step(node(5), accepted(1, 2));
    assert_eq!(leader.commit(), index(1));
    leader.step(node(2), accepted(1, 2));
    persist_all(&mut leader);
    leader.propose([10]).unwrap();

    assert_eq!(leader.commit(), index(2));
    assert_eq!(appends_to(4, &leader.ready(NOW).send).len(), 1, "a learner streams like the others");
}
