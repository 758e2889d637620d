//! Starting, stopping, inspecting: what a node refuses to start with, and what it leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::program::client::Answer;
use crate::stand::{Stand, free_address, run};

/// The program fails with this exit code, and one line that holds `reason`.
fn refuses(arguments: &[String], code: i32, reason: &str) {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let output = run(&words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    assert!(said.contains(reason), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?} was never ready");
}

/// The command line of node 1, with one option's value replaced.
fn with(stand: &Stand, option: &str, value: &str) -> Vec<String> {
    let mut arguments = stand.arguments(1);
    let at = arguments.iter().position(|word| word == option).expect("the option is there");
    value.clone_into(&mut arguments[at + 1]);
    arguments
}

#[test]
fn wrong_arguments_are_told_by_name_before_anything_is_written() {
    let stand = Stand::prepare(1);
    let (a, b) = (free_address(), free_address());
    for (option, value, reason) in [
        ("--id", "0", "no node id"),
        ("--id", "one", "no node id"),
        ("--raft", "7001", "no address"),
        ("--redis", "localhost", "no address"),
        ("--cluster", "", "no member"),
        ("--cluster", "1:a", "no member"),
        ("--cluster", "1=a", "no address"),
        ("--cluster", "0=a:1", "no node id"),
    ] {
        refuses(&with(&stand, option, value), 2, reason);
    }
    for (value, reason) in [
        (format!("2={a},3={b}"), "node 1 is not in"),
        (format!("1={a},1={b}"), "listed twice"),
        (format!("1={a},2={a}"), "listed twice"),
        (format!("1={a},2=b:0"), "b:0"),
    ] {
        refuses(&with(&stand, "--cluster", &value), 1, reason);
    }
    refuses(&stand.arguments(1)[..9], 2, "serve needs --cluster");
    let and = |option: &str| [stand.arguments(1), vec![option.into()]].concat();
    refuses(&and("--join"), 2, "--cluster and --join exclude each other");
    refuses(&and("--snapshot-entries=0"), 2, "no number of entries");
    refuses(&and("--metrics=9100"), 2, "no address");
    refuses(&["frobnicate".into()], 2, "unknown command");
    assert!(!stand.data(1).exists(), "nothing was written");
}

#[test]
fn an_address_in_use_is_told() {
    let stand = Stand::prepare(1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--redis", "--raft"] {
        refuses(&with(&stand, option, &address), 1, &address);
    }
    refuses(&[stand.arguments(1), vec!["--metrics".into(), address.clone()]].concat(), 1, &address);
}

#[test]
fn a_directory_that_cannot_be_used_is_told() {
    let stand = Stand::prepare(1);
    let file = stand.directory().join("file");
    fs::write(&file, "not a directory").unwrap();
    for path in [file.clone(), file.join("below")] {
        let path = path.display().to_string();
        refuses(&with(&stand, "--data", &path), 1, &path);
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a directory");

    let foreign = stand.directory().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years of work").unwrap();
    refuses(&with(&stand, "--data", &foreign.display().to_string()), 1, "thesis.tex");
    assert_eq!(contents(&foreign).len(), 1, "nothing was added to it");
}

#[test]
fn a_second_process_on_a_directory_is_told_and_harms_nobody() {
    let stand = Stand::start(1);
    let mut second = with(&stand, "--redis", &free_address());
    let at = second.iter().position(|word| word == "--raft").unwrap();
    second[at + 1] = free_address();

    refuses(&second, 1, "in use by another node or process");

    assert_eq!(stand.client(1).call(&[b"SET", b"k", b"v"]).unwrap(), Answer::Status("OK".into()));
}

#[test]
fn the_directory_of_another_node_is_refused() {
    let mut stand = Stand::prepare(2);
    stand.start_node(1);
    assert_eq!(stand.terminate(1), Some(0));
    let mut arguments = stand.arguments(2);
    let at = arguments.iter().position(|word| word == "--data").unwrap();
    arguments[at + 1] = stand.data(1).display().to_string();

    refuses(&arguments, 1, "belongs to node 1");
}

#[test]
fn a_node_that_is_told_to_stop_ends_well_and_has_everything_when_it_returns() {
    let mut stand = Stand::start(1);
    assert_eq!(stand.client(1).call(&[b"SET", b"k", b"v"]).unwrap(), Answer::Status("OK".into()));
    for signal in ["TERM", "INT"] {
        let mut idle = stand.client(1);
        assert_eq!(idle.call(&[b"PING"]).unwrap(), Answer::Status("PONG".into()));

        assert_eq!(stand.stop_with(1, signal), Some(0));
        assert!(idle.call(&[b"PING"]).is_err(), "its clients are sent away");

        stand.start_node(1);
        stand.leader();
        assert_eq!(stand.client(1).call(&[b"GET", b"k"]).unwrap(), Answer::Bulk(b"v".into()));
    }
}

#[test]
fn a_stopped_node_can_be_inspected_and_inspecting_writes_nothing() {
    let mut stand = Stand::start(1);
    let mut client = stand.client(1);
    for number in 0..100 {
        client.call(&[b"SET", format!("k{number}").as_bytes(), b"v"]).unwrap();
    }
    let data = stand.data(1).display().to_string();
    stand.kill(1);
    let before = contents(Path::new(&data));

    let output = run(&["inspect", &data]);

    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("term"), "{said}");
    assert!(before == contents(Path::new(&data)), "inspecting changed the directory");
    stand.start_node(1);
    stand.leader();
    assert_eq!(stand.client(1).call(&[b"DBSIZE"]).unwrap(), Answer::Integer(100));
}

#[test]
fn a_log_that_was_damaged_in_the_middle_is_refused_by_name() {
    let mut stand = Stand::start(1);
    let mut client = stand.client(1);
    for number in 0..100 {
        client.call(&[b"SET", b"k", format!("value {number:03}").as_bytes()]).unwrap();
    }
    assert_eq!(stand.terminate(1), Some(0));
    let (path, mut bytes) = contents(&stand.data(1))
        .into_iter()
        .find(|(_, bytes)| position(bytes, b"value 010").is_some())
        .expect("a file of the log holds the value");
    let at = position(&bytes, b"value 010").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    refuses(&stand.arguments(1), 1, &format!("{name} is corrupt"));
    let output = run(&["inspect", &stand.data(1).display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{name} is corrupt")));
    assert!(fs::read(&path).unwrap() == bytes, "a damaged log is left as it is");
}

#[test]
fn what_cannot_be_inspected_is_told() {
    let stand = Stand::prepare(1);
    let nowhere = stand.directory().join("nowhere");

    refuses(&["inspect".into()], 2, "inspect needs a directory");
    refuses(&["inspect".into(), nowhere.display().to_string()], 1, "nowhere");
    assert!(!nowhere.exists());
}

#[test]
fn help_and_version_are_printed() {
    for (word, expected) in [("help", "kv serve --id N"), ("--help", "kv inspect DIR"), ("--version", "kv ")]
    {
        let output = run(&[word]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected));
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Every file below a directory with its bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("its entries too").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("and its files"));
        }
    }
    files
}
