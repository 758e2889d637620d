//! What callers are told, when, and what they may conclude.

use std::time::Duration;

use super::scene::{Scene, address, answered, cluster, response};
use crate::client::routing::{Ask, Failure, Verdict};
use crate::types::{ClientAnswer, ClientCall, ClientRefused, ClientRequest};

const SECOND: Duration = Duration::from_secs(1);

fn failed(failure: Failure) -> Verdict {
    Verdict::Failed(failure)
}

#[test]
fn a_command_goes_to_the_leader_and_its_caller_gets_its_answer() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.propose("set");

    let (tag, id) = scene.only_command(leader);
    scene.reply(leader, id, response("was 1"));

    assert_eq!((tag.sequence, tag.answered_below), (1, 1));
    assert_eq!(scene.told[&call], answered("was 1"));
}

#[test]
fn answers_find_their_callers_in_whatever_order_they_come() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let [a, b] = ["a", "b"].map(|command| scene.propose(command));
    let ids: Vec<_> = scene.sent_to(leader).iter().map(|request| request.id).collect();

    scene.reply(leader, ids[1], response("b"));
    scene.reply(leader, ids[0], response("a"));

    assert_eq!((&scene.told[&a], &scene.told[&b]), (&answered("a"), &answered("b")));
}

#[test]
fn what_was_sent_on_a_lost_connection_is_sent_again_as_the_same_command() {
    let (mut scene, [leader, other, _]) = Scene::in_session();
    let call = scene.propose("set");
    let (tag, _) = scene.only_command(leader);

    scene.lose(leader);
    scene.tell(other, cluster(Some(2)));
    let (again, id) = scene.only_command(other);
    scene.reply(other, id, response("done"));

    assert_eq!(again, tag);
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn what_is_sent_again_keeps_its_order_and_goes_before_what_was_never_sent() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    for command in ["a", "b", "c"] {
        scene.propose(command);
    }
    scene.has_room(leader, 0);
    scene.propose("d");
    scene.sent();

    scene.has_room(third, 0);
    scene.lose(leader);

    let numbers: Vec<_> = scene.sent_to(other).iter().map(number_of).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

fn number_of(request: &ClientRequest) -> u64 {
    match &request.call {
        ClientCall::Propose { session: Some(tag), .. } => tag.sequence,
        other => panic!("no command, but {other:?}"),
    }
}

#[test]
fn a_command_that_left_and_was_never_answered_is_unknown_at_its_deadline() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.propose("set");
    scene.only_command(leader);

    scene.pass(9 * SECOND);
    assert!(!scene.told.contains_key(&call));
    scene.pass(SECOND);

    assert_eq!(scene.told[&call], failed(Failure::Unknown));
}

#[test]
fn a_command_that_never_left_whole_is_not_applied() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    let (_, id) = scene.only_command(leader);
    for link in [other, third] {
        scene.lose(link);
    }

    // The requests before it were written, and of this one not all.
    scene.lose_after(leader, id);
    for _ in 0..20 {
        scene.refuse_dials();
        scene.pass(SECOND);
    }

    let Verdict::Failed(Failure::Unreachable(why)) = &scene.told[&call] else {
        panic!("{:?}", scene.told[&call])
    };
    for id in 1..=3 {
        assert!(why.contains(&format!("{}: connection refused", address(id))), "{why}");
    }
}

#[test]
fn a_command_that_left_once_stays_unknown_however_surely_it_is_refused_afterwards() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    scene.lose(leader);

    for _ in 0..200 {
        for link in [other, third] {
            for request in scene.sent_to(link) {
                scene.reply(link, request.id, Err(ClientRefused::NoLeader));
            }
        }
        scene.pass(SECOND / 10);
        scene.refuse_dials();
    }

    assert_eq!(scene.told[&call], failed(Failure::Unknown));
}

#[test]
fn a_command_that_is_refused_each_time_is_not_applied_and_the_reason_has_a_name() {
    for (refused, failure) in [
        (ClientRefused::NoLeader, Failure::NoLeader),
        (ClientRefused::NotLeader { leader: None }, Failure::NoLeader),
        (ClientRefused::Busy, Failure::Busy),
        (ClientRefused::SessionFull, Failure::Busy),
        (ClientRefused::DiskFull, Failure::DiskFull),
        (ClientRefused::Superseded, Failure::DeadlinePassed),
        (ClientRefused::DeadlinePassed, Failure::DeadlinePassed),
        (ClientRefused::Stopped, Failure::DeadlinePassed),
    ] {
        let (mut scene, links) = Scene::in_session();
        let call = scene.propose("set");
        let mut attempts = 0;
        for _ in 0..1000 {
            for link in links {
                for request in scene.sent_to(link) {
                    attempts += 1;
                    scene.reply(link, request.id, Err(refused.clone()));
                }
            }
            scene.pass(SECOND / 100);
        }
        scene.pass(SECOND);

        assert_eq!(scene.told[&call], failed(failure), "{refused:?}");
        assert!((10..100).contains(&attempts), "{refused:?} {attempts} times");
    }
}

