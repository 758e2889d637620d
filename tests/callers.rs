//! Callers who misuse a node, and parts that fail under it: nobody hangs, nobody is told something false, and the
//! process lives on.

#[path = "callers/scene.rs"]
mod scene;

use std::time::Duration;

use quorate::{Config, Node, Outcome, Parts, ProposeError, ReadError, StartError, StopCause};
use scene::{
    Fragile, LONG, Mumbled, Mumbler, Sum, alone, config, deaf, leaderless, parts, storage,
    three_with_a_disk_that_can_hang,
};

#[test]
fn a_read_behind_a_write_that_was_given_up_says_nothing_of_a_node_that_stopped() {
    let node = leaderless();
    let write = node.submit_within(1, Duration::from_millis(20));
    let read = node.after(&write).submit_read(|sum| sum.total);

    write.wait().expect_err("there is no leader");
    let seen = read.wait();

    assert_eq!(node.stop_cause(), None, "the node runs");
    assert!(!matches!(seen, Err(ReadError::Stopped { .. })), "{seen:?}");
}

#[test]
fn a_callback_that_panics_stops_no_node() {
    let node = alone();
    let (sender, called) = std::sync::mpsc::channel();

    node.submit(1).on_done(move |_| {
        sender.send(()).expect("the test listens");
        panic!("the callback's own");
    });

    called.recv().expect("the callback runs");
    assert_eq!(node.propose(1), Ok(2));
}

/// What would end the process is tried in another one.
#[test]
fn callbacks_that_panic_because_the_node_failed_do_not_end_the_process() {
    const ROLE: &str = "QUORATE_TEST_CHILD";
    if std::env::var_os(ROLE).is_some() {
        return fail_with_callbacks_that_unwrap();
    }

    let me = std::env::current_exe().expect("this test");
    let child = std::process::Command::new(me)
        .args(["--exact", "callbacks_that_panic_because_the_node_failed_do_not_end_the_process"])
        .env(ROLE, "1")
        .output()
        .expect("a child process");

    assert!(child.status.success(), "{}", child.status);
}

fn fail_with_callbacks_that_unwrap() {
    let node = Node::start_with(config(1), Fragile, parts()).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");
    let (sender, called) = std::sync::mpsc::channel();
    for command in [0, 13] {
        let sender = sender.clone();
        node.submit(command).on_done(move |answer| {
            sender.send(()).expect("the test listens");
            answer.expect("a node that never fails");
        });
    }
    for _ in 0..2 {
        called.recv_timeout(LONG).expect("every callback runs");
    }
    node.shutdown(LONG).expect("down");
}

#[test]
fn a_transport_that_ends_takes_the_node_with_it() {
    let parts = Parts::new(Box::new(storage()), deaf());
    let node = Node::start_with(config(3), Sum::default(), parts).expect("the node starts");

    let told = node.wait_applied(u64::MAX, LONG);

    assert!(matches!(told, Err(ReadError::Stopped { cause: StopCause::Transport(_) })), "{told:?}");
}

#[test]
fn a_command_that_does_not_decode_is_refused_before_it_is_in_the_log_for_ever() {
    let node = Node::start_with(config(1), Mumbler, parts()).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");

    let refused = node.propose(Mumbled).expect_err("it does not decode");

    assert_eq!((refused.outcome(), refused), (Outcome::NotApplied, ProposeError::Malformed));
    assert_eq!(node.stop_cause(), None);
}

#[test]
fn a_log_that_does_not_take_the_largest_command_is_refused_at_the_start() {
    let too_large = config(1).command_bytes_max(Config::COMMAND_BYTES_LIMIT).segment_bytes(128 << 20);

    let refused = Node::start_with(too_large, Sum::default(), parts()).map(|_| ());

    assert!(matches!(refused, Err(StartError::Storage(_))), "{refused:?}");
}

#[test]
fn a_leader_whose_disk_hangs_takes_no_more_than_it_may_hold_in_memory() {
    const IN_FLIGHT: u64 = 256 << 10;
    let (nodes, disk) = three_with_a_disk_that_can_hang(IN_FLIGHT);
    let [leader, follower, _] = &nodes;
    follower.propose(vec![0; 1000]).expect("it is forwarded");

    disk.hang();
    let command = || vec![0; IN_FLIGHT as usize / 8];
    let taken = (0..100).take_while(|_| follower.propose(command()).is_ok()).count();

    let held = leader.metrics().replica.tail_bytes.get();
    disk.recover();
    assert!(held < 2 * IN_FLIGHT, "{taken} commands were taken, and {held} bytes are held in memory");
}

/// Who restarts a node in place still holds the old one while the new one starts.
#[test]
#[cfg(target_os = "linux")]
fn a_node_that_failed_leaves_no_thread_behind_though_somebody_holds_it() {
    const ID: u64 = 77;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    let config = Config::new(ID, directory.path(), &address).listener(socket).bootstrap([(ID, address)]);
    let node = Node::start(config, Fragile).expect("the node starts");

    node.propose(13).expect_err("the state machine panics");

    let patience = 10_000;
    let gone = (0..patience).any(|_| {
        std::thread::yield_now();
        threads_of(ID).is_empty()
    });
    assert!(gone, "they run on: {:?}", threads_of(ID));
    drop(node);
}

#[cfg(target_os = "linux")]
fn threads_of(id: u64) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with(&format!("quorate-{id}-"))).collect()
}
