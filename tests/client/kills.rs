//! Three clients increment while nodes, in processes of their own, are killed and stopped: the total is exact.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use quorate::{Client, Ticket};

use crate::counter::Counter;
use crate::processes::{Processes, eventually};
use crate::random::Random;

const CLIENTS: usize = 3;
/// What each of them does at least.
const INCREMENTS: usize = 10_000;
const IN_FLIGHT: usize = 32;
/// As often something strikes.
const FAULTS: usize = 8;
/// Longer than followers wait for a leader that they do not hear.
const PAUSE: Duration = Duration::from_millis(1200);

#[test]
fn whichever_nodes_are_killed_or_stopped_thirty_thousand_increments_are_exact() {
    let mut random = Random::new(Random::seed());
    let mut cluster = Processes::start();
    let control = cluster.client();
    cluster.leader(&control);
    let (answered, faults_are_over) = (AtomicUsize::new(0), AtomicBool::new(false));

    let clients: Vec<_> = (0..CLIENTS).map(|_| cluster.client()).collect();
    let done: usize = thread::scope(|scope| {
        let (answered, faults_are_over) = (&answered, &faults_are_over);
        let work = |client| scope.spawn(move || increment(&client, answered, faults_are_over));
        let workers: Vec<_> = clients.into_iter().map(work).collect();
        for _ in 0..FAULTS {
            strike(&mut cluster, &control, &mut random);
            let before = answered.load(Ordering::Relaxed);
            eventually("clients go on", || (answered.load(Ordering::Relaxed) > before + 50).then_some(()));
        }
        faults_are_over.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("every increment is answered")).sum()
    });

    println!("{done} increments");
    let total = i64::try_from(done).expect("so many fit");
    assert!(done >= CLIENTS * INCREMENTS);
    assert_eq!(control.query(()), Ok(total));
    for id in 1..=3 {
        eventually("each node has them all", || (control.query_local_on(id, ()) == Ok(total)).then_some(()));
    }
}

/// Increments until both enough is done and the faults are over; how often.
fn increment(client: &Client<Counter>, answered: &AtomicUsize, faults_are_over: &AtomicBool) -> usize {
    let mut in_flight: VecDeque<Ticket<i64, _>> = VecDeque::new();
    let mut done = 0;
    while done < INCREMENTS || !faults_are_over.load(Ordering::Relaxed) {
        if in_flight.len() == IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.wait().expect("it is applied");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        in_flight.push_back(client.submit(1));
        done += 1;
    }
    for ticket in in_flight {
        ticket.wait().expect("it is applied");
    }
    done
}

/// Kills the leader or another, or stops one for a while; and undoes it.
fn strike(cluster: &mut Processes, control: &Client<Counter>, random: &mut Random) {
    let leader = cluster.leader(control);
    let other = leader % 3 + 1;
    match random.below(4) {
        0 | 1 => {
            cluster.kill(leader);
            cluster.leader(control);
            cluster.start_node(leader);
        }
        2 => {
            cluster.kill(other);
            cluster.start_node(other);
        }
        _ => {
            cluster.signal(leader, "STOP");
            lasts(PAUSE);
            cluster.signal(leader, "CONT");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this fault is the passing of time")]
fn lasts(time: Duration) {
    thread::sleep(time);
}
