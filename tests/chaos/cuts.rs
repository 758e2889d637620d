//! Links between processes that are cut: both ways or one, by a network that is late, silent or abrupt.

use crate::network::Cut;
use crate::stand::eventually;
use crate::world::{World, others, seed};

const CUTS: [Cut; 3] = [Cut::Held, Cut::Swallowed, Cut::Refused];

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_follower() {
    let world = World::start(seed());
    for cut in CUTS {
        let old = world.leader();
        world.mute(old, cut);
        world.deafen(old, cut);
        let new = world.leader_among(&others(old));
        world.await_answers(100);
        world.heal_network();
        let term = world.term(new);
        eventually("it follows", || (world.stand.status(old)?["term"].as_u64()? >= term).then_some(()));
    }
    world.finish();
}

#[test]
fn a_leader_that_is_heard_and_hears_nobody_steps_down_and_another_leads() {
    let world = World::start(seed());
    for cut in CUTS {
        let old = world.leader();
        world.deafen(old, cut);
        eventually("it gives up", || (world.stand.status(old)?["role"] != "leader").then_some(()));
        world.leader_among(&others(old));
        world.await_answers(50);
        world.heal_network();
        world.await_answers(50);
    }
    world.finish();
}

#[test]
fn a_leader_that_hears_and_is_heard_by_nobody_is_replaced() {
    let world = World::start(seed());
    for cut in CUTS {
        let old = world.leader();
        world.mute(old, cut);
        world.leader_among(&others(old));
        world.await_answers(50);
        world.heal_network();
        world.await_answers(50);
    }
    world.finish();
}

#[test]
fn a_follower_that_hears_nobody_or_is_heard_by_nobody_holds_up_nobody() {
    let world = World::start(seed());
    for cut in CUTS {
        let leader = world.leader();
        let follower = others(leader)[0];
        for one_way in [World::mute, World::deafen] {
            one_way(&world, follower, cut);
            world.await_answers(150);
            world.heal_network();
            world.await_answers(50);
        }
    }
    world.finish();
}

#[test]
fn two_nodes_that_see_only_the_third_go_on_through_it() {
    let world = World::start(seed());
    for cut in CUTS {
        let leader = world.leader();
        let (one, other) = (others(leader)[0], others(leader)[1]);
        for (one, other) in [(one, other), (leader, one)] {
            world.cut(one, other, cut);
            world.cut(other, one, cut);
            world.await_answers(100);
            world.heal_network();
        }
    }
    world.finish();
}
