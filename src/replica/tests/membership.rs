//! Operators' changes of the membership, from any node, to their receipt.

use super::cluster::PATIENCE;
use super::{Cluster, id, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, Notice, ReplicaConfig};
use crate::ticket::{ChangeError, Outcome, StopCause};
use crate::types::{
    Admin, AdminAnswer, AdminTask, Body, ChangeReceipt, ChangeRefused, Incarnation, LogIndex, LogPosition,
    MembershipChange, Message, Moment, NodeId, PeerMessage, Term,
};

/// Three nodes, connected, that node 1 leads.
fn three_nodes_led_by_1() -> Cluster {
    let mut cluster = three_nodes();
    cluster.connect_all();
    cluster.elect(1);
    cluster.ticks(2);
    cluster
}

fn three_led_by_1_with(tune: fn(&mut ReplicaConfig)) -> Cluster {
    let mut cluster = three_nodes_with(tune);
    cluster.connect_all();
    cluster.elect(1);
    cluster.ticks(2);
    cluster
}

fn add_learner(number: u64) -> MembershipChange {
    MembershipChange::AddLearner { id: id(number), address: format!("host:{number}") }
}

fn promote(number: u64) -> MembershipChange {
    MembershipChange::Promote { id: id(number) }
}

fn remove(number: u64) -> MembershipChange {
    MembershipChange::Remove { id: id(number) }
}

fn voters(cluster: &Cluster, number: u64) -> Vec<u64> {
    cluster.status(number).membership.voters().iter().map(|voter| voter.get()).collect()
}

fn is_admin(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::Admin(_))
}

fn is_admin_answer(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::AdminAnswer(_))
}

#[test]
fn a_node_joins_as_a_learner_catches_up_and_becomes_a_voter() {
    let mut cluster = three_nodes_led_by_1();
    (0..20).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.join(4, 44);

    let added = cluster.change(1, add_learner(4)).try_recv().unwrap().unwrap();
    assert_eq!(added.membership.learners(), [id(4)]);
    cluster.ticks(5);
    assert_eq!(cluster.status(4).role, RoleName::Learner);
    assert_eq!(cluster.journal(4), cluster.journal(1));
    let promoted = cluster.change(1, promote(4)).try_recv().unwrap().unwrap();
    cluster.ticks(3);

    assert!(!promoted.membership.is_joint(), "the joint configuration is left");
    assert!([1, 2, 3, 4].into_iter().all(|number| voters(&cluster, number) == [1, 2, 3, 4]));
    assert!(cluster.propose(4, "from the new one").is_done());
    cluster.elect(4);
    assert!(cluster.propose(4, "as leader").is_done());
}

#[test]
fn a_leader_that_has_grown_from_one_to_three_does_nothing_alone_any_more() {
    let mut cluster = super::one_node();
    cluster.elect(1);
    for joiner in [2, 3] {
        cluster.join(joiner, joiner * 11);
        assert!(cluster.change(1, add_learner(joiner)).try_recv().unwrap().is_ok());
        cluster.ticks(5);
        assert!(cluster.change(1, promote(joiner)).try_recv().unwrap().is_ok());
        cluster.ticks(3);
    }
    assert_eq!(voters(&cluster, 1), [1, 2, 3]);
    assert!(cluster.propose(1, "of three").is_done());
    let commit = cluster.status(1).commit;

    cluster.isolate(1);
    let (write, read) = (cluster.propose(1, "alone"), cluster.read(1));
    cluster.tick(1, 5);
    assert!(!write.is_done() && !read.is_done(), "it is one of three");
    assert_eq!(cluster.status(1).commit, commit);

    cluster.elect(2);
    assert!(cluster.propose(2, "of the two others").is_done());
    cluster.heal();
    (0..3).for_each(|_| cluster.heartbeat(2));
    assert_eq!(write.try_wait().unwrap(), Err(crate::ticket::ProposeError::Superseded));
    assert_eq!(read.try_wait().unwrap(), Ok("of three, of the two others".to_owned()));
}

