//! A node that is shut down while callers of every kind are at it: each call is answered, and truly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

use quorate::storage::memory::{MemoryDisk, MemoryLog};
use quorate::transport::MemoryNetwork;
use quorate::types::NodeId;
use quorate::{
    ChangeError, Config, Node, Outcome, Parts, ProposeError, ReadError, SnapshotNowError, StopCause,
    TransferError,
};

use crate::scene::{LONG, Sum};

/// No other test of this process has a node of this id.
const ID: u64 = 78;

fn start(disk: &MemoryDisk) -> Node<Sum> {
    let config = Config::new(ID, "(memory)", "127.0.0.1:1").bootstrap([(ID, "127.0.0.1:1")]);
    let transport = MemoryNetwork::new().transport(NodeId::new(ID).expect("not zero"));
    let log = MemoryLog::open(disk).expect("nobody else has it open");
    let parts = Parts::new(Box::new(log), Box::new(transport));
    let node = Node::start_with(config.call_timeout(LONG), Sum::default(), parts).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");
    node
}

/// What the callers were told of their commands, each of which adds one.
#[derive(Default)]
struct Told {
    applied: AtomicU64,
    unknown: AtomicU64,
}

impl Told {
    /// Whether the node goes on.
    fn note(&self, answer: Result<u64, ProposeError>) -> bool {
        match answer {
            Ok(_) => {
                self.applied.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(ProposeError::Stopped { cause, outcome }) => {
                assert_eq!(cause, StopCause::Shutdown);
                self.unknown.fetch_add(u64::from(outcome == Outcome::Unknown), Ordering::Relaxed);
                false
            }
            // A leader that is about to stop hands over first, and takes nothing meanwhile.
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
                true
            }
        }
    }
}

/// Calls again and again until the node has stopped; the callers begin together.
fn caller(begin: &Arc<Barrier>, mut call: impl FnMut() -> bool + Send + 'static) -> JoinHandle<()> {
    let begin = Arc::clone(begin);
    thread::spawn(move || {
        begin.wait();
        while call() {}
    })
}

fn callers_of_every_kind(node: &Node<Sum>, told: &Arc<Told>, begin: &Arc<Barrier>) -> Vec<JoinHandle<()>> {
    let (one, many) = ((node.clone(), Arc::clone(told)), (node.clone(), Arc::clone(told)));
    let nodes: [Node<Sum>; 6] = std::array::from_fn(|_| node.clone());
    let [reader, local, changer, giver, photographer, waiter] = nodes;
    let events = node.events();
    vec![
        caller(begin, move || one.1.note(one.0.propose(1))),
        caller(begin, move || {
            let tickets: Vec<_> = (0..50).map(|_| many.0.submit(1)).collect();
            tickets.into_iter().fold(true, |goes_on, ticket| many.1.note(ticket.wait()) & goes_on)
        }),
        caller(begin, move || !matches!(reader.read(|sum| sum.total), Err(ReadError::Stopped { .. }))),
        caller(begin, move || !matches!(local.read_local(|sum| sum.total), Err(ReadError::Stopped { .. }))),
        caller(begin, move || !matches!(changer.remove(9), Err(ChangeError::Stopped { .. }))),
        caller(begin, move || {
            !matches!(giver.transfer_leadership(Some(9)), Err(TransferError::Stopped { .. }))
        }),
        caller(begin, move || !matches!(photographer.snapshot_now(), Err(SnapshotNowError::Stopped { .. }))),
        caller(begin, move || {
            let never = waiter.wait_applied(u64::MAX, LONG);
            assert!(matches!(never, Err(ReadError::Stopped { .. })), "{never:?}");
            false
        }),
        caller(begin, move || events.recv().is_some()),
    ]
}

#[test]
fn whatever_callers_do_when_a_node_is_shut_down_all_are_answered_and_nothing_runs_on() {
    for round in 0..20 {
        let (disk, told) = (MemoryDisk::new(), Arc::new(Told::default()));
        let node = start(&disk);
        let begin = Arc::new(Barrier::new(10));
        let callers = callers_of_every_kind(&node, &told, &begin);

        begin.wait();
        // Each round at another moment: at once, or after so many answers.
        while told.applied.load(Ordering::Relaxed) < round * 20 {
            thread::yield_now();
        }
        node.shutdown(LONG).expect("down");

        for caller in callers {
            caller.join().expect("it was answered, and truly");
        }
        drop(node);
        assert_no_thread_is_left();
        let total = start(&disk).read(|sum| sum.total).expect("it leads again");
        let (applied, unknown) = (told.applied.load(Ordering::Relaxed), told.unknown.load(Ordering::Relaxed));
        assert!((applied..=applied + unknown).contains(&total), "{total}: {applied} sure, {unknown} unknown");
    }
}

/// The system may list a thread for an instant after it was joined; one that goes on is listed for ever.
fn assert_no_thread_is_left() {
    let is_left = |_: &u32| {
        thread::yield_now();
        !threads().is_empty()
    };
    let looks = (0..100_000).take_while(is_left).count();
    assert!(looks < 100_000, "these run on: {:?}", threads());
}

/// The threads of the node that still run.
fn threads() -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with(&format!("quorate-{ID}-"))).collect()
}
