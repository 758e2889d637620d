//! What operators do to a cluster that runs: they grow and shrink it, move it, hand leadership around, and shorten its log.

use std::time::Duration;

use quorate::types::{MembershipError, NodeId};
use quorate::{
    ChangeError, ChangeRefused, Config, Events, MembershipChange, NodeEvent, Outcome, ProposeError, Role,
    TransferError, TransferRefused,
};

use super::scene::{Cluster, LONG};

/// The next event that is `wanted`.
fn hear(events: &Events, wanted: impl Fn(&NodeEvent) -> bool) -> NodeEvent {
    loop {
        let event = events.recv_timeout(LONG).expect("it is told");
        if wanted(&event) {
            return event;
        }
    }
}

fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("not zero")
}

/// Adds `joiner` as a learner and promotes it once it has caught up.
fn grow(cluster: &mut Cluster, through: u64, joiner: u64) {
    let address = cluster.start_joiner(joiner).to_owned();
    let added = cluster.node(through).add_learner(joiner, address).expect("it is added");
    assert_eq!(added.membership.learners(), [id(joiner)]);
    let joined = cluster.node(joiner);
    joined.wait_applied(added.position.index.0, LONG).expect("it receives the log");
    promote(cluster, through, joiner);
}

/// The leader may not have heard yet how far the learner is.
fn promote(cluster: &Cluster, through: u64, learner: u64) {
    let promoted = loop {
        match cluster.node(through).promote(learner) {
            Err(ChangeError::Refused(
                ChangeRefused::Lags { .. }
                | ChangeRefused::UnknownDirectory { .. }
                | ChangeRefused::WouldLoseQuorum { .. },
            )) => std::thread::yield_now(),
            promoted => break promoted.expect("it is promoted"),
        }
    };
    assert!(promoted.membership.voters().contains(&id(learner)));
    assert!(!promoted.membership.is_joint(), "the receipt names where the change ends");
}

#[test]
fn a_cluster_grows_from_one_to_three_and_shrinks_back_and_loses_nothing() {
    let mut cluster = Cluster::of(1);
    cluster.node(1).propose("alone".to_owned()).expect("acknowledged");

    grow(&mut cluster, 1, 2);
    cluster.node(2).propose("of two".to_owned()).expect("acknowledged");
    // Any node takes an operator's wish.
    grow(&mut cluster, 2, 3);
    cluster.node(3).propose("of three".to_owned()).expect("acknowledged");
    assert_eq!(cluster.node(3).status().voters, [1, 2, 3]);
    assert_eq!(cluster.agreed_texts(), ["alone", "of two", "of three"]);

    let removed = cluster.node(2).remove(1).expect("the founder goes");
    assert_eq!(removed.membership.voters(), [id(2), id(3)]);
    cluster.stop(1);
    cluster.node(3).propose("without the founder".to_owned()).expect("acknowledged");
    cluster.node(2).remove(3).expect("the second goes");
    cluster.stop(3);

    cluster.node(2).propose("alone again".to_owned()).expect("acknowledged");
    let texts = ["alone", "of two", "of three", "without the founder", "alone again"];
    assert_eq!(cluster.agreed_texts(), texts);
}

#[test]
fn a_node_that_joins_is_nobody_until_it_is_added_and_remembers_that_it_was() {
    let mut cluster = Cluster::of(1);
    cluster.start_joiner(2);
    assert_eq!(cluster.node(2).status().voters, Vec::<u64>::new());
    let refused = cluster.node(2).propose_within("who am I".to_owned(), Duration::from_millis(50));
    assert_eq!(refused, Err(ProposeError::NoLeader));
    cluster.stop(2);
    cluster.restart(2);

    let address = cluster.address_of(2).to_owned();
    let added = cluster.node(1).add_learner(2, address).expect("it is added");
    cluster.node(2).wait_applied(added.position.index.0, LONG).expect("it receives the log");
    cluster.stop(2);
    cluster.restart(2);

    cluster.node(1).propose("hello".to_owned()).expect("acknowledged");
    assert_eq!(cluster.node(2).query(()), Ok("hello".to_owned()));
    assert_eq!(cluster.node(2).status().role, Role::Learner);
}