#[test]
fn a_change_is_answered_when_it_is_complete_and_observers_hear_of_it() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    drop(cluster.change(1, add_learner(4)));
    cluster.ticks(5);

    cluster.lose(|from, _, message| from != 1 && super::body(message).is_some());
    let told = cluster.change(1, promote(4));
    assert!(told.try_recv().is_err(), "nobody has it");
    cluster.heal();
    cluster.ticks(5);

    let ChangeReceipt { position, membership } = told.try_recv().unwrap().unwrap();
    assert!(!membership.is_joint());
    assert_eq!(cluster.status(1).membership, membership);
    let changed = Notice::MembershipChanged { position: position.index, membership };
    for number in [1, 2, 3, 4] {
        assert!(cluster.node(number).notices.contains(&changed), "at node {number}");
    }
}

#[test]
fn a_follower_hands_a_change_to_the_leader() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);

    let receipt = cluster.change(2, add_learner(4)).try_recv().unwrap().unwrap();

    assert_eq!(receipt.membership.learners(), [id(4)]);
    let refused = cluster.change(3, add_learner(4)).try_recv().unwrap();
    assert_eq!(refused, Err(ChangeError::Refused(ChangeRefused::AlreadyMember(id(4)))));
}

#[test]
fn a_change_on_condition_of_an_older_membership_is_refused() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    let seen = Some(LogIndex(1));
    let first = cluster.submit_change(2, add_learner(4), seen);
    cluster.settle();
    assert!(first.try_recv().unwrap().is_ok(), "that the leader noted directories since is no change");

    let told = cluster.submit_change(2, MembershipChange::Remove { id: id(4) }, seen);
    cluster.settle();

    let refused = told.try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, ChangeError::Refused(ChangeRefused::Changed { .. })), "{refused}");
}

#[test]
fn without_a_leader_a_change_waits_for_one_until_its_deadline() {
    let mut cluster = three_nodes();
    cluster.connect_all();
    cluster.join(4, 44);
    let at_2 = cluster.change(2, add_learner(4));
    assert!(at_2.try_recv().is_err());
    cluster.elect(1);
    cluster.ticks(3);
    assert!(at_2.try_recv().unwrap().is_ok());

    let mut cluster = three_nodes();
    cluster.isolate(2);
    let lonely = cluster.change(2, add_learner(4));
    cluster.tick(2, PATIENCE as u32);
    assert_eq!(lonely.try_recv(), Ok(Err(ChangeError::NoLeader)));
}

#[test]
fn a_wish_that_reaches_a_node_which_leads_no_more_waits_for_the_next_leader() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    let told = cluster.submit_change(2, add_learner(4), None);
    let sent = cluster.node(2).replica.turn(Moment(0)).send;
    let (_, admin) = sent.into_iter().find(|(_, message)| is_admin(2, 1, message)).expect("it asks");
    cluster.elect(3);

    cluster.handle(1, Event::Message { from: id(2), message: admin });
    cluster.settle();
    cluster.ticks(2);

    assert!(told.try_recv().unwrap().is_ok());
    assert_eq!(cluster.status(3).membership.learners(), [id(4)]);
}

#[test]
fn a_lost_wish_is_unknown_at_its_deadline_and_never_sent_twice() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.lose(is_admin);
    let told = cluster.change(2, add_learner(4));
    cluster.heal();
    cluster.ticks(50);
    assert!(cluster.status(1).membership.learners().is_empty());

    cluster.tick(2, PATIENCE as u32);
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!((&error, error.outcome()), (&ChangeError::Unknown, Outcome::Unknown));
}

#[test]
fn a_wish_that_was_never_written_is_sent_again() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.disconnect(2, 1);
    let told = cluster.change(2, add_learner(4));
    assert!(told.try_recv().is_err());

    cluster.heal();
    cluster.ticks(2);
    assert!(told.try_recv().unwrap().is_ok());
}