#[test]
fn an_attempt_of_which_the_node_knows_nothing_is_repeated_elsewhere() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    let (tag, id) = scene.only_command(leader);

    scene.reply(leader, id, Err(ClientRefused::Unknown));
    let sent = scene.sent();

    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    assert!([other, third].contains(link), "not where it failed");
    assert_eq!(number_of(request), tag.sequence);
    scene.reply(*link, request.id, response("done"));
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn what_no_node_would_take_is_told_at_once() {
    for (refused, failure) in [
        (ClientRefused::Malformed, Failure::Malformed),
        (ClientRefused::TooLarge { bytes: 7, limit: 5 }, Failure::TooLarge { bytes: 7, limit: 5 }),
        (ClientRefused::AnswerForgotten, Failure::AnswerForgotten),
    ] {
        let (mut scene, [leader, ..]) = Scene::in_session();
        let call = scene.propose("set");
        let (_, id) = scene.only_command(leader);

        scene.reply(leader, id, Err(refused));

        assert_eq!(scene.told[&call], failed(failure));
    }
}

#[test]
fn what_one_node_does_not_understand_another_may_have_taken() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    scene.lose(leader);

    for link in [other, third] {
        for request in scene.sent_to(link) {
            scene.reply(link, request.id, Err(ClientRefused::Malformed));
        }
    }
    assert!(!scene.told.contains_key(&call), "it may have been applied where it was asked first");
    scene.pass(10 * SECOND);

    assert_eq!(scene.told[&call], failed(Failure::Unknown));
}

#[test]
fn a_command_larger_than_the_node_takes_is_refused_before_it_leaves() {
    let (mut scene, links) = Scene::in_session();
    let call = scene.ask(Ask::Propose(vec![0; 10_000].into()));

    assert!(matches!(scene.told[&call], Verdict::Failed(Failure::TooLarge { bytes: 10_000, .. })));
    assert!(links.iter().all(|link| scene.sent_to(*link).is_empty()));
}

#[test]
fn a_call_that_its_caller_took_back_is_never_sent() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    for link in [leader, other, third] {
        scene.has_room(link, 0);
    }
    let [unwanted, wanted] = ["a", "b"].map(|command| scene.propose(command));
    scene.take_back(unwanted);

    scene.has_room(leader, 1000);
    scene.turn();

    let (tag, _) = scene.only_command(leader);
    assert_eq!((tag.sequence, tag.answered_below), (1, 1), "it never had a number");
    assert!(!scene.told.contains_key(&unwanted) && !scene.told.contains_key(&wanted));
}

#[test]
fn a_call_that_may_have_been_taken_cannot_be_taken_back_and_one_that_was_refused_can() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    let (_, id) = scene.only_command(leader);
    for link in [other, third] {
        scene.has_room(link, 0);
    }
    scene.reply(leader, id, Err(ClientRefused::Busy));

    scene.take_back(call);
    scene.pass(SECOND);

    assert!(scene.sent_to(leader).is_empty());
}

#[test]
fn a_number_that_is_given_up_counts_as_answered_only_then() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let old = scene.ask_within(Ask::Propose("old".into()), SECOND);
    scene.propose("new");
    let tags: Vec<_> = scene.sent_to(leader).iter().map(tag_of).collect();
    assert_eq!(tags, [(1, 1), (2, 1)]);

    scene.pass(SECOND);
    assert_eq!(scene.told[&old], failed(Failure::Unknown));
    scene.propose("newer");

    let tags: Vec<_> = scene.sent_to(leader).iter().filter_map(tag_if_any).collect();
    assert_eq!(tags, [(3, 2)]);
}

fn tag_of(request: &ClientRequest) -> (u64, u64) {
    tag_if_any(request).expect("a command")
}

fn tag_if_any(request: &ClientRequest) -> Option<(u64, u64)> {
    match &request.call {
        ClientCall::Propose { session: Some(tag), .. } => Some((tag.sequence, tag.answered_below)),
        _ => None,
    }
}

#[test]
fn an_answer_that_comes_after_its_caller_gave_up_is_no_offence() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.ask_within(Ask::Propose("set".into()), SECOND);
    let (_, id) = scene.only_command(leader);
    scene.pass(SECOND);
    assert_eq!(scene.told[&call], failed(Failure::Unknown));

    scene.reply(leader, id, response("late"));

    assert_eq!(scene.closed, []);
}

#[test]
fn an_answer_that_was_not_asked_for_or_comes_twice_ends_the_connection() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    let (_, id) = scene.only_command(leader);
    scene.reply(leader, id, response("done"));

    scene.reply(leader, id, response("done"));
    scene.reply(other, 99, response("never asked"));
    scene.tell(third, cluster(Some(3)));

    assert_eq!(scene.closed, [leader, other]);
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn an_answer_of_another_kind_than_the_question_is_no_answer() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let call = scene.propose("set");
    let (tag, id) = scene.only_command(leader);

    scene.reply(leader, id, Ok(ClientAnswer::SessionClosed));

    assert_eq!(scene.closed, [leader]);
    let sent = scene.sent();
    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    assert!([other, third].contains(link) && number_of(request) == tag.sequence);
    assert!(!scene.told.contains_key(&call));
}

#[test]
fn nothing_counts_that_comes_on_a_connection_that_is_to_be_closed() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    for link in [other, third] {
        scene.has_room(link, 0);
    }
    let call = scene.propose("set");
    let (_, id) = scene.only_command(leader);

    scene.reply(leader, 99, response("never asked"));
    scene.reply(leader, id, response("a lie, perhaps"));

    assert_eq!(scene.closed, [leader]);
    assert!(!scene.told.contains_key(&call));
}

#[test]
fn a_node_may_take_no_longer_than_the_caller_waits() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    scene.ask_within(Ask::Propose("set".into()), SECOND / 2);
    scene.ask_within(Ask::Propose("set".into()), 60 * SECOND);

    let within: Vec<_> = scene.sent_to(leader).into_iter().map(|request| request.within).collect();

    assert_eq!(within, [SECOND / 2, 2 * SECOND]);
}
