//! Sessions: opened on first need, kept, lost by name.

use std::time::Duration;

use bytes::Bytes;

use super::scene::{SESSION, Scene, answered, response};
use crate::client::routing::window::SPAN_MAX;
use crate::client::routing::{Ask, Failure, Verdict};
use crate::ticket::Outcome;
use crate::types::{ClientAnswer, ClientCall, ClientRefused, SessionId};

const SECOND: Duration = Duration::from_secs(1);
const NEXT: SessionId = SessionId(90);

fn expired(outcome: Outcome) -> Verdict {
    Verdict::Failed(Failure::SessionExpired(outcome))
}

#[test]
fn a_session_is_asked_for_once_when_the_first_command_needs_it() {
    let (mut scene, [leader, ..]) = Scene::connected();
    scene.query("no session for that");
    assert!(matches!(scene.only(leader).0, ClientCall::Query { .. }));

    scene.propose("a");
    scene.propose("b");
    scene.open_session(leader, SESSION);

    let sent = scene.sent_to(leader);
    let sessions = sent.iter().map(|request| match &request.call {
        ClientCall::Propose { session: Some(tag), .. } => (tag.session, tag.sequence),
        other => panic!("no command, but {other:?}"),
    });
    assert_eq!(sessions.collect::<Vec<_>>(), [(SESSION, 0), (SESSION, 1)]);
}

#[test]
fn a_session_that_is_refused_is_asked_for_again() {
    let (mut scene, [leader, other, third]) = Scene::connected();
    scene.propose("a");
    let (_, id) = scene.only(leader);

    scene.reply(leader, id, Err(ClientRefused::NoLeader));
    let sent = scene.sent();

    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    assert!([leader, other, third].contains(link));
    assert_eq!(request.call, ClientCall::OpenSession);
}

#[test]
fn a_session_asked_for_on_a_connection_that_is_lost_is_asked_for_on_another() {
    let (mut scene, [leader, other, third]) = Scene::connected();
    scene.propose("a");
    scene.only(leader);

    scene.lose(leader);
    let sent = scene.sent();

    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    assert!([other, third].contains(link));
    assert_eq!(request.call, ClientCall::OpenSession);
}

#[test]
fn a_lost_session_is_an_error_by_name_and_the_next_command_has_another() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.propose("a");
    let (_, id) = scene.only_command(leader);

    scene.reply(leader, id, Err(ClientRefused::SessionExpired));
    assert_eq!(scene.told[&call], expired(Outcome::NotApplied), "it was sent once, and refused");
    let next = scene.propose("b");
    scene.open_session(leader, NEXT);
    let (tag, id) = scene.only_command(leader);
    scene.reply(leader, id, response("done"));

    assert_eq!((tag.session, tag.sequence), (NEXT, 0));
    assert_eq!(scene.told[&next], answered("done"));
}

#[test]
fn a_command_in_doubt_when_its_session_is_lost_is_unknown_and_never_sent_in_the_next() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    let doubtful = scene.propose("a");
    scene.has_room(third, 0);
    scene.only_command(leader);
    scene.lose(leader);
    let (_, id) = scene.only_command(other);

    scene.reply(other, id, Err(ClientRefused::SessionExpired));

    assert_eq!(scene.told[&doubtful], expired(Outcome::Unknown));
    assert!(scene.sent().is_empty());
}

#[test]
fn commands_of_a_lost_session_are_told_apart_by_what_is_known_of_them() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    for link in [other, third] {
        scene.has_room(link, 0);
    }
    let [refused, doubtful, executed, expires] = ["a", "b", "c", "d"].map(|command| scene.propose(command));
    let ids: Vec<_> = scene.sent_to(leader).iter().map(|request| request.id).collect();
    scene.has_room(leader, 0);
    scene.reply(leader, ids[0], Err(ClientRefused::Busy));
    scene.reply(leader, ids[1], Err(ClientRefused::Unknown));
    scene.reply(leader, ids[3], Err(ClientRefused::SessionExpired));
    // It took effect before the session went.
    scene.reply(leader, ids[2], response("done"));
    scene.sent();
    scene.has_room(leader, 10_000);
    scene.pass(SECOND);

    assert_eq!(scene.told[&executed], answered("done"));
    assert_eq!(scene.told[&expires], expired(Outcome::NotApplied));
    assert_eq!(scene.told[&doubtful], expired(Outcome::Unknown));
    // That one was certainly not executed, so it goes on in the next session.
    scene.open_session(leader, NEXT);
    let (tag, id) = scene.only_command(leader);
    assert_eq!((tag.session, tag.sequence), (NEXT, 0));
    scene.reply(leader, id, response("done at last"));
    assert_eq!(scene.told[&refused], answered("done at last"));
}

