//! Directories that older versions wrote, one per format, under `format-N/`: whatever they hold is read by every version
//! after them.
//!
//! `QUORATE_WRITE_FORMAT=dir cargo test --test it_storage formats` writes the same history into `dir`, as this version
//! does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate::storage::disk::{DiskConfig, DiskLog, SegmentState, SnapshotState, inspect, inspect_records};
use quorate::storage::{GroupWrite, Recovered, Storage};
use quorate::types::{
    Boot, Entry, EntryRun, GroupId, HardState, Incarnation, LogIndex, Origin, Payload, Term,
};

use crate::fixtures::{
    append, at, command, founding_entry, identity, last_index, membership, node, restart, vote,
};
use crate::snapshots::{content, read_snapshot, write_snapshot};

const OTHER: GroupId = GroupId(7);

fn open(dir: &Path) -> DiskLog {
    let config = DiskConfig::new(dir, node(1)).segment_bytes(DiskConfig::SEGMENT_BYTES_MIN);
    DiskLog::open(config).expect("open")
}

/// One entry of each kind, at 4, 5 and 6.
fn kinds() -> Arc<[Entry]> {
    let origin = Origin { node: node(2), incarnation: Incarnation(3), boot: Boot(4), request: 5 };
    let forwarded = Payload::Normal { origin: Some(Box::new(origin)), command: vec![1, 2, 3].into() };
    let payloads = [Payload::Noop, forwarded, Payload::Membership(membership())];
    payloads.into_iter().zip(4..).map(|(payload, index)| Entry { position: at(2, index), payload }).collect()
}

/// A history with every kind of record: two groups, two segments and the seal between them, votes, a release, a log that
/// began anew, entries that took the place of others, witnesses; and a snapshot.
fn write_history(dir: &Path) {
    let mut log = open(dir);
    let groups = [(GroupId::MAIN, Some(founding_entry())), (OTHER, Some(founding_entry()))];
    log.found(identity(), &groups).expect("found");
    let kinds = EntryRun::new(kinds()).expect("three");
    let mut anew = restart(at(3, 40));
    anew.group = OTHER;
    anew.entries = vec![EntryRun::new([command(3, 41, 5)].into()).expect("one")];
    for write in [
        vote(2, 2),
        append(2, 2, 3, 15_000),
        GroupWrite { entries: vec![kinds], ..append(2, 4, 4, 0) },
        append(2, 7, 9, 15_000),
        anew,
        append(4, 8, 8, 10),
    ] {
        log.write(&[write]).expect("write");
    }
    log.release(GroupId::MAIN, at(2, 3), &membership()).expect("release");
    write_snapshot(&mut *log.snapshots(), at(2, 6), &content(1000, 1));
    log.settle().expect("settle");
}

/// What the history left, as a directory of whichever version holds it; and the log goes on from there.
fn require_history(dir: &Path) {
    let mut lines = Vec::new();
    let report = inspect_records(dir, &mut |record| lines.push(record.what)).expect("inspect");
    let states: Vec<_> = report.segments.iter().map(|segment| segment.state).collect();
    assert_eq!(states, [SegmentState::Sealed, SegmentState::Sealed, SegmentState::Open], "{report}");
    assert!(matches!(report.snapshots[..], [ref one] if matches!(one.state, SnapshotState::Whole { .. })));
    for kind in
        ["restated: ", "term 2, vote for 2", "no-op", "membership of 3 nodes", "command of", "witness"]
    {
        assert!(lines.iter().any(|line| line.contains(kind)), "{kind}: {lines:#?}");
    }

    let mut log = open(dir);
    assert_eq!(log.identity(), Some(identity()));
    let recovered = log.recovered();
    let mut expected = kinds()[..].to_vec();
    expected.extend([command(2, 7, 15_000), command(4, 8, 10)]);
    let main = Recovered {
        hard_state: HardState { term: Term(2), voted_for: Some(node(2)) },
        starts_after: at(2, 3),
        membership: Some(membership()),
        entries: expected.iter().map(Entry::meta).collect(),
    };
    assert_eq!(recovered[&GroupId::MAIN], main);
    let other = &recovered[&OTHER];
    assert_eq!((other.starts_after, &other.entries[..]), (at(3, 40), &[command(3, 41, 5).meta()][..]));
    let mut reader = log.reader();
    let mut read = |group, first, last| {
        reader.read(group, LogIndex(first), LogIndex(last), u64::MAX).expect("what was recovered is read")
    };
    assert_eq!(read(GroupId::MAIN, 4, 8), expected);
    assert_eq!(read(OTHER, 41, 41), [command(3, 41, 5)]);
    let mut store = log.snapshots();
    let [snapshot] = &store.list(GroupId::MAIN).expect("list")[..] else { panic!("one snapshot") };
    assert_eq!((snapshot.position, &snapshot.membership), (at(2, 6), &membership()));
    assert!(read_snapshot(&mut *store, snapshot.id).expect("read") == content(1000, 1));

    log.write(&[append(5, 9, 9, 100)]).expect("write");
    drop((log, store));
    assert_eq!(last_index(&open(dir).recovered()[&GroupId::MAIN]), 9);
}

/// A copy of a committed directory, which no test may change.
fn copy_of(format: u32) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/storage/format-{format}"));
    for file in fs::read_dir(from).expect("it is committed") {
        let path = file.expect("a file").path();
        fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("copy");
    }
    copy
}

#[test]
fn what_the_first_format_holds_is_read_to_the_last_record() {
    let copy = copy_of(1);
    assert_eq!(inspect(copy.path()).expect("inspect").format, 1);

    require_history(copy.path());
}

#[test]
fn the_same_history_written_today_is_read_alike() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = std::env::var_os("QUORATE_WRITE_FORMAT").map_or(temporary.path().to_owned(), PathBuf::from);

    write_history(&dir);

    if dir == temporary.path() {
        require_history(&dir);
    }
}
