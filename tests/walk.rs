//! Random walks of three and five replicas in one thread: messages are lost, doubled, late and out of order, disks are
//! slow, nodes crash and lose what was not synced, logs are compacted at any time, and who falls behind gets a snapshot in
//! pieces; in some, nodes join and leave, and leadership is handed over. After every step the laws of Raft are checked; when
//! the faults stop, a leader must emerge and everything must be finished.
//!
//! A failure prints its seed. `QUORATE_WALK_SEEDS=10000 cargo test --release --test walk` walks further, and
//! `QUORATE_WALK_SEEDS=1234..1235` repeats one walk.

#[path = "walk/disk.rs"]
mod disk;
#[path = "walk/history.rs"]
mod history;
#[path = "walk/node.rs"]
mod node;
#[path = "walk/random.rs"]
mod random;
#[path = "walk/state.rs"]
mod state;
#[path = "walk/world.rs"]
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

const STEPS: u32 = 2_000;

fn seeds(default: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("QUORATE_WALK_SEEDS") else {
        return 0..default;
    };
    let number = |text: &str| text.parse().expect("QUORATE_WALK_SEEDS is a number, or a range like 7..8");
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&asked),
    }
}

fn walk(nodes: u64, joiners: u64, seed: u64) -> World {
    let mut world = World::new(nodes, joiners, seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal_and_finish();
    world
}

fn walk_all(nodes: u64, joiners: u64, default_seeds: u64) {
    let (mut elections, mut commits, mut reads, mut crashes) = (0, 0, 0, 0);
    let (mut compactions, mut installs) = (0, 0);
    let (mut memberships, mut under_joint) = (0, 0);
    for seed in seeds(default_seeds) {
        let world = catch_unwind(AssertUnwindSafe(|| walk(nodes, joiners, seed))).unwrap_or_else(|panic| {
            eprintln!("a walk of {nodes} nodes failed: QUORATE_WALK_SEEDS={seed}..{} repeats it", seed + 1);
            resume_unwind(panic)
        });
        elections += world.history.leaders();
        commits += world.history.committed();
        reads += world.history.reads();
        crashes += world.crashes();
        compactions += world.compactions();
        installs += world.installs();
        memberships += world.history.memberships();
        under_joint += world.history.leaders_under_joint();
    }
    println!("{elections} leaders, {commits} commits, {reads} reads, {crashes} crashes");
    println!("{compactions} compactions, {installs} snapshots installed");
    println!("{memberships} memberships, {under_joint} leaders that began under a joint one");
    assert!(joiners == 0 || memberships > 0, "no change of the membership was committed");
    assert!(elections > 0 && commits > 0 && reads > 0 && crashes > 0, "the walk met nothing worth checking");
    assert!(compactions > 0 && (installs > 0 || nodes == 1), "no log was ever shortened or replaced");
}

#[test]
fn three_nodes_keep_the_laws_whatever_happens() {
    walk_all(3, 0, 250);
}

#[test]
fn five_nodes_keep_the_laws_whatever_happens() {
    walk_all(5, 0, 120);
}

#[test]
fn a_group_that_grows_and_shrinks_keeps_the_laws_whatever_happens() {
    walk_all(3, 3, 120);
}

#[test]
fn a_single_node_that_is_joined_and_left_keeps_the_laws_whatever_happens() {
    walk_all(1, 2, 60);
}

#[test]
fn a_single_node_keeps_the_laws_whatever_happens() {
    walk_all(1, 0, 30);
}

#[test]
fn the_same_seed_walks_the_same_way() {
    assert_eq!(walk(3, 2, 42).fingerprint(), walk(3, 2, 42).fingerprint());
}
