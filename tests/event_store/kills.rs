//! Processes that are killed while they append: what was answered is there, whole and once, and the order of the log tells of
//! it once too.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use quorate::event_store::{Append, EventStore, Filter, NewEvent, Options, Position};

use crate::scene::{Cluster, LONG, id};

const DIRECTORY: &str = "QUORATE_TEST_KILLED_STORE";
const ME: &str = "kills::a_process_that_is_killed_at_any_moment_has_lost_nothing_and_done_nothing_twice";

/// A sync after every few appends: a kill meets stores that are ahead of what is synced, and stores that are not.
fn options(dir: &Path) -> Options {
    Options::default().dir(dir.join("events")).layer_bytes(4 << 10).trim(true)
}

#[test]
fn a_process_that_is_killed_at_any_moment_has_lost_nothing_and_done_nothing_twice() {
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        return append_until_killed(Path::new(&dir));
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut answered = [0_u64; COUNTERS];
    for round in 0..6 {
        let mut child = start(directory.path());
        let mut lines =
            BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let said = lines.by_ref().filter_map(|line| line.strip_prefix("answered ").map(note_of));
        // Each round at another moment.
        for (nth, sequence) in said.take(20 + 37 * round) {
            answered[nth] = sequence;
        }
        child.kill().expect("it runs");
        for (nth, sequence) in lines.filter_map(|line| line.strip_prefix("answered ").map(note_of)) {
            answered[nth] = sequence;
        }
        child.wait().expect("it is gone");
    }

    let store = open(directory.path());

    for (nth, least) in answered.iter().enumerate() {
        let counter = id(["counter", &nth.to_string()]);
        let loaded = store.load_events(&counter, 0).expect("it leads");
        let sequences: Vec<_> = loaded.events.iter().map(|event| event.sequence).collect();
        let end = sequences.last().map_or(loaded.start_sequence, |last| last + 1);
        assert!(end >= *least, "{counter}: {least} were answered, and {end} are there");
        assert_eq!(sequences, (loaded.start_sequence..end).collect::<Vec<_>>(), "{counter}");
        assert!(loaded.events.iter().all(|event| event.value() == Ok(event.sequence)), "{counter}");
        let snapshot = store.load_snapshot(&counter).expect("it leads");
        assert_eq!(snapshot.sequence, loaded.start_sequence, "a snapshot and what it trims go together");
        let mut all = store.subscribe(Position::START, Filter::prefix(counter)).expect("a good filter");
        let mut recorded = Vec::new();
        while recorded.len() < sequences.len() {
            // A gap stands before what is left.
            if let Ok(Some(delivered)) = all.next_within(LONG) {
                recorded.push(delivered.event.sequence);
            }
        }
        assert_eq!(recorded, sequences, "the order of the log tells of each of them once");
    }
}

const COUNTERS: usize = 4;

fn note_of(line: &str) -> (usize, u64) {
    let (nth, sequence) = line.split_once(' ').expect("two numbers");
    (nth.parse().expect("a number"), sequence.parse().expect("a number"))
}

fn start(dir: &Path) -> Child {
    let me = std::env::current_exe().expect("this test");
    Command::new(me)
        .args(["--exact", ME, "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process")
}

fn open(dir: &Path) -> EventStore {
    let (config, socket) = Cluster::config_alone(&dir.join("data"));
    EventStore::start(config.listener(socket), options(dir)).expect("the store starts")
}

/// Numbers each event by its sequence, and now and then saves a snapshot that trims.
fn append_until_killed(dir: &Path) {
    let store = open(dir);
    let expected = |nth: usize| {
        let known = store.aggregate(&id(["counter", &nth.to_string()])).expect("it leads");
        known.map_or(0, |aggregate| aggregate.sequence)
    };
    let mut next: Vec<_> = (0..COUNTERS).map(expected).collect();
    for nth in (0..COUNTERS).cycle() {
        let counter = id(["counter", &nth.to_string()]);
        let events = (next[nth]..next[nth] + 3).map(|sequence| NewEvent::of("counted", &sequence));
        let appended = store.append(Append::to(&counter, next[nth]).events(events)).expect("it is there");
        next[nth] = appended.next[0];
        println!("answered {nth} {}", next[nth]);
        if next[nth].is_multiple_of(21) {
            store.save_snapshot(&counter, "so far", next[nth] - 1).expect("saved");
        }
    }
}
