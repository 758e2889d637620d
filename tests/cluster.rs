//! Three real nodes in one process, over TCP and disk: they elect, replicate, fail and come back.

#[path = "cluster/operations.rs"]
mod operations;
#[path = "cluster/scene.rs"]
mod scene;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use quorate::{Config, ConfigError, Node, Outcome, ProposeError, ReadError, Role, StartError, StopCause};
use scene::{Cluster, Journal, LONG};

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("command {number}")).collect()
}

#[test]
fn three_nodes_elect_one_leader_and_replicate_what_any_of_them_is_told() {
    let cluster = Cluster::of(3);

    for (id, node) in cluster.nodes() {
        assert_eq!(node.propose(format!("from {id}")), Ok(format!("from {id}")));
    }

    assert_eq!(cluster.agreed_texts(), ["from 1", "from 2", "from 3"]);
    let leaders = cluster.nodes().filter(|(_, node)| node.status().role == Role::Leader).count();
    assert_eq!(leaders, 1);
}

#[test]
fn one_node_alone_is_a_cluster() {
    let mut cluster = Cluster::of(1);
    assert_eq!(cluster.node(1).propose("alone".to_owned()), Ok("alone".to_owned()));

    cluster.stop(1);
    cluster.restart(1);

    assert_eq!(cluster.node(1).query(()), Ok("alone".to_owned()));
}

#[test]
fn commands_of_one_thread_take_effect_in_their_order_on_the_leader_and_on_a_follower() {
    let cluster = Cluster::of(3);
    let through = [cluster.leader(), cluster.follower()];

    for id in through {
        let before = cluster.agreed_texts().len();
        let tickets: Vec<_> =
            numbered(2000).into_iter().map(|command| cluster.node(id).submit(command)).collect();
        for (ticket, command) in tickets.into_iter().zip(numbered(2000)) {
            assert_eq!(ticket.wait(), Ok(command));
        }
        assert_eq!(cluster.agreed_texts()[before..], numbered(2000));
    }
}

#[test]
fn a_stopped_leader_is_replaced_and_comes_back_with_everything() {
    let mut cluster = Cluster::of(3);
    let old_leader = cluster.leader();
    cluster.node(old_leader).propose("before".to_owned()).expect("acknowledged");

    cluster.stop(old_leader);
    let new_leader = cluster.leader();
    cluster.node(new_leader).propose("without it".to_owned()).expect("acknowledged");
    cluster.restart(old_leader);

    assert_eq!(cluster.node(old_leader).query(()), Ok("before,without it".to_owned()));
    assert_eq!(cluster.agreed_texts(), ["before", "without it"]);
}

#[test]
fn an_old_leader_that_returns_with_a_conflicting_tail_gives_it_up() {
    // Long enough for the leader to write a tail before it notices that it is alone.
    let mut cluster = Cluster::tuned(3, |config| config.election_timeout(Duration::from_secs(3)));
    cluster.node(1).propose("agreed".to_owned()).expect("acknowledged");
    let old_leader = cluster.leader();
    cluster.wait_until_acquainted(old_leader);
    let others: Vec<_> = (1..=3).filter(|id| *id != old_leader).collect();
    for id in &others {
        cluster.stop(*id);
    }
    let conflicting = cluster.node(old_leader).status().last_index + 100;
    let lost: Vec<_> =
        numbered(100).into_iter().map(|command| cluster.node(old_leader).submit(command)).collect();
    while cluster.node(old_leader).status().last_index < conflicting {
        assert_eq!(cluster.node(old_leader).status().role, Role::Leader, "it noticed too early");
        std::thread::yield_now();
    }
    cluster.stop(old_leader);

    for id in &others {
        cluster.restart(*id);
    }
    cluster.node(others[0]).propose("instead".to_owned()).expect("two of three are enough");
    cluster.restart(old_leader);

    assert_eq!(cluster.node(old_leader).query(()), Ok("agreed,instead".to_owned()));
    assert_eq!(cluster.agreed_texts(), ["agreed", "instead"]);
    for ticket in lost {
        assert_eq!(ticket.wait().expect_err("nobody acknowledged it").outcome(), Outcome::Unknown);
    }
}

