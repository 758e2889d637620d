//! Processes that are killed: one at a time, a majority, all, and while they recover.

use crate::random::Random;
use crate::world::{NODES, World, others, seed};

/// In the normal run; `QUORATE_CHAOS_KILLS` asks for another number.
const KILLS: usize = 20;

fn kills() -> usize {
    let asked = std::env::var("QUORATE_CHAOS_KILLS").ok();
    asked.map_or(KILLS, |text| text.parse().expect("QUORATE_CHAOS_KILLS is a number"))
}

#[test]
fn nodes_are_killed_at_any_moment_and_every_history_keeps_its_order() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut world = World::start(seed);

    for _ in 0..kills() {
        world.await_answers(1 + random.below(150));
        let any = 1 + random.below(NODES);
        let victim = if random.below(3) > 0 { world.leader() } else { any };
        world.kill(&[victim]);
        world.await_answers(random.below(100));
        world.start_dead();
    }

    world.finish();
}

#[test]
fn a_majority_and_then_all_are_killed_at_once_and_nothing_acknowledged_is_lost() {
    let mut world = World::start(seed());

    let leader = world.leader();
    let (one, other) = (others(leader)[0], others(leader)[1]);
    for victims in [vec![leader, one], vec![one, other], vec![1, 2, 3]] {
        world.kill(&victims);
        world.start_dead();
        world.await_answers(100);
    }

    world.finish();
}

#[test]
fn nodes_killed_while_they_recover_recover_all_the_same() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut world = World::start(seed);

    for _ in 0..3 {
        world.await_answers(100);
        let victim = world.leader();
        world.kill(&[victim]);
        for _ in 0..3 {
            world.stand.begin_node(victim);
            // It opens its directory some time in the next milliseconds: chance decides how far it gets.
            (0..random.below(40)).for_each(|_| drop(std::fs::read_dir(world.stand.data(victim))));
            world.kill(&[victim]);
        }
        world.start_dead();
    }

    world.finish();
}
