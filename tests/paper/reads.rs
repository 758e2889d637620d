//! Thesis §6.4: linearizable reads without the log.

use quorate::consensus::{Raft, ReadReady, ReadRefused};
use quorate::types::{Body, Round};

use crate::cluster::Cluster;
use crate::fixture::*;

/// The round of the heartbeats that a turn sent to node 2.
fn round_sent(leader: &mut Raft) -> u64 {
    let sent = persist_all(leader);
    heartbeats_to(2, &sent).last().expect("a round was sent").round.0
}

fn reads(raft: &mut Raft) -> Vec<ReadReady> {
    raft.ready(NOW).reads
}

fn ready_at(request: u64, at: u64) -> ReadReady {
    ReadReady { id: read_id(request), index: index(at) }
}

#[test]
fn a_read_is_answered_at_the_commit_index_once_a_majority_confirmed_the_leader() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.read_index(read_id(1), NOW).unwrap();
    let round = round_sent(&mut leader);

    assert_eq!(reads(&mut leader), []);
    leader.step(node(2), heartbeat_answer(1, 2, round));

    assert_eq!(reads(&mut leader), [ready_at(1, 2)]);
}

#[test]
fn a_true_majority_must_confirm() {
    for (count, needed) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
        let mut leader = replica(1, count).lead_with_everyone();
        leader.read_index(read_id(1), NOW).unwrap();
        let round = round_sent(&mut leader);
        for peer in 2..2 + needed {
            assert_eq!(reads(&mut leader), [], "{count} nodes");
            leader.step(node(peer), heartbeat_answer(1, 2, round));
        }
        assert_eq!(reads(&mut leader), [ready_at(1, 2)], "{count} nodes");
    }
}

#[test]
fn in_a_joint_configuration_both_majorities_must_confirm() {
    let learning = members("host", &[1, 2, 3], &[], &[4, 5, 6, 7]);
    let mut leader = replica(1, 3).with_membership(learning).lead_with_everyone();
    leader.change_membership(&set(&[4, 5, 6], &[7]), None).unwrap();
    leader.read_index(read_id(1), NOW).unwrap();
    let round = round_sent(&mut leader);

    for peer in [2, 3, 4, 7] {
        leader.step(node(peer), heartbeat_answer(1, 2, round));
    }
    assert_eq!(reads(&mut leader), []);
    leader.step(node(5), heartbeat_answer(1, 2, round));

    assert_eq!(reads(&mut leader), [ready_at(1, 2)]);
}

#[test]
fn a_new_leader_answers_no_read_before_it_has_committed_in_its_term() {
    let mut leader = replica(1, 3).with_log(&[1, 1]).lead();
    leader.read_index(read_id(1), NOW).unwrap();
    leader.tick(2);
    let early_round = round_sent(&mut leader);
    leader.step(node(2), heartbeat_answer(2, 0, early_round));
    assert_eq!(reads(&mut leader), [], "it does not know yet what was committed before it");

    leader.step(node(2), accepted(2, 4));
    let round = round_sent(&mut leader);
    assert!(round > early_round);
    leader.step(node(3), heartbeat_answer(2, 0, round));

    assert_eq!(reads(&mut leader), [ready_at(1, 4)]);
}

#[test]
fn an_answer_to_an_older_round_confirms_no_newer_read() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.read_index(read_id(1), NOW).unwrap();
    let first = round_sent(&mut leader);
    leader.read_index(read_id(2), NOW).unwrap();
    let second = round_sent(&mut leader);

    leader.step(node(2), heartbeat_answer(1, 2, first));
    assert_eq!(reads(&mut leader), [ready_at(1, 2)]);
    leader.step(node(3), heartbeat_answer(1, 2, first));
    assert_eq!(reads(&mut leader), [], "that was asked before the second read came");
    leader.step(node(3), heartbeat_answer(1, 2, second));

    assert_eq!(reads(&mut leader), [ready_at(2, 2)]);
}