#[test]
fn who_waits_for_an_index_finds_it_applied_in_this_nodes_own_copy() {
    let cluster = Cluster::of(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    cluster.node(leader).propose("here".to_owned()).expect("acknowledged");
    let index = cluster.node(leader).status().last_index;

    cluster.node(follower).wait_applied(index, LONG).expect("it applies what is committed");

    assert_eq!(cluster.node(follower).read_local(Journal::texts), Ok(vec!["here".to_owned()]));
    let never = cluster.node(follower).wait_applied(u64::MAX, Duration::ZERO);
    assert_eq!(never, Err(ReadError::DeadlinePassed));
}

#[test]
fn a_follower_that_was_away_catches_up_from_the_log() {
    let mut cluster = Cluster::tuned(3, |config| config.tail_bytes_max(64 << 10));
    let away = cluster.follower();
    cluster.stop(away);
    let leader = cluster.leader();
    let long = "x".repeat(1000);
    let tickets: Vec<_> = (0..3000).map(|n| cluster.node(leader).submit(format!("{n} {long}"))).collect();
    for ticket in tickets {
        ticket.wait().expect("two of three are enough");
    }

    cluster.restart(away);

    assert_eq!(cluster.agreed_texts().len(), 3000);
}

#[test]
fn all_nodes_stopped_and_started_at_once_remember_everything() {
    let mut cluster = Cluster::of(3);
    for command in numbered(100) {
        cluster.node(1).propose(command).expect("acknowledged");
    }

    for id in 1..=3 {
        cluster.stop(id);
    }
    for id in 1..=3 {
        cluster.restart(id);
    }

    assert_eq!(cluster.agreed_texts(), numbered(100));
}

#[test]
fn without_a_majority_nothing_is_acknowledged_and_nobody_hangs() {
    let mut cluster = Cluster::tuned(3, |config| config.call_timeout(Duration::from_millis(700)));
    let leader = cluster.leader();
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.stop(id);
    }

    let write = cluster.node(leader).propose("lost?".to_owned());
    let read = cluster.node(leader).read(|journal: &Journal| journal.lines.len());

    assert!(write.is_err(), "acknowledged without a majority");
    assert!(matches!(read, Err(ReadError::DeadlinePassed | ReadError::NoLeader)), "{read:?}");
    assert_eq!(cluster.node(leader).read_local(|journal| journal.lines.len()), Ok(0));
}

#[test]
fn a_dead_peer_stalls_neither_the_leader_nor_its_status() {
    let mut cluster = Cluster::of(3);
    let dead = cluster.follower();
    cluster.stop(dead);
    let leader = cluster.leader();

    let tickets: Vec<_> =
        numbered(20_000).into_iter().map(|command| cluster.node(leader).submit(command)).collect();
    let status = cluster.node(leader).status();
    for ticket in tickets {
        ticket.wait().expect("two of three are enough");
    }

    assert_eq!(status.role, Role::Leader);
    let peer = cluster.node(leader).status().peers.into_iter().find(|peer| peer.id == dead).expect("listed");
    assert!(!peer.connected);
    assert!(peer.lag_bytes > 0);
}

#[test]
fn a_read_sees_every_write_that_finished_before_it_on_every_node() {
    let cluster = Cluster::of(3);

    for round in 0..50 {
        let writer = round % 3 + 1;
        cluster.node(writer).propose(format!("{round}")).expect("acknowledged");
        for (id, node) in cluster.nodes() {
            let seen = node.read(|journal: &Journal| journal.lines.len()).expect("a linearizable read");
            assert_eq!(seen as u64, round + 1, "node {id} read the past");
        }
    }
}

#[test]
fn a_read_behind_a_ticket_sees_that_write() {
    let cluster = Cluster::of(3);
    let follower = cluster.node(cluster.follower());

    let write = follower.submit("mine".to_owned());
    let read = follower.after(&write).submit_read(|journal: &Journal| journal.texts());

    assert_eq!(read.wait(), Ok(vec!["mine".to_owned()]));
    assert_eq!(write.wait(), Ok("mine".to_owned()));
}

