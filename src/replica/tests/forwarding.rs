//! Commands that a follower hands to its leader.

use bytes::Bytes;

use super::cluster::PATIENCE;
use super::{Cluster, id, is_append, three_nodes, three_nodes_with};
use crate::replica::Event;
use crate::ticket::{Outcome, ProposeError};
use crate::types::{
    Body, Boot, Forward, ForwardAnswer, Forwarded, Incarnation, Message, Moment, Origin, PeerMessage,
    Refusal, Term,
};

fn three_nodes_led_by_1() -> Cluster {
    let mut cluster = three_nodes();
    cluster.elect(1);
    cluster
}

fn is_forward(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::Forward(_))
}

fn is_forward_answer(_: u64, _: u64, message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::ForwardAnswer(_))
}

/// What node 1 answers to a forward that it gets from node 2.
fn answer_of_1(cluster: &mut Cluster, forward: Forward) -> ForwardAnswer {
    cluster.handle(1, Event::Message { from: id(2), message: PeerMessage::Forward(forward) });
    let jobs = cluster.node(1).replica.turn(Moment(0));
    let answers = jobs.send.into_iter().filter_map(|(to, message)| match message {
        PeerMessage::ForwardAnswer(answer) if to == id(2) => Some(answer),
        _ => None,
    });
    answers.last().expect("an answer for node 2")
}

/// A vote of a term so high that whoever gets it steps down.
fn higher_term(term: Term) -> PeerMessage {
    let body = Body::VoteAnswer { granted: false };
    PeerMessage::Raft { message: Message { term: Term(term.0 + 1), body }, entries: Vec::new() }
}

fn forward_from(node: u64, term: Term, commands: &[&'static str]) -> Forward {
    let commands = commands.iter().zip(7..).map(|(command, request)| Forwarded {
        origin: Origin { node: id(node), incarnation: Incarnation(node), boot: Boot(1), request },
        command: Bytes::from_static(command.as_bytes()),
    });
    Forward { term, commands: commands.collect() }
}

/// The same commands as later requests.
fn as_requests_from(first: u64, mut forward: Forward) -> Forward {
    forward.commands.iter_mut().zip(first..).for_each(|(command, request)| command.origin.request = request);
    forward
}

#[test]
fn a_follower_answers_after_its_own_apply() {
    let mut cluster = three_nodes_led_by_1();

    let (a, b) = (cluster.submit(2, "a"), cluster.submit(2, "b"));
    cluster.settle();
    cluster.heartbeat(1);

    assert_eq!(a.try_wait().unwrap(), Ok("1: a".to_owned()));
    assert_eq!(b.try_wait().unwrap(), Ok("2: b".to_owned()));
    assert_eq!(cluster.journal(2), "a, b");
}

#[test]
fn the_commands_of_one_turn_travel_in_one_message_unless_it_were_too_large() {
    let mut cluster = three_nodes_led_by_1();
    let messages_for = |cluster: &mut Cluster, commands: [&str; 3]| {
        let answers = commands.map(|command| cluster.submit(2, command));
        let sent = cluster.node(2).replica.turn(Moment(0)).send;
        drop(answers);
        sent.iter().filter(|(_, message)| is_forward(2, 1, message)).count()
    };

    assert_eq!(messages_for(&mut cluster, ["a", "b", "c"]), 1);
    let large = "x".repeat(600_000);
    assert_eq!(messages_for(&mut cluster, [&large, &large, "c"]), 2);
}

#[test]
fn without_forwarding_a_follower_names_the_leader() {
    let mut cluster = three_nodes_with(|config| config.forwarding = false);
    cluster.elect(1);

    let refused = cluster.propose(2, "a");

    let leader = Some((id(1), "host:1".to_owned()));
    assert_eq!(refused.try_wait().unwrap(), Err(ProposeError::NotLeader { leader }));
}

#[test]
fn the_answer_of_the_leader_is_not_needed() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(is_forward_answer);

    let answer = cluster.propose(2, "a");
    cluster.heartbeat(1);

    assert_eq!(answer.try_wait().unwrap(), Ok("1: a".to_owned()));
}

#[test]
fn a_forward_for_another_term_is_refused() {
    let mut cluster = three_nodes_led_by_1();
    let term = cluster.status(1).term;
    let last = cluster.status(1).last_index;

    for (request, other) in [(7, Term(term.0 - 1)), (8, Term(term.0 + 1))] {
        let forward = as_requests_from(request, forward_from(2, other, &["a"]));
        let answer = answer_of_1(&mut cluster, forward);
        assert_eq!(answer, ForwardAnswer { requests: vec![request], outcome: Err(Refusal::NotLeader) });
    }
    assert_eq!(cluster.status(1).last_index, last);
}

