//! Nodes that are not there, will not talk, say nothing, or say too much.

use std::time::Duration;

use super::scene::{CONNECT, SILENCE, Scene, address, answered, cluster, node, response, welcome};
use crate::client::routing::{Ask, Failure, Verdict};
use crate::types::{ClientAnswer, ClientCall, ClientStatus, ClusterId};
use crate::wire::client_hello::{ClientReason, ClientWelcome};

const SECOND: Duration = Duration::from_secs(1);

fn unreachable(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Failed(Failure::Unreachable(why)) => why,
        other => panic!("not unreachable, but {other:?}"),
    }
}

#[test]
fn when_all_nodes_are_down_the_error_names_each_address_and_why_at_the_deadline() {
    let mut scene = Scene::of(&[1, 2, 3]);
    let call = scene.propose("a");
    for _ in 0..100 {
        scene.refuse_dials();
        scene.pass(SECOND / 10);
    }

    let why = unreachable(&scene.told[&call]);
    for id in 1..=3 {
        assert!(why.contains(&format!("{}: connection refused", address(id))), "{why}");
    }
    let dials = scene.dialled_ever.len();
    assert!((15..60).contains(&dials), "it backs off: {dials} dials in 10 s");
}

#[test]
fn a_client_with_nothing_to_ask_dials_nobody() {
    let (mut scene, links) = Scene::in_session();
    for link in links {
        scene.lose(link);
    }
    scene.dialled_ever.clear();
    scene.pass(60 * SECOND);
    assert_eq!(scene.dialled_ever.len(), 0);
    assert_eq!(scene.routing.due_at(), None, "and sleeps");

    scene.propose("a");

    assert_eq!(scene.dialled_ever.len(), 3);
}

#[test]
fn a_node_that_says_nothing_when_it_is_dialled_is_given_up() {
    let mut scene = Scene::of(&[1]);
    let call = scene.ask_within(Ask::Propose("a".into()), CONNECT * 2 + SECOND);
    let link = scene.dialled[&address(1)];

    scene.pass(CONNECT);
    assert_eq!(scene.closed, [link]);
    // One that says who it is and no more, likewise.
    scene.dialled.clear();
    scene.lose(link);
    scene.pass(SECOND / 10);
    let link = scene.dialled[&address(1)];
    scene.routing.welcomed(link, welcome(1));
    scene.pass(CONNECT);

    assert_eq!(scene.closed.last(), Some(&link));
    scene.dialled.clear();
    scene.lose(link);
    scene.pass(SECOND);
    assert!(unreachable(&scene.told[&call]).contains("did not answer within"), "{:?}", scene.told);
}

#[test]
fn a_connection_on_which_nothing_is_heard_is_asked_for_a_sign_of_life_and_then_given_up() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.propose("a");
    scene.only_command(leader);

    scene.pass(SILENCE / 3);
    let (sign, _) = scene.only(leader);
    assert_eq!(sign, ClientCall::Status);
    scene.pass(SILENCE / 3);
    assert_eq!(scene.closed, []);
    scene.pass(SILENCE / 3);
    assert_eq!(scene.closed, [leader]);
    scene.lose(leader);

    let sent = scene.sent();
    let [(link, request)] = &sent[..] else { panic!("{sent:?}") };
    scene.reply(*link, request.id, response("done"));
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn a_node_that_is_slow_but_gives_signs_of_life_is_waited_for() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.ask_within(Ask::Propose("a".into()), 60 * SECOND);
    let (_, id) = scene.only_command(leader);

    for _ in 0..4 {
        scene.pass(SILENCE / 3);
        for request in scene.sent_to(leader) {
            let status = ClientStatus {
                node: 1,
                term: 1,
                leader: None,
                commit: 0,
                applied: 0,
                voters: Vec::new(),
                learners: Vec::new(),
            };
            scene.reply(leader, request.id, Ok(ClientAnswer::Status(status)));
        }
    }
    scene.reply(leader, id, response("done"));

    assert_eq!(scene.closed, []);
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn a_node_that_gives_signs_of_life_and_no_answer_is_given_up_when_it_is_long_overdue() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    scene.ask_within(Ask::Propose("a".into()), 60 * SECOND);
    scene.only_command(leader);

    for _ in 0..60 {
        if !scene.closed.is_empty() {
            break;
        }
        scene.pass(SECOND / 2);
        scene.tell(leader, cluster(Some(1)));
    }

    assert_eq!(scene.closed, [leader]);
}

