//! The machine in a node: what a restart finds, and how a damaged store comes back.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::subject::{NOW, appended, event, order, types};
use crate::event_store::{Append, EventMachine, MachineOptions};
use crate::runtime::{Config, Node, StartError};

fn start(dir: &Path, machine: EventMachine) -> Result<Node<EventMachine>, StartError> {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    // The founding list names an address; a node alone is never reached.
    let config =
        Config::new(1, dir.join("node"), "127.0.0.1:0").listener(socket).bootstrap([(1, "127.0.0.1:1")]);
    let config = config.trailing_entries(0).election_timeout(Duration::from_millis(150));
    Node::start(config, machine)
}

/// Each batch is settled before the next one ends.
fn machine(dir: &Path) -> EventMachine {
    let options = MachineOptions { layer_bytes: 1, ..MachineOptions::new(dir.join("node.events")) };
    EventMachine::open(&options).unwrap()
}

fn append(node: &Node<EventMachine>, number: u64, event_type: &str) {
    let at = node.read(move |machine| machine.view().aggregate(&order(number)).unwrap()).unwrap();
    let append = Append::to(&order(number), at.map_or(0, |is| is.sequence)).events([event(event_type)]);
    appended(node.propose(append.into_command(NOW).unwrap()).unwrap()).unwrap();
}

fn require_events(node: &Node<EventMachine>, number: u64, expected: &[&str]) {
    let events = node.read(move |machine| machine.view().events(&order(number), 0, usize::MAX)).unwrap();
    assert_eq!(types(&events.unwrap().events), expected);
}

/// A node that took events before and behind a snapshot, and has stopped.
fn stopped(with_snapshot: bool) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), machine(dir.path())).unwrap();
    append(&node, 1, "placed");
    append(&node, 2, "placed");
    if with_snapshot {
        node.snapshot_now().unwrap();
    }
    append(&node, 1, "paid");
    require_events(&node, 1, &["placed", "paid"]);
    dir
}

fn damage(dir: &Path) {
    fs::write(dir.join("node.events/events.redb"), "rot").unwrap();
}

#[test]
fn a_restarted_node_goes_on_where_its_store_is() {
    for with_snapshot in [false, true] {
        let dir = stopped(with_snapshot);

        let machine = machine(dir.path());
        assert!(machine.view().applied() > 3, "everything was settled when it stopped");
        let node = start(dir.path(), machine).unwrap();

        require_events(&node, 1, &["placed", "paid"]);
        append(&node, 1, "shipped");
        require_events(&node, 1, &["placed", "paid", "shipped"]);
    }
}

#[test]
fn a_damaged_store_is_built_anew_from_the_log_or_from_a_snapshot_and_the_log_behind_it() {
    for with_snapshot in [false, true] {
        let dir = stopped(with_snapshot);
        damage(dir.path());

        let machine = machine(dir.path());
        assert_eq!(machine.view().applied(), 0);
        let node = start(dir.path(), machine).unwrap();

        require_events(&node, 1, &["placed", "paid"]);
        require_events(&node, 2, &["placed"]);
    }
}

#[test]
fn a_damaged_store_behind_a_log_that_does_not_reach_its_start_is_refused_by_name() {
    let dir = stopped(true);
    let node = start(dir.path(), machine(dir.path())).unwrap();
    while node.status().first_index == 1 {
        append(&node, 2, "paid");
        node.snapshot_now().unwrap();
    }
    drop(node);
    let snapshots = fs::read_dir(dir.path().join("node")).unwrap().map(|entry| entry.unwrap().path());
    let snapshots: Vec<_> =
        snapshots.filter(|path| path.extension().is_some_and(|extension| extension == "snapshot")).collect();
    assert!(!snapshots.is_empty());
    for snapshot in snapshots {
        fs::remove_file(snapshot).unwrap();
    }
    damage(dir.path());

    let refused = start(dir.path(), machine(dir.path())).unwrap_err();

    assert!(matches!(refused, StartError::SnapshotMissing { .. }), "{refused}");
    assert!(dir.path().join("node.events/events.redb.damaged").exists());
}

#[test]
fn a_store_that_belongs_to_another_log_is_refused_by_name() {
    let dir = stopped(false);
    fs::remove_dir_all(dir.path().join("node")).unwrap();

    let refused = start(dir.path(), machine(dir.path())).unwrap_err();

    assert!(matches!(refused, StartError::AppliedOutsideLog { .. }), "{refused}");
}