#[test]
fn the_same_read_asked_twice_is_not_confirmed_by_the_first_ones_round() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.step(node(2), read_index(1, read_id(7)));
    let first = round_sent(&mut leader);
    leader.step(node(2), read_index(1, read_id(7)));
    persist_all(&mut leader);

    leader.step(node(3), heartbeat_answer(1, 2, first));

    let answers = bodies_to(2, &persist_all(&mut leader));
    assert_eq!(answers, [Body::ReadIndexAnswer { id: read_id(7), index: Some(index(2)) }]);
}

#[test]
fn all_reads_that_wait_share_one_round() {
    let mut leader = replica(1, 3).lead_with_everyone();
    for request in 0..1_000 {
        leader.read_index(read_id(request), NOW).unwrap();
    }

    let sent = persist_all(&mut leader);

    assert_eq!(sent.len(), 2, "one heartbeat to each peer");
    leader.step(node(2), heartbeat_answer(1, 2, heartbeats_to(2, &sent)[0].round.0));
    assert_eq!(reads(&mut leader).len(), 1_000);
}

#[test]
fn a_heartbeat_that_is_due_and_the_round_of_a_read_are_one_message() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.tick(2);
    leader.read_index(read_id(1), NOW).unwrap();

    assert_eq!(heartbeats_to(2, &persist_all(&mut leader)).len(), 1);
}

#[test]
fn the_index_is_that_of_the_reads_arrival() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.read_index(read_id(1), NOW).unwrap();
    let round = round_sent(&mut leader);
    leader.propose([10]).unwrap();
    persist_all(&mut leader);
    leader.step(node(2), accepted(1, 3));

    leader.step(node(2), heartbeat_answer(1, 3, round));

    assert_eq!(reads(&mut leader), [ready_at(1, 2)]);
}

#[test]
fn a_lone_voter_confirms_itself() {
    let mut lone = replica(1, 1).start();
    lone.campaign();
    let election = lone.ready(NOW);
    persist(&mut lone, &election);
    lone.read_index(read_id(1), NOW).unwrap();
    let no_op = lone.ready(NOW);
    assert_eq!(no_op.reads, [], "its no-op is not committed yet");

    persist(&mut lone, &no_op);

    assert_eq!(reads(&mut lone), [ready_at(1, 2)]);
}

#[test]
fn a_follower_asks_its_leader_and_reads_at_the_index_it_is_told() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    cluster.raft(3).read_index(read_id(1), NOW).unwrap();
    cluster.settle();

    assert_eq!(cluster.reads, [(node(3), ready_at(1, 3))]);
}

#[test]
fn without_a_leader_a_read_is_refused_at_once() {
    let mut follower = replica(1, 3).start();
    assert_eq!(follower.read_index(read_id(1), NOW), Err(ReadRefused::NoLeader));
    follower.campaign();
    assert_eq!(follower.read_index(read_id(1), NOW), Err(ReadRefused::NoLeader));
}

#[test]
fn who_does_not_lead_says_so_to_a_follower_that_asks() {
    let mut follower = replica(1, 3).in_term(4).start();

    follower.step(node(2), read_index(4, read_id(1)));
    follower.step(node(2), read_index(3, read_id(2)));

    let answers = bodies_to(2, &persist_all(&mut follower));
    let unknown = |request| Body::ReadIndexAnswer { id: read_id(request), index: None };
    assert_eq!(answers, [unknown(1), unknown(2)]);
}

#[test]
fn a_deposed_leader_gives_up_its_reads_and_tells_the_followers_that_asked() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.read_index(read_id(1), NOW).unwrap();
    leader.step(node(2), read_index(1, read_id(2)));
    persist_all(&mut leader);

    leader.step(node(3), heartbeat(5, 0, 0));

    let ready = leader.ready(NOW);
    assert_eq!((ready.reads, ready.reads_lost), (vec![], vec![read_id(1)]));
    assert_eq!(
        bodies_to(2, &ready.send_when_durable),
        [Body::ReadIndexAnswer { id: read_id(2), index: None }],
        "in its new term, which must be durable first"
    );
}