#[test]
fn nothing_is_asked_of_a_connection_on_which_nothing_is_owed() {
    let (mut scene, _) = Scene::in_session();

    scene.pass(60 * SECOND);

    assert!(scene.sent().is_empty());
    assert_eq!(scene.closed, []);
}

#[test]
fn a_pause_of_the_clients_own_process_is_nobodys_silence() {
    let (mut scene, [leader, ..]) = Scene::in_session();
    let call = scene.ask_within(Ask::Propose("a".into()), 100 * SECOND);
    let (_, id) = scene.only_command(leader);

    // What came meanwhile is read before anything is judged.
    scene.now += 60 * SECOND;
    scene.reply(leader, id, response("done"));

    assert_eq!(scene.closed, []);
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn a_node_of_another_cluster_is_not_talked_to() {
    let mut scene = Scene::of(&[1, 2]);
    scene.propose("a");
    scene.stands(1, Some(1));
    let link = scene.dialled[&address(2)];

    scene.routing.welcomed(
        link,
        ClientWelcome::Accepted {
            version: 1,
            cluster: ClusterId(8),
            node: node(2),
            frame_bytes_max: 1 << 20,
        },
    );
    scene.turn();

    assert_eq!(scene.closed, [link]);
}

#[test]
fn a_first_contact_fails_at_once_when_everybody_refuses_for_good() {
    let mut scene = Scene::of(&[1, 2]);
    let contact = scene.ask(Ask::Contact);
    for id in [1, 2] {
        assert!(!scene.told.contains_key(&contact));
        let link = scene.dialled[&address(id)];
        scene.routing.welcomed(link, ClientWelcome::Refused(ClientReason::WrongToken));
        scene.turn();
        scene.lose(link);
    }

    assert!(unreachable(&scene.told[&contact]).contains("the token is wrong"));
}

#[test]
fn a_first_contact_waits_for_nodes_that_are_not_up_yet() {
    let mut scene = Scene::of(&[1, 2]);
    let contact = scene.ask(Ask::Contact);
    for reason in [ClientReason::NoCluster, ClientReason::Stopping] {
        scene.refuse_dials();
        scene.pass(SECOND);
        let link = scene.dialled.remove(&address(1)).expect("dialled again");
        scene.routing.welcomed(link, ClientWelcome::Refused(reason));
        scene.turn();
        scene.lose(link);
    }
    assert!(!scene.told.contains_key(&contact));
    scene.pass(SECOND);

    scene.stands(1, None);

    assert_eq!(scene.told[&contact], Verdict::Met);
}

#[test]
fn a_version_that_we_do_not_speak_is_no_welcome() {
    let mut scene = Scene::of(&[1]);
    scene.propose("a");
    let link = scene.dialled[&address(1)];

    scene.routing.welcomed(
        link,
        ClientWelcome::Accepted {
            version: 2,
            cluster: ClusterId(9),
            node: node(1),
            frame_bytes_max: 1 << 20,
        },
    );
    scene.turn();

    assert_eq!(scene.closed, [link]);
}

#[test]
fn a_node_that_speaks_before_it_is_greeted_is_not_listened_to() {
    let mut scene = Scene::of(&[1]);
    scene.propose("a");
    let link = scene.dialled[&address(1)];

    scene.tell(link, cluster(Some(1)));

    assert_eq!(scene.closed, [link]);
}
