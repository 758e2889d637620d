//! Changes that make voters of nodes whom nobody has met: learners first, voters when the group knows their directories.

use super::cluster::{PATIENCE, Told};
use super::{Cluster, id, is_append, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::ReplicaConfig;
use crate::ticket::{ChangeError, Outcome, StopCause};
use crate::types::{
    ChangeReceipt, ChangeRefused, LogIndex, Membership, MembershipChange, Payload, PeerMessage,
};

fn led_by_1(mut cluster: Cluster) -> Cluster {
    cluster.connect_all();
    cluster.elect(1);
    cluster.ticks(2);
    cluster
}

fn three_led_by_1() -> Cluster {
    led_by_1(three_nodes())
}

fn replace(old: u64, new: u64) -> MembershipChange {
    MembershipChange::Replace { old: id(old), new: id(new), address: format!("host:{new}") }
}

fn set(voters: &[u64]) -> MembershipChange {
    let voters = voters.iter().map(|&number| (id(number), format!("host:{number}"))).collect();
    MembershipChange::Set { voters, learners: [].into() }
}

fn voters(cluster: &Cluster, number: u64) -> Vec<u64> {
    cluster.status(number).membership.voters().iter().map(|voter| voter.get()).collect()
}

fn learners(cluster: &Cluster, number: u64) -> Vec<u64> {
    cluster.status(number).membership.learners().iter().map(|learner| learner.get()).collect()
}

fn receipt(told: &Told<ChangeReceipt, ChangeError>) -> ChangeReceipt {
    told.try_recv().expect("it is answered").expect("it is done")
}

fn refusal(told: &Told<ChangeReceipt, ChangeError>) -> ChangeRefused {
    match told.try_recv().expect("it is answered") {
        Err(ChangeError::Refused(refused)) => refused,
        other => panic!("it is not refused: {other:?}"),
    }
}

/// Every configuration of the log of `number` that makes a voter of somebody whose directory it does not name.
fn strangers(cluster: &mut Cluster, number: u64) -> Vec<Membership> {
    let entries = cluster.node(number).log.entries();
    let memberships = entries.into_iter().filter_map(|entry| match entry.payload {
        Payload::Membership(membership) => Some(Membership::clone(&membership)),
        _ => None,
    });
    let names_all = |membership: &Membership| {
        let is_named = |voter| membership.member(voter).unwrap().incarnation.is_some();
        membership.voters().iter().all(|&voter| is_named(voter))
    };
    memberships.filter(|membership| membership.is_joint() && !names_all(membership)).collect()
}

#[test]
fn a_node_that_nobody_has_met_takes_a_voters_place_in_one_wish() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        assert!(cluster.propose(1, "a").is_done());

        let told = cluster.change(asked, replace(3, 4));
        assert_eq!((voters(&cluster, 1), learners(&cluster, 1)), (vec![1, 2, 3], vec![4]));
        cluster.ticks(10);
        assert!(told.try_recv().is_err(), "it has not started");
        cluster.join(4, 44);
        cluster.ticks(20);

        let receipt = receipt(&told);
        assert_eq!(receipt.membership.voters(), [id(1), id(2), id(4)], "asked of {asked}");
        assert!(!receipt.membership.is_joint());
        assert_eq!(cluster.journal(4), "a");
        assert!(strangers(&mut cluster, 1).is_empty());
        cluster.elect(4);
        assert!(cluster.propose(4, "with a vote of its own").is_done());
    }
}

/// Seeds 300484 and 300977 of the simulator: the new voter gave no vote, and nobody could be elected any more.
#[test]
fn a_disk_that_is_lost_while_a_newcomer_is_on_its_way_stops_nobody() {
    let mut cluster = three_led_by_1();
    cluster.join(4, 44);
    cluster.cut(1, 4);
    let told = cluster.change(1, replace(3, 4));
    cluster.ticks(5);

    cluster.join(2, 222);
    cluster.isolate(1);
    cluster.heal();
    cluster.elect(3);

    assert!(cluster.propose(3, "goes on").is_done());
    cluster.ticks(60);
    assert_eq!(cluster.journal(4), "goes on");
    drop(told);
}

