//! §7: a follower that lags too far gets a snapshot in place of the log.

use std::sync::Arc;

use quorate::consensus::{Outgoing, ProgressState, Raft, Ready, Restored, RoleName};
use quorate::types::{Body, LogIndex, LogPosition, NodeId, SnapshotMeta};

use crate::cluster::Cluster;
use crate::fixture::*;

/// The snapshot that the follower wants to fetch after an offer of node 2 in term 3, and its answer if it wants none.
fn offered(follower: &mut Raft, snapshot: &SnapshotMeta) -> (Option<(NodeId, SnapshotMeta)>, Vec<Outgoing>) {
    follower.step(node(2), offer(3, snapshot));
    let mut ready = follower.ready(NOW);
    persist(follower, &ready);
    (ready.receive.take(), ready.send_when_durable)
}

/// Node 2 leads term 3 and the snapshot it offers is there: the turn in which the log restarts, not durable yet.
fn received(follower: &mut Raft, snapshot: &SnapshotMeta) -> Ready {
    assert_eq!(offered(follower, snapshot).0, Some((node(2), snapshot.clone())), "it is needed");
    assert!(follower.snapshot_received(snapshot));
    follower.ready(NOW)
}

mod the_follower {
    use super::*;

    #[test]
    fn installs_a_snapshot_in_the_order_restart_answer_restore() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let snapshot = snapshot(at(2, 50));

        let ready = received(&mut follower, &snapshot);