#[test]
fn one_call_puts_another_node_in_the_place_of_one_that_is_gone_for_good() {
    let mut cluster = Cluster::of(3);
    cluster.node(1).propose("before".to_owned()).expect("acknowledged");
    let gone = cluster.follower();
    cluster.stop(gone);
    let address = cluster.start_joiner(4).to_owned();

    let leader = cluster.leader_but(4);
    let receipt = cluster.node(leader).replace(gone, 4, address).expect("it is replaced");

    assert!(!receipt.membership.contains(id(gone)) && receipt.membership.contains(id(4)));
    cluster.node(4).propose("after".to_owned()).expect("acknowledged");
    assert_eq!(cluster.agreed_texts(), ["before", "after"]);
}

#[test]
fn a_node_that_moves_to_another_address_keeps_its_id_and_its_log() {
    let mut cluster = Cluster::of(3);
    let moves = cluster.follower();
    cluster.node(moves).propose("before".to_owned()).expect("acknowledged");
    cluster.stop(moves);
    cluster.move_to_another_port(moves);

    let leader = cluster.leader_but(moves);
    let address = cluster.address_of(moves).to_owned();
    let receipt = cluster.node(leader).readdress(moves, &*address).expect("it is told to all");

    assert_eq!(receipt.membership.member(id(moves)).expect("a member").address, address);
    cluster.node(leader).propose("after".to_owned()).expect("acknowledged");
    assert_eq!(cluster.node(moves).query(()), Ok("before,after".to_owned()));
}

#[test]
fn a_node_that_is_removed_learns_it() {
    let cluster = Cluster::of(3);
    let (leader, removed) = (cluster.leader(), cluster.follower());
    let events = cluster.node(removed).events();

    cluster.node(leader).remove(removed).expect("it is removed");

    hear(&events, |event| *event == NodeEvent::Removed);
    let status = cluster.node(removed).status();
    assert!(status.removed && !status.voters.contains(&removed), "{status:?}");
}

#[test]
fn a_leader_that_removes_itself_leads_until_that_is_committed_and_the_others_go_on() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();

    let receipt = cluster.node(leader).remove(leader).expect("it is removed");

    assert!(!receipt.membership.contains(id(leader)));
    let next = cluster.leader_but(leader);
    cluster.node(next).propose("without it".to_owned()).expect("acknowledged");
    cluster.stop(leader);
    assert_eq!(cluster.agreed_texts(), ["without it"]);
}

#[test]
fn a_group_of_nobody_and_members_that_are_there_already_are_refused_by_name() {
    let cluster = Cluster::of(1);
    let node = cluster.node(1);
    let refusal = |refused: ChangeError| match refused {
        ChangeError::Refused(refused) => refused,
        other => panic!("refused for another reason: {other}"),
    };

    let nobody = refusal(node.remove(1).expect_err("nobody would be left"));
    let twice = refusal(node.add_learner(1, "127.0.0.1:9").expect_err("it is a member"));
    let stranger = refusal(node.promote(9).expect_err("it is none"));
    let unreachable = refusal(node.add_learner(9, "nowhere").expect_err("no address"));

    assert_eq!(nobody, ChangeRefused::Invalid(MembershipError::NoVoters));
    assert_eq!(twice, ChangeRefused::AlreadyMember(id(1)));
    assert_eq!(stranger, ChangeRefused::UnknownNode(id(9)));
    assert!(
        matches!(unreachable, ChangeRefused::Invalid(MembershipError::BadAddress { .. })),
        "{unreachable}"
    );
}

#[test]
fn an_operator_who_has_seen_another_membership_changes_nothing() {
    let cluster = Cluster::of(3);
    cluster.wait_until_acquainted(1);
    let seen = cluster.node(1).status().membership_index;
    let remove = |node| MembershipChange::Remove { id: id(node) };

    cluster.node(1).change_membership(remove(3), Some(seen)).expect("it is as seen");
    let refused = cluster.node(1).change_membership(remove(2), Some(seen)).expect_err("it is not any more");

    assert!(matches!(refused, ChangeError::Refused(ChangeRefused::Changed { .. })), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotApplied);
}