#[test]
fn several_newcomers_come_as_learners_in_one_entry_and_vote_together() {
    let mut cluster = three_led_by_1();
    let told = cluster.change(2, set(&[1, 4, 5]));
    assert_eq!((voters(&cluster, 1), learners(&cluster, 1)), (vec![1, 2, 3], vec![4, 5]));

    cluster.join(4, 44);
    cluster.ticks(20);
    assert!(told.try_recv().is_err(), "one of them is not there");
    assert_eq!(voters(&cluster, 1), [1, 2, 3]);
    cluster.join(5, 55);
    cluster.ticks(20);

    assert_eq!(receipt(&told).membership.voters(), [id(1), id(4), id(5)]);
    assert!(strangers(&mut cluster, 1).is_empty());
}

#[test]
fn one_voter_becomes_three_in_one_wish() {
    let mut cluster = super::one_node();
    cluster.elect(1);
    cluster.join(2, 22);
    cluster.join(3, 33);

    let told = cluster.change(1, set(&[1, 2, 3]));
    cluster.ticks(20);

    assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(3)]);
    assert!(cluster.propose(1, "of three").is_done());
}

#[test]
fn a_newcomer_that_does_not_show_itself_in_time_stays_a_learner_and_is_named() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        let told = cluster.change(asked, replace(3, 4));
        cluster.ticks(PATIENCE);

        let refused = refusal(&told);
        assert!(
            matches!(refused, ChangeRefused::UnknownDirectory { id: newcomer, .. } if newcomer == id(4)),
            "{refused}"
        );
        assert_eq!((voters(&cluster, 1), learners(&cluster, 1)), (vec![1, 2, 3], vec![4]));
        cluster.join(4, 44);
        cluster.ticks(20);
        assert_eq!(learners(&cluster, 1), [4], "nobody wishes it any more");

        let again = cluster.change(asked, replace(3, 4));
        cluster.ticks(20);
        assert_eq!(receipt(&again).membership.voters(), [id(1), id(2), id(4)]);
    }
}

#[test]
fn a_newcomer_that_lags_is_waited_for_and_then_named() {
    let mut cluster = led_by_1(three_nodes_with(|config| config.raft.promote_lag_bytes_max = 10));
    cluster.join(4, 44);
    (0..20).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.lose(|_, to, message| to == 4 && is_append(message));

    let told = cluster.change(2, replace(3, 4));
    cluster.ticks(50);
    assert!(told.try_recv().is_err());
    cluster.heal();
    cluster.ticks(20);
    assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(4)]);

    cluster.join(5, 55);
    cluster.lose(|_, to, message| to == 5 && is_append(message));
    let late = cluster.change(1, replace(2, 5));
    cluster.ticks(PATIENCE);
    let refused = refusal(&late);
    assert!(
        matches!(refused, ChangeRefused::Lags { .. } | ChangeRefused::UnknownDirectory { .. }),
        "{refused}"
    );
}

#[test]
fn the_next_leader_goes_on_with_a_change_that_only_its_first_step_was_taken_of() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        let told = cluster.change(asked, replace(3, 4));
        cluster.ticks(5);

        cluster.elect(3);
        cluster.join(4, 44);
        cluster.ticks(30);

        let receipt = receipt(&told);
        assert_eq!(receipt.membership.voters(), [id(1), id(2), id(4)], "asked of {asked}");
        assert!(strangers(&mut cluster, 1).is_empty());
    }
}

#[test]
fn a_first_step_that_another_leader_overwrote_is_taken_again() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        cluster.lose(|from, _, message| from == 1 && is_append(message));
        let told = cluster.change(asked, replace(3, 4));
        assert!(told.try_recv().is_err());
        cluster.isolate(1);
        cluster.elect(2);
        assert!(learners(&cluster, 2).is_empty());

        cluster.heal();
        cluster.join(4, 44);
        cluster.ticks(40);
        // What the deposed leader had been told by another node, that one may know nothing of.
        match told.try_recv().expect("it is answered, or went on") {
            Ok(receipt) => assert_eq!(receipt.membership.voters(), [id(1), id(2), id(4)]),
            Err(error) => panic!("asked of {asked}: {error}"),
        }
    }
}

#[test]
fn the_own_first_step_is_nobody_elses_change() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        let seen = Some(cluster.status(1).membership_index);
        let told = cluster.submit_change(asked, replace(3, 4), seen);
        cluster.settle();
        cluster.join(4, 44);
        cluster.ticks(20);
        assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(4)], "asked of {asked}");
    }
}