        assert_eq!(ready.restart, Some(snapshot.clone()));
        assert_eq!(only(&ready.send_when_durable), (2, accepted(3, 50)));
        assert_eq!((ready.append, ready.restore.clone(), ready.apply), (None, None, None));
        assert_eq!((follower.first_index(), follower.last()), (index(51), at(2, 50)));
        assert_eq!((follower.commit(), follower.snapshot()), (index(50), Some(&snapshot)));
        assert!(follower.stable() < index(50), "that it begins there is not on disk yet");
        persist(&mut follower, &ready);
        assert_eq!(follower.stable(), index(50));
        let ready = follower.ready(NOW);
        assert_eq!((ready.restore, ready.apply, ready.write), (Some(snapshot), None, None));
        assert!(!follower.has_ready());
    }

    #[test]
    fn takes_the_entries_behind_a_snapshot_in_the_very_same_write() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let snapshot = snapshot(at(2, 50));
        offered(&mut follower, &snapshot);
        follower.snapshot_received(&snapshot);
        follower.step(node(2), append(3, at(2, 50), &[3, 3], 51));

        let ready = follower.ready(NOW);
        assert_eq!(ready.append.map(|span| (span.first, span.last)), Some((index(51), at(3, 52))));
        assert_eq!(only(&ready.send_when_durable), (2, accepted(3, 52)));
        persist(&mut follower, &ready);

        let ready = follower.ready(NOW);
        assert_eq!(ready.restore, Some(snapshot), "first the snapshot");
        assert_eq!(ready.apply.map(|span| (span.first, span.last)), Some((index(51), at(3, 51))));
    }

    #[test]
    fn installs_a_snapshot_on_an_empty_log() {
        let mut follower = newcomer(4);
        assert_eq!((follower.commit(), follower.role()), (index(0), RoleName::Learner));
        let snapshot = snapshot_with(at(2, 50), members("host", &[1, 2, 3], &[], &[4]));

        let ready = received(&mut follower, &snapshot);
        persist(&mut follower, &ready);

        assert_eq!(follower.ready(NOW).restore, Some(snapshot));
        assert_eq!(follower.last(), at(2, 50));
    }

    #[test]
    fn takes_entry_1_on_an_empty_log() {
        let mut newcomer = newcomer(4);
        let leader = replica(2, 3).in_term(2).lead_with_everyone();
        let entries = (1..=2).map(|at| leader.meta(index(at)).unwrap()).collect();
        let slice = quorate::types::LogSlice::new(LogPosition::ZERO, entries).unwrap();
        let body = Body::Append(quorate::types::Append { slice, commit: index(2) });

        newcomer.step(node(2), quorate::types::Message { term: term(3), body });

        assert_eq!((newcomer.commit(), newcomer.membership()), (index(2), leader.membership()));
        assert_eq!(only(&persist_all(&mut newcomer)).1, accepted(3, 2));
    }

    #[test]
    fn needs_no_snapshot_that_ends_where_its_commits_end_or_before() {
        let mut follower = replica(1, 3).with_log(&[1, 1, 1]).in_term(3).start();
        follower.step(node(2), append(3, at(1, 4), &[3, 3], 4));
        persist_all(&mut follower);

        for position in [at(1, 4), at(1, 3), at(0, 1)] {
            let (receive, answer) = offered(&mut follower, &snapshot(position));
            assert_eq!((receive, only(&answer)), (None, (2, accepted(3, 6))), "{position}");
            assert!(!follower.snapshot_received(&snapshot(position)));
        }

        assert_eq!((follower.commit(), follower.last()), (index(4), at(3, 6)), "nothing went back");
    }

    #[test]
    fn that_holds_the_snapshots_last_entry_keeps_its_log_and_learns_what_is_committed() {
        let mut follower = replica(1, 3).with_log(&[1, 1, 2, 2]).in_term(3).start();

        let (receive, answer) = offered(&mut follower, &snapshot(at(2, 4)));

        assert_eq!((receive, only(&answer)), (None, (2, accepted(3, 4))));
        assert_eq!((follower.commit(), log_of(&follower)), (index(4), vec![1, 1, 2, 2]));
    }

    #[test]
    fn whose_entry_at_the_snapshots_position_is_another_one_discards_its_entire_log() {
        let mut follower = replica(1, 3).with_log(&[1, 1, 1, 1, 1]).in_term(3).start();

        let ready = received(&mut follower, &snapshot(at(2, 4)));

        assert!(ready.restart.is_some());
        assert_eq!((follower.last(), follower.commit()), (at(2, 4), index(4)));
        assert_eq!(follower.meta(index(5)), None, "what lay behind it went with the rest");
    }

    #[test]
    fn uses_nothing_any_more_that_a_snapshot_covers() {
        let mut follower = replica(1, 3).with_log(&[1, 1, 1]).in_term(3).start();
        received(&mut follower, &snapshot(at(2, 50)));

        assert!(
            (0..50).all(|at| follower.term_at(index(at)).is_none() && follower.meta(index(at)).is_none())
        );
        assert_eq!(follower.step(node(2), append(3, at(1, 3), &[1, 1], 4)), None);

        assert_eq!((follower.first_index(), follower.last()), (index(51), at(2, 50)));
    }

    #[test]
    fn applies_nothing_that_was_committed_before_a_snapshot_took_its_place() {
        let mut follower = replica(1, 3).in_term(3).start();
        follower.step(node(2), append(3, at(0, 1), &[2, 2], 3));
        let entries = follower.ready(NOW);
        assert_eq!((follower.commit(), entries.apply), (index(3), None), "not durable yet");
        let restart = received(&mut follower, &snapshot(at(3, 50)));

        persist(&mut follower, &entries);
        assert_eq!(follower.ready(NOW).apply, None, "the snapshot holds them already");
        persist(&mut follower, &restart);

        let ready = follower.ready(NOW);
        assert_eq!((ready.restore.map(|snapshot| snapshot.position), ready.apply), (Some(at(3, 50)), None));
    }

    #[test]
    fn promises_in_heartbeats_only_what_is_durable_of_a_log_that_begins_anew() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let restart = received(&mut follower, &snapshot(at(2, 50)));

        follower.step(node(2), heartbeat(3, 50, 1));
        assert_eq!(only(&follower.ready(NOW).send).1, heartbeat_answer(3, 1, 1));
        persist(&mut follower, &restart);
        follower.step(node(2), heartbeat(3, 50, 2));

        assert_eq!(only(&follower.ready(NOW).send).1, heartbeat_answer(3, 50, 2));
    }

    #[test]
    fn that_caught_up_by_other_means_meanwhile_does_not_install_what_it_fetched() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let snapshot = snapshot(at(1, 4));
        assert!(offered(&mut follower, &snapshot).0.is_some());
        follower.step(node(2), append(3, at(1, 3), &[1, 3], 3));
        persist_all(&mut follower);

        assert!(!follower.snapshot_received(&snapshot));

        let ready = follower.ready(NOW);
        assert_eq!((ready.restart, only(&ready.send_when_durable).1), (None, accepted(3, 5)));
        assert_eq!((follower.commit(), follower.last()), (index(4), at(3, 5)));
    }

    #[test]
    fn takes_a_newer_snapshot_while_the_restart_behind_an_older_one_is_being_written() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let first = received(&mut follower, &snapshot(at(2, 50)));
        let second = received(&mut follower, &snapshot(at(3, 90)));

        persist(&mut follower, &first);
        assert_eq!(follower.ready(NOW).restore, None, "it is overtaken");
        persist(&mut follower, &second);

        assert_eq!(follower.ready(NOW).restore, Some(snapshot(at(3, 90))));
        assert_eq!((follower.stable(), follower.last()), (index(90), at(3, 90)));
    }

    #[test]
    fn asks_for_the_snapshot_again_with_each_offer_and_of_each_new_leader() {
        let mut follower = replica(1, 3).in_term(3).start();
        let (old, new) = (snapshot(at(2, 50)), snapshot(at(3, 60)));
        assert_eq!(offered(&mut follower, &old).0, Some((node(2), old.clone())));
        assert_eq!(offered(&mut follower, &old).0, Some((node(2), old.clone())));

        follower.step(node(3), offer(4, &new));

        assert_eq!(follower.ready(NOW).receive, Some((node(3), new.clone())));
        assert!(follower.snapshot_received(&old), "what is there helps, whoever sent it");
        assert_eq!(only(&persist_all(&mut follower)), (3, accepted(4, 50)));
    }

    #[test]
    fn follows_who_offers_it_a_snapshot() {
        let mut candidate = replica(1, 3).in_term(2).start();
        candidate.campaign();
        persist_all(&mut candidate);

        candidate.step(node(2), offer(3, &snapshot(at(2, 50))));

        assert_eq!((candidate.role(), candidate.leader()), (RoleName::Follower, Some(node(2))));
    }

    #[test]
    fn still_knows_its_leader_when_it_has_installed_a_snapshot() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();

        let ready = received(&mut follower, &snapshot(at(2, 50)));
        assert_eq!(follower.leader(), Some(node(2)));
        persist(&mut follower, &ready);
        follower.ready(NOW);

        assert_eq!((follower.role(), follower.leader()), (RoleName::Follower, Some(node(2))));
    }

    #[test]
    fn tells_a_deposed_leader_that_offers_a_snapshot_which_term_it_is() {
        let mut follower = replica(1, 3).in_term(4).start();

        follower.step(node(2), offer(3, &snapshot(at(2, 50))));

        let ready = follower.ready(NOW);
        assert_eq!((only(&ready.send).1, ready.receive), (rejected(4, 50, LogPosition::ZERO), None));
    }

    #[test]
    fn is_not_restless_while_a_snapshot_is_slow() {
        let mut follower = replica(1, 3).in_term(3).start();
        for round in 1..200 {
            follower.tick(2);
            follower.step(node(2), heartbeat(3, 0, round));
            follower.step(node(2), offer(3, &snapshot(at(2, 50))));
            persist_all(&mut follower);
        }

        assert_eq!((follower.role(), follower.term()), (RoleName::Follower, term(3)));
    }

    #[test]
    fn refuses_a_snapshot_that_cannot_be_the_leaders() {
        let mut follower = replica(1, 3).with_log(&[1, 1, 1]).in_term(3).start();
        follower.step(node(2), append(3, at(1, 4), &[3], 3));
        persist_all(&mut follower);

        for impossible in [at(4, 50), at(3, u64::MAX), at(2, u64::MAX - 1), at(2, 3), at(2, 5)] {
            let (receive, answer) = offered(&mut follower, &snapshot(impossible));
            assert_eq!((receive, answer), (None, vec![]), "{impossible}");
            assert!(!follower.snapshot_received(&snapshot(impossible)));
            follower.ready(NOW);
        }
        let mut nobodys = snapshot(at(3, 50));
        nobodys.membership = Arc::new(quorate::types::Membership::nobody());
        assert_eq!(offered(&mut follower, &nobodys).0, None);

        assert_eq!((log_of(&follower), follower.commit()), (vec![1, 1, 1, 3], index(3)));
    }

    #[test]
    fn is_no_leader_that_gives_up_its_log_for_a_snapshot_it_had_asked_for() {
        let mut leader = replica(1, 3).lead_with_everyone();
        let before = leader.last();

        assert!(!leader.snapshot_received(&snapshot(at(1, 50))));

        assert_eq!((leader.role(), leader.last()), (RoleName::Leader, before));
    }
}

