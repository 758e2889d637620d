//! Who leads, who belongs to the cluster, and where requests go accordingly.

use std::collections::BTreeSet;
use std::time::Duration;

use super::scene::{Scene, address, answered, cluster, cluster_of, node, response};
use crate::client::routing::{Failure, LinkId, Verdict};
use crate::types::{ClientRefused, ServerMessage};

const SECOND: Duration = Duration::from_secs(1);

fn where_sent(scene: &mut Scene) -> Vec<LinkId> {
    scene.sent().into_iter().map(|(link, _)| link).collect()
}

#[test]
fn when_the_leader_moves_commands_go_to_the_new_one() {
    let (mut scene, [_, second, third]) = Scene::in_session();
    scene.tell(second, cluster(Some(2)));
    scene.propose("a");
    assert_eq!(where_sent(&mut scene), [second]);

    scene.tell(third, cluster(Some(3)));
    scene.propose("b");

    assert_eq!(where_sent(&mut scene), [third]);
}

#[test]
fn who_says_of_itself_that_it_leads_is_believed_before_those_who_say_it_of_others() {
    let (mut scene, [first, second, third]) = Scene::in_session();
    scene.tell(second, cluster(Some(2)));
    // Old news about another.
    scene.tell(third, cluster(Some(1)));
    scene.tell(first, cluster(None));

    scene.propose("a");

    assert_eq!(where_sent(&mut scene), [second]);
}

#[test]
fn a_node_that_says_since_that_it_does_not_lead_is_not_taken_for_the_leader() {
    let (mut scene, [first, second, third]) = Scene::in_session();
    scene.tell(first, cluster(None));
    scene.tell(second, cluster(Some(3)));
    scene.propose("a");
    assert_eq!(where_sent(&mut scene), [third], "named by another");

    scene.tell(third, cluster(None));

    assert_eq!(scene.routing.favourite(), None);
}

#[test]
fn without_a_leader_any_node_is_asked() {
    let (mut scene, links) = Scene::in_session();
    for link in links {
        scene.tell(link, cluster(None));
    }

    scene.propose("a");

    assert_eq!(where_sent(&mut scene).len(), 1);
}

#[test]
fn a_redirect_to_a_member_is_followed() {
    let (mut scene, [first, _, third]) = Scene::in_session();
    let call = scene.propose("a");
    let (_, id) = scene.only_command(first);

    let leader = Some((node(3), address(3)));
    scene.reply(first, id, Err(ClientRefused::NotLeader { leader }));

    let (_, id) = scene.only_command(third);
    scene.reply(third, id, response("done"));
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn a_redirect_to_a_stranger_is_not_followed_whatever_it_calls_itself() {
    let (mut scene, links) = Scene::in_session();
    scene.propose("a");
    for leader in [(node(66), "evil:1".to_owned()), (node(3), "evil:3".to_owned())] {
        for _ in 0..50 {
            for link in links {
                for request in scene.sent_to(link) {
                    let leader = Some(leader.clone());
                    scene.reply(link, request.id, Err(ClientRefused::NotLeader { leader }));
                }
            }
            scene.pass(SECOND / 50);
        }
    }
    for link in links {
        scene.lose(link);
    }
    scene.pass(8 * SECOND);

    let dialled: BTreeSet<_> = scene.dialled_ever.iter().cloned().collect();
    assert_eq!(dialled, [1, 2, 3].map(address).into());
}

#[test]
fn only_addresses_that_were_given_or_are_members_are_dialled() {
    let mut scene = Scene::of(&[1]);
    scene.propose("a");
    let link = scene.dialled.remove(&address(1)).expect("it was given");
    scene.routing.welcomed(link, super::scene::welcome(1));

    scene.tell(link, cluster_of(&[1, 2, 4], Some(4)));

    assert_eq!(scene.dialled_ever, [1, 2, 4].map(address));
}

#[test]
fn two_nodes_that_name_each_other_are_asked_a_few_times_and_no_more() {
    let (mut scene, [first, second, third]) = Scene::in_session();
    scene.lose(third);
    let call = scene.propose("a");
    let mut attempts = 0;
    for _ in 0..1100 {
        for (link, other) in [(first, 2), (second, 1)] {
            for request in scene.sent_to(link) {
                attempts += 1;
                let leader = Some((node(other), address(other)));
                scene.reply(link, request.id, Err(ClientRefused::NotLeader { leader }));
            }
        }
        scene.pass(SECOND / 100);
        scene.refuse_dials();
    }

    assert_eq!(scene.told[&call], Verdict::Failed(Failure::NoLeader));
    assert!((10..100).contains(&attempts), "{attempts} attempts");
}

#[test]
fn members_that_come_are_dialled_and_those_that_left_are_not_dialled_again() {
    let (mut scene, [first, second, third]) = Scene::in_session();
    scene.propose("a");
    for link in [first, second] {
        scene.tell(link, cluster_of(&[1, 2, 4], Some(1)));
    }
    assert!(scene.dialled.contains_key(&address(4)));
    // It was given at the start, so it stays known; but it is no member, and others are asked before it.
    scene.tell(third, cluster_of(&[1, 2, 4], None));
    for link in [first, second] {
        scene.tell(link, cluster_of(&[1, 2, 4], None));
    }
    scene.sent();

    for _ in 0..6 {
        scene.propose("b");
    }

    let asked: BTreeSet<_> = where_sent(&mut scene).into_iter().collect();
    assert_eq!(asked, [first, second].into());
}

#[test]
fn one_connection_with_a_node_is_enough_whatever_addresses_it_has() {
    let mut scene = Scene::of(&[1, 9]);
    scene.propose("a");
    scene.stands(1, Some(1));
    let same = scene.dialled.remove(&address(9)).expect("it was given");

    // It is node 1, at another address.
    scene.routing.welcomed(same, super::scene::welcome(1));
    scene.turn();
    assert_eq!(scene.closed, [same]);
    scene.lose(same);
    scene.dialled_ever.clear();
    scene.pass(SECOND);

    assert!(!scene.dialled_ever.contains(&address(9)), "{:?}", scene.dialled_ever);
}

#[test]
fn when_a_new_leader_is_there_silence_of_the_old_one_is_borne_less_long() {
    let (mut scene, [old, new, _]) = Scene::in_session();
    let call = scene.propose("a");
    scene.only_command(old);

    scene.tell(new, cluster(Some(2)));
    scene.pass(super::scene::SILENCE * 2 / 3);
    assert_eq!(scene.closed, [old]);
    scene.lose(old);

    let (_, id) = scene.only_command(new);
    scene.reply(new, id, response("done"));
    assert_eq!(scene.told[&call], answered("done"));
}

#[test]
fn a_node_that_names_nobody_leaves_the_addresses_that_were_given() {
    let (mut scene, links) = Scene::in_session();
    for link in links {
        scene.tell(link, ServerMessage::Cluster { leader: None, members: Vec::new() });
    }
    for link in links {
        scene.lose(link);
    }
    scene.propose("a");
    scene.pass(SECOND);

    assert_eq!(scene.dialled.len(), 3);
}