#[test]
fn a_wish_that_arrives_twice_is_begun_once() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    let told = cluster.submit_change(2, add_learner(4), None);
    let sent = cluster.node(2).replica.turn(Moment(0)).send;
    let (_, admin) = sent.into_iter().find(|(_, message)| is_admin(2, 1, message)).expect("it asks");

    for _ in 0..2 {
        cluster.handle(1, Event::Message { from: id(2), message: admin.clone() });
        cluster.settle();
    }

    assert!(told.try_recv().unwrap().is_ok(), "and not refused as done already");
}

#[test]
fn a_leader_that_is_deposed_tells_those_who_asked_it_that_it_does_not_know() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.lose(|from, _, message| from != 1 && super::body(message).is_some());
    let told = cluster.change(2, add_learner(4));
    let own = cluster.change(1, add_learner(4));
    assert!(matches!(own.try_recv(), Ok(Err(ChangeError::Refused(ChangeRefused::InProgress { .. })))));
    cluster.heal();
    cluster.lose(|from, to, message| super::is_append(message) && (from, to) != (1, 3));

    cluster.elect(3);
    assert_eq!(told.try_recv(), Ok(Err(ChangeError::Unknown)));
}

#[test]
fn a_change_that_the_next_leader_completes_is_answered_where_it_was_wished() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.lose(|_, to, message| to == 1 && super::body(message).is_some());
    let told = cluster.change(1, add_learner(4));
    assert!(told.try_recv().is_err());

    cluster.isolate(1);
    cluster.elect(2);
    cluster.heal();
    cluster.ticks(5);

    let receipt = told.try_recv().unwrap().unwrap();
    assert_eq!(receipt.membership.learners(), [id(4)]);
}

#[test]
fn a_change_that_another_leader_overwrote_is_superseded() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let told = cluster.change(1, add_learner(4));
    assert!(told.try_recv().is_err());

    cluster.elect(2);
    cluster.heal();
    cluster.ticks(5);

    assert_eq!(told.try_recv(), Ok(Err(ChangeError::Superseded)));
    assert!(cluster.status(1).membership.learners().is_empty());
}

#[test]
fn a_change_that_a_snapshot_covers_is_unknown() {
    let mut cluster = three_led_by_1_with(|config| {
        config.snapshot_entries = 10;
        config.trailing_entries = 0;
    });
    cluster.isolate(1);
    let told = cluster.change(1, add_learner(4));
    cluster.elect(2);
    (0..30).for_each(|nth| drop(cluster.propose(2, &nth.to_string())));

    cluster.heal();
    cluster.ticks(10);

    assert_eq!(told.try_recv(), Ok(Err(ChangeError::Unknown)));
    assert_eq!(cluster.journal(1), cluster.journal(2));
}

#[test]
fn a_removed_node_learns_it_and_disturbs_nobody() {
    let mut cluster = three_led_by_1_with(|config| {
        (config.raft.pre_vote, config.raft.check_quorum) = (true, true);
    });

    let receipt = cluster.change(1, remove(3)).try_recv().unwrap().unwrap();
    cluster.ticks(5);
    assert_eq!(receipt.membership.voters(), [id(1), id(2)]);
    assert!(cluster.status(3).removed && !cluster.status(1).removed);
    assert!(cluster.node(3).notices.contains(&Notice::Removed));

    let term = cluster.status(1).term;
    cluster.isolate(3);
    cluster.ticks(100);
    cluster.heal();
    cluster.ticks(100);
    assert_eq!(cluster.status(1).term, term);
    cluster.restart(3);
    cluster.ticks(100);
    assert!(cluster.status(3).removed, "it asks for votes and is told");
    assert_eq!(cluster.status(1).term, term);
}

#[test]
fn a_leader_that_removes_itself_answers_and_steps_down() {
    let mut cluster = three_nodes_led_by_1();

    let receipt = cluster.change(1, remove(1)).try_recv().unwrap().unwrap();
    assert_eq!(receipt.membership.voters(), [id(2), id(3)]);
    assert_ne!(cluster.status(1).role, RoleName::Leader);
    cluster.ticks(30);

    assert!(cluster.status(1).removed);
    let leader = cluster.status(2).leader.map(NodeId::get).expect("somebody leads");
    assert!(cluster.propose(leader, "goes on").is_done());
    cluster.ticks(60);
    assert!(!matches!(cluster.status(1).role, RoleName::Leader | RoleName::Candidate));
}

