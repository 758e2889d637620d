//! Processes that stand still for a while and know nothing of it.

use crate::program::client::{Answer, Client};
use crate::random::Random;
use crate::stand::{Stand, eventually};
use crate::world::{World, lasts, others, seed};

/// How long a node stands still, in election timeouts.
const ELECTIONS: [f64; 3] = [0.5, 2.0, 10.0];

fn by_lease(stand: &mut Stand, id: usize) {
    stand.start_node_with_options(id, &["--lease-reads"]);
}

/// The leader stands still until another leads and has written. What was asked of it meanwhile it finds when it wakes.
fn leaders_that_stand_still_and_wake(mut world: World) {
    for (round, elections) in ELECTIONS.into_iter().enumerate() {
        let (key, old) = (format!("stale:{round}"), world.leader());
        let term = world.term(old);
        world.stand.insist(old, &format!("SET {key} before"));
        let mut reader = Client::connect(world.stand.redis(old)).expect("it takes clients");
        let mut writer = Client::connect(world.stand.redis(old)).expect("it takes clients");
        world.stop(&[old]);
        lasts(elections);
        let is_deposed = elections > 2.0;
        if is_deposed {
            let new = world.leader_among(&others(old));
            world.stand.insist(new, &format!("SET {key} after"));
            assert!(world.term(new) > term);
        }
        reader.send(&[b"GET", key.as_bytes()]).expect("the system takes it for the node");
        writer
            .send(&[b"CAS", key.as_bytes(), b"before", b"stale"])
            .expect("the system takes it for the node");

        world.resume(&[old]);

        let (read, written) = (reader.receive().expect("an answer"), writer.receive().expect("an answer"));
        if is_deposed {
            let is_fresh = |text: &[u8]| text == b"after";
            assert!(matches!(&read, Answer::Bulk(text) if is_fresh(text)) || is_error(&read), "{read:?}");
            assert!(
                written == Answer::Integer(0) || is_error(&written),
                "a stale leader committed: {written:?}"
            );
            eventually("it follows", || {
                let status = world.stand.status(old)?;
                (status["term"].as_u64()? > term).then_some(())
            });
        }
        world.await_answers(50);
    }
    world.finish();
}

fn is_error(answer: &Answer) -> bool {
    matches!(answer, Answer::Error(text) if text.starts_with("TRYAGAIN") || text.starts_with("UNKNOWN"))
}

#[test]
fn a_leader_that_stood_still_commits_nothing_reads_nothing_stale_and_steps_down() {
    leaders_that_stand_still_and_wake(World::start(seed()));
}

#[test]
fn a_leader_with_a_lease_that_stood_still_reads_nothing_stale_either() {
    leaders_that_stand_still_and_wake(World::start_with(seed(), by_lease));
}

#[test]
fn a_follower_that_stood_still_holds_nobody_up_and_catches_up() {
    let mut world = World::start(seed());
    for elections in ELECTIONS {
        let leader = world.leader();
        let follower = others(leader)[0];
        world.stop(&[follower]);
        world.await_answers(50);
        lasts(elections);
        world.await_answers(50);
        world.resume(&[follower]);
        let applied = eventually("the leader tells", || world.stand.status(leader)?["applied"].as_u64());
        eventually("it catches up", || {
            (world.stand.status(follower)?["applied"].as_u64()? >= applied).then_some(())
        });
    }
    world.finish();
}

#[test]
fn all_nodes_stand_still_and_wake_one_by_one_in_any_order() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut world = World::start(seed);
    for elections in [0.5, 3.0] {
        let mut asleep = vec![1, 2, 3];
        world.stop(&asleep);
        lasts(elections);
        while !asleep.is_empty() {
            let next = asleep.swap_remove(random.below(asleep.len()));
            world.resume(&[next]);
            lasts(elections / 4.0);
        }
        world.await_answers(100);
    }
    world.finish();
}
