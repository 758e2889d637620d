//! The demo from outside: its verdict, and that it leaves nothing behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::stand::{eventually, finish, first_line, program, signal};

/// Starts the demo with a directory of its own for all that it makes.
fn start(directory: &Path) -> Child {
    let mut command = Command::new(program());
    command.env("TMPDIR", directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// Starts the demo, and waits until its nodes are at work.
fn start_and_wait(directory: &Path) -> Child {
    let mut demo = start(directory);
    let line = first_line(demo.stdout.take().expect("stdout is a pipe")).expect("the demo says something");
    assert!(line.starts_with("3 nodes are up"), "{line}");
    assert!(nodes_below(directory) >= 2, "three, or two if the leader was killed already");
    demo
}

/// How many processes have this directory in their command line.
fn nodes_below(directory: &Path) -> usize {
    let name = directory.display().to_string();
    let processes = fs::read_dir("/proc").expect("this system has /proc").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&name)).count()
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("the directory can be read").next().is_none()
}

#[test]
fn the_demo_loses_nothing_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();

    let output = finish(start(directory.path()));

    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.lines().any(|line| line.starts_with("lost 0")), "{said}");
    for row in ["acknowledged", "unknown", "lost", "longest gap", "writes/s", "p50", "p99"] {
        assert!(said.lines().any(|line| line.trim_start().starts_with(row)), "{row} in {said}");
    }
    assert!(said.contains("is killed with SIGKILL") && said.contains("has caught up"), "{said}");
    assert!(is_empty(directory.path()));
    assert_eq!(nodes_below(directory.path()), 0);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let mut demo = start_and_wait(directory.path());

    signal("INT", demo.id());
    let status = demo.wait().unwrap();

    assert_eq!(status.code(), Some(1));
    assert!(is_empty(directory.path()));
    assert_eq!(nodes_below(directory.path()), 0);
}

#[test]
fn the_nodes_of_the_demo_die_with_it() {
    let directory = TempDir::new().unwrap();
    let mut demo = start_and_wait(directory.path());

    demo.kill().unwrap();
    demo.wait().unwrap();

    eventually("its nodes end", || (nodes_below(directory.path()) == 0).then_some(()));
}
