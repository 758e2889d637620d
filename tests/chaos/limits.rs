//! Processes that run out of what the system gives them: memory, descriptors, stack.

use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::program::client::{Answer, Client};
use crate::stand::{Stand, eventually};
use crate::world::{World, others, seed};

/// What the threads of a node get at least; unoptimized code keeps more on its stack.
const STACK_BYTES: &str = if cfg!(debug_assertions) { "131072" } else { "65536" };

/// Sets what a process may have of something; gives what it might have before. It may be given back: the utmost, which
/// a child has from its parent, stays.
fn limit(process: u32, resource: Resource, current: Option<u64>) -> Option<u64> {
    let process = Pid::from_raw(process.cast_signed()).expect("a process");
    let limit = Rlimit { current, maximum: getrlimit(resource).maximum };
    prlimit(Some(process), resource, limit).expect("one's own children can be limited").current
}

#[test]
fn a_node_that_gets_no_more_memory_dies_whole_and_returns_with_everything() {
    let mut world = World::start(seed());
    let victim = world.leader();

    limit(world.stand.process_id(victim), Resource::As, Some(1));
    let value = vec![b'v'; 4 << 20];
    eventually("it is gone", || {
        if let Ok(mut client) = Client::connect(world.stand.redis(victim)) {
            let _ = client.call(&[b"SET", b"large", &value]);
        }
        (!world.stand.runs(victim)).then_some(())
    });

    world.leader_among(&others(victim));
    world.await_answers(50);
    world.kill(&[victim]);
    world.finish();
}

#[test]
fn a_leader_without_descriptors_goes_on_with_those_it_has_and_takes_clients_when_there_are_more() {
    let world = World::start(seed());
    let leader = world.leader();
    let process = world.stand.process_id(leader);
    let mut client = Client::connect(world.stand.redis(leader)).expect("it takes clients");
    assert!(client.call(&[b"SET", b"k", b"v"]).is_ok());

    let before = limit(process, Resource::Nofile, Some(1));
    let waiting: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(world.stand.redis(leader)).expect("the system takes it"))
        .collect();
    world.await_answers(200);
    assert_eq!(client.call(&[b"GET", b"k"]).expect("it is still served"), Answer::Bulk(b"v".into()));

    limit(process, Resource::Nofile, before);
    eventually("it takes clients again", || world.stand.status(leader).map(drop));
    drop(waiting);
    world.finish();
}

#[test]
fn threads_with_very_small_stacks_have_room_enough() {
    let start = |stand: &mut Stand, id| stand.start_node_in(id, "RUST_MIN_STACK", STACK_BYTES);
    let mut world = World::start_with(seed(), start);
    world.await_answers(300);
    let leader = world.leader();
    eventually("a snapshot is taken", || match world.stand.ask(leader, "RAFT SNAPSHOT").ok()? {
        Answer::Integer(_) => Some(()),
        _ => None,
    });
    world.kill(&[leader]);
    world.await_answers(100);
    assert!(others(leader).into_iter().all(|id| world.stand.runs(id)));
    world.finish();
}