#[test]
fn a_shut_down_node_answers_everybody_and_frees_its_directory() {
    let mut cluster = Cluster::of(1);
    let node = cluster.node(1).clone();
    node.wait_for_leader(LONG).expect("it elects itself");
    let tickets: Vec<_> = numbered(1000).into_iter().map(|command| node.submit(command)).collect();

    node.shutdown(LONG).expect("down");
    node.shutdown(LONG).expect("still down");

    for (ticket, command) in tickets.into_iter().zip(numbered(1000)) {
        match ticket.wait() {
            Ok(response) => assert_eq!(response, command),
            Err(ProposeError::Stopped { cause, .. }) => assert_eq!(cause, StopCause::Shutdown),
            Err(error) => panic!("{error}"),
        }
    }
    let refused = node.propose("too late".to_owned()).expect_err("it is down");
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    let status = node.status();
    assert_eq!(
        (status.stopped, status.role, status.leader),
        (Some(StopCause::Shutdown), Role::Follower, None)
    );
    drop(node);
    cluster.stop(1);
    cluster.restart(1);
    cluster.node(1).propose("again".to_owned()).expect("the directory was free");
}

#[test]
fn a_node_dropped_on_its_own_thread_only_gives_the_signal() {
    let cluster = Cluster::of(1);
    let node = cluster.node(1).clone();
    let (sender, seen) = std::sync::mpsc::channel();

    cluster.node(1).submit("last".to_owned()).on_done(move |answer| {
        let inside = node.propose("inside".to_owned());
        drop(node);
        sender.send((answer, inside)).expect("the test listens");
    });

    let (answer, inside) = seen.recv().expect("the callback runs");
    assert_eq!(answer, Ok("last".to_owned()));
    assert_eq!(inside, Err(ProposeError::WouldDeadlock));
}

#[test]
fn a_panic_in_apply_stops_the_node_with_a_cause_that_every_caller_sees() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    let config = Config::new(1, directory.path(), address.clone()).listener(socket).bootstrap([(1, address)]);
    let node = Node::start(config, Fragile).expect("the node starts");

    let answer = node.propose(13);

    let Err(ProposeError::Stopped { outcome, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(outcome, Outcome::Unknown, "the command is in the log");
    assert!(matches!(node.read(|_| ()), Err(ReadError::Stopped { cause: StopCause::Panicked { .. } })));
    let cause = node.stop_cause().expect("it stopped").to_string();
    assert!(cause.contains("apply") && cause.contains("thirteen"), "{cause}");
}

/// A state machine with a bug.
struct Fragile;

impl quorate::StateMachine for Fragile {
    type Command = u8;
    type Query = ();
    type Response = ();

    fn apply(&mut self, _at: quorate::LogPosition, command: u8) {
        assert!(command != 13, "thirteen");
    }

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> Result<quorate::SnapshotWriter, quorate::SnapshotError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _snapshot: &mut dyn std::io::Read) -> Result<(), quorate::MachineError> {
        Ok(())
    }
}

#[test]
fn a_command_larger_than_allowed_is_refused_before_it_is_in_flight() {
    let cluster = Cluster::tuned(1, |config| config.command_bytes_max(100));

    let refused = cluster.node(1).propose("x".repeat(101));

    assert_eq!(refused, Err(ProposeError::TooLarge { bytes: 101, limit: 100 }));
    assert!(cluster.node(1).propose("x".repeat(100)).is_ok());
}

#[test]
fn a_node_that_lost_its_directory_is_refused_and_the_others_go_on() {
    let mut cluster = Cluster::of(3);
    cluster.node(1).propose("promised".to_owned()).expect("acknowledged");
    let wiped = cluster.follower();
    cluster.wait_until_acquainted(wiped);
    cluster.stop(wiped);
    std::fs::remove_dir_all(cluster.directory_of(wiped)).expect("the directory is wiped");

    cluster.restart(wiped);
    let leader = cluster.leader_but(wiped);
    cluster.node(leader).propose("without it".to_owned()).expect("two of three are enough");
    let alone = cluster.node(wiped).read_within(|journal: &Journal| journal.texts(), Duration::from_secs(3));

    assert_eq!(alone, Err(ReadError::NoLeader), "it is heard, and hears");
    assert!(cluster.node(wiped).metrics().net.refused.get() > 0, "nobody told it");
    assert_eq!(cluster.node(leader).query(()), Ok("promised,without it".to_owned()));
}

