//! A process that has no file descriptor left. It is one of its own, since all that runs in it would feel the want.

use std::fs::File;

use quorate::storage::disk::{DiskConfig, DiskLog};
use quorate::storage::{GroupWrite, Identity, Storage};
use quorate::types::{
    ClusterId, Entry, EntryRun, GroupId, Incarnation, LogIndex, LogPosition, NodeId, Payload, Term,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn entry(index: u64) -> GroupWrite {
    let position = LogPosition::new(Term(1), LogIndex(index));
    let command = vec![7; DiskConfig::SEGMENT_BYTES_MIN as usize / 5].into();
    let entry = Entry { position, payload: Payload::Normal { origin: None, command } };
    let entries = EntryRun::new([entry].into()).into_iter().collect();
    GroupWrite { group: GroupId::MAIN, hard_state: None, restart: None, entries }
}

#[test]
fn the_log_goes_on_in_its_next_segment_when_no_descriptor_is_left() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let node = NodeId::new(1).expect("not zero");
    let config = DiskConfig::new(dir.path(), node).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    let mut log = DiskLog::open(config.clone()).expect("open");
    let identity = Identity { node, cluster: ClusterId(5), incarnation: Incarnation(6), joined: false };
    log.found(identity, &[(GroupId::MAIN, None)]).expect("found");
    let mut upkeep = log.upkeep().expect("the first");
    while upkeep.turn().expect("there is room") {}

    let limit = Rlimit { current: Some(100), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("a lower limit");
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for index in 1..=6 {
        log.write(&[entry(index)]).expect("the next segment was prepared");
    }
    drop((taken, upkeep, log));

    let recovered = DiskLog::open(config).expect("open").recovered();
    assert_eq!(recovered[&GroupId::MAIN].entries.len(), 6);
}
