//! Commands of callers, from the proposal to the one answer that is true.

use bytes::Bytes;

use super::cluster::{PATIENCE, instant};
use super::{Cluster, five_nodes, id, is_append, one_node, three_nodes, three_nodes_with};
use crate::consensus::RoleName;
use crate::replica::{Event, Proposal};
use crate::ticket::{Outcome, Permit, ProposeError, ReadError, Reply, StopCause, Ticket};
use crate::types::{Moment, Payload};

fn three_nodes_led_by_1() -> Cluster {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster
}

#[test]
fn a_command_is_answered_by_the_state_machine_of_the_leader() {
    let mut cluster = three_nodes_led_by_1();

    let (a, b) = (cluster.propose(1, "a"), cluster.propose(1, "b"));

    assert_eq!(a.try_wait().unwrap(), Ok("1: a".to_owned()));
    assert_eq!(b.try_wait().unwrap(), Ok("2: b".to_owned()));
    cluster.heartbeat(1);
    assert!([1, 2, 3].into_iter().all(|number| cluster.journal(number) == "a, b"));
}

#[test]
fn one_node_alone_is_a_cluster() {
    let mut cluster = one_node();
    cluster.elect(1);

    assert_eq!(cluster.propose(1, "a").try_wait().unwrap(), Ok("1: a".to_owned()));
    assert_eq!(cluster.read(1).try_wait().unwrap(), Ok("a".to_owned()));
    cluster.restart(1);
    cluster.elect(1);
    assert_eq!(cluster.read(1).try_wait().unwrap(), Ok("a".to_owned()));
}

#[test]
fn the_commands_of_one_turn_share_one_write() {
    let mut cluster = three_nodes_led_by_1();
    let before = cluster.node(1).log.writes();

    let answers: Vec<_> = (0..100).map(|nth| cluster.submit(1, &nth.to_string())).collect();
    cluster.settle();

    for (nth, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.try_wait().unwrap(), Ok(format!("{}: {nth}", nth + 1)));
    }
    assert_eq!(cluster.node(1).log.writes(), before + 1);
}

#[test]
fn without_a_leader_a_command_waits_for_one() {
    let mut cluster = three_nodes();

    let (at_1, at_2) = (cluster.propose(1, "a"), cluster.propose(2, "b"));
    assert!(!at_1.is_done() && !at_2.is_done());
    cluster.elect(1);

    assert!(at_1.try_wait().unwrap().is_ok());
    assert!(at_2.try_wait().unwrap().is_ok());
}

#[test]
fn without_a_leader_until_the_deadline_nothing_was_applied() {
    let mut cluster = three_nodes();
    cluster.isolate(3);

    let lonely = cluster.propose(3, "a");
    cluster.tick(3, PATIENCE as u32);

    assert_eq!(lonely.try_wait().unwrap(), Err(ProposeError::NoLeader));
}

#[test]
fn a_command_that_another_leader_overwrote_is_superseded_and_never_ok() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let mine = cluster.propose(1, "mine");
    let place = cluster.status(1).last_index;

    cluster.elect(2);
    drop(cluster.propose(2, "theirs"));
    assert!(!mine.is_done(), "the old leader cannot know yet");
    cluster.heal();
    cluster.heartbeat(2);

    assert!(cluster.status(1).commit >= place, "another entry stands at its index");
    let error = mine.try_wait().unwrap().unwrap_err();
    assert_eq!((&error, error.outcome()), (&ProposeError::Superseded, Outcome::NotApplied));
    assert_eq!(cluster.journal(1), "theirs");
}

/// As in figure 8 of the paper: what a truncation drops, a later leader may bring back.
#[test]
fn a_truncated_command_that_comes_back_is_answered() {
    let mut cluster = five_nodes();
    cluster.elect(1);
    for other in [3, 4, 5] {
        cluster.cut(1, other);
    }
    let mine = cluster.propose(1, "mine");
    let place = cluster.status(1).last_index;

    // Node 3, elected by 4 and 5, replaces the command at node 1; nobody else hears of it.
    cluster.heal();
    cluster.isolate(2);
    cluster.lose(|from, to, message| from == 3 && to > 3 && is_append(message));
    cluster.elect(3);
    cluster.heartbeat(3);
    let replaced = cluster.node(1).log.entries().pop().expect("a log is never empty");
    assert_eq!((replaced.position.index, replaced.payload), (place, Payload::Noop));
    assert!(!mine.is_done(), "a truncation proves nothing");

    // Node 2 still holds the command, wins with 4 and 5, and gives it back to node 1.
    cluster.heal();
    cluster.isolate(3);
    cluster.isolate(1);
    cluster.elect(2);
    cluster.heal();
    cluster.isolate(3);
    (0..3).for_each(|_| cluster.heartbeat(2));

    assert_eq!(mine.try_wait().unwrap(), Ok("1: mine".to_owned()));
}

