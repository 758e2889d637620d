//! Callers who misuse a node, and parts that fail under it: nobody hangs, nobody is told something false, and the
//! process lives on.

#[path = "callers/scene.rs"]
mod scene;
#[path = "callers/shutdown.rs"]
mod shutdown;

use std::time::Duration;

use quorate::{
    ChangeError, Config, Node, NodeEvent, Outcome, Parts, ProposeError, ReadError, Role, SnapshotNowError,
    StartError, StopCause, TransferError,
};
use scene::{
    Bin, Endless, Fragile, LONG, Mumbled, Mumbler, Stubborn, Sum, alone, config, deaf, leaderless, parts,
    storage, three_of_which_the_first_has_a_troubled_disk,
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
fn an_empty_command_is_a_command_like_any_other() {
    let node = Node::start_with(config(1), Bin::default(), parts()).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");

    assert_eq!(node.propose(Vec::new()), Ok(0));
    assert_eq!(node.propose(vec![0; 3]), Ok(3));
}

#[test]
fn a_state_machine_that_stands_still_holds_up_only_those_who_call_it() {
    let (machine, stand_still) = Stubborn::new();
    let config = config(1).in_flight_bytes_max(64 << 10).command_bytes_max(8 << 10).tail_bytes_max(64 << 10);
    let node = Node::start_with(config, machine, parts()).expect("the node starts");
    node.wait_for_leader(LONG).expect("it elects itself");

    let mut taken = vec![node.submit(vec![0; 1])];
    stand_still.await_the_first();
    let refused = loop {
        let ticket = node.submit(vec![0; 8 << 10]);
        match ticket.try_wait() {
            Ok(answer) => break answer.expect_err("nothing is applied"),
            Err(under_way) => taken.push(under_way),
        }
        assert!(taken.len() < 1_000, "nobody is ever held back");
    };

    assert_eq!((&refused, refused.outcome()), (&ProposeError::Busy, Outcome::NotApplied));
    let status = node.status();
    assert_eq!((status.role, status.stopped), (Role::Leader, None));
    let wish = node.snapshot_now_within(Duration::from_millis(10));
    assert_eq!(
        wish,
        Err(SnapshotNowError::DeadlinePassed),
        "the engine answers, though the machine does not"
    );
    stand_still.end();
    for ticket in taken {
        ticket.wait().expect("it was taken, and nothing is lost");
    }
    node.propose(vec![0; 1]).expect("there is room again");
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
    let (nodes, disk) = three_of_which_the_first_has_a_troubled_disk(IN_FLIGHT);
    let [leader, follower, _] = &nodes;
    follower.propose(vec![0; 1000]).expect("it is forwarded");

    disk.hang();
    let command = || vec![0; IN_FLIGHT as usize / 8];
    let taken = (0..100).take_while(|_| follower.propose(command()).is_ok()).count();

    let held = leader.metrics().replica.tail_bytes.get();
    disk.recover();
    assert!(held < 2 * IN_FLIGHT, "{taken} commands were taken, and {held} bytes are held in memory");
}

#[test]
fn a_leader_whose_disk_is_full_says_so_steps_aside_serves_reads_and_goes_on_when_there_is_room() {
    let (nodes, disk) = three_of_which_the_first_has_a_troubled_disk(256 << 10);
    let [first, second, _] = &nodes;
    assert_eq!(first.propose(vec![0; 10]), Ok(10));
    let events = first.events();

    disk.fill();
    let in_flight = first.submit(vec![0; 10]);

    let told = |event: &NodeEvent| matches!(event, NodeEvent::DiskFull { .. });
    assert_eq!(hear(&events, told), NodeEvent::DiskFull { full: true });
    let successor = hear(
        &events,
        |event| matches!(event, NodeEvent::LeaderChanged { leader: Some(leader), .. } if *leader != 1),
    );
    assert!(first.status().disk_full, "{successor:?}");
    assert_eq!(first.propose(vec![0; 10]), Err(ProposeError::DiskFull));
    let seen = first.read_local(Bin::bytes).expect("it asks nobody");
    assert!(seen >= 10, "{seen}");
    second.propose(vec![0; 10]).expect("the others go on");

    disk.recover();

    assert_eq!(hear(&events, told), NodeEvent::DiskFull { full: false });
    first.propose(vec![0; 10]).expect("there is room again");
    let answered = in_flight.wait();
    let total = first.read(Bin::bytes).expect("a linearizable read");
    // Taken by the full disk, the command took effect once or not at all, and its caller was told nothing else.
    match answered {
        Ok(_) => assert_eq!(total, 40),
        Err(error) if error.outcome() == Outcome::NotApplied => assert_eq!(total, 30, "{error}"),
        Err(_) => assert!(total == 30 || total == 40, "{total}"),
    }
}

#[test]
fn an_observer_hears_of_a_role_before_it_hears_who_leads() {
    let (nodes, _) = three_of_which_the_first_has_a_troubled_disk(256 << 10);
    let events = nodes[1].events();

    assert_eq!(nodes[0].transfer_leadership(Some(2)), Ok(2));

    let leads = |event: &NodeEvent| matches!(event, NodeEvent::RoleChanged { role: Role::Leader, .. });
    let NodeEvent::RoleChanged { term, .. } = hear(&events, leads) else { unreachable!("just matched") };
    let known = |event: &NodeEvent| matches!(event, NodeEvent::LeaderChanged { leader: Some(_), .. });
    assert_eq!(hear(&events, known), NodeEvent::LeaderChanged { leader: Some(2), term });
    assert_eq!(events.lost(), 0);
}

#[test]
fn an_observer_hears_the_end_and_one_that_is_gone_is_no_trouble() {
    let node = alone();
    let events = node.events();
    drop(node.events());

    node.propose(1).expect("acknowledged");
    node.snapshot_now().expect("it has something to show");
    node.shutdown(LONG).expect("down");

    let heard: Vec<_> = events.collect();
    assert!(heard.iter().any(|event| matches!(event, NodeEvent::SnapshotSaved { .. })), "{heard:?}");
}

#[test]
fn a_node_that_stops_waits_for_no_snapshot() {
    let (machine, writing) = Endless::watched();
    let node = Node::start_with(config(1), machine, parts()).expect("the node starts");
    node.propose(1).expect("acknowledged");
    let asked = node.clone();
    let caller = std::thread::spawn(move || asked.snapshot_now());
    writing.recv_timeout(LONG).expect("its picture is being written");

    node.shutdown(LONG).expect("down");

    let told = caller.join().expect("no panic");
    assert_eq!(told, Err(SnapshotNowError::Stopped { cause: StopCause::Shutdown }));
}

#[test]
fn zero_is_nobody_to_add_or_to_hand_over_to() {
    let node = alone();

    assert_eq!(node.add_learner(0, "127.0.0.1:9"), Err(ChangeError::ZeroId));
    assert_eq!(node.remove(0), Err(ChangeError::ZeroId));
    assert_eq!(node.transfer_leadership(Some(0)), Err(TransferError::ZeroId));
}

#[test]
fn operators_too_must_not_wait_on_a_thread_of_the_node() {
    let node = alone();
    let (sender, told) = std::sync::mpsc::channel();
    let there = node.clone();

    node.submit(1).on_done(move |_| {
        let refused = (there.remove(1), there.transfer_leadership(None), there.snapshot_now());
        sender.send(refused).expect("the test listens");
    });

    let (change, transfer, snapshot) = told.recv().expect("the callback runs");
    assert_eq!(change, Err(ChangeError::WouldDeadlock));
    assert_eq!(transfer, Err(TransferError::WouldDeadlock));
    assert_eq!(snapshot, Err(SnapshotNowError::WouldDeadlock));
}

#[test]
fn an_operator_who_asks_a_node_that_stopped_hears_that_nothing_was_changed() {
    let node = alone();
    node.shutdown(LONG).expect("down");

    let refused = node.remove(1).expect_err("it is down");

    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert!(matches!(refused, ChangeError::Stopped { cause: StopCause::Shutdown, .. }), "{refused}");
    assert_eq!(node.events().recv(), None, "nothing happens to it any more");
}

#[test]
fn a_change_without_a_leader_is_given_up_at_its_deadline_and_was_not_begun() {
    let node = leaderless();

    let refused = node.remove(3).expect_err("nobody leads");

    assert_eq!((refused.outcome(), refused), (Outcome::NotApplied, ChangeError::NoLeader));
}

/// The next event that is `wanted`.
fn hear(events: &quorate::Events, wanted: impl Fn(&NodeEvent) -> bool) -> NodeEvent {
    loop {
        let event = events.recv_timeout(LONG).expect("it is told");
        if wanted(&event) {
            return event;
        }
    }
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