#[test]
fn a_leader_that_removes_itself_for_another_node_answers_that_one() {
    let mut cluster = three_nodes_led_by_1();

    let told = cluster.change(2, remove(1));
    cluster.ticks(5);

    assert_eq!(told.try_recv().unwrap().unwrap().membership.voters(), [id(2), id(3)]);
}

#[test]
fn a_node_is_replaced_in_one_change() {
    let mut cluster = three_nodes_led_by_1();
    assert!(cluster.propose(1, "a").is_done());
    cluster.join(4, 44);
    drop(cluster.change(1, add_learner(4)));
    cluster.ticks(5);

    let change = MembershipChange::Replace { old: id(3), new: id(4), address: "host:4".to_owned() };
    let receipt = cluster.change(1, change).try_recv().unwrap().unwrap();
    cluster.ticks(5);

    assert_eq!(receipt.membership.voters(), [id(1), id(2), id(4)]);
    assert_eq!(cluster.journal(4), "a");
    assert!(cluster.status(3).removed);
}

#[test]
fn a_group_shrinks_to_one_voter_and_not_below() {
    let mut cluster = three_nodes_led_by_1();
    assert!(cluster.change(1, remove(2)).try_recv().unwrap().is_ok());
    assert!(cluster.change(1, remove(3)).try_recv().unwrap().is_ok());
    assert_eq!(voters(&cluster, 1), [1]);
    assert!(cluster.propose(1, "alone").is_done());

    let refused = cluster.change(1, remove(1)).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert!(cluster.propose(1, "still").is_done());
}

#[test]
fn a_voter_that_is_demoted_learns_on() {
    let mut cluster = three_nodes_led_by_1();

    let receipt = cluster.change(1, MembershipChange::Demote { id: id(3) }).try_recv().unwrap().unwrap();
    cluster.ticks(3);

    assert_eq!(
        (receipt.membership.voters(), receipt.membership.learners()),
        (&[id(1), id(2)][..], &[id(3)][..])
    );
    assert_eq!(cluster.status(3).role, RoleName::Learner);
    assert!(!cluster.status(3).removed);
    assert!(cluster.propose(3, "a learner's caller").is_done());
}

#[test]
fn a_leader_that_demotes_itself_makes_room_for_another() {
    let mut cluster = three_nodes_led_by_1();

    let receipt = cluster.change(1, MembershipChange::Demote { id: id(1) }).try_recv().unwrap().unwrap();
    assert_eq!(receipt.membership.learners(), [id(1)]);
    cluster.ticks(30);

    let leader = cluster.status(2).leader.expect("the group is not leaderless");
    assert!(leader != id(1) && !cluster.status(1).removed);
    assert_eq!(cluster.status(1).role, RoleName::Learner);
    assert!(cluster.propose(1, "a learner's caller").is_done());
}

#[test]
fn a_wiped_node_comes_back_under_its_id_once_it_was_removed_and_added_again() {
    let mut cluster = three_nodes_led_by_1();
    (0..10).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.join(3, 333);
    cluster.ticks(30);
    assert_eq!(cluster.journal(3), "", "it is not heard under its former self's name");

    assert!(cluster.change(1, remove(3)).try_recv().unwrap().is_ok());
    assert!(cluster.change(1, add_learner(3)).try_recv().unwrap().is_ok());
    cluster.ticks(10);
    assert_eq!(cluster.journal(3), cluster.journal(1));
    assert!(cluster.change(1, promote(3)).try_recv().unwrap().is_ok());
    cluster.ticks(10);

    assert_eq!(voters(&cluster, 3), [1, 2, 3]);
    assert!(!cluster.status(3).removed);
    cluster.elect(3);
    assert!(cluster.propose(3, "with its own word again").is_done());
}

