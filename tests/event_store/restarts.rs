//! Nodes that come late, go and come back: nothing is lost, nothing is done twice, and nothing is passed over.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use quorate::event_store::{
    AggregateId, Append, EventStore, Filter, Options, Position, StoreStartError, SubscriptionError,
};
use quorate::storage::StorageError;
use quorate::{Config, NodeEvent, StartError};

use crate::scene::{Cluster, LONG, append, event, id, sequences, store_beside, types};

fn orders(store: &EventStore) -> Vec<(AggregateId, Vec<u64>)> {
    let all = store.aggregates(&id(["order"])).expect("listed");
    let events = |order: &AggregateId| store.load_events(order, 0).expect("it is there").events;
    all.into_iter().map(|order| (order.clone(), sequences(&events(&order)))).collect()
}

/// Some appends of every kind.
fn fill(cluster: &Cluster) {
    for nth in 0..30_u64 {
        let order = id(["order", &(nth % 5).to_string()]);
        let events = [event("a", 1), event("b", 2)];
        let placed =
            Append::to(&order, nth / 5 * 2).events(events).status("open").label("nth", nth.to_string());
        cluster.any().append(placed).expect("it is there");
    }
    cluster.any().save_snapshot(&id(["order", "0"]), "of three", 3).expect("saved");
}

fn assert_filled(store: &EventStore) {
    let all = orders(store);
    assert_eq!(all.len(), 5, "{all:?}");
    for (nth, (_, sequences)) in all.iter().enumerate() {
        let first = if nth == 0 { 3 } else { 0 };
        assert_eq!(*sequences, (first..12).collect::<Vec<_>>(), "of {nth}");
    }
    assert_eq!(store.with_status("open").expect("listed").len(), 5);
    assert_eq!(store.label_values("nth").expect("listed"), ["25", "26", "27", "28", "29"]);
    assert_eq!(&store.load_snapshot(&id(["order", "0"])).expect("it is there").data[..], b"of three");
}

/// Until the log begins behind a snapshot of all this. A store says with its batches how much of it is on the disk.
fn shorten_the_log(store: &EventStore) {
    let events = store.node().events();
    let index = store.node().snapshot_now().expect("taken");
    let is_shorter = || {
        let through = std::iter::from_fn(|| events.try_recv()).filter_map(|event| match event {
            NodeEvent::Compacted { through } => Some(through),
            _ => None,
        });
        through.max() >= Some(index)
    };
    let mut next = store.load_events(&id(["behind it"]), 0).expect("asked").events.len() as u64;
    while !is_shorter() {
        append(store, &id(["behind it"]), next, &["a"]);
        next += 1;
    }
}

fn trimming(_: u64) -> Options {
    Options::default().trim(true)
}

#[test]
fn a_node_that_comes_late_catches_up_from_the_log() {
    let mut cluster = Cluster::founded(3, 1..=2, |config| config, trimming);
    fill(&cluster);

    cluster.restart(3);

    assert_filled(cluster.store(3));
    cluster.store(3).ready(LONG).expect("it has caught up");
    append(cluster.store(3), &id(["order", "4"]), 12, &["from the late one"]);
}

#[test]
fn a_node_that_comes_late_catches_up_by_a_snapshot_subscribers_included() {
    let short_log = |config: Config| config.trailing_entries(0);
    let mut cluster = Cluster::founded(3, 1..=2, short_log, trimming);
    fill(&cluster);
    shorten_the_log(cluster.store(1));
    shorten_the_log(cluster.store(2));

    cluster.restart(3);

    assert_filled(cluster.store(3));
    assert!(
        cluster.store(3).node().metrics().replica.snapshots_installed.get() > 0,
        "the log was long enough"
    );
    let orders = id(["order"]);
    let histories = [1, 3].map(|node| {
        let store = cluster.store(node);
        let end = store.append(Append::to(&orders, 0)).expect("it is nothing yet").position;
        let mut all =
            store.subscribe(Position::START, Filter::prefix(orders.clone())).expect("a good filter");
        let mut items = Vec::new();
        while all.next_position() < end {
            items.push(all.next_within(LONG).map(|delivered| delivered.expect("it is there")));
        }
        items
    });
    assert_eq!(histories[0], histories[1]);
    let gaps = histories[1].iter().filter(|item| matches!(item, Err(SubscriptionError::Gap(_)))).count();
    assert_eq!((gaps, histories[1].len()), (1, 58));
}

#[test]
fn all_that_was_answered_is_there_after_a_restart_orderly_or_not() {
    for size in [1, 3] {
        let mut cluster = Cluster::of(size, trimming);
        fill(&cluster);
        for id in 1..=size {
            cluster.drop(id);
        }
        for id in 1..=size {
            cluster.restart(id);
        }
        assert_filled(cluster.any());

        append(cluster.any(), &id(["order", "4"]), 12, &["once more"]);
        for id in 1..=size {
            cluster.stop(id);
        }
        for id in 1..=size {
            cluster.restart(id);
        }
        let last = cluster.any().load_events(&id(["order", "4"]), 12).expect("it is there").events;
        assert_eq!(types(&last), ["once more"]);
    }
}

#[test]
fn a_restart_applies_only_what_the_store_does_not_hold() {
    let mut cluster = Cluster::of(1, trimming);
    fill(&cluster);
    let applied = cluster.store(1).node().status().applied;
    cluster.stop(1);

    cluster.restart(1);

    let held = cluster.store(1).local().view().expect("it runs").applied();
    assert!(held >= applied, "an orderly end leaves everything on the disk: {held} of {applied}");
    assert_filled(cluster.store(1));
}