#[test]
fn a_command_whose_deadline_passed_is_never_appended() {
    let mut cluster = three_nodes_led_by_1();
    let last = cluster.status(1).last_index;
    let (reply, late) = Reply::pair(Permit::free(), instant(), |_| Ok(()));
    let command = Bytes::from_static(b"late");

    cluster.handle(1, Event::Propose(Proposal { command, reply, deadline: Moment(0) }));
    cluster.settle();

    assert_eq!(late.try_wait().unwrap(), Err(ProposeError::DeadlinePassed));
    assert_eq!(cluster.status(1).last_index, last);
}

#[test]
fn a_command_that_its_caller_took_back_is_never_appended() {
    let mut cluster = three_nodes_led_by_1();
    let last = cluster.status(1).last_index;
    let (reply, impatient) = Reply::pair(Permit::free(), instant(), |_| Ok(()));
    let command = Bytes::from_static(b"too slow");
    cluster.handle(1, Event::Propose(Proposal { command, reply, deadline: Moment(PATIENCE) }));

    assert_eq!(impatient.wait(), Err(ProposeError::DeadlinePassed));
    cluster.settle();

    assert_eq!(cluster.status(1).last_index, last);
}

#[test]
fn a_command_that_was_appended_may_be_applied_after_its_deadline() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let late = cluster.propose(1, "late");

    cluster.tick(1, PATIENCE as u32);
    let error = late.try_wait().unwrap().unwrap_err();
    assert_eq!((&error, error.outcome()), (&ProposeError::Unknown, Outcome::Unknown));

    cluster.heal();
    cluster.heartbeat(1);
    cluster.heartbeat(1);
    assert_eq!(cluster.journal(1), "late", "unknown was the truth");
}

#[test]
fn what_is_too_large_or_too_much_is_refused_before_it_is_appended() {
    let mut cluster = three_nodes_with(|config| {
        config.command_bytes_max = 4;
        config.proposals_max = 2;
    });
    cluster.elect(1);
    cluster.isolate(1);

    let too_large = cluster.propose(1, "large");
    let (first, second) = (cluster.propose(1, "a"), cluster.propose(1, "b"));
    let too_much = cluster.propose(1, "c");

    assert_eq!(too_large.try_wait().unwrap(), Err(ProposeError::TooLarge { bytes: 5, limit: 4 }));
    assert_eq!(too_much.try_wait().unwrap(), Err(ProposeError::Busy));
    cluster.heal();
    cluster.heartbeat(1);
    cluster.heartbeat(1);
    assert!(first.try_wait().unwrap().is_ok() && second.try_wait().unwrap().is_ok());
    assert!(cluster.propose(1, "c").try_wait().unwrap().is_ok(), "there is room again");
}

#[test]
fn entries_that_nobody_waits_for_any_more_still_take_their_room() {
    let mut cluster = three_nodes_with(|config| config.proposals_max = 3);
    cluster.elect(1);
    cluster.isolate(1);
    let forgotten = ["a", "b", "c"].map(|command| cluster.propose(1, command));
    cluster.tick(1, PATIENCE as u32);
    assert!(forgotten.iter().all(Ticket::is_done));

    assert_eq!(cluster.propose(1, "d").try_wait().unwrap(), Err(ProposeError::Busy));
}

#[test]
fn a_node_that_stops_answers_everybody() {
    let mut cluster = three_nodes_led_by_1();
    cluster.isolate(1);
    let appended = cluster.propose(1, "appended");
    let (queued, read) = (cluster.submit(1, "queued"), cluster.read(1));

    cluster.stop(1, &StopCause::Storage("the disk is gone".into()));

    let cause = StopCause::Storage("the disk is gone".into());
    let stopped = |outcome| ProposeError::Stopped { cause: cause.clone(), outcome };
    assert_eq!(appended.try_wait().unwrap(), Err(stopped(Outcome::Unknown)));
    assert!(matches!(queued.try_wait().unwrap(), Err(ProposeError::Stopped { .. })));
    assert!(matches!(read.try_wait().unwrap(), Err(ReadError::Stopped { .. })));
}

#[test]
fn a_deposed_leader_hands_later_commands_to_the_new_one() {
    let mut cluster = three_nodes_led_by_1();
    cluster.elect(2);

    assert_eq!(cluster.status(1).role, RoleName::Follower);
    assert_eq!(cluster.status(1).leader, Some(id(2)));
    assert_eq!(cluster.propose(1, "a").try_wait().unwrap(), Ok("1: a".to_owned()));
}

#[test]
fn a_turn_without_anything_to_do_asks_for_nothing() {
    let mut cluster = three_nodes_led_by_1();
    let writes = cluster.node(2).log.writes();

    assert!(cluster.node(1).replica.turn(Moment(0)).is_empty());
    assert!(cluster.node(2).replica.turn(Moment(0)).is_empty());
    assert_eq!(cluster.node(2).log.writes(), writes);
}