#[test]
fn a_leader_that_was_added_again_is_heard_by_a_node_that_knows_only_its_former_self() {
    let mut cluster = three_led_by_1_with(|config| {
        (config.raft.append_entries_max, config.raft.in_flight_messages_max) = (2, 1);
    });
    (0..10).for_each(|nth| drop(cluster.propose(1, &nth.to_string())));
    cluster.join(2, 222);
    assert!(cluster.change(1, remove(2)).try_recv().unwrap().is_ok());
    assert!(cluster.change(1, add_learner(2)).try_recv().unwrap().is_ok());
    cluster.ticks(10);
    assert!(cluster.change(1, promote(2)).try_recv().unwrap().is_ok());
    cluster.ticks(10);
    cluster.elect(2);

    cluster.join(4, 44);
    assert!(cluster.change(2, add_learner(4)).try_recv().unwrap().is_ok());
    cluster.ticks(30);

    assert_eq!(cluster.journal(4), cluster.journal(2));
}

/// Two of five lose their disks: a minority, but a majority of the founding list, by which they found a second group.
#[test]
fn founders_that_lost_their_disks_and_elect_each_other_overwrite_nothing() {
    let mut cluster = three_nodes_led_by_1();
    for joiner in [4, 5] {
        cluster.join(joiner, joiner * 11);
        assert!(cluster.change(1, add_learner(joiner)).try_recv().unwrap().is_ok());
        cluster.ticks(10);
        assert!(cluster.change(1, promote(joiner)).try_recv().unwrap().is_ok());
        cluster.ticks(10);
    }
    assert!(cluster.propose(1, "a").is_done());
    let (known, term) = (cluster.node(3).log.entries(), cluster.status(3).term);

    cluster.wipe(1);
    cluster.wipe(2);
    cluster.restart(3);
    cluster.connect_all();
    cluster.lose(|from, to, _| [from, to].iter().any(|node| [4, 5].contains(node)));
    cluster.handle(1, Event::Message { from: id(2), message: of_term(term.0 + 8) });
    cluster.elect(1);
    drop(cluster.propose(1, "of the second group"));
    (0..4).for_each(|_| cluster.heartbeat(1));

    assert_eq!((cluster.status(3).leader, cluster.node(3).log.entries()), (None, known));
    cluster.heal();
    cluster.elect(3);
    assert_eq!(cluster.journal(4), "a");
    assert!(cluster.propose(5, "b").is_done());
}

/// What lets a node know that a later term began.
fn of_term(term: u64) -> PeerMessage {
    let message = Message { term: Term(term), body: Body::VoteAnswer { granted: false } };
    PeerMessage::Raft { message, entries: Vec::new() }
}

#[test]
fn a_node_that_replays_a_log_in_which_its_former_self_stands_answers_appends_and_gives_no_vote() {
    let mut cluster = three_nodes_led_by_1();
    assert!(cluster.propose(1, "a").is_done());
    let (known, term) = (cluster.node(1).log.entries(), cluster.status(1).term);
    cluster.join(3, 333);
    cluster.lose(|from, to, _| [from, to].contains(&3));

    cluster.send_log(3, &known, term);
    assert_eq!(cluster.status(3).last_index, LogIndex(known.len() as u64));
    assert_eq!(cluster.status(3).membership.member(id(3)).unwrap().incarnation, Some(Incarnation(3)));
    cluster.ticks(100);
    assert_eq!(cluster.status(3).term, term, "it does not campaign");

    let candidate = LogPosition::new(Term(term.0 + 8), LogIndex(99));
    let vote = Message { term: Term(term.0 + 9), body: Body::Vote { last: candidate, transfer: true } };
    let message = PeerMessage::Raft { message: vote, entries: Vec::new() };
    cluster.handle(3, Event::Message { from: id(2), message });
    let jobs = cluster.node(3).replica.turn(Moment(0));
    let sent = jobs.send.iter().chain(jobs.write.iter().flat_map(|write| &write.send_when_durable));
    let granted =
        |message: &PeerMessage| matches!(super::body(message), Some(Body::VoteAnswer { granted: true }));
    assert!(!sent.map(|(_, message)| message).any(granted));
}