mod the_configuration {
    use super::*;

    #[test]
    fn of_a_snapshot_supersedes_one_that_is_not_committed() {
        let mut follower = replica(1, 3).with_log(&[1, 1]).in_term(3).start();
        let mut lost_leader = replica(3, 3).with_log(&[1, 1]).in_term(1).lead_with_everyone();
        let lost = lost_leader.propose_membership(members("lost", &[1, 2, 3], &[], &[])).unwrap();
        let entries = vec![lost_leader.meta(index(4)).unwrap(), lost_leader.meta(lost.index).unwrap()];
        let slice = quorate::types::LogSlice::new(at(1, 3), entries).unwrap();
        let body = Body::Append(quorate::types::Append { slice, commit: index(1) });
        follower.step(node(3), quorate::types::Message { term: term(3), body });
        assert_eq!(follower.membership(), lost_leader.membership());

        follower.step(node(2), offer(4, &snapshot(at(3, 4))));
        assert!(follower.snapshot_received(&snapshot(at(3, 4))));

        assert_eq!(**follower.membership(), members("host", &[1, 2, 3], &[], &[]));
        assert_eq!(follower.membership_index(), index(4));
    }

    #[test]
    fn of_a_snapshot_is_taken_as_it_is_joint_and_with_its_next_learners() {
        let joint =
            members("host", &[1, 2, 5], &[1, 2, 3, 4], &[6]).with_learners_next(vec![node(4)]).unwrap();
        let mut follower = replica(1, 3).in_term(3).start();

        received(&mut follower, &snapshot_with(at(3, 50), joint.clone()));

        assert_eq!(**follower.membership(), joint);
        assert_eq!(*follower.membership_at(index(50)).unwrap(), joint);
    }

