//! Pictures become snapshots, or leave nothing.

use std::io::{self, Read};

use super::{TestSnapshots, at, membership};
use crate::replica::{SaveJob, Saved};
use crate::storage::SnapshotStore;
use crate::types::{GroupId, LogIndex, SnapshotWriter};
use crate::workers::SnapshotSaver;

fn save(store: &TestSnapshots, writer: SnapshotWriter) -> Saved {
    let job = SaveJob::Picture { position: at(7), membership: membership(), writer };
    SnapshotSaver::new(Box::new(store.clone())).turn(job).expect("a picture is completed")
}

#[test]
fn a_picture_is_written_and_its_snapshot_says_what_it_covers() {
    let mut store = TestSnapshots::default();

    let saved = save(&store, Box::new(|out| out.write_all(b"state"))).outcome.unwrap();

    assert_eq!((saved.position, &saved.membership), (at(7), &membership()));
    assert_eq!(store.list(GroupId::MAIN).unwrap(), std::slice::from_ref(&saved));
    let mut content = String::new();
    store.open(GroupId::MAIN, saved.id).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "state");
}

#[test]
fn a_picture_that_cannot_be_written_says_why_and_leaves_nothing() {
    let fails = |out: &mut dyn io::Write| {
        out.write_all(b"half")?;
        Err(io::Error::other("the other half is gone"))
    };
    let panics = |_: &mut dyn io::Write| panic!("too tired");
    let careless = |out: &mut dyn io::Write| {
        let _ = out.write_all(&[0; 100]);
        Ok(())
    };
    let cases: [(SnapshotWriter, &str, Option<usize>); 4] = [
        (Box::new(fails), "the other half is gone", None),
        (Box::new(panics), "too tired", None),
        (Box::new(careless), "the disk is full", Some(50)),
        (Box::new(|_| Ok(())), "the disk is full", Some(0)),
    ];
    for (writer, why, room) in cases {
        let mut store = TestSnapshots::default();
        store.set_room(room);

        let reason = save(&store, writer).outcome.unwrap_err();

        assert!(reason.contains(why), "{reason}");
        assert!(store.list(GroupId::MAIN).unwrap().is_empty());
        assert_eq!(store.open_files(), 0);
    }
}

#[test]
fn what_nobody_needs_is_removed_and_a_failure_stops_nobody() {
    let store = TestSnapshots::default();
    let mut saver = SnapshotSaver::new(Box::new(store.clone()));

    let prune = |index| SaveJob::Prune { log_starts_after: LogIndex(index) };
    assert!(saver.turn(prune(5)).is_none());
    assert_eq!(store.pruned(), [LogIndex(5)]);

    store.set_prune_fails();
    assert!(saver.turn(prune(6)).is_none());
    assert_eq!(store.pruned(), [LogIndex(5)]);
}