#[test]
fn learners_that_have_caught_up_become_voters_by_themselves_if_that_is_wanted() {
    let mut cluster = three_led_by_1_with(|config| config.auto_promote = true);
    cluster.join(4, 44);
    cluster.join(5, 55);
    drop(cluster.change(1, add_learner(4)));
    drop(cluster.change(1, add_learner(5)));

    cluster.ticks(20);

    assert_eq!(voters(&cluster, 1), [1, 2, 3, 4, 5]);
}

#[test]
fn a_learner_that_does_not_answer_is_not_promoted() {
    let mut cluster = three_led_by_1_with(|config| config.auto_promote = true);
    assert!(cluster.change(1, add_learner(4)).try_recv().unwrap().is_ok());

    cluster.ticks(50);

    assert_eq!(cluster.status(1).membership.learners(), [id(4)]);
    assert!(cluster.propose(1, "goes on").is_done());
}

#[test]
fn a_change_waits_for_what_the_leader_notes_by_itself() {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster.ticks(2);
    for number in [2, 3] {
        let incarnation = Incarnation(number);
        cluster.handle(1, Event::PeerConnected { peer: id(number), incarnation });
        cluster.turn(1);
    }

    let told = cluster.change(1, add_learner(4));

    assert!(told.try_recv().unwrap().is_ok(), "it is not refused for a change that nobody wished");
}

#[test]
fn too_many_wishes_are_refused_by_name() {
    let mut cluster = three_nodes();
    cluster.isolate(1);
    let told: Vec<_> = (0..70).map(|nth| cluster.submit_change(1, add_learner(10 + nth), None)).collect();

    let busy = told.iter().filter(|told| told.try_recv() == Ok(Err(ChangeError::Busy))).count();
    assert_eq!(busy, 6);
}

#[test]
fn a_node_that_stops_answers_its_operators() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.lose(is_admin_answer);
    let asked = cluster.change(2, add_learner(4));
    cluster.isolate(1);
    let begun = cluster.change(1, remove(3));
    cluster.stop(1, &StopCause::Shutdown);
    cluster.stop(2, &StopCause::Shutdown);

    let stopped = ChangeError::Stopped { cause: StopCause::Shutdown, outcome: Outcome::Unknown };
    assert_eq!(asked.try_recv(), Ok(Err(stopped.clone())));
    assert_eq!(begun.try_recv(), Ok(Err(stopped)));
}

#[test]
fn a_change_that_takes_too_long_for_its_asker_is_unknown_and_goes_on() {
    let mut cluster = three_nodes_led_by_1();
    cluster.join(4, 44);
    cluster.lose(|_, to, message| to == 1 && super::body(message).is_some());
    let told = cluster.change(1, add_learner(4));

    cluster.tick(1, PATIENCE as u32);
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!((&error, error.outcome()), (&ChangeError::Unknown, Outcome::Unknown));

    cluster.heal();
    cluster.elect(2);
    cluster.ticks(3);
    assert_eq!(cluster.status(1).membership.learners(), [id(4)]);
}

#[test]
fn a_node_that_is_asked_for_too_much_at_once_says_that_it_does_not_know() {
    let mut cluster = three_nodes();
    for request in 1..=65 {
        let task = AdminTask::Change { change: add_learner(4), expected: None };
        let message = PeerMessage::Admin(Admin { request, task });
        cluster.handle(1, Event::Message { from: id(2), message });
    }

    let sent = cluster.node(1).replica.turn(Moment(0)).send;
    let unknown = sent.iter().filter_map(|(to, message)| match message {
        PeerMessage::AdminAnswer(AdminAnswer::Unknown { request }) => Some((*to, *request)),
        _ => None,
    });
    assert_eq!(unknown.collect::<Vec<_>>(), [(id(2), 65)]);
}
