//! Callers who misuse a node, and parts that fail under it: nobody hangs, nobody is told something false, and the
//! process lives on.

#[path = "callers/scene.rs"]
mod scene;

use std::time::Duration;

use scene::leaderless;

#[test]
fn a_read_behind_a_write_that_was_given_up_says_nothing_of_a_node_that_stopped() {
    let node = leaderless();
    let write = node.submit_within(1, Duration::from_millis(20));
    let read = node.after(&write).submit_read(|sum| sum.total);

    write.wait().expect_err("there is no leader");
    let seen = read.wait();

    assert_eq!(node.stop_cause(), None, "the node runs");
    assert!(!matches!(seen, Err(quorate::ReadError::Stopped { .. })), "{seen:?}");
}