    #[test]
    fn of_a_snapshot_decides_whether_its_receiver_votes() {
        for (voters, learners, role) in [
            (&[1, 2, 3][..], &[][..], RoleName::Follower),
            (&[2, 3], &[1], RoleName::Learner),
            (&[2, 3], &[], RoleName::Learner),
        ] {
            let mut follower = replica(1, 3).in_term(3).start();
            let membership = members("host", voters, &[], learners);
            let ready = received(&mut follower, &snapshot_with(at(2, 50), membership));
            persist(&mut follower, &ready);

            assert_eq!(follower.role(), role);
            pass(&mut follower, 30);

            assert_eq!(follower.role() == RoleName::Learner, role == RoleName::Learner);
            assert_eq!(follower.term() > term(3), role == RoleName::Follower, "only who votes campaigns");
        }
    }

    #[test]
    fn of_a_snapshot_makes_a_voter_of_a_learner() {
        let was = members("host", &[2, 3], &[], &[1]);
        let mut learner = replica(1, 3).with_membership(was).in_term(3).start();
        assert_eq!(learner.role(), RoleName::Learner);

        received(&mut learner, &snapshot(at(2, 50)));

        assert_eq!(learner.role(), RoleName::Follower);
    }
}

mod a_crash {
    use super::*;