#[test]
fn garbage_and_strangers_on_the_raft_port_change_nothing() {
    let cluster = Cluster::of(3);
    let leader = cluster.leader();
    let term = cluster.node(leader).status().term;

    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 4096], &[0; 64], b""] {
        for (id, _) in cluster.nodes() {
            let mut stranger = TcpStream::connect(cluster.address_of(id)).expect("the port is open");
            // The node may hang up in the middle of it.
            let _ = stranger.write_all(noise);
        }
    }
    cluster.node(leader).propose("still here".to_owned()).expect("acknowledged");

    assert_eq!(cluster.agreed_texts(), ["still here"]);
    assert_eq!(cluster.node(leader).status().term, term);
}

#[test]
fn an_answer_is_the_answer_to_its_own_command_whatever_happens_to_the_leader() {
    let mut cluster = Cluster::of(3);
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let leader = cluster.leader();
        let tickets: Vec<_> = (0..500)
            .map(|number| format!("{round}/{number}"))
            .map(|command| (cluster.node(leader).submit(command.clone()), command))
            .collect();
        cluster.stop(leader);
        for (ticket, command) in tickets {
            if let Ok(answer) = ticket.wait() {
                assert_eq!(answer, command, "another command's answer");
                acknowledged.push(command);
            }
        }
        cluster.restart(leader);
    }

    for id in 1..=3 {
        let lines = cluster.node(id).read(|journal| journal.lines.clone()).expect("a linearizable read");
        for command in &acknowledged {
            let times = lines.iter().filter(|(_, text)| text == command).count();
            assert_eq!(times, 1, "{command} is lost or doubled, or a read does not see it");
        }
    }
    cluster.agreed_texts();
}

#[test]
fn bad_configurations_are_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let refusal =
        |config: Config| Node::start(config, Journal::default()).expect_err("the configuration is bad");

    let zero = refusal(Config::new(0, &data, "127.0.0.1:0"));
    let unlisted = refusal(Config::new(1, &data, "127.0.0.1:7").bootstrap([(2, "127.0.0.1:8")]));
    let twice = refusal(Config::new(1, &data, "127.0.0.1:7").bootstrap([(1, "a:1"), (1, "b:1")]));
    let nobody = refusal(Config::new(1, &data, "127.0.0.1:7"));
    let address = refusal(Config::new(1, &data, "nonsense").bootstrap([(1, "a:1")]));

    assert!(matches!(zero, StartError::Config(ConfigError::ZeroId)));
    assert!(matches!(unlisted, StartError::Config(ConfigError::NotAFounder(_))));
    assert!(matches!(twice, StartError::Config(ConfigError::Membership(_))));
    assert!(matches!(nobody, StartError::NoCluster));
    assert!(matches!(address, StartError::Config(ConfigError::BadListenAddress(_))));
    assert!(!data.exists(), "something was written");
}

#[test]
fn a_directory_serves_one_node_of_one_cluster_at_a_time() {
    use quorate::storage::StorageError;
    let mut cluster = Cluster::of(1);
    let data = cluster.directory_of(1);
    let start = |id: u64, name: &str| {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound").to_string();
        let config = Config::new(id, &data, address.clone())
            .listener(socket)
            .cluster_name(name)
            .segment_bytes(4 << 20)
            .command_bytes_max(512 << 10)
            .bootstrap([(id, address)]);
        Node::start(config, Journal::default())
    };

    let locked = start(1, "").expect_err("the node runs");
    cluster.stop(1);
    let other_node = start(2, "").expect_err("the directory is node 1's");
    let other_cluster = start(1, "another").expect_err("the directory is another cluster's");

    assert!(matches!(locked, StartError::Storage(StorageError::Locked { .. })), "{locked}");
    assert!(matches!(other_node, StartError::Storage(StorageError::WrongNode { .. })), "{other_node}");
    assert!(
        matches!(other_cluster, StartError::Storage(StorageError::WrongCluster { .. })),
        "{other_cluster}"
    );
    cluster.restart(1);
    cluster.node(1).propose("unharmed".to_owned()).expect("acknowledged");
}

/// The lock is in the directory, so a copy has its own; what both cannot have is the address that the members know.
#[test]
fn a_copy_of_a_directory_does_not_start_beside_its_original() {
    let cluster = Cluster::of(1);
    cluster.node(1).propose("original".to_owned()).expect("acknowledged");
    let copies = tempfile::tempdir().expect("a temporary directory");
    let copy = copies.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    for file in std::fs::read_dir(cluster.directory_of(1)).expect("the original").flatten() {
        if file.path().is_file() {
            std::fs::copy(file.path(), copy.join(file.file_name())).expect("copied");
        }
    }

    let address = cluster.address_of(1);
    let config = Config::new(1, &copy, address).segment_bytes(4 << 20).command_bytes_max(512 << 10);
    let refused = Node::start(config, Journal::default()).expect_err("the original runs");

    assert!(matches!(refused, StartError::Transport(_)), "{refused}");
    cluster.node(1).propose("unharmed".to_owned()).expect("acknowledged");
}

