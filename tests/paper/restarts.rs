//! §5.5 and §8 of the extended paper: servers crash and come back with what was durable.

use std::collections::HashSet;
use std::sync::Arc;

use quorate::consensus::{Raft, RaftConfig, RestoreError, Restored, RoleName};
use quorate::types::{HardState, LogIndex, LogPosition};

use crate::cluster::Cluster;
use crate::fixture::*;

#[test]
fn a_restarted_node_is_a_follower_with_its_term_vote_and_log() {
    let raft = replica(1, 3).with_log(&[1, 1, 2]).in_term(4).voted_for(1).start();

    assert_eq!(raft.role(), RoleName::Follower);
    assert_eq!(raft.hard_state(), HardState { term: term(4), voted_for: Some(node(1)) });
    assert_eq!((raft.last(), raft.stable(), raft.commit()), (at(2, 4), index(4), index(1)));
}

#[test]
fn a_lone_voter_that_restarts_leads_only_after_an_election() {
    let mut lone = replica(1, 1).with_log(&[1, 1]).voted_for(1).start();
    persist_all(&mut lone);
    assert_eq!((lone.role(), lone.commit()), (RoleName::Follower, index(1)));

    lone.tick(20);
    persist_all(&mut lone);

    assert_eq!((lone.role(), lone.term(), lone.commit()), (RoleName::Leader, term(2), index(4)));
}

#[test]
fn a_vote_survives_a_restart() {
    let mut voter = replica(1, 3).in_term(5).voted_for(2).start();

    voter.step(node(3), vote(5, at(4, 9)));
    assert_eq!(only(&persist_all(&mut voter)).1, vote_answer(5, false));
    voter.step(node(2), vote(5, at(4, 9)));

    assert_eq!(
        only(&persist_all(&mut voter)).1,
        vote_answer(5, true),
        "a retried request gets the same answer"
    );
}

#[test]
fn requests_are_idempotent_so_a_retried_append_does_no_harm() {
    let mut follower = replica(1, 3).with_log(&[1, 1]).start();

    follower.step(node(2), append(1, at(0, 1), &[1, 1], 3));

    assert_eq!(only(&persist_all(&mut follower)), (2, accepted(1, 3)));
    assert_eq!(log_of(&follower), [1, 1]);
}

#[test]
fn a_compacted_log_starts_behind_its_snapshot_and_takes_what_follows() {
    let mut raft = compacted_at(at(3, 50));
    assert_eq!((raft.first_index(), raft.last(), raft.commit()), (index(51), at(3, 50), index(50)));

    // Before the start: committed, so it matches. At the start: the terms must agree. Behind it: as ever.
    assert_eq!(raft.step(node(2), append(3, at(2, 40), &[2, 2], 50)), None);
    assert_eq!(only(&persist_all(&mut raft)).1, accepted(3, 50));
    let span = raft.step(node(2), append(3, at(3, 48), &[3, 3, 3], 50)).unwrap();
    assert_eq!((span.first, span.last), (index(51), at(3, 51)));
    let span = raft.step(node(2), append(3, at(3, 51), &[3], 50)).unwrap();

    assert_eq!((span.first, span.last), (index(52), at(3, 52)));
}

#[test]
fn a_leader_that_contradicts_the_snapshot_is_refused() {
    let mut raft = compacted_at(at(3, 50));

    assert_eq!(raft.step(node(2), append(4, at(4, 50), &[4], 51)), None);

    assert_eq!(raft.last(), at(3, 50));
}

fn compacted_at(starts_after: LogPosition) -> Raft {
    let restored = Restored {
        hard_state: HardState { term: starts_after.term, voted_for: None },
        starts_after,
        membership: Some(Arc::new(members("host", &[1, 2, 3], &[], &[]))),
        entries: Vec::new(),
        snapshot: None,
        applied: starts_after,
    };
    Raft::new(replica(1, 3).config, restored).expect("a good past")
}

