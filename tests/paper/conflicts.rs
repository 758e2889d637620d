//! §5.3, figure 7: how logs that grew apart come together again.

use quorate::consensus::{Outgoing, ProgressState};

use crate::cluster::Cluster;
use crate::fixture::*;

/// The leader of figure 7 before its term 8, and its followers (a) to (f).
const LEADER: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const FOLLOWERS: [(&str, &[u64]); 6] = [
    ("a", &[1, 1, 1, 4, 4, 5, 5, 6, 6]),
    ("b", &[1, 1, 1, 4]),
    ("c", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]),
    ("d", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]),
    ("e", &[1, 1, 1, 4, 4, 4, 4]),
    ("f", &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]),
];

#[test]
fn each_follower_of_figure_7_comes_to_hold_the_leaders_log() {
    for (name, log) in FOLLOWERS {
        let leader = replica(1, 3).with_log(LEADER).in_term(7);
        let voter = replica(3, 3).with_log(&LEADER[..4]).in_term(7);
        let mut cluster = Cluster::of([leader, replica(2, 3).with_log(log).in_term(7), voter]);

        cluster.elect(1);

        let expected: Vec<u64> = LEADER.iter().copied().chain([8]).collect();
        assert_eq!(log_of(cluster.raft(2)), expected, "follower {name}");
        assert_eq!(cluster.raft(2).commit(), index(12), "follower {name}");
    }
}

#[test]
fn all_followers_of_figure_7_agree_in_one_cluster() {
    let mut pasts = vec![replica(1, 7).with_log(LEADER).in_term(7)];
    pasts.extend(FOLLOWERS.iter().zip(2..).map(|((_, log), id)| replica(id, 7).with_log(log).in_term(7)));
    let mut cluster = Cluster::of(pasts);

    cluster.elect(1);

    let expected = log_of(cluster.raft(1));
    assert!((2..=7).all(|id| log_of(cluster.raft(id)) == expected));
}

#[test]
fn a_rejection_names_the_last_position_that_may_still_agree() {
    let mut follower = replica(1, 3).with_log(&[1, 1, 1, 2, 2, 2, 3, 3, 3]).in_term(9).start();

    // The leader's entry 8 is of term 6: ours is of term 3, which may be the leader's too.
    follower.step(node(2), append(9, at(6, 8), &[], 0));
    assert_eq!(only(&persist_all(&mut follower)).1, rejected(9, 8, at(3, 8)));
    // It is of term 2: then none of our term 3 can be in the leader's log before it.
    follower.step(node(2), append(9, at(2, 9), &[], 0));
    assert_eq!(only(&persist_all(&mut follower)).1, rejected(9, 9, at(2, 7)));
}

#[test]
fn a_leader_skips_a_whole_term_per_round_trip() {
    let mut leader = replica(1, 3).with_log(&[1, 1, 1, 5, 5, 5]).lead();

    leader.step(node(2), rejected(6, 7, at(3, 7)));

    let append = &appends_to(2, &leader.ready(NOW).send)[0];
    assert_eq!(append.slice.prev(), at(1, 4), "no entry of term 5 can equal one of term 3");
}

#[test]
fn two_hundred_conflicting_entries_of_five_terms_need_few_round_trips() {
    let ours: Vec<u64> = [2, 4, 6, 8, 10].iter().flat_map(|&term| [term; 40]).collect();
    let theirs: Vec<u64> = [1, 3, 5, 7, 9].iter().flat_map(|&term| [term; 40]).collect();
    let unlimited = |past: crate::fixture::Past| past.with(|config| config.append_entries_max = 1_000);
    let mut cluster = Cluster::of([
        unlimited(replica(1, 3).with_log(&ours)),
        replica(2, 3).with_log(&theirs).in_term(10),
        replica(3, 3).in_term(10),
    ]);
    cluster.down(&[3]);

    cluster.elect(1);

    assert_eq!(log_of(cluster.raft(2)), log_of(cluster.raft(1)));
    assert!(cluster.appends <= 8, "{} appends for five terms", cluster.appends);
}

#[test]
fn a_follower_that_led_for_a_moment_loses_its_no_op() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3).with_log(&[1])));
    cluster.down(&[2, 3]);
    cluster.raft(1).campaign();
    cluster.settle();
    cluster.down(&[1]);
    cluster.replace(replica(1, 3).with_log(&[1, 2]));
    cluster.up(&[2, 3]);
    cluster.elect(3);
    cluster.up(&[1]);

    cluster.tick_all(5);

    assert_eq!(log_of(cluster.raft(1)), log_of(cluster.raft(3)));
    let leader = cluster.leader().unwrap();
    assert_eq!(cluster.raft(1).commit(), cluster.raft(leader).commit());
}

#[test]
fn a_late_rejection_does_not_take_back_what_is_proved() {
    let mut leader = replica(1, 3).with_log(&[1, 1, 1]).lead_with_everyone();
    let before = leader.progress(node(2)).unwrap();

    leader.step(node(2), rejected(2, 4, at(0, 1)));
    leader.step(node(2), rejected(2, 3, at(0, 1)));

    assert_eq!(leader.progress(node(2)).unwrap(), before);
}

#[test]
fn while_probing_only_the_answer_to_the_probe_counts() {
    let mut leader = replica(1, 3).with_log(&[1, 2, 3, 4]).lead();
    let probing_at = |raft: &quorate::consensus::Raft| raft.progress(node(2)).unwrap().next;
    assert_eq!(probing_at(&leader), index(6));

    leader.step(node(2), rejected(5, 4, at(1, 2)));
    assert_eq!(probing_at(&leader), index(6), "entry 4 was not asked about");
    leader.step(node(2), rejected(5, 5, at(1, 2)));

    assert_eq!(probing_at(&leader), index(3));
}

#[test]
fn if_the_first_of_a_pipeline_is_lost_the_rest_is_sent_again() {
    let mut leader = replica(1, 3).with(|config| config.append_entries_max = 1).lead_with_everyone();
    let mut follower = replica(2, 3).with_log(&[1]).start();
    leader.propose([1, 2, 3, 4]).unwrap();
    let mut wire: Vec<Outgoing> = persist_all(&mut leader);
    wire.retain(|sent| sent.to == node(2));
    assert_eq!(wire.len(), 4);
    wire.remove(0);

    while !wire.is_empty() {
        for sent in std::mem::take(&mut wire) {
            follower.step(node(1), sent.message);
        }
        for sent in persist_all(&mut follower) {
            leader.step(node(2), sent.message);
        }
        wire = persist_all(&mut leader);
        wire.retain(|sent| sent.to == node(2));
    }

    assert_eq!(follower.last(), leader.last());
    let progress = leader.progress(node(2)).unwrap();
    assert_eq!((progress.matched, progress.state), (index(6), ProgressState::Replicate));
}