#[test]
fn a_forward_with_a_command_that_does_not_decode_is_refused_whole() {
    let mut cluster = three_nodes_led_by_1();
    let (term, last) = (cluster.status(1).term, cluster.status(1).last_index);

    let answer = answer_of_1(&mut cluster, forward_from(2, term, &["a", "malformed"]));

    assert_eq!(answer, ForwardAnswer { requests: vec![7, 8], outcome: Err(Refusal::Malformed) });
    assert_eq!(cluster.status(1).last_index, last);
}

#[test]
fn nobody_forwards_in_the_name_of_another_node() {
    let mut cluster = three_nodes_led_by_1();
    let term = cluster.status(1).term;

    let answer = answer_of_1(&mut cluster, forward_from(3, term, &["a"]));

    assert_eq!(answer.outcome, Err(Refusal::Malformed));
}

#[test]
fn the_caller_hears_why_the_leader_refused() {
    let mut cluster = three_nodes_led_by_1();

    let malformed = cluster.propose(2, "malformed");

    assert_eq!(malformed.try_wait().unwrap(), Err(ProposeError::Malformed));
}

#[test]
fn a_refusal_counts_only_from_the_node_that_was_asked() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(is_forward);
    let waiting = cluster.propose(2, "a");
    let requests = (0..1 << 12).chain((2 << 31)..(2 << 31) + 8).collect();
    let answer = ForwardAnswer { requests, outcome: Err(Refusal::NotLeader) };

    let message = PeerMessage::ForwardAnswer(answer);
    cluster.handle(2, Event::Message { from: id(3), message: message.clone() });
    assert!(!waiting.is_done());

    cluster.handle(2, Event::Message { from: id(1), message });
    assert_eq!(waiting.try_wait().unwrap(), Err(ProposeError::NotLeader { leader: None }));
}

#[test]
fn what_was_never_written_waits_in_its_order_for_the_next_leader() {
    let mut cluster = three_nodes_led_by_1();
    cluster.disconnect(2, 1);
    let answers = ["a", "b", "c"].map(|command| cluster.propose(2, command));
    cluster.tick(2, 1);
    let late = cluster.propose(2, "d");
    assert!(answers.iter().all(|answer| !answer.is_done()), "nothing went anywhere");

    cluster.elect(3);
    cluster.tick(2, 1);
    cluster.heartbeat(3);

    assert_eq!(answers.map(|answer| answer.try_wait().unwrap().unwrap()), ["1: a", "2: b", "3: c"]);
    assert_eq!(late.try_wait().unwrap(), Ok("4: d".to_owned()));
    assert_eq!(cluster.journal(2), "a, b, c, d");
}

/// The first command that node 2 ever forwarded, as it comes back to it.
fn comes_back(command: &'static str, term: Term) -> Event {
    let mut forward = as_requests_from((2 << 32) >> 1, forward_from(2, term, &[command]));
    forward.commands[0].origin.boot = Boot(2 << 32);
    Event::Undelivered { to: id(1), message: PeerMessage::Forward(forward) }
}

#[test]
fn what_was_never_written_does_not_take_effect_after_a_later_command_that_was() {
    let mut cluster = three_nodes_led_by_1();
    let first = cluster.submit(2, "a");
    cluster.turn(2);
    let second = cluster.submit(2, "b");
    cluster.turn(2);

    cluster.disconnect(2, 1);
    cluster.deliver_nth(0);
    cluster.heal();
    cluster.settle();
    cluster.tick(2, 1);

    assert_eq!(second.try_wait().unwrap(), Ok("1: b".to_owned()));
    assert_eq!(first.try_wait().unwrap().unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(cluster.journal(1), "b");
}

#[test]
fn what_comes_back_after_a_command_that_is_late_still_stands_before_what_came_meanwhile() {
    let mut cluster = three_nodes_led_by_1();
    let late = cluster.submit_within(2, 2, "late");
    cluster.turn(2);
    let earlier = cluster.submit(2, "a");
    cluster.turn(2);
    cluster.disconnect(2, 1);
    cluster.deliver_nth(0);
    let term = cluster.status(2).term;
    cluster.handle(2, Event::Message { from: id(3), message: higher_term(term) });
    let later = cluster.submit(2, "b");
    cluster.pass_time(2, 2);
    assert!(late.is_done());

    cluster.settle();
    cluster.elect(3);
    cluster.tick(2, 1);
    cluster.heartbeat(3);

    assert!(earlier.is_done() && later.is_done());
    assert_eq!(cluster.journal(3), "a, b");
}

#[test]
fn what_comes_back_to_a_node_that_leads_does_not_follow_what_it_has_appended() {
    let mut cluster = three_nodes_led_by_1();
    let term = cluster.status(2).term;
    cluster.lose(|from, _, message| {
        from == 2 && (is_append(message) || matches!(message, PeerMessage::Forward(_)))
    });
    let earlier = cluster.propose(2, "a");
    cluster.elect(2);
    let later = cluster.propose(2, "b");

    cluster.handle(2, comes_back("a", term));
    cluster.settle();
    cluster.tick(2, 1);
    cluster.heal();
    (0..4).for_each(|_| cluster.heartbeat(2));

    assert_eq!(cluster.journal(2), "b");
    assert_eq!(earlier.try_wait().unwrap().unwrap_err().outcome(), Outcome::NotApplied);
    assert!(later.try_wait().unwrap().is_ok());
}

#[test]
fn what_was_never_written_can_be_taken_back_at_its_deadline() {
    let mut cluster = three_nodes_led_by_1();
    cluster.disconnect(2, 1);

    let waiting = cluster.propose(2, "a");
    let error = waiting.wait_until(crate::replica::tests::instant()).unwrap_err().wait().unwrap_err();

    assert_eq!((&error, error.outcome()), (&ProposeError::DeadlinePassed, Outcome::NotApplied));
}

#[test]
fn a_lost_forward_is_superseded_by_the_next_term() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(is_forward);
    let lost = cluster.propose(2, "a");
    cluster.heartbeat(1);
    assert!(!lost.is_done(), "it may be on its way yet");

    cluster.elect(3);
    cluster.heartbeat(3);

    assert_eq!(lost.try_wait().unwrap(), Err(ProposeError::Superseded));
}