#[test]
fn a_damaged_store_is_built_anew_from_a_log_that_reaches_its_start() {
    let mut cluster = Cluster::of(1, trimming);
    fill(&cluster);
    cluster.stop(1);
    let database = store_beside(&cluster.directory_of(1)).join("events.redb");
    scribble(&database);

    cluster.restart(1);

    assert_filled(cluster.store(1));
    assert!(database.with_extension("redb.damaged").exists(), "what was damaged is set aside");
}

#[test]
fn a_damaged_store_is_built_anew_from_the_newest_snapshot_and_the_log_behind_it() {
    let mut cluster = Cluster::founded(1, 1..=1, |config| config.trailing_entries(0), trimming);
    fill(&cluster);
    cluster.store(1).node().snapshot_now().expect("taken");
    append(cluster.store(1), &id(["order", "5"]), 0, &["behind it"]);
    cluster.stop(1);
    scribble(&store_beside(&cluster.directory_of(1)).join("events.redb"));

    cluster.restart(1);

    let behind = cluster.store(1).load_events(&id(["order", "5"]), 0).expect("it is there").events;
    assert_eq!(types(&behind), ["behind it"]);
    assert_eq!(cluster.store(1).aggregates(&AggregateId::ALL).expect("listed").len(), 6);
}

#[test]
fn a_store_that_neither_log_nor_snapshot_can_build_anew_is_refused_by_name() {
    let mut cluster = Cluster::founded(1, 1..=1, |config| config.trailing_entries(0), trimming);
    fill(&cluster);
    shorten_the_log(cluster.store(1));
    cluster.stop(1);
    scribble(&store_beside(&cluster.directory_of(1)).join("events.redb"));
    let removed = files_below(&cluster.directory_of(1)).into_iter().filter(|file| is_snapshot(file));
    assert!(removed.map(|file| fs::remove_file(file).expect("it is there")).count() > 0);

    let refused = EventStore::start(cluster.config(1), trimming(1)).expect_err("it lacks a part");

    assert!(matches!(refused, StoreStartError::Node(StartError::SnapshotMissing { .. })), "{refused}");
}

#[test]
fn a_store_whose_log_was_lost_is_refused_by_name() {
    let mut cluster = Cluster::of(1, trimming);
    fill(&cluster);
    cluster.stop(1);
    fs::remove_dir_all(cluster.directory_of(1)).expect("the log is lost");

    let refused = EventStore::start(cluster.config(1), trimming(1)).expect_err("it holds what no log says");

    assert!(matches!(refused, StoreStartError::Node(_)), "{refused}");
}

#[test]
fn garbage_behind_the_end_of_the_log_and_half_a_record_change_nothing_that_was_answered() {
    let mut cluster = Cluster::of(1, trimming);
    fill(&cluster);
    for harm in [garbage_behind_the_end, half_a_record_behind_the_end] {
        cluster.stop(1);
        harm(&newest_segment(&cluster.directory_of(1)));
        cluster.restart(1);
        assert_filled(cluster.store(1));
    }
    append(cluster.store(1), &id(["order", "4"]), 12, &["and it goes on"]);
}

/// A crash leaves a file as long as it is: what is shorter was not left by one.
#[test]
fn a_log_that_was_cut_short_is_refused_by_name() {
    let mut cluster = Cluster::of(1, trimming);
    fill(&cluster);
    cluster.stop(1);
    let segment = newest_segment(&cluster.directory_of(1));
    let end = end_of(&segment).next_multiple_of(4096);
    OpenOptions::new().write(true).open(&segment).expect("a segment").set_len(end).expect("cut");

    let refused = EventStore::start(cluster.config(1), trimming(1)).expect_err("it was longer");

    let corrupt = |error: &StorageError| matches!(error, StorageError::Corrupt { .. });
    assert!(
        matches!(&refused, StoreStartError::Node(StartError::Storage(error)) if corrupt(error)),
        "{refused}"
    );
}

/// Where the last record of a segment ends: behind it there are zeros.
fn end_of(segment: &Path) -> u64 {
    let bytes = fs::read(segment).expect("a segment");
    bytes.iter().rposition(|byte| *byte != 0).expect("it holds something") as u64 + 1
}

fn write_behind_the_end(segment: &Path, bytes: &[u8]) {
    // Records begin at blocks; so does what could be taken for one.
    let end = end_of(segment).next_multiple_of(512);
    let mut file = OpenOptions::new().write(true).open(segment).expect("a segment");
    file.seek(SeekFrom::Start(end)).expect("it is that long");
    file.write_all(bytes).expect("written");
}

fn garbage_behind_the_end(segment: &Path) {
    write_behind_the_end(segment, &[0xA5; 3000]);
}

/// It begins as a record does.
fn half_a_record_behind_the_end(segment: &Path) {
    let bytes = fs::read(segment).expect("a segment");
    let begins = end_of(segment) as usize / 512 * 512;
    write_behind_the_end(segment, &bytes[begins..begins + 48]);
}

fn newest_segment(dir: &Path) -> PathBuf {
    let has_a_record = |file: &PathBuf| fs::read(file).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0));
    let segments = files_below(dir).into_iter().filter(|file| is_segment(file) && has_a_record(file));
    segments.max().expect("a log has a segment")
}

fn scribble(database: &Path) {
    let mut file = OpenOptions::new().read(true).write(true).open(database).expect("a database");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    // Everything behind the header: whichever pages are in use, they are no pages any more.
    bytes[4096..].fill(0xA5);
    file.rewind().expect("to the start");
    file.write_all(&bytes).expect("written");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let expand = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    let mut files: Vec<_> = entries.flat_map(expand).collect();
    files.sort();
    files
}

fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "log")
}

fn is_snapshot(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "snapshot")
}