#[test]
fn a_change_after_which_nothing_could_be_committed_is_refused() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let [gone, there] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        unreachable!("two others")
    };
    let events = cluster.node(leader).events();
    cluster.stop(gone);
    hear(&events, |event| *event == NodeEvent::PeerLost { peer: gone });

    let refused = cluster.node(leader).remove(there).expect_err("the leader alone is no majority of two");

    assert!(matches!(refused, ChangeError::Refused(ChangeRefused::WouldLoseQuorum { .. })), "{refused}");
}

#[test]
fn leadership_goes_where_an_operator_sends_it_through_whichever_node_he_asks() {
    let cluster = Cluster::of(3);
    cluster.node(1).propose("before".to_owned()).expect("acknowledged");
    let (old, new) = (cluster.leader(), cluster.follower());

    assert_eq!(cluster.node(new).transfer_leadership(Some(new)), Ok(new));

    assert_eq!(cluster.node(new).status().role, Role::Leader);
    cluster.node(old).propose("after".to_owned()).expect("acknowledged");
    let refused = cluster.node(old).transfer_leadership(Some(new)).expect_err("it leads already");
    assert_eq!(refused, TransferError::Refused(TransferRefused::LeadsAlready(id(new))));
    let refused = cluster.node(new).transfer_leadership(Some(9)).expect_err("a stranger");
    assert_eq!(refused, TransferError::Refused(TransferRefused::NotAVoter(id(9))));
    assert_eq!(cluster.agreed_texts(), ["before", "after"]);
}

#[test]
fn a_leader_that_is_shut_down_hands_over_first_and_nobody_has_to_find_out_that_it_is_gone() {
    // A successor that had to find out would wait for so long, and ask before it stands for election.
    let mut cluster = Cluster::tuned(3, |config| config.election_timeout(Duration::from_secs(3)));
    let leader = cluster.leader();
    cluster.node(leader).propose("before".to_owned()).expect("acknowledged");
    let others: Vec<_> = [1, 2, 3].into_iter().filter(|id| *id != leader).collect();
    let events: Vec<_> = others.iter().map(|id| cluster.node(*id).events()).collect();

    cluster.stop(leader);

    let elected = |event: &NodeEvent| matches!(event, NodeEvent::LeaderChanged { leader: Some(new), .. } if others.contains(new));
    for events in events {
        let mut asked = false;
        while let Some(event) = events.recv_timeout(LONG) {
            asked |= matches!(event, NodeEvent::RoleChanged { role: Role::PreCandidate, .. });
            if elected(&event) {
                break;
            }
        }
        assert!(!asked, "it had to find out");
    }
    cluster.node(others[0]).propose("after".to_owned()).expect("acknowledged");
}

#[test]
fn after_a_snapshot_a_restart_applies_only_what_came_behind_it() {
    let mut cluster = Cluster::of(1);
    for text in ["one", "two", "three"] {
        cluster.node(1).propose(text.to_owned()).expect("acknowledged");
    }
    let index = cluster.node(1).snapshot_now().expect("it is taken");
    cluster.node(1).propose("four".to_owned()).expect("acknowledged");
    assert_eq!(cluster.node(1).status().snapshot_index, index);

    cluster.stop(1);
    cluster.restart(1);

    assert_eq!(cluster.agreed_texts(), ["one", "two", "three", "four"]);
    assert_eq!(cluster.node(1).read_local(|journal| journal.applied_here), Ok(1));
    assert_eq!(cluster.node(1).status().snapshot_index, index);
}

#[test]
fn a_follower_that_needs_what_the_log_has_lost_is_given_a_snapshot_and_then_the_rest() {
    let mut cluster = Cluster::tuned(3, |config| config.trailing_entries(0));
    let away = cluster.follower();
    cluster.node(away).propose("before".to_owned()).expect("acknowledged");
    cluster.stop(away);
    let leader = cluster.leader();
    cluster.node(leader).propose("while it was away".to_owned()).expect("acknowledged");
    let events = cluster.node(leader).events();
    cluster.node(leader).snapshot_now().expect("it is taken");
    hear(&events, |event| matches!(event, NodeEvent::Compacted { .. }));

    cluster.restart(away);
    cluster.node(leader).propose("since then".to_owned()).expect("acknowledged");

    assert_eq!(cluster.agreed_texts(), ["before", "while it was away", "since then"]);
    let status = cluster.node(away).status();
    assert!(status.first_index > 2, "its log begins behind a snapshot: {status:?}");
}