    /// What a host finds: term 3, and a log behind `starts_after` that holds `entries`, with `snapshot` on disk.
    fn restart(starts_after: LogPosition, terms: &[u64], snapshot: &SnapshotMeta) -> Raft {
        let past = replica(1, 3).with_log(terms).in_term(3);
        let mut restored = past.restored();
        if starts_after != LogPosition::ZERO {
            restored.entries = metas(starts_after.index.0, terms);
            restored.membership = Some(Arc::clone(&snapshot.membership));
        }
        restored.starts_after = starts_after;
        restored.snapshot = Some(snapshot.clone());
        restored.applied = starts_after;
        Raft::new(past.config, restored).expect("a good past")
    }

    #[test]
    fn before_the_restart_of_the_log_is_durable_leaves_the_old_log_and_the_snapshot_unused() {
        let snapshot = snapshot(at(2, 50));
        let mut follower = restart(LogPosition::ZERO, &[1, 1], &snapshot);

        assert_eq!((follower.last(), follower.snapshot()), (at(1, 3), None));
        assert_eq!(offered(&mut follower, &snapshot).0, Some((node(2), snapshot)), "it is asked for again");
    }

    #[test]
    fn after_it_leaves_the_new_log() {
        let snapshot = snapshot(at(2, 50));
        let mut follower = restart(at(2, 50), &[], &snapshot);

        assert_eq!(
            (follower.last(), follower.commit(), follower.snapshot()),
            (at(2, 50), index(50), Some(&snapshot))
        );
        let (receive, answer) = offered(&mut follower, &snapshot);
        assert_eq!((receive, only(&answer).1), (None, accepted(3, 50)), "the lost answer is given again");
    }

    #[test]
    fn does_not_make_a_snapshot_that_contradicts_the_log_usable() {
        let follower = restart(LogPosition::ZERO, &[1, 1, 1], &snapshot(at(2, 3)));

        assert_eq!(follower.snapshot(), None);
    }

    #[test]
    fn leaves_a_snapshot_within_the_log_usable() {
        let snapshot = snapshot(at(1, 3));
        let follower = restart(LogPosition::ZERO, &[1, 1, 1], &snapshot);

        assert_eq!((follower.snapshot(), follower.last()), (Some(&snapshot), at(1, 4)));
    }
}

mod the_leader {
    use super::*;

