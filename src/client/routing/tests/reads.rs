//! Reads: repeated freely, spread if so wished, of one node if it is named.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::scene::{Scene, answered, node, response};
use crate::client::routing::{Ask, Failure, Verdict};
use crate::types::{ClientAnswer, ClientCall, ClientRefused, ClientStatus};

const SECOND: Duration = Duration::from_secs(1);

fn local(node: Option<u64>) -> Ask {
    Ask::Local { query: Bytes::from_static(b"mine"), node: node.map(super::scene::node) }
}

#[test]
fn a_query_goes_to_the_leader() {
    let (mut scene, [leader, ..]) = Scene::connected();
    let call = scene.query("now");

    let (asked, id) = scene.only(leader);
    scene.reply(leader, id, response("7"));

    assert_eq!(asked, ClientCall::Query { query: Bytes::from_static(b"now"), local: false });
    assert_eq!(scene.told[&call], answered("7"));
}

#[test]
fn queries_are_spread_over_all_members_if_so_wished() {
    let (mut scene, links) = Scene::connected_with(|settings| settings.spread_reads = true);
    for _ in 0..9 {
        scene.query("now");
    }

    let mut asked = BTreeMap::new();
    for (link, _) in scene.sent() {
        *asked.entry(link).or_insert(0) += 1;
    }

    assert_eq!(asked, links.map(|link| (link, 3)).into());
}

#[test]
fn a_query_is_repeated_until_its_deadline_and_is_never_unknown() {
    let (mut scene, [leader, other, third]) = Scene::connected();
    let call = scene.ask_within(Ask::Query(Bytes::from_static(b"now")), 2 * SECOND);
    scene.lose(leader);
    assert_eq!(scene.sent_to(other).len() + scene.sent_to(third).len(), 1);

    for link in [other, third] {
        scene.lose(link);
    }
    let link = {
        scene.pass(SECOND);
        scene.stands(2, Some(2))
    };
    assert_eq!(scene.sent_to(link).len(), 1);
    scene.pass(SECOND);

    assert_eq!(scene.told[&call], Verdict::Failed(Failure::DeadlinePassed));
}

#[test]
fn a_query_that_panicked_is_not_repeated() {
    let (mut scene, [leader, ..]) = Scene::connected();
    let call = scene.query("now");
    let (_, id) = scene.only(leader);

    scene.reply(leader, id, Err(ClientRefused::Panicked { message: "by zero".into() }));

    assert_eq!(scene.told[&call], Verdict::Failed(Failure::Panicked("by zero".into())));
    assert!(scene.sent().is_empty());
}

#[test]
fn a_copy_is_asked_where_it_was_named() {
    let (mut scene, [_, _, third]) = Scene::connected();
    scene.ask(local(Some(3)));
    scene.ask(local(None));
    scene.ask(Ask::Status(Some(node(3))));

    let sent = scene.sent_to(third);

    let named = [ClientCall::Query { query: Bytes::from_static(b"mine"), local: true }, ClientCall::Status];
    assert!(named.iter().all(|call| sent.iter().any(|request| request.call == *call)), "{sent:?}");
    assert!(scene.sent().len() + sent.len() == 3);
}

#[test]
fn a_copy_of_a_node_that_is_no_member_cannot_be_asked() {
    let (mut scene, _) = Scene::connected();

    let call = scene.ask(local(Some(9)));

    assert_eq!(scene.told[&call], Verdict::Failed(Failure::NotMember(node(9))));
}

#[test]
fn what_waits_for_one_node_holds_up_nobody_else() {
    let (mut scene, [leader, _, third]) = Scene::connected();
    scene.lose(third);
    let waits = scene.ask(local(Some(3)));
    let goes = scene.query("now");

    let (_, id) = scene.only(leader);
    scene.reply(leader, id, response("7"));
    assert_eq!(scene.told[&goes], answered("7"));
    assert!(!scene.told.contains_key(&waits));
    scene.pass(SECOND / 10);
    let third = scene.stands(3, Some(1));

    let (_, id) = scene.only(third);
    scene.reply(third, id, response("old"));
    assert_eq!(scene.told[&waits], answered("old"));
}

#[test]
fn the_status_is_told_as_it_came() {
    let (mut scene, [_, second, _]) = Scene::connected();
    let call = scene.ask(Ask::Status(Some(node(2))));
    let (asked, id) = scene.only(second);
    assert_eq!(asked, ClientCall::Status);
    let status = ClientStatus {
        node: 2,
        term: 3,
        leader: Some(1),
        commit: 10,
        applied: 9,
        voters: vec![1, 2, 3],
        learners: Vec::new(),
    };

    scene.reply(second, id, Ok(ClientAnswer::Status(status.clone())));

    assert_eq!(scene.told[&call], Verdict::Answered(ClientAnswer::Status(status)));
}