#[test]
fn a_past_that_no_replica_wrote_is_refused_by_name() {
    let start = |change: fn(&mut Restored)| {
        let past = replica(1, 3).with_log(&[1, 2, 2]);
        let mut restored = past.restored();
        change(&mut restored);
        Raft::new(past.config, restored).unwrap_err()
    };

    let no_founders = start(|past| past.entries.splice(.., metas(0, &[1])).for_each(drop));
    assert!(matches!(no_founders, RestoreError::NoMembership));
    assert!(matches!(start(|past| drop(past.entries.remove(2))), RestoreError::Malformed(_)));
    assert!(matches!(start(|past| past.hard_state.term = term(1)), RestoreError::TermBehindLog { .. }));
    assert!(matches!(start(|past| past.hard_state.term = term(u64::MAX)), RestoreError::TermsExhausted(_)));
    let extra = start(|past| past.membership = Some(Arc::new(members("host", &[1], &[], &[]))));
    assert!(matches!(extra, RestoreError::TwoMemberships));
}

/// Terms 1 to 3 from index 2 on; the state machine holds entry `applied` at the start.
fn start_with_applied(applied: LogPosition) -> Result<Raft, RestoreError> {
    let past = replica(1, 3).with_log(&[1, 1, 2, 2, 3]);
    let restored = Restored { applied, ..past.restored() };
    Raft::new(past.config, restored)
}

#[test]
fn a_state_machine_that_kept_its_state_gets_exactly_what_follows() {
    for applied in [LogPosition::ZERO, at(0, 1), at(1, 2), at(2, 4), at(2, 5), at(3, 6)] {
        let mut raft = start_with_applied(applied).unwrap();
        assert_eq!(raft.commit(), applied.index.max(index(1)), "what is applied is committed");
        raft.step(node(2), append(4, at(3, 6), &[4], 5));
        let ready = raft.ready(NOW);

        let first = ready.apply.map(|span| (span.first, span.last));

        let expected = (applied.index < index(5)).then_some((applied.index.next(), at(2, 5)));
        assert_eq!(first, expected, "applied {applied}");
    }
}

#[test]
fn a_state_machine_that_holds_what_the_log_does_not_is_refused_by_name() {
    for applied in [at(3, 7), at(1, 4), at(9, 99), at(3, u64::MAX)] {
        let refused = start_with_applied(applied);
        assert!(
            matches!(refused, Err(RestoreError::AppliedOutsideLog { applied: named, .. }) if named == applied),
            "{applied}"
        );
    }
    let past = replica(1, 3);
    let compacted = |applied| Restored {
        starts_after: at(3, 50),
        membership: Some(Arc::new(members("host", &[1, 2, 3], &[], &[]))),
        entries: metas(50, &[3, 3]),
        hard_state: HardState { term: term(3), voted_for: None },
        applied,
        ..past.restored()
    };

    for (applied, is_good) in
        [(at(3, 49), false), (at(3, 50), true), (at(3, 52), true), (at(3, 53), false), (at(2, 50), false)]
    {
        let started = Raft::new(past.config.clone(), compacted(applied));
        assert_eq!(started.is_ok(), is_good, "{applied}");
    }
}

#[test]
fn a_replica_that_waits_to_be_added_starts_with_nothing_at_all() {
    let mut newcomer = newcomer(4);

    newcomer.tick(1_000);
    newcomer.campaign();

    assert_eq!((newcomer.commit(), newcomer.last()), (index(0), LogPosition::ZERO));
    assert_eq!((newcomer.role(), newcomer.term()), (RoleName::Learner, term(0)));
    assert!(newcomer.membership().voters().is_empty() && !newcomer.has_ready());
}

/// What must be the same before and after.
fn remembered(raft: &Raft) -> impl PartialEq + std::fmt::Debug + use<> {
    let log: Vec<_> = (raft.first_index().0..=raft.last().index.0).map(|at| raft.meta(index(at))).collect();
    let configuration = (raft.membership().clone(), raft.membership_index());
    (raft.hard_state(), log, raft.first_index(), raft.commit(), configuration, raft.snapshot().cloned())
}