    /// Leads three in term 1 with a log that begins behind its snapshot at entry 22; node 3 has answered nothing since
    /// entry 2, node 2 everything.
    fn compacted_leader() -> Raft {
        let mut leader = replica(1, 3).lead_with_everyone();
        leader.propose([10; 20]).expect("it leads");
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 22));
        persist_all(&mut leader);
        assert_eq!(snapshot_and_compact(&mut leader, 0), at(1, 22));
        leader
    }

    /// Also node 3 lost its connection, so what was under way to it must be sent again, and cannot.
    fn offering_leader() -> (Raft, Vec<Outgoing>) {
        let mut leader = compacted_leader();
        leader.peer_lost(node(3));
        let sent = persist_all(&mut leader);
        (leader, sent)
    }

    fn state(leader: &Raft, peer: u64) -> (ProgressState, LogIndex) {
        let progress = leader.progress(node(peer)).expect("a member");
        (progress.state, progress.matched)
    }

    #[test]
    fn offers_its_snapshot_at_once_to_who_needs_what_left_the_log() {
        let (leader, sent) = offering_leader();

        assert_eq!(offers_to(3, &sent), [leader.snapshot().unwrap().clone()]);
        assert_eq!(state(&leader, 3), (ProgressState::Snapshot, index(2)));
        assert!(appends_to(3, &sent).is_empty());
        assert_eq!(state(&leader, 2).0, ProgressState::Replicate);
    }

    #[test]
    fn waits_for_what_is_under_way_although_it_left_the_log() {
        let mut leader = compacted_leader();
        assert_eq!(persist_all(&mut leader), []);

        leader.step(node(3), accepted(1, 22));

        assert_eq!(state(&leader, 3), (ProgressState::Replicate, index(22)));
    }

    #[test]
    fn repeats_its_offer_with_each_heartbeat_and_sends_nothing_else() {
        let (mut leader, _) = offering_leader();
        leader.propose([10]).unwrap();
        assert_eq!(bodies_to(3, &persist_all(&mut leader)), []);

        for _ in 0..4 {
            leader.tick(2);
            let sent = persist_all(&mut leader);
            assert_eq!((offers_to(3, &sent).len(), heartbeats_to(3, &sent).len()), (1, 1));
            assert_eq!(bodies_to(3, &sent).len(), 2);
            assert_eq!(heartbeats_to(3, &sent)[0].commit, index(2), "nothing that it is not known to hold");
            leader.step(node(3), heartbeat_answer(1, 2, heartbeats_to(3, &sent)[0].round.0));
        }
    }

    #[test]
    fn streams_again_once_the_snapshot_is_installed() {
        let (mut leader, _) = offering_leader();
        leader.propose([10]).unwrap();

        leader.step(node(3), accepted(1, 22));

        let appends = appends_to(3, &persist_all(&mut leader));
        assert_eq!((appends[0].slice.prev(), appends[0].slice.last()), (at(1, 22), at(1, 23)));
        assert_eq!(state(&leader, 3), (ProgressState::Replicate, index(22)));
    }

    #[test]
    fn streams_again_after_a_snapshot_that_ends_where_its_log_ends() {
        let (mut leader, _) = offering_leader();
        assert_eq!(leader.last(), at(1, 22));

        leader.step(node(3), accepted(1, 22));

        assert_eq!(state(&leader, 3), (ProgressState::Replicate, index(22)));
        leader.propose([10]).unwrap();
        assert_eq!(appends_to(3, &persist_all(&mut leader)).len(), 1);
    }

    #[test]
    fn learns_from_a_heartbeats_answer_that_the_snapshot_is_installed_when_the_answer_itself_is_lost() {
        let (mut leader, _) = offering_leader();

        leader.step(node(3), heartbeat_answer(1, 22, 0));

        assert_eq!(state(&leader, 3), (ProgressState::Probe, index(22)));
        let probe = appends_to(3, &persist_all(&mut leader));
        assert_eq!(probe[0].slice.prev(), at(1, 22));
    }

    #[test]
    fn accepts_that_another_snapshot_was_installed_as_long_as_its_log_goes_on_from_there() {
        let (mut leader, _) = offering_leader();
        leader.propose([10; 8]).unwrap();
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 30));
        persist_all(&mut leader);
        save_snapshot(&mut leader);

        leader.step(node(3), accepted(1, 10));
        assert_eq!(state(&leader, 3).0, ProgressState::Snapshot, "entry 11 is gone");
        leader.step(node(3), accepted(1, 25));

        assert_eq!(state(&leader, 3), (ProgressState::Replicate, index(25)));
    }

    #[test]
    fn offers_the_same_snapshot_as_long_as_the_peer_answers_and_the_newest_after_it_stalled() {
        let (mut leader, first) = offering_leader();
        let first = offers_to(3, &first)[0].clone();
        leader.propose([10]).unwrap();
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 23));
        leader.step(node(3), heartbeat_answer(1, 2, 0));
        persist_all(&mut leader);
        save_snapshot(&mut leader);
        leader.tick(2);
        assert_eq!(offers_to(3, &persist_all(&mut leader)), [first], "or it would begin anew for ever");

        leader.snapshot_stalled(node(3));
        leader.tick(2);

        assert_eq!(offers_to(3, &persist_all(&mut leader)), [leader.snapshot().unwrap().clone()]);
        assert_eq!(leader.snapshot().unwrap().position, at(1, 23));
    }

    #[test]
    fn goes_on_with_the_same_snapshot_over_a_broken_connection() {
        let (mut leader, first) = offering_leader();

        leader.peer_lost(node(3));

        assert_eq!(offers_to(3, &persist_all(&mut leader)), offers_to(3, &first));
        assert_eq!(state(&leader, 3), (ProgressState::Snapshot, index(2)));
    }

    #[test]
    fn keeps_the_log_that_who_receives_a_snapshot_needs_next_while_it_answers() {
        let (mut leader, _) = offering_leader();
        for last in [40, 60] {
            leader.propose((leader.last().index.0..last).map(|_| 10)).unwrap();
            persist_all(&mut leader);
            leader.step(node(2), accepted(1, last));
            leader.step(node(3), heartbeat_answer(1, 2, 0));
            persist_all(&mut leader);
            save_snapshot(&mut leader);
            assert_eq!(leader.compactable(0), None, "everything behind entry 22");
        }

        leader.step(node(3), accepted(1, 22));
        assert_eq!(leader.compactable(0), None, "it has only begun to catch up");
        leader.step(node(3), accepted(1, 50));
        assert_eq!(leader.compactable(0), Some(index(50)));
        leader.step(node(3), accepted(1, 60));

        assert_eq!(leader.compactable(0), Some(index(60)));
    }

    #[test]
    fn keeps_nothing_for_who_is_dead_or_stalled() {
        let kept = |change: fn(&mut Raft)| {
            let (mut leader, _) = offering_leader();
            leader.propose([10; 8]).unwrap();
            persist_all(&mut leader);
            leader.step(node(2), accepted(1, 30));
            persist_all(&mut leader);
            save_snapshot(&mut leader);
            change(&mut leader);
            leader.compactable(0)
        };

        assert_eq!(kept(|_| {}), None);
        assert_eq!(kept(|leader| leader.snapshot_stalled(node(3))), Some(index(30)));
        assert_eq!(kept(|leader| pass(leader, 10)), Some(index(30)));
    }

    #[test]
    fn keeps_nothing_for_who_got_a_snapshot_and_then_stands_still() {
        let (mut leader, _) = offering_leader();
        leader.step(node(3), accepted(1, 22));
        leader.propose([10; 8]).unwrap();
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 30));
        persist_all(&mut leader);
        save_snapshot(&mut leader);
        assert_eq!(leader.compactable(0), None);

        for _ in 0..40 {
            leader.tick(1);
            persist_all(&mut leader);
            leader.step(node(3), heartbeat_answer(1, 22, 0));
        }

        assert_eq!(leader.compactable(0), Some(index(30)));
    }

    #[test]
    fn offers_a_newer_snapshot_once_the_log_goes_on_from_the_old_one_no_more() {
        let (mut leader, first) = offering_leader();
        leader.propose([10; 8]).unwrap();
        persist_all(&mut leader);
        leader.step(node(2), accepted(1, 30));
        persist_all(&mut leader);
        save_snapshot(&mut leader);
        pass(&mut leader, 10);
        leader.compact(index(30));
        leader.step(node(3), accepted(1, 22));

        leader.tick(2);

        let offers = offers_to(3, &persist_all(&mut leader));
        assert_ne!(offers, offers_to(3, &first));
        assert_eq!(offers, [leader.snapshot().unwrap().clone()]);
    }

    #[test]
    fn whose_peer_never_answers_may_compact_everything_and_offers_the_newest_when_it_comes() {
        let membership = members("host", &[1, 2, 3], &[], &[4]);
        let mut leader = replica(1, 3).with_membership(membership).lead();
        for last in [10, 20, 30] {
            leader.propose((leader.last().index.0..last).map(|_| 10)).unwrap();
            persist_all(&mut leader);
            for peer in [2, 3] {
                leader.step(node(peer), accepted(1, last));
            }
            leader.tick(2);
            persist_all(&mut leader);
            pass(&mut leader, 10);
            assert_eq!(snapshot_and_compact(&mut leader, 0), at(1, last));
            leader.tick(2);
            let offers = offers_to(4, &persist_all(&mut leader));
            assert_eq!(offers.last().map(|offer| offer.position), Some(at(1, last)));
        }

        assert_eq!(state(&leader, 4), (ProgressState::Snapshot, index(0)));
        leader.step(node(4), accepted(1, 30));

        assert_eq!(state(&leader, 4), (ProgressState::Replicate, index(30)));
    }

    #[test]
    fn whose_probe_is_rejected_below_the_start_of_its_log_offers_its_snapshot() {
        let snapshot = snapshot(at(3, 50));
        let past = replica(1, 3).in_term(5);
        let restored = Restored {
            starts_after: at(3, 50),
            membership: Some(Arc::clone(&snapshot.membership)),
            entries: metas(50, &[3, 5]),
            snapshot: Some(snapshot.clone()),
            applied: at(3, 50),
            ..past.restored()
        };
        for (hint, next) in [
            (at(1, 20), None),
            (at(2, 51), None),
            (at(1, 50), None),
            (at(3, 50), Some(at(3, 50))),
            (at(3, 51), Some(at(3, 51))),
            (at(4, 51), Some(at(3, 51))),
        ] {
            let mut leader = Raft::new(past.config.clone(), restored.clone()).unwrap();
            leader.campaign();
            persist_all(&mut leader);
            leader.step(node(2), vote_answer(6, true));
            persist_all(&mut leader);

            leader.step(node(3), rejected(6, 52, hint));

            let sent = persist_all(&mut leader);
            assert_eq!(offers_to(3, &sent).len(), usize::from(next.is_none()), "{hint}");
            assert_eq!(appends_to(3, &sent).first().map(|append| append.slice.prev()), next, "{hint}");
        }
    }

    #[test]
    fn without_any_snapshot_waits_until_there_is_one() {
        let past = replica(1, 3).in_term(3);
        let restored = Restored {
            starts_after: at(3, 50),
            membership: Some(Arc::new(members("host", &[1, 2, 3], &[], &[]))),
            entries: Vec::new(),
            applied: at(3, 50),
            ..past.restored()
        };
        let mut leader = Raft::new(past.config, restored).unwrap();
        leader.campaign();
        persist_all(&mut leader);
        leader.step(node(2), vote_answer(4, true));
        persist_all(&mut leader);
        leader.step(node(3), rejected(4, 50, at(0, 1)));
        leader.step(node(2), accepted(4, 51));
        assert_eq!(offers_to(3, &persist_all(&mut leader)), []);

        save_snapshot(&mut leader);

        assert_eq!(offers_to(3, &persist_all(&mut leader)).len(), 1);
    }

    #[test]
    fn that_is_new_offers_its_own_snapshot_and_a_replaced_peer_begins_anew() {
        let (mut leader, _) = offering_leader();

        leader.peer_replaced(node(3));

        assert_eq!(state(&leader, 3), (ProgressState::Probe, index(0)));
        persist_all(&mut leader);
        leader.step(node(3), rejected(1, 22, LogPosition::ZERO));
        assert_eq!(offers_to(3, &persist_all(&mut leader)).len(), 1);
    }
}