#[test]
fn an_expired_answer_to_a_command_of_an_older_session_does_not_end_the_new_one() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    scene.propose("a");
    scene.propose("b");
    let ids: Vec<_> = scene.sent_to(leader).iter().map(|request| request.id).collect();
    scene.reply(leader, ids[0], Err(ClientRefused::SessionExpired));
    scene.propose("c");
    scene.open_session(leader, NEXT);
    scene.sent();

    scene.reply(leader, ids[1], Err(ClientRefused::SessionExpired));
    scene.propose("d");

    let (tag, _) = scene.only_command(leader);
    assert_eq!((tag.session, tag.sequence), (NEXT, 1));
}

#[test]
fn what_the_session_has_no_room_for_waits_in_the_client() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let calls: Vec<_> = (0..SPAN_MAX + 5).map(|_| scene.propose("a")).collect();
    let first = scene.sent_to(leader);
    let oldest = first[0].id;

    // All others are answered, and those that come for them.
    let (mut open, mut sent) = (first[1..].to_vec(), 1);
    while !open.is_empty() {
        for request in std::mem::take(&mut open) {
            sent += 1;
            scene.reply(leader, request.id, response("done"));
        }
        open = scene.sent_to(leader);
    }
    assert_eq!(sent, SPAN_MAX);
    scene.reply(leader, oldest, response("done"));

    assert_eq!(scene.sent_to(leader).len(), 5);
    assert_eq!(scene.told.len(), calls.len() - 5);
}

#[test]
fn a_query_does_not_wait_for_the_session() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    for _ in 0..=SPAN_MAX {
        scene.propose("a");
    }
    scene.sent();

    scene.ask(Ask::Query(Bytes::from_static(b"now")));

    // The leader's connection is full; but any node can answer.
    let sent = scene.sent();
    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    assert!(*link != leader && matches!(request.call, ClientCall::Query { local: false, .. }));
}

#[test]
fn a_session_that_stands_is_kept_when_connections_go() {
    let (mut scene, [leader, other, third]) = Scene::in_session();
    for link in [leader, other, third] {
        scene.lose(link);
    }
    scene.propose("a");
    scene.pass(SECOND);

    let link = scene.stands(2, Some(2));

    let (tag, _) = scene.only_command(link);
    assert_eq!((tag.session, tag.sequence), (SESSION, 1));
    assert_eq!(scene.told.len(), 0);
}

#[test]
fn an_answer_that_opens_no_session_ends_the_connection() {
    let (mut scene, [leader, ..]) = Scene::connected();
    scene.propose("a");
    let (_, id) = scene.only(leader);

    scene.reply(leader, id, Ok(ClientAnswer::Response(Bytes::new())));

    assert_eq!(scene.closed, [leader]);
}

#[test]
fn a_session_that_a_node_opens_a_second_time_is_not_believed() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let (lost, under_way) = (scene.propose("a"), scene.propose("b"));
    let sent = scene.sent_to(leader);
    scene.reply(leader, sent[0].id, Err(ClientRefused::SessionExpired));
    assert_eq!(scene.told[&lost], expired(Outcome::NotApplied));
    scene.propose("c");

    scene.open_session(leader, SESSION);
    assert!(scene.closed.contains(&leader), "a node that says so is left");
    scene.lose(leader);
    scene.pass(SECOND * 60);

    assert_eq!(scene.told[&under_way], Verdict::Failed(Failure::SessionExpired(Outcome::Unknown)));
}