#[test]
fn each_node_at_each_quiet_moment_comes_back_as_it_was() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    for moment in 0..6 {
        cluster.raft(1).propose([10, 10]).unwrap();
        if moment == 3 {
            let moved = members("elsewhere", &[1, 2, 3], &[], &[]);
            cluster.raft(1).propose_membership(moved).unwrap();
        }
        cluster.settle();
        for id in 1..=3 {
            if moment % 2 == 0 {
                snapshot_and_compact(cluster.raft(id), id);
            }
            let raft = cluster.raft(id);
            let restored = Raft::new(replica(id, 3).config, restored_of(raft)).unwrap();
            assert_eq!(remembered(&restored), remembered(raft), "node {id} at moment {moment}");
        }
    }
}

#[test]
fn when_all_restart_at_once_nothing_that_was_committed_is_lost() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    cluster.raft(1).propose([10; 5]).unwrap();
    cluster.settle();
    snapshot_and_compact(cluster.raft(2), 1);
    let committed = cluster.raft(1).last();

    (1..=3).for_each(|id| cluster.restart(id));
    cluster.tick_all(100);

    let leader = cluster.leader().expect("one emerges");
    assert!(cluster.raft(leader).commit() > committed.index);
    assert!((1..=3).all(|id| cluster.raft(id).term_at(committed.index) == Some(committed.term)));
}

#[test]
fn a_rolling_restart_under_load_stops_nothing_for_longer_than_two_elections() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3).with(|config| config.check_quorum = true)));
    cluster.elect(1);
    for id in [1, 2, 3, 1, 2, 3] {
        cluster.restart(id);
        let before = (1..=3).map(|id| cluster.raft(id).commit()).max().unwrap();
        let is_served = |cluster: &mut Cluster| {
            cluster.tick_all(1);
            let Some(leader) = cluster.leader() else {
                return false;
            };
            let _ = cluster.raft(leader).propose([10]);
            cluster.settle();
            cluster.raft(leader).commit() > before
        };

        assert!((0..40).any(|_| is_served(&mut cluster)), "node {id} restarted");
    }
}

/// Node 3 starts again from a copy that somebody made of its directory before it acknowledged the last entries.
#[test]
fn an_old_copy_of_a_directory_is_counted_for_nothing_new_and_gets_what_it_lacks_of_the_next_leader() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    cluster.raft(1).propose([10; 5]).unwrap();
    cluster.settle();
    let committed = cluster.raft(1).commit();

    cluster.replace(replica(3, 3).with_log(&[1]));
    cluster.raft(1).peer_lost(node(3));
    cluster.down(&[2]);
    cluster.raft(1).propose([10]).unwrap();
    cluster.tick_all(9);
    assert_eq!(cluster.raft(1).commit(), committed, "its leader knows that it held more");
    assert!(cluster.raft(3).commit() <= index(2), "it commits nothing that it does not hold");

    cluster.up(&[2]);
    pass(cluster.raft(3), 10); // it misses its leader
    cluster.elect(2);
    cluster.tick_all(6);
    assert_eq!(log_of(cluster.raft(3)), log_of(cluster.raft(2)));
    assert!(cluster.raft(3).commit() > committed);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = |change: fn(&mut RaftConfig)| {
        let past = replica(1, 3).with(change);
        let restored = past.restored();
        matches!(Raft::new(past.config, restored), Err(RestoreError::BadConfig { .. }))
    };

    assert!(refused(|config| config.heartbeat_ticks = 0));
    assert!(refused(|config| config.heartbeat_ticks = config.election_ticks));
    assert!(refused(|config| config.election_ticks = u32::MAX));
    assert!(refused(|config| config.append_entries_max = 0));
    assert!(refused(|config| config.in_flight_messages_max = 0));
    assert!(!refused(|config| config.append_bytes_max = 0), "then each entry travels alone");
}

#[test]
fn equal_inputs_make_equal_replicas_so_states_can_be_compared_and_hashed() {
    let run = || {
        let mut raft = replica(1, 3).with_log(&[1]).start();
        raft.tick(25);
        raft.step(node(2), vote_answer(2, true));
        raft
    };
    let mut seen = HashSet::from([run()]);

    assert!(!seen.insert(run()));
    let mut other = run();
    other.tick(1);
    assert!(seen.insert(other));
    assert_eq!(run().term_at(LogIndex(2)), Some(term(1)));
}