#[test]
fn a_snapshot_is_taken_when_enough_was_written_and_the_log_gets_shorter() {
    let cluster = Cluster::tuned(1, |config| config.snapshot_entries(100).trailing_entries(10));
    let events = cluster.node(1).events();

    let tickets: Vec<_> = (0..500).map(|number| cluster.node(1).submit(format!("{number}"))).collect();
    for ticket in tickets {
        ticket.wait().expect("acknowledged");
    }

    hear(&events, |event| matches!(event, NodeEvent::SnapshotSaved { .. }));
    let NodeEvent::Compacted { through } =
        hear(&events, |event| matches!(event, NodeEvent::Compacted { .. }))
    else {
        unreachable!("just matched")
    };
    assert!(cluster.node(1).status().first_index > through);
    assert_eq!(cluster.agreed_texts().len(), 500);
}

#[test]
fn a_node_that_lost_its_disk_is_removed_and_added_again_under_its_old_id() {
    let mut cluster = Cluster::of(3);
    cluster.wait_until_acquainted(1);
    let wiped = cluster.follower();
    cluster.node(wiped).propose("before".to_owned()).expect("acknowledged");
    cluster.stop(wiped);
    cluster.wipe(wiped);
    let leader = cluster.leader();

    cluster.node(leader).remove(wiped).expect("it is removed");
    cluster.rejoin(wiped);
    let address = cluster.address_of(wiped).to_owned();
    let added = cluster.node(leader).add_learner(wiped, address).expect("it is added");
    cluster.node(wiped).wait_applied(added.position.index.0, LONG).expect("it receives the log");
    promote(&cluster, leader, wiped);

    cluster.node(wiped).propose("after".to_owned()).expect("acknowledged");
    assert_eq!(cluster.agreed_texts(), ["before", "after"]);
}

#[test]
fn a_leader_that_came_back_under_its_old_id_is_heard_by_a_node_that_knows_only_its_former_self() {
    let mut cluster = Cluster::of(3);
    cluster.wait_until_acquainted(1);
    let wiped = cluster.follower();
    // More than one append carries: whoever joins learns of the former self long before it learns of the latter.
    for _ in 0..8 {
        cluster.node(wiped).propose("much".repeat(100 << 10)).expect("acknowledged");
    }
    cluster.stop(wiped);
    cluster.wipe(wiped);
    let leader = cluster.leader();
    cluster.node(leader).remove(wiped).expect("it is removed");
    cluster.rejoin(wiped);
    let address = cluster.address_of(wiped).to_owned();
    let added = cluster.node(leader).add_learner(wiped, address).expect("it is added");
    cluster.node(wiped).wait_applied(added.position.index.0, LONG).expect("it receives the log");
    promote(&cluster, leader, wiped);
    cluster.node(leader).transfer_leadership(Some(wiped)).expect("it leads");

    grow(&mut cluster, wiped, 4);

    assert_eq!(cluster.agreed_texts().len(), 8);
}

#[test]
fn reads_by_lease_see_every_write_that_finished_before_them_wherever_they_are_asked() {
    let cluster = Cluster::tuned(3, |config: Config| config.lease_reads(5));
    for number in 0..50 {
        let (writer, reader) = (number % 3 + 1, (number + 1) % 3 + 1);
        cluster.node(writer).propose(format!("{number}")).expect("acknowledged");
        let seen = cluster.node(reader).read(|journal| journal.lines.len());
        assert_eq!(seen, Ok(number as usize + 1));
    }
    let successor = cluster.follower();
    assert_eq!(cluster.node(successor).transfer_leadership(Some(successor)), Ok(successor));
    cluster.node(successor).propose("under another leader".to_owned()).expect("acknowledged");
    assert_eq!(cluster.node(1).read(|journal| journal.lines.len()), Ok(51));
}