#[test]
fn a_lost_forward_within_one_term_is_unknown_at_its_deadline() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(is_forward);
    let lost = cluster.propose(2, "a");

    cluster.tick(2, PATIENCE as u32);

    assert_eq!(lost.try_wait().unwrap(), Err(ProposeError::Unknown));
}

#[test]
fn a_forward_survives_the_leader_that_appended_it() {
    let mut cluster = three_nodes_led_by_1();
    cluster.lose(|from, to, _| from == 1 && to == 2);
    let forwarded = cluster.propose(2, "a");
    assert!(!forwarded.is_done(), "the leader's commit has not come");

    cluster.heal();
    cluster.isolate(1);
    cluster.elect(3);
    cluster.heartbeat(3);

    assert_eq!(forwarded.try_wait().unwrap(), Ok("1: a".to_owned()));
}

#[test]
fn a_restarted_origin_does_not_answer_for_its_past() {
    let mut cluster = three_nodes_led_by_1();
    let answer = cluster.propose(2, "a");
    cluster.heartbeat(1);
    assert!(answer.is_done());

    cluster.restart(2);
    cluster.lose(is_forward);
    cluster.heartbeat(1);
    let new = cluster.propose(2, "b");
    cluster.heartbeat(1);

    assert_eq!(cluster.journal(2), "a", "the entry of the past is applied again");
    assert!(!new.is_done());
}

#[test]
fn a_flood_of_forwards_is_refused_and_not_kept() {
    let mut cluster = three_nodes_with(|config| config.proposals_max = 10);
    cluster.elect(1);
    cluster.isolate(1);
    let term = cluster.status(1).term;

    let forwards = (0..20).map(|nth| as_requests_from(2 * nth, forward_from(2, term, &["a", "b"])));
    let outcomes: Vec<_> = forwards.map(|forward| answer_of_1(&mut cluster, forward).outcome).collect();

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert!(outcomes[5..].iter().all(|outcome| *outcome == Err(Refusal::Busy)));
}

#[test]
fn a_forward_that_arrives_twice_is_appended_once() {
    let mut cluster = three_nodes_led_by_1();
    let term = cluster.status(1).term;

    for _ in 0..2 {
        let message = PeerMessage::Forward(forward_from(2, term, &["a"]));
        cluster.handle(1, Event::Message { from: id(2), message });
        cluster.settle();
    }

    assert_eq!(cluster.journal(1), "a");
}

#[test]
fn a_forward_that_arrives_again_after_its_term_does_not_refuse_what_was_appended() {
    let mut cluster = three_nodes_led_by_1();
    let term = cluster.status(1).term;
    cluster.lose(|from, to, _| from == 1 && to == 2);
    let forwarded = cluster.propose(2, "a");
    assert_eq!(cluster.journal(1), "a", "committed by nodes 1 and 3");
    cluster.heal();
    cluster.handle(1, Event::Message { from: id(3), message: higher_term(term) });

    let request = (2 << 32) >> 1;
    let mut again = forward_from(2, term, &["a"]);
    again.commands[0].origin = Origin { boot: Boot(2 << 32), request, ..again.commands[0].origin };
    cluster.handle(1, Event::Message { from: id(2), message: PeerMessage::Forward(again) });
    cluster.settle();

    if forwarded.is_done() {
        let outcome = forwarded.try_wait().unwrap().unwrap_err().outcome();
        assert_eq!(outcome, Outcome::Unknown, "it is committed");
    }
}