#[test]
fn a_slow_follower_whose_entries_were_compacted_gets_a_snapshot_and_then_streams() {
    let mut cluster = Cluster::of((1..=3).map(|id| replica(id, 3)));
    cluster.elect(1);
    cluster.down(&[3]);
    cluster.raft(1).propose([10; 20]).unwrap();
    cluster.settle();
    snapshot_and_compact(cluster.raft(1), 0);
    cluster.up(&[3]);

    cluster.tick_all(20);
    assert_eq!((cluster.installs, cluster.raft(3).commit()), (1, index(22)));
    cluster.raft(1).propose([10]).unwrap();
    cluster.settle();

    assert_eq!((cluster.installs, cluster.raft(3).commit()), (1, index(23)));
    assert_eq!(cluster.raft(1).progress(node(3)).unwrap().state, ProgressState::Replicate);
}

#[test]
fn two_followers_get_their_snapshots_at_once_and_of_whoever_leads_then() {
    let mut cluster = Cluster::of((1..=5).map(|id| replica(id, 5)));
    cluster.elect(1);
    cluster.down(&[4, 5]);
    cluster.raft(1).propose([10; 20]).unwrap();
    cluster.settle();
    for id in 1..=3 {
        assert_eq!(snapshot_and_compact(cluster.raft(id), 0), at(1, 22));
    }
    cluster.down(&[1]);
    cluster.up(&[4, 5]);
    cluster.tick_all(60);

    let leader = cluster.leader().expect("a new one");
    assert!([2, 3].contains(&leader) && cluster.installs == 2);
    for id in [4, 5] {
        let last = cluster.raft(leader).last();
        assert_eq!(cluster.raft(id).last(), last);
    }
}