#[test]
fn what_others_change_behind_the_first_step_ends_a_conditional_change() {
    for asked in [1, 2] {
        let mut cluster = three_led_by_1();
        let seen = Some(cluster.status(1).membership_index);
        let told = cluster.submit_change(asked, replace(3, 4), seen);
        cluster.settle();
        let between = MembershipChange::Readdress { id: id(2), address: "elsewhere:2".to_owned() };
        assert!(cluster.change(1, between).try_recv().unwrap().is_ok());
        cluster.join(4, 44);
        cluster.ticks(20);

        let refused = refusal(&told);
        assert!(matches!(refused, ChangeRefused::Changed { .. }), "{refused}");
        assert_eq!(voters(&cluster, 1), [1, 2, 3]);
    }
}

#[test]
fn a_learner_that_shall_take_a_place_is_not_promoted_beside_it() {
    for asked in [1, 2] {
        let mut cluster = led_by_1(three_nodes_with(|config: &mut ReplicaConfig| config.auto_promote = true));
        let told = cluster.change(asked, replace(3, 4));
        cluster.ticks(5);
        cluster.join(4, 44);
        cluster.ticks(20);

        assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(4)]);
        let joint = cluster.node(1).log.entries().into_iter().filter_map(|entry| match entry.payload {
            Payload::Membership(membership) if membership.is_joint() => Some(membership.voters().len()),
            _ => None,
        });
        assert_eq!(joint.collect::<Vec<_>>(), [3], "one change of the voters");
    }
}

#[test]
fn a_learner_is_promoted_only_once_its_directory_is_known() {
    let mut cluster = three_led_by_1();
    let added = MembershipChange::AddLearner { id: id(4), address: "host:4".to_owned() };
    assert!(cluster.change(1, added).try_recv().unwrap().is_ok());

    let told = cluster.change(1, MembershipChange::Promote { id: id(4) });
    let refused = refusal(&told);
    assert!(matches!(refused, ChangeRefused::UnknownDirectory { .. }), "at once: {refused}");
    cluster.join(4, 44);
    cluster.ticks(10);
    let told = cluster.change(1, MembershipChange::Promote { id: id(4) });
    cluster.ticks(5);

    assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(3), id(4)]);
    assert!(strangers(&mut cluster, 1).is_empty());
}

#[test]
fn other_changes_are_begun_while_a_newcomer_is_waited_for() {
    let mut cluster = three_led_by_1();
    let told = cluster.change(1, replace(3, 4));
    let between = MembershipChange::Readdress { id: id(2), address: "elsewhere:2".to_owned() };
    assert!(cluster.change(2, between).try_recv().unwrap().is_ok());

    cluster.join(4, 44);
    cluster.ticks(20);

    assert_eq!(receipt(&told).membership.voters(), [id(1), id(2), id(4)]);
}

#[test]
fn a_newcomer_at_an_address_that_is_taken_is_refused_and_added_nowhere() {
    let mut cluster = three_led_by_1();
    let index = cluster.status(1).membership_index;
    let change = MembershipChange::Replace { old: id(3), new: id(4), address: "host:3".to_owned() };

    let refused = refusal(&cluster.change(2, change));

    assert!(matches!(refused, ChangeRefused::Invalid(_)), "{refused}");
    assert!(learners(&cluster, 1).is_empty() && cluster.status(1).membership_index >= index);
}

#[test]
fn a_node_that_stops_says_of_a_change_that_waits_for_a_newcomer_that_it_was_not_begun() {
    let mut cluster = three_led_by_1();
    let waiting = cluster.change(1, replace(3, 4));
    cluster.lose(|from, _, message| from == 1 && is_append(message));
    let preparing = cluster.change(1, set(&[1, 2, 5]));
    cluster.stop(1, &StopCause::Shutdown);

    let stopped = ChangeError::Stopped { cause: StopCause::Shutdown, outcome: Outcome::NotApplied };
    assert_eq!(waiting.try_recv(), Ok(Err(stopped.clone())));
    assert_eq!(preparing.try_recv(), Ok(Err(stopped)));
}

#[test]
fn a_first_step_that_does_not_get_through_is_answered_at_the_deadline() {
    let mut cluster = three_led_by_1();
    cluster.lose(|from, _, message| from == 1 && matches!(message, PeerMessage::Raft { .. }));
    let told = cluster.change(1, replace(3, 4));
    assert!(told.try_recv().is_err());
    cluster.tick(1, PATIENCE as u32);

    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(
        matches!(error, ChangeError::Refused(ChangeRefused::UnknownDirectory { since, .. }) if since > LogIndex(1))
    );
    assert_eq!(cluster.status(1).role, RoleName::Leader, "nothing but that");
}