#[test]
fn an_address_in_use_and_an_unusable_directory_say_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let file = directory.path().join("a file");
    std::fs::write(&file, "not a directory").expect("a file");

    let busy = Config::new(1, directory.path().join("data"), address.clone()).bootstrap([(1, address)]);
    let busy = Node::start(busy, Journal::default()).expect_err("the port is taken");
    let unusable = Config::new(1, file, "127.0.0.1:1").listener(taken).bootstrap([(1, "127.0.0.1:1")]);
    let unusable = Node::start(unusable, Journal::default()).expect_err("a file is no directory");

    assert!(matches!(busy, StartError::Transport(_)), "{busy}");
    assert!(matches!(unusable, StartError::Storage(_)), "{unusable}");
    assert!(!directory.path().join("data").exists(), "something was written");
}

#[test]
fn nodes_with_unequal_founding_lists_refuse_each_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sockets = [1_u64, 2].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
    let addresses =
        sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));
    let nodes = sockets.map(|(id, socket)| {
        let third = (3, format!("127.0.0.1:{}", 40_000 + id));
        let members = addresses.clone().into_iter().chain([third]);
        let config = Config::new(id, directory.path().join(id.to_string()), "127.0.0.1:1")
            .listener(socket)
            .call_timeout(Duration::from_secs(2))
            .bootstrap(members);
        Node::start(config, Journal::default()).expect("the node starts")
    });

    let answer = nodes[0].propose("never".to_owned());

    assert_eq!(answer, Err(ProposeError::NoLeader));
    assert!(nodes[0].metrics().net.refused.get() + nodes[1].metrics().net.refused.get() > 0);
}

#[test]
fn a_command_that_says_not_applied_on_a_thread_of_the_node_is_never_applied() {
    let cluster = Cluster::of(1);
    cluster.leader();
    let node = cluster.node(1).clone();
    let (sender, outcomes) = std::sync::mpsc::channel();

    let inside = move |_: &Journal| {
        let error = node.submit("inside".to_owned()).wait().expect_err("it would wait for itself");
        sender.send(error.outcome()).expect("the test listens");
    };
    cluster.node(1).read_local(inside).expect("read");

    let outcome = outcomes.recv().expect("the closure ran");
    cluster.node(1).propose("behind it".to_owned()).expect("acknowledged");
    let texts = cluster.agreed_texts();
    assert!(outcome == Outcome::Unknown || texts == ["behind it"], "{outcome:?}, but applied: {texts:?}");
}

#[test]
fn the_status_is_there_on_the_threads_of_the_node_too() {
    let cluster = Cluster::of(1);
    cluster.leader();
    let node = cluster.node(1).clone();

    let seen = cluster.node(1).read_local(move |_| node.status().id);

    assert_eq!(seen, Ok(1));
}

#[test]
fn a_follower_takes_what_its_leader_took_although_its_own_limit_is_lower() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sockets = [1, 2].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
    let address = |socket: &TcpListener| socket.local_addr().expect("bound").to_string();
    let members: Vec<_> = sockets.iter().map(|(id, socket)| (*id, address(socket))).collect();
    let nodes = sockets.map(|(id, socket)| {
        let config = Config::new(id, directory.path().join(id.to_string()), address(&socket))
            .listener(socket)
            .bootstrap(members.clone())
            .segment_bytes(4 << 20);
        // Node 1 is the first to stand for election, and its limit was raised before that of node 2.
        let config = match id {
            1 => config.command_bytes_max(512 << 10),
            _ => config.command_bytes_max(16 << 10).election_timeout(LONG),
        };
        Node::start(config, Journal::default()).expect("the node starts")
    });
    assert_eq!(nodes[0].wait_for_leader(LONG), Ok(1));

    let large = nodes[0].propose("x".repeat(100 << 10)).map(|response| response.len());

    assert_eq!(nodes[1].stop_cause(), None);
    assert_eq!(large, Ok(100 << 10));
}
