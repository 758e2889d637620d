//! Nodes are killed with SIGKILL at random moments under load, and started again. What was acknowledged stays; what was
//! refused never appears; what is counted is counted once.

use crate::load::{Fate, Load, count};
use crate::random::Random;
use crate::stand::Stand;

const NODES: usize = 3;
const KILLS: usize = 24;

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_under_load() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    let mut stand = Stand::start(NODES);
    let load = Load::start((1..=NODES).map(|id| stand.redis(id).to_owned()).collect(), seed);

    let mut kills = 0;
    while kills < KILLS {
        load.await_writes(1 + random.below(200));
        let victims = victims(&stand, &mut random);
        for &id in &victims {
            stand.kill(id);
            kills += 1;
        }
        if victims.len() == 1 {
            load.await_writes(random.below(100));
        }
        for id in victims {
            stand.start_node(id);
        }
    }
    load.await_writes(1);

    let records = load.finish();
    for id in 1..=NODES {
        for record in &records {
            record.check(&mut stand.client(id));
        }
    }
    println!(
        "{kills} kills; {} acknowledged, {} unknown, {} refused, none lost",
        count(&records, Fate::Acknowledged),
        count(&records, Fate::Unknown),
        count(&records, Fate::Refused),
    );
}

/// Mostly the leader, sometimes another, now and then two, or all of them.
fn victims(stand: &Stand, random: &mut Random) -> Vec<usize> {
    let any = 1 + random.below(NODES);
    match random.below(10) {
        0 => (1..=NODES).collect(),
        1 => vec![any, any % NODES + 1],
        2..=4 => vec![any],
        _ => vec![stand.leader_now().unwrap_or(any)],
    }
}
