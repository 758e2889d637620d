//! Whatever comes: faults of all kinds, one after the other and one on top of the other, by a seed.

use std::time::{Duration, Instant};

use crate::network::Cut;
use crate::random::Random;
use crate::stand::Stand;
use crate::world::{NODES, World, lasts, others, seed};

/// In the normal run; `QUORATE_CHAOS_SECONDS` asks for another number. It is shared by the tests of this file.
const SECONDS: u64 = 12;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillLeader,
    KillOne,
    KillMajority,
    KillAll,
    StopLeader,
    StopOne,
    StopAll,
    CutOff,
    Mute,
    Deafen,
    CutOneWay,
}

const FAULTS: [Fault; 11] = [
    Fault::KillLeader,
    Fault::KillOne,
    Fault::KillMajority,
    Fault::KillAll,
    Fault::StopLeader,
    Fault::StopOne,
    Fault::StopAll,
    Fault::CutOff,
    Fault::Mute,
    Fault::Deafen,
    Fault::CutOneWay,
];

fn strike(world: &mut World, fault: Fault, random: &mut Random) {
    let one = 1 + random.below(NODES);
    let other = others(one)[random.below(NODES - 1)];
    let cut = [Cut::Held, Cut::Swallowed, Cut::Refused][random.below(3)];
    match fault {
        Fault::KillLeader => {
            let leader = world.leader();
            world.kill(&[leader]);
        }
        Fault::KillOne => world.kill(&[one]),
        Fault::KillMajority => world.kill(&[one, other]),
        Fault::KillAll => world.kill(&[1, 2, 3]),
        Fault::StopLeader => {
            let leader = world.leader();
            world.stop(&[leader]);
        }
        Fault::StopOne => world.stop(&[one]),
        Fault::StopAll => world.stop(&[1, 2, 3]),
        Fault::CutOff => {
            world.mute(one, cut);
            world.deafen(one, cut);
        }
        Fault::Mute => world.mute(one, cut),
        Fault::Deafen => world.deafen(one, cut),
        Fault::CutOneWay => world.cut(one, other, cut),
    }
}

#[expect(clippy::disallowed_methods, reason = "a run lasts as long as it was told to")]
fn storm(seed: u64, mut world: World) {
    let asked = std::env::var("QUORATE_CHAOS_SECONDS").ok();
    let seconds = asked.map_or(SECONDS, |text| text.parse().expect("QUORATE_CHAOS_SECONDS is a number"));
    let end = Instant::now() + Duration::from_secs(seconds) / 2;
    let mut random = Random::new(seed);
    let mut struck = Vec::new();
    while Instant::now() < end {
        let fault = FAULTS[random.below(FAULTS.len())];
        println!("{fault:?}");
        strike(&mut world, fault, &mut random);
        struck.push(fault);
        lasts(0.2 * random.below(15) as f64);
        world.heal();
        world.await_answers(1 + random.below(200));
    }
    println!("{} faults: {struck:?}", struck.len());
    world.finish();
}

#[test]
fn whatever_strikes_every_history_has_an_order_and_all_nodes_agree() {
    let seed = seed();
    storm(seed, World::start(seed));
}

/// One node reads by index, the others by lease, and clients read through leaders and followers alike. Snapshots are taken
/// all the while, so that nodes come back by them.
#[test]
fn reads_by_lease_and_by_index_on_any_node_have_an_order_whatever_strikes() {
    let seed = seed();
    let start = |stand: &mut Stand, id| {
        let options: &[&str] = if id == 1 { &[] } else { &["--lease-reads"] };
        stand.start_node_with_options(id, &[options, &["--snapshot-entries", "300"]].concat());
    };
    storm(seed, World::start_with(seed, start));
}