#[test]
fn a_follower_whose_leader_changes_gives_up_the_reads_it_had_asked() {
    let mut follower = replica(1, 3).start();
    follower.step(node(2), heartbeat(1, 0, 0));
    follower.read_index(read_id(1), NOW).unwrap();
    follower.step(node(3), heartbeat(2, 0, 0));
    assert_eq!(follower.ready(NOW).reads_lost, [read_id(1)]);

    follower.read_index(read_id(2), NOW).unwrap();
    follower.campaign();

    assert_eq!(follower.ready(NOW).reads_lost, [read_id(2)]);
}

#[test]
fn an_answer_for_a_read_that_was_given_up_says_nothing() {
    let mut follower = replica(1, 3).start();
    follower.step(node(2), heartbeat(1, 0, 0));
    follower.read_index(read_id(1), NOW).unwrap();

    follower.step(node(2), read_index_answer(1, read_id(1), None));
    follower.step(node(2), read_index_answer(1, read_id(1), Some(9)));
    follower.step(node(2), read_index_answer(1, read_id(2), Some(9)));

    let ready = follower.ready(NOW);
    assert_eq!((ready.reads, ready.reads_lost), (vec![], vec![read_id(1)]));
}

#[test]
fn a_question_that_is_lost_is_given_up_after_an_election_timeout_though_the_leader_lives() {
    let mut follower = replica(1, 3).start();
    follower.step(node(2), heartbeat(1, 0, 0));
    follower.read_index(read_id(1), NOW).unwrap();

    for round in 1..=5 {
        follower.tick(2);
        follower.step(node(2), heartbeat(1, 0, round));
    }

    assert_eq!(follower.ready(NOW).reads_lost, [read_id(1)]);
}

#[test]
fn a_leader_that_was_paused_confirms_nothing_with_answers_of_before() {
    let mut leader = replica(1, 3).with(|config| config.check_quorum = true).lead_with_everyone();
    leader.tick(2);
    let before = round_sent(&mut leader);
    leader.read_index(read_id(1), NOW).unwrap();

    leader.step(node(2), heartbeat_answer(1, 2, before));
    assert_eq!(reads(&mut leader), []);
    leader.tick(1_000);

    assert_eq!(leader.ready(NOW).reads_lost, [read_id(1)], "nobody was heard for so long");
}

#[test]
fn a_minority_leader_answers_no_read() {
    let mut cluster = Cluster::of((1..=5).map(|id| replica(id, 5)));
    cluster.elect(1);
    cluster.down(&[3, 4, 5]);

    cluster.raft(1).read_index(read_id(1), NOW).unwrap();
    cluster.raft(2).read_index(read_id(2), NOW).unwrap();
    cluster.tick_all(8);

    assert_eq!(cluster.reads, []);
}

#[test]
fn an_answer_to_a_round_that_was_never_sent_confirms_nothing() {
    let mut leader = replica(1, 3).lead_with_everyone();
    leader.read_index(read_id(1), NOW).unwrap();

    leader.step(node(2), heartbeat_answer(1, 2, u64::MAX));

    assert_eq!(heartbeats_to(2, &leader.ready(NOW).send)[0].round, Round(1));
    assert_eq!(reads(&mut leader), []);
}

#[test]
fn a_read_whose_index_a_snapshot_covers_is_served_by_that_snapshot() {
    let mut follower = replica(1, 3).in_term(1).start();
    follower.step(node(2), offer(1, &snapshot(at(1, 50))));
    assert!(follower.snapshot_received(&snapshot(at(1, 50))));
    follower.read_index(read_id(1), NOW).unwrap();
    let restart = follower.ready(NOW);
    follower.step(node(2), read_index_answer(1, read_id(1), Some(40)));

    persist(&mut follower, &restart);
    let ready = follower.ready(NOW);

    assert_eq!(ready.reads, [ready_at(1, 40)]);
    assert_eq!((ready.restore.map(|snapshot| snapshot.position), ready.apply), (Some(at(1, 50)), None));
}
